"""When a renewal is offered, what is shown meanwhile, and which login follows; with virtual time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.bridge.contexts import changed
from tests.unit.bridge.talk import CODE, Talk, Wait, batch, logged_in, message, online, run_story
from wx2mqtt.bridge.renewal import MAX_OFFERS, LoginRenewal, is_renewal_due
from wx2mqtt.errors import LoggedOut, Unreachable
from wx2mqtt.model import Handle, Needs, Owner
from wx2mqtt.model import LoginState as S
from wx2mqtt.settings.schema import ILink, Renew
from wx2mqtt.wechat.backend import LoginAge, LoginFilter, LoginStep, QrExpired, Scanned, ShowQr

DAY = 86_400_000
MADE = 1_790_000_000_000
AFTER = 25 * 86_400.0
OFFER = ShowQr(url="https://liteapp.weixin.qq.com/q/next", lifetime=300.0)


@pytest.mark.parametrize(
    ("offers", "age", "due"),
    [
        ((), 25 * DAY - 1, False),
        ((), 25 * DAY, True),
        ((25 * DAY,), 26 * DAY - 1, False),
        ((25 * DAY,), 26 * DAY, True),
        ((25 * DAY, 26 * DAY), 27 * DAY, True),
        (tuple(range(25 * DAY, 28 * DAY, DAY)), 60 * DAY, False),
    ],
)
def test_a_renewal_is_due_by_the_age_of_the_login_and_a_day_after_each_offer(
    offers: tuple[int, ...], age: int, due: bool
):
    known = LoginAge(made=MADE, offers=tuple(MADE + offer for offer in offers))
    assert is_renewal_due(known, AFTER, MADE + age) is due
    assert len(offers) <= MAX_OFFERS


class Offers:
    """The renewals of a scripted WeChat: their steps in turn, and which of them were requested."""

    def __init__(self, talk: Talk, *scripts: Sequence[LoginStep | Exception | Wait]) -> None:
        self.scripts = deque(scripts)
        self.requested: list[bool] = []
        self.age: LoginAge | None = None
        gateway: Any = talk.gateway
        gateway.capabilities = replace(gateway.capabilities, login_seconds=30 * 86_400.0)
        gateway.renew, gateway.login_age = self.renew, lambda: self.age
        talk.ctx.settings = changed(talk.ctx.settings, ilink=ILink(renew=Renew(after=AFTER)))
        absent: Any = None
        self.renewal = LoginRenewal(talk.ctx, talk.owner, talk.session, absent)
        talk.ctx.signals.login_changed.connect(self.renewal.on_login_changed)
        talk.ctx.signals.received.connect(self.renewal.on_received)
        self._task = asyncio.ensure_future(self.renewal.run())

    async def renew(self, usable: LoginFilter, *, requested: bool) -> AsyncGenerator[LoginStep, None]:
        self.requested.append(requested)
        for step in self.scripts.popleft():
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Exception):
                raise step
            else:
                yield step


def needs(talk: Talk) -> list[tuple[str, str]]:
    """The states and needs in order, each once as long as it stood."""
    shown = [(str(one.login.state), str(one.login.needs)) for one in talk.shown]
    return [state for at, state in enumerate(shown) if not at or shown[at - 1] != state]


def test_the_login_goes_on_while_a_code_is_offered_and_the_next_one_follows_it():
    async def story(talk: Talk) -> None:
        online(talk)
        offers = Offers(talk, [OFFER, Wait(20), Scanned(), Wait(5), logged_in("login-2")])
        talk.gateway.logins.append([logged_in("login-2", resumed=True)])
        await talk.after(10)
        offers.renewal.request()
        await talk.after(10)
        shown = talk.session.login
        assert (shown.state, shown.needs, shown.qr_url) == (S.ONLINE, Needs.RENEW, OFFER.url)
        assert talk.sender.is_online
        await talk.after(12)
        assert (talk.session.login.needs, talk.session.login.qr_url) == (Needs.RENEW, "")
        await talk.after(10)
        assert needs(talk)[-3:] == [("online", "nothing"), ("online", "renew"), ("online", "nothing")]
        assert talk.gateway.asked == [True, True]
        assert talk.journal.cursors[-1][0] == "login-2"
        assert offers.requested == [True]

    run_story(story)


def test_the_old_login_may_end_before_wechat_says_that_the_next_one_is_confirmed():
    async def story(talk: Talk) -> None:
        online(talk)
        offers = Offers(talk, [OFFER, Wait(20), logged_in("login-2")])
        talk.gateway.logins.append([logged_in("login-2", resumed=True)])
        talk.gateway.answers += [Wait(28), LoggedOut("bound again")]
        await talk.after(10)
        offers.renewal.request()
        await talk.after(30)
        assert talk.states[-1] == "online"
        assert "logged_out" not in talk.states
        assert talk.journal.cursors[-1][0] == "login-2"

    run_story(story)


def test_a_login_that_ends_otherwise_while_a_code_is_offered_leads_to_a_code_of_its_own():
    async def story(talk: Talk) -> None:
        online(talk)
        offers = Offers(talk, [OFFER, Wait(300), QrExpired()])
        talk.gateway.logins.append([CODE])
        talk.gateway.answers += [Wait(20), LoggedOut("bound elsewhere")]
        await talk.after(10)
        offers.renewal.request()
        await talk.after(30)
        assert talk.states[-2:] == ["logged_out", "waiting_for_scan"]
        assert talk.session.login.qr_url == CODE.url
        assert talk.sender.ended == ["bound elsewhere"]

    run_story(story)


def test_somebody_else_who_scans_is_named_and_the_login_goes_on():
    async def story(talk: Talk) -> None:
        online(talk)
        other = Owner(handle=Handle("@mallory"), nickname="Mallory", uin="777")
        offers = Offers(talk, [OFFER, Wait(5), logged_in("login-2", owner=other)])
        await talk.after(10)
        offers.renewal.request()
        await talk.after(60)
        assert [event["name"] for event in talk.own_events("other_account")] == ["Mallory"]
        assert needs(talk)[-1] == ("online", "nothing")
        assert talk.gateway.asked == [True]

    run_story(story)


@pytest.mark.parametrize("script", [[OFFER, Wait(120), QrExpired()], [Unreachable("no answer")]])
def test_a_code_that_nobody_scans_or_that_does_not_come_ends_quietly(
    script: list[LoginStep | Exception | Wait],
):
    async def story(talk: Talk) -> None:
        online(talk)
        offers = Offers(talk, script)
        await talk.after(10)
        offers.renewal.request()
        await talk.after(200)
        assert needs(talk)[-1] == ("online", "nothing")
        assert talk.session.login.qr_url == ""
        assert talk.states == ["waiting_for_scan", "waiting_for_confirm", "online"]

    run_story(story)


def test_what_is_due_by_age_waits_until_the_person_writes():
    async def story(talk: Talk) -> None:
        online(talk)
        offers = Offers(talk, [OFFER, Wait(120), QrExpired()])
        offers.age = LoginAge(made=0)
        talk.gateway.answers += [Wait(60), batch(1, message("m1"))]
        await talk.after(50)
        assert offers.requested == []
        await talk.after(50)
        assert offers.requested == [False]

    run_story(story)


def test_a_request_without_a_login_asks_for_a_code_of_a_login():
    async def story(talk: Talk) -> None:
        talk.gateway.logins += [[Unreachable("no answer")] for _ in range(20)]
        offers = Offers(talk)
        await talk.after(200)
        talk.gateway.logins.clear()
        talk.gateway.logins.append([CODE])
        offers.renewal.request()
        await talk.after(0.5)
        assert offers.requested == []
        assert talk.state in (S.WAITING_FOR_SCAN, S.INTERRUPTED)

    run_story(story)


def test_an_outage_hides_the_code_only_while_it_lasts():
    async def story(talk: Talk) -> None:
        online(talk)
        offers = Offers(talk, [OFFER, Wait(300), QrExpired()])
        talk.gateway.answers += [Wait(20), *[Unreachable("no answer")] * 8, batch(1)]
        await talk.after(10)
        offers.renewal.request()
        await talk.after(200)
        assert "interrupted" in talk.states
        assert (talk.state, talk.session.login.qr_url) == (S.ONLINE, OFFER.url)

    run_story(story)


def test_when_wechat_refuses_the_next_login_the_state_says_so_before_a_code():
    async def story(talk: Talk) -> None:
        online(talk)
        offers = Offers(talk, [OFFER, logged_in("login-2")])
        talk.gateway.logins.append([CODE])
        await talk.after(10)
        offers.renewal.request()
        await talk.after(30)
        assert talk.states[-3:] == ["online", "logged_out", "waiting_for_scan"]

    run_story(story)

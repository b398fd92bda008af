"""When a renewal is offered, what is shown meanwhile, and which login follows; with virtual time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.support.rows import every_row
from tests.unit.bridge.contexts import changed
from tests.unit.bridge.session_harness import (
    QR_CODE,
    SessionHarness,
    Wait,
    add_login,
    batch,
    logged_in,
    message,
    run_scenario,
)
from wx2mqtt.bridge.login_renewal import MAX_OFFERS, LoginRenewal, is_renewal_due
from wx2mqtt.errors import LoggedOut, Unreachable
from wx2mqtt.model import Handle, Needs, Owner
from wx2mqtt.model import LoginState as S
from wx2mqtt.settings.schema import ILink, Renew
from wx2mqtt.wechat.backend import LoginAge, LoginFilter, LoginStep, QrExpired, Scanned, ShowQr

DAY = 86_400_000
LOGIN_MADE = 1_790_000_000_000
RENEW_AFTER_SECONDS = 25 * 86_400.0
RENEWAL_CODE = ShowQr(url="https://liteapp.weixin.qq.com/q/next", lifetime=300.0)


@every_row(
    ("renewals", "age", "due"),
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
    renewals: tuple[int, ...], age: int, due: bool
):
    known = LoginAge(made=LOGIN_MADE, offers=tuple(LOGIN_MADE + offer for offer in renewals))
    assert is_renewal_due(known, RENEW_AFTER_SECONDS, LOGIN_MADE + age) is due
    assert len(renewals) <= MAX_OFFERS


class RenewalHarness:
    """The renewals of a login: the steps of each in order, and which of them were requested."""

    def __init__(
        self, session_harness: SessionHarness, *scripts: Sequence[LoginStep | Exception | Wait]
    ) -> None:
        self.scripts = deque(scripts)
        self.requested: list[bool] = []
        self.age: LoginAge | None = None
        backend: Any = session_harness.backend
        backend.capabilities = replace(backend.capabilities, login_seconds=30 * 86_400.0)
        backend.renew, backend.login_age = self.renew, lambda: self.age
        session_harness.ctx.settings = changed(
            session_harness.ctx.settings, ilink=ILink(renew=Renew(after=RENEW_AFTER_SECONDS))
        )
        absent: Any = None
        self.renewal = LoginRenewal(
            session_harness.ctx, session_harness.owner, session_harness.session, absent
        )
        session_harness.ctx.signals.login_changed.connect(self.renewal.on_login_changed)
        session_harness.ctx.signals.received.connect(self.renewal.on_received)
        self._running = asyncio.ensure_future(self.renewal.run())

    async def renew(self, usable: LoginFilter, *, requested: bool) -> AsyncGenerator[LoginStep, None]:
        self.requested.append(requested)
        for step in self.scripts.popleft():
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Exception):
                raise step
            else:
                yield step


def states_and_needs(session_harness: SessionHarness) -> list[tuple[str, str]]:
    """Returns the pairs of state and need in order, each once for as long as it lasted."""
    pairs = [(str(report.login.state), str(report.login.needs)) for report in session_harness.reports]
    return [state for at, state in enumerate(pairs) if not at or pairs[at - 1] != state]


def test_the_login_goes_on_while_a_code_is_offered_and_the_next_one_follows_it():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        renewals = RenewalHarness(
            session_harness, [RENEWAL_CODE, Wait(20), Scanned(), Wait(5), logged_in("login-2")]
        )
        session_harness.backend.logins.append([logged_in("login-2", resumed=True)])
        await session_harness.run_for(10)
        renewals.renewal.request()
        await session_harness.run_for(10)
        shown = session_harness.session.login
        assert (shown.state, shown.needs, shown.qr_url) == (S.ONLINE, Needs.RENEW, RENEWAL_CODE.url)
        assert session_harness.sender.is_online
        await session_harness.run_for(12)
        assert (session_harness.session.login.needs, session_harness.session.login.qr_url) == (
            Needs.RENEW,
            "",
        )
        await session_harness.run_for(10)
        assert states_and_needs(session_harness)[-3:] == [
            ("online", "nothing"),
            ("online", "renew"),
            ("online", "nothing"),
        ]
        assert session_harness.backend.resume_flags == [True, True]
        assert session_harness.journal.cursors[-1][0] == "login-2"
        assert renewals.requested == [True]

    run_scenario(scenario)


def test_the_old_login_may_end_before_wechat_says_that_the_next_one_is_confirmed():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        renewals = RenewalHarness(session_harness, [RENEWAL_CODE, Wait(20), logged_in("login-2")])
        session_harness.backend.logins.append([logged_in("login-2", resumed=True)])
        session_harness.backend.answers += [Wait(28), LoggedOut("bound again")]
        await session_harness.run_for(10)
        renewals.renewal.request()
        await session_harness.run_for(30)
        assert session_harness.states[-1] == "online"
        assert "logged_out" not in session_harness.states
        assert session_harness.journal.cursors[-1][0] == "login-2"

    run_scenario(scenario)


def test_a_login_that_ends_otherwise_while_a_code_is_offered_leads_to_a_code_of_its_own():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        renewals = RenewalHarness(session_harness, [RENEWAL_CODE, Wait(300), QrExpired()])
        session_harness.backend.logins.append([QR_CODE])
        session_harness.backend.answers += [Wait(20), LoggedOut("bound elsewhere")]
        await session_harness.run_for(10)
        renewals.renewal.request()
        await session_harness.run_for(30)
        assert session_harness.states[-2:] == ["logged_out", "waiting_for_scan"]
        assert session_harness.session.login.qr_url == QR_CODE.url
        assert session_harness.sender.ended == ["bound elsewhere"]

    run_scenario(scenario)


def test_somebody_else_who_scans_is_named_and_the_login_goes_on():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        other = Owner(handle=Handle("@mallory"), nickname="Mallory", uin="777")
        renewals = RenewalHarness(session_harness, [RENEWAL_CODE, Wait(5), logged_in("login-2", owner=other)])
        await session_harness.run_for(10)
        renewals.renewal.request()
        await session_harness.run_for(60)
        assert [event["name"] for event in session_harness.own_events("other_account")] == ["Mallory"]
        assert states_and_needs(session_harness)[-1] == ("online", "nothing")
        assert session_harness.backend.resume_flags == [True]

    run_scenario(scenario)


@pytest.mark.parametrize("script", [[RENEWAL_CODE, Wait(120), QrExpired()], [Unreachable("no answer")]])
def test_a_code_that_nobody_scans_or_that_does_not_come_ends_quietly(
    script: list[LoginStep | Exception | Wait],
):
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        renewals = RenewalHarness(session_harness, script)
        await session_harness.run_for(10)
        renewals.renewal.request()
        await session_harness.run_for(200)
        assert states_and_needs(session_harness)[-1] == ("online", "nothing")
        assert session_harness.session.login.qr_url == ""
        assert session_harness.states == ["waiting_for_scan", "waiting_for_confirm", "online"]

    run_scenario(scenario)


def test_what_is_due_by_age_waits_until_the_person_writes():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        renewals = RenewalHarness(session_harness, [RENEWAL_CODE, Wait(120), QrExpired()])
        renewals.age = LoginAge(made=0)
        session_harness.backend.answers += [Wait(60), batch(1, message("m1"))]
        await session_harness.run_for(50)
        assert renewals.requested == []
        await session_harness.run_for(50)
        assert renewals.requested == [False]

    run_scenario(scenario)


def test_a_request_without_a_login_asks_for_a_code_of_a_login():
    async def scenario(session_harness: SessionHarness) -> None:
        session_harness.backend.logins += [[Unreachable("no answer")] for _ in range(20)]
        renewals = RenewalHarness(session_harness)
        await session_harness.run_for(200)
        session_harness.backend.logins.clear()
        session_harness.backend.logins.append([QR_CODE])
        renewals.renewal.request()
        await session_harness.run_for(0.5)
        assert renewals.requested == []
        assert session_harness.state in (S.WAITING_FOR_SCAN, S.INTERRUPTED)

    run_scenario(scenario)


def test_an_outage_hides_the_code_only_while_it_lasts():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        renewals = RenewalHarness(session_harness, [RENEWAL_CODE, Wait(300), QrExpired()])
        session_harness.backend.answers += [Wait(20), *[Unreachable("no answer")] * 8, batch(1)]
        await session_harness.run_for(10)
        renewals.renewal.request()
        await session_harness.run_for(200)
        assert "interrupted" in session_harness.states
        assert (session_harness.state, session_harness.session.login.qr_url) == (S.ONLINE, RENEWAL_CODE.url)

    run_scenario(scenario)


def test_when_wechat_refuses_the_next_login_the_state_says_so_before_a_code():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        renewals = RenewalHarness(session_harness, [RENEWAL_CODE, logged_in("login-2")])
        session_harness.backend.logins.append([QR_CODE])
        await session_harness.run_for(10)
        renewals.renewal.request()
        await session_harness.run_for(30)
        assert session_harness.states[-3:] == ["online", "logged_out", "waiting_for_scan"]

    run_scenario(scenario)

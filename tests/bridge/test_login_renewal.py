"""A login that ends after some weeks is renewed: when a code is offered, what is shown, which login follows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.bridge.logins import QR_CODE, shown_codes, started, state_names, states
from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import WIFE, MemoryBackend, Pause, with_capabilities
from wx2mqtt.errors import LoggedOut, Unreachable
from wx2mqtt.model import Handle, Owner
from wx2mqtt.wechat.backend import (
    LoginAge,
    QrExpired,
    Scanned,
    ShowQr,
)

CODE = ShowQr(url="https://liteapp.weixin.qq.com/q/next", lifetime=300.0)
NEXT = MemoryBackend().logged_in(login_id="login-2")
MALLORY = Owner(handle=Handle("@mallory"), nickname="Mallory", uin="777")
RESUMED = MemoryBackend().logged_in(login_id="login-2", resumed=True)
ONLINE, RENEW = ("online", "nothing"), ("online", "renew")
MONTH = 30 * 86_400.0


@pytest.fixture
async def bridge(open_bridge: OpenBridge) -> BridgedAccount:
    """A bridge whose logins last a month, and are renewed after 25 days."""
    backend = with_capabilities(login_seconds=MONTH)
    return await open_bridge(backend, ilink={"renew": {"after": "25d"}})


async def offer(bridge: BridgedAccount, *steps: Any) -> None:
    bridge.backend.renewal_steps.append([CODE, *steps])
    assert (await bridge.request("login", renew=True))["status"] == "ok"
    await bridge.pass_time(1)


async def test_the_login_goes_on_while_a_code_is_offered_and_the_next_one_follows_it(bridge: BridgedAccount):
    bridge.backend.logins.append([RESUMED])
    await offer(bridge, Pause(20), Scanned(), Pause(5), NEXT)
    assert (states(bridge)[-1], shown_codes(bridge)[-1]) == (RENEW, CODE.url)
    assert (await bridge.send("老婆", "hi"))["status"] == "sent"
    await bridge.pass_time(22)
    assert (states(bridge)[-1], shown_codes(bridge)[-1]) == (RENEW, "")
    await bridge.pass_time(10)
    assert states(bridge) == [ONLINE, RENEW, ONLINE]
    assert (bridge.backend.resume_flags, bridge.backend.renewals) == ([True, True], [True])
    bridge.backend.write(WIFE)
    await bridge.next("wx/in/老婆")
    assert await bridge.rows("SELECT login_id FROM account") == [("login-2",)]


async def test_the_old_login_may_end_before_wechat_says_that_the_next_one_is_confirmed(
    bridge: BridgedAccount,
):
    bridge.backend.logins.append([RESUMED])
    await offer(bridge, Pause(20), NEXT)
    bridge.backend.fail(Pause(17), LoggedOut("bound again"))  # type: ignore[arg-type]
    await bridge.pass_time(30)
    assert state_names(bridge) == ["online"]
    assert bridge.backend.resume_flags == [True, True]


async def test_a_login_that_ends_otherwise_while_a_code_is_offered_leads_to_a_code_of_its_own(
    bridge: BridgedAccount,
):
    bridge.backend.logins.append([QR_CODE])
    await offer(bridge, Pause(300), QrExpired())
    bridge.backend.fail(LoggedOut("bound elsewhere"))
    await bridge.pass_time(30)
    assert state_names(bridge) == ["online", "logged_out", "waiting_for_scan"]
    assert shown_codes(bridge)[-1] == QR_CODE.url


async def test_when_wechat_refuses_the_next_login_the_state_says_so_before_a_code(bridge: BridgedAccount):
    bridge.backend.logins.append([QR_CODE])
    await offer(bridge, NEXT)
    await bridge.pass_time(30)
    assert state_names(bridge) == ["online", "logged_out", "waiting_for_scan"]


@pytest.mark.parametrize(
    ("steps", "event"),
    [
        ([Pause(120), QrExpired()], None),
        ([Unreachable("no answer")], None),
        ([Pause(5), MemoryBackend().logged_in(owner=MALLORY)], "Mallory"),
    ],
    ids=["nobody scans", "no code comes", "somebody else scans"],
)
async def test_a_code_that_does_not_lead_to_the_owner_ends_quietly(
    bridge: BridgedAccount, steps: list[Any], event: str | None
):
    await offer(bridge, *steps)
    await bridge.pass_time(200)
    assert (states(bridge)[-1], shown_codes(bridge)[-1]) == (ONLINE, "")
    assert state_names(bridge) == ["online"]
    assert bridge.backend.resume_flags == [True]
    assert [body["name"] for body in bridge.published("wx/event/other_account")] == ([event] if event else [])


DAY = 86_400_000


@pytest.mark.parametrize(
    ("age", "offers", "due"),
    [
        (25 * DAY - 60_000, (), False),
        (25 * DAY, (), True),
        (26 * DAY - 60_000, (25 * DAY,), False),
        (26 * DAY, (25 * DAY,), True),
        (27 * DAY, (25 * DAY, 26 * DAY), True),
        (60 * DAY, (25 * DAY, 26 * DAY, 27 * DAY), False),
    ],
)
async def test_what_is_due_by_age_and_a_day_after_each_of_three_offers_waits_until_the_person_writes(
    bridge: BridgedAccount, age: int, offers: tuple[int, ...], due: bool
):
    made = bridge.backend.message(WIFE).time - age
    bridge.backend.age = LoginAge(made=made, offers=tuple(made + at for at in offers))
    await bridge.pass_time(1)
    assert bridge.backend.renewals == []
    bridge.backend.write(WIFE)
    await bridge.pass_time(1)
    assert bridge.backend.renewals == ([False] if due else [])


async def test_a_request_without_a_login_asks_for_a_code_of_a_login(open_bridge: OpenBridge):
    backend = with_capabilities(login_seconds=MONTH)
    bridge = await started(open_bridge, [QR_CODE, Pause(299), QrExpired()], [QR_CODE], backend=backend)
    await bridge.request("login", renew=True)
    await bridge.pass_time(1)
    assert (backend.renewals, bridge.state, len(backend.resume_flags)) == ([], "waiting_for_scan", 2)


async def test_an_outage_hides_the_code_only_while_it_lasts(bridge: BridgedAccount):
    await offer(bridge, Pause(300), QrExpired())
    bridge.backend.fail(*[Unreachable("no answer")] * 8)
    await bridge.wait_until(lambda: bridge.state == "interrupted")
    bridge.backend.deliver()
    await bridge.wait_until(lambda: bridge.state == "online")
    await bridge.pass_time(0.1)
    assert (states(bridge)[-1], shown_codes(bridge)[-1]) == (RENEW, CODE.url)

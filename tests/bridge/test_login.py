"""A login: its codes and states, what a request does in each, and what follows from its end."""

from __future__ import annotations

import asyncio
import random
from itertools import groupby, pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.bridge.conftest import OpenBridge
from tests.bridge.logins import QR_CODE, pass_watched, qr_code, shown_codes, started, state_names, states
from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import WIFE, MemoryBackend, Pause
from wx2mqtt.bridge.login import MAX_QR_CODES
from wx2mqtt.bridge.login_state import TRANSITIONS
from wx2mqtt.errors import (
    LoggedOut,
    LoginEnded,
    LoginPostponed,
    LoginRefused,
    ProtocolViolation,
    StoreFull,
    Throttled,
    Unreachable,
)
from wx2mqtt.model import LoginState, Owner
from wx2mqtt.wechat.backend import (
    CodeRequired,
    ConfirmOnPhone,
    PollFailing,
    PollRecovered,
    QrExpired,
    Scanned,
)

REST = 2 * 3600
FOREVER = Pause(10**9)
IN = MemoryBackend().logged_in
SCAN = ("waiting_for_scan", "scan")
CONFIRM = ("waiting_for_confirm", "confirm")
CODE = ("waiting_for_confirm", "code")
INTERRUPTED = ("interrupted", "nothing")
ONLINE = ("online", "nothing")


# the way online


@pytest.mark.parametrize(
    ("steps", "expected", "codes"),
    [
        ([QR_CODE, Pause(10), Scanned(), Pause(295), IN()], [SCAN, CONFIRM, ONLINE], 1),
        ([ConfirmOnPhone(), Pause(299), IN()], [CONFIRM, ONLINE], 0),
        (
            [
                QR_CODE,
                Pause(5),
                CodeRequired(),
                Pause(5),
                CodeRequired(wrong=True),
                Pause(5),
                Scanned(),
                IN(),
            ],
            [SCAN, CODE, CONFIRM, ONLINE],
            1,
        ),
        (
            [QR_CODE, CodeRequired(), Pause(5), PollFailing(reason="x"), Pause(5), PollRecovered(), Pause(5)],
            [SCAN, CODE, INTERRUPTED, CODE],
            1,
        ),
        (
            [QR_CODE, Pause(9), PollFailing(reason="x"), Pause(60), PollRecovered(), Pause(30), IN()],
            [SCAN, INTERRUPTED, SCAN, ONLINE],
            1,
        ),
        ([QR_CODE, Pause(9), QrExpired(), Pause(30), qr_code(2), FOREVER], [SCAN], 2),
        ([qr_code(1), Pause(0.001), qr_code(2), FOREVER], [SCAN], 2),
    ],
    ids=["scan", "phone", "number", "number and outage", "outage", "expired", "replaced at once"],
)
async def test_each_step_shows_what_a_person_must_do(
    open_bridge: OpenBridge, steps: list[Any], expected: list[tuple[str, str]], codes: int
):
    with capture_logs() as logs:
        bridge = await started(open_bridge, steps, seconds=310)
    assert states(bridge) == expected
    assert len([code for code in shown_codes(bridge) if code]) == codes
    assert (shown_codes(bridge)[-1] != "") is (expected[-1] == SCAN)
    assert bridge.backend.resume_flags == [True]
    logged = [entry["state"] for entry in logs if entry["event"] == "login"]
    published = [name for name, _ in groupby(body["state"] for body in bridge.published("wx/login/state"))]
    assert published in (logged, ["starting", *logged]), "a new code in the same state is not logged"


async def test_a_code_that_cannot_be_polled_stays_and_one_that_is_over_goes(open_bridge: OpenBridge):
    steps = [QR_CODE, Pause(9), PollFailing(reason="x"), Pause(30), PollRecovered(), Pause(10), QrExpired()]
    bridge = await started(open_bridge, [*steps, FOREVER], seconds=20)
    first, last = bridge.published("wx/login/state")[-2:]
    assert (last["state"], last["qr_expires"]) == ("interrupted", first["qr_expires"])
    assert shown_codes(bridge)[-1] == QR_CODE.url
    await bridge.pass_time(40)
    assert (shown_codes(bridge)[-1], "qr_expires" in bridge.last("wx/login/state")) == ("", False)


async def test_a_number_goes_to_wechat_only_while_it_is_asked_for(open_bridge: OpenBridge):
    steps = [QR_CODE, Pause(5), CodeRequired(), Pause(5), CodeRequired(wrong=True), Pause(5), IN()]
    bridge = await started(open_bridge, steps)
    assert (await bridge.request("login", code="1"))["code"] == "bad_request"
    await bridge.pass_time(6)
    for code in ("012345", 123):
        assert (await bridge.request("login", code=code))["data"]["needs"] == "code"
    await bridge.pass_time(5)
    assert "that was not the number" in bridge.last("wx/login/state")["reason"]
    await bridge.pass_time(60)
    assert (await bridge.request("login", code="1"))["code"] == "bad_request"
    assert bridge.backend.entered_codes == ["012345", "123"]


@pytest.mark.parametrize("expires", [False, True])
async def test_ten_codes_are_shown_and_then_it_rests_until_somebody_asks(
    open_bridge: OpenBridge, expires: bool
):
    def codes(first: int, count: int) -> list[Any]:
        over = [QrExpired()] if expires else []
        numbers = range(first, first + count)
        return [step for number in numbers for step in (qr_code(number), Pause(300), *over)]

    bridge = await started(open_bridge, codes(0, 9), codes(10, 30), codes(50, 1), seconds=8.5 * 300)
    assert (await bridge.request("login"))["data"]["state"] == "waiting_for_scan"  # ten more
    await pass_watched(bridge, REST)
    assert len({code for code in shown_codes(bridge) if code}) == 9 + MAX_QR_CODES
    assert states(bridge)[-1] == ("logged_out", "relogin")
    assert len(bridge.backend.resume_flags) == 2
    await bridge.request("login")
    await bridge.pass_time(1)
    assert (bridge.state, bridge.backend.resume_flags[2:]) == ("waiting_for_scan", [False])


async def test_an_owner_without_a_name_is_logged_in(open_bridge: OpenBridge):
    nameless = Owner(handle=WIFE.handle, nickname="", uin="42")
    bridge = await started(open_bridge, [QR_CODE, IN(owner=nameless)])
    assert bridge.last("wx/login/state")["reason"] == "logged in"


async def test_the_phone_is_asked_once_even_when_the_line_breaks_behind_its_answer(open_bridge: OpenBridge):
    bridge = await started(open_bridge, [ConfirmOnPhone(), Pause(5), Unreachable()], [QR_CODE], seconds=120)
    assert bridge.backend.resume_flags == [True, False]
    assert state_names(bridge) == ["waiting_for_confirm", "interrupted", "waiting_for_scan"]


# what cannot be reached, and what is refused


async def test_a_wechat_that_is_away_is_tried_ever_more_rarely_and_at_once_when_somebody_asks(
    open_bridge: OpenBridge,
):
    away = [[Unreachable("no answer")] for _ in range(20)]
    bridge = await started(open_bridge, *away, [IN(resumed=True)], seconds=300)
    assert state_names(bridge) == ["interrupted"]
    assert 5 <= len(bridge.backend.resume_flags) <= 14
    assert all(bridge.backend.resume_flags)
    await bridge.request("login")
    await bridge.pass_time(0.5)
    assert bridge.backend.resume_flags[-1] is False
    await pass_watched(bridge, 1500)
    assert bridge.state == "online"


@pytest.mark.parametrize(
    ("logins", "error", "expected", "tries"),
    [
        ([[QR_CODE, LoginRefused("why")]], None, [SCAN, ("refused", "other_backend")], 1),
        ([[IN()]], LoginEnded("why"), [ONLINE, ("logged_out", "relogin")], 1),
        (
            [[IN()]],
            LoginRefused("why", is_correctable=True),
            [ONLINE, INTERRUPTED, ("refused", "relogin")],
            1,
        ),
        (
            [[IN()], [LoginRefused("why")]],
            LoggedOut("over"),
            [ONLINE, ("logged_out", "relogin"), ("refused", "other_backend")],
            2,
        ),
    ],
    ids=["refused", "taken over", "wrong credentials", "refused after a logout"],
)
async def test_what_no_attempt_can_mend_rests_until_a_person_asks(
    open_bridge: OpenBridge, logins: list[Any], error: Exception | None, expected: list[Any], tries: int
):
    bridge = await started(open_bridge, *logins, [QR_CODE])
    if error is not None:
        bridge.backend.fail(error)
    await pass_watched(bridge, 10)
    if tries == 1:
        await pass_watched(bridge, REST)
    assert states(bridge) == expected
    assert bridge.last("wx/login/state")["reason"] == "why"
    assert len(bridge.backend.resume_flags) == tries
    await bridge.request("login")
    await bridge.pass_time(1)
    assert bridge.backend.resume_flags[tries:] == [False]
    assert bridge.state == "waiting_for_scan"


async def test_a_store_that_takes_no_login_is_shown_and_the_scan_was_not_for_nothing(open_bridge: OpenBridge):
    backend = MemoryBackend()
    backend.logins.append([QR_CODE, Scanned(), IN()])
    bridge = await open_bridge(backend, start=False)
    bridge.fail_store(*["record"] * 12, error=StoreFull)
    await bridge.start(online=False)
    await pass_watched(bridge, 20)
    assert bridge.state == "interrupted"
    await pass_watched(bridge, 600)
    assert (bridge.state, backend.resume_flags) == ("online", [True])
    assert await bridge.rows("SELECT login_id FROM account") == [("login-0",)]


# the end of a login


@pytest.mark.parametrize("learned_by", ["receiving", "a send", "both", "the contacts"])
async def test_a_logout_is_shown_once_and_leads_to_a_code_without_the_saved_login(
    open_bridge: OpenBridge, learned_by: str, monkeypatch: pytest.MonkeyPatch
):
    bridge = await started(open_bridge, [QR_CODE, IN()], [qr_code(2), Pause(10), IN(login_id="2")])
    if learned_by == "the contacts":

        async def contacts(_on_progress: Any) -> Any:
            yield ()
            raise LoggedOut("over")

        monkeypatch.setattr(bridge.backend, "list_contacts", contacts)
        bridge.backend.logins.appendleft([IN(login_id="1")])
        bridge.backend.fail(LoggedOut("first"))
        await bridge.pass_time(1)
    if learned_by in ("a send", "both"):
        bridge.backend.outcomes += [Pause(2), LoggedOut("over")]
        bridge.deliver("wx/out/老婆", "hi")
        await bridge.wait_until(lambda: bridge.backend.sent)
    if learned_by in ("receiving", "both"):
        begun = bridge.backend.sent[0].time if bridge.backend.sent else 0.0
        asyncio.get_running_loop().call_at(begun + 2, bridge.backend.fail, LoggedOut("over"))
    await bridge.pass_time(5)
    gone, waiting = [body for body in bridge.published("wx/login/state") if body["state"] != "online"][-2:]
    assert (gone["state"], gone["needs"], gone["reason"]) == ("logged_out", "relogin", "over")
    assert waiting["state"] == "waiting_for_scan"
    assert "over" in waiting["reason"]
    assert bridge.backend.resume_flags[-1] is False
    if learned_by != "the contacts":
        assert state_names(bridge).count("logged_out") == 1
        await bridge.pass_time(60)
        assert (bridge.state, len(bridge.backend.resume_flags)) == ("online", 2)


@pytest.mark.parametrize("error", [Unreachable("503"), ProtocolViolation(), Throttled(retry_after=60)])
async def test_a_send_learns_of_the_logout_while_receiving_fails(open_bridge: OpenBridge, error: Exception):
    bridge = await started(open_bridge, [QR_CODE, IN()], [qr_code(2), FOREVER])
    bridge.backend.fail(*[error] * 1000)
    await bridge.pass_time(100)
    assert bridge.state == "interrupted"
    bridge.account.ctx.login_requests.on_logged_out(LoggedOut("the phone ended it"))
    await bridge.pass_time(1)
    assert state_names(bridge)[-2:] == ["logged_out", "waiting_for_scan"]
    assert "the phone ended it" in bridge.last("wx/login/state")["reason"]


async def test_a_send_that_learns_of_it_late_does_not_end_the_next_login(bridge: BridgedAccount):
    bridge.backend.outcomes += [Pause(20), LoggedOut("over")]
    bridge.deliver("wx/out/老婆", "hi")
    bridge.backend.logins.append([QR_CODE, Pause(30), IN(login_id="2")])
    await bridge.pass_time(1)
    bridge.backend.fail(LoggedOut("over"))
    await bridge.pass_time(100)
    assert (bridge.state, len(bridge.backend.resume_flags)) == ("online", 2)


# requests


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ([FOREVER], "starting"),
        ([QR_CODE, FOREVER], "waiting_for_scan"),
        ([QR_CODE, Scanned(), FOREVER], "waiting_for_confirm"),
        ([ConfirmOnPhone(), FOREVER], "waiting_for_confirm"),
        ([QR_CODE, Scanned(), IN(), "slow contacts"], "waiting_for_confirm"),
        ([Unreachable("no answer")], "interrupted"),
        ([LoginRefused("not you")], "refused"),
        ([QR_CODE, IN()], "online"),
    ],
)
async def test_whenever_a_logout_is_asked_for_it_rests_and_every_request_is_answered(
    open_bridge: OpenBridge, steps: list[Any], state: str, monkeypatch: pytest.MonkeyPatch
):
    backend = MemoryBackend()
    if "slow contacts" in steps:
        hold_contacts(backend, monkeypatch)
    bridge = await started(
        open_bridge, [step for step in steps if step != "slow contacts"], [FOREVER], backend=backend
    )
    assert bridge.state == state
    for _ in range(2):
        bridge.deliver("wx/bridge/request/logout", {})
    async with asyncio.timeout(1):
        answers = [await bridge.next("wx/bridge/response/logout") for _ in range(2)]
    assert [answer["status"] for answer in answers] == ["ok", "ok"]
    assert states(bridge)[-1][1] in ("relogin", "other_backend")
    assert backend.logouts == (state != "refused")
    tries = len(backend.resume_flags)
    await pass_watched(bridge, REST)
    assert (await bridge.request("logout"))["status"] == "ok", "there is nothing to end, and it returns"
    assert len(backend.resume_flags) == tries
    backend.logins = type(backend.logins)([[QR_CODE]])
    bridge.account.ctx.login_requests.request_login_if_idle()
    await bridge.pass_time(1)
    assert (bridge.state, backend.resume_flags[tries:]) == ("waiting_for_scan", [False])


def hold_contacts(backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the contacts take two minutes."""

    async def contacts(_on_progress: Any) -> Any:
        await asyncio.sleep(120)
        yield (WIFE,)

    monkeypatch.setattr(backend, "list_contacts", contacts)


async def test_a_login_that_was_confirmed_is_not_thrown_away_for_a_new_code(
    open_bridge: OpenBridge, monkeypatch: pytest.MonkeyPatch
):
    backend = MemoryBackend()
    hold_contacts(backend, monkeypatch)
    bridge = await started(open_bridge, [QR_CODE, Scanned(), IN()], backend=backend)
    for _ in range(3):  # somebody finds that it takes long; the last one comes when it is online
        await bridge.pass_time(50)
        await bridge.request("login")
    await bridge.pass_time(60)
    assert (bridge.state, backend.resume_flags) == ("online", [True])


@pytest.mark.parametrize("while_receiving", [False, True], ids=["at the login", "while receiving"])
async def test_a_postponed_login_is_tried_when_somebody_asks_but_not_again_within_ten_seconds(
    open_bridge: OpenBridge, while_receiving: bool
):
    postponed = LoginPostponed("45009", retry_after=3600)
    logins = [[IN()]] if while_receiving else [[postponed]] * 3 + [[IN(resumed=True)]]
    backend = MemoryBackend()
    if while_receiving:
        backend.batches += [postponed] * 3
    bridge = await started(open_bridge, *logins, seconds=60, backend=backend)

    def tries() -> int:
        return len(backend.cursors if while_receiving else backend.resume_flags)

    assert (bridge.state, tries()) == ("interrupted", 1)
    await bridge.request("login")
    await bridge.pass_time(4)
    assert tries() == 2
    for fields in ({}, {"new_owner": True}):
        answer = await bridge.request("login", **fields)
        assert answer["code"] == "rate_limited"
        assert answer["retry_after"] == pytest.approx(6.0, abs=0.5)
    await bridge.pass_time(7)
    assert tries() == 2
    for _ in range(2):
        await bridge.request("login")
        await bridge.pass_time(11)
    if while_receiving:
        backend.deliver()
    await bridge.pass_time(60)
    assert bridge.state == "online"
    logins_until_online = len(backend.resume_flags)
    for _ in range(2):
        assert (await bridge.request("login"))["status"] == "ok", "it has no effect, however often it comes"
    await bridge.pass_time(3600)
    assert len(backend.resume_flags) == logins_until_online


@pytest.mark.parametrize(
    ("steps", "resume_flags"),
    [
        ([Unreachable("no answer")], [True, True]),
        ([QR_CODE, FOREVER], [True, True]),
        ([LoginRefused("wrong secret", is_correctable=True)], [True, False]),
        ([IN(resumed=True)], [True, True]),
    ],
)
async def test_other_credentials_log_in_at_once_whatever_the_session_does(
    open_bridge: OpenBridge, steps: list[Any], resume_flags: list[bool]
):
    bridge = await started(open_bridge, steps, [IN(resumed=True)], seconds=0.1)
    bridge.account.ctx.login_requests.on_credentials_changed()
    await bridge.pass_time(0.1)
    assert (bridge.state, bridge.backend.resume_flags) == ("online", resume_flags)


async def test_a_pause_that_wechat_demands_is_not_ended_by_a_request(bridge: BridgedAccount):
    bridge.backend.fail(Throttled("too often", retry_after=60))
    await bridge.pass_time(10)
    await bridge.request("login")
    await bridge.pass_time(10)
    assert bridge.state == "interrupted"


@pytest.mark.parametrize(
    ("first", "asked", "logins", "state"),
    [
        ([QR_CODE, FOREVER], ["login", "login"], 2, "waiting_for_scan"),
        ([QR_CODE, FOREVER], ["login", "logout"], None, "logged_out"),
        ([IN()], ["logout", "login"], 2, "waiting_for_scan"),
        ([IN()], ["logout", "login", "logout", "login"], None, "waiting_for_scan"),
        ([IN()], ["logout", 1, "login", "logout", 1, "login"], None, "waiting_for_scan"),
        ([IN()], ["login"], 1, "online"),
        ([QR_CODE, LoginRefused("not you")], ["login", 1, "logout"], None, "logged_out"),
    ],
)
async def test_what_is_asked_for_at_once_is_done_in_its_order(
    open_bridge: OpenBridge,
    first: list[Any],
    asked: list[Any],
    logins: int | None,
    state: str,
    monkeypatch: pytest.MonkeyPatch,
):
    bridge = await started(open_bridge, first, *([qr_code(number), FOREVER] for number in (1, 2, 3)))

    async def log_out() -> None:
        await asyncio.sleep(5)
        bridge.backend.logouts += 1

    monkeypatch.setattr(bridge.backend, "logout", log_out)
    for name in asked:
        if isinstance(name, int):
            await bridge.pass_time(name)
        else:
            bridge.deliver(f"wx/bridge/request/{name}", {})
    await bridge.pass_time(60)
    assert len(bridge.published("wx/bridge/response/logout")) == asked.count("logout")
    assert bridge.state == state
    assert logins is None or len(bridge.backend.resume_flags) == logins
    if state == "logged_out":
        await bridge.pass_time(3600)
        assert bridge.state == state


@pytest.mark.parametrize("when", [0.0, 0.001])
async def test_a_request_in_the_moment_of_the_login_leaves_a_login(open_bridge: OpenBridge, when: float):
    bridge = await started(open_bridge, [QR_CODE, Pause(10), IN()], [QR_CODE], seconds=0)
    begun = asyncio.get_running_loop().time() - 0.1
    for moment in (10 - when, 10.0, 10.015):
        request_login = bridge.account.ctx.login_requests.request_login
        asyncio.get_running_loop().call_at(begun + moment, request_login)
    await bridge.pass_time(60)
    assert bridge.state in ("online", "waiting_for_scan")


async def test_who_is_stopped_while_a_conversation_ends_has_stopped(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    """A cancellation in that moment must not get lost: the bridge would never stop."""
    slow = asyncio.Event()

    async def receive(_cursor: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await slow.wait()

    monkeypatch.setattr(bridge.backend, "receive", receive)
    bridge.backend.deliver()
    await bridge.pass_time(1)
    bridge.deliver("wx/bridge/request/logout", {})
    await bridge.pass_time(1)
    asyncio.get_running_loop().call_later(1, slow.set)
    async with asyncio.timeout(60):
        await bridge.kill()


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_is_asked_for_whenever_the_session_goes_on_and_every_logout_is_answered(
    open_bridge: OpenBridge, seed: int
):
    rng = random.Random(seed)
    bridge = await started(open_bridge, [QR_CODE, FOREVER])
    requests = bridge.account.ctx.login_requests
    reports: list[LoginState] = []
    bridge.account.ctx.signals.login_changed.connect(lambda login: reports.append(login.state))
    asked = 0
    for number in range(40):
        end = rng.choice(
            [Scanned(), Unreachable("x"), LoginRefused("no"), QrExpired(), IN(login_id=f"l{number}")]
        )
        steps: list[Any] = [qr_code(number + 1), Pause(rng.random() * 20), end, IN(login_id=f"m{number}")]
        bridge.backend.logins.append(steps)
        kinds: list[Any] = [
            Pause(rng.random() * 30),
            Unreachable(poll_timed_out=rng.random() < 0.3),
            LoggedOut("over"),
        ]
        bridge.backend.fail(rng.choice([*kinds, ProtocolViolation()]))
        match rng.randrange(5):
            case 0:
                requests.request_login()
            case 1:
                bridge.deliver("wx/bridge/request/logout", {})
                asked += 1
            case 2:
                requests.on_logged_out(LoggedOut("answer to a send"))
            case 3:
                requests.request_login_if_idle()
            case _:
                pass
        await bridge.pass_time(rng.choice([0, 0.001, rng.random() * 10, rng.random() * 100]))
    await bridge.pass_time(700)
    assert len(bridge.published("wx/bridge/response/logout")) == asked
    for before, after in pairwise(reports):
        assert before is after or after in TRANSITIONS[before]

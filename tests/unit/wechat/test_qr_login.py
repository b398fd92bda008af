"""What the logins of all backends share: one code after the other, and when an outage of polls is reported."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from tests.unit.wechat.rig import ManualClock
from wx2mqtt.model import Cursor, Handle, Owner
from wx2mqtt.wechat.backend import (
    LoggedIn,
    LoginStep,
    QrExpired,
    Scanned,
    ShowQr,
)
from wx2mqtt.wechat.qr_login import LoginCode, OutageDetector, qr_login_steps

LOGGED_IN = LoggedIn(
    owner=Owner(handle=Handle("me"), nickname=""), login_id="1", resumed=False, cursor=Cursor("")
)


class ScriptedLogin:
    """A login whose codes last `seconds` each; the code with the number `confirmed` leads to a login."""

    def __init__(self, clock: ManualClock, seconds: float, *, confirmed: int = 0) -> None:
        self._clock = clock
        self._seconds = seconds
        self._confirmed = confirmed
        self.polled: list[str] = []

    async def fetch_code(self) -> LoginCode:
        number = len(self.polled) + 1
        return LoginCode(code_id=str(number), url=f"https://a/{number}", lifetime_seconds=300.0)

    async def poll_code(self, code_id: str) -> AsyncGenerator[LoginStep, None]:
        self.polled.append(code_id)
        self._clock.time += self._seconds
        yield Scanned()
        if int(code_id) == self._confirmed:
            yield LOGGED_IN


async def first_steps(login: ScriptedLogin, clock: ManualClock, count: int) -> list[LoginStep]:
    steps: list[LoginStep] = []
    async with aclosing(qr_login_steps(login, clock.as_clock())) as stream:
        async for step in stream:
            steps.append(step)
            if len(steps) == count:
                break
    return steps


async def test_a_code_that_expires_is_followed_by_another_until_one_leads_to_a_login() -> None:
    clock = ManualClock()
    login = ScriptedLogin(clock, 300.0, confirmed=2)
    steps = await first_steps(login, clock, 99)
    assert steps == [
        ShowQr(url="https://a/1", lifetime=300.0),
        Scanned(),
        QrExpired(),
        ShowQr(url="https://a/2", lifetime=300.0),
        Scanned(),
        LOGGED_IN,
    ]
    assert login.polled == ["1", "2"]


async def test_after_a_code_that_lasted_the_next_one_comes_at_once() -> None:
    clock = ManualClock()
    await first_steps(ScriptedLogin(clock, 300.0), clock, 12)
    assert clock.slept == []


async def test_codes_that_expire_at_once_come_more_and_more_slowly() -> None:
    clock = ManualClock()
    await first_steps(ScriptedLogin(clock, 0.1), clock, 15)
    assert len(clock.slept) == 4
    assert clock.slept == sorted(clock.slept)
    assert clock.slept[-1] >= 4 * clock.slept[0]


def test_an_outage_is_reported_once_after_its_threshold_and_so_is_its_end() -> None:
    outage = OutageDetector(now=100.0, threshold=5.0)
    assert [outage.record_failure(now) for now in (101.0, 104.9, 105.0, 106.0)] == [False, False, True, False]
    assert [outage.record_success(now) for now in (107.0, 108.0)] == [True, False]


def test_a_failure_that_ends_soon_is_not_reported() -> None:
    outage = OutageDetector(now=100.0, threshold=5.0)
    outage.record_failure(104.0)
    assert not outage.record_success(104.5)
    assert not outage.record_failure(109.0)  # 4.5 s after the last answer
    assert outage.record_failure(109.5)


def test_each_outage_is_reported_anew() -> None:
    outage = OutageDetector(now=0.0, threshold=5.0)
    assert outage.record_failure(5.0)
    outage.record_success(6.0)
    assert outage.record_failure(11.0)

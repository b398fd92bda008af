"""The state of the login: what it says, when others hear of it, and what follows from temporary errors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.bridge.contexts import context
from wx2mqtt.aio import Signal
from wx2mqtt.bridge.bot_owner import OwnerNeed
from wx2mqtt.bridge.login_requests import SessionPhase
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.login_tracker import (
    INTERRUPTED_AFTER_SECONDS,
    LoginStateTracker,
    RenewalOffer,
    is_interruption,
    retry_delay,
)
from wx2mqtt.clock import Backoff
from wx2mqtt.errors import StoreError, Throttled, Unreachable
from wx2mqtt.model import LoginState, Needs


def test_a_backend_with_a_schedule_of_its_own_says_when_it_is_tried_again():
    failing = Backoff(failures=20)
    assert retry_delay(Unreachable("x", retry_after=2.0), failing, 1.0) == 2.0
    assert retry_delay(Unreachable("x"), failing, 1.0) == 60.0
    assert retry_delay(Throttled("x", retry_after=900.0), failing, 1.0) == 900.0


@pytest.mark.parametrize(
    ("error", "outage_seconds", "interrupted"),
    [
        (Unreachable("no answer"), 0.0, False),
        (Unreachable("no answer"), INTERRUPTED_AFTER_SECONDS, True),
        (Unreachable(poll_timed_out=True), 0.0, True),
        (StoreError("the disk is away"), 0.0, True),
    ],
)
def test_a_single_lost_answer_is_no_interruption(error: Exception, outage_seconds: float, interrupted: bool):
    assert is_interruption(error, outage_seconds) is interrupted


class TrackerHarness:
    """The tracker of an account whose owner may have to be named; it keeps each reported state."""

    def __init__(self) -> None:
        self.reports: list[LoginStatus] = []
        self.owner = SimpleNamespace(need=OwnerNeed.NOTHING, bot_id="aib1", changed=Signal())
        owner: Any = self.owner
        self.ctx = context()
        self.ctx.signals.login_changed.connect(self.reports.append)
        self.tracker = LoginStateTracker(self.ctx, owner)


def test_a_state_is_reported_once_until_it_changes():
    harness = TrackerHarness()
    for reason in ("scan", "scan", "scan again"):
        harness.tracker.set(LoginState.WAITING_FOR_SCAN, reason)
    assert [report.reason for report in harness.reports] == ["scan", "scan again"]
    assert {report.needs for report in harness.reports} == {Needs.SCAN}


def test_while_a_renewal_is_offered_the_state_online_shows_it_and_then_says_what_it_said_before():
    harness = TrackerHarness()
    offer = RenewalOffer(reason="scan for the next login", needs=Needs.RENEW, qr_url="https://x/1")
    harness.tracker.set_renewal(offer)
    assert harness.reports == [], "it is shown as soon as the state is online"
    harness.tracker.set(LoginState.ONLINE, "online as Lily")
    harness.tracker.set_renewal(None)
    offered, ended = harness.reports
    assert (offered.reason, offered.needs, offered.qr_url) == (offer.reason, Needs.RENEW, offer.qr_url)
    assert (ended.reason, ended.needs, ended.qr_url) == ("online as Lily", Needs.NOTHING, "")


def test_the_state_online_asks_for_an_owner_who_is_not_named():
    harness = TrackerHarness()
    harness.owner.need = OwnerNeed.BOT
    harness.tracker.set(LoginState.ONLINE, "online as Butler")
    assert harness.tracker.status.needs is Needs.OWNER
    assert harness.tracker.status.reason == harness.tracker.text(OwnerNeed.BOT, bot="aib1")
    harness.owner.need = OwnerNeed.NOTHING
    harness.owner.changed.emit()
    assert (harness.tracker.status.needs, harness.tracker.status.reason) == (
        Needs.NOTHING,
        "online as Butler",
    )


def test_a_temporary_error_interrupts_and_its_reason_is_in_the_state():
    harness = TrackerHarness()
    harness.tracker.set_interrupted(Unreachable("no answer."))
    assert harness.tracker.status.state is LoginState.INTERRUPTED
    assert "no answer" in harness.tracker.status.reason


@pytest.mark.parametrize(("phase", "beats"), [(SessionPhase.LOGGING_IN, 1), (SessionPhase.RECEIVING, 0)])
def test_an_answer_of_wechat_is_a_heartbeat_only_while_nothing_is_received(phase: SessionPhase, beats: int):
    """While messages are received, the receive loop must send its heartbeats itself: it may hang."""
    harness = TrackerHarness()
    harness.ctx.login_requests.phase = phase
    harness.tracker.on_answer()
    harness.tracker.on_store_failure(StoreError("the disk is away"))
    watchdog: Any = harness.ctx.shared.watchdog
    assert len(watchdog.heartbeats) == 2 * beats
    assert harness.tracker.last_answer is not None
    assert (harness.tracker.status.state is LoginState.INTERRUPTED) is bool(beats)

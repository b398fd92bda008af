"""The states of a fallback: how an end is stored in a row, and what the result says of it."""

from __future__ import annotations

import pytest

from tests.support.rows import every_row
from wx2mqtt.bridge.commands.fallback_states import FALLBACK_STARTED, FallbackEnd, has_ended, with_fallback
from wx2mqtt.external.alerts import AlertOutcome
from wx2mqtt.model import Result, Status

EXPIRED = Result(
    id="c1", user="wife", status=Status.EXPIRED, code="logged_out", message="nobody is logged in", time=1
)

ENDS = [
    (FallbackEnd(outcome=AlertOutcome.SENT), "sent"),
    (FallbackEnd(outcome=AlertOutcome.FAILED, asked_services=True), "failed"),
    (FallbackEnd(outcome=AlertOutcome.SENT, count=17), "sent 17"),
    (FallbackEnd(outcome=AlertOutcome.SENT, account="office/me"), "sent 1 office/me"),
    (
        FallbackEnd(outcome=AlertOutcome.UNCERTAIN, account="office/my wife", count=3),
        "uncertain 3 office/my wife",
    ),
]


@every_row(("end", "state"), ENDS)
def test_an_end_is_stored_and_the_result_says_the_same(end: FallbackEnd, state: str):
    assert end.state == state
    result = with_fallback(EXPIRED, state, "en")
    assert (result.fallback, result.fallback_account) == (str(end.outcome), end.account)
    assert result.summarized == (None if end.count == 1 else end.count)
    assert (result.status, result.code) == (EXPIRED.status, EXPIRED.code)
    assert result.message.startswith(f"{EXPIRED.message}; ")
    assert end.account in result.message
    assert end.count == 1 or str(end.count) in result.message


@pytest.mark.parametrize("state", ["", FALLBACK_STARTED])
def test_a_fallback_that_has_not_ended_changes_no_result(state: str):
    assert not has_ended(state)
    assert with_fallback(EXPIRED, state, "en") is EXPIRED


@every_row(
    ("state_before", "asked_services", "outcome"),
    [
        ("", True, AlertOutcome.SENT),
        (FALLBACK_STARTED, True, AlertOutcome.UNCERTAIN),
        (FALLBACK_STARTED, False, AlertOutcome.SENT),
    ],
)
def test_services_that_a_killed_process_may_have_asked_before_leave_the_outcome_uncertain(
    state_before: str, asked_services: bool, outcome: AlertOutcome
):
    """An account knows the message again; a service does not."""
    end = FallbackEnd(outcome=AlertOutcome.SENT, asked_services=asked_services)
    assert end.after(state_before).outcome is outcome

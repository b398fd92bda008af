"""`wx2mqtt login` reads success, failure and news from the reports of a running bridge."""

from __future__ import annotations

import pytest

from wx2mqtt.cli.login import LoginReport, _LoginProgress


def report(state: str, since: str = "1", url: str = "", reason: str = "") -> LoginReport:
    return {"state": state, "since": since, "url": url, "reason": reason}


def test_a_failed_state_counts_when_it_is_seen_twice():
    progress = _LoginProgress(report("starting"), new_owner=False)
    failed = report("logged_out", since="2")
    assert not progress.has_failed(failed), "a QR code may follow at once"
    progress.keep(failed)
    assert progress.has_failed(failed)


def test_the_state_before_the_login_is_no_failure_of_it():
    before = report("logged_out")
    progress = _LoginProgress(before, new_owner=False)
    progress.keep(before)
    assert not progress.has_failed(before)


def test_the_end_of_the_present_owner_s_login_is_neither_a_success_nor_a_failure():
    before = report("online")
    progress = _LoginProgress(before, new_owner=True)
    assert not progress.is_online(before)
    ended = report("logged_out", since="2")
    progress.keep(ended)
    assert not progress.has_failed(ended), "no code was shown yet"
    progress.keep(report("waiting_for_scan", since="3", url="https://a"))
    refused = report("refused", since="4")
    progress.keep(refused)
    assert progress.has_failed(refused)
    assert progress.is_online(report("online", since="5"))


def test_a_code_is_shown_once_and_a_reason_when_it_changes():
    progress = _LoginProgress(report("starting"), new_owner=False)
    code = report("waiting_for_scan", url="https://a", reason="scan the code")
    assert progress.has_new_code(code)
    assert progress.has_news(code)
    progress.keep(code)
    assert not progress.has_new_code(code)
    assert not progress.has_news(code)


@pytest.mark.parametrize("state", ["online", "interrupted"])
def test_a_state_that_stays_as_it_was_is_reported_once(state: str):
    before = report(state, reason="as before")
    assert _LoginProgress(before, new_owner=False).has_news(before)

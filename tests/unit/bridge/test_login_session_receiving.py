"""Receiving from a fake backend in virtual time: failures, a full store and the cursor."""

from __future__ import annotations

from tests.support.rows import every_row
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
from wx2mqtt.errors import LoggedOut, ProtocolViolation, StoreFull, Throttled, Unreachable
from wx2mqtt.model import LoginState as S
from wx2mqtt.model import Needs


@every_row(
    "error",
    [
        Unreachable("503"),
        ProtocolViolation(),
        Throttled("too often", retry_after=5),
        Unreachable(poll_timed_out=True),
    ],
)
def test_answers_that_fail_are_published_within_45_seconds_and_an_answer_ends_it(error: Exception):
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        takes = 35.0 if getattr(error, "poll_timed_out", False) else 0.05
        for _ in range(8):
            session_harness.backend.answers += [Wait(takes), error]
        session_harness.backend.answers.append(batch(1, message("1")))
        await session_harness.run_for(30)
        await session_harness.run_for(900)
        interrupted = session_harness.first_report(S.INTERRUPTED)
        assert interrupted.at <= 45
        assert interrupted.login.needs is Needs.NOTHING
        assert session_harness.state == S.ONLINE
        assert [message.id for message in session_harness.journal.messages()] == ["1"]
        assert session_harness.overdue_spans(930) == [] or session_harness.overdue_spans(930)[0][0] > 120

    run_scenario(scenario)


def test_one_failed_answer_is_not_published():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.backend.answers += [Unreachable("503"), batch(1, message("1"))]
        await session_harness.run_for(20)
        assert "interrupted" not in session_harness.states

    run_scenario(scenario)


def test_each_answer_after_failures_tells_the_commands_that_wait_also_where_no_state_changed():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        answers = [batch(number, message(str(number))) for number in range(1, 5)]
        session_harness.backend.answers += [answers[0], Unreachable("503"), answers[1], answers[2]]
        session_harness.backend.answers += [*[Unreachable("503")] * 8, answers[3]]
        await session_harness.run_for(300)
        assert session_harness.states.count("online") == 2
        assert session_harness.sender.times_online == 3

    run_scenario(scenario)


def test_a_store_that_takes_nothing_is_published_and_the_same_cursor_is_received_again():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.backend.answers += [Wait(5), *[batch(1, message("1"))] * 3]
        await session_harness.run_for(3)
        session_harness.journal.errors += [StoreFull("no room left"), StoreFull("no room left")]
        await session_harness.run_for(60)
        assert "no room left" in session_harness.first_report(S.INTERRUPTED).login.reason
        assert session_harness.backend.cursors == ["login-1:0", "login-1:0", "login-1:0", "login-1:1"]
        assert [message.id for message in session_harness.journal.messages()] == ["1"]
        assert session_harness.state == S.ONLINE

    run_scenario(scenario)


def test_nothing_is_received_while_the_store_is_full():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.quota.size = session_harness.quota.limit
        session_harness.backend.answers.append(batch(1, message("1")))
        await session_harness.run_for(300)
        assert session_harness.state == S.INTERRUPTED
        assert "5 MB" in session_harness.session.login.reason
        assert "online" not in session_harness.states
        assert session_harness.sender.is_online, "what was accepted before is sent"
        assert session_harness.backend.cursors == []
        assert session_harness.overdue_spans(300) == []
        session_harness.quota.size = 0
        await session_harness.run_for(30)
        assert session_harness.state == S.ONLINE
        assert [message.id for message in session_harness.journal.messages()] == ["1"]

    run_scenario(scenario)


def test_a_store_that_becomes_full_during_a_poll_is_shown_at_once_and_until_there_is_room():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.backend.answers += [Wait(35), batch(0), Wait(35), batch(1, message("1"))]
        await session_harness.run_for(1)
        assert session_harness.state == S.ONLINE
        session_harness.quota.limit = session_harness.quota.size = 1_000_000
        await session_harness.run_for(10)
        assert session_harness.state == S.INTERRUPTED
        await session_harness.run_for(300)
        assert session_harness.states[-2:] == ["online", "interrupted"]
        assert "1 MB" in session_harness.session.login.reason
        assert session_harness.backend.cursors == ["login-1:0"]
        session_harness.quota.size = 999_999  # the next message would fill it again
        await session_harness.run_for(60)
        assert session_harness.state == S.INTERRUPTED
        session_harness.quota.limit = 5_000_000
        await session_harness.run_for(60)
        assert session_harness.state == S.ONLINE

    run_scenario(scenario)


def test_contacts_that_are_fetched_beside_receiving_are_no_heartbeat_of_receiving():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.backend.directory += [Unreachable()] * 300
        session_harness.backend.answers.append(Wait(10**9))  # receiving hangs, against its word
        await session_harness.run_for(3600)
        assert session_harness.overdue_spans(3600) != []

    run_scenario(scenario)


def test_each_message_of_a_batch_that_takes_long_is_a_heartbeat_of_receiving():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.backend.answers.append(Wait(10**9))
        session_harness.session.on_message_processed()  # before the login this says nothing
        assert session_harness.heartbeats == []
        for _ in range(60):
            await session_harness.run_for(60)
            session_harness.session.on_message_processed()
        assert session_harness.overdue_spans(3600) == []

    run_scenario(scenario)


def test_a_resumed_login_keeps_its_cursor_and_a_new_one_begins_anew():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.backend.answers += [batch(1, message("1")), LoggedOut("over")]
        session_harness.backend.logins.append([QR_CODE, logged_in("login-2")])
        await session_harness.run_for(60)
        assert session_harness.backend.cursors == ["login-1:0", "login-1:1", "login-2:0"]
        assert session_harness.journal.cursors[0] == ("login-1", "login-1:0")

    run_scenario(scenario)


def test_a_batch_that_is_being_stored_when_the_login_ends_is_published_all_the_same():
    async def scenario(session_harness: SessionHarness) -> None:
        add_login(session_harness)
        session_harness.backend.answers += [Wait(5), batch(1, message("1"))]
        session_harness.journal.during_record = lambda: session_harness.ctx.login_requests.on_logged_out(
            LoggedOut("over")
        )
        await session_harness.run_for(60)
        assert "logged_out" in session_harness.states
        assert [message.id for message in session_harness.journal.messages()] == ["1"]
        assert [result.messages for result in session_harness.stored if result.messages] == [1]

    run_scenario(scenario)

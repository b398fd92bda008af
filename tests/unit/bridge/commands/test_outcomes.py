"""What did not end in `sent` is counted, logged without its content, and makes its user failing."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.unit.bridge.commands_harness import CommandsHarness
from wx2mqtt.bridge.commands import outcomes
from wx2mqtt.bridge.commands.outcomes import MAX_FAILING_USERS, MAX_LOG_LINES, CommandOutcomes, FailureLog
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import Rejected
from wx2mqtt.limits import MAX_FACT_CHARACTERS
from wx2mqtt.model import Result, Status
from wx2mqtt.store.journal_retention import DAY_MS

SECRET_TEXT = "the code of the safe is 4711"

Lines = list[MutableMapping[str, Any]]


def result_with(status: Status = Status.EXPIRED, user: str = "wife", command_id: str = "c") -> Result:
    code = "ok" if status is Status.SENT else str(status)
    return Result(id=command_id, user=user, status=status, code=code, message="in words", time=0)


def unsent_lines(lines: Lines) -> Lines:
    return [line for line in lines if line["event"] == "a command was not sent"]


async def test_expired_and_rejected_commands_are_failures_and_in_the_log_without_their_content(
    harness: CommandsHarness,
):
    with capture_logs() as lines:
        for number in range(5):
            late = json.dumps({"text": SECRET_TEXT, "id": f"late-{number}"})
            harness.deliver(late, expiry=0)
            assert (await harness.result(f"late-{number}"))["status"] == "expired"
        for number in range(20):
            harness.deliver_command(txt=SECRET_TEXT, id=f"bad-{number}")
            assert (await harness.result(f"bad-{number}"))["status"] == "rejected"
    assert (await harness.journal.stats()).failed_today == 25
    assert await harness.sender.outcomes.failing_users() == ("wife",)
    assert harness.ctx.counters.results == {("expired", "expired"): 5, ("rejected", "bad_command"): 20}
    logged = unsent_lines(lines)
    assert [line["id"] for line in logged] == [
        *(f"late-{number}" for number in range(5)),
        *(f"bad-{number}" for number in range(20)),
    ]
    assert {(line["account"], line["user"], line["status"], line["code"]) for line in logged} == {
        ("home", "wife", "expired", "expired"),
        ("home", "wife", "rejected", "bad_command"),
    }
    assert "neither text nor kind" in logged[-1]["reason"]
    assert SECRET_TEXT not in str(logged)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.SENT])
async def test_a_sent_command_ends_the_failing_of_its_user_and_of_no_other(
    harness: CommandsHarness, status: Status
):
    changes: list[bool] = []
    harness.ctx.signals.health_changed.connect(
        lambda: changes.append(bool(harness.sender.outcomes._failed_at))
    )
    harness.sender.outcomes.record("text", result_with(status))
    harness.sender.outcomes.record("text", result_with(status, "mom"))
    harness.sender.outcomes.record("text", result_with(Status.SENT, "filehelper"))
    assert await harness.sender.outcomes.failing_users() == ("wife", "mom")
    harness.sender.outcomes.record("text", result_with(Status.SENT, "mom"))
    assert await harness.sender.outcomes.failing_users() == ("wife",)
    harness.sender.outcomes.record("text", result_with(Status.SENT))
    assert await harness.sender.outcomes.failing_users() == ()
    assert changes == [True, False], "the health is published when the problem begins and ends"


async def test_a_user_is_no_longer_failing_after_a_day(
    harness: CommandsHarness, monkeypatch: pytest.MonkeyPatch
):
    harness.sender.outcomes.record("text", result_with())
    now = now_ms()
    monkeypatch.setattr(outcomes, "now_ms", lambda: now + DAY_MS - 1000)
    assert await harness.sender.outcomes.failing_users() == ("wife",)
    monkeypatch.setattr(outcomes, "now_ms", lambda: now + DAY_MS + 1000)
    assert await harness.sender.outcomes.failing_users() == ()


async def test_the_next_process_knows_failing_users_from_the_store(harness: CommandsHarness):
    harness.wechat.answer("refused", Rejected("WeChat refused it"))
    harness.deliver_command("wife", text="refused", id="a")
    harness.deliver('{"text": "late", "id": "b"}', "mom", expiry=0)
    await harness.result("a")
    await harness.result("b", "mom")
    harness.deliver_command("mom", text="fine", id="c")
    await harness.result("c", "mom")

    following = CommandOutcomes(harness.ctx)
    assert await following.failing_users() == ("wife",)

    sends_first = CommandOutcomes(harness.ctx)
    sends_first.record("text", result_with(Status.SENT))
    assert await sends_first.failing_users() == (), "also where it sends something before it reads the store"


async def test_a_command_with_an_id_that_was_used_is_a_failure_of_the_store_too(harness: CommandsHarness):
    harness.deliver_command(text="first", id="alarm")
    await harness.result("alarm")
    delivery = harness.deliver_command(text="second", id="alarm")
    await harness.wait_for_puback(delivery)
    assert [body["code"] for body in harness.bodies_on("wx/result/wife")] == ["ok", "id_reused"]
    assert (await harness.journal.stats()).failed_today == 1
    (row,) = await harness.journal.commands.list_unsent(10)
    assert row.result is not None
    assert (row.result.id, row.result.code, row.command.text) == ("alarm", "id_reused", "")
    harness.redeliver(delivery)
    await harness.wait_for_puback(harness.deliver_command(text="third", id="c"))
    assert len(await harness.journal.commands.list_unsent(10)) == 1, "the same delivery is the same row"


async def test_texts_of_the_bridge_itself_make_nobody_failing(harness: CommandsHarness):
    with capture_logs() as lines:
        harness.sender.outcomes.record("text", result_with(command_id="wx2mqtt-remind-1"))
    assert await harness.sender.outcomes.failing_users() == ()
    assert len(unsent_lines(lines)) == 1


async def test_a_flood_cannot_fill_the_disk_with_lines():
    log = FailureLog("home")
    with capture_logs() as lines:
        for number in range(10_000):
            log.write(result_with(user="x" * 60_000, command_id=f"{number}"))
        log.end_period()
        log.end_period()
        log.write(result_with())
        log.end_period()
    assert len(unsent_lines(lines)) == MAX_LOG_LINES + 1
    assert max(len(line["user"]) for line in unsent_lines(lines)) <= MAX_FACT_CHARACTERS + 1
    (rest,) = [line for line in lines if "left out" in line["event"]]
    assert (rest["count"], rest["account"]) == (10_000 - MAX_LOG_LINES, "home")


async def test_names_that_nobody_has_take_a_bounded_place(harness: CommandsHarness):
    for number in range(MAX_FAILING_USERS + 1):
        harness.sender.outcomes.record("text", result_with(user=f"{number} {'x' * 60_000}"))
    names = await harness.sender.outcomes.failing_users()
    assert len(names) == MAX_FAILING_USERS
    assert names[0].startswith("1 "), "those that failed first are forgotten first"
    assert max(map(len, names)) <= MAX_FACT_CHARACTERS + 1

"""What did not end in `sent` is counted, logged without its content, and makes its user failing."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.account_rig import BridgedAccount
from wx2mqtt.bridge.commands.outcomes import MAX_FAILING_USERS, MAX_LOG_LINES
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import OutcomeUnknown, Rejected
from wx2mqtt.limits import MAX_FACT_CHARACTERS
from wx2mqtt.model import Result, Status

SECRET_TEXT = "the code of the safe is 4711"


def unsent_lines(lines: list[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    return [line for line in lines if line["event"] == "a command was not sent"]


async def commands(bridge: BridgedAccount) -> Any:
    return (await bridge.operate("health"))["commands"]


async def test_expired_and_rejected_commands_are_failures_and_in_the_log_without_their_content(
    bridge: BridgedAccount,
):
    with capture_logs() as lines:
        for number in range(5):
            await bridge.send("老婆", {"text": SECRET_TEXT, "id": f"late-{number}"}, expiry=0)
        for number in range(20):
            await bridge.send("老婆", {"txt": SECRET_TEXT, "id": f"bad-{number}"})
    health = await commands(bridge)
    assert (health["failed_today"], health["failing"]) == (25, ["老婆"])
    assert bridge.account.counters.results == {("expired", "expired"): 5, ("rejected", "bad_command"): 20}
    logged = unsent_lines(lines)
    assert [line["id"] for line in logged] == [
        *(f"late-{number}" for number in range(5)),
        *(f"bad-{number}" for number in range(20)),
    ]
    assert {(line["account"], line["user"], line["status"], line["code"]) for line in logged} == {
        ("home", "老婆", "expired", "expired"),
        ("home", "老婆", "rejected", "bad_command"),
    }
    assert "neither text nor kind" in logged[-1]["reason"]
    assert SECRET_TEXT not in str(logged)


@pytest.mark.parametrize(
    ("outcomes", "more"),
    [
        ([Rejected("no")], {}),
        ([Rejected("no", code="no_chat")], {}),
        ([OutcomeUnknown()] * 2, {}),
        ([], {"expiry": 0}),
    ],
    ids=["failed", "rejected", "uncertain", "expired"],
)
async def test_a_sent_command_ends_the_failing_of_its_user_and_of_no_other(
    bridge: BridgedAccount, outcomes: list[Any], more: dict[str, Any]
):
    for user in ("老婆", "妈妈"):
        bridge.backend.outcomes += outcomes
        await bridge.send(user, "x", **more)
    await bridge.send("相亲相爱一家人", "x")
    assert (await commands(bridge))["failing"] == ["老婆", "妈妈"]
    await bridge.send("妈妈", "x")
    assert (await commands(bridge))["failing"] == ["老婆"]
    await bridge.pass_time(10)
    assert "commands_failed" in bridge.last("wx/bridge/health")["problems"]
    await bridge.send("老婆", "x")
    assert (await commands(bridge))["failing"] == []
    assert bridge.account.counters.sent == {"text": 3}
    await bridge.pass_time(10)
    assert "commands_failed" not in bridge.last("wx/bridge/health")["problems"]


async def test_failing_users_are_known_after_a_restart_and_for_a_day(bridge: BridgedAccount):
    for user in ("老婆", "妈妈"):
        bridge.backend.outcomes.append(Rejected("no"))
        await bridge.send(user, "x")
    await bridge.kill()
    await bridge.restart()
    await bridge.send("妈妈", "sent before anybody asks for the health")
    assert (await commands(bridge))["failing"] == ["老婆"]
    bridge.skip_time(86_400 - 60)
    assert (await commands(bridge))["failing"] == ["老婆"]
    bridge.skip_time(120)
    assert (await commands(bridge))["failing"] == []


async def test_a_command_with_an_id_that_was_used_is_a_failure_of_the_store_too(bridge: BridgedAccount):
    await bridge.send("老婆", {"text": "first", "id": "alarm"})
    delivery = bridge.deliver("wx/out/老婆", {"text": "second", "id": "alarm"})
    result = await bridge.result("老婆")
    assert (result["id"], result["code"]) == ("alarm", "id_reused")
    assert (await commands(bridge))["failed_today"] == 1
    (unsent,) = (await bridge.operate("journal.list"))["commands"]
    assert unsent["code"] == "id_reused"
    bridge.deliver(delivery.topic, delivery.payload, mid=delivery.mid, dup=True)
    await bridge.send("老婆", "third")
    assert len((await bridge.operate("journal.list"))["commands"]) == 1, "the same delivery is the same row"


async def test_texts_of_the_bridge_itself_make_nobody_failing(bridge: BridgedAccount):
    own = Result(
        id="wx2mqtt-remind-1", user="老婆", status=Status.FAILED, code="failed", message="", time=now_ms()
    )
    with capture_logs() as lines:
        bridge.account.components.sender.outcomes.record("text", own)
    assert (await commands(bridge))["failing"] == []
    assert len(unsent_lines(lines)) == 1


async def test_a_flood_to_names_that_nobody_has_takes_a_bounded_place(bridge: BridgedAccount):
    with capture_logs() as lines:
        for number in range(MAX_FAILING_USERS + 1):
            bridge.deliver(
                f"wx/out/{number} {'x' * 2 * MAX_FACT_CHARACTERS}", {"text": "x", "id": f"{number}"}
            )
        await bridge.pass_time(50)
        names = await bridge.account.components.sender.outcomes.failing_users()
        await bridge.pass_time(60)
        await bridge.send("老婆", {"txt": "a line of the next minute"})
    assert len(names) == MAX_FAILING_USERS
    assert names[0].startswith("1 "), "those that failed first are forgotten first"
    assert max(map(len, names)) <= MAX_FACT_CHARACTERS + 1
    assert len(unsent_lines(lines)) == MAX_LOG_LINES + 1
    assert max(len(line["user"]) for line in unsent_lines(lines)) <= MAX_FACT_CHARACTERS + 1
    (rest,) = [line for line in lines if "left out" in line["event"]]
    assert (rest["count"], rest["account"]) == (MAX_FAILING_USERS + 1 - MAX_LOG_LINES, "home")

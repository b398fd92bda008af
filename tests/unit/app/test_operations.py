"""`wx2mqtt journal` with a running sender: lists commands, drops waiting ones, sends failed ones again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.commands_harness import running
from wx2mqtt.app.operations import AccountOperations
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.errors import BadCommand, OutcomeUnknown, Rejected
from wx2mqtt.i18n.bridge import rejection_text
from wx2mqtt.model import Command
from wx2mqtt.mqtt.topics import Topics


async def _ignore(_changes):
    """Applies no change of people: these tests have none."""


@pytest.fixture
async def outgoing(tmp_path):
    async with running(tmp_path) as outgoing:
        yield outgoing


@pytest.fixture
def run_operation(outgoing):
    """Returns a function that runs an operation: `await run_operation("list", all=True)`."""
    account: Any = SimpleNamespace(
        ctx=outgoing.ctx,
        components=SimpleNamespace(
            results=ResultPublications("home", Topics("wx")),
            validator=outgoing.validator,
            resolver=outgoing.resolver,
            sender=outgoing.sender,
            inbound=SimpleNamespace(apply_people=_ignore),
            publisher=outgoing.publisher,
        ),
    )
    operations = AccountOperations(account)

    async def run(name, **fields):
        return await operations.run(f"journal.{name}", fields)

    return run


async def refused(awaitable):
    """Returns the English sentence with which an operation is refused."""
    with pytest.raises(BadCommand) as caught:
        await awaitable
    assert rejection_text("zh", caught.value)
    return rejection_text("en", caught.value)


async def send(outgoing, text, command_id, **more):
    await outgoing.wait_for_puback(outgoing.deliver_command(text=text, id=command_id, **more))


async def test_commands_that_wait_or_were_not_sent_are_listed_and_sent_ones_only_on_demand(
    outgoing, run_operation
):
    outgoing.wechat.answer("failed", Rejected("no"))
    outgoing.wechat.answer("uncertain", OutcomeUnknown(), OutcomeUnknown())
    for text in ("sent", "failed", "uncertain"):
        await send(outgoing, text, text)
        await outgoing.result(text)
    await send(outgoing, "", "rejected")
    outgoing.sender.set_online(online=False)
    await send(outgoing, "waiting", "waiting")
    commands = (await run_operation("list"))["commands"]
    assert [(command["id"], command["state"]) for command in commands] == [
        ("waiting", "waiting"),
        ("rejected", "rejected"),
        ("uncertain", "uncertain"),
        ("failed", "failed"),
    ]
    everything = {
        command["id"]: command["state"] for command in (await run_operation("list", all=True))["commands"]
    }
    assert everything.keys() == {"waiting", "uncertain", "failed", "sent", "rejected"}


async def test_a_command_that_waits_is_listed_however_many_came_after_it(
    outgoing, run_operation, monkeypatch
):
    monkeypatch.setattr("wx2mqtt.app.operations.MAX_LISTED_COMMANDS", 5)
    outgoing.sender.set_online(online=False)
    await send(outgoing, "first", "first")
    for number in range(6):
        await send(outgoing, "", f"bad{number}")
    assert (await run_operation("list"))["commands"][0]["id"] == "first"


async def test_a_command_is_shown_with_its_text_and_its_result(outgoing, run_operation):
    await send(outgoing, "你好", "a")
    await outgoing.result("a")
    answer = await run_operation("show", id="a")
    assert (answer["text"], answer["kind"], answer["state"], answer["code"]) == ("你好", "text", "sent", "ok")
    assert answer["attempts"] == 1


async def test_an_unknown_id_is_refused(outgoing, run_operation):
    for name in ("show", "retry", "drop"):
        assert "no command has the id 'nobody'" in await refused(run_operation(name, id="nobody"))
    assert "no message 7 was set aside" in await refused(run_operation("retry", row=7))


async def test_a_failed_command_is_sent_again_under_an_id_of_its_own(outgoing, run_operation):
    outgoing.wechat.answer("x", Rejected("no"))
    await send(outgoing, "x", "a")
    await outgoing.result("a")
    assert (await run_operation("retry", id="a"))["id"] == "a~1"
    assert (await outgoing.result("a~1"))["status"] == "sent"
    first, second = (key for _, _, key in outgoing.wechat.sent)
    assert first != second


async def test_a_command_that_was_sent_or_still_waits_is_not_sent_again(outgoing, run_operation):
    await send(outgoing, "x", "a")
    await outgoing.result("a")
    assert await refused(run_operation("retry", id="a")) == "command 'a' was sent"
    outgoing.sender.set_online(online=False)
    await send(outgoing, "y", "b")
    assert await refused(run_operation("retry", id="b")) == "command 'b' is still under way"


@pytest.mark.parametrize(
    "body",
    [{"kind": "image", "data": "AAAA"}, {"text": "x" * 200}, {"text": "x", "ttl": -1}, {"text": "x"}],
    ids=["no image", "too long", "bad ttl", "store full"],
)
async def test_the_content_of_a_command_that_was_refused_at_once_is_not_kept_and_not_sent_later(
    outgoing, run_operation, body
):
    outgoing.quota.size = outgoing.quota.limit if body == {"text": "x"} else 0
    await outgoing.wait_for_puback(outgoing.deliver_command(id="a", **body))
    outgoing.quota.size = 0
    expected = "command 'a' was refused, and its content is not kept; publish it again"
    assert await refused(run_operation("retry", id="a")) == expected
    assert outgoing.wechat.sent == []
    (row,) = await outgoing.rows()
    assert (row.command, row.blob) == (Command(user="wife", kind=row.command.kind, id=row.command.id), None)


async def test_a_retry_that_is_impossible_by_now_says_why(outgoing, run_operation):
    outgoing.wechat.answer("x" * 90, Rejected("no"))
    await send(outgoing, "x" * 90, "a")
    await outgoing.result("a")
    outgoing.quota.size = outgoing.quota.limit
    assert "the store is full" in await refused(run_operation("retry", id="a"))


async def test_a_waiting_command_is_dropped_and_its_result_says_so_at_once(outgoing, run_operation):
    outgoing.sender.set_online(online=False)
    await send(outgoing, "x", "a")
    assert (await run_operation("drop", id="a"))["code"] == "dropped"
    result = await outgoing.result("a")
    assert (result["status"], result["code"]) == ("rejected", "dropped")
    outgoing.sender.set_online(online=True)
    await send(outgoing, "y", "b")
    await outgoing.result("b")
    assert outgoing.wechat.texts() == ["y"]


async def test_a_command_that_has_its_result_or_is_being_sent_is_not_dropped(outgoing, run_operation):
    await send(outgoing, "x", "a")
    await outgoing.result("a")
    assert await refused(run_operation("drop", id="a")) == "command 'a' has its result already"
    outgoing.wechat.hold("y")
    await send(outgoing, "y", "b")
    await outgoing.wait_for_sent_texts(2)
    assert await refused(run_operation("drop", id="b")) == "command 'b' is being sent; its result comes"
    outgoing.wechat.release("y")
    assert (await outgoing.result("b"))["status"] == "sent"


async def test_a_dropped_command_that_may_have_arrived_is_uncertain(outgoing, run_operation, monkeypatch):
    monkeypatch.setattr("wx2mqtt.clock.Backoff.wait", lambda *_: 60.0)
    outgoing.wechat.answer("x", OutcomeUnknown())
    await send(outgoing, "x", "a")
    await outgoing.wait_for_sent_texts(1)
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not (await outgoing.journal.commands.get("a")).unanswered:
            pass
    await run_operation("drop", id="a")
    result = await outgoing.result("a")
    assert (result["status"], result["code"], result["duplicate_possible"]) == ("uncertain", "dropped", True)

"""`journal` with a running sender: waiting commands can be dropped, failed ones can be sent again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.outgoing import running
from wx2mqtt.app.operations import AccountOperations
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.errors import BadCommand, OutcomeUnknown, Rejected
from wx2mqtt.i18n.bridge import rejection_text
from wx2mqtt.model import Command
from wx2mqtt.mqtt.topics import Topics


async def _saved(_changes):
    """Does nothing."""


@pytest.fixture
async def outgoing(tmp_path):
    async with running(tmp_path) as outgoing:
        yield outgoing


@pytest.fixture
def do(outgoing):
    """`await do("list", all=True)`"""
    account: Any = SimpleNamespace(
        ctx=outgoing.ctx,
        components=SimpleNamespace(
            results=ResultPublications("home", Topics("wx")),
            validator=outgoing.judge,
            resolver=outgoing.errands,
            sender=outgoing.sender,
            inbound=SimpleNamespace(apply_people=_saved),
            publisher=outgoing.pump,
        ),
    )
    operations = AccountOperations(account)

    async def do(name, **fields):
        return await operations.run(f"journal.{name}", fields)

    return do


async def refused(awaitable):
    with pytest.raises(BadCommand) as caught:
        await awaitable
    assert rejection_text("zh", caught.value)
    return rejection_text("en", caught.value)


async def send(outgoing, text, command_id, **more):
    await outgoing.acknowledged(outgoing.say(text=text, id=command_id, **more))


async def test_what_waits_or_was_not_sent_is_listed_and_what_was_sent_only_if_asked(outgoing, do):
    outgoing.wechat.answer("failed", Rejected("no"))
    outgoing.wechat.answer("uncertain", OutcomeUnknown(), OutcomeUnknown())
    for text in ("sent", "failed", "uncertain"):
        await send(outgoing, text, text)
        await outgoing.result(text)
    await send(outgoing, "", "rejected")
    outgoing.sender.set_online(online=False)
    await send(outgoing, "waiting", "waiting")
    shown = (await do("list"))["commands"]
    assert [(one["id"], one["state"]) for one in shown] == [
        ("waiting", "waiting"),
        ("rejected", "rejected"),
        ("uncertain", "uncertain"),
        ("failed", "failed"),
    ]
    everything = {one["id"]: one["state"] for one in (await do("list", all=True))["commands"]}
    assert everything.keys() == {"waiting", "uncertain", "failed", "sent", "rejected"}


async def test_a_command_that_waits_is_listed_however_many_came_after_it(outgoing, do, monkeypatch):
    monkeypatch.setattr("wx2mqtt.app.operations.MAX_LISTED_COMMANDS", 5)
    outgoing.sender.set_online(online=False)
    await send(outgoing, "first", "first")
    for number in range(6):
        await send(outgoing, "", f"bad{number}")
    assert (await do("list"))["commands"][0]["id"] == "first"


async def test_one_is_shown_with_its_text(outgoing, do):
    await send(outgoing, "你好", "a")
    await outgoing.result("a")
    shown = await do("show", id="a")
    assert (shown["text"], shown["kind"], shown["state"], shown["code"]) == ("你好", "text", "sent", "ok")
    assert shown["attempts"] == 1


async def test_an_unknown_id_is_refused(outgoing, do):
    for name in ("show", "retry", "drop"):
        assert "no command has the id 'nobody'" in await refused(do(name, id="nobody"))
    assert "no message 7 was set aside" in await refused(do("retry", row=7))


async def test_what_failed_is_sent_again_under_a_name_of_its_own(outgoing, do):
    outgoing.wechat.answer("x", Rejected("no"))
    await send(outgoing, "x", "a")
    await outgoing.result("a")
    assert (await do("retry", id="a"))["id"] == "a~1"
    assert (await outgoing.result("a~1"))["status"] == "sent"
    first, second = (key for _, _, key in outgoing.wechat.sent)
    assert first != second


async def test_only_what_ended_badly_is_sent_again(outgoing, do):
    await send(outgoing, "x", "a")
    await outgoing.result("a")
    assert await refused(do("retry", id="a")) == "command 'a' was sent"
    outgoing.sender.set_online(online=False)
    await send(outgoing, "y", "b")
    assert await refused(do("retry", id="b")) == "command 'b' is still under way"


@pytest.mark.parametrize(
    "body",
    [{"kind": "image", "data": "AAAA"}, {"text": "x" * 200}, {"text": "x", "ttl": -1}, {"text": "x"}],
    ids=["no image", "too long", "bad ttl", "store full"],
)
async def test_the_content_of_what_was_refused_at_once_is_not_kept_and_not_sent_later(outgoing, do, body):
    outgoing.quota.size = outgoing.quota.limit if body == {"text": "x"} else 0
    await outgoing.acknowledged(outgoing.say(id="a", **body))
    outgoing.quota.size = 0
    expected = "command 'a' was refused, and its content is not kept; publish it again"
    assert await refused(do("retry", id="a")) == expected
    assert outgoing.wechat.sent == []
    (row,) = await outgoing.rows()
    assert (row.command, row.blob) == (Command(user="wife", kind=row.command.kind, id=row.command.id), None)


async def test_what_was_accepted_and_cannot_be_sent_any_more_says_why(outgoing, do):
    outgoing.wechat.answer("x" * 90, Rejected("no"))
    await send(outgoing, "x" * 90, "a")
    await outgoing.result("a")
    outgoing.quota.size = outgoing.quota.limit
    assert "the store is full" in await refused(do("retry", id="a"))


async def test_what_waits_is_dropped_and_its_result_says_so_at_once(outgoing, do):
    outgoing.sender.set_online(online=False)
    await send(outgoing, "x", "a")
    assert (await do("drop", id="a"))["code"] == "dropped"
    result = await outgoing.result("a")
    assert (result["status"], result["code"]) == ("rejected", "dropped")
    outgoing.sender.set_online(online=True)
    await send(outgoing, "y", "b")
    await outgoing.result("b")
    assert outgoing.wechat.texts() == ["y"]


async def test_what_has_its_result_or_is_being_sent_is_not_dropped(outgoing, do):
    await send(outgoing, "x", "a")
    await outgoing.result("a")
    assert await refused(do("drop", id="a")) == "command 'a' has its result already"
    outgoing.wechat.hold("y")
    await send(outgoing, "y", "b")
    await outgoing.sent(2)
    assert await refused(do("drop", id="b")) == "command 'b' is being sent; its result comes"
    outgoing.wechat.release("y")
    assert (await outgoing.result("b"))["status"] == "sent"


async def test_dropping_what_may_have_arrived_says_uncertain(outgoing, do, monkeypatch):
    monkeypatch.setattr("wx2mqtt.clock.Backoff.wait", lambda *_: 60.0)
    outgoing.wechat.answer("x", OutcomeUnknown())
    await send(outgoing, "x", "a")
    await outgoing.sent(1)
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not (await outgoing.journal.commands.get("a")).unanswered:
            pass
    await do("drop", id="a")
    result = await outgoing.result("a")
    assert (result["status"], result["code"], result["duplicate_possible"]) == ("uncertain", "dropped", True)

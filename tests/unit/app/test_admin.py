"""`journal` on a way out that runs: what waits can be dropped, what ended badly can be sent again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.bridge.outgoing import running
from wx2mqtt.app.admin import AdminOperations
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.errors import BadCommand, OutcomeUnknown, Rejected
from wx2mqtt.i18n.bridge import rejection_text
from wx2mqtt.mqtt.topics import Topics


async def _saved(_changes):
    """Nobody looks."""


@pytest.fixture
async def house(tmp_path):
    async with running(tmp_path) as house:
        yield house


@pytest.fixture
def do(house):
    """`await do("list", all=True)`"""
    account: Any = SimpleNamespace(
        ctx=house.ctx,
        journal=house.journal,
        registry=house.identity,
        results=ResultPublications("home", Topics("wx")),
        validator=house.judge,
        resolver=house.errands,
        sender=house.sender,
        inbound=SimpleNamespace(apply_people=_saved),
        publisher=house.pump,
    )
    desk = AdminOperations(account)

    async def do(name, **fields):
        return await desk.operations()[f"journal.{name}"](fields)

    return do


async def refused(awaitable):
    with pytest.raises(BadCommand) as caught:
        await awaitable
    assert rejection_text("zh", caught.value)
    return rejection_text("en", caught.value)


async def say(house, text, command_id, **more):
    await house.acknowledged(house.say(text=text, id=command_id, **more))


async def test_what_waits_failed_or_is_uncertain_is_listed_and_what_was_sent_or_rejected_only_if_asked(
    house, do
):
    house.wechat.answer("failed", Rejected("no"))
    house.wechat.answer("uncertain", OutcomeUnknown(), OutcomeUnknown())
    for text in ("sent", "failed", "uncertain"):
        await say(house, text, text)
        await house.result(text)
    await say(house, "", "rejected")
    house.sender.set_online(online=False)
    await say(house, "waiting", "waiting")
    shown = (await do("list"))["commands"]
    assert [(one["id"], one["state"]) for one in shown] == [
        ("waiting", "waiting"),
        ("uncertain", "uncertain"),
        ("failed", "failed"),
    ]
    everything = {one["id"]: one["state"] for one in (await do("list", all=True))["commands"]}
    assert everything.keys() == {"waiting", "uncertain", "failed", "sent", "rejected"}


async def test_a_command_that_waits_is_listed_however_many_came_after_it(house, do, monkeypatch):
    monkeypatch.setattr("wx2mqtt.app.admin.MAX_LISTED_COMMANDS", 5)
    house.sender.set_online(online=False)
    await say(house, "first", "first")
    for number in range(6):
        await say(house, "", f"bad{number}")
    assert [one["id"] for one in (await do("list"))["commands"]] == ["first"]


async def test_one_is_shown_with_its_text(house, do):
    await say(house, "你好", "a")
    await house.result("a")
    shown = await do("show", id="a")
    assert (shown["text"], shown["kind"], shown["state"], shown["code"]) == ("你好", "text", "sent", "ok")
    assert shown["attempts"] == 1


async def test_an_id_that_nobody_used_is_said_so(house, do):
    for name in ("show", "retry", "drop"):
        assert "no command has the id 'nobody'" in await refused(do(name, id="nobody"))
    assert "no message 7 was set aside" in await refused(do("retry", row=7))


async def test_what_failed_is_sent_again_under_a_name_of_its_own(house, do):
    house.wechat.answer("x", Rejected("no"))
    await say(house, "x", "a")
    await house.result("a")
    assert (await do("retry", id="a"))["id"] == "a~1"
    assert (await house.result("a~1"))["status"] == "sent"
    first, second = (key for _, _, key in house.wechat.sent)
    assert first != second


async def test_only_what_ended_badly_is_sent_again(house, do):
    await say(house, "x", "a")
    await house.result("a")
    assert await refused(do("retry", id="a")) == "command 'a' was sent"
    house.sender.set_online(online=False)
    await say(house, "y", "b")
    assert await refused(do("retry", id="b")) == "command 'b' is still under way"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"kind": "image", "data": "AAAA"}, "no longer in the store"),
        ({"text": "x" * 200}, "200 bytes"),
        ({"text": "x", "ttl": -1}, "no text"),
    ],
)
async def test_what_could_not_be_sent_in_the_first_place_is_not_sent_now(house, do, body, why):
    await house.acknowledged(house.say(id="a", **body))
    assert why in await refused(do("retry", id="a"))
    assert house.wechat.sent == []


async def test_what_was_refused_for_a_reason_that_is_gone_is_sent_now(house, do):
    house.quota.size = house.quota.limit
    await say(house, "x", "a")
    house.quota.size = 0
    await do("retry", id="a")
    assert (await house.result("a~1"))["status"] == "sent"


async def test_what_waits_is_dropped_and_its_result_says_so_at_once(house, do):
    house.sender.set_online(online=False)
    await say(house, "x", "a")
    assert (await do("drop", id="a"))["code"] == "dropped"
    result = await house.result("a")
    assert (result["status"], result["code"]) == ("rejected", "dropped")
    house.sender.set_online(online=True)
    await say(house, "y", "b")
    await house.result("b")
    assert house.wechat.texts() == ["y"]


async def test_what_has_its_result_or_is_being_sent_is_not_dropped(house, do):
    await say(house, "x", "a")
    await house.result("a")
    assert await refused(do("drop", id="a")) == "command 'a' has its result already"
    house.wechat.hold("y")
    await say(house, "y", "b")
    await house.sent(2)
    assert await refused(do("drop", id="b")) == "command 'b' is being sent; its result comes"
    house.wechat.release("y")
    assert (await house.result("b"))["status"] == "sent"


async def test_dropping_what_may_have_arrived_says_uncertain(house, do, monkeypatch):
    monkeypatch.setattr("wx2mqtt.backoff.Backoff.wait", lambda *_: 60.0)
    house.wechat.answer("x", OutcomeUnknown())
    await say(house, "x", "a")
    await house.sent(1)
    async with asyncio.timeout(5):
        while not (await house.journal.get_command("a")).unanswered:
            pass
    await do("drop", id="a")
    result = await house.result("a")
    assert (result["status"], result["code"], result["duplicate_possible"]) == ("uncertain", "dropped", True)

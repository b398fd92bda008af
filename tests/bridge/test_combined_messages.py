"""Texts share the last messages that a reply window takes, some messages are reserved, and none is lost or doubled."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount, ended
from tests.support.memory_backend import WIFE, Pause, WindowBackend
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand, OutcomeUnknown, Rejected, Unreachable, WindowClosed
from wx2mqtt.model import Receipt
from wx2mqtt.wechat.ilink.protocol.reply_window import WINDOW_OPEN_MS

SENT, SENT_TWICE = ("sent", "ok", False), ("sent", "ok", True)


@pytest.fixture
async def bridge(open_bridge: OpenBridge) -> BridgedAccount:
    """A bridge to which nobody has written yet."""
    return await open_bridge(WindowBackend(text_limit=16_384))


async def open_window(bridge: BridgedAccount, left: int, **ilink: Any) -> None:
    await bridge.reload(ilink=ilink)
    bridge.backend.write(WIFE, left=left)
    await bridge.next("wx/in/老婆")


def give(bridge: BridgedAccount, *commands: Any) -> None:
    """Gives all these commands at once; the id of a text is its beginning."""
    for command in commands:
        fields = {"text": command} if isinstance(command, str) else command
        bridge.deliver("wx/out/老婆", {"id": fields["text"][:12], **fields})


async def hold(bridge: BridgedAccount, *commands: Any) -> list[Any]:
    give(bridge, *commands)
    return [await bridge.event("held") for _ in commands]


async def held_count(bridge: BridgedAccount) -> Any:
    return (await bridge.operate("health"))["queues"]["held"]


def numbered(count: int) -> tuple[str, ...]:
    return tuple(f"text {number}" for number in range(1, count + 1))


def alarm(text: str) -> dict[str, Any]:
    return {"text": text, "urgent": True}


def high(text: str) -> dict[str, Any]:
    return {"text": text, "priority": "high"}


def low(text: str) -> dict[str, Any]:
    return {"text": text, "priority": "low"}


LONG = "b. " * 1000
HALF, OTHER_HALF = "a" * 500, "b" * (2000 - 500 - 2)


@pytest.mark.parametrize(
    ("left", "ilink", "commands", "sent", "held"),
    [
        pytest.param(10, {}, numbered(9), [*numbered(9)], 0, id="plenty is left"),
        pytest.param(
            *(2, {"reserve": 0}, numbered(4), ["text 1", "text 2\n\ntext 3\n\ntext 4"], 0),
            id="the last message carries the rest",
        ),
        pytest.param(1, {"reserve": 0}, ["alone"], ["alone"], 0, id="a single text is not changed"),
        pytest.param(
            2, {}, numbered(3), ["\n\n".join(numbered(3))], 0, id="the last but one before a reserve"
        ),
        pytest.param(
            2, {"reserve": 0, "bundle": False}, numbered(3), ["text 1", "text 2"], 1, id="unbundled"
        ),
        pytest.param(
            *(1, {"reserve": 0}, [low("a"), "b", low("c"), "d"], ["b\n\nd\n\na\n\nc"], 0),
            id="the more important first, then the older",
        ),
        pytest.param(1, {"reserve": 0}, ["a", "b", high("c")], ["c"], 2, id="an important one goes alone"),
        pytest.param(1, {}, ["a", "b", high("c")], ["c"], 2, id="an important one in the reserve"),
        pytest.param(1, {}, ["a", "b", alarm("c")], ["c"], 2, id="an urgent one in the reserve"),
        pytest.param(1, {}, ["a", high("b"), alarm("c")], ["b\n\nc\n\na"], 0, id="two share what is left"),
        pytest.param(
            *(1, {}, ["a" * 1900, alarm("b"), alarm("c" * 140), "d"], [f"b\n\n{'c' * 140}"], 2),
            id="alarms before the texts that share it",
        ),
        pytest.param(1, {"reserve": 0}, [HALF, OTHER_HALF, "c"], [f"{HALF}\n\n{OTHER_HALF}"], 1, id="full"),
        pytest.param(1, {"reserve": 0}, ["c", "d" * 1999, "e"], ["c"], 2, id="nothing overtakes"),
        pytest.param(1, {"reserve": 0}, ["a", LONG, "c"], ["a"], 2, id="a long text is never bundled"),
    ],
)
async def test_the_last_message_of_a_window_is_shared(
    bridge: BridgedAccount, left: int, ilink: dict[str, Any], commands: Any, sent: list[str], held: int
):
    await open_window(bridge, left, **ilink)
    give(bridge, *commands)
    results = [await bridge.result("老婆") for _ in range(len(commands) - held)]
    assert bridge.backend.contents == sent
    assert await held_count(bridge) == held
    assert {ended(result) for result in results} == {SENT}
    counts = Counter(result["message_id"] for result in results)
    assert [counts[f"sent-{number}"] for number in range(1, len(sent) + 1)] == [
        text.count("\n\n") + 1 for text in sent
    ]
    for result in results:
        count = counts[result["message_id"]]
        assert result.get("bundled") == (count if count > 1 else None)


async def test_a_file_is_never_combined(bridge: BridgedAccount):
    await bridge.reload(ilink={"reserve": 0})
    await hold(bridge, "a", {"kind": "file", "data": "eA==", "text": "", "id": "file"}, "c")
    bridge.backend.write(WIFE, left=1)
    assert [(await bridge.result("老婆"))["id"] for _ in "ac"] == ["a", "c"]
    assert (bridge.backend.contents, await held_count(bridge)) == (["a\n\nc"], 1)


# The reserve


async def test_ordinary_commands_are_held_before_the_reserve_and_say_so(bridge: BridgedAccount):
    await open_window(bridge, 1)
    (event,) = await hold(bridge, "waits")
    assert (event["why"], event["command_id"], "'老婆'" in event["hint"]) == ("reserved", "waits", True)
    assert not bridge.backend.sent
    assert ended(await bridge.send("老婆", alarm("alarm"))) == SENT
    bridge.backend.write(WIFE)
    assert ended(await bridge.result("老婆")) == SENT


@pytest.mark.parametrize(("more", "status"), [({"hold": False}, "failed"), ({"ttl": 5}, "expired")])
async def test_what_ends_before_the_reserve_names_the_quota(
    bridge: BridgedAccount, more: dict[str, Any], status: str
):
    await open_window(bridge, 1)
    assert ended(await bridge.send("老婆", {"text": "x", **more})) == (status, "quota_used", False)


@pytest.mark.parametrize(("reserve", "sent"), [(0, 10), (1, 9), (9, 1)])
async def test_ordinary_commands_leave_the_reserved_messages_of_the_window(
    bridge: BridgedAccount, reserve: int, sent: int
):
    await open_window(bridge, 10, reserve=reserve, bundle=False)
    give(bridge, *numbered(12))
    await bridge.pass_time(5)
    assert (len(bridge.backend.sent), await held_count(bridge)) == (sent, 12 - sent)
    give(bridge, *(alarm(f"alarm {number}") for number in range(12)))
    await bridge.pass_time(5)
    assert (len(bridge.backend.sent), await held_count(bridge)) == (10, 14)


async def test_an_alarm_overtakes_a_begun_text_that_must_not_touch_the_reserve(bridge: BridgedAccount):
    await open_window(bridge, 2)
    await hold(bridge, LONG)
    assert ended(await bridge.send("老婆", high("alarm"))) == SENT
    assert [len(text) > 100 for text in bridge.backend.contents] == [True, False]


async def test_each_text_of_a_bundle_has_its_own_remarks(bridge: BridgedAccount):
    await open_window(bridge, 1, reserve=0)
    bridge.deliver("wx/out/老婆", "a", response_topic="no/+/topic")
    bridge.deliver("wx/out/老婆", "b")
    results = [await bridge.result("老婆") for _ in "ab"]
    assert [(result["code"], result["bundled"]) for result in results] == [
        ("bad_response_topic", 2),
        ("ok", 2),
    ]
    assert ["this topic only" in result["message"] for result in results] == [True, False]


async def test_in_the_last_second_of_the_window_the_bundle_goes_and_after_it_everything_waits(
    bridge: BridgedAccount,
):
    bridge.backend.write(WIFE, left=2, time=now_ms() - WINDOW_OPEN_MS + 2000)
    await bridge.next("wx/in/老婆")
    give(bridge, "a", "b")
    assert [(await bridge.result("老婆"))["bundled"] for _ in "ab"] == [2, 2]
    await bridge.pass_time(2)
    assert {event["why"] for event in await hold(bridge, "c", "d")} == {"too_long_ago"}


# The digest of what was held


HEADING = "{} messages were waiting:"


@pytest.mark.parametrize(
    ("commands", "reserve", "sent", "held"),
    [
        pytest.param(numbered(5), 1, [*numbered(5)], 0, id="up to half of the quota one by one"),
        pytest.param(numbered(6), 1, ["\n\n".join([HEADING.format(6), *numbered(6)])], 0, id="more as one"),
        pytest.param(
            [*numbered(6), high("alarm 1"), high("alarm 2")],
            *(1, ["alarm 1", "alarm 2", "\n\n".join([HEADING.format(6), *numbered(6)])], 0),
            id="a few alarms alone before it",
        ),
        pytest.param(
            ["ordinary", *map(high, numbered(6))],
            *(1, ["\n\n".join([HEADING.format(7), *numbered(6), "ordinary"])], 0),
            id="many alarms with what waits behind",
        ),
        pytest.param(
            ["a" * 1990, "b" * 1990, *map(alarm, numbered(6))],
            *(9, ["a" * 1990, "\n\n".join([HEADING.format(7), *numbered(6)])], 1),
            id="many urgent texts that wait for the reserve",
        ),
        pytest.param(
            [f"{number}" * 400 for number in range(9)],
            1,
            [
                "\n\n".join([HEADING.format(9), *(f"{number}" * 400 for number in range(4))]),
                "\n\n".join(f"{number}" * 400 for number in range(4, 8)),
                "8" * 400,
            ],
            0,
            id="several messages have one heading",
        ),
    ],
)
async def test_more_held_texts_than_half_of_the_quota_are_a_digest(
    bridge: BridgedAccount, commands: Any, reserve: int, sent: list[str], held: int
):
    await bridge.reload(ilink={"reserve": reserve})
    await hold(bridge, *commands)
    bridge.backend.write(WIFE)
    results = [await bridge.result("老婆") for _ in range(len(commands) - held)]
    assert bridge.backend.contents == sent
    assert await held_count(bridge) == held
    assert {ended(result) for result in results} == {SENT}
    for result in results:
        text = sent[int(result["message_id"].removeprefix("sent-")) - 1]
        count = text.count("\n\n") + ("waiting:" not in text)
        assert result.get("bundled") == (count if count > 1 else None)


async def test_the_heading_of_a_digest_is_a_command_of_its_own_without_a_result_topic(bridge: BridgedAccount):
    await hold(bridge, *numbered(6))
    bridge.backend.write(WIFE)
    assert [(await bridge.result("老婆"))["id"] for _ in range(6)] == [*numbered(6)]
    await bridge.pass_time(5)
    assert len(bridge.published("wx/result/老婆")) == 6
    commands = (await bridge.operate("journal.list", all=True))["commands"]
    (heading,) = [command for command in commands if command["id"].startswith("wx2mqtt-digest-")]
    assert heading["state"] == "sent"
    quoted = await bridge.account.ctx.journal.history.quoted_message("sent-1")
    assert quoted is not None
    assert (quoted.text, quoted.command_id) == (bridge.backend.contents[0], "text 1")


# Attempts without an answer


@pytest.mark.parametrize(
    ("outcomes", "writes", "sent", "endings"),
    [
        pytest.param([OutcomeUnknown()], False, ["a\n\nb"] * 2, [SENT_TWICE] * 2, id="the same once more"),
        pytest.param(
            [OutcomeUnknown()],
            *(True, ["a\n\nb", "a\n\nb", "later"], [SENT_TWICE, SENT_TWICE, SENT]),
            id="whatever the person writes meanwhile",
        ),
        pytest.param(
            [OutcomeUnknown()] * 2,
            *(False, ["a\n\nb", "a\n\nb", "later"], [*[("uncertain", "no_answer", True)] * 2, SENT]),
            id="never answered",
        ),
        pytest.param([Unreachable()], False, ["a\n\nb", "a\n\nb\n\nlater"], [SENT] * 3, id="not delivered"),
    ],
)
async def test_only_what_certainly_did_not_arrive_is_combined_again(
    bridge: BridgedAccount, outcomes: list[Any], writes: bool, sent: list[str], endings: list[Any]
):
    await open_window(bridge, 2)
    bridge.backend.outcomes += [Pause(5), *outcomes]
    give(bridge, "a", "b")
    await bridge.wait_for_sends(1)
    give(bridge, "later")
    if writes:
        bridge.backend.write(WIFE)
    results = [await bridge.result("老婆") for _ in endings]
    assert [ended(result) for result in results] == endings
    await bridge.pass_time(60)
    assert bridge.backend.contents == sent
    is_same = isinstance(outcomes[0], OutcomeUnknown)
    assert (bridge.backend.sent[0].key == bridge.backend.sent[1].key) or not is_same


@pytest.mark.parametrize("is_digest", [False, True])
async def test_a_combined_message_that_a_crash_cut_off_is_repeated_as_it_was(
    bridge: BridgedAccount, is_digest: bool
):
    bridge.backend.slow_chats[WIFE.handle] = 99
    if is_digest:
        await hold(bridge, *numbered(6))
        bridge.backend.write(WIFE)
    else:
        await open_window(bridge, 2)
        give(bridge, "a", "b")
    await bridge.wait_for_sends(1)
    await bridge.kill()
    bridge.backend.slow_chats.clear()
    bridge.backend.write(WIFE)  # ten messages are left in the next process
    await bridge.restart()
    give(bridge, "later")
    first, second, later = await bridge.wait_for_sends(3)
    assert (first == second, later) == (True, "later")
    assert bridge.backend.sent[0].key == bridge.backend.sent[1].key
    results = [await bridge.result("老婆") for _ in range(6 if is_digest else 2)]
    assert {(*ended(result), result["bundled"]) for result in results} == {(*SENT_TWICE, len(results))}
    assert ended(await bridge.result("老婆")) == SENT


async def test_a_bundle_in_doubt_ends_as_one_when_the_last_of_it_would_and_nobody_drops_a_part(
    bridge: BridgedAccount,
):
    await open_window(bridge, 2)
    bridge.backend.outcomes += [Pause(5), OutcomeUnknown()]
    give(bridge, {"text": "a", "ttl": 100}, {"text": "b", "ttl": 2000})
    await bridge.wait_for_sends(1)
    bridge.backend.has_connection = False
    await bridge.pass_time(6)
    with pytest.raises(BadCommand):
        await bridge.operate("journal.drop", id="b")
    give(bridge, {"text": "c", "ttl": 500})
    assert (await bridge.result("老婆"))["id"] == "c"
    await bridge.pass_time(1000)
    assert len(bridge.published("wx/result/老婆")) == 1
    results = [await bridge.result("老婆") for _ in "ab"]
    assert {(result["status"], result["bundled"]) for result in results} == {("uncertain", 2)}
    assert len(bridge.backend.sent) == 1


async def test_a_digest_that_did_not_arrive_leaves_no_heading_behind(bridge: BridgedAccount):
    bridge.backend.outcomes.append(WindowClosed(code="quota_used"))
    await hold(bridge, *numbered(6))
    bridge.backend.write(WIFE)
    await bridge.wait_for_sends(1)
    await bridge.pass_time(5)
    waiting = (await bridge.operate("journal.list"))["commands"]
    assert sorted(command["id"] for command in waiting) == [*numbered(6)]
    bridge.backend.write(WIFE)
    first, second = await bridge.wait_for_sends(2)
    assert (first.count("waiting:"), second) == (1, first)
    assert bridge.backend.sent[0].key != bridge.backend.sent[1].key


async def test_after_a_refusal_the_texts_of_a_bundle_go_one_by_one(bridge: BridgedAccount):
    bridge.backend.outcomes += [Rejected("no"), None, Rejected("bad text")]
    await hold(bridge, *numbered(6))
    bridge.backend.write(WIFE)
    results = [await bridge.result("老婆") for _ in range(6)]
    assert [result["status"] for result in results] == ["sent", "failed", *["sent"] * 4]
    assert {result.get("bundled") for result in results} == {None}
    assert bridge.backend.contents[1:] == [*numbered(6)]


async def test_a_bundle_without_a_message_id_is_one_message_that_nobody_may_see(bridge: BridgedAccount):
    await open_window(bridge, 2)
    bridge.backend.outcomes.append(Receipt(message_id=""))
    give(bridge, *"abc")
    assert {(await bridge.result("老婆"))["code"] for _ in "abc"} == {"unconfirmed"}
    for _ in range(2):
        assert "muted_suspected" not in (await bridge.operate("health"))["problems"]
        await bridge.kill()
        await bridge.restart()

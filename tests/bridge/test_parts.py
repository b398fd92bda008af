"""A long text, or a caption and its file, goes out as several messages in order, with one result."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount, ended
from tests.support.memory_backend import WIFE, MemoryBackend, Pause, WindowBackend
from wx2mqtt.bridge.text_split import split_text
from wx2mqtt.errors import OutcomeUnknown, Rejected, Unreachable
from wx2mqtt.model import Kind
from wx2mqtt.store.snapshots import start_new_stream

LONG_TEXT = "The bell rang. Somebody came. They left a parcel."
PARTS = split_text(LONG_TEXT, 20)
PNG = base64.b64decode(
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PICTURE = {"kind": "image", "data": base64.b64encode(PNG).decode(), "name": "door.png", "id": "a"}
CAPTION = {**PICTURE, "text": "rang"}
NO_ANSWER = OutcomeUnknown()


@pytest.fixture
async def window(open_bridge: OpenBridge) -> BridgedAccount:
    """A bridge whose messages have 20 characters at most, and whose window takes ten of them; none is reserved."""
    bridge = await open_bridge(
        WindowBackend(part_limit=20, text_limit=10**6, has_markdown=True),
        ilink={"bundle": False, "reserve": 0},
        hold={"ttl": 600},
    )
    bridge.backend.write(WIFE)
    await bridge.next("wx/in/老婆")
    return bridge


def parts(result: dict[str, Any]) -> tuple[Any, ...]:
    return result["status"], result.get("parts"), result.get("parts_sent"), result["duplicate_possible"]


# Long texts


async def test_a_long_text_goes_out_in_parts_with_one_result(window: BridgedAccount):
    result = await window.send("老婆", {"text": LONG_TEXT, "id": "a"})
    assert window.backend.contents == [*PARTS]
    assert (parts(result), result["message_id"]) == (("sent", 3, 3, False), "sent-3")
    assert "it went out as 3 messages, each of which counts in the window" in result["message"]
    keys = [sent.key for sent in window.backend.sent]
    assert keys == [f"{keys[0][:-2]}{number:02d}" for number in (1, 2, 3)]
    history = window.account.ctx.journal.history
    quoted = [await history.quoted_message(f"sent-{number}") for number in (1, 2, 3)]
    assert [message and message.command_id for message in quoted] == ["a"] * 3
    short = await window.send("老婆", "short")
    assert (parts(short), "messages" in short["message"]) == (("sent", None, None, False), False)


@pytest.mark.parametrize(
    ("outcomes", "ending", "sent"),
    [
        ([None, Rejected("no")], ("failed", "refused_by_wechat", False), 1),
        ([None, NO_ANSWER, NO_ANSWER], ("uncertain", "no_answer", True), 1),
        ([NO_ANSWER, NO_ANSWER], ("uncertain", "no_answer", True), 0),
        ([Rejected("no")], ("failed", "refused_by_wechat", False), 0),
        pytest.param(
            [NO_ANSWER, None, NO_ANSWER, Unreachable()],
            *(("sent", "ok", True), 3),
            id="a doubt about one part is over when the next one begins",
        ),
    ],
)
async def test_a_text_of_which_not_all_parts_are_sent_says_how_many(
    window: BridgedAccount, outcomes: list[Any], ending: tuple[Any, ...], sent: int
):
    window.backend.outcomes += outcomes
    result = await window.send("老婆", LONG_TEXT)
    assert (ended(result), result["parts"], result["parts_sent"]) == (ending, 3, sent)


async def test_a_text_whose_last_parts_expire_has_failed(window: BridgedAccount):
    window.backend.write(WIFE, left=1)
    await window.next("wx/in/老婆")
    result = await window.send("老婆", LONG_TEXT)
    assert (*ended(result), result["parts_sent"]) == ("failed", "quota_used", False, 1)


async def test_a_crash_between_two_parts_goes_on_with_the_next(window: BridgedAccount):
    window.backend.write(WIFE, left=2)
    await window.next("wx/in/老婆")
    window.deliver("wx/out/老婆", LONG_TEXT)
    await window.event("held")
    await window.kill()
    await window.restart()
    window.backend.write(WIFE)
    assert parts(await window.result("老婆")) == ("sent", 3, 3, False)
    assert window.backend.contents == [*PARTS]


async def test_a_crash_within_a_part_repeats_that_part_under_its_key(window: BridgedAccount):
    window.backend.outcomes += [None, Pause(99)]
    window.deliver("wx/out/老婆", LONG_TEXT)
    await window.wait_for_sends(2)
    await window.kill()
    await window.restart()
    assert parts(await window.result("老婆")) == ("sent", 3, 3, True)
    assert window.backend.contents == [PARTS[0], PARTS[1], PARTS[1], PARTS[2]]
    assert len({sent.key for sent in window.backend.sent}) == 3


async def test_no_alarm_comes_between_the_parts_of_a_text(window: BridgedAccount):
    window.backend.outcomes.append(Pause(5))
    window.deliver("wx/out/老婆", LONG_TEXT)
    await window.wait_until(lambda: window.backend.sent)
    await window.send("老婆", {"text": "alarm", "priority": "high"})
    await window.wait_for_sends(4)
    assert window.backend.contents == [*PARTS, "alarm"]


# Captions


async def test_the_caption_goes_before_its_file_once_that_is_uploaded(bridge: BridgedAccount):
    bridge.backend.preparations.append(Pause(20))
    bridge.deliver("wx/out/老婆", CAPTION)
    await bridge.pass_time(19)
    assert not bridge.backend.sent
    result = await bridge.result("老婆")
    assert bridge.backend.contents == ["rang", "door.png"]
    assert [sent.draft.kind for sent in bridge.backend.sent] == [Kind.TEXT, Kind.IMAGE]
    assert len({sent.key for sent in bridge.backend.sent}) == 2
    assert (parts(result), result["message_id"]) == (("sent", 2, 2, False), "sent-2")
    assert "caption and file" in result["message"]


@pytest.mark.parametrize("text", ["", " \n"])
async def test_a_blank_caption_is_none(bridge: BridgedAccount, text: str):
    assert parts(await bridge.send("老婆", {**PICTURE, "text": text})) == ("sent", None, None, False)
    assert bridge.backend.contents == ["door.png"]


@pytest.mark.parametrize(
    ("outcomes", "sent", "ending"),
    [
        pytest.param([None, Unreachable()], [1, 2], ("sent", 2, 2, False), id="not repeated for its file"),
        pytest.param([None, NO_ANSWER], [1, 2], ("sent", 2, 2, True), id="nor when its file had no answer"),
        pytest.param([Unreachable()], [2, 1], ("sent", 2, 2, False), id="repeated before its file"),
        pytest.param([NO_ANSWER], [2, 1], ("sent", 2, 2, True), id="repeated once without an answer"),
        pytest.param([NO_ANSWER] * 2, [2, 1], ("sent", 2, 1, True), id="given up without an answer"),
        pytest.param([Rejected("no")], [1, 1], ("sent", 2, 1, False), id="given up when it is refused"),
        pytest.param([None, Rejected("no")], [1, 1], ("failed", 2, 1, False), id="the file is refused"),
        pytest.param([None, NO_ANSWER, NO_ANSWER], [1, 2], ("uncertain", 2, 1, True), id="file in doubt"),
    ],
)
async def test_a_file_is_not_lost_with_its_caption_and_the_status_is_that_of_the_file(
    bridge: BridgedAccount, outcomes: list[Any], sent: list[int], ending: tuple[Any, ...]
):
    bridge.backend.outcomes += outcomes
    result = await bridge.send("老婆", CAPTION)
    assert bridge.backend.contents == ["rang"] * sent[0] + ["door.png"] * sent[1]
    assert len({sent.key for sent in bridge.backend.sent}) == 2
    assert parts(result) == ending
    assert ("caption perhaps not" in result["message"]) is (ending[0::2] == ("sent", 1))


async def test_a_file_that_cannot_be_sent_sends_no_caption(bridge: BridgedAccount):
    bridge.backend.preparations.append(Rejected("no"))
    assert parts(await bridge.send("老婆", CAPTION)) == ("failed", 2, 0, False)
    assert not bridge.backend.sent


async def test_a_file_that_expires_after_its_caption_is_expired(bridge: BridgedAccount):
    bridge.backend.outcomes += [None, *[Unreachable()] * 99]
    assert parts(await bridge.send("老婆", {**CAPTION, "ttl": 5})) == ("expired", 2, 1, False)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"text": "other"}, "id_reused"),
        ({"text": "x" * 2001, "id": "b"}, "too_long"),
        ({"mention": ["妈妈"], "id": "b"}, "bad_command"),
    ],
)
async def test_a_caption_belongs_to_its_command_is_not_too_long_and_mentions_nobody(
    bridge: BridgedAccount, changes: dict[str, Any], code: str
):
    await bridge.send("老婆", CAPTION)
    assert (await bridge.send("老婆", {**CAPTION, **changes}))["code"] == code


@pytest.mark.parametrize(
    ("outcomes", "kills", "later", "sent"),
    [
        pytest.param([Pause(99)], [1], ["rang", "door.png"], 2, id="within the caption"),
        pytest.param([Pause(99)] * 2, [1, 2], ["door.png"], 1, id="twice within the caption"),
        pytest.param([NO_ANSWER, NO_ANSWER, Pause(99)], [3], ["door.png"], 1, id="after it was given up"),
        pytest.param([None, Pause(99)], [2], ["door.png"], 2, id="after it was sent"),
    ],
)
async def test_after_a_crash_neither_caption_nor_file_is_sent_more_often_than_twice(
    bridge: BridgedAccount, outcomes: list[Any], kills: list[int], later: list[str], sent: int
):
    bridge.backend.outcomes += outcomes
    bridge.deliver("wx/out/老婆", CAPTION)
    for attempts in kills:
        await bridge.wait_for_sends(attempts)
        await bridge.kill()
        await bridge.restart()
    assert parts(await bridge.result("老婆")) == ("sent", 2, sent, True)
    assert bridge.backend.contents[kills[-1] :] == later


@pytest.mark.parametrize(
    ("outcomes", "is_killed", "captions", "files"),
    [
        pytest.param([NO_ANSWER, NO_ANSWER], False, 3, 0, id="the caption was given up"),
        pytest.param([NO_ANSWER, NO_ANSWER, Pause(99)], True, 2, 2, id="within its file"),
        pytest.param([None, Pause(99)], True, 0, 1, id="within the file after a caption"),
        pytest.param([Rejected("no")], False, 0, 0, id="refused"),
    ],
)
async def test_after_a_restart_as_many_echoes_are_expected_as_there_were_attempts_at_most(
    open_bridge: OpenBridge, outcomes: list[Any], is_killed: bool, captions: int, files: int
):
    bridge = await open_bridge(MemoryBackend(keeps_login=True), receive={"own": True})
    bridge.backend.outcomes += outcomes
    bridge.deliver("wx/out/老婆", CAPTION)
    if is_killed:
        await bridge.wait_for_sends(len(outcomes))
        await bridge.kill()
    else:
        await bridge.result("老婆")
        await bridge.stop()
    for kind in (Kind.TEXT, Kind.IMAGE):
        for number in range(4):
            bridge.backend.write_as_owner(WIFE, "rang", f"{kind}-{number}", kind=kind)
    for number in range(1, len(bridge.backend.sent) + 1):
        bridge.backend.write_as_owner(WIFE, "by its id", f"sent-{number}")
    bridge.backend.write_as_owner(WIFE, "another text", "phone")
    await bridge.restart()
    await bridge.wait_until(lambda: "phone" in [body["id"] for body in bridge.published("wx/in/老婆")])
    ids = [body["id"] for body in bridge.published("wx/in/老婆")]
    assert [name for name in ids if name.startswith("text")] == [f"text-{n}" for n in range(captions, 4)]
    assert [name for name in ids if name.startswith("image")] == [f"image-{n}" for n in range(files, 4)]
    accepted = {f"sent-{number}" for number, outcome in enumerate(outcomes, 1) if outcome is None}
    assert not accepted.intersection(ids)


async def test_neither_caption_nor_file_of_a_restored_command_is_sent_again(bridge: BridgedAccount):
    """The bridge from which the backup was made may have sent both since."""
    bridge.backend.outcomes.append(Pause(99))
    bridge.deliver("wx/out/老婆", CAPTION)
    await bridge.wait_until(lambda: bridge.backend.sent)
    await bridge.kill()
    start_new_stream(bridge.stores.folder.path / "wx2mqtt.db", other_store_active=True)
    await bridge.restart()
    result = await bridge.result("老婆")
    assert (result["status"], "from a backup" in result["message"]) == ("uncertain", True)
    assert bridge.backend.contents == ["rang"]


# Captions, and a reply window


async def test_a_window_that_takes_one_message_more_sends_neither_and_holds_up_no_text(
    window: BridgedAccount,
):
    window.backend.write(WIFE, left=1)
    await window.next("wx/in/老婆")
    window.deliver("wx/out/老婆", {**CAPTION, "priority": "high"})
    event = await window.event("held")
    assert (event["command_id"], event["why"]) == ("a", "too_few_left")
    assert (await window.send("老婆", {"text": "fire", "priority": "high"}))["status"] == "sent"
    window.backend.write(WIFE, left=2)
    assert (await window.result("老婆"))["status"] == "sent"
    assert window.backend.contents == ["fire", "rang", "door.png"]


async def test_what_is_reserved_is_for_an_important_caption_only(window: BridgedAccount):
    await window.reload(ilink={"reserve": 1})
    window.backend.write(WIFE, left=2)
    await window.next("wx/in/老婆")
    window.deliver("wx/out/老婆", CAPTION)
    await window.event("held")
    result = await window.send("老婆", {**CAPTION, "text": "smoke", "urgent": True, "id": "b"})
    assert (result["status"], "counts in the window" in result["message"]) == ("sent", True)
    assert window.backend.contents == ["smoke", "door.png"]


async def test_a_long_caption_takes_several_messages(window: BridgedAccount):
    result = await window.send("老婆", {**PICTURE, "text": "The bell rang. Somebody is there."})
    assert window.backend.contents == ["The bell rang.", "Somebody is there.", "door.png"]
    assert parts(result) == ("sent", 3, 3, False)


@pytest.mark.parametrize(("priority", "status"), [("normal", "rejected"), ("high", "sent")])
async def test_a_caption_that_no_window_takes_is_refused(window: BridgedAccount, priority: str, status: str):
    await window.reload(ilink={"reserve": 1})
    result = await window.send("老婆", {**PICTURE, "text": "x" * 180, "priority": priority})
    assert (result["status"], result["code"] == "too_long") == (status, status == "rejected")


# Markdown


async def test_markdown_is_refused_where_it_would_be_shown_as_signs(bridge: BridgedAccount):
    result = await bridge.send("老婆", {"text": "*fire*", "format": "markdown"})
    assert (result["status"], result["code"]) == ("rejected", "unsupported")
    assert (await bridge.send("老婆", {"text": "*fire*", "format": "text"}))["status"] == "sent"


async def test_a_backend_that_shows_markdown_gets_each_text_marked_as_markdown_or_not(window: BridgedAccount):
    for command in ({"text": "*fire*"}, CAPTION):
        await window.send("老婆", {**command, "format": "markdown"})
    await window.send("老婆", "*fire*")
    marked = [(sent.draft.text, sent.draft.markdown) for sent in window.backend.sent]
    assert marked == [("*fire*", True), ("rang", True), ("", False), ("*fire*", False)]

"""A caption is sent as a message of its own before its picture, video or file; both have one result."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace

import pytest

from tests.unit.bridge.commands_harness import CAPABILITIES, FakeBackend, running
from wx2mqtt.errors import OutcomeUnknown, Rejected, Unreachable
from wx2mqtt.model import ChatKind, Draft, Handle, Kind, Message, ReplyWindow
from wx2mqtt.store.snapshots import start_new_stream

PNG = base64.b64decode(
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PICTURE = {"kind": "image", "data": base64.b64encode(PNG).decode(), "name": "door.png"}
CAPTION = {**PICTURE, "text": "somebody rang"}

# The outcomes of attempts after which a caption is given up, and whether it may have arrived.
LOST_CAPTIONS = [([OutcomeUnknown(), OutcomeUnknown()], True), ([Rejected("no")], False)]


@pytest.fixture
async def harness(tmp_path):
    async with running(tmp_path) as harness:
        yield harness


@pytest.fixture
def window(monkeypatch):
    """Gives the backend a reply window of ten messages, of 20 characters each."""
    capabilities = replace(
        CAPABILITIES, has_reply_window=True, reply_quota=10, part_limit=20, has_markdown=True
    )
    monkeypatch.setattr(FakeBackend, "capabilities", capabilities)


def open_window(harness, remaining):
    harness.wechat.windows[Handle("@wife")] = ReplyWindow(open=True, remaining=remaining)
    harness.sender.recheck()


def own_message(message_id, text, time):
    return Message(
        key=message_id,
        id=message_id,
        chat=Handle("@wife"),
        chat_kind=ChatKind.FRIEND,
        sender=None,
        from_self=True,
        kind=Kind.TEXT,
        text=text,
        time=time,
    )


async def test_the_caption_goes_before_its_file_once_that_is_uploaded(harness):
    harness.wechat.uploads.clear()
    harness.deliver_command(**CAPTION, id="a")
    await harness.changes.wait_until(lambda: harness.wechat.prepared)
    assert harness.wechat.sent == []
    harness.wechat.uploads.set()
    result = await harness.result("a")
    assert harness.wechat.texts() == ["somebody rang", "door.png"]
    assert [draft.kind for draft in harness.wechat.drafts] == [Kind.TEXT, Kind.IMAGE]
    keys = [key for *_, key in harness.wechat.sent]
    assert keys[0] != keys[1]
    assert (result["status"], result["message_id"]) == ("sent", "m2")
    assert (result["parts"], result["parts_sent"]) == (2, 2)
    assert "caption and file" in result["message"]


@pytest.mark.parametrize("text", ["", " \n"])
async def test_a_blank_caption_is_none(harness, text):
    harness.deliver_command(**PICTURE, text=text, id="a")
    result = await harness.result("a")
    assert harness.wechat.texts() == ["door.png"]
    assert (result["status"], "parts" in result) == ("sent", False)


async def test_a_file_that_cannot_be_sent_sends_no_caption(harness):
    harness.wechat.refusals.append(Rejected("no"))
    harness.deliver_command(**CAPTION, id="a")
    result = await harness.result("a")
    assert (result["status"], result["parts"], result["parts_sent"]) == ("failed", 2, 0)
    assert harness.wechat.sent == []


@pytest.mark.parametrize("error", [Unreachable(), OutcomeUnknown()])
async def test_the_caption_is_not_repeated_for_the_sake_of_its_file(harness, error):
    harness.wechat.answer("door.png", error)
    harness.deliver_command(**CAPTION, id="a")
    result = await harness.result("a")
    assert harness.wechat.texts() == ["somebody rang", "door.png", "door.png"]
    assert (result["status"], result["parts_sent"]) == ("sent", 2)
    assert result["duplicate_possible"] is isinstance(error, OutcomeUnknown)


@pytest.mark.parametrize("error", [Unreachable(), OutcomeUnknown()])
async def test_a_caption_is_tried_again_under_its_key_before_the_file(harness, error):
    harness.wechat.answer("somebody rang", error)
    harness.deliver_command(**CAPTION, id="a")
    result = await harness.result("a")
    assert harness.wechat.texts() == ["somebody rang", "somebody rang", "door.png"]
    assert len({key for *_, key in harness.wechat.sent}) == 2
    assert (result["status"], result["parts_sent"]) == ("sent", 2)


@pytest.mark.parametrize(("outcomes", "is_uncertain"), LOST_CAPTIONS, ids=["no answer", "refused"])
async def test_a_file_follows_without_its_caption_and_the_status_is_its_own(harness, outcomes, is_uncertain):
    harness.wechat.answer("somebody rang", *outcomes)
    harness.deliver_command(**CAPTION, id="a")
    result = await harness.result("a")
    assert harness.wechat.texts() == ["somebody rang"] * len(outcomes) + ["door.png"]
    assert (result["status"], result["parts"], result["parts_sent"]) == ("sent", 2, 1)
    assert result["duplicate_possible"] is is_uncertain
    assert "caption perhaps not" in result["message"]


async def test_a_caption_that_is_given_up_is_not_tried_again_by_the_next_process(tmp_path):
    async with running(tmp_path) as harness:
        harness.wechat.answer("somebody rang", OutcomeUnknown(), OutcomeUnknown())
        harness.wechat.hold("door.png")
        harness.deliver_command(**CAPTION, id="a")
        await harness.wait_for_sent_texts(3)
    async with running(tmp_path) as harness:
        result = await harness.result("a")
        assert harness.wechat.texts() == ["door.png"]
    assert (result["status"], result["parts_sent"], result["duplicate_possible"]) == ("sent", 1, True)


async def test_after_a_restart_the_echo_of_a_caption_that_was_given_up_is_known(tmp_path):
    async with running(tmp_path) as harness:
        harness.wechat.answer("somebody rang", OutcomeUnknown(), OutcomeUnknown())
        harness.deliver_command(**CAPTION, id="a")
        await harness.result("a")
        (row,) = await harness.rows()
    async with running(tmp_path) as harness:
        echoes = [own_message(f"late-{number}", "somebody rang", row.accepted) for number in range(2)]
        for echo in echoes:
            await harness.echoes.wait_for_open_attempts(echo)
            assert harness.echoes.is_echo(echo)
        assert not harness.echoes.is_echo(own_message("phone", "another text", row.accepted))


@pytest.mark.parametrize(
    ("outcomes", "captions", "files"), [([OutcomeUnknown(), OutcomeUnknown()], 2, 2), ([], 0, 1)]
)
async def test_after_a_crash_as_many_echoes_are_expected_as_there_were_attempts_at_most(
    tmp_path, outcomes, captions, files
):
    async with running(tmp_path) as harness:
        harness.wechat.answer("somebody rang", *outcomes)
        harness.wechat.hold("door.png")
        harness.deliver_command(**CAPTION, id="a")
        await harness.wait_for_sent_texts(max(captions, 1) + 1)
        (row,) = await harness.rows()
    async with running(tmp_path) as harness:
        await harness.result("a")
        for kind, count in ((Kind.TEXT, captions), (Kind.IMAGE, files)):
            for number in range(4):
                message = own_message(f"{kind}-{number}", "somebody rang", row.accepted)
                echo = replace(message, kind=kind)
                assert harness.echoes.is_echo(echo) is (number < count), (kind, number)


async def test_the_echo_of_a_caption_that_was_refused_is_none(tmp_path):
    async with running(tmp_path) as harness:
        harness.wechat.answer("somebody rang", Rejected("no"))
        harness.deliver_command(**CAPTION, id="a")
        await harness.result("a")
        (row,) = await harness.rows()
    async with running(tmp_path) as harness:
        message = own_message("phone", "somebody rang", row.accepted)
        await harness.echoes.wait_for_open_attempts(message)
        assert not harness.echoes.is_echo(message)


async def test_after_a_restart_a_caption_is_known_by_the_id_that_wechat_gave(tmp_path):
    async with running(tmp_path) as harness:
        harness.deliver_command(**CAPTION, id="a")
        assert (await harness.result("a"))["message_id"] == "m2"
    async with running(tmp_path) as harness:
        known = [await harness.journal.commands.is_sent_message(name) for name in ("m1", "m2", "m", "m3")]
        assert known == [True, True, False, False]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_process_that_ends_within_a_caption_makes_it_uncertain(tmp_path, times):
    for _ in range(times):
        async with running(tmp_path) as harness:
            harness.wechat.hold("somebody rang")
            if not await harness.rows():
                harness.deliver_command(**CAPTION, id="a")
            await harness.wait_for_sent_texts(1)
    async with running(tmp_path) as harness:
        result = await harness.result("a")
        expected = ["somebody rang", "door.png"] if times == 1 else ["door.png"]
        assert harness.wechat.texts() == expected
    assert (result["status"], result["parts_sent"]) == ("sent", len(expected))
    assert result["duplicate_possible"] is True


async def test_the_next_process_sends_the_file_alone_after_its_caption(tmp_path):
    async with running(tmp_path) as harness:
        harness.wechat.hold("door.png")
        harness.deliver_command(**CAPTION, id="a")
        await harness.wait_for_sent_texts(2)
    async with running(tmp_path) as harness:
        result = await harness.result("a")
        assert harness.wechat.texts() == ["door.png"]
    assert (result["status"], result["parts_sent"], result["duplicate_possible"]) == ("sent", 2, True)


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [([Rejected("no")], "failed"), ([OutcomeUnknown(), OutcomeUnknown()], "uncertain")],
)
async def test_the_status_is_that_of_the_file(harness, outcomes, status):
    harness.wechat.answer("door.png", *outcomes)
    harness.deliver_command(**CAPTION, id="a")
    result = await harness.result("a")
    assert (result["status"], result["parts"], result["parts_sent"]) == (status, 2, 1)


async def test_a_file_that_expires_after_its_caption_is_expired(harness):
    harness.wechat.answer("door.png", *[Unreachable()] * 20)
    harness.deliver_command(**CAPTION, id="a", ttl=0.5)
    result = await harness.result("a")
    assert (result["status"], result["parts_sent"]) == ("expired", 1)


async def test_the_same_id_with_another_caption_is_another_command(harness):
    harness.deliver_command(**CAPTION, id="a")
    await harness.result("a")
    harness.deliver_command(**{**CAPTION, "text": "nobody rang"}, id="a")
    _, second = await harness.wait_for_bodies("wx/result/wife", 2)
    assert (second["status"], second["code"]) == ("rejected", "id_reused")


async def test_a_caption_that_is_too_long_for_wechat_is_refused(harness):
    harness.deliver_command(**{**PICTURE, "text": "x" * 101}, id="a")
    assert (await harness.result("a"))["code"] == "too_long"


async def test_a_caption_mentions_nobody(harness):
    harness.deliver_command(**CAPTION, mention=["mom"], id="a")
    assert (await harness.result("a"))["code"] == "bad_command"


# With a reply window


async def test_a_window_that_takes_one_message_more_sends_neither_and_holds_up_no_text(tmp_path, window):
    async with running(tmp_path) as harness:
        open_window(harness, 1)
        harness.deliver_command(**CAPTION, priority="high", id="a")
        (event,) = await harness.wait_for_bodies("wx/event/held")
        assert (event["command_id"], event["why"]) == ("a", "too_few_left")
        harness.deliver_command(text="fire", priority="high", id="b")
        assert (await harness.result("b"))["status"] == "sent"
        assert harness.wechat.texts() == ["fire"]
        open_window(harness, 2)
        assert (await harness.result("a"))["status"] == "sent"
        assert harness.wechat.texts() == ["fire", "somebody rang", "door.png"]


async def test_what_is_reserved_is_for_an_important_caption_only(tmp_path, window):
    async with running(tmp_path) as harness:
        open_window(harness, 2)
        harness.deliver_command(**CAPTION, id="a")
        await harness.wait_for_bodies("wx/event/held")
        harness.deliver_command(**{**CAPTION, "text": "smoke"}, urgent=True, id="b")
        result = await harness.result("b")
        assert (result["status"], "counts in the window" in result["message"]) == ("sent", True)
        assert harness.wechat.texts() == ["smoke", "door.png"]


async def test_a_long_caption_takes_several_messages(tmp_path, window):
    async with running(tmp_path) as harness:
        open_window(harness, 10)
        harness.deliver_command(**{**PICTURE, "text": "The bell rang. Somebody is there."}, id="a")
        result = await harness.result("a")
        assert harness.wechat.texts() == ["The bell rang.", "Somebody is there.", "door.png"]
        assert (result["parts"], result["parts_sent"]) == (3, 3)


@pytest.mark.parametrize(("priority", "parts", "status"), [("normal", 9, "rejected"), ("high", 9, "sent")])
async def test_a_caption_that_no_window_takes_is_refused(tmp_path, window, priority, parts, status):
    async with running(tmp_path) as harness:
        open_window(harness, 10)
        harness.deliver_command(**{**PICTURE, "text": "x" * 20 * parts}, priority=priority, id="a")
        result = await harness.result("a")
        assert result["status"] == status
        assert (result["code"] == "too_long") is (status == "rejected")


# Markdown


async def test_markdown_is_refused_where_it_would_be_shown_as_signs(harness):
    harness.deliver_command(text="*fire*", format="markdown", id="a")
    harness.deliver_command(text="*fire*", format="text", id="b")
    refused, sent = await asyncio.gather(harness.result("a"), harness.result("b"))
    assert (refused["status"], refused["code"]) == ("rejected", "unsupported")
    assert sent["status"] == "sent"


async def test_a_backend_that_shows_markdown_gets_each_text_marked_as_markdown_or_not(tmp_path, window):
    async with running(tmp_path) as harness:
        open_window(harness, 10)
        harness.deliver_command(text="*fire*", format="markdown", id="a")
        harness.deliver_command(**CAPTION, format="markdown", id="b")
        harness.deliver_command(text="*fire*", id="c")
        for command_id in "abc":
            await harness.result(command_id)
        drafts = [draft for draft in harness.wechat.drafts if isinstance(draft, Draft)]
        marked = [(draft.text, draft.markdown) for draft in drafts]
        assert sorted(marked) == [("", False), ("*fire*", False), ("*fire*", True), ("somebody rang", True)]


async def test_neither_caption_nor_file_of_a_restored_command_is_sent_again(tmp_path):
    """The bridge from which the backup was made may have sent both since."""
    async with running(tmp_path) as harness:
        harness.wechat.hold("somebody rang")
        harness.deliver_command(**CAPTION, id="a")
        await harness.wait_for_sent_texts(1)
    start_new_stream(tmp_path / "wx2mqtt.db", other_store_active=True)
    async with running(tmp_path) as harness:
        result = await harness.result("a")
        assert harness.wechat.texts() == []
    assert (result["status"], "from a backup" in result["message"]) == ("uncertain", True)

"""Pictures, videos and files in commands are on disk before the PUBACK; of a refused one nothing stays."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace

import pytest

from tests.unit.bridge.commands_harness import person, running
from wx2mqtt.aio import MAX_BYTES_ON_LOOP
from wx2mqtt.bridge.commands import intake
from wx2mqtt.errors import OutcomeUnknown, Rejected, StoreError, StoreFull, Unreachable
from wx2mqtt.limits import DELIVERY_OVERHEAD_BYTES, MAX_COMMAND_STORE_SHARE
from wx2mqtt.model import ChatKind, Draft, Handle, Kind, Member, Recall, Receipt
from wx2mqtt.settings.schema import Media

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)
GIF = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(40)
WEBP = b"RIFF$\x00\x00\x00WEBPVP8 " + bytes(30)


def encoded(data):
    return base64.b64encode(data).decode()


async def sent_draft(harness, number=1):
    await harness.wait_for_sent_texts(number)
    draft = harness.wechat.drafts[number - 1]
    assert isinstance(draft, Draft)
    return draft


# topics and forms of a file


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        (PNG, "publish them on wx/out/wife/image"),
        (MP4 + b"\xff", "publish them on wx/out/wife/video"),
        (b"%PDF-1.7\xff", "publish them on wx/out/wife/file/<name>"),
        ("你好".encode("gbk"), "not valid UTF-8"),
        (b'{"text": "\xff"}', "not valid UTF-8"),
        ("你好".encode("utf-16"), "publish it as UTF-8"),
    ],
)
async def test_bytes_on_the_topic_of_texts_are_rejected_with_the_right_topic(harness, payload, where):
    harness.deliver(payload)
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert (result["status"], result["code"]) == ("rejected", "bad_command")
    assert where in result["message"]


@pytest.mark.parametrize(
    "wrapped", [encoded(PNG), f"data:image/png;base64,{encoded(PNG)}", f"{encoded(PNG)}\n"]
)
async def test_base64_on_the_topic_of_pictures_is_rejected_with_the_right_form(harness, wrapped):
    harness.deliver(wrapped, "wife/image")
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert result["status"] == "rejected"
    assert 'send {"kind": "image", "data": "…"} to wx/out/wife' in result["message"]


async def test_a_command_on_the_topic_of_pictures_is_rejected_with_the_right_topic(harness):
    harness.deliver('{"path": "/x.png"}', "wife/image")
    harness.deliver("just words", "wife/image")
    first, second = await harness.wait_for_bodies("wx/result/wife", 2)
    assert "publish a command on wx/out/wife" in first["message"]
    assert "this is no image but text/plain" in second["message"]


@pytest.mark.parametrize("topic", ["wx/out/wife/picture", "wx/out/wife/file", "wx/out/wife/file/a/b"])
async def test_a_topic_that_does_not_exist_is_answered_with_those_that_do(harness, topic):
    harness.deliver("x", topic=topic)
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert (result["status"], result["code"]) == ("rejected", "bad_command")
    levels = ("", "/urgent", "/high", "/image", "/video", "/file/<name>")
    assert ", ".join(f"wx/out/wife{level}" for level in levels) in result["message"]


@pytest.mark.parametrize(
    ("level", "payload", "keys"),
    [
        ("urgent", "water", (True, "normal")),
        ("high", "water", (False, "high")),
        ("high", '{"text": "water", "urgent": true}', (True, "high")),
    ],
)
async def test_a_topic_sets_what_a_text_cannot_say(harness, level, payload, keys):
    harness.deliver(payload, f"wife/{level}")
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert result["status"] == "sent"
    row = await harness.journal.commands.get(result["id"])
    assert (row.command.text, row.command.urgent, row.command.priority) == ("water", *keys)


async def test_a_command_that_differs_from_its_topic_is_refused_with_its_id(harness):
    harness.deliver('{"text": "water", "id": "w", "priority": "low"}', "wife/high")
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert (result["id"], result["status"], result["code"]) == ("w", "rejected", "bad_command")
    assert "priority" in result["message"]


@pytest.mark.parametrize("topic", ["wx/out", "wx/out/", "wx/out//image"])
async def test_a_topic_without_a_user_is_answered_too(harness, topic):
    harness.deliver("x", topic=topic)
    (result,) = await harness.wait_for_bodies("wx/result/")
    assert "wx/out/<user>, wx/out/<user>/urgent" in result["message"]


@pytest.mark.parametrize(
    ("sub", "payload", "kind", "name"),
    [
        ("image", PNG, Kind.IMAGE, "image.png"),
        ("image", GIF, Kind.STICKER, "image.gif"),
        ("video", MP4, Kind.VIDEO, "video.mp4"),
        ("file/a b.txt", b"text", Kind.FILE, "a b.txt"),
        ("file/picture", PNG, Kind.FILE, "picture.png"),
        ("file/x", b'{"text": "no command"}', Kind.FILE, "x.json"),
    ],
)
async def test_bytes_on_a_topic_go_out_with_a_name_that_fits(harness, sub, payload, kind, name):
    harness.deliver(payload, f"wife/{sub}")
    draft = await sent_draft(harness)
    assert (draft.chat, draft.kind, draft.text) == ("@wife", kind, "")
    assert draft.attachment.name == name
    assert harness.wechat.files == [payload]
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert (result["status"], result["code"], result["message_id"]) == ("sent", "ok", "m1")


@pytest.mark.parametrize("blank", ["", "\n", " "])
async def test_base64_in_a_command_may_have_white_space_in_it(harness, blank):
    data = blank.join(encoded(PNG)[at : at + 20] for at in range(0, 200, 20))
    harness.deliver_command(kind="image", data=data, name="bell.png", id="a")
    draft = await sent_draft(harness)
    assert (draft.attachment.name, harness.wechat.files) == ("bell.png", [PNG])
    (row,) = await harness.rows()
    assert row.command.data == ""
    assert row.blob.size == len(PNG)


async def test_a_file_at_a_path_below_an_allowed_folder_is_sent(tmp_path):
    (tmp_path / "cam").mkdir()
    (tmp_path / "cam/snap.png").write_bytes(PNG)
    media = Media(send_from=(tmp_path / "cam",))
    async with running(tmp_path, media=media) as harness:
        harness.deliver_command(kind="image", path=str(tmp_path / "cam/snap.png"))
        assert (await sent_draft(harness)).attachment.name == "snap.png"
        assert harness.wechat.files == [PNG]


# order


async def test_the_puback_follows_the_file_on_the_disk(harness):
    on_disk = []

    async def before_commit():
        on_disk.append([file.read_bytes() for file in harness.media_files])
        assert harness.broker.acknowledged == []

    harness.journal.before["accept"] = before_commit
    delivery = harness.deliver(PNG, "wife/image")
    await harness.wait_for_puback(delivery)
    assert on_disk == [[PNG]]


def hold_files(harness, *names):
    """Lets every file wait on its way to the disk until the returned event is set."""
    gate, take = asyncio.Event(), harness.blobs.store

    async def store_at_gate(pieces, limit):
        await gate.wait()
        return await take(pieces, limit)

    harness.blobs.store = store_at_gate
    return gate


async def test_what_follows_in_the_same_chat_waits_and_others_pass_though_their_puback_does_not(harness):
    gate = hold_files(harness)
    picture = harness.deliver(PNG, "wife/image")
    harness.deliver("after it")
    other = harness.deliver("to mom", "mom")
    assert await harness.wait_for_sent_texts(1) == ["to mom"]
    await harness.wait_for_bodies("wx/result/mom")
    assert harness.broker.acknowledged == []
    gate.set()
    assert await harness.wait_for_sent_texts(3) == ["to mom", "image.png", "after it"]
    await harness.wait_for_puback(other)
    assert harness.broker.acknowledged == [picture.mid, picture.mid + 1, other.mid]


async def test_an_old_name_of_the_same_person_keeps_the_order_too(tmp_path):
    people = (person(9, "new"),)
    async with running(tmp_path, people=people) as harness:
        harness.registry._table.assign_topic_name("old", people[0].id)
        gate = hold_files(harness)
        harness.deliver(PNG, "old/image")
        harness.deliver("after it", "new")
        harness.deliver("and after that", "old")
        gate.set()
        assert await harness.wait_for_sent_texts(3) == ["image.png", "after it", "and after that"]


async def test_what_was_accepted_at_once_stays_before_the_file_that_followed_it(harness):
    async def raise_store_full():
        raise StoreFull

    harness.journal.before["accept"] = raise_store_full
    harness.deliver("before it")
    harness.deliver(PNG, "wife/image")
    assert await harness.wait_for_sent_texts(2) == ["before it", "image.png"]


async def test_many_files_of_many_chats_are_sent_in_the_order_of_each_chat(harness):
    for number in range(30):
        for user in ("wife", "mom", "filehelper"):
            harness.deliver(b"%d" % number, f"{user}/file/{number}.txt")
    await harness.wait_for_sent_texts(90)
    for user in ("@wife", "@mom", "filehelper"):
        names = [text for chat, text, _ in harness.wechat.sent if chat == user]
        assert names == [f"{number}.txt" for number in range(30)]


async def test_long_uploads_do_not_hold_the_texts_of_others(tmp_path):
    people = tuple(person(number, f"p{number}") for number in range(1, 12))
    async with running(tmp_path, people=people) as harness:
        harness.wechat.hold("slow.txt")
        for number in range(1, 10):
            harness.deliver(b"x", f"p{number}/file/slow.txt")
        harness.deliver("quick", "p11")
        await harness.wait_for_bodies("wx/result/p11")
        harness.deliver(b"x", "p10/file/quick.txt")
        harness.deliver("quick", "p11")
        await harness.wait_for_bodies("wx/result/p11", 2)
        harness.wechat.release("slow.txt")
        await harness.wait_for_bodies("wx/result/p10")


async def test_more_than_there_is_memory_for_stays_with_the_broker(harness, monkeypatch):
    monkeypatch.setattr(intake, "MAX_PENDING_BYTES", 10_000)
    gate = hold_files(harness)
    for number in range(3):
        assert not harness.broker.paused
        harness.deliver(bytes(500), f"wife/file/{number}")
    assert harness.broker.paused
    harness.disconnect()
    harness.connect(session_present=True)
    gate.set()
    await harness.wait_for_sent_texts(3)
    await harness.changes.wait_until(lambda: len(harness.bodies_on("wx/result/wife")) == 3)
    assert not harness.broker.paused


def hold_the_first_file(harness) -> asyncio.Event:
    """Lets the file `first` wait on its way to the disk until the event is set."""
    gate, take = asyncio.Event(), harness.blobs.store

    async def store_first_at_gate(pieces, limit):
        data = b"".join([piece async for piece in pieces])
        if data == b"first":
            await gate.wait()
        return await take(data, limit)

    harness.blobs.store = store_first_at_gate
    return gate


async def test_what_is_on_the_disk_is_held_in_memory_no_longer_though_its_puback_waits(harness, monkeypatch):
    monkeypatch.setattr(intake, "MAX_PENDING_BYTES", 10_000)
    gate = hold_the_first_file(harness)
    harness.deliver(b"first", "mom/file/a")
    harness.deliver(bytes(8000), "wife/file/b")
    await harness.wait_for_bodies("wx/result/wife")
    assert (harness.broker.paused, harness.broker.acknowledged) == (False, [])
    gate.set()
    await harness.wait_for_bodies("wx/result/mom")


@pytest.mark.parametrize("mid", [0, 1], ids=["QoS 0", "QoS 1"])
async def test_many_small_deliveries_are_more_than_their_payloads(harness, monkeypatch, mid):
    """Only at QoS 1 the broker waits for PUBACKs: without a pause all deliveries would be read into memory."""
    monkeypatch.setattr(intake, "MAX_PENDING_BYTES", 10 * DELIVERY_OVERHEAD_BYTES)
    waiting, gate = asyncio.Event(), asyncio.Event()

    async def wait_in_commit():
        waiting.set()
        await gate.wait()

    harness.journal.before["accept"] = wait_in_commit
    for number in range(1, 11):
        assert not harness.broker.paused
        harness.deliver("", mid=mid and number, correlation=b"x")
    await waiting.wait()
    assert harness.broker.paused
    harness.disconnect()
    harness.connect(session_present=True)
    gate.set()
    await harness.changes.wait_until(lambda: not harness.broker.paused)
    assert harness.intake._bytes_in_memory == 0


async def test_a_delivery_that_waits_for_its_turn_of_a_puback_counts_until_then(harness):
    gate = hold_the_first_file(harness)
    first = harness.deliver(b"first", "mom/file/a")
    second = harness.deliver("second")
    unneeded = harness.deliver("at QoS 0", mid=0)
    await harness.wait_for_bodies("wx/result/wife", 2)
    held = [replace(second, payload=b"").held_bytes, first.held_bytes]
    assert harness.intake._bytes_in_memory == sum(held), unneeded
    gate.set()
    await harness.wait_for_bodies("wx/result/mom")
    assert harness.intake._bytes_in_memory == 0


# before the attempt


async def test_a_file_is_brought_along_before_its_attempt_is_marked(harness):
    harness.wechat.uploads.clear()
    harness.deliver(b"x", "wife/file/a.txt")
    await harness.changes.wait_until(lambda: harness.wechat.prepared)
    (row,) = await harness.rows()
    assert (row.attempt_open, row.attempts) == (False, 0)
    assert not harness.wechat.sent
    harness.wechat.uploads.set()
    await harness.wait_for_sent_texts(1)
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert (result["status"], result["duplicate_possible"]) == ("sent", False)


async def test_a_file_that_wechat_does_not_want_at_all_is_never_attempted(harness):
    harness.wechat.refusals.append(Rejected("no", code="too_large"))
    harness.deliver(b"x", "wife/file/a.txt")
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert (result["status"], result["code"]) == ("failed", "too_large")
    assert not harness.wechat.sent


async def test_a_file_that_cannot_be_brought_now_is_brought_later(harness):
    harness.wechat.refusals += [Unreachable()]
    harness.deliver(b"x", "wife/file/a.txt")
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert (result["status"], result["duplicate_possible"]) == ("sent", False)
    assert harness.wechat.prepared == ["a.txt", "a.txt"]
    (row,) = await harness.rows()
    assert row.attempts == 1


# repeats and redeliveries


async def test_the_same_id_and_bytes_are_a_repeat(harness):
    harness.deliver_command(kind="image", data=encoded(PNG), id="a")
    first = await harness.result("a")
    harness.deliver_command(kind="image", data=encoded(PNG), id="a", priority="high")
    assert await harness.wait_for_bodies("wx/result/wife", 2) == [first, first]
    assert len(harness.wechat.sent) == 1


async def test_the_same_id_with_other_bytes_is_rejected_and_they_do_not_stay(harness):
    harness.deliver_command(kind="file", data=encoded(b"one"), id="a")
    await harness.result("a")
    harness.deliver_command(kind="file", data=encoded(b"two"), id="a")
    second = (await harness.wait_for_bodies("wx/result/wife", 2))[1]
    assert (second["id"], second["code"]) == ("a", "id_reused")
    await harness.changes.wait_until(
        lambda: b"two" not in [file.read_bytes() for file in harness.media_files]
    )
    assert harness.wechat.files == [b"one"]


async def test_bytes_that_another_command_needs_stay_when_a_refusal_has_the_same(harness):
    harness.sender.set_online(online=False)
    harness.deliver_command(kind="file", data=encoded(b"one"), id="a")
    harness.deliver_command(kind="file", data=encoded(b"two"), id="b")
    harness.deliver_command(kind="file", data=encoded(b"two"), id="a")
    await harness.wait_for_bodies("wx/result/wife")
    assert sorted(file.read_bytes() for file in harness.media_files) == [b"one", b"two"]
    harness.sender.set_online(online=True)
    await harness.wait_for_sent_texts(2)
    assert harness.wechat.files == [b"one", b"two"]


async def test_a_repeat_by_path_is_one_though_the_file_has_gone(tmp_path):
    (file := tmp_path / "cam.png").write_bytes(PNG)
    async with running(tmp_path, media=Media(send_from=(tmp_path,))) as harness:
        command = {"kind": "image", "path": str(file), "id": "a"}
        harness.deliver_command(**command)
        first = await harness.result("a")
        file.unlink()
        harness.deliver_command(**command)
        assert await harness.wait_for_bodies("wx/result/wife", 2) == [first, first]
        harness.deliver_command(**{**command, "name": "other.png"})
        assert (await harness.wait_for_bodies("wx/result/wife", 3))[2]["code"] == "id_reused"


async def test_a_redelivery_is_the_same_command_also_when_it_is_large(harness):
    payload = bytes(MAX_BYTES_ON_LOOP // 2) + b"x"
    harness.deliver(payload[: MAX_BYTES_ON_LOOP // 2], "mom/file/a.bin")
    large = bytes(900_000)
    for data in (payload, large):
        harness.wechat.sent.clear()
        delivery = harness.deliver(data, "wife/file/a.bin")
        await harness.wait_for_puback(delivery)
        harness.disconnect()
        harness.connect(session_present=True)
        harness.redeliver(delivery)
        await harness.changes.wait_until(lambda mid=delivery.mid: harness.broker.acknowledged.count(mid) == 2)
    assert len([row for row in await harness.rows() if row.command.user == "wife"]) == 2


async def test_a_redelivery_while_its_bytes_are_still_being_stored_is_the_same_command(harness):
    gate = hold_files(harness)
    delivery = harness.deliver(PNG, "wife/image")
    harness.disconnect()
    harness.connect(session_present=True)
    harness.redeliver(delivery)
    gate.set()
    await harness.wait_for_puback(delivery)
    assert len(await harness.rows()) == 1
    await harness.wait_for_sent_texts(1)


# refusals


REFUSED_FILES = [
    ("image", b"no picture", "bad_file"),
    ("image", b"\x89PNG\r\n\x1a\nand no more", "bad_file"),
    ("image", b"\xff\xd8\xff\xe0 jpeg?", "bad_file"),
    ("image", MP4, "bad_file"),
    ("video", PNG, "bad_file"),
    ("image", WEBP, "unsupported"),
    ("image", b"", "empty"),
    ("video", b"", "empty"),
    ("file/a", b"", "empty"),
    ("image", PNG + bytes(2000), "too_large"),
    ("image", GIF + bytes(1000), "too_large"),
    ("video", MP4 + bytes(3000), "too_large"),
    ("file/a", bytes(1_000_001), "too_large"),
]


@pytest.mark.parametrize(("sub", "payload", "code"), REFUSED_FILES)
async def test_what_wechat_would_not_take_is_refused_and_nothing_of_it_stays(harness, sub, payload, code):
    delivery = harness.deliver(payload, f"wife/{sub}")
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert (result["status"], result["code"]) == ("rejected", code)
    await harness.wait_for_puback(delivery)
    assert harness.media_files == []
    assert harness.wechat.sent == []


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"kind": "image", "data": "iVBORw0KGgo"}, "bad_command"),
        ({"kind": "image", "data": encoded(PNG)[:-4]}, "sent"),
        ({"kind": "image", "data": encoded(PNG)[:-3]}, "bad_command"),
        ({"kind": "file", "data": "!!!!"}, "bad_command"),
        ({"kind": "file", "data": encoded(bytes(600_000)) + "="}, "bad_command"),
        ({"kind": "file", "data": "===="}, "bad_command"),
        ({"kind": "file", "path": "/etc/passwd"}, "not_allowed"),
        ({"kind": "file", "url": "http://127.0.0.1/x"}, "not_allowed"),
        ({"kind": "file", "url": "file:///etc/passwd"}, "bad_command"),
    ],
)
async def test_data_paths_and_urls_that_are_no_file_are_rejected(harness, command, code):
    harness.deliver_command(**command, id="a")
    result = await harness.result("a")
    if code != "sent":
        assert (result["status"], result["code"]) == ("rejected", code)
        assert harness.media_files == []
        assert harness.wechat.sent == []
    (row,) = await harness.rows()
    assert row.command.data == ""


async def test_who_may_not_be_written_to_gets_no_file_either_and_no_disk_is_touched(harness):
    def fail_if_called(*_args):
        raise AssertionError

    harness.blobs.store = fail_if_called
    harness.deliver(PNG, "nobody/image")
    (result,) = await harness.wait_for_bodies("wx/result/nobody")
    assert result["code"] == "unknown_user"


async def test_a_retained_picture_is_refused_and_cleared(harness):
    harness.deliver(PNG, "wife/image", retain=True)
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert result["code"] == "retained"
    assert harness.media_files == []


@pytest.mark.parametrize(
    ("error", "code"),
    [(StoreFull(), "storage_full"), (StoreError(), "internal"), (ZeroDivisionError(), "internal")],
)
async def test_a_disk_that_takes_no_file_refuses_this_one_and_the_others_go_on(harness, error, code):
    async def raise_trouble(_pieces, _limit):
        raise error

    harness.blobs.store = raise_trouble
    harness.deliver(PNG, "wife/image")
    harness.deliver("a text")
    first, second = await harness.wait_for_bodies("wx/result/wife", 2)
    assert (first["status"], first["code"], second["status"]) == ("rejected", code, "sent")


async def test_a_file_larger_than_what_the_store_has_for_commands_is_rejected(harness):
    harness.quota.size = int(harness.quota.limit * MAX_COMMAND_STORE_SHARE) - 100
    harness.deliver(bytes(101), "wife/file/a")
    harness.deliver(bytes(100), "wife/file/b")
    first, second = await harness.wait_for_bodies("wx/result/wife", 2)
    assert (first["code"], second["status"]) == ("storage_full", "sent")


# outcomes of attempts


async def test_an_upload_that_failed_is_tried_again_and_one_that_was_not_answered_once_more(harness):
    harness.wechat.answer("a.txt", Unreachable(), OutcomeUnknown(), Receipt(message_id="m9"))
    harness.deliver(b"x", "wife/file/a.txt")
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert (result["status"], result["message_id"], result["duplicate_possible"]) == ("sent", "m9", True)
    assert harness.wechat.files == [b"x"] * 3


async def test_what_wechat_refuses_is_failed(harness):
    harness.wechat.answer("a.txt", Rejected("no", code="unsupported"))
    harness.deliver(b"x", "wife/file/a.txt")
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert (result["status"], result["code"]) == ("failed", "unsupported")


async def test_a_command_whose_stored_file_was_deleted_is_rejected(harness):
    harness.sender.set_online(online=False)
    delivery = harness.deliver(b"x", "wife/file/a.txt")
    await harness.wait_for_puback(delivery)
    (file,) = harness.media_files
    file.unlink()
    harness.sender.set_online(online=True)
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert (result["status"], result["code"]) == ("rejected", "bad_file")


async def test_a_file_on_the_disk_is_sent_by_the_next_process(tmp_path):
    async with running(tmp_path, online=False) as harness:
        await harness.wait_for_puback(harness.deliver(PNG, "wife/image"))
    async with running(tmp_path) as harness:
        assert (await sent_draft(harness)).kind is Kind.IMAGE
        assert harness.wechat.files == [PNG]


# echoes


async def test_the_echo_of_a_picture_is_known_by_its_id_and_one_without_by_kind_and_time(harness):
    harness.wechat.answer("image.png", OutcomeUnknown(), OutcomeUnknown())
    harness.deliver(PNG, "wife/image")
    (result,) = await harness.wait_for_bodies("wx/result/wife")
    assert result["status"] == "uncertain"
    known = [harness.echoes.is_echo(echo_of(harness, number, Kind.IMAGE)) for number in range(3)]
    assert known == [True, True, False]
    assert not harness.echoes.is_echo(echo_of(harness, 9, Kind.VIDEO))
    harness.deliver(MP4, "wife/video")
    await harness.wait_for_bodies("wx/result/wife", 2)
    assert harness.echoes.is_echo(replace(echo_of(harness, 0, Kind.VIDEO), id="m3"))


def echo_of(harness, number, kind):
    from wx2mqtt.clock import now_ms
    from wx2mqtt.model import Message

    return Message(
        key=f"k{number}",
        id=f"k{number}",
        chat=Handle("@wife"),
        chat_kind=ChatKind.FRIEND,
        sender=None,
        from_self=True,
        kind=kind,
        text="[whatever WeChat calls it]",
        time=now_ms(),
    )


# recall


async def send_text(harness, user="wife"):
    harness.deliver("oops", user)
    return (await harness.wait_for_bodies(f"wx/result/{user}"))[0]["message_id"]


async def test_an_own_message_is_withdrawn(harness):
    message_id = await send_text(harness)
    harness.deliver_command(kind="recall", message_id=message_id, id="r")
    result = await harness.result("r")
    assert (result["status"], result["code"], result["message_id"]) == ("sent", "ok", None)
    assert harness.wechat.drafts[1] == Recall(chat=Handle("@wife"), message_id=message_id)


async def test_a_request_to_recall_needs_no_user_and_is_answered(harness):
    message_id = await send_text(harness)
    harness.deliver(
        json.dumps({"message_id": message_id, "transaction": 7}), topic="wx/bridge/request/recall"
    )
    (answer,) = await harness.wait_for_bodies("wx/bridge/response/recall")
    assert (answer["status"], answer["transaction"], answer["data"]["status"]) == ("ok", 7, "sent")
    assert len(await harness.wait_for_bodies("wx/result/wife", 2)) == 2


@pytest.mark.parametrize(
    "payload", ['{"message_id": "77"}', '{"message_id": 7}', "{}", "x", '{"message_id": "\\ud800"}']
)
async def test_a_request_to_recall_a_message_that_was_not_sent_here_is_an_error(harness, payload):
    harness.deliver(payload, topic="wx/bridge/request/recall")
    (answer,) = await harness.wait_for_bodies("wx/bridge/response/recall")
    assert answer["status"] == "error"
    assert harness.wechat.sent == []


async def test_a_message_of_somebody_else_or_to_somebody_else_is_not_withdrawn(harness):
    message_id = await send_text(harness, "mom")
    harness.deliver_command(kind="recall", message_id="77", id="r1")
    harness.deliver_command(kind="recall", message_id=message_id, id="r2")
    for command_id in ("r1", "r2"):
        result = await harness.result(command_id)
        assert (result["status"], result["code"]) == ("rejected", "unknown_message")
    assert len(harness.wechat.sent) == 1


async def test_after_two_minutes_it_is_too_late_and_wechat_is_not_even_asked(harness):
    message_id = await send_text(harness)
    harness.journal.rows.now = lambda now=harness.journal.rows.now: now() - 121_000
    later = await send_old_text(harness)
    harness.deliver_command(kind="recall", message_id=later, id="r")
    result = await harness.result("r")
    assert (result["status"], result["code"]) == ("rejected", "too_late")
    harness.deliver_command(kind="recall", message_id=message_id, id="r2")
    assert (await harness.result("r2"))["status"] == "sent"


async def send_old_text(harness):
    harness.deliver_command(text="an old one", id="old")
    return (await harness.result("old"))["message_id"]


async def test_what_wechat_does_not_withdraw_is_failed_and_an_unanswered_recall_is_asked_for_once_more(
    harness,
):
    message_id = await send_text(harness)
    harness.wechat.answer(message_id, Rejected("too old"), OutcomeUnknown())
    harness.deliver_command(kind="recall", message_id=message_id, id="r1")
    assert (await harness.result("r1"))["code"] == "refused_by_wechat"
    harness.deliver_command(kind="recall", message_id=message_id, id="r2")
    assert (await harness.result("r2"))["status"] == "sent"


async def test_a_recall_needs_no_token_of_the_rate_limit(tmp_path):
    async with running(tmp_path, per_minute=0.001, burst=1) as harness:
        message_id = await send_text(harness)
        harness.deliver_command(kind="recall", message_id=message_id, id="r")
        assert (await harness.result("r"))["status"] == "sent"


# mentions


FAMILY = person(9, "family", kind=ChatKind.GROUP, handle=Handle("@@family"))


@pytest.fixture
async def group(tmp_path):
    async with running(
        tmp_path, people=(*(person(n, name) for n, name in enumerate(("wife", "mom"), 1)), FAMILY)
    ) as harness:
        harness.wechat.people = (
            Member(handle=Handle("@wife"), nickname="W"),
            Member(handle=Handle("@x1"), nickname="Li", display_name="Li Lei"),
            Member(handle=Handle("@x2"), nickname="Li"),
            Member(handle=Handle("@x3"), nickname="e\u0301"),
        )
        yield harness


async def test_members_are_mentioned_by_topic_name_and_as_the_group_shows_them(group):
    group.deliver_command("family", text="dinner", mention=["wife", "Li Lei", "\u00e9", "wife"])
    draft = await sent_draft(group)
    assert (draft.text, draft.mention) == ("dinner", ("@wife", "@x1", "@x3"))


@pytest.mark.parametrize(
    ("name", "word"), [("mom", "nobody"), ("Han", "nobody"), ("Li", "several"), ("", "nobody")]
)
async def test_who_is_no_member_or_not_the_only_one_is_not_mentioned_and_nothing_is_sent(group, name, word):
    group.deliver_command("family", text="dinner", mention=["wife", name], id="a")
    result = await group.result("a", "family")
    assert (result["status"], result["code"]) == ("rejected", "bad_command")
    assert word in result["message"]
    assert group.wechat.sent == []


async def test_a_group_whose_members_cannot_be_asked_for_now_is_asked_again(group):
    list_members, asked = group.wechat.list_members, []

    async def unreachable_once(chat):
        asked.append(chat)
        if len(asked) == 1:
            raise Unreachable
        return await list_members(chat)

    group.wechat.list_members = unreachable_once
    group.deliver_command("family", text="dinner", mention=["wife"], id="a")
    assert (await group.result("a", "family"))["status"] == "sent"
    assert asked == ["@@family"] * 2

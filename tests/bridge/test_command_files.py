"""The file of a command is on disk before its PUBACK and keeps its place in the chat; of a refused one nothing stays."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount, fail_next_call, hold_calls
from tests.support.memory_backend import MOM, WIFE, MemoryBackend, Pause, with_capabilities
from wx2mqtt.bridge.commands import intake
from wx2mqtt.bridge.commands.http_commands import CallRefused
from wx2mqtt.errors import DeclaredSizeTooLarge, OutcomeUnknown, Rejected, StoreError, StoreFull, Unreachable
from wx2mqtt.limits import DELIVERY_OVERHEAD_BYTES, MAX_COMMAND_STORE_SHARE
from wx2mqtt.model import ChatKind, Contact, Handle, Kind
from wx2mqtt.wechat.backend import MediaLimits

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)
GIF = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(40)
WEBP = b"RIFF$\x00\x00\x00WEBPVP8 " + bytes(30)
MEDIA = {
    "image": MediaLimits(max_bytes=2000, mime_types=frozenset({"image/jpeg", "image/png"})),
    "video": MediaLimits(max_bytes=3000, mime_types=frozenset({"video/mp4"})),
    "file": MediaLimits(max_bytes=1_000_000),
    "sticker": MediaLimits(max_bytes=1000, mime_types=frozenset({"image/gif"})),
}


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
async def bridge(open_bridge: OpenBridge) -> BridgedAccount:
    """A bridge whose WeChat takes small files of a few types."""
    return await open_bridge(with_capabilities(media=MEDIA))


def sent_files(bridge: BridgedAccount) -> list[tuple[str, Kind, str, bytes]]:
    """The chat, kind, name and bytes of each file that went out; a text has its words for a name."""
    return [
        (draft.chat, draft.kind, draft.text, b"")
        if draft.attachment is None
        else (draft.chat, draft.kind, draft.attachment.name, draft.attachment.file.read_bytes())
        for draft in (sent.draft for sent in bridge.backend.sent)
    ]


def names(bridge: BridgedAccount, contact: Contact = WIFE) -> list[str]:
    return [name for chat, _, name, _ in sent_files(bridge) if chat == contact.handle]


# What goes out


@pytest.mark.parametrize(
    ("level", "payload", "kind", "name"),
    [
        ("image", PNG, Kind.IMAGE, "image.png"),
        ("image", GIF, Kind.STICKER, "image.gif"),
        ("video", MP4, Kind.VIDEO, "video.mp4"),
        ("file/a b.txt", b"text", Kind.FILE, "a b.txt"),
        ("file/picture", PNG, Kind.FILE, "picture.png"),
        ("file/x", b'{"text": "no command"}', Kind.FILE, "x.json"),
    ],
)
async def test_bytes_on_a_topic_go_out_with_a_name_that_fits(
    bridge: BridgedAccount, level: str, payload: bytes, kind: Kind, name: str
):
    result = await bridge.send(f"老婆/{level}", payload)
    assert (result["status"], result["code"], result["message_id"]) == ("sent", "ok", "sent-1")
    assert sent_files(bridge) == [("@wife", kind, name, payload)]


@pytest.mark.parametrize("blank", ["", "\n", " "])
async def test_base64_in_a_command_may_have_white_space_in_it(bridge: BridgedAccount, blank: str):
    data = blank.join(encoded(PNG)[at : at + 20] for at in range(0, 200, 20))
    await bridge.send("老婆", {"kind": "image", "data": data, "name": "bell.png"})
    assert sent_files(bridge) == [("@wife", Kind.IMAGE, "bell.png", PNG)]
    (row,) = await bridge.commands()
    assert (row.command.data, row.blob and row.blob.size) == ("", len(PNG))


async def test_a_file_at_a_path_is_sent_and_a_repeat_is_one_though_the_file_has_gone(
    open_bridge: OpenBridge, tmp_path: Path
):
    (file := tmp_path / "snap.png").write_bytes(PNG)
    bridge = await open_bridge(media={"send_from": [str(tmp_path)]})
    command = {"kind": "image", "path": str(file), "id": "a"}
    first = await bridge.send("老婆", command)
    assert sent_files(bridge) == [("@wife", Kind.IMAGE, "snap.png", PNG)]
    file.unlink()
    assert await bridge.send("老婆", command) == first
    assert (await bridge.send("老婆", {**command, "name": "other.png"}))["code"] == "id_reused"


# PUBACK and order


async def test_the_puback_follows_the_file_on_the_disk(bridge: BridgedAccount):
    commit = bridge.hold_store("accept")
    bridge.deliver("wx/out/老婆/image", PNG)
    await bridge.pass_time(1)
    assert (bridge.stored_files, bridge.broker.pubacks) == ([PNG], [])
    commit.set_result(None)
    await bridge.result("老婆")
    assert len(bridge.broker.pubacks) == 1


async def test_what_follows_in_the_same_chat_waits_and_others_pass_though_their_puback_does_not(
    bridge: BridgedAccount,
):
    gate = hold_calls(bridge.stores.blobs, "store")
    picture = bridge.deliver("wx/out/老婆/image", PNG)
    bridge.deliver("wx/out/老婆", "after it")
    await bridge.send("妈妈", "to mom")
    assert (names(bridge), names(bridge, MOM), bridge.broker.pubacks) == ([], ["to mom"], [])
    gate.set()
    await bridge.wait_until(lambda: len(bridge.broker.pubacks) == 3)
    assert [mid for _, mid in bridge.broker.pubacks] == [picture.mid, picture.mid + 1, picture.mid + 2]
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 3)
    assert names(bridge) == ["image.png", "after it"]


async def test_what_was_accepted_at_once_stays_before_the_file_that_followed_it(bridge: BridgedAccount):
    bridge.fail_store("accept")
    bridge.deliver("wx/out/老婆", "before it")
    bridge.deliver("wx/out/老婆/image", PNG)
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 2)
    assert names(bridge) == ["before it", "image.png"]


async def test_many_files_of_many_chats_are_sent_in_the_order_of_each_chat(bridge: BridgedAccount):
    for number in range(30):
        for user in ("老婆", "妈妈"):
            bridge.deliver(f"wx/out/{user}/file/{number}.txt", b"%d" % number)
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 60)
    assert names(bridge) == names(bridge, MOM) == [f"{number}.txt" for number in range(30)]


async def test_long_uploads_do_not_hold_the_texts_of_others(open_bridge: OpenBridge):
    friends = [
        Contact(handle=Handle(f"@{number}"), kind=ChatKind.FRIEND, nickname=f"友{number}")
        for number in range(11)
    ]
    slow_chats = {friend.handle: 600.0 for friend in friends[:9]}
    bridge = await open_bridge(MemoryBackend(contacts=friends, slow_chats=slow_chats))
    for number in range(9):
        bridge.deliver(f"wx/out/友{number}/file/slow.txt", b"x")
    bridge.deliver("wx/out/友9/file/quick.txt", b"x")
    for _ in range(2):
        await bridge.send("友10", "quick")
    assert len(bridge.published("wx/result/友0")) == 0
    await bridge.result("友9")


# Memory


async def test_more_than_there_is_memory_for_stays_with_the_broker(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(intake, "MAX_PENDING_BYTES", 10_000)
    gate = hold_calls(bridge.stores.blobs, "store")
    for number in range(3):
        assert not bridge.broker.paused
        bridge.deliver(f"wx/out/老婆/file/{number}", bytes(500))
    assert bridge.broker.paused
    bridge.broker.disconnect()
    await bridge.broker.connect(session_present=True)
    gate.set()
    await bridge.wait_until(lambda: len(bridge.published("wx/result/老婆")) == 3)
    assert not bridge.broker.paused


def hold_first_file(bridge: BridgedAccount) -> Any:
    """Holds the first file on its way to the disk, and no other."""
    store = bridge.stores.blobs.store
    gate = hold_calls(bridge.stores.blobs, "store")
    held = bridge.stores.blobs.store

    async def store_one(*args: Any) -> Any:
        bridge.stores.blobs.store = store  # type: ignore[method-assign]
        return await held(*args)

    bridge.stores.blobs.store = store_one  # type: ignore[method-assign, assignment]
    return gate


async def test_what_is_on_the_disk_is_held_in_memory_no_longer_though_its_puback_waits(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(intake, "MAX_PENDING_BYTES", 10_000)
    gate = hold_first_file(bridge)
    bridge.deliver("wx/out/妈妈/file/a", b"first")
    await bridge.pass_time(1)
    await bridge.send("老婆/file/b", bytes(8000))
    assert (bridge.broker.paused, bridge.broker.pubacks) == (False, [])
    await bridge.send("老婆", "at QoS 0", qos=0)
    gate.set()
    await bridge.result("妈妈")
    assert len(bridge.broker.pubacks) == 2
    assert bridge.account.components.intake._bytes_in_memory == 0


@pytest.mark.parametrize("qos", [0, 1])
async def test_many_small_deliveries_are_more_than_their_payloads(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch, qos: int
):
    """Only at QoS 1 the broker waits for PUBACKs: without a pause all deliveries would be read into memory."""
    monkeypatch.setattr(intake, "MAX_PENDING_BYTES", 10 * DELIVERY_OVERHEAD_BYTES)
    commit = bridge.hold_store("accept")
    for _ in range(10):
        assert not bridge.broker.paused
        bridge.deliver("wx/out/老婆", "", qos=qos, correlation=b"x")
    await bridge.pass_time(1)
    assert bridge.broker.paused
    bridge.broker.disconnect()
    await bridge.broker.connect(session_present=True)
    commit.set_result(None)
    await bridge.wait_until(lambda: not bridge.broker.paused)
    assert bridge.account.components.intake._bytes_in_memory == 0


# The attempt


async def test_a_file_is_brought_along_before_its_attempt_is_marked(bridge: BridgedAccount):
    bridge.backend.preparations += [Unreachable(), Pause(60)]
    bridge.deliver("wx/out/老婆/file/a.txt", b"x")
    await bridge.wait_until(lambda: len(bridge.backend.prepared) == 2)
    (row,) = await bridge.commands()
    assert (row.attempt_open, row.attempts, bridge.backend.sent) == (False, 0, [])
    result = await bridge.result("老婆")
    assert (result["status"], result["duplicate_possible"]) == ("sent", False)
    (row,) = await bridge.commands()
    assert row.attempts == 1


@pytest.mark.parametrize("step", ["preparations", "outcomes"])
async def test_what_wechat_refuses_is_failed(bridge: BridgedAccount, step: str):
    getattr(bridge.backend, step).append(Rejected("no", code="unsupported"))
    result = await bridge.send("老婆/file/a.txt", b"x")
    assert (result["status"], result["code"]) == ("failed", "unsupported")
    assert len(bridge.backend.sent) == (step == "outcomes")


async def test_an_upload_that_failed_is_tried_again_and_one_that_was_not_answered_once_more(
    bridge: BridgedAccount,
):
    bridge.backend.outcomes += [Unreachable(), OutcomeUnknown()]
    result = await bridge.send("老婆/file/a.txt", b"x")
    assert (result["status"], result["message_id"], result["duplicate_possible"]) == ("sent", "sent-3", True)
    assert [content for *_, content in sent_files(bridge)] == [b"x"] * 3


async def test_a_file_is_sent_by_the_next_process_unless_it_was_deleted(bridge: BridgedAccount):
    for user in ("老婆", "妈妈"):
        bridge.backend.slow_chats = {WIFE.handle: 600.0, MOM.handle: 600.0}
        bridge.deliver(f"wx/out/{user}", "slow")
        bridge.deliver(f"wx/out/{user}/file/a.txt", user.encode())
    await bridge.pass_time(5)
    await bridge.kill()
    for path in (bridge.folder / "media").rglob("*"):
        if path.is_file() and path.read_bytes() == "妈妈".encode():
            path.unlink()
    bridge.backend.slow_chats.clear()
    await bridge.restart()
    await bridge.result("老婆")
    await bridge.result("妈妈")
    assert (await bridge.result("老婆"))["status"] == "sent"
    lost = await bridge.result("妈妈")
    assert (lost["status"], lost["code"]) == ("rejected", "bad_file")


async def test_the_echo_of_a_picture_is_known_by_its_id_and_one_without_by_kind_and_time(
    open_bridge: OpenBridge,
):
    bridge = await open_bridge(with_capabilities(media=MEDIA), receive={"own": True})
    bridge.backend.outcomes += [OutcomeUnknown(), OutcomeUnknown()]
    assert (await bridge.send("老婆/image", PNG))["status"] == "uncertain"
    for number in range(3):
        bridge.backend.write_as_owner(WIFE, "[picture]", f"echo-{number}", kind=Kind.IMAGE)
    bridge.backend.write_as_owner(WIFE, "[video]", "typed", kind=Kind.VIDEO)
    message_id = (await bridge.send("老婆/video", MP4))["message_id"]
    bridge.backend.write_as_owner(WIFE, "[video]", message_id, kind=Kind.VIDEO)
    await bridge.pass_time(5)
    assert [body["id"] for body in bridge.published("wx/in/老婆")] == ["echo-2", "typed"]


# Repeats


async def test_the_same_id_and_bytes_are_a_repeat_and_other_bytes_are_refused_and_do_not_stay(
    bridge: BridgedAccount,
):
    command = {"kind": "file", "data": encoded(b"one"), "id": "a"}
    first = await bridge.send("老婆", command)
    assert await bridge.send("老婆", {**command, "priority": "high"}) == first
    assert (await bridge.send("老婆", {**command, "data": encoded(b"two")}))["code"] == "id_reused"
    assert b"two" not in bridge.stored_files
    assert len(bridge.backend.sent) == 1


async def test_bytes_that_another_command_needs_stay_when_a_refusal_has_the_same(bridge: BridgedAccount):
    bridge.backend.slow_chats[WIFE.handle] = 60.0
    for command_id, data in (("a", b"one"), ("b", b"two"), ("a", b"two")):
        bridge.deliver("wx/out/老婆", {"kind": "file", "data": encoded(data), "id": command_id})
    assert (await bridge.result("老婆"))["code"] == "id_reused"
    assert bridge.stored_files == [b"one", b"two"]
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 2)
    assert [content for *_, content in sent_files(bridge)] == [b"one", b"two"]


# Refusals


REFUSED: list[tuple[str, bytes | dict[str, Any], str, str]] = [
    ("/image", b"no picture", "bad_file", "this is no image but text/plain"),
    ("/image", b"\x89PNG\r\n\x1a\nand no more", "bad_file", ""),
    ("/image", b"\xff\xd8\xff\xe0 jpeg?", "bad_file", ""),
    ("/image", MP4, "bad_file", ""),
    ("/video", PNG, "bad_file", ""),
    ("/image", WEBP, "unsupported", ""),
    ("/image", PNG + bytes(2000), "too_large", ""),
    ("/image", GIF + bytes(1000), "too_large", ""),
    ("/video", MP4 + bytes(3000), "too_large", ""),
    ("/file/a", bytes(1_000_001), "too_large", ""),
    *(
        ("/image", form.encode(), "bad_file", 'send {"kind": "image", "data": "…"} to wx/out/老婆')
        for form in (encoded(PNG), f"data:image/png;base64,{encoded(PNG)}", f"{encoded(PNG)}\n")
    ),
    ("/image", b'{"path": "/x.png"}', "bad_file", "publish a command on wx/out/老婆"),
    *(
        ("", {"kind": "file", "data": data}, "bad_command", "")
        for data in ("iVBORw0KGgo", encoded(PNG)[:-3], "!!!!", encoded(bytes(600_000)) + "=", "====")
    ),
    ("", {"kind": "file", "path": "/etc/passwd"}, "not_allowed", ""),
    ("", {"kind": "file", "url": "file:///etc/passwd"}, "bad_command", ""),
]


async def test_what_wechat_would_not_take_is_refused_and_nothing_of_it_stays(bridge: BridgedAccount):
    for level, payload, code, words in REFUSED:
        result = await bridge.send(f"老婆{level}", payload)
        assert (result["status"], result["code"]) == ("rejected", code), (
            level,
            payload[:40] if isinstance(payload, bytes) else payload,
        )
        assert words in result["message"]
        assert bridge.stored_files == []
    assert len(bridge.broker.pubacks) == len(REFUSED)
    assert {row.command.data for row in await bridge.commands()} == {""}
    assert (bridge.backend.prepared, bridge.backend.sent) == ([], [])


async def test_for_who_may_not_be_written_to_and_what_is_retained_no_disk_is_touched(bridge: BridgedAccount):
    hold_calls(bridge.stores.blobs, "store")
    bridge.broker.honours_retain = False
    assert (await bridge.send("nobody/image", PNG))["code"] == "unknown_user"
    assert (await bridge.send("老婆/image", PNG, retain=True))["code"] == "retained"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreFull(), "storage_full"),
        (StoreError(), "internal"),
        (ZeroDivisionError(), "internal"),
        (DeclaredSizeTooLarge(), "too_large"),
    ],
)
async def test_a_disk_that_takes_no_file_refuses_this_one_and_the_others_go_on(
    bridge: BridgedAccount, error: Exception, code: str
):
    fail_next_call(bridge.stores.blobs, "store", error)
    bridge.deliver("wx/out/老婆/image", PNG)
    bridge.deliver("wx/out/老婆", "a text")
    first, second = await bridge.result("老婆"), await bridge.result("老婆")
    assert (first["status"], first["code"], second["status"]) == ("rejected", code, "sent")


async def test_a_file_must_fit_into_the_part_of_the_store_for_commands(bridge: BridgedAccount):
    quota = bridge.account.ctx.shared.quota
    quota.limit = int((quota.size + 500_000) / MAX_COMMAND_STORE_SHARE)
    free = bridge.account.ctx.shared.free_bytes_for_commands
    assert (await bridge.send("老婆/file/a", bytes(free + 1)))["code"] == "storage_full"
    assert (await bridge.send("老婆/file/b", bytes(free - 100_000)))["status"] == "sent"


async def test_an_upload_is_refused_for_its_kind_and_size_before_it_comes(bridge: BridgedAccount):
    calls, quota = bridge.account.components.command_calls, bridge.account.ctx.shared.quota
    calls.check_upload("file", 1_000_000)
    quota.limit = int((quota.size + 2001) / MAX_COMMAND_STORE_SHARE) + 1
    free = bridge.account.ctx.shared.free_bytes_for_commands
    calls.check_upload("file", free)
    for kind, size, code in [
        ("image", 2001, "too_large"),
        ("file", 1_000_001, "too_large"),
        ("file", free + 1, "storage_full"),
        ("voice", 1, "unsupported"),
    ]:
        with pytest.raises(CallRefused) as refused:
            calls.check_upload(kind, size)
        assert refused.value.code == code

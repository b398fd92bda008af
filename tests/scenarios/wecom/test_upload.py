"""Files to WeCom over a real socket: they go once and in pieces, between which all other requests go."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.scenarios.wecom.logins import FakeCredentialStore
from tests.scenarios.wecom.sending import FAMILY, AdjustableClock, connected_client, file_draft, text_draft
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.loop_turns import longest_turn
from tests.support.wecom_gateway import Gateway
from tests.support.wecom_uploads import FINISH, INIT, PIECE, SEND, Uploads
from wx2mqtt.errors import Rejected, StoreFull, Throttled, Unreachable
from wx2mqtt.model import Draft, Kind
from wx2mqtt.wechat.wecom import connection as connection_module
from wx2mqtt.wechat.wecom.client import WeComClient
from wx2mqtt.wechat.wecom.sender import Sender
from wx2mqtt.wechat.wecom.upload import MAX_REQUESTS, PIECE_BYTES, Uploader

THREE_PIECES = os.urandom(2 * PIECE_BYTES + 7)


@pytest.fixture
def uploads(gateway: Gateway) -> Uploads:
    uploads = Uploads()
    gateway.behave = uploads.behave
    return uploads


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[WeComClient]:
    async with connected_client(gateway) as client:
        yield client


@pytest.fixture
def short_answer_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "ANSWER_SECONDS", 0.3)


async def upload(uploader: Uploader, draft: Draft) -> tuple[str, Kind]:
    """Uploads the file of a draft; returns its media id and kind."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        file = await uploader.ensure_uploaded(draft)
    return file.media_id, file.kind


async def test_a_file_goes_in_pieces_and_is_whole(client, uploads, tmp_path: Path):
    draft = file_draft(tmp_path, THREE_PIECES)
    assert await upload(Uploader(client), draft) == ("media-1", Kind.FILE)
    assert uploads.files["media-1"] == THREE_PIECES
    assert uploads.log == [(INIT, -1), (PIECE, 0), (PIECE, 1), (PIECE, 2), (FINISH, -1)]
    (announced,) = uploads.announced.values()
    assert (announced["type"], announced["filename"], announced["total_chunks"]) == ("file", "门.pdf", 3)
    assert not uploads.violations


async def test_an_upload_is_used_again_for_three_days_at_most_for_everybody(gateway, uploads, tmp_path: Path):
    clock = AdjustableClock()
    async with connected_client(gateway, clock=clock.clock) as client:
        uploader = Uploader(client)
        draft = file_draft(tmp_path, b"hello")
        for hours in (0, 1, 70):
            clock.ahead = hours * 3600
            assert await upload(uploader, draft) == ("media-1", Kind.FILE)
        assert await upload(uploader, file_draft(tmp_path, b"hello", chat=FAMILY)) == ("media-1", Kind.FILE)
        clock.ahead = 72 * 3600
        assert await upload(uploader, draft) == ("media-2", Kind.FILE)
        other_name = file_draft(tmp_path, b"hello", name="b.pdf")
        assert await upload(uploader, other_name) == ("media-3", Kind.FILE)


@pytest.mark.usefixtures("short_answer_timeout")
@pytest.mark.parametrize("command", [INIT, PIECE, FINISH])
async def test_a_request_without_an_answer_is_repeated(client, uploads, tmp_path: Path, command: str):
    uploads.faults[command].extend([None] * (MAX_REQUESTS - 1))
    assert await upload(Uploader(client), file_draft(tmp_path, THREE_PIECES)) == ("media-1", Kind.FILE)
    assert uploads.files["media-1"] == THREE_PIECES
    assert [entry[0] for entry in uploads.log].count(command) == MAX_REQUESTS - 1 + (
        3 if command == PIECE else 1
    )
    assert not uploads.violations


@pytest.mark.usefixtures("short_answer_timeout")
async def test_without_any_answer_nothing_was_delivered_and_the_next_call_continues_the_upload(
    client, uploads, tmp_path: Path
):
    uploads.faults[PIECE].extend([0, *[None] * MAX_REQUESTS])
    uploader, draft = Uploader(client), file_draft(tmp_path, THREE_PIECES)
    with pytest.raises(Unreachable):
        await upload(uploader, draft)
    assert await upload(uploader, draft) == ("media-1", Kind.FILE)
    assert uploads.files["media-1"] == THREE_PIECES
    assert [index for command, index in uploads.log if command == PIECE] == [0, *[1] * (MAX_REQUESTS + 1), 2]
    assert [command for command, _ in uploads.log].count(INIT) == 1


@pytest.mark.parametrize("command", [INIT, PIECE, FINISH])
async def test_pieces_that_were_answered_are_not_sent_again_after_the_gateway_closes(
    client, uploads, tmp_path: Path, command: str
):
    if command == PIECE:
        uploads.faults[PIECE].append(0)
    uploads.faults[command].append("close")
    uploader, draft = Uploader(client), file_draft(tmp_path, THREE_PIECES)
    with pytest.raises(Unreachable):
        await upload(uploader, draft)
    await client.subscribe()
    assert await upload(uploader, draft) == ("media-1", Kind.FILE)
    assert uploads.files["media-1"] == THREE_PIECES
    pieces = [index for sent, index in uploads.log if sent == PIECE]
    assert pieces == ([0, 1, 1, 2] if command == PIECE else [0, 1, 2])
    assert not uploads.violations


async def test_an_upload_that_began_too_long_ago_begins_anew(gateway, uploads, tmp_path: Path):
    clock = AdjustableClock()
    async with connected_client(gateway, clock=clock.clock) as client:
        uploader, draft = Uploader(client), file_draft(tmp_path, THREE_PIECES)
        uploads.faults[PIECE].append(45009)
        with pytest.raises(Throttled):
            await upload(uploader, draft)
        clock.ahead = 1801
        assert await upload(uploader, draft) == ("media-1", Kind.FILE)
        assert [command for command, _ in uploads.log].count(INIT) == 2


async def test_an_upload_that_wecom_forgot_begins_anew(client, uploads, tmp_path: Path):
    uploader, draft = Uploader(client), file_draft(tmp_path, THREE_PIECES)
    uploads.faults[FINISH].append(45009)
    with pytest.raises(Throttled):
        await upload(uploader, draft)
    uploads.forget()
    assert await upload(uploader, draft) == ("media-1", Kind.FILE)
    assert uploads.files["media-1"] == THREE_PIECES


@pytest.mark.parametrize("kind", [Kind.IMAGE, Kind.VIDEO])
@pytest.mark.parametrize("command", [INIT, FINISH])
async def test_a_picture_that_wecom_refuses_is_uploaded_as_a_file(
    client, uploads, tmp_path: Path, kind: Kind, command: str
):
    uploads.faults[command].append(93018)
    uploader, draft = Uploader(client), file_draft(tmp_path, b"picture", kind)
    assert await upload(uploader, draft) == ("media-1", Kind.FILE)
    assert await upload(uploader, draft) == ("media-1", Kind.FILE)
    assert [body["type"] for body in uploads.announced.values()][-1] == "file"


async def test_a_file_that_wecom_refuses_is_rejected(client, uploads, tmp_path: Path):
    uploads.faults[INIT].append(40201)
    with pytest.raises(Rejected, match="40201"):
        await upload(Uploader(client), file_draft(tmp_path, b"hello"))


async def test_thirty_uploads_go_in_a_minute_and_the_next_one_later(gateway, uploads, tmp_path: Path):
    clock = AdjustableClock()
    async with connected_client(gateway, clock=clock.clock) as client:
        uploader = Uploader(client)
        for number in range(30):
            await upload(uploader, file_draft(tmp_path, b"hello %d" % number))
        late_draft = file_draft(tmp_path, b"late one")
        with pytest.raises(Unreachable, match="30 files a minute"):
            await upload(uploader, late_draft)
        assert [command for command, _ in uploads.log].count(INIT) == 30
        clock.ahead = 61
        await upload(uploader, late_draft)


async def test_uploads_of_the_previous_process_count_too(gateway, uploads, tmp_path: Path):
    clock, credentials = AdjustableClock(), FakeCredentialStore()
    async with connected_client(gateway, clock=clock.clock, credentials=credentials) as client:
        uploader = Uploader(client)
        for number in range(20):
            await upload(uploader, file_draft(tmp_path, b"hello %d" % number))
    clock.ahead = 30
    async with connected_client(gateway, clock=clock.clock, credentials=credentials) as client:
        uploader = Uploader(client)
        for number in range(10):
            await upload(uploader, file_draft(tmp_path, b"more %d" % number))
    async with connected_client(gateway, clock=clock.clock, credentials=credentials) as client:
        late_draft = file_draft(tmp_path, b"late one")
        with pytest.raises(Unreachable, match="30 files a minute"):
            await upload(Uploader(client), late_draft)
        assert [command for command, _ in uploads.log].count(INIT) == 30
        clock.ahead = 61
        await upload(Uploader(client), late_draft)


async def test_an_upload_that_cannot_be_saved_does_not_begin(gateway, uploads, tmp_path: Path):
    credentials = FakeCredentialStore()
    async with connected_client(gateway, credentials=credentials) as client:
        uploader, draft = Uploader(client), file_draft(tmp_path, b"hello")
        credentials.failure = StoreFull()
        with pytest.raises(Unreachable):
            await upload(uploader, draft)
        assert INIT not in [command for command, _ in uploads.log]
        credentials.failure = None
        assert await upload(uploader, draft) == ("media-1", Kind.FILE)


@pytest.mark.usefixtures("short_answer_timeout")
async def test_a_begin_that_is_repeated_counts_each_time(gateway, uploads, tmp_path: Path):
    credentials = FakeCredentialStore()
    async with connected_client(gateway, credentials=credentials) as client:
        uploads.faults[INIT].append(None)
        await upload(Uploader(client), file_draft(tmp_path, b"hello"))
    assert len(credentials.saved["uploads"]) == 2


async def test_a_file_that_has_become_shorter_is_a_bad_file(client, uploads, tmp_path: Path):
    draft = file_draft(tmp_path, THREE_PIECES)
    assert draft.attachment is not None
    draft.attachment.file.write_bytes(b"short")
    with pytest.raises(Rejected) as refused:
        await upload(Uploader(client), draft)
    assert refused.value.code == "bad_file"


async def test_a_text_goes_between_the_pieces_of_two_files_of_which_one_is_uploaded_at_a_time(
    client, uploads, tmp_path: Path
):
    """The first answer waits for a text, so the text went before the second piece."""
    sender, text_was_sent = Sender(client, "aibK1"), asyncio.Event()

    async def wait_for_text():
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            await text_was_sent.wait()

    async def report_text():
        text_was_sent.set()

    uploads.faults[PIECE].append(wait_for_text)
    uploads.faults[SEND].append(report_text)
    first, second = (file_draft(tmp_path, os.urandom(2 * PIECE_BYTES)) for _ in range(2))
    async with asyncio.TaskGroup() as tasks:
        for draft in (first, second):
            tasks.create_task(sender.prepare(draft))
        await wait_for_request(uploads, PIECE)
        tasks.create_task(sender.send(text_draft("between")))
    commands = [command for command, _ in uploads.log if command in {PIECE, SEND}]
    assert commands == [PIECE, SEND, PIECE, PIECE, PIECE]
    assert not uploads.violations


async def wait_for_request(uploads: Uploads, command: str) -> None:
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while all(entry[0] != command for entry in uploads.log):  # noqa: ASYNC110 - the log has no event
            await asyncio.sleep(0.005)


async def test_heartbeats_go_between_pieces_and_no_piece_blocks_the_event_loop(
    gateway, uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connection_module, "HEARTBEAT_SECONDS", 0.2)

    async def pause():
        await asyncio.sleep(0.25)

    uploads.faults[PIECE].extend([pause] * 8)
    async with connected_client(gateway) as client:
        uploader = Uploader(client)
        turns = []
        for number in range(2):
            draft = file_draft(tmp_path, bytes([number]) * 4 * PIECE_BYTES)
            work = asyncio.create_task(uploader.ensure_uploaded(draft))
            turns.append(await longest_turn(work))
            await work
    commands = [entry for entry in uploads.log if entry[0] in {PIECE, "ping"}]
    assert ("ping", -1) in commands[commands.index((PIECE, 0)) : commands.index((PIECE, 3))]
    assert min(turns) < 0.05  # the gateway reads each piece in the same loop

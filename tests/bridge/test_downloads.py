"""The files of messages are downloaded one at a time, and each outcome is published, whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.bridge.file_messages import (
    FAILED,
    GONE,
    PENDING,
    PNG,
    READY,
    deliver_files,
    file_row,
    file_rows,
    ref,
    wait_for_end,
)
from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import MOM, WIFE, Pause
from wx2mqtt.bridge.media.download_retries import GIVE_UP_AFTER_MS
from wx2mqtt.errors import (
    LoggedOut,
    NoContentYet,
    ProtocolViolation,
    Rejected,
    StoreError,
    StoreFull,
    Throttled,
    Unreachable,
)
from wx2mqtt.model import Kind, LoginState
from wx2mqtt.store.records import MediaPart, MediaRow, MediaState

DAY = GIVE_UP_AFTER_MS / 1000
UNKNOWN_BYTES = b"\x00\x01{<garbage"


def stored_files(store_folder: Path) -> list[Path]:
    return [file for file in (store_folder / "media").rglob("*") if file.is_file()]


def set_online(bridge: BridgedAccount, *, online: bool) -> None:
    """Tells the account that WeChat cannot be reached, or again."""
    state = LoginState.ONLINE if online else LoginState.INTERRUPTED
    login = bridge.account.components.session.login.transition(state, "", 0)
    bridge.account.ctx.signals.login_changed.emit(login)


# The usual case


async def test_a_message_is_published_at_once_and_its_file_announced_when_it_is_stored(
    bridge: BridgedAccount, store_folder: Path
):
    more = asyncio.Event()
    bridge.backend.files["77"] = (PNG, more, b"more")
    deliver_files(bridge, "77")
    body = await bridge.next("wx/in/老婆")
    assert body["image"]["state"] == "pending"
    more.set()
    row = await wait_for_end(bridge, "77")
    event = await bridge.event("media")
    assert body["image"]["url"] == event["url"] == f"/media/{row.id}"
    assert (event["message_id"], event["user"], event["state"]) == ("77", "老婆", "ready")
    assert (event["mime"], event["size"], event["width"], event["height"]) == ("image/png", 37, 2, 3)
    assert (store_folder / event["path"]).read_bytes() == PNG + b"more"
    deliver_files(bridge, "78", media=ref("77"))
    assert (await wait_for_end(bridge, "78")).blob == row.blob, "the same bytes are one file"
    assert len(stored_files(store_folder)) == 1
    assert bridge.account.counters.media == {READY: 2}


@pytest.mark.parametrize(("name", "shown"), [("", "报告.pdf"), ("a.pdf", "a.pdf")])
async def test_the_name_of_a_file_is_that_of_the_message_or_comes_with_its_bytes(
    bridge: BridgedAccount, name: str, shown: str
):
    bridge.backend.file_names["a"] = "报告.pdf"
    deliver_files(bridge, "a", kind=Kind.FILE, media=ref("a", name=name))
    assert (await bridge.next("wx/in/老婆"))["file"].get("name", "") == name
    assert (await bridge.event("media"))["name"] == shown
    assert (await bridge.request("media", message_id="a"))["data"]["name"] == shown


async def test_files_come_one_at_a_time_thumbnails_last_and_texts_pass(bridge: BridgedAccount):
    hangs = asyncio.Event()
    bridge.backend.files["0"] = (hangs, PNG)
    bridge.backend.files["small"] = PNG
    names = [f"{number}" for number in range(20)]
    deliver_files(bridge, *names, thumbnail=ref("small"))
    bridge.backend.write(WIFE, "text")
    await bridge.pass_time(1)
    assert bridge.backend.downloads == ["0"]
    assert bridge.last("wx/in/老婆")["text"] == "text"
    hangs.set()
    await wait_for_end(bridge, "19")
    await bridge.pass_time(600)
    assert bridge.backend.downloads == [*names, *["small"] * 20]
    assert len(bridge.published("wx/event/media")) == 20, "a thumbnail has no event"
    whole, small = await file_rows(bridge, "0")
    assert (whole.part, small.part, small.state) == (MediaPart.WHOLE, MediaPart.THUMBNAIL, READY)


# What fails


@pytest.mark.parametrize(
    ("first", "seconds", "reason"),
    [
        (Unreachable("cut"), 0, "cut"),
        (ProtocolViolation("odd"), 0, "odd"),
        (RuntimeError("a bug"), 0, ""),
        ((PNG, asyncio.Event()), 30, "no byte came for 30 s"),
        ((PNG, *([Pause(20), b"x"] * 100)), 1820, "the bytes came too slowly"),
        ((), 0, ""),
        (NoContentYet("nothing"), 0, ""),
        (UNKNOWN_BYTES, 0, ""),
    ],
    ids=["unreachable", "odd", "bug", "silent", "slow", "empty", "no content", "garbage"],
)
async def test_what_failed_is_tried_again_by_itself_and_delays_no_other(
    bridge: BridgedAccount, store_folder: Path, first: Any, seconds: float, reason: str
):
    bridge.backend.files["1"] = [first, PNG]
    deliver_files(bridge, "1", media=ref("1", size=13_927))
    deliver_files(bridge, "2")
    await bridge.pass_time(seconds + 0.2)
    if bridge.backend.downloads.count("1") == 1:
        row = await file_row(bridge, "1")
        assert (row.state, row.attempts + row.empty_attempts > 0, reason in row.reason) == (
            PENDING,
            True,
            True,
        )
    row = await wait_for_end(bridge, "1")
    assert (row.reason, bridge.backend.downloads.count("1")) == ("", 2)
    await wait_for_end(bridge, "2")
    kept = 2 + (first == UNKNOWN_BYTES)
    assert len(stored_files(store_folder)) == kept, "nothing is left of what was broken off"
    assert bridge.account.counters.media == {READY: 2}


@pytest.mark.parametrize(("size", "attempts"), [(13_927, 3), (None, 1), (len(UNKNOWN_BYTES), 1)])
async def test_a_format_that_no_library_knows_is_kept_at_last(
    bridge: BridgedAccount, size: int | None, attempts: int
):
    bridge.backend.files["1"] = UNKNOWN_BYTES
    deliver_files(bridge, "1", media=ref("1", size=size))
    row = await wait_for_end(bridge, "1")
    assert bridge.backend.downloads == ["1"] * attempts
    assert row.blob is not None
    assert row.blob.size == len(UNKNOWN_BYTES)


@pytest.mark.parametrize(
    ("answer", "seconds", "state", "reason", "attempts"),
    [
        (NoContentYet("no bytes yet"), 600, GONE, "no bytes", 5),
        (Rejected("no such message", code="gone"), 1, GONE, "no such message", 1),
        (Unreachable("the file server is away"), DAY + 900, FAILED,
         "it could not be fetched within a day: the file server is away", None),
        ((*[b"x" * 100_000] * 20, asyncio.Event()), 1, MediaState.TOO_LARGE, "media.max_size (1 MB)", 1),
    ],
    ids=["no bytes", "gone", "away for a day", "too large"],
)  # fmt: skip
async def test_what_is_not_to_be_had_is_given_up_and_says_so(
    open_bridge: OpenBridge, store_folder: Path, answer: Any, seconds: float, state: MediaState, reason: str,
    attempts: int | None,
):  # fmt: skip
    bridge = await open_bridge(media={"max_size": 1_000_000})
    bridge.backend.files["1"] = answer
    deliver_files(bridge, "1", kind=Kind.STICKER, media=ref("1", size=5))
    if seconds > 3600:
        await bridge.pass_time(1)
        bridge.skip_time(seconds)
    row = await wait_for_end(bridge, "1", state)
    event = await bridge.event("media")
    assert (event["state"], event["reason"], event["media_id"]) == (str(state), row.reason, row.id)
    assert reason in row.reason
    assert attempts is None or len(bridge.backend.downloads) == attempts
    assert bridge.account.counters.media == {state: 1}
    assert stored_files(store_folder) == []


async def test_what_is_announced_as_too_large_and_is_not_is_there(open_bridge: OpenBridge):
    bridge = await open_bridge(media={"max_size": 1000})
    deliver_files(bridge, "1", media=ref("1", size=10**9))
    await wait_for_end(bridge, "1")
    await bridge.reload(media={"max_size": 10})
    deliver_files(bridge, "2")
    await wait_for_end(bridge, "2", MediaState.TOO_LARGE)


async def test_while_all_downloads_fail_there_are_few_attempts(bridge: BridgedAccount):
    """Each message has its own back-off; a hundred messages must not lead to a hundred attempts a second."""
    names = [f"{number}" for number in range(100)]
    bridge.backend.files |= dict.fromkeys(names, Unreachable())
    deliver_files(bridge, *names)
    await bridge.pass_time(60)
    assert 4 <= len(bridge.backend.downloads) <= 12
    bridge.backend.files |= dict.fromkeys(names, PNG)
    set_online(bridge, online=False)
    set_online(bridge, online=True)
    await bridge.pass_time(1)
    assert bridge.account.counters.media == {READY: 100}, "the end of an outage ends all pauses"


async def test_wechat_that_says_too_often_is_left_alone_for_as_long_as_it_says(bridge: BridgedAccount):
    bridge.backend.files["1"] = [Throttled(retry_after=300.0), PNG]
    deliver_files(bridge, "1", "2")
    await bridge.pass_time(299)
    assert bridge.backend.downloads == ["1"]
    await bridge.pass_time(10)
    assert sorted(bridge.backend.downloads) == ["1", "1", "2"]


# The login


async def test_nothing_is_fetched_while_wechat_is_away_and_no_attempt_counts(bridge: BridgedAccount):
    cut = asyncio.Event()
    bridge.backend.files["1"] = [(cut, Unreachable()), PNG]
    deliver_files(bridge, "1", "2")
    await bridge.pass_time(1)
    set_online(bridge, online=False)
    cut.set()
    await bridge.pass_time(3600)
    row = await file_row(bridge, "1")
    assert (row.attempts, row.state, bridge.backend.downloads) == (0, PENDING, ["1"])
    set_online(bridge, online=True)
    await wait_for_end(bridge, "1")
    await wait_for_end(bridge, "2")


async def test_a_login_that_a_download_finds_ended_is_reported_and_is_no_attempt(bridge: BridgedAccount):
    bridge.backend.files["1"] = [LoggedOut("logged out on the phone"), PNG]
    deliver_files(bridge, "1")
    row = await wait_for_end(bridge, "1")
    assert (row.attempts, len(bridge.backend.resume_flags)) == (0, 2)


# The store


async def test_a_full_store_starts_no_download_until_there_is_space(bridge: BridgedAccount):
    quota = bridge.account.ctx.shared.quota
    deliver_files(bridge, "1")
    quota.other_files_size = quota.limit
    await bridge.pass_time(60)
    assert bridge.backend.downloads == []
    quota.other_files_size = 0
    bridge.backend.write(WIFE)
    await bridge.pass_time(60)
    assert bridge.backend.downloads == ["1"]


@pytest.mark.parametrize("error", [StoreFull, StoreError])
async def test_a_disk_that_takes_no_file_delays_and_costs_no_try(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch, error: type[StoreError]
):
    take, errors = bridge.stores.blobs.store, [error(), error()]

    async def fail_at_first(*given: Any) -> Any:
        if errors:
            raise errors.pop()
        return await take(*given)

    monkeypatch.setattr(bridge.stores.blobs, "store", fail_at_first)
    deliver_files(bridge, "1")
    row = await wait_for_end(bridge, "1")
    assert row.attempts == 0
    assert asyncio.get_running_loop().time() < 60


@pytest.mark.parametrize("job", ["read", "media_ready"])
async def test_a_store_that_fails_delays_what_it_has_to_store(bridge: BridgedAccount, job: str):
    deliver_files(bridge, "1")
    await bridge.pass_time(0)
    bridge.fail_store(job, job)
    await bridge.event("media")
    assert (len(bridge.sent("wx/in/老婆")), bridge.backend.downloads) == (1, ["1"])


async def test_a_restart_in_the_middle_of_a_download_loses_no_job_and_leaves_no_half_file(
    bridge: BridgedAccount, store_folder: Path
):
    bridge.backend.files["1"] = [(PNG, b"x" * 600_000, asyncio.Event()), PNG]
    deliver_files(bridge, "1")
    await bridge.pass_time(1)
    await bridge.kill()
    await bridge.restart()
    row = await wait_for_end(bridge, "1")
    assert row.attempts == 0
    assert [file.name for file in stored_files(store_folder)] == [
        Path(row.blob.path).name if row.blob else ""
    ]


# Without `media.download`


async def test_without_download_only_what_is_requested_is_fetched_and_survives_a_restart(
    open_bridge: OpenBridge,
):
    bridge = await open_bridge(media={"download": False})
    bridge.backend.files["2"] = [asyncio.Event(), Unreachable("cut"), PNG]
    deliver_files(bridge, "1", "2")
    await bridge.pass_time(60)
    assert bridge.backend.downloads == []
    bridge.deliver("wx/bridge/request/media", {"message_id": "2"})
    await bridge.wait_until(lambda: bridge.backend.downloads)
    await bridge.kill()
    await bridge.restart()
    await wait_for_end(bridge, "2")
    assert bridge.backend.downloads == ["2", "2", "2"]


@pytest.mark.parametrize("restarts", [False, True], ids=["reload", "restart"])
async def test_what_waits_is_not_fetched_any_more_without_download(bridge: BridgedAccount, restarts: bool):
    cut = asyncio.Event()
    bridge.backend.files["1"] = (cut, Unreachable("cut"))
    bridge.backend.files["small"] = PNG
    deliver_files(bridge, "1", "2", "3", thumbnail=ref("small"))
    await bridge.pass_time(1)
    await bridge.reload(media={"download": False})
    if restarts:
        await bridge.kill()
        await bridge.restart()
        bridge.backend.downloads.append("1")
    cut.set()
    await bridge.pass_time(600)
    assert (await bridge.request("media", message_id="3"))["status"] == "ok"
    await bridge.pass_time(600)
    assert bridge.backend.downloads in (["1", "3"], ["1", "1", "3"])
    assert [row.due for row in await file_rows(bridge, "1")] == [None, None]


# Who asks for a file (`MediaLibrary`: the page, and the request `media`)


Find = Callable[..., Any]


@pytest.fixture
def find(bridge: BridgedAccount) -> Find:
    async def find_file(name: str, wait: float = 20.0) -> MediaRow:
        found = await bridge.account.media_library.find((await file_row(bridge, name)).id, wait)
        assert found is not None
        return found

    return find_file


async def test_what_is_under_way_is_waited_for_by_all_who_want_it_up_to_their_bound(
    bridge: BridgedAccount, find: Find
):
    still = asyncio.Event()
    bridge.backend.files["1"] = (still, PNG)
    deliver_files(bridge, "1")
    await bridge.pass_time(1)
    for wait in (0.0, 0.05):
        assert (await find("1", wait)).state is PENDING
    finding = [asyncio.create_task(find("1")) for _ in range(5)]
    given_up = asyncio.create_task(find("1"))
    await bridge.pass_time(0.1)
    given_up.cancel()
    still.set()
    assert {row.state for row in await asyncio.gather(*finding)} == {READY}
    assert (await find("1", 0.0)).state is READY, "what is there is found at once"
    assert bridge.backend.downloads == ["1"]
    library = bridge.account.media_library
    assert library._waiters == {}, "who waits no more is forgotten"
    for name in ("", "nope", "../../etc/passwd", "\ud800", "x" * 10_000):
        assert await library.find(name, 1.0) is None


async def test_what_is_wanted_goes_before_what_only_waits_for_its_turn(bridge: BridgedAccount, find: Find):
    still = asyncio.Event()
    bridge.backend.files["0"] = (still, PNG)
    deliver_files(bridge, *(f"{number}" for number in range(50)))
    await bridge.pass_time(1)
    finding = asyncio.create_task(find("42"))
    await bridge.pass_time(0.1)
    still.set()
    assert (await finding).state is READY
    assert bridge.backend.downloads[:2] == ["0", "42"]


@pytest.mark.parametrize(
    ("answer", "state", "attempts"),
    [(Rejected(code="gone"), GONE, 1), (Rejected("not now"), READY, 2)],
    ids=["gone", "given up"],
)
async def test_what_was_given_up_is_tried_once_more_when_somebody_wants_it_and_what_is_gone_is_not(
    bridge: BridgedAccount, find: Find, answer: Exception, state: MediaState, attempts: int
):
    bridge.backend.files["1"] = [answer, PNG]
    deliver_files(bridge, "1")
    await bridge.event("media")
    assert (await find("1")).state is state
    assert bridge.backend.downloads == ["1"] * attempts


async def test_the_end_of_the_try_before_is_not_that_of_the_one_that_was_asked_for(
    bridge: BridgedAccount, find: Find
):
    bridge.backend.files["1"] = [Rejected("not now"), PNG]
    deliver_files(bridge, "1")
    await bridge.pass_time(0)
    held = bridge.hold_store("media_over")
    await bridge.pass_time(0.5)
    finding = asyncio.create_task(find("1"))
    await bridge.pass_time(0.1)
    held.set_result(None)
    row = await finding
    assert (row.state is READY) or (await find("1")).state is READY


@pytest.mark.parametrize(
    ("answer", "most"), [(Unreachable("cut"), 4), (NoContentYet(), 2)], ids=["cut", "no bytes yet"]
)
async def test_many_requests_for_a_file_lead_to_few_attempts(
    bridge: BridgedAccount, find: Find, answer: Exception, most: int
):
    bridge.backend.files["1"] = answer
    deliver_files(bridge, "1")
    await bridge.wait_until(lambda: bridge.backend.downloads)
    await bridge.pass_time(0.1)
    before = await file_row(bridge, "1")
    for _ in range(30):
        row = await find("1", 0.0)
        await bridge.pass_time(0.05)
    assert len(bridge.backend.downloads) <= most
    assert isinstance(answer, Unreachable) or row.attempts > 1 or row.due == before.due


@pytest.mark.parametrize(
    ("change", "answer", "state"),
    [
        (lambda file: file.unlink(), PNG, READY),
        (lambda file: file.write_bytes(b"half"), PNG, READY),
        (lambda file: file.unlink(), Rejected(code="gone"), GONE),
    ],
    ids=["deleted", "cut off", "gone at WeChat, too"],
)
async def test_a_file_that_is_lost_on_the_disk_is_fetched_again(
    bridge: BridgedAccount, find: Find, change: Callable[[Path], Any], answer: Any, state: MediaState
):
    bridge.backend.files["1"] = [PNG, answer]
    deliver_files(bridge, "1")
    library = bridge.account.media_library
    change(library.file(await wait_for_end(bridge, "1")))
    found = await find("1")
    assert (found.state, len(bridge.backend.downloads)) == (state, 2)
    if state is READY:
        assert library.file(found).read_bytes() == PNG
    else:
        with pytest.raises(ValueError, match="not stored"):
            library.file(found)


async def test_another_chat_has_files_of_its_own(bridge: BridgedAccount):
    deliver_files(bridge, "1", contact=MOM)
    await wait_for_end(bridge, "1")
    assert (await bridge.event("media"))["user"] == "妈妈"

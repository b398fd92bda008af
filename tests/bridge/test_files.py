"""Files are fetched and uploaded beside the queues: a chat goes on, and its commands expire in time."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount, ended
from tests.support.memory_backend import CAPABILITIES, MemoryBackend, Pause, with_capabilities
from wx2mqtt.bridge.commands.file_preparation import (
    FETCH_WAIT_SECONDS,
    MAX_CONCURRENT_FETCHES,
    MAX_PREPARED_FILES,
    MAX_UNFETCHED_COMMANDS,
    READY_SECONDS,
    UPLOAD_WAIT_SECONDS,
)
from wx2mqtt.clock import Backoff
from wx2mqtt.errors import (
    BadCommand,
    LoggedOut,
    TemporarilyUnavailable,
    Throttled,
    TransferBroken,
    Unreachable,
)
from wx2mqtt.limits import transfer_seconds
from wx2mqtt.model import ChatKind, Contact, Handle, Kind
from wx2mqtt.wechat.backend import MediaLimits

PNG = base64.b64decode(
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
REFUSAL = BadCommand("fetch_failed", "fetch_status", status=404)
LATER = TemporarilyUnavailable("fetch_failed", "fetch_status", status=503)
BROKEN = TransferBroken("fetch_failed", "fetch_cut_off")
FRIENDS = [
    Contact(handle=Handle(f"@friend{n}"), kind=ChatKind.FRIEND, nickname=f"friend{n}", remark=f"friend{n}")
    for n in range(MAX_CONCURRENT_FETCHES + 1)
]


def fetched(name: str, **more: Any) -> dict[str, Any]:
    """Returns a command with the file at a URL."""
    return {"kind": "file", "url": f"http://h/{name}", "id": name, "ttl": 5000, **more}


def answer(bridge: BridgedAccount, **answers: list[Any]) -> None:
    """Says what the URLs of these names answer."""
    bridge.web.answers |= {f"http://h/{name}": script for name, script in answers.items()}


async def wait_for_fetches(bridge: BridgedAccount, count: int) -> None:
    await bridge.wait_until(lambda: len(bridge.web.fetched) >= count)


def stored_files(bridge: BridgedAccount) -> list[Any]:
    """Returns the files in the store with bytes of a command, also those that are not complete."""
    return [file for file in (bridge.stores.folder.path / "media").rglob("*") if file.is_file()]


@pytest.fixture
async def slow(bridge: BridgedAccount) -> AsyncIterator[BridgedAccount]:
    """A bridge for which http://h/slow answers after a long time."""
    answer(bridge, slow=[(Pause(900), b"x")])
    yield bridge


# Fetches


async def test_a_url_is_accepted_first_and_fetched_before_its_attempt(open_bridge: OpenBridge):
    bridge = await open_bridge(media={"allow_hosts": ["h"]})
    answer(bridge, bell=[PNG])
    bridge.backend.log_in_after(60)
    bridge.backend.fail(LoggedOut("over"))
    await bridge.pass_time(1)
    delivery = bridge.deliver("wx/out/老婆", fetched("bell", kind="image"))
    await bridge.pass_time(1)
    assert (delivery in bridge.broker.acknowledged, bridge.web.fetched, stored_files(bridge)) == (
        True,
        [],
        [],
    )
    assert ended(await bridge.result("老婆")) == ("sent", "ok", False)
    attachment = bridge.backend.sent[0].draft.attachment
    assert attachment is not None
    assert attachment.file.read_bytes() == PNG
    assert bridge.web.fetched == ["http://h/bell"]
    (limits,) = bridge.web.limits
    assert (limits["max_bytes"], [*limits["allowed_hosts"]]) == (25_000_000, ["h"])
    assert 0 < limits["timeout_seconds"] <= 5000


@pytest.mark.parametrize(
    ("kind", "script", "ending", "fetches"),
    [
        pytest.param("file", [REFUSAL], ("rejected", "fetch_failed", False), 1, id="not to be had"),
        pytest.param("image", [b"no picture"], ("rejected", "bad_file", False), 1, id="no picture"),
        pytest.param("image", [bytes(5000)], ("rejected", "bad_file", False), 1, id="too large"),
        pytest.param("file", [LATER, LATER, b"x"], ("sent", "ok", False), 3, id="what may pass"),
        pytest.param("file", [BROKEN], ("rejected", "fetch_failed", False), 3, id="breaks off three times"),
        pytest.param(
            "file",
            [BROKEN, BROKEN, LATER, BROKEN, BROKEN, b"x"],
            ("sent", "ok", False),
            6,
            id="in a row only",
        ),
        pytest.param("file", [ZeroDivisionError()], ("rejected", "internal", False), 1, id="a bug of ours"),
        pytest.param("file", [LATER], ("expired", "fetch_failed", False), None, id="until it expires"),
    ],
)
async def test_a_failure_to_fetch_ends_the_command_or_passes(
    open_bridge: OpenBridge, kind: str, script: list[Any], ending: tuple[Any, ...], fetches: int | None
):
    media = {
        **CAPABILITIES.media,
        Kind.IMAGE: MediaLimits(max_bytes=2000, mime_types=frozenset({"image/png"})),
    }
    bridge = await open_bridge(with_capabilities(media=media))
    answer(bridge, x=script)
    result = await bridge.send("老婆", fetched("x", kind=kind, ttl=600))
    assert ended(result) == ending
    assert ("503" in result["message"]) is (ending[0] == "expired")
    assert len(bridge.web.fetched) == fetches or fetches is None
    assert ended(await bridge.send("老婆", "others go on")) == ("sent", "ok", False)
    if ending[0] != "sent":
        assert (bridge.backend.contents, stored_files(bridge)) == (["others go on"], [])


async def test_what_was_fetched_for_a_command_that_was_dropped_does_not_stay(slow: BridgedAccount):
    slow.deliver("wx/out/老婆", fetched("slow"))
    await wait_for_fetches(slow, 1)
    await slow.operate("journal.drop", id="slow")
    slow.deliver("wx/out/老婆", "the next one")
    assert await slow.wait_for_sends(1) == ["the next one"]
    await slow.pass_time(1000)
    assert (stored_files(slow), slow.backend.contents) == ([], ["the next one"])


# Commands behind a file


async def test_an_ordinary_file_keeps_its_place(bridge: BridgedAccount):
    answer(bridge, soon=[(Pause(FETCH_WAIT_SECONDS - 1), b"x")])
    for command in (fetched("soon"), {"text": "after it"}):
        bridge.deliver("wx/out/老婆", command)
    bridge.deliver("wx/out/妈妈", "to mom")
    assert await bridge.wait_for_sends(3) == ["to mom", "soon.txt", "after it"]


@pytest.mark.parametrize("count", [1, 40])
async def test_files_that_hang_hold_the_texts_behind_them_for_some_seconds_only(
    slow: BridgedAccount, count: int
):
    await slow.send("老婆", "first")
    for number in range(count):
        slow.deliver("wx/out/老婆", fetched("slow", id=f"{number}"))
    for text in ("after it", "and after that"):
        slow.deliver("wx/out/老婆", text)
    await slow.wait_for_sends(3)
    slow.deliver("wx/out/老婆", "at once")
    assert await slow.wait_for_sends(4) == ["first", "after it", "and after that", "at once"]
    first, second, _, last = (sent.time for sent in slow.backend.sent)
    assert second - first == pytest.approx(FETCH_WAIT_SECONDS, abs=1)
    assert last - second < 1
    if count == 1:
        assert (await slow.result_of("0"))["status"] == "sent"
        assert len(slow.web.fetched) == 1


@pytest.mark.parametrize("more", [{"priority": "high"}, {"urgent": True}])
async def test_what_is_important_waits_for_no_file(bridge: BridgedAccount, more: dict[str, Any]):
    answer(bridge, soon=[(Pause(FETCH_WAIT_SECONDS - 1), b"x")])
    for command in (fetched("soon"), {"text": "after it"}, {"text": "alarm", **more}):
        bridge.deliver("wx/out/老婆", command)
    assert await bridge.wait_for_sends(3) == ["alarm", "soon.txt", "after it"]


async def test_more_slow_files_than_a_chat_may_have_are_refused_and_hold_nothing(slow: BridgedAccount):
    for number in range(MAX_UNFETCHED_COMMANDS + 20):
        slow.deliver("wx/out/老婆", fetched("slow", id=f"{number}"))
    slow.deliver("wx/out/老婆", {"text": "alarm", "priority": "high"})
    results = [await slow.result("老婆") for _ in range(21)]
    assert sorted(result["code"] for result in results) == ["ok", *["rate_limited"] * 20]
    await slow.pass_time(60)
    assert (len(slow.published("wx/result/老婆")), slow.backend.contents) == (21, ["alarm"])


async def test_a_command_expires_while_its_file_is_fetched_and_while_one_before_it_is(slow: BridgedAccount):
    slow.deliver("wx/out/老婆", fetched("slow", id="a", ttl=5000))
    slow.deliver("wx/out/老婆", fetched("slow", id="b", ttl=600))
    slow.deliver("wx/out/老婆", {"kind": "recall", "message_id": "m1", "id": "c", "ttl": 3})
    results = {result["id"]: result["status"] for result in [await slow.result("老婆") for _ in "bc"]}
    assert results == {"b": "expired", "c": "expired"}
    assert (await slow.result("老婆"))["status"] == "sent"


async def test_a_command_expires_while_it_waits_for_a_place_among_the_fetches(open_bridge: OpenBridge):
    bridge = await open_bridge(MemoryBackend(contacts=FRIENDS))
    answer(bridge, slow=[(Pause(900), b"x")])
    *others, last = (friend.remark for friend in FRIENDS)
    for user in others:
        bridge.deliver(f"wx/out/{user}", fetched("slow", id=user))
    bridge.deliver(f"wx/out/{last}", fetched("slow", id="late", ttl=60))
    bridge.deliver(f"wx/out/{last}", {"text": "after it", "id": "b"})
    assert (await bridge.result_of("late", last))["status"] == "expired"
    assert (await bridge.result_of("b", last))["status"] == "sent"
    assert len(bridge.web.fetched) == MAX_CONCURRENT_FETCHES


@pytest.mark.parametrize(
    ("user", "more"), [("妈妈", {}), ("老婆", {"urgent": True})], ids=["another chat", "an important one"]
)
async def test_one_chat_does_not_take_all_places(slow: BridgedAccount, user: str, more: dict[str, Any]):
    answer(slow, quick=[b"x"])
    await slow.send("老婆", "first")
    for number in range(2 * MAX_CONCURRENT_FETCHES):
        is_important = number % 2 and user == "妈妈"
        slow.deliver(
            "wx/out/老婆", fetched("slow", id=f"{number}", priority="high" if is_important else "normal")
        )
    await slow.pass_time(60)
    assert len(slow.web.fetched) == MAX_PREPARED_FILES
    slow.deliver(f"wx/out/{user}", fetched("quick", **more))
    assert (await slow.result_of("quick", user))["status"] == "sent"


async def test_urls_that_fail_become_few_requests(bridge: BridgedAccount):
    """Each URL is tried after the pause of the one before, and not at once."""
    answer(bridge, x=[LATER])
    for number in range(30):
        bridge.deliver("wx/out/老婆", fetched("x", id=f"{number}"))
    await bridge.send("妈妈", "to mom")
    await bridge.pass_time(0.5)
    assert len(bridge.web.fetched) <= MAX_PREPARED_FILES
    await bridge.pass_time(10)
    assert MAX_PREPARED_FILES < len(bridge.web.fetched) <= 12 * MAX_PREPARED_FILES


async def test_a_file_that_fails_does_not_hold_the_others_of_its_chat(bridge: BridgedAccount):
    answer(bridge, x=[LATER], y=[b"y"])
    bridge.deliver("wx/out/老婆", fetched("x"))
    bridge.deliver("wx/out/老婆", fetched("y"))
    assert (await bridge.result("老婆"))["id"] == "y"


# Uploads


async def test_an_upload_that_hangs_holds_the_texts_behind_it_for_some_seconds_only(bridge: BridgedAccount):
    bridge.backend.preparations.append(Pause(UPLOAD_WAIT_SECONDS + 10))
    bridge.deliver("wx/out/老婆/file/a.txt", b"x")
    bridge.deliver("wx/out/老婆", "after it")
    bridge.deliver("wx/out/老婆", {"text": "alarm", "priority": "high"})
    assert await bridge.wait_for_sends(3) == ["alarm", "after it", "a.txt"]
    alarm, text, _ = (sent.time for sent in bridge.backend.sent)
    assert text - alarm == pytest.approx(UPLOAD_WAIT_SECONDS, abs=1)
    assert len(bridge.backend.prepared) == 1


async def test_a_command_expires_while_its_file_is_uploaded(bridge: BridgedAccount):
    bridge.backend.preparations.append(Pause(3000))
    result = await bridge.send("老婆", {"kind": "file", "data": "eA==", "ttl": 60})
    assert (result["status"], bridge.backend.sent) == ("expired", [])


async def test_an_upload_that_takes_too_long_as_a_whole_is_begun_again(bridge: BridgedAccount):
    bridge.backend.preparations.append(Pause(transfer_seconds(1) + 5))
    bridge.deliver("wx/out/老婆/file/a.txt", b"x")
    assert ended(await bridge.result("老婆")) == ("sent", "ok", False)
    assert len(bridge.backend.prepared) == 2


@pytest.mark.parametrize(("throttled", "uploads"), [(READY_SECONDS, 1), (READY_SECONDS + 20, 2)])
async def test_a_file_that_was_uploaded_long_ago_is_offered_again_before_its_attempt(
    bridge: BridgedAccount, throttled: float, uploads: int
):
    bridge.backend.preparations.append(Pause(10))
    bridge.deliver("wx/out/老婆/file/a.txt", b"x")
    await bridge.wait_until(lambda: bridge.backend.prepared)
    bridge.backend.outcomes.append(Throttled(retry_after=throttled))
    bridge.deliver("wx/out/妈妈", "x")
    assert (await bridge.result("老婆"))["status"] == "sent"
    assert len(bridge.backend.prepared) == uploads


# After an outage


async def test_when_the_account_is_online_again_every_file_goes_on_at_once_and_before_what_is_behind_it(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Backoff, "wait", lambda self, _chance: 600.0 * bool(self.failures))
    answer(bridge, x=[LATER, b"x"])
    bridge.backend.preparations += [Unreachable(), Unreachable()]
    bridge.deliver("wx/out/老婆/file/wife.txt", b"w")
    bridge.deliver("wx/out/老婆", "behind the file")
    bridge.deliver("wx/out/妈妈/file/mom.txt", b"m")
    bridge.deliver("wx/out/相亲相爱一家人", fetched("x"))
    await bridge.pass_time(2)
    bridge.backend.log_in_after(2)
    bridge.backend.fail(LoggedOut("over"))
    await bridge.pass_time(60)
    sent = await bridge.wait_for_sends(4)
    assert sorted(sent) == ["behind the file", "mom.txt", "wife.txt", "x.txt"]
    assert sent.index("wife.txt") < sent.index("behind the file")
    assert all(sent.time < 60 for sent in bridge.backend.sent)

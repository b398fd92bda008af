"""A small file is put into its message, which waits for it a moment with its chat; other chats do not wait."""

from __future__ import annotations

import asyncio
import base64
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.bridge.file_messages import PNG, deliver_files, file_row, ref
from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import MOM, WIFE, Pause
from wx2mqtt.bridge.inflight import REFUSED_RETRY_SECONDS
from wx2mqtt.bridge.media import inline_files
from wx2mqtt.bridge.media.media_payloads import read_as_base64
from wx2mqtt.errors import Rejected
from wx2mqtt.model import Contact, Kind
from wx2mqtt.store.records import MediaState

INLINE = {"inline_below": 1000}


@pytest.fixture
async def bridge(open_bridge: OpenBridge) -> BridgedAccount:
    return await open_bridge(media=INLINE)


def hold_files(bridge: BridgedAccount, *names: str) -> list[asyncio.Event]:
    """Lets WeChat hold the bytes of these files back until the events are set."""
    events = [asyncio.Event() for _ in names]
    bridge.backend.files |= {
        name: (event, PNG + name.encode()) for name, event in zip(names, events, strict=True)
    }
    return events


def deliver_texts(bridge: BridgedAccount, *names: str, contact: Contact = WIFE) -> None:
    bridge.backend.deliver(*(bridge.backend.message(contact, name, id=name) for name in names))


def published_ids(bridge: BridgedAccount, user: str = "老婆") -> list[str]:
    return [body["id"] for body in bridge.published(f"wx/in/{user}")]


async def settled_ids(bridge: BridgedAccount, seconds: float = 0.5) -> list[str]:
    await bridge.pass_time(seconds)
    return published_ids(bridge)


# What is in the message


async def test_a_message_contains_its_small_file_and_precedes_the_event(bridge: BridgedAccount):
    bridge.backend.file_names["1"] = "报告.png"
    deliver_files(bridge, "1")
    event, body = await bridge.event("media"), await bridge.next("wx/in/老婆")
    assert bridge.broker.topics.index("wx/in/老婆") < bridge.broker.topics.index("wx/event/media")
    image = body["image"]
    assert base64.b64decode(image["data"]) == PNG + b"1"
    assert (image["state"], image["mime"], image["size"]) == ("ready", "image/png", 34)
    assert (image["path"], image["url"], image["name"]) == (event["path"], event["url"], event["name"])
    assert (event["name"], "data" in event) == ("报告.png", False)


@pytest.mark.parametrize(
    ("answer", "state", "event_state"),
    [
        (Rejected("no", code="gone"), "gone", "gone"),
        ((b"x" * 1000, Pause(3), b"x"), "pending", "ready"),
        ((Pause(10), PNG), "pending", "ready"),
    ],
    ids=["gone", "too large", "late"],
)
async def test_a_message_without_its_bytes_says_what_is_known_and_waits_no_longer(
    bridge: BridgedAccount, answer: Any, state: str, event_state: str
):
    bridge.backend.files["1"] = answer
    deliver_files(bridge, "1")
    deliver_texts(bridge, "2")
    await bridge.pass_time(5.5 if isinstance(answer, tuple) and isinstance(answer[0], Pause) else 1)
    first, second = bridge.published("wx/in/老婆")
    assert (first["image"]["state"], "data" in first["image"], second["id"]) == (state, False, "2")
    assert (await bridge.event("media"))["state"] == event_state


async def test_a_file_that_is_not_smaller_does_not_stand_in_its_message(open_bridge: OpenBridge):
    bridge = await open_bridge(media={"inline_below": 34})
    deliver_files(bridge, "1")
    assert (await bridge.next("wx/in/老婆"))["image"].keys() == {"state", "url"}
    assert (await bridge.event("media"))["state"] == "ready"


async def test_a_message_without_bytes_of_its_own_does_not_wait(bridge: BridgedAccount):
    hold_files(bridge, "0")
    deliver_files(bridge, "0", contact=MOM)
    deliver_files(bridge, "1", kind=Kind.STICKER, media=None)
    await bridge.pass_time(0.1)
    assert bridge.last("wx/in/老婆")["sticker"] == {"state": "gone"}


async def test_a_burst_of_pictures_comes_out_whole_and_in_order(bridge: BridgedAccount):
    names = [f"{number}" for number in range(100)]
    deliver_files(bridge, *names)
    assert await settled_ids(bridge, 4) == names
    for body in bridge.published("wx/in/老婆"):
        assert base64.b64decode(body["image"]["data"]) == PNG + body["id"].encode()


async def test_pictures_that_keep_coming_do_not_hold_their_chat_for_ever(bridge: BridgedAccount):
    """Each message waits for its own time, however many others wait behind it."""
    hold_files(bridge, "0")
    for number in range(10):
        deliver_files(bridge, f"{number}")
        await bridge.pass_time(1)
    assert published_ids(bridge)[:5] == [f"{number}" for number in range(5)]
    assert await settled_ids(bridge, 5) == [f"{number}" for number in range(10)]


async def test_a_file_that_is_fetched_before_its_commit_is_known_stands_in_its_message(
    bridge: BridgedAccount,
):
    """The downloader reads the store; the task that stores the message goes on later."""
    lock = bridge.account.components.media.waiting.commit_lock
    held = bridge.hold_store("record")
    deliver_files(bridge, "1")
    await bridge.pass_time(0.1)
    assert lock.locked()
    held.set_result(None)
    bridge.account.components.media.wake()
    assert "data" in (await bridge.next("wx/in/老婆"))["image"]


# What waits, and what goes on


async def test_only_the_chat_of_a_waiting_message_waits_and_keeps_its_order(bridge: BridgedAccount):
    first, second, third = hold_files(bridge, "2", "4", "6")
    deliver_texts(bridge, "1")
    for held, later in (("2", "3"), ("4", "5"), ("6", "7")):
        deliver_files(bridge, held)
        deliver_texts(bridge, later)
    deliver_texts(bridge, "x", "y", contact=MOM)
    assert (await settled_ids(bridge), published_ids(bridge, "妈妈")) == (["1"], ["x", "y"])
    first.set()
    assert await settled_ids(bridge) == ["1", "2", "3"]
    third.set()
    bridge.broker.disconnect()
    await bridge.broker.connect()
    assert await settled_ids(bridge) == ["1", "2", "3"], "a reconnect releases nothing"
    second.set()
    await bridge.wait_until_published()
    assert published_ids(bridge) == [f"{number}" for number in range(1, 8)]
    bridge.broker.disconnect()
    (fourth,) = hold_files(bridge, "8")
    deliver_files(bridge, "8")
    deliver_texts(bridge, "9")
    fourth.set()
    await bridge.pass_time(1)
    await bridge.broker.connect()
    assert (await settled_ids(bridge))[-2:] == ["8", "9"], "it was released while the broker was away"


@pytest.mark.parametrize("trouble", ["none", "reconnect", "refusal", "store"])
async def test_nothing_overtakes_a_message_while_its_release_is_stored(bridge: BridgedAccount, trouble: str):
    (bytes_of_2,) = hold_files(bridge, "2")
    bridge.broker.holds_pubacks = True
    deliver_texts(bridge, "1")
    deliver_files(bridge, "2")
    deliver_texts(bridge, "3")
    assert await settled_ids(bridge) == ["1"]
    held = bridge.hold_store("release")
    bytes_of_2.set()
    await bridge.pass_time(0.1)
    repeated = []
    (first,) = (sent for sent in bridge.broker.unacknowledged if sent.topic == "wx/in/老婆")
    bridge.broker.holds_pubacks = False
    match trouble:
        case "reconnect":
            bridge.broker.disconnect()
            await bridge.broker.connect()
            repeated = ["1"]
        case "refusal":
            bridge.broker.refuse(first)
            await bridge.pass_time(REFUSED_RETRY_SECONDS - 200)
            repeated = ["1"]
        case "store":
            bridge.fail_store("release", "release")
    deliver_texts(bridge, "4")
    deliver_texts(bridge, "5", contact=MOM)
    await bridge.pass_time(1)
    assert published_ids(bridge) == ["1"]
    assert published_ids(bridge, "妈妈") == ["5"]
    bridge.broker.send_puback()
    held.set_result(None)
    await bridge.wait_until_published()
    assert published_ids(bridge) == ["1", *repeated, "2", "3", "4"]


async def test_what_is_read_while_a_message_is_released_is_not_left_out(bridge: BridgedAccount):
    """The message still waits when the read begins, and no longer when it returns."""
    (bytes_of_1,) = hold_files(bridge, "1")
    deliver_files(bridge, "1")
    deliver_texts(bridge, "2")
    await bridge.pass_time(0.1)
    bridge.broker.disconnect()
    read = bridge.hold_store("read")
    await bridge.broker.connect()
    await bridge.pass_time(0.1)
    bytes_of_1.set()
    await bridge.pass_time(0.1)
    read.set_result(None)
    await bridge.wait_until_published()
    assert published_ids(bridge) == ["1", "2"]


@pytest.mark.parametrize("seed", range(4))
async def test_many_chats_with_many_waiting_messages_all_come_out_once_and_in_order(
    bridge: BridgedAccount, seed: int
):
    rng, order = random.Random(seed), defaultdict[str, list[str]](list)
    for number in range(200):
        contact, name = rng.choice([WIFE, MOM]), f"{number}"
        order[str(contact.remark)].append(name)
        if rng.random() < 0.4:
            bridge.backend.files[name] = (Pause(rng.choice([0.0, 0.1, 0.3, 6.0])), PNG)
            deliver_files(bridge, name, contact=contact)
        else:
            deliver_texts(bridge, name, contact=contact)
        await bridge.pass_time(rng.choice([0.0, 0.0, 0.2]))
    await bridge.wait_until(lambda: len(bridge.account.counters.media) and not _waiting(bridge))
    await bridge.wait_until_published()
    assert {user: published_ids(bridge, user) for user in order} == order


def _waiting(bridge: BridgedAccount) -> int:
    return len(bridge.account.components.media.waiting.by_media)


# Failures, reloads and restarts


async def test_a_message_whose_commit_failed_waits_when_it_comes_again_and_not_twice(bridge: BridgedAccount):
    bridge.fail_store("record")
    for _ in range(2):
        deliver_files(bridge, "1", key="key")
        await bridge.pass_time(60)
    assert "data" in (await bridge.next("wx/in/老婆"))["image"]
    assert (published_ids(bridge), _waiting(bridge)) == (["1"], 0)


async def test_a_message_does_not_wait_for_bytes_that_a_reload_has_called_off(bridge: BridgedAccount):
    hold_files(bridge, "0", "1")
    deliver_files(bridge, "0", contact=MOM)
    deliver_files(bridge, "1")
    assert await settled_ids(bridge) == []
    await bridge.reload(media={"download": False, **INLINE})
    bridge.backend.files["0"] = PNG
    await bridge.pass_time(5)
    assert bridge.last("wx/in/老婆")["image"]["state"] == "pending"
    await bridge.pass_time(600)
    assert bridge.backend.downloads == ["0"]


async def test_messages_that_an_earlier_process_held_are_published_at_once(bridge: BridgedAccount):
    hold_files(bridge, "1")
    deliver_files(bridge, "1")
    deliver_texts(bridge, "2")
    deliver_texts(bridge, "3", contact=MOM)
    assert (await settled_ids(bridge), published_ids(bridge, "妈妈")) == ([], ["3"])
    await bridge.kill()
    await bridge.restart()
    assert await settled_ids(bridge, 1) == ["1", "2"]
    assert (await file_row(bridge, "1")).state is MediaState.PENDING


async def test_a_file_that_somebody_took_away_in_between_does_not_stop_the_message(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    async def delete_and_read(file: Path) -> str:
        file.unlink()  # noqa: ASYNC240 - in memory
        return await read_as_base64(file)

    monkeypatch.setattr(inline_files, "read_as_base64", delete_and_read)
    deliver_files(bridge, "1", media=ref("1"))
    body = await bridge.next("wx/in/老婆")
    assert (body["image"]["state"], "data" in body["image"]) == ("ready", False)

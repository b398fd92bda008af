"""Receiving: failures, a full store, the cursor and the contacts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.bridge.logins import pass_watched, qr_code, started, state_names
from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import WIFE, MemoryBackend, Pause
from wx2mqtt.bridge.account import AccountFailed
from wx2mqtt.errors import LoggedOut, OutcomeUnknown, ProtocolViolation, StoreFull, Throttled, Unreachable
from wx2mqtt.model import Cursor, Handle
from wx2mqtt.wechat.backend import Batch

IN = MemoryBackend().logged_in
WIFE_NOW = replace(WIFE, handle=Handle("@wife2"))


def texts(bridge: BridgedAccount) -> list[str]:
    return [message["text"] for message in bridge.published("wx/in/老婆")]


@pytest.mark.parametrize(
    ("error", "takes"),
    [
        (Unreachable("503"), 0.05),
        (ProtocolViolation(), 0.05),
        (Throttled("too often", retry_after=5), 0.05),
        (Unreachable(poll_timed_out=True), 35.0),
    ],
)
async def test_answers_that_fail_are_published_within_45_seconds_and_an_answer_ends_it(
    bridge: BridgedAccount, error: Exception, takes: float
):
    for _ in range(8):
        bridge.backend.batches += [Pause(takes), error]
    bridge.backend.write(WIFE, "1")
    await bridge.pass_time(45)
    interrupted = bridge.last("wx/login/state")
    assert (interrupted["state"], interrupted["needs"]) == ("interrupted", "nothing")
    await pass_watched(bridge, 900)
    assert (bridge.state, texts(bridge)) == ("online", ["1"])


async def test_one_failed_answer_is_not_published_and_each_answer_ends_the_pause_of_commands(
    bridge: BridgedAccount,
):
    bridge.backend.outcomes += [Unreachable("503")] * 6
    bridge.deliver("wx/out/老婆", "hi")
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 6)
    bridge.backend.fail(Unreachable("503"))
    bridge.backend.write(WIFE, "1")
    begun = asyncio.get_running_loop().time()
    await bridge.result("老婆")
    assert asyncio.get_running_loop().time() < begun + 10
    assert state_names(bridge) == ["online"]


@pytest.mark.parametrize("failures", [1, 3])
async def test_a_store_that_takes_nothing_is_published_and_the_same_cursor_is_received_again(
    bridge: BridgedAccount, failures: int
):
    bridge.fail_store(*["record"] * failures, error=StoreFull)
    for _ in range(failures + 1):
        message = bridge.backend.message(WIFE, "1", key="1", id="1")
        bridge.backend.deliver(message)
    await bridge.pass_time(120)
    assert (state_names(bridge), texts(bridge)) == (["online", "interrupted", "online"], ["1"])
    assert bridge.backend.cursors[: failures + 1] == [bridge.backend.cursors[0]] * (failures + 1)
    assert bridge.backend.cursors[failures + 1] != bridge.backend.cursors[0]


def fill(bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch, *, size: int, limit: int) -> Any:
    """Lets the store use so many bytes of so many; returns both, to be changed."""
    quota: Any = SimpleNamespace(size=size, limit=limit)
    shared = replace(bridge.account.ctx.shared, quota=quota)
    monkeypatch.setattr(bridge.account.ctx, "shared", shared)
    return quota


async def test_nothing_is_received_while_the_store_is_full_and_what_was_accepted_is_sent(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    bridge.backend.outcomes.append(OutcomeUnknown("no answer"))
    bridge.deliver("wx/out/老婆", "hi")
    await bridge.wait_until(lambda: bridge.backend.sent)
    await bridge.kill()
    await bridge.open()
    quota = fill(bridge, monkeypatch, size=5_000_000, limit=5_000_000)
    bridge.broker.sent.clear()
    bridge.backend.cursors.clear()
    bridge.backend.write(WIFE, "1")
    await bridge.start(online=False)
    assert (await bridge.result("老婆"))["status"] == "sent"
    await pass_watched(bridge, 300)
    assert (state_names(bridge), bridge.backend.cursors, texts(bridge)) == (["interrupted"], [], [])
    assert "5 MB" in bridge.last("wx/login/state")["reason"]
    quota.size = 0
    await bridge.pass_time(30)
    assert (bridge.state, texts(bridge)) == ("online", ["1"])


async def test_a_store_that_becomes_full_during_a_poll_is_shown_at_once_and_until_there_is_room(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    quota = fill(bridge, monkeypatch, size=1_000_000, limit=1_000_000)
    await bridge.pass_time(10)
    assert bridge.state == "interrupted"
    await bridge.pass_time(300)
    assert state_names(bridge) == ["online", "interrupted"]
    assert "1 MB" in bridge.last("wx/login/state")["reason"]
    assert len(bridge.backend.cursors) == 1
    quota.size = 999_999  # the next message would fill it again
    await bridge.pass_time(60)
    assert bridge.state == "interrupted"
    quota.limit = 5_000_000
    await bridge.pass_time(60)
    assert bridge.state == "online"


async def test_contacts_that_are_fetched_beside_receiving_are_no_heartbeat_of_receiving(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    fetches = fail_contacts(bridge, monkeypatch, 300)
    bridge.backend.logins.append([IN(login_id="2")])
    bridge.backend.batches += [LoggedOut("over"), Pause(10**9)]  # receiving hangs, against its word
    bridge.backend.fail()
    with pytest.raises(AccountFailed):
        await bridge.wait_until_failed()
    assert len(fetches) >= 3


def fail_contacts(bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch, count: int) -> list[float]:
    """Lets the next fetches of the contacts fail; returns when each was made."""
    fetches: list[float] = []
    fetch = bridge.backend.list_contacts

    async def contacts(on_progress: Any) -> Any:
        fetches.append(asyncio.get_running_loop().time())
        if len(fetches) <= count:
            raise Unreachable
        async for page in fetch(on_progress):
            yield page

    monkeypatch.setattr(bridge.backend, "list_contacts", contacts)
    return fetches


@pytest.mark.parametrize("outage", [0, 5], ids=["after a while", "at once after an outage"])
async def test_contacts_that_cannot_be_fetched_are_asked_for_beside_receiving_until_the_login_ends(
    open_bridge: OpenBridge, monkeypatch: pytest.MonkeyPatch, outage: int
):
    backend = MemoryBackend()
    bridge = await open_bridge(backend, start=False)
    fetches = fail_contacts(bridge, monkeypatch, 6 if outage else 3)
    backend.batches += [*[Unreachable()] * outage, Pause(1)]
    backend.write(WIFE, "1")
    await bridge.start()
    await bridge.pass_time(80)
    assert bridge.state == "online"
    users = [contact["user"] for contact in bridge.last("wx/contacts")["contacts"]]
    assert "妈妈" in users
    fail_contacts(bridge, monkeypatch, 300)
    backend.logins.extend([[IN(login_id="2")], [qr_code(1), Pause(250), qr_code(2), Pause(250)]])
    backend.batches += [LoggedOut("over"), Pause(100), LoggedOut("over")]
    backend.fail()
    fetches = fail_contacts(bridge, monkeypatch, 300)
    await bridge.pass_time(150)
    assert bridge.state == "waiting_for_scan"
    fetched = len(fetches)
    await bridge.pass_time(350)
    assert len(fetches) == fetched > 0


async def test_each_message_of_a_batch_that_takes_long_is_a_heartbeat_of_receiving(bridge: BridgedAccount):
    bridge.backend.batches.append(Pause(10**9))
    bridge.backend.fail()
    await bridge.pass_time(29)
    for _ in range(20):
        await pass_watched(bridge, 50)
        bridge.account.components.session.on_message_processed()


async def test_a_resumed_login_keeps_its_cursor_and_a_new_one_begins_anew(open_bridge: OpenBridge):
    bridge = await started(open_bridge, [IN(login_id="1", cursor="1:0")])
    bridge.backend.batches.append(Batch(cursor=Cursor("1:1"), items=(bridge.backend.message(WIFE),)))
    bridge.backend.fail()
    await bridge.next("wx/in/老婆")
    await bridge.kill()
    bridge.backend.logins.append([IN(login_id="1", cursor="1:0", resumed=True)])
    await bridge.restart()
    bridge.backend.logins.append([IN(login_id="2", cursor="2:0")])
    bridge.backend.fail(LoggedOut("over"))
    await bridge.pass_time(5)
    assert bridge.backend.cursors == ["1:0", "1:1", "1:1", "2:0"]


async def test_a_batch_that_is_being_stored_when_the_login_ends_is_published_all_the_same(
    bridge: BridgedAccount,
):
    held = bridge.hold_store("record")
    bridge.backend.write(WIFE, "1")
    await bridge.pass_time(1)
    bridge.account.ctx.login_requests.on_logged_out(LoggedOut("over"))
    await bridge.pass_time(1)
    held.set_result(None)
    await bridge.pass_time(60)
    assert (texts(bridge), "logged_out" in state_names(bridge)) == (["1"], True)
    assert len(bridge.backend.resume_flags) == 2


async def test_handles_of_an_earlier_login_mean_nobody_until_the_contacts_are_fetched(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    fail_contacts(bridge, monkeypatch, 3)
    bridge.backend.contacts = [WIFE_NOW]
    bridge.backend.logins.append([IN(login_id="2")])
    bridge.backend.fail(LoggedOut("over"))
    await bridge.pass_time(1)
    bridge.deliver("wx/out/老婆", "hi")
    assert (await bridge.result("老婆"))["status"] == "sent"
    assert bridge.backend.texts == [("@wife2", "hi")]


async def test_contacts_that_fail_are_asked_for_again_only_after_a_pause_whatever_was_before(
    bridge: BridgedAccount, monkeypatch: pytest.MonkeyPatch
):
    bridge.backend.fail(*[Unreachable()] * 6)
    bridge.backend.deliver()
    await bridge.pass_time(120)
    assert state_names(bridge) == ["online", "interrupted", "online"]
    fetches = fail_contacts(bridge, monkeypatch, 300)
    bridge.backend.logins.append([IN(login_id="2")])
    bridge.backend.fail(LoggedOut("over"))
    await bridge.pass_time(200)
    assert len(fetches) == 6
    await bridge.pass_time(250)
    assert len(fetches) == 9

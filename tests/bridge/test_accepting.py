"""A command is stored before its PUBACK, each delivery once and each id once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge, rename_wife
from tests.support.account_rig import BridgedAccount, hold_calls
from tests.support.memory_backend import FAMILY, WIFE, MemoryBackend, Pause
from wx2mqtt.bridge.commands.own_texts import OwnText, own_text
from wx2mqtt.bridge.commands.sender import MAX_CONCURRENT_SENDS
from wx2mqtt.errors import LoggedOut
from wx2mqtt.model import ChatKind, Contact, Handle
from wx2mqtt.mqtt.broker import Delivery

HELLO = {"text": "hello", "id": "a"}


def puback_of(delivery: Delivery) -> tuple[int, int]:
    return delivery.connection_number, delivery.mid


async def texts_stored(bridge: BridgedAccount) -> list[str]:
    return [row.command.text for row in await bridge.commands()]


# PUBACK


async def test_a_puback_follows_the_commit(bridge: BridgedAccount):
    gate = hold_calls(bridge.journal.commands, "accept")
    delivery = bridge.deliver("wx/out/老婆", HELLO)
    await bridge.pass_time(60)
    assert (bridge.broker.acknowledged, bridge.backend.sent) == ([], [])
    gate.set()
    await bridge.result("老婆")
    assert bridge.broker.pubacks == [puback_of(delivery)]


async def test_pubacks_keep_the_order_of_receipt_though_a_request_takes_longer(bridge: BridgedAccount):
    gate = hold_calls(bridge.backend, "list_members")
    first = bridge.deliver("wx/bridge/request/group", {"user": FAMILY.nickname})
    second = bridge.deliver("wx/out/老婆", HELLO)
    await bridge.result("老婆")
    assert bridge.broker.pubacks == []
    gate.set()
    await bridge.next("wx/bridge/response/group")
    await bridge.pass_time(1)
    assert bridge.broker.pubacks == [puback_of(first), puback_of(second)]


async def test_a_full_disk_delays_the_puback_until_there_is_space(bridge: BridgedAccount):
    bridge.fail_store("accept")
    delivery = bridge.deliver("wx/out/老婆", "hello")
    assert (await bridge.result("老婆"))["status"] == "sent"
    assert bridge.broker.pubacks == [puback_of(delivery)]
    assert await texts_stored(bridge) == ["hello"]


@pytest.mark.parametrize("topic", ["wx/outer/老婆", "other/out/老婆", "wx/in/老婆"])
async def test_a_delivery_on_a_topic_that_is_not_of_the_bridge_is_acknowledged_and_does_nothing(
    bridge: BridgedAccount, topic: str
):
    delivery = bridge.deliver(topic, "hello")
    await bridge.pass_time(1)
    assert bridge.broker.pubacks == [puback_of(delivery)]
    assert await bridge.commands() == []
    assert not [topic for topic in bridge.broker.topics if topic.startswith("wx/result/")]


async def test_many_at_once_are_accepted_in_order_at_qos_0_too(bridge: BridgedAccount):
    for number in range(350):
        bridge.deliver("wx/out/老婆", f"{number}", qos=number % 2)
    await bridge.wait_until(lambda: len(bridge.published("wx/result/老婆")) == 350)
    assert [text for _, text in bridge.backend.texts] == [f"{number}" for number in range(350)]
    assert await texts_stored(bridge) == [f"{number}" for number in range(350)]


async def test_the_names_of_a_person_keep_one_order(bridge: BridgedAccount):
    await rename_wife(bridge)
    await bridge.request("assign", user="老婆", to="梅")
    gate = hold_calls(bridge.stores.blobs, "store")
    bridge.deliver("wx/out/老婆/file/0", "0")
    for number in range(1, 20):
        bridge.deliver(f"wx/out/{('梅', '老婆')[number % 2]}", f"{number}")
    await bridge.pass_time(1)
    gate.set()
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 20)
    assert [text for _, text in bridge.backend.texts] == ["", *(f"{number}" for number in range(1, 20))]
    assert (len(bridge.published("wx/result/梅")), len(bridge.published("wx/result/老婆"))) == (9, 11)


# The same delivery again


async def redelivered(bridge: BridgedAccount, payload: bytes, topic: str = "wx/out/老婆") -> None:
    """Delivers a payload, and again on a new connection of the same session."""
    delivery = bridge.deliver(topic, payload)
    await bridge.wait_until(lambda: puback_of(delivery) in bridge.broker.pubacks)
    bridge.broker.disconnect()
    await bridge.broker.connect(session_present=True)
    again = bridge.broker.redeliver(delivery)
    await bridge.wait_until(lambda: puback_of(again) in bridge.broker.pubacks)


async def test_a_redelivery_in_the_same_session_is_the_same_command_after_any_number_of_connections(
    bridge: BridgedAccount,
):
    for payload in (b"one", b"two", b"x" * 200_000, b"three"):
        await redelivered(bridge, payload)
    await bridge.pass_time(60)
    assert [text for _, text in bridge.backend.texts] == ["one", "two", "three"]
    assert not any(row.duplicate_possible for row in await bridge.commands())
    assert len(await bridge.commands()) == 4


async def test_a_redelivery_after_a_restart_is_the_same_command(bridge: BridgedAccount):
    delivery = bridge.deliver("wx/out/老婆", "hello")
    await bridge.result("老婆")
    bridge.broker.grants = replace(bridge.broker.grants, session_present=True)
    await bridge.kill()
    await bridge.restart()
    bridge.broker.redeliver(delivery)
    await bridge.wait_until(lambda: bridge.broker.acknowledged)
    assert await texts_stored(bridge) == ["hello"]


@pytest.mark.parametrize("level", ["", "/file/a.txt"])
async def test_a_redelivery_while_the_first_is_not_stored_yet_is_the_same_command(
    bridge: BridgedAccount, level: str
):
    """Either its commit takes long, or the file that it brings."""
    gates = [hold_calls(bridge.journal.commands, "accept"), hold_calls(bridge.stores.blobs, "store")]
    delivery = bridge.deliver(f"wx/out/老婆{level}", "hello")
    await bridge.pass_time(1)
    bridge.broker.disconnect()
    await bridge.broker.connect(session_present=True)
    again = bridge.broker.redeliver(delivery)
    for gate in gates:
        gate.set()
    await bridge.result("老婆")
    assert bridge.broker.pubacks == [puback_of(again)]
    assert len(await bridge.commands()) == len(bridge.backend.sent) == 1


@pytest.mark.parametrize(
    ("is_present", "mid", "duplicate_possible"),
    [(True, 77, True), (False, None, False)],
    ids=["another packet id", "a session that the broker lost"],
)
async def test_a_redelivery_that_cannot_be_known_again_is_sent(
    bridge: BridgedAccount, is_present: bool, mid: int | None, duplicate_possible: bool
):
    delivery = bridge.deliver("wx/out/老婆", "hello")
    first = await bridge.result("老婆")
    bridge.broker.disconnect()
    await bridge.broker.connect(session_present=is_present)
    bridge.broker.redeliver(delivery, **({} if mid is None else {"mid": mid}))
    second = await bridge.result("老婆")
    assert first["id"] != second["id"]
    assert first["duplicate_possible"] is False
    assert not duplicate_possible or second["duplicate_possible"]
    assert bridge.backend.texts == [("@wife", "hello")] * 2


async def test_without_dup_the_same_text_again_is_another_command(bridge: BridgedAccount):
    for _ in range(2):
        assert (await bridge.send("老婆", "hello"))["duplicate_possible"] is False
    assert len(bridge.backend.sent) == 2


async def test_a_session_that_the_broker_knows_and_the_store_does_not_gets_a_number_that_is_kept(
    open_bridge: OpenBridge,
):
    bridge = await open_bridge(start=False)
    bridge.broker.grants = replace(bridge.broker.grants, session_present=True)
    await bridge.start()
    await bridge.send("老婆", "hello")
    assert (await bridge.journal.open()).broker_session


# Ids


async def test_the_same_id_again_is_not_sent_and_its_result_comes_again(bridge: BridgedAccount):
    first = await bridge.send("老婆", HELLO)
    assert await bridge.send("老婆", {**HELLO, "ttl": 5, "priority": "high"}) == first
    assert await bridge.send("老婆", HELLO, response_topic="me/answers", correlation=b"\0\xff") == first
    (answer,) = bridge.sent("me/answers")
    assert await bridge.next("me/answers") == first
    assert (answer.publication.correlation, answer.publication.content_type) == (
        b"\0\xff",
        "application/json",
    )
    assert len(bridge.backend.sent) == 1


@pytest.mark.parametrize("moment", ["it waits", "it is being sent", "its end is being stored"])
async def test_who_repeats_while_the_first_goes_on_is_answered_with_the_first(
    bridge: BridgedAccount, moment: str
):
    gate = None
    if moment == "it waits":
        bridge.backend.outcomes.append(Pause(60))
        bridge.deliver("wx/out/老婆", "before it")
    elif moment == "it is being sent":
        bridge.backend.outcomes.append(Pause(60))
    else:
        gate = hold_calls(bridge.journal.commands, "finish")
    for number in range(4):
        bridge.deliver("wx/out/老婆", HELLO, response_topic=f"me/{number}", correlation=bytes((number,)))
        await bridge.pass_time(1)
    if gate is not None:
        gate.set()
    for number in range(4):
        answer = await bridge.next(f"me/{number}")
        assert (answer["id"], answer["status"]) == ("a", "sent")
    await bridge.pass_time(60)
    assert [text for _, text in bridge.backend.texts].count("hello") == 1


async def test_who_repeats_what_is_settled_while_the_repeat_is_stored_is_answered_too(bridge: BridgedAccount):
    bridge.backend.outcomes.append(Pause(60))
    bridge.deliver("wx/out/老婆", HELLO)
    await bridge.wait_until(lambda: bridge.backend.sent)
    gate = hold_calls(bridge.journal.commands, "accept", after=True)
    bridge.deliver("wx/out/老婆", HELLO, response_topic="me/late")
    await bridge.result("老婆")
    gate.set()
    assert (await bridge.next("me/late"))["status"] == "sent"
    assert len(bridge.backend.sent) == 1


async def test_the_same_id_with_other_content_or_for_somebody_else_is_rejected(bridge: BridgedAccount):
    await bridge.send("老婆", HELLO)
    others = ({**HELLO, "text": "other"}, {**HELLO, "mention": ["妈妈"]}, {**HELLO, "buttons": ["Yes"]})
    for user, body in [
        ("妈妈", HELLO),
        *(("老婆", other) for other in others),
        ("老婆", {"kind": "image", "id": "a"}),
    ]:
        result = await bridge.send(user, body)
        assert (result["id"], result["status"], result["code"]) == ("a", "rejected", "id_reused"), body
    assert bridge.backend.texts == [("@wife", "hello")]


async def test_the_id_of_a_command_that_could_not_be_read_is_used_up_by_that_very_payload(
    bridge: BridgedAccount,
):
    codes = [
        (await bridge.send("老婆", {**HELLO, **more}))["code"]
        for more in ({"ttl": -1}, {"ttl": -1}, {"ttl": "soon"}, {})
    ]
    assert codes == ["bad_command", "bad_command", "id_reused", "id_reused"]


async def test_ids_that_differ_in_one_invisible_character_differ(bridge: BridgedAccount):
    for command_id in ("a", "a\0", "a\0b", "a\u200b"):
        assert (await bridge.send("老婆", {**HELLO, "id": command_id}))["status"] == "sent"
    assert len(bridge.backend.sent) == 4


# The first attempt begins with the commit that accepts a command, unless another may have to go first


FRIENDS = [f"友{number}" for number in range(MAX_CONCURRENT_SENDS + 1)]


async def with_friends(open_bridge: OpenBridge, **sections: Any) -> BridgedAccount:
    contacts = [Contact(handle=Handle(f"@{name}"), kind=ChatKind.FRIEND, nickname=name) for name in FRIENDS]
    bridge = await open_bridge(MemoryBackend(contacts=[WIFE, *contacts]), **sections)
    await bridge.send("老婆", "the first, after which the sender has nothing to do")
    bridge.backend.sent.clear()
    return bridge


async def test_the_first_command_of_each_chat_needs_no_other_commit_for_its_attempt(open_bridge: OpenBridge):
    bridge = await with_friends(open_bridge)
    gate = hold_calls(bridge.journal.commands, "begin_attempt")
    bridge.backend.outcomes.extend([Pause(60)] * MAX_CONCURRENT_SENDS)
    for text in ("1", "2"):
        for name in FRIENDS:
            bridge.deliver(f"wx/out/{name}", text)
    await bridge.pass_time(1)
    assert bridge.backend.texts == [(f"@{name}", "1") for name in FRIENDS[:MAX_CONCURRENT_SENDS]]
    late = bridge.deliver("wx/out/老婆", "accepted though all places of sends are taken")
    await bridge.pass_time(1)
    assert puback_of(late) in bridge.broker.pubacks
    gate.set()
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 2 * len(FRIENDS) + 1)
    results = [await bridge.result(name) for name in FRIENDS]
    assert not any(result["duplicate_possible"] for result in results)


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ({"urgent": True}, {}),
        ({"ttl": 0.0001}, {}),
        ({"buttons": ["Yes"]}, {}),
        ({}, {"dup": True}),
    ],
    ids=["urgent", "expired", "a question", "perhaps stored before"],
)
async def test_an_attempt_that_may_not_be_the_next_waits_for_a_commit_of_its_own(
    bridge: BridgedAccount, command: dict[str, Any], more: dict[str, Any]
):
    await bridge.send("老婆", "before it")
    hold_calls(bridge.journal.commands, "begin_attempt")
    bridge.deliver("wx/out/老婆", {"text": "hello", **command}, **more)
    await bridge.pass_time(60)
    assert bridge.backend.texts == [("@wife", "before it")]


async def log_out(bridge: BridgedAccount) -> None:
    """Ends the login; the next one takes ten minutes."""
    bridge.backend.logins.append([Pause(600)])
    bridge.backend.fail(LoggedOut("elsewhere"))
    await bridge.wait_until(lambda: bridge.state != "online")


async def test_what_waits_behind_another_of_its_chat_or_for_a_login_does_not_begin(bridge: BridgedAccount):
    bridge.backend.outcomes.append(Pause(60))
    bridge.deliver("wx/out/老婆", "slow")
    await bridge.pass_time(1)
    bridge.deliver("wx/out/老婆", "behind it")
    bridge.deliver("wx/out/妈妈", "beside it")
    await bridge.pass_time(1)
    assert [text for _, text in bridge.backend.texts] == ["slow", "beside it"]
    await bridge.pass_time(60)
    await log_out(bridge)
    bridge.deliver("wx/out/妈妈", "without a login")
    await bridge.pass_time(60)
    assert [row.attempt_open for row in await bridge.commands()] == [False] * 4


async def test_nothing_begins_before_the_commands_of_the_last_process_were_read(bridge: BridgedAccount):
    await log_out(bridge)
    bridge.deliver("wx/out/老婆", "old")
    await bridge.pass_time(1)
    await bridge.kill()
    await bridge.open()
    gate = hold_calls(bridge.journal.commands, "list_due")
    await bridge.start()
    bridge.deliver("wx/out/老婆", "new")
    await bridge.pass_time(60)
    assert bridge.backend.sent == []
    gate.set()
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 2)
    assert [text for _, text in bridge.backend.texts] == ["old", "new"]


async def test_only_what_is_sent_counts_against_the_rate_limit(open_bridge: OpenBridge):
    """A repeat, and a command that the store did not take, give their tokens back."""
    bridge = await with_friends(open_bridge, send={"per_minute": 1, "burst": 4})
    await bridge.send("老婆", HELLO)
    await bridge.send("老婆", HELLO)
    bridge.fail_store("accept")
    for name in FRIENDS[:4]:
        bridge.deliver(f"wx/out/{name}", "hello")
    await bridge.wait_until(lambda: len(bridge.backend.sent) == 5)
    times = [sent.time - bridge.backend.sent[0].time for sent in bridge.backend.sent]
    assert [seconds < 30 for seconds in times] == [True, True, True, False, False]


async def test_a_stop_waits_for_the_commit_and_leaves_nothing_in_doubt(bridge: BridgedAccount):
    await bridge.send("老婆", "before it")
    gate = hold_calls(bridge.journal.commands, "accept", after=True)
    bridge.deliver("wx/out/老婆", HELLO)
    await bridge.pass_time(0.1)
    asyncio.get_running_loop().call_later(1, gate.set)
    await bridge.stop()
    assert len(bridge.backend.sent) == 1
    await bridge.restart()
    result = await bridge.result("老婆")
    assert (result["id"], result["duplicate_possible"]) == ("a", False)
    assert len(bridge.backend.sent) == 2


# The bridge's own texts


async def test_a_text_of_the_bridge_is_a_command_without_a_result_topic(bridge: BridgedAccount):
    wife = bridge.account.ctx.registry.by_topic_name("老婆")
    assert wife is not None
    new = own_text(OwnText.DIGEST, "老婆", wife.id, "from the bridge", ttl=60.0)
    await bridge.account.components.intake.accept_own_text(new)
    assert (await bridge.send("老婆", HELLO))["id"] == "a"
    assert [text for _, text in bridge.backend.texts] == ["from the bridge", "hello"]
    assert len(bridge.published("wx/result/老婆")) == 1

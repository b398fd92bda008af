"""The intake stores a command before its PUBACK, each delivery once and each id once."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from tests.unit.bridge.commands_harness import PEOPLE, person, running
from wx2mqtt.bridge.commands.own_texts import OwnText, own_text
from wx2mqtt.errors import StoreFull
from wx2mqtt.model import Receipt

# PUBACK


async def test_the_puback_follows_the_commit(harness):
    order = []

    async def before_commit():
        order.append((0, list(harness.broker.acknowledged)))

    async def after_commit():
        order.append((len(await harness.rows()), list(harness.broker.acknowledged)))

    harness.journal.before["accept"], harness.journal.after["accept"] = before_commit, after_commit
    delivery = harness.deliver("hello")
    await harness.wait_for_puback(delivery)
    assert order == [(0, []), (1, [])]


async def test_pubacks_keep_the_order_of_receipt_though_a_request_takes_longer(tmp_path):
    going, gate = asyncio.Event(), asyncio.Event()

    async def wait_at_gate(_fields):
        going.set()
        await gate.wait()

    async with running(tmp_path, handlers={"slow": wait_at_gate}) as harness:
        first = harness.deliver("{}", topic="wx/bridge/request/slow")
        second = harness.deliver("hello")
        await harness.result(await wait_for_id(harness))
        await going.wait()
        assert harness.broker.acknowledged == []
        gate.set()
        await harness.wait_for_puback(second)
        assert harness.broker.acknowledged == [first.mid, second.mid]


async def test_a_full_disk_delays_the_puback_until_there_is_space(harness):
    async def raise_store_full():
        raise StoreFull

    harness.journal.before["accept"] = raise_store_full
    delivery = harness.deliver("hello")
    await harness.wait_for_puback(delivery)
    assert await harness.wait_for_sent_texts(1) == ["hello"]
    assert len(await harness.rows()) == 1


async def wait_for_id(harness):
    await harness.changes.wait_until(lambda: harness.bodies_on("wx/result/wife"))
    return harness.bodies_on("wx/result/wife")[0]["id"]


# the same delivery again


async def test_a_redelivery_in_the_same_session_is_the_same_row(harness):
    delivery = harness.deliver("hello")
    await harness.wait_for_puback(delivery)
    harness.disconnect()
    harness.connect(session_present=True)
    harness.redeliver(delivery)
    await harness.wait_for_puback(delivery)
    await harness.wait_for_sent_texts(1)
    assert [row.command.text for row in await harness.rows()] == ["hello"]


async def test_a_redelivery_is_the_same_row_after_many_reconnects_of_a_bridge_that_was_never_started_before(
    harness,
):
    for _ in range(3):
        delivery = harness.deliver("hello")
        await harness.wait_for_puback(delivery)
        harness.disconnect()
        harness.connect(session_present=True)
        harness.redeliver(delivery)
        await harness.changes.wait_until(lambda mid=delivery.mid: harness.broker.acknowledged.count(mid) == 2)
    assert len(await harness.rows()) == 3
    assert not any(row.duplicate_possible for row in await harness.rows())


async def test_a_redelivery_after_a_restart_is_the_same_row(tmp_path):
    async with running(tmp_path) as harness:
        delivery = harness.deliver("hello")
        await harness.wait_for_puback(delivery)
    async with running(tmp_path) as harness:
        harness.redeliver(delivery)
        await harness.wait_for_puback(delivery)
        assert len(await harness.rows()) == 1


async def test_a_redelivery_while_the_first_delivery_is_not_committed_yet_is_the_same_row(harness):
    async def reconnect():
        harness.disconnect()
        harness.connect(session_present=True)
        harness.redeliver(delivery)

    harness.journal.before["accept"] = reconnect
    delivery = harness.deliver("hello")
    await harness.wait_for_puback(delivery)
    assert len(await harness.rows()) == 1
    assert await harness.wait_for_sent_texts(1) == ["hello"]


async def test_a_redelivery_with_another_packet_id_is_sent_and_says_that_a_duplicate_is_possible(harness):
    delivery = harness.deliver_command(text="hello")
    await harness.wait_for_puback(delivery)
    harness.disconnect()
    harness.connect(session_present=True)
    harness.redeliver(delivery, mid=77)
    await harness.wait_for_puback(replace(delivery, mid=77))
    first, second = await harness.wait_for_bodies("wx/result/wife", 2)
    assert (first["duplicate_possible"], second["duplicate_possible"]) == (False, True)
    assert first["id"] != second["id"]
    assert harness.wechat.texts() == ["hello", "hello"]


async def test_without_dup_the_same_text_again_is_another_command(harness):
    harness.deliver("hello")
    harness.deliver("hello")
    results = await harness.wait_for_bodies("wx/result/wife", 2)
    assert [result["duplicate_possible"] for result in results] == [False, False]


async def test_a_dup_of_a_session_that_the_broker_lost_is_a_new_command(harness):
    delivery = harness.deliver("hello")
    await harness.wait_for_puback(delivery)
    harness.disconnect()
    harness.connect(session_present=False)
    harness.redeliver(delivery)
    await harness.wait_for_bodies("wx/result/wife", 2)
    assert len(await harness.rows()) == 2


# ids


async def test_the_same_id_again_is_not_sent_and_its_result_comes_again(harness):
    harness.deliver_command(text="hello", id="a")
    first = await harness.result("a")
    harness.deliver_command(text="hello", id="a", ttl=5, priority="high")
    assert await harness.wait_for_bodies("wx/result/wife", 2) == [first, first]
    assert harness.wechat.texts() == ["hello"]


async def test_the_result_comes_again_also_to_the_new_response_topic(harness):
    harness.deliver_command(text="hello", id="a")
    await harness.result("a")
    body = json.dumps({"text": "hello", "id": "a"})
    harness.deliver(body, response_topic="me/answers", correlation=b"\0\xff")
    (again,) = await harness.wait_for_bodies("me/answers")
    assert (again["id"], again["status"]) == ("a", "sent")
    (answer,) = [publication for publication in harness.broker.published if publication.topic == "me/answers"]
    assert (answer.correlation, answer.content_type) == (b"\0\xff", "application/json")


async def test_who_repeats_while_the_first_still_waits_is_answered_with_the_first(harness):
    harness.sender.set_online(online=False)
    body = json.dumps({"text": "hello", "id": "a"})
    for number in range(3):
        harness.deliver(body, response_topic=f"me/{number}", correlation=bytes((number,)))
    await harness.changes.wait_until(lambda: len(harness.broker.acknowledged) == 3)
    harness.sender.set_online(online=True)
    for number in range(3):
        (answer,) = await harness.wait_for_bodies(f"me/{number}")
        assert (answer["id"], answer["status"]) == ("a", "sent")
    assert harness.wechat.texts() == ["hello"]
    assert len(harness.bodies_on("wx/result/wife")) == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_who_repeats_while_the_first_is_just_being_settled_is_answered_too(harness, when):
    body = json.dumps({"text": "hello", "id": "a"})

    async def repeat():
        again = harness.deliver(body, response_topic="me/late", correlation=b"1")
        await harness.wait_for_puback(again)

    getattr(harness.journal, when)["finish"] = repeat
    harness.deliver(body)
    (answer,) = await harness.wait_for_bodies("me/late")
    assert (answer["id"], answer["status"]) == ("a", "sent")
    assert harness.wechat.texts() == ["hello"]


async def test_who_repeats_what_was_settled_while_the_repeat_was_stored_is_answered_too(harness):
    body = json.dumps({"text": "hello", "id": "a"})
    harness.wechat.hold("hello")
    first = harness.deliver(body)
    await harness.wait_for_puback(first)
    await harness.wait_for_sent_texts(1)

    async def finish_first():
        harness.wechat.release("hello")
        await harness.result("a")

    harness.journal.after["accept"] = finish_first
    harness.deliver(body, response_topic="me/late")
    (answer,) = await harness.wait_for_bodies("me/late")
    assert (answer["id"], answer["status"]) == ("a", "sent")
    assert harness.wechat.texts() == ["hello"]


@pytest.mark.parametrize(
    "other", [{"text": "other"}, {"text": "hello", "mention": ["mom"]}, {"kind": "image"}]
)
async def test_the_same_id_with_other_content_is_rejected(harness, other):
    harness.deliver_command(text="hello", id="a")
    await harness.result("a")
    harness.deliver_command(**other, id="a")
    second = (await harness.wait_for_bodies("wx/result/wife", 2))[1]
    assert (second["id"], second["status"], second["code"]) == ("a", "rejected", "id_reused")
    assert harness.wechat.texts() == ["hello"]


async def test_the_same_id_for_somebody_else_is_rejected_there(harness):
    harness.deliver_command(text="hello", id="a")
    await harness.result("a")
    harness.deliver_command("mom", text="hello", id="a")
    (second,) = await harness.wait_for_bodies("wx/result/mom")
    assert second["code"] == "id_reused"


async def test_the_id_of_a_command_that_could_not_be_read_is_used_up_by_that_very_payload(harness):
    harness.deliver_command(text="hello", id="a", ttl=-1)
    harness.deliver_command(text="hello", id="a", ttl=-1)
    harness.deliver_command(text="hello", id="a", ttl="soon")
    harness.deliver_command(text="hello", id="a")
    stored_codes = [(body["id"], body["code"]) for body in await harness.wait_for_bodies("wx/result/wife", 4)]
    assert stored_codes == [
        ("a", "bad_command"),
        ("a", "bad_command"),
        ("a", "id_reused"),
        ("a", "id_reused"),
    ]


async def test_ids_that_differ_in_one_invisible_character_differ(harness):
    for command_id in ("a", "a\0", "a\0b", "a\u200b"):
        harness.deliver_command(text="hello", id=command_id)
    results = await harness.wait_for_bodies("wx/result/wife", 4)
    assert [result["status"] for result in results] == ["sent"] * 4
    assert len(harness.wechat.sent) == 4


# any input


@pytest.mark.parametrize("topic", ["wx/outer/wife", "other/out/wife", "wx/in/wife"])
async def test_a_delivery_on_a_topic_that_is_not_of_the_bridge_is_acknowledged_and_does_nothing(
    harness, topic
):
    delivery = harness.deliver("hello", topic=topic)
    await harness.wait_for_puback(delivery)
    assert await harness.rows() == []
    assert harness.broker.published == []


async def test_many_at_once_are_accepted_in_order(harness):
    for number in range(350):
        harness.deliver(f"{number}")
    assert await harness.wait_for_sent_texts(350) == [f"{number}" for number in range(350)]


async def test_qos_0_is_carried_out_too(harness):
    harness.deliver("hello", mid=0)
    assert await harness.wait_for_sent_texts(1) == ["hello"]


async def test_people_with_old_names_are_reached_in_one_order(tmp_path):
    people = (person(9, "new"), *PEOPLE)
    async with running(tmp_path, people=people) as harness:
        harness.registry._table.assign_topic_name("old", people[0].id)
        harness.wechat.answer("1", Receipt(message_id="m1"))
        for number in range(20):
            harness.deliver(f"{number}", user=("new", "old")[number % 2])
        assert await harness.wait_for_sent_texts(20) == [f"{number}" for number in range(20)]
        await harness.wait_for_bodies("wx/result/old", 10)
        await harness.wait_for_bodies("wx/result/new", 10)


async def test_a_broker_that_knows_us_though_the_store_is_new_gets_a_session_number_that_is_kept(harness):
    harness.disconnect()
    harness.intake._session = harness.session_number = 0  # as after the loss of the store
    harness.connect(session_present=True)
    delivery = harness.deliver("hello")
    await harness.wait_for_puback(delivery)
    assert (await harness.journal.open()).broker_session


# the bridge's own texts


async def test_a_text_of_the_bridge_is_a_command_without_a_result_topic(harness):
    wife = harness.registry.by_topic_name("wife")
    new = own_text(OwnText.DIGEST, "wife", wife.id, "from the bridge", ttl=60.0)
    await harness.intake.accept_own_text(new)
    assert await harness.wait_for_sent_texts(1) == ["from the bridge"]
    harness.deliver_command(text="after it", id="a")
    await harness.result("a")
    row = await harness.journal.commands.get(new.command_id)
    assert row.result.status == "sent"
    assert new.command_id.startswith("wx2mqtt-")
    assert [result["id"] for result in harness.bodies_on("wx/result/wife")] == ["a"]

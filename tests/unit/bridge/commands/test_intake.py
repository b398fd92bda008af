"""Accepting what people publish: on disk before the PUBACK, each delivery once, each id once."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.outgoing import PEOPLE, person, running
from wx2mqtt.bridge.commands.own_texts import OwnText, own_text
from wx2mqtt.bridge.retained_commands import MAX_PENDING_CLEARS
from wx2mqtt.errors import StoreFull
from wx2mqtt.model import Receipt

# PUBACK


async def test_the_puback_follows_the_commit(house):
    order = []

    async def committing():
        order.append((0, list(house.broker.acknowledged)))

    async def committed():
        order.append((len(await house.rows()), list(house.broker.acknowledged)))

    house.journal.before["accept"], house.journal.after["accept"] = committing, committed
    delivery = house.deliver("hello")
    await house.acknowledged(delivery)
    assert order == [(0, []), (1, [])]


async def test_pubacks_keep_the_order_of_receipt_though_a_request_takes_longer(tmp_path):
    going, gate = asyncio.Event(), asyncio.Event()

    async def slow(_fields):
        going.set()
        await gate.wait()

    async with running(tmp_path, handlers={"slow": slow}) as house:
        first = house.deliver("{}", topic="wx/bridge/request/slow")
        second = house.deliver("hello")
        await house.result(await only_id(house))
        await going.wait()
        assert house.broker.acknowledged == []
        gate.set()
        await house.acknowledged(second)
        assert house.broker.acknowledged == [first.mid, second.mid]


async def test_a_full_disk_delays_the_puback_until_there_is_space(house):
    async def full():
        raise StoreFull

    house.journal.before["accept"] = full
    delivery = house.deliver("hello")
    await house.acknowledged(delivery)
    assert await house.sent(1) == ["hello"]
    assert len(await house.rows()) == 1


async def only_id(house):
    await house.news.until(lambda: house.heard("wx/result/wife"))
    return house.heard("wx/result/wife")[0]["id"]


# the same delivery again


async def test_a_redelivery_in_the_same_session_is_the_same_row(house):
    delivery = house.deliver("hello")
    await house.acknowledged(delivery)
    house.disconnect()
    house.connect(session_present=True)
    house.again(delivery)
    await house.acknowledged(delivery)
    await house.sent(1)
    assert [row.command.text for row in await house.rows()] == ["hello"]


async def test_it_is_the_same_row_after_many_reconnects_of_a_bridge_that_was_never_started_before(house):
    for _ in range(3):
        delivery = house.deliver("hello")
        await house.acknowledged(delivery)
        house.disconnect()
        house.connect(session_present=True)
        house.again(delivery)
        await house.news.until(lambda mid=delivery.mid: house.broker.acknowledged.count(mid) == 2)
    assert len(await house.rows()) == 3
    assert not any(row.duplicate_possible for row in await house.rows())


async def test_it_is_the_same_row_after_a_restart(tmp_path):
    async with running(tmp_path) as house:
        delivery = house.deliver("hello")
        await house.acknowledged(delivery)
    async with running(tmp_path) as house:
        house.again(delivery)
        await house.acknowledged(delivery)
        assert len(await house.rows()) == 1


async def test_it_is_the_same_row_while_the_first_delivery_is_not_committed_yet(house):
    async def reconnect():
        house.disconnect()
        house.connect(session_present=True)
        house.again(delivery)

    house.journal.before["accept"] = reconnect
    delivery = house.deliver("hello")
    await house.acknowledged(delivery)
    assert len(await house.rows()) == 1
    assert await house.sent(1) == ["hello"]


async def test_with_another_packet_id_it_is_carried_out_and_says_so(house):
    delivery = house.say(text="hello")
    await house.acknowledged(delivery)
    house.disconnect()
    house.connect(session_present=True)
    house.again(delivery, mid=77)
    await house.acknowledged(replace(delivery, mid=77))
    first, second = await house.hear("wx/result/wife", 2)
    assert (first["duplicate_possible"], second["duplicate_possible"]) == (False, True)
    assert first["id"] != second["id"]
    assert house.wechat.texts() == ["hello", "hello"]


async def test_without_dup_the_same_text_again_is_another_command(house):
    house.deliver("hello")
    house.deliver("hello")
    results = await house.hear("wx/result/wife", 2)
    assert [one["duplicate_possible"] for one in results] == [False, False]


async def test_a_dup_of_a_session_that_the_broker_lost_is_a_new_command(house):
    delivery = house.deliver("hello")
    await house.acknowledged(delivery)
    house.disconnect()
    house.connect(session_present=False)
    house.again(delivery)
    await house.hear("wx/result/wife", 2)
    assert len(await house.rows()) == 2


# ids


async def test_the_same_id_again_is_not_sent_and_its_result_comes_again(house):
    house.say(text="hello", id="a")
    first = await house.result("a")
    house.say(text="hello", id="a", ttl=5, priority="high")
    assert await house.hear("wx/result/wife", 2) == [first, first]
    assert house.wechat.texts() == ["hello"]


async def test_the_result_comes_again_also_to_the_new_response_topic(house):
    house.say(text="hello", id="a")
    await house.result("a")
    body = json.dumps({"text": "hello", "id": "a"})
    house.deliver(body, response_topic="me/answers", correlation=b"\0\xff")
    (again,) = await house.hear("me/answers")
    assert (again["id"], again["status"]) == ("a", "sent")
    (answer,) = [one for one in house.broker.published if one.topic == "me/answers"]
    assert (answer.correlation, answer.content_type) == (b"\0\xff", "application/json")


async def test_who_repeats_while_the_first_still_waits_is_answered_with_the_first(house):
    house.sender.set_online(online=False)
    body = json.dumps({"text": "hello", "id": "a"})
    for number in range(3):
        house.deliver(body, response_topic=f"me/{number}", correlation=bytes((number,)))
    await house.news.until(lambda: len(house.broker.acknowledged) == 3)
    house.sender.set_online(online=True)
    for number in range(3):
        (answer,) = await house.hear(f"me/{number}")
        assert (answer["id"], answer["status"]) == ("a", "sent")
    assert house.wechat.texts() == ["hello"]
    assert len(house.heard("wx/result/wife")) == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_who_repeats_while_the_first_is_just_being_settled_is_answered_too(house, when):
    body = json.dumps({"text": "hello", "id": "a"})

    async def repeat():
        again = house.deliver(body, response_topic="me/late", correlation=b"1")
        await house.acknowledged(again)

    getattr(house.journal, when)["finish"] = repeat
    house.deliver(body)
    (answer,) = await house.hear("me/late")
    assert (answer["id"], answer["status"]) == ("a", "sent")
    assert house.wechat.texts() == ["hello"]


async def test_who_repeats_what_was_settled_while_the_repeat_was_stored_is_answered_too(house):
    body = json.dumps({"text": "hello", "id": "a"})
    house.wechat.hold("hello")
    first = house.deliver(body)
    await house.acknowledged(first)
    await house.sent(1)

    async def settled_meanwhile():
        house.wechat.release("hello")
        await house.result("a")

    house.journal.after["accept"] = settled_meanwhile
    house.deliver(body, response_topic="me/late")
    (answer,) = await house.hear("me/late")
    assert (answer["id"], answer["status"]) == ("a", "sent")
    assert house.wechat.texts() == ["hello"]


@pytest.mark.parametrize(
    "other", [{"text": "other"}, {"text": "hello", "mention": ["mom"]}, {"kind": "image"}]
)
async def test_the_same_id_with_other_content_is_rejected(house, other):
    house.say(text="hello", id="a")
    await house.result("a")
    house.say(**other, id="a")
    second = (await house.hear("wx/result/wife", 2))[1]
    assert (second["id"], second["status"], second["code"]) == ("a", "rejected", "id_reused")
    assert house.wechat.texts() == ["hello"]


async def test_the_same_id_for_somebody_else_is_rejected_there(house):
    house.say(text="hello", id="a")
    await house.result("a")
    house.say("mom", text="hello", id="a")
    (second,) = await house.hear("wx/result/mom")
    assert second["code"] == "id_reused"


async def test_the_id_of_a_command_that_could_not_be_read_is_used_up_by_that_very_payload(house):
    house.say(text="hello", id="a", ttl=-1)
    house.say(text="hello", id="a", ttl=-1)
    house.say(text="hello", id="a", ttl="soon")
    house.say(text="hello", id="a")
    codes = [(one["id"], one["code"]) for one in await house.hear("wx/result/wife", 4)]
    assert codes == [("a", "bad_command"), ("a", "bad_command"), ("a", "id_reused"), ("a", "id_reused")]


async def test_ids_that_differ_in_one_invisible_character_differ(house):
    for command_id in ("a", "a\0", "a\0b", "a\u200b"):
        house.say(text="hello", id=command_id)
    results = await house.hear("wx/result/wife", 4)
    assert [one["status"] for one in results] == ["sent"] * 4
    assert len(house.wechat.sent) == 4


# retained


async def test_a_retained_command_is_refused_reported_once_and_cleared(house):
    delivery = house.say(text="hello", id="a")
    await house.result("a")
    house.again(delivery, dup=False, retain=True, mid=50)
    refused = (await house.hear("wx/result/wife", 2))[1]
    assert (refused["status"], refused["code"]) == ("rejected", "retained")
    assert refused["id"] != "a"
    (cleared,) = await clearings(house, "wx/out/wife")
    assert (cleared.payload, cleared.retain) == (b"", True)
    assert house.wechat.texts() == ["hello"]


async def test_a_live_command_with_the_retain_flag_is_sent_and_cleared_and_its_result_says_so(house):
    house.broker.redelivers = False
    delivery = house.say(text="hello", id="a")
    await house.result("a")
    live = house.deliver('{"text": "again", "id": "b"}', retain=True)
    result = await house.result("b")
    assert (result["status"], result["code"]) == ("sent", "ok")
    assert "the copy that the broker kept was cleared" in result["message"]
    assert len(await clearings(house, "wx/out/wife")) == 1
    assert "cleared" not in (await house.result("a"))["message"]
    house.again(live)
    house.say(text="the last", id="c")
    await house.result("c")
    assert house.wechat.texts() == ["hello", "again", "the last"]
    house.again(delivery, dup=False, retain=True, mid=51, connection_number=0)
    assert (await house.hear("wx/result/wife", 4))[3]["code"] == "retained", "of an earlier connection"


async def test_what_clears_a_topic_is_not_cleared_again(house):
    house.broker.redelivers = False
    await house.acknowledged(house.deliver("", retain=True))
    assert [one["code"] for one in await house.hear("wx/result/wife")] == ["empty"]
    assert not [one for one in house.broker.published if one.topic == "wx/out/wife"]


async def test_retained_commands_on_ever_other_topics_take_a_bounded_place_on_3_1_1(tmp_path):
    async with running(tmp_path, protocol="3.1.1") as house:
        pending = house.outbound._retained_commands._pending_clears
        for number in range(3):
            house.deliver("x", f"nobody-{number}", retain=True)
            await clearings(house, f"wx/out/nobody-{number}")
            await house.acknowledged(house.deliver("", f"nobody-{number}"))
        assert not pending, "what came back is forgotten"
        for number in range(MAX_PENDING_CLEARS + 50):
            house.deliver("x", f"silent-{number}", retain=True)
        await clearings(house, f"wx/out/silent-{MAX_PENDING_CLEARS + 49}")
        assert len(pending) == MAX_PENDING_CLEARS, "the broker need not deliver what it was given"
        house.outbound.start_session()
        assert not pending


async def clearings(house, topic):
    await house.news.until(lambda: [one for one in house.broker.published if one.topic == topic])
    return [one for one in house.broker.published if one.topic == topic]


@pytest.mark.parametrize(
    "topic",
    [
        "wx/out/wife/image",
        "wx/out/wife/what",
        "wx/out/nobody",
        "wx/bridge/request/send",
        "wx/bridge/request/health",
    ],
)
async def test_whatever_is_retained_below_our_topics_is_cleared(house, topic):
    house.deliver("{}", topic=topic, retain=True)
    (cleared,) = await clearings(house, topic)
    assert (cleared.payload, cleared.retain) == (b"", True)


async def test_on_3_1_1_the_empty_payload_of_our_own_clearing_is_ignored_and_that_of_a_user_is_not(tmp_path):
    async with running(tmp_path, protocol="3.1.1") as house:
        house.deliver("hello", retain=True)
        await clearings(house, "wx/out/wife")
        echo = house.deliver("")
        await house.acknowledged(echo)
        assert await codes(house) == ["retained"]
        house.deliver("")
        assert [one["code"] for one in await house.hear("wx/result/wife", 2)] == ["retained", "empty"]


async def test_on_mqtt_5_our_own_clearing_never_comes_back_so_every_empty_payload_is_a_users(house):
    house.deliver("hello", retain=True)
    await clearings(house, "wx/out/wife")
    house.deliver("")
    assert [one["code"] for one in await house.hear("wx/result/wife", 2)] == ["retained", "empty"]


async def test_a_clearing_that_never_reached_the_broker_hides_no_empty_payload(tmp_path):
    async with running(tmp_path, protocol="3.1.1") as house:
        house.broker.connection, current = None, house.broker.connection
        house.deliver("hello", retain=True)
        await only_row(house)
        house.broker.connection = current
        await house.acknowledged(house.deliver(""))
        assert await codes(house) == ["retained", "empty"]


async def codes(house):
    return [row.result.code for row in await house.rows() if row.result is not None]


async def only_row(house):
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not await house.rows():  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)


# whatever comes


@pytest.mark.parametrize("topic", ["wx/outer/wife", "other/out/wife", "wx/in/wife"])
async def test_a_topic_that_is_none_of_ours_is_acknowledged_and_does_nothing(house, topic):
    delivery = house.deliver("hello", topic=topic)
    await house.acknowledged(delivery)
    assert await house.rows() == []
    assert house.broker.published == []


async def test_many_at_once_are_accepted_in_order(house):
    for number in range(350):
        house.deliver(f"{number}")
    assert await house.sent(350) == [f"{number}" for number in range(350)]


async def test_qos_0_is_carried_out_too(house):
    house.deliver("hello", mid=0)
    assert await house.sent(1) == ["hello"]


async def test_people_with_old_names_are_reached_in_one_order(tmp_path):
    people = (person(9, "new"), *PEOPLE)
    async with running(tmp_path, people=people) as house:
        house.identity._table.assign_level("old", people[0].id)
        house.wechat.answer("1", Receipt(message_id="m1"))
        for number in range(20):
            house.deliver(f"{number}", user=("new", "old")[number % 2])
        assert await house.sent(20) == [f"{number}" for number in range(20)]
        await house.hear("wx/result/old", 10)
        await house.hear("wx/result/new", 10)


async def test_a_broker_that_knows_us_though_the_store_is_new_gets_a_session_number_that_is_kept(house):
    house.disconnect()
    house.outbound._session = house.session_number = 0  # as after the loss of the store
    house.connect(session_present=True)
    delivery = house.deliver("hello")
    await house.acknowledged(delivery)
    assert (await house.journal.open()).broker_session


# the bridge's own texts


async def test_a_text_of_the_bridge_is_a_command_without_a_result_topic(house):
    wife = house.identity.by_level("wife")
    new = own_text(OwnText.DIGEST, "wife", wife.id, "from the bridge", ttl=60.0)
    await house.outbound.accept_own_text(new)
    assert await house.sent(1) == ["from the bridge"]
    house.say(text="after it", id="a")
    await house.result("a")
    row = await house.journal.commands.get(new.command_id)
    assert row.result.status == "sent"
    assert new.command_id.startswith("wx2mqtt-")
    assert [result["id"] for result in house.heard("wx/result/wife")] == ["a"]

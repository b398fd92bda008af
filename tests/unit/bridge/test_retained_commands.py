"""Commands with the retain flag: a live one is sent and cleared, a copy that the broker kept is refused."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.commands_harness import running
from wx2mqtt.bridge.retained_commands import MAX_PENDING_CLEARS


async def test_a_retained_command_is_refused_reported_once_and_cleared(harness):
    delivery = harness.deliver_command(text="hello", id="a")
    await harness.result("a")
    harness.redeliver(delivery, dup=False, retain=True, mid=50)
    refused = (await harness.wait_for_bodies("wx/result/wife", 2))[1]
    assert (refused["status"], refused["code"]) == ("rejected", "retained")
    assert refused["id"] != "a"
    (cleared,) = await wait_for_clears(harness, "wx/out/wife")
    assert (cleared.payload, cleared.retain) == (b"", True)
    assert harness.wechat.texts() == ["hello"]


async def test_a_live_command_with_the_retain_flag_is_sent_and_cleared_and_its_result_says_so(harness):
    harness.broker.redelivers = False
    delivery = harness.deliver_command(text="hello", id="a")
    await harness.result("a")
    live = harness.deliver('{"text": "again", "id": "b"}', retain=True)
    result = await harness.result("b")
    assert (result["status"], result["code"]) == ("sent", "ok")
    assert "the copy that the broker kept was cleared" in result["message"]
    assert len(await wait_for_clears(harness, "wx/out/wife")) == 1
    assert "cleared" not in (await harness.result("a"))["message"]
    harness.redeliver(live)
    harness.deliver_command(text="the last", id="c")
    await harness.result("c")
    assert harness.wechat.texts() == ["hello", "again", "the last"]
    harness.redeliver(delivery, dup=False, retain=True, mid=51, connection_number=0)
    assert (await harness.wait_for_bodies("wx/result/wife", 4))[3]["code"] == "retained", (
        "of an earlier connection"
    )


async def test_what_clears_a_topic_is_not_cleared_again(harness):
    harness.broker.redelivers = False
    await harness.wait_for_puback(harness.deliver("", retain=True))
    assert [body["code"] for body in await harness.wait_for_bodies("wx/result/wife")] == ["empty"]
    assert not [publication for publication in harness.broker.published if publication.topic == "wx/out/wife"]


async def test_retained_commands_on_ever_other_topics_take_a_bounded_place_on_3_1_1(tmp_path):
    async with running(tmp_path, protocol="3.1.1") as harness:
        pending = harness.intake._retained_commands._pending_clears
        for number in range(3):
            harness.deliver("x", f"nobody-{number}", retain=True)
            await wait_for_clears(harness, f"wx/out/nobody-{number}")
            await harness.wait_for_puback(harness.deliver("", f"nobody-{number}"))
        assert not pending, "what came back is forgotten"
        for number in range(MAX_PENDING_CLEARS + 50):
            harness.deliver("x", f"silent-{number}", retain=True)
        await wait_for_clears(harness, f"wx/out/silent-{MAX_PENDING_CLEARS + 49}")
        assert len(pending) == MAX_PENDING_CLEARS, "the broker need not deliver what it was given"
        harness.intake.start_session()
        assert not pending


async def wait_for_clears(harness, topic):
    await harness.changes.wait_until(
        lambda: [publication for publication in harness.broker.published if publication.topic == topic]
    )
    return [publication for publication in harness.broker.published if publication.topic == topic]


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
async def test_whatever_is_retained_below_our_topics_is_cleared(harness, topic):
    harness.deliver("{}", topic=topic, retain=True)
    (cleared,) = await wait_for_clears(harness, topic)
    assert (cleared.payload, cleared.retain) == (b"", True)


async def test_on_3_1_1_the_empty_payload_of_our_own_clearing_is_ignored_and_that_of_a_user_is_not(tmp_path):
    async with running(tmp_path, protocol="3.1.1") as harness:
        harness.deliver("hello", retain=True)
        await wait_for_clears(harness, "wx/out/wife")
        echo = harness.deliver("")
        await harness.wait_for_puback(echo)
        assert await stored_codes(harness) == ["retained"]
        harness.deliver("")
        assert [body["code"] for body in await harness.wait_for_bodies("wx/result/wife", 2)] == [
            "retained",
            "empty",
        ]


async def test_on_mqtt_5_our_own_clearing_never_comes_back_so_every_empty_payload_is_a_users(harness):
    harness.deliver("hello", retain=True)
    await wait_for_clears(harness, "wx/out/wife")
    harness.deliver("")
    assert [body["code"] for body in await harness.wait_for_bodies("wx/result/wife", 2)] == [
        "retained",
        "empty",
    ]


async def test_a_clearing_that_never_reached_the_broker_hides_no_empty_payload(tmp_path):
    async with running(tmp_path, protocol="3.1.1") as harness:
        harness.broker.connection, current = None, harness.broker.connection
        harness.deliver("hello", retain=True)
        await wait_for_row(harness)
        harness.broker.connection = current
        await harness.wait_for_puback(harness.deliver(""))
        assert await stored_codes(harness) == ["retained", "empty"]


async def stored_codes(harness):
    return [row.result.code for row in await harness.rows() if row.result is not None]


async def wait_for_row(harness):
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not await harness.rows():  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0)

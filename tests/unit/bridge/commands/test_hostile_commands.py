"""Commands of an attacker who may publish: they are refused, and cost little time, memory and disk."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.loop_turns import turns_during
from tests.unit.bridge.commands_harness import running
from wx2mqtt.aio import MAX_UNBROKEN_SECONDS
from wx2mqtt.bridge.commands.acceptance import AcceptOrder
from wx2mqtt.limits import (
    MAX_FACT_CHARACTERS,
    MAX_TEXT_PAYLOAD_BYTES,
    MAX_TRANSACTION_BYTES,
)
from wx2mqtt.model import Command
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.mqtt.topics import RequestTopic

MEGABYTE = 1_000_000


@pytest.fixture
async def harness(tmp_path):
    async with running(tmp_path) as harness:
        yield harness


def cost_of_parsing(payload: bytes) -> float:
    """Returns the CPU seconds of parsing a valid text of this size, which every refusal needs."""
    started = time.thread_time()
    json.loads(b'{"text": "' + b"x" * len(payload) + b'"}')
    return time.thread_time() - started


# A test builds its input itself: each worker collects all tests, and holds their parameters to the end.
@pytest.mark.parametrize(
    "make",
    [
        lambda: b'{"text": "x", "mention": [' + b"1e1," * (2 * MEGABYTE) + b'1], "id": "a"}',
        lambda: b'{"text": "x", "mention": [' + b"[]," * (2 * MEGABYTE) + b'1], "id": "a"}',
        lambda: b'{"text": ' + b"[" * (8 * MEGABYTE),
    ],
    ids=["numbers", "lists", "levels"],
)
async def test_eight_megabytes_of_structure_are_refused_at_once_and_take_no_memory(harness, make):
    payload = make()
    await harness.wait_for_puback(harness.deliver("first"))
    tracemalloc.start()
    try:
        delivery = harness.deliver(payload)
        await harness.wait_for_puback(delivery)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(payload)
    (result,) = [
        body for body in await harness.wait_for_bodies("wx/result/wife", 2) if body["status"] == "rejected"
    ]
    assert result["code"] == "bad_command"
    assert "more than" in result["message"]


async def test_data_of_twelve_megabytes_for_nobody_costs_as_much_as_its_parsing(harness):
    payload = json.dumps({"kind": "file", "data": "QUJD" * (3 * MEGABYTE), "id": "a"}).encode()
    usual = cost_of_parsing(payload)
    started = time.thread_time()
    await harness.wait_for_puback(harness.deliver(payload, "nobody"))
    spent = time.thread_time() - started
    assert (await harness.result("a", "nobody"))["code"] == "unknown_user"
    assert spent < 0.05 + 10 * usual
    assert harness.media_files == []


async def test_three_refused_commands_of_fifteen_megabytes_leave_nothing_of_them_in_the_store(harness):
    for number in range(3):
        await harness.wait_for_puback(harness.deliver_command(text="x" * (15 * MEGABYTE), id=str(number)))
        result = await harness.result(str(number))
        assert (result["status"], result["code"]) == ("rejected", "too_long")
    assert sum(path.stat().st_size for path in harness.folder.rglob("*") if path.is_file()) < MEGABYTE
    assert [row.command.text for row in await harness.rows()] == ["", "", ""]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "file", "path": "x" * MEGABYTE},
        {"kind": "file", "url": "http://" + "x" * MEGABYTE},
        {"kind": "recall", "message_id": "x" * MEGABYTE},
        {"kind": "file", "data": "QUJD", "name": "x" * MEGABYTE},
        {"text": "x" * MEGABYTE, "mention": ["x" * MEGABYTE]},
        {"text": "x", "x" * MEGABYTE: 1},
        {"kind": "x" * MEGABYTE},
        {"text": "x", "priority": "x" * MEGABYTE},
    ],
    ids=lambda body: "+".join(key[:10] for key in body),
)
async def test_no_field_of_a_refused_command_is_stored_or_repeated_whole(harness, body):
    await harness.wait_for_puback(harness.deliver_command(**body, id="a"))
    result = await harness.result("a")
    assert result["status"] == "rejected"
    assert len(result["message"]) < 3 * MAX_FACT_CHARACTERS
    assert sum(path.stat().st_size for path in harness.folder.rglob("*") if path.is_file()) < MEGABYTE / 2


async def test_a_repeat_of_a_refused_command_gets_the_same_result_and_another_content_does_not(harness):
    await harness.wait_for_puback(harness.deliver_command(text="x" * 200, id="a"))
    await harness.wait_for_puback(harness.deliver_command(text="x" * 200, id="a"))
    await harness.wait_for_puback(harness.deliver_command(text="y" * 200, id="a"))
    codes = [result["code"] for result in await harness.wait_for_bodies("wx/result/wife", 3)]
    assert codes == ["too_long", "too_long", "id_reused"]
    assert [row.command.text for row in await harness.rows()] == ["", ""], "a refusal keeps no content"


async def test_a_text_of_bytes_is_bounded(harness):
    await harness.wait_for_puback(harness.deliver(b"x" * MAX_TEXT_PAYLOAD_BYTES))
    await harness.wait_for_puback(harness.deliver(b"x" * (MAX_TEXT_PAYLOAD_BYTES + 1)))
    first, second = await harness.wait_for_bodies("wx/result/wife", 2)
    assert [first["code"], second["code"]] == ["too_long", "too_long"]
    assert str(MAX_TEXT_PAYLOAD_BYTES) in second["message"]


@pytest.mark.parametrize("name", ["send", "recall", "echo"])
@pytest.mark.parametrize(
    "transaction", ["t" * MEGABYTE, ["t" * MEGABYTE], "界" * 4000], ids=["text", "list", "wide"]
)
async def test_a_transaction_that_is_too_large_is_refused_and_not_echoed_whole(tmp_path, name, transaction):
    async def echo(fields):
        return fields

    async with running(tmp_path, handlers={"echo": echo}) as harness:
        fields = {"user": "wife", "message_id": "1"} if name == "recall" else {"user": "wife", "text": "x"}
        payload = json.dumps({**fields, "transaction": transaction}).encode()
        await harness.wait_for_puback(harness.deliver(payload, topic=f"wx/bridge/request/{name}"))
        (answer,) = await harness.wait_for_bodies(f"wx/bridge/response/{name}")
        assert answer["status"] == "error"
        assert answer["code"] == (
            "bad_request" if len(payload) < 256 * 1024 or name != "echo" else "too_large"
        )
        assert len(json.dumps(answer)) < MAX_TRANSACTION_BYTES
        echoed = answer.get("transaction", "")
        assert isinstance(transaction, list) or transaction.startswith(echoed)
        assert harness.wechat.sent == []


async def test_a_transaction_of_the_largest_size_is_echoed(harness):
    transaction = "t" * (MAX_TRANSACTION_BYTES - 2)
    fields = {"user": "wife", "text": "hello", "transaction": transaction}
    harness.deliver(json.dumps(fields), topic="wx/bridge/request/send")
    (answer,) = await harness.wait_for_bodies("wx/bridge/response/send")
    assert (answer["status"], answer["transaction"]) == ("ok", transaction)


async def test_commands_are_refused_while_there_is_still_room_for_messages(harness):
    harness.quota.size = int(harness.quota.limit * 0.96)
    await harness.wait_for_puback(harness.deliver_command(text="x", id="a"))
    assert (await harness.result("a"))["code"] == "storage_full"
    assert harness.ctx.shared.exceeded_limit() == ""


async def test_equal_requests_at_qos_0_do_not_wait_for_each_other(tmp_path):
    """Only a delivery with a packet id can be redelivered. Once each request that ended woke all equal ones."""
    both = asyncio.Barrier(2)

    async def wait_for_both(_fields):
        await both.wait()

    async with running(tmp_path, handlers={"meet": wait_for_both}) as harness:
        for _ in range(2):
            harness.deliver("{}", topic="wx/bridge/request/meet", mid=0)
        answers = await harness.wait_for_bodies("wx/bridge/response/meet", 2)
        assert [answer["status"] for answer in answers] == ["ok", "ok"]


def test_a_command_waits_for_the_last_ones_with_its_keys_only():
    """With a list of all earlier commands in each ticket, memory would grow with the square of their number."""
    order = AcceptOrder()
    new: list[Any] = [
        SimpleNamespace(command=Command(user="wife"), person=1, command_id=str(number))
        for number in range(50)
    ]
    batch = asyncio.Event()
    tickets = [order.enqueue(command, batch) for command in new]
    assert [ticket.earlier for ticket in tickets[1:]] == [[batch, ticket.finished] for ticket in tickets[:-1]]
    for ticket in reversed(tickets):
        assert order.must_wait(new[0])
        with order.finish_after(ticket):
            pass
    assert not order.must_wait(new[0])


async def test_other_tasks_get_their_turns_in_a_batch_of_costly_commands(harness):
    """A single command takes a moment, but a hundred of them would block the loop for a second."""
    turns = []

    async def count_turns():
        while True:
            turns.append(len(harness.validated))
            await asyncio.sleep(0)

    validate = harness.validator.validate_command
    harness.validated = []

    async def validate_slowly(*args):
        harness.validated.append(args)
        started_at = time.monotonic()
        while time.monotonic() - started_at < MAX_UNBROKEN_SECONDS:
            pass
        return await validate(*args)

    harness.validator.validate_command = validate_slowly
    for number in range(6):
        harness.deliver(f"{number}")
    others = asyncio.create_task(count_turns())
    await harness.wait_for_bodies("wx/result/wife", 6)
    others.cancel()
    assert {1, 2, 3, 4, 5} <= set(turns)


@pytest.mark.parametrize(
    ("topic", "begin"),
    [
        ("wx/out/wife", b'{"text": "'),
        ("wx/bridge/request/send", b'{"user": "wife", "text": "'),
    ],
)
async def test_other_tasks_get_their_turns_while_a_large_command_is_parsed(harness, topic, begin):
    """The string in the command is full of characters that could begin a value."""
    payload = begin + b",[" * (8 * MEGABYTE) + b'"}'
    delivery = Delivery(
        topic=topic,
        payload=payload,
        mid=1,
        dup=False,
        retain=False,
        connection_number=harness.broker.connections,
    )
    incoming = harness.ctx.topics.parse(topic)
    assert incoming is not None
    validating = (
        harness.validator.validate_request(incoming.name, delivery, 1)
        if isinstance(incoming, RequestTopic)
        else harness.validator.validate_command(delivery, incoming, 1)
    )
    new, turns = await turns_during(validating)
    assert new.result is not None
    assert turns > 20


@pytest.mark.parametrize("payload", [b"x", b'{"text": "x", "ttl": 0}'])
async def test_where_commands_have_no_room_nothing_large_of_a_refused_one_stays(harness, payload):
    """The publisher chooses the sizes of the response topic and the correlation data."""

    def count_publications(connection):
        return connection.execute("SELECT count(*) FROM publication").fetchone()[0]

    harness.quota.size = int(harness.quota.limit * 0.96)
    count = 20
    for _ in range(count):
        await harness.wait_for_puback(
            harness.deliver(payload, "nobody", response_topic="r" * 60_000, correlation=bytes(60_000))
        )
    await harness.wait_for_bodies("wx/result/nobody", count)
    await harness.wait_for_bodies("r" * 60_000, count)
    assert [row.replies for row in await harness.rows()] == [()] * count
    await harness.publisher.finish(MAX_WAIT_SECONDS)
    assert await harness.journal._database.read(count_publications) == 0


async def test_what_was_refused_for_want_of_room_is_not_sent_when_it_comes_again(harness):
    """The broker delivers a command again whose PUBACK was lost; it must still have one result."""
    size = harness.quota.size
    harness.quota.size = int(harness.quota.limit * 0.96)
    await harness.wait_for_puback(harness.deliver('{"text": "x", "id": "a"}', response_topic="r"))
    await harness.wait_for_bodies("r")
    harness.quota.size = size
    await harness.wait_for_puback(harness.deliver('{"text": "x", "id": "a"}', response_topic="r"))
    results = await harness.wait_for_bodies("r", 2)
    assert [(result["status"], result["code"]) for result in results] == [("rejected", "storage_full")] * 2


async def test_a_repeat_of_a_command_that_was_sent_is_known_where_commands_have_no_room(harness):
    harness.deliver('{"text": "x", "id": "a"}')
    await harness.wait_for_sent_texts(1)
    await harness.wait_for_bodies("wx/result/wife")
    harness.quota.size = int(harness.quota.limit * 0.96)
    await harness.wait_for_puback(harness.deliver('{"text": "x", "id": "a"}'))
    results = await harness.wait_for_bodies("wx/result/wife", 2)
    assert [result["status"] for result in results] == ["sent", "sent"]
    assert len(await harness.rows()) == 1

"""Commands over HTTP in their account: stored with the broker's deliveries, answered, refused without a trace."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.bridge.commands_harness import CommandsHarness
from wx2mqtt.bridge.commands.http_commands import CallRefused, CommandCalls
from wx2mqtt.bridge.commands.outcomes import ResultWait
from wx2mqtt.errors import StoreError
from wx2mqtt.model import Blob


@pytest.fixture
def calls(harness: CommandsHarness) -> CommandCalls:
    return CommandCalls(harness.ctx, harness.validator, harness.intake, harness.sender.outcomes)


def result_wait() -> ResultWait:
    return ResultWait(seconds=60, interrupt=asyncio.Event())


async def accept(calls, text="home at six", *, sender="nas", upload=None, wait=None, **fields):
    given = {"text": text, **fields} if upload is None else fields
    return await calls.accept("wife", given, sender, upload, wait)


async def store_upload(calls: CommandCalls, data: bytes, kind: str = "file") -> Blob:
    async def chunks():
        yield data[:10]
        yield data[10:]

    return await calls.store_upload(kind, chunks())


async def test_a_call_is_a_command_with_one_result_that_names_its_sender(harness, calls):
    accepted = await accept(calls, wait=result_wait(), id="a")
    assert (accepted.command_id, accepted.result["status"], accepted.result["sender"]) == ("a", "sent", "nas")
    assert await harness.result("a") == accepted.result
    (row,) = await harness.rows()
    assert (row.id, row.command.sender) == (accepted.row_id, "nas")


async def test_without_a_wait_the_answer_comes_after_the_commit(harness, calls):
    accepted = await accept(calls)
    assert accepted.result is None
    assert [row.command_id for row in await harness.rows()] == [accepted.command_id]
    assert (await harness.result(accepted.command_id))["status"] == "sent"


async def test_a_wait_that_is_interrupted_answers_without_a_result(harness, calls):
    wait = result_wait()
    wait.interrupt.set()
    harness.wechat.hold("slow")
    accepted = await accept(calls, "slow", wait=wait)
    assert accepted.result is None
    assert await calls.count_unfinished("nas") == 1
    assert await calls.count_unfinished("grafana") == 0
    harness.wechat.release("slow")
    await harness.result(accepted.command_id)


async def test_a_repeat_gets_the_stored_result_and_another_sender_nothing(harness, calls):
    first = await accept(calls, wait=result_wait(), id="a")
    again = await accept(calls, id="a")
    assert again.result == first.result
    assert await harness.wait_for_sent_texts(1) == ["home at six"]
    for sender, text in (("grafana", "home at six"), ("nas", "another text")):
        with pytest.raises(CallRefused) as caught:
            await accept(calls, text, sender=sender, id="a")
        assert caught.value.code == "id_reused"
    assert len(await harness.rows()) == 1


async def test_the_same_id_from_mqtt_is_another_commands(harness, calls):
    await accept(calls, id="a", wait=result_wait())
    delivery = harness.deliver_command(text="home at six", id="a")
    await harness.wait_for_puback(delivery)
    results = await harness.wait_for_bodies("wx/result/wife", 2)
    assert results[1]["code"] == "id_reused"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"txt": 1}, "bad_command"),
        ({"text": " "}, "empty"),
        ({"ttl": -1}, "bad_command"),
        ({"text": "x" * 101}, "too_long"),
    ],
)
async def test_what_is_refused_leaves_no_trace(harness, calls, fields, code):
    with pytest.raises(CallRefused) as caught:
        await accept(calls, **{"text": "a", **fields})
    assert caught.value.code == code
    assert str(caught.value)
    assert await harness.rows() == []
    assert harness.bodies_on("wx/result/wife") == []


async def test_a_file_is_sent_as_what_it_is_and_released_if_it_is_refused(harness, calls):
    upload = await store_upload(calls, b"plain text of a file")
    accepted = await accept(calls, upload=upload, wait=result_wait(), name="a.txt")
    assert accepted.result["status"] == "sent"
    assert harness.wechat.drafts[-1].kind == "file"
    other = await store_upload(calls, b"another text of a file")
    with pytest.raises(CallRefused):
        await accept(calls, upload=other, kind="image")
    with pytest.raises(CallRefused):
        await accept(calls, upload=other, name="../a.txt")
    with pytest.raises(CallRefused):
        await accept(calls, upload=other, path="/etc/passwd")
    await calls.release(other)
    assert all(other.sha256 not in path.name for path in harness.media_files)


async def test_a_file_that_is_too_large_is_refused_before_it_comes_and_while_it_comes(harness, calls):
    with pytest.raises(CallRefused) as announced:
        calls.check_upload("file", 1_000_001)
    with pytest.raises(CallRefused) as caught:
        await store_upload(calls, b"x" * 1_000_001)
    assert (announced.value.code, str(announced.value)) == (caught.value.code, str(caught.value))
    assert caught.value.code == "too_large"
    assert harness.media_files == []


async def test_when_the_store_fails_the_call_is_refused_and_a_delivery_waits(harness, calls):
    async def fail():
        raise StoreError("the disk is full")

    harness.journal.before["accept"] = fail
    delivery = harness.deliver("from mqtt")
    with pytest.raises(StoreError):
        await accept(calls, id="a")
    await harness.wait_for_puback(delivery)
    assert [row.command.text for row in await harness.rows()] == ["from mqtt"]
    assert (await accept(calls, id="a")).command_id == "a"


async def test_a_thousand_calls_beside_deliveries_each_get_one_result(harness, calls):
    async def call(number):
        return await accept(
            calls, f"call {number}", sender=f"s{number % 10}", id=f"c{number}", wait=result_wait()
        )

    tasks = [asyncio.create_task(call(number)) for number in range(1000)]
    deliveries = [harness.deliver_command(text=f"mqtt {number}", id=f"m{number}") for number in range(50)]
    accepted = await asyncio.gather(*tasks)
    assert {call.result["status"] for call in accepted} == {"sent"}
    for delivery in deliveries:
        await harness.wait_for_puback(delivery)
    results = await harness.wait_for_bodies("wx/result/wife", 1050)
    assert len({result["id"] for result in results}) == len(results) == 1050

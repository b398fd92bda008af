"""Commands over HTTP are stored with those of MQTT, answered, and refused without a trace; a webhook is sent once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.support.account_rig import BridgedAccount, hold_calls
from tests.support.memory_backend import Pause
from wx2mqtt.bridge.commands import fallback_ways
from wx2mqtt.bridge.commands.http_commands import REPETITION_SECONDS, AcceptedCall, CallRefused
from wx2mqtt.bridge.commands.intake import CALL_TIMEOUT_SECONDS
from wx2mqtt.bridge.commands.outcomes import ResultWait
from wx2mqtt.errors import Rejected, StoreError
from wx2mqtt.external.alerts import AlertOutcome
from wx2mqtt.model import Blob

URL = "tgram://123456:secret/42"


async def call(
    bridge: BridgedAccount,
    text: str = "home at six",
    *,
    user: str = "老婆",
    sender: str = "nas",
    upload: Blob | None = None,
    wait: bool = True,
    content: str = "",
    **fields: Any,
) -> AcceptedCall:
    """Accepts a call, and with `wait` waits for its result."""
    given = {"text": text, **fields} if upload is None else fields
    result_wait = ResultWait(seconds=60, interrupt=asyncio.Event()) if wait else None
    return await bridge.account.components.command_calls.accept(
        user, given, sender, upload, result_wait, content
    )


async def refusal(bridge: BridgedAccount, *args: Any, **fields: Any) -> str:
    with pytest.raises(CallRefused) as refused:
        await call(bridge, *args, **fields)
    assert str(refused.value)
    return refused.value.code


async def store_upload(bridge: BridgedAccount, data: bytes, kind: str = "file") -> Blob:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield data[:10]
        yield data[10:]

    return await bridge.account.components.command_calls.store_upload(kind, chunks())


async def test_a_call_is_a_command_with_one_result_that_names_its_sender(bridge: BridgedAccount):
    accepted = await call(bridge, id="a")
    assert accepted.result is not None
    assert (accepted.command_id, accepted.result["status"], accepted.result["sender"]) == ("a", "sent", "nas")
    assert await bridge.result("老婆") == accepted.result
    (row,) = await bridge.commands()
    assert (row.id, row.command.sender, row.accepted) == (accepted.row_id, "nas", accepted.time)


async def test_without_a_wait_the_answer_comes_after_the_commit(bridge: BridgedAccount):
    bridge.backend.outcomes.append(Pause(60))
    accepted = await call(bridge, wait=False)
    assert accepted.result is None
    assert [row.command_id for row in await bridge.commands()] == [accepted.command_id]
    count = bridge.account.components.command_calls.count_unfinished
    assert [await count(sender) for sender in ("nas", "grafana")] == [1, 0]
    assert (await bridge.result("老婆"))["status"] == "sent"
    assert await count("nas") == 0


async def test_a_wait_that_is_interrupted_answers_without_a_result(bridge: BridgedAccount):
    bridge.backend.outcomes.append(Pause(60))
    wait = ResultWait(seconds=60, interrupt=asyncio.Event())
    wait.interrupt.set()
    calls = bridge.account.components.command_calls
    assert (await calls.accept("老婆", {"text": "slow"}, "nas", None, wait)).result is None


async def test_a_repeat_gets_the_stored_result_and_another_content_or_sender_nothing(bridge: BridgedAccount):
    first = await call(bridge, id="a")
    assert (await call(bridge, id="a", wait=False)).result == first.result
    assert await refusal(bridge, id="a", sender="grafana") == "id_reused"
    assert await refusal(bridge, "another text", id="a") == "id_reused"
    assert len(await bridge.commands()) == len(bridge.backend.sent) == 1
    bridge.deliver("wx/out/老婆", {"text": "home at six", "id": "a"})  # over MQTT it is another command
    codes = [(await bridge.result("老婆"))["code"] for _ in range(3)]
    assert codes == ["ok", "ok", "id_reused"], "the repeat has published its result again"


async def test_what_is_refused_leaves_no_trace(bridge: BridgedAccount):
    cases: list[tuple[dict[str, Any], str]] = [
        ({"txt": 1}, "bad_command"),
        ({"text": " "}, "empty"),
        ({"ttl": -1}, "bad_command"),
        ({"text": "x" * 2001}, "too_long"),
    ]
    for fields, code in cases:
        assert await refusal(bridge, **{"text": "a", **fields}) == code
    assert await bridge.commands() == bridge.published("wx/result/老婆") == []


async def test_a_file_is_sent_as_what_it_is_and_released_if_it_is_refused(bridge: BridgedAccount):
    upload = await store_upload(bridge, b"plain text of a file")
    accepted = await call(bridge, upload=upload, name="a.txt")
    assert accepted.result is not None
    assert (accepted.result["status"], bridge.backend.sent[-1].draft.kind) == ("sent", "file")
    other = await store_upload(bridge, b"another text of a file")
    for fields in ({"name": "../a.txt"}, {"path": "/etc/passwd"}, {"kind": "voice"}):
        await refusal(bridge, upload=other, **fields)
    await bridge.account.components.command_calls.release(other)
    assert b"another text of a file" not in bridge.stored_files


async def test_a_file_that_is_too_large_is_refused_before_it_comes_and_while_it_comes(bridge: BridgedAccount):
    with pytest.raises(CallRefused) as announced:
        bridge.account.components.command_calls.check_upload("file", 25_000_001)
    with pytest.raises(CallRefused) as caught:
        await store_upload(bridge, bytes(25_000_001))
    assert (announced.value.code, str(announced.value)) == (caught.value.code, str(caught.value))
    assert (caught.value.code, bridge.stored_files) == ("too_large", [])


async def test_when_the_store_fails_the_call_is_refused_and_a_delivery_waits(bridge: BridgedAccount):
    bridge.fail_store("accept")
    bridge.deliver("wx/out/老婆", "from mqtt")
    with pytest.raises(StoreError):
        await call(bridge, id="a")
    assert (await bridge.result("老婆"))["status"] == "sent"
    assert [row.command.text for row in await bridge.commands()] == ["from mqtt"]
    assert (await call(bridge, id="a")).command_id == "a"


async def test_a_call_that_nothing_has_begun_to_store_in_time_is_refused_and_never_sent(
    bridge: BridgedAccount,
):
    commit = bridge.hold_store("accept")
    bridge.deliver("wx/out/妈妈", "it holds the store")
    await bridge.pass_time(1)
    calling = asyncio.create_task(call(bridge))
    await bridge.pass_time(CALL_TIMEOUT_SECONDS + 1)
    assert isinstance(calling.exception(), StoreError)
    commit.set_result(None)
    await bridge.result("妈妈")
    await bridge.pass_time(60)
    assert [text for _, text in bridge.backend.texts] == ["it holds the store"]


async def test_many_calls_beside_deliveries_each_get_one_result(bridge: BridgedAccount):
    tasks = [
        asyncio.create_task(call(bridge, f"call {number}", sender=f"s{number % 10}", id=f"c{number}"))
        for number in range(300)
    ]
    for number in range(50):
        bridge.deliver("wx/out/老婆", {"text": f"mqtt {number}", "id": f"m{number}"})
    accepted = await asyncio.gather(*tasks)
    assert {call.result and call.result["status"] for call in accepted} == {"sent"}
    await bridge.wait_until(lambda: len(bridge.broker.pubacks) == 50)
    results = bridge.published("wx/result/老婆")
    assert len({result["id"] for result in results}) == len(results) == len(bridge.backend.sent) == 350


# A webhook that reports the same again


async def report(
    bridge: BridgedAccount, content: str = "load", sender: str = "grafana", **fields: Any
) -> str:
    """Accepts the report of a webhook, and returns the id of its command once it has ended."""
    return (await call(bridge, "FIRING", sender=sender, content=content, **fields)).command_id


async def test_the_same_report_is_sent_once_for_ten_minutes_by_the_next_process_too(bridge: BridgedAccount):
    first = await report(bridge)
    assert {*await asyncio.gather(*(report(bridge) for _ in range(3)))} == {first}
    await bridge.kill()
    await bridge.restart()
    await bridge.pass_time(REPETITION_SECONDS - 60)
    assert await report(bridge) == first
    await bridge.pass_time(60)
    assert await report(bridge) != first
    assert len(bridge.backend.sent) == 2


@pytest.mark.parametrize("other", [{"content": "disk"}, {"sender": "alerts"}, {"user": "妈妈"}])
async def test_another_content_sender_or_recipient_is_another_report(
    bridge: BridgedAccount, other: dict[str, str]
):
    assert await report(bridge) != await report(bridge, **other)
    assert len(bridge.backend.sent) == 2


async def test_what_did_not_arrive_is_sent_again(bridge: BridgedAccount):
    bridge.backend.outcomes.append(Rejected("no"))
    first, second = await report(bridge), await report(bridge)
    assert [(await bridge.result_of(number))["status"] for number in (first, second)] == ["failed", "sent"]
    assert await report(bridge) == second


@pytest.mark.parametrize(
    ("outcome", "arrived"),
    [(AlertOutcome.SENT, True), (AlertOutcome.FAILED, False), (AlertOutcome.UNCERTAIN, False)],
)
async def test_what_arrived_by_the_fallback_is_not_sent_again_nor_while_that_is_under_way(
    open_bridge: Any, monkeypatch: pytest.MonkeyPatch, outcome: AlertOutcome, arrived: bool
):
    async def send_alert(_urls: object, _alert: object) -> AlertOutcome:
        return outcome

    monkeypatch.setattr(fallback_ways, "send_alert", send_alert)
    gate = hold_calls(fallback_ways, "send_alert")
    bridge = await open_bridge(fallback={"after": 600, "urls": [URL]})
    bridge.backend.outcomes.append(Rejected("no"))
    first = (await call(bridge, "FIRING", content="load", urgent=True, wait=False)).command_id
    await bridge.pass_time(10)
    assert (await call(bridge, "FIRING", content="load", urgent=True, wait=False)).command_id == first
    gate.set()
    result = await bridge.result_of(first)
    assert (result["status"], result["fallback"]) == ("failed", str(outcome))
    second = (await call(bridge, "FIRING", content="load", urgent=True)).command_id
    assert (second == first) is arrived
    assert len(bridge.backend.sent) == (1 if arrived else 2)

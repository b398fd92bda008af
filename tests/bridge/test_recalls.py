"""A recall withdraws an own message that is young enough; everything else is refused without asking WeChat."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount
from wx2mqtt.errors import OutcomeUnknown, Rejected
from wx2mqtt.model import Handle, Recall


async def sent_id(bridge: BridgedAccount, user: str = "老婆") -> Any:
    return (await bridge.send(user, "oops"))["message_id"]


async def recall(bridge: BridgedAccount, message_id: str) -> Any:
    return await bridge.send("老婆", {"kind": "recall", "message_id": message_id})


async def test_an_own_message_is_withdrawn_without_a_token_of_the_rate_limit(open_bridge: OpenBridge):
    bridge = await open_bridge(send={"per_minute": 1, "burst": 1})
    message_id = await sent_id(bridge)
    started_at = bridge.backend.sent[0].time
    result = await recall(bridge, message_id)
    assert (result["status"], result["code"], result["message_id"]) == ("sent", "ok", None)
    assert bridge.backend.performed == [Recall(chat=Handle("@wife"), message_id=message_id)]
    await bridge.send("老婆", "the next")
    assert bridge.backend.sent[1].time - started_at > 30


async def test_a_request_to_recall_needs_no_user_and_is_answered(bridge: BridgedAccount):
    message_id = await sent_id(bridge)
    answer = await bridge.request("recall", message_id=message_id, transaction=7)
    assert (answer["status"], answer["transaction"], answer["data"]["status"]) == ("ok", 7, "sent")
    assert await bridge.result("老婆") == answer["data"]
    named = await bridge.request("recall", message_id=message_id, user="妈妈", kind="recall")
    assert (named["status"], named["code"]) == ("error", "unknown_message"), "the user in the request counts"
    assert (await bridge.result("妈妈"))["code"] == "unknown_message"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"message_id": "77"}, "unknown_message"),
    ({"message_id": ""}, "unknown_message"),
    ({"message_id": "\ud800"}, ""),
    ({}, "bad_command"),
    ({"message_id": 7}, "bad_command"),
    ({"message_id": "1", "user": "老婆", "kind": "image"}, "bad_command"),
    ({"message_id": "1", "user": "老婆", "kind": 1}, "bad_command"),
    ({"message_id": "1", "user": "老婆", "text": "x"}, "bad_command"),
    ({"message_id": "1", "user": "a/b"}, "bad_command"),
    ({"user": "老婆"}, "bad_command"),
    ({"user": "nobody", "message_id": "1"}, "unknown_user"),
]


async def test_a_request_to_recall_that_names_no_sent_message_is_an_error(bridge: BridgedAccount):
    for fields, code in REFUSED:
        answer = await bridge.request("recall", **fields)
        assert answer["status"] == "error", fields
        assert not code or answer["code"] == code, fields
    assert bridge.backend.performed == []


async def test_what_was_not_sent_to_this_chat_or_is_too_old_is_not_withdrawn(bridge: BridgedAccount):
    """WeChat withdraws for two minutes."""
    old, to_mom = await sent_id(bridge), await sent_id(bridge, "妈妈")
    assert [(await recall(bridge, message_id))["code"] for message_id in ("77", to_mom)] == [
        "unknown_message"
    ] * 2
    await bridge.pass_time(121)
    result = await recall(bridge, old)
    assert (result["status"], result["code"]) == ("rejected", "too_late")
    young = await sent_id(bridge)
    await bridge.pass_time(118)
    assert bridge.backend.performed == []
    assert (await recall(bridge, young))["status"] == "sent"


@pytest.mark.parametrize(
    ("outcome", "code", "asked"), [(Rejected("too old"), "refused_by_wechat", 1), (OutcomeUnknown(), "ok", 2)]
)
async def test_what_wechat_does_not_withdraw_is_failed_and_an_unanswered_recall_is_asked_for_once_more(
    bridge: BridgedAccount, outcome: Any, code: str, asked: int
):
    message_id = await sent_id(bridge)
    bridge.backend.outcomes.append(outcome)
    assert (await recall(bridge, message_id))["code"] == code
    assert len(bridge.backend.performed) == asked

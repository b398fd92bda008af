"""Members of a group are mentioned by topic name and as the group shows them, if it is certain whom a name means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount, fail_next_call
from tests.support.memory_backend import FAMILY, MOM, WIFE, MemoryBackend
from wx2mqtt.errors import Unreachable
from wx2mqtt.model import Handle, Member

GROUP = replace(
    FAMILY,
    members=(
        Member(handle=WIFE.handle, nickname="W"),
        Member(handle=Handle("@x1"), nickname="Li", display_name="Li Lei"),
        Member(handle=Handle("@x2"), nickname="Li"),
        Member(handle=Handle("@x3"), nickname="e\u0301"),
    ),
)


@pytest.fixture
async def group(open_bridge: OpenBridge) -> BridgedAccount:
    return await open_bridge(MemoryBackend(contacts=[WIFE, MOM, GROUP]))


async def mention(bridge: BridgedAccount, *names: str) -> Any:
    return await bridge.send(FAMILY.nickname, {"text": "dinner", "mention": [*names]})


async def test_members_are_mentioned_once_each_also_when_the_first_question_for_them_failed(
    group: BridgedAccount,
):
    fail_next_call(group.backend, "list_members", Unreachable())
    assert (await mention(group, "老婆", "Li Lei", "\u00e9", "老婆"))["status"] == "sent"
    (sent,) = group.backend.sent
    assert (sent.draft.text, sent.draft.mention) == ("dinner", ("@wife", "@x1", "@x3"))


@pytest.mark.parametrize(
    ("name", "word"), [("妈妈", "nobody"), ("Han", "nobody"), ("Li", "several"), ("", "nobody")]
)
async def test_who_is_no_member_or_not_the_only_one_is_not_mentioned_and_nothing_is_sent(
    group: BridgedAccount, name: str, word: str
):
    result = await mention(group, "老婆", name)
    assert (result["status"], result["code"]) == ("rejected", "bad_command")
    assert word in result["message"]
    assert group.backend.sent == []

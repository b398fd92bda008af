"""What the web page shows of an account and does with it, which takes the same way as from MQTT."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import WIFE
from wx2mqtt.bridge.account_view import AccountView
from wx2mqtt.bridge.message_lines import MAX_PREVIEW_BYTES
from wx2mqtt.model import ChatKind, Contact, Cursor, Handle
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import NewMessage


@pytest.fixture
def view(bridge: BridgedAccount) -> AccountView:
    return AccountView(bridge.account)


def friends(count: int = 30) -> list[Contact]:
    return [
        Contact(handle=Handle(f"@{number}"), kind=ChatKind.FRIEND, nickname=f"Friend {number:02}")
        for number in range(count)
    ]


async def store(bridge: BridgedAccount, number: int, kind: str = "text", **body: Any) -> None:
    """Stores a message with this body."""
    usual: dict[str, Any] = {
        "id": str(number), "user": "wife", "chat": {"kind": "friend", "name": "老婆"}, "kind": kind,
        "sender": {"user": "wife", "name": "老婆", "self": False}, "text": f"{number}", "time": f"t{number}",
    }  # fmt: skip
    new = NewMessage(
        key=str(number), id=str(number), topic="wx/in/wife", user="wife", kind=kind, time=number,
        text=f"{number}", body={**usual, **body},
    )  # fmt: skip
    await bridge.account.ctx.journal.received.record([new], NO_CHANGES, Cursor("1"), "login")


# Messages


async def test_messages_are_listed_newest_first_and_found_by_their_text(
    bridge: BridgedAccount, view: AccountView
):
    for number in range(1, 12):
        await store(bridge, number)
    assert [line.text for line in await view.recent_messages(3)] == ["11", "10", "9"]
    first = await view.search_messages("1", None, 2)
    assert ([line.text for line in first.lines], first.has_more) == (["11", "10"], True)
    rest = await view.search_messages("1", first.lines[-1].seq, 2)
    assert ([line.text for line in rest.lines], rest.has_more) == (["1"], False)


async def test_a_line_says_who_wrote_what_where(bridge: BridgedAccount, view: AccountView):
    await store(bridge, 1)
    await store(bridge, 2, chat={"kind": "group", "name": "家"}, sender={"name": "我", "self": True})
    await store(bridge, 3, "system", sender=None, chat=None)
    system, own, friend = await view.recent_messages(10)
    assert (friend.user, friend.chat, friend.sender, friend.group, friend.own) == (
        "wife", "老婆", "老婆", False, False,
    )  # fmt: skip
    assert (own.chat, own.sender, own.group, own.own) == ("家", "我", True, True)
    assert (system.kind, system.sender, system.chat) == ("system", "", "")


READY = {"state": "ready", "mime": "image/jpeg", "size": 5000}


@pytest.mark.parametrize(
    ("kind", "shown", "media", "preview"),
    [
        ("image", {"url": "/media/a1"}, "a1", ""),
        ("image", {"url": "https://home.example/wechat/media/a-1_b"}, "a-1_b", ""),
        ("image", {"url": ""}, "", ""),
        ("image", {}, "", ""),
        ("link", {"url": "https://example.com/read"}, "", ""),
        ("image", {"url": "/media/a1", **READY}, "a1", "a1"),
        ("image", {"url": "/media/a1", **READY, "thumbnail": {"url": "/media/t1", **READY}}, "a1", "t1"),
        ("image", {"url": "/media/a1", "state": "pending", "thumbnail": {"url": "/media/t1", **READY}}, "a1", "t1"),
        ("image", {"url": "/media/a1", **READY, "thumbnail": {"url": "/media/t1", "state": "failed"}}, "a1", "a1"),
        ("image", {"url": "/media/a1", **READY, "mime": "image/svg+xml"}, "a1", ""),
        ("image", {"url": "/media/a1", **READY, "size": MAX_PREVIEW_BYTES + 1}, "a1", ""),
        ("image", {"url": "/media/a1", **READY, "state": "gone"}, "a1", ""),
        ("image", {**READY}, "", ""),
    ],
)  # fmt: skip
async def test_of_a_picture_a_line_says_where_its_bytes_are_and_what_can_be_shown(
    bridge: BridgedAccount, view: AccountView, kind: str, shown: dict[str, Any], media: str, preview: str
):
    await store(bridge, 1, kind, **{kind: shown})
    (line,) = await view.recent_messages(10)
    assert (line.kind, line.media, line.preview) == (kind, media, preview)


# Commands


async def test_a_text_from_the_page_is_a_command_with_one_result(bridge: BridgedAccount, view: AccountView):
    for _ in range(2):
        await view.send("老婆", "开灯", "page-1")
    result = await bridge.result("老婆")
    assert (result["status"], result["code"], result["id"]) == ("sent", "ok", "page-1")
    (row,) = await view.recent_commands(10)
    assert (row.command_id, row.command.user, row.command.text) == ("page-1", "老婆", "开灯")
    await view.send("老婆", "another", "page-1")
    await view.send("nobody-at-all", "hi", "page-2")
    assert (await bridge.result("nobody-at-all"))["code"] == "unknown_user"
    assert bridge.backend.texts == [("@wife", "开灯")]
    counters = (await view.snapshot()).counters
    assert counters.sent == {"text": 1}
    assert counters.results == {
        ("sent", "ok"): 1,
        ("rejected", "id_reused"): 1,
        ("rejected", "unknown_user"): 1,
    }


async def test_open_questions_are_listed_and_closed_once(bridge: BridgedAccount, view: AccountView):
    for command_id in ("heat", "lock"):
        await bridge.send("老婆", {"text": f"{command_id}?", "id": command_id, "buttons": ["Yes", "No"]})
    assert [question.command_id for question in await view.open_questions(10)] == ["lock", "heat"]
    assert [question.command_id for question in await view.open_questions(1)] == ["lock"]
    assert await view.close_question("lock")
    assert not await view.close_question("lock")
    assert [question.command_id for question in await view.open_questions(10)] == ["heat"]


# The login


async def test_the_login_is_asked_for_and_ended_as_by_request(bridge: BridgedAccount, view: AccountView):
    assert (view.login_name, view.qr_image, view.login.state) == ("王小明", b"", "online")
    await view.log_out()
    await bridge.wait_until(lambda: view.login.state == "logged_out")
    assert bridge.backend.logouts == 1
    view.request_login()
    await bridge.wait_until(lambda: view.login.state == "online")
    assert not view.enter_verification_code("123456"), "nobody asks for one"


# People


async def test_a_test_goes_to_oneself_or_to_who_owns_the_bot(open_bridge: OpenBridge):
    bridge = await open_bridge()
    assert AccountView(bridge.account).test_recipient == "filehelper"
    await bridge.kill()
    bridge.backend.capabilities = replace(
        bridge.backend.capabilities, has_contacts=False, has_filehelper=False
    )
    await bridge.restart()
    view = AccountView(bridge.account)
    assert view.test_recipient == "", "the owner has not written yet"
    owner = bridge.backend.owner
    bridge.backend.write(Contact(handle=owner.handle, kind=ChatKind.FRIEND, nickname=owner.nickname))
    await bridge.pass_time(2)
    assert view.test_recipient == "friend", "the name of that chat"


async def test_people_are_found_by_any_of_their_names_page_by_page_who_needs_a_decision_first(
    open_bridge: OpenBridge,
):
    bridge = await open_bridge(start=False)
    bridge.backend.contacts = [*friends(), WIFE]
    await bridge.start()
    await bridge.pass_time(2)
    view = AccountView(bridge.account)
    found = await view.search_people("friend 1", 0, 4)
    assert found.count == 10
    assert [entry.nickname for entry in found.entries] == ["Friend 10", "Friend 11", "Friend 12", "Friend 13"]
    last = (await view.search_people("FRIEND 1", 8, 4)).entries
    assert [entry.nickname for entry in last] == ["Friend 18", "Friend 19"]
    assert (await view.search_people("x-nobody", 0, 4)).count == 0
    assert (await view.search_people("friend", 10**9, 4)).entries == []
    await bridge.stop()
    bridge.backend.contacts = [*friends()[1:], *(Contact(
        handle=Handle(f"@new{number}"), kind=ChatKind.FRIEND, nickname="晓梅", remark="老婆"
    ) for number in range(2))]  # fmt: skip
    await bridge.restart()
    await bridge.pass_time(5)
    everybody = (await AccountView(bridge.account).search_people("", 0, 1000)).entries
    ranks = [entry.closed or bool(entry.problem) for entry in everybody]
    assert ranks == sorted(ranks, reverse=True)
    assert (ranks[0], len(everybody) > 30) == (True, True)

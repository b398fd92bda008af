"""Actions: the call of each, and the meaning of each answer (webwx 1.3, 2.15-2.19)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.unit.wechat.rig import body, query, refused
from tests.unit.wechat.webwx.entries import BOB, FAMILY, WIFE
from tests.unit.wechat.webwx.server import WebWxRig, answer, renewing, text
from wx2mqtt.errors import BackendError, LoggedOut, OutcomeUnknown, Rejected, Throttled, Unreachable
from wx2mqtt.model import (
    AcceptFriend,
    Action,
    ActionResult,
    AddMembers,
    ChatKind,
    Contact,
    CreateGroup,
    Handle,
    MarkRead,
    Recall,
    RemoveMembers,
    RenameGroup,
    SendKey,
    SetRemark,
)

KEY = SendKey("17000000000001234")
NEW = Handle("@@" + "7" * 64)
ACTIONS: list[tuple[Action, str]] = [
    (Recall(chat=WIFE, message_id="5"), "webwxrevokemsg"),
    (MarkRead(chat=WIFE), "webwxstatusnotify"),
    (SetRemark(person=WIFE, remark="老婆"), "webwxoplog"),
    (AcceptFriend(request={"username": "@s", "ticket": "SECRET"}), "webwxverifyuser"),
    (AddMembers(group=FAMILY, members=(BOB,)), "webwxupdatechatroom"),
    (RemoveMembers(group=FAMILY, members=(BOB,)), "webwxupdatechatroom"),
    (RenameGroup(group=FAMILY, name="家"), "webwxupdatechatroom"),
]


@pytest.mark.parametrize(("action", "call"), ACTIONS, ids=lambda value: type(value).__name__)
async def test_an_action_is_one_call(online: WebWxRig, action: Action, call: str) -> None:
    online.put(call, answer())
    before = len(online.requests)
    assert await online.backend.perform(action, KEY) == ActionResult()
    assert online.calls()[before:] == [call]


@pytest.mark.parametrize(("action", "call"), ACTIONS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    ("answered", "error"),
    [
        (answer(1), Rejected),
        (answer(-14), Rejected),
        (answer(1204), Rejected),
        (answer(-1), Unreachable),
        (answer(1205), Throttled),
        (answer(1101), LoggedOut),
        (text("", 502), Unreachable),
        (text("<html>"), OutcomeUnknown),
        (httpx.ConnectError("x"), Unreachable),
        (httpx.ReadError("x"), OutcomeUnknown),
    ],
)
async def test_what_an_answer_means(
    online: WebWxRig,
    action: Action,
    call: str,
    answered: Any,
    error: type[BackendError],
) -> None:
    online.put(call, answered)
    with pytest.raises(error) as failure:
        await online.backend.perform(action, KEY)
    assert "SECRET" not in str(failure.value) + repr(failure.value)
    assert len(online.asked(call)) == (2 if call == "webwxstatusnotify" else 1)  # one at the login


async def test_too_often_asks_for_ever_longer_pauses(online: WebWxRig) -> None:
    online.put("webwxoplog", answer(1205))
    pauses = []
    for _ in range(7):
        with pytest.raises(Throttled) as slow:
            await online.backend.perform(SetRemark(person=WIFE, remark="x"), KEY)
        pauses.append(slow.value.retry_after)
    assert pauses == [60, 120, 240, 480, 960, 1800, 1800]


async def test_a_ticket_refused_that_a_sync_renewed_meanwhile_is_tried_again(online: WebWxRig) -> None:
    fresh = ("webwx_data_ticket=NEW; Domain=.qq.com; Path=/",)
    online.put("webwxoplog", renewing(online, answer(-14), cookies=fresh))
    with pytest.raises(Unreachable):
        await online.backend.perform(SetRemark(person=WIFE, remark="x"), KEY)


async def test_nothing_is_done_without_a_login(rig: WebWxRig) -> None:
    with pytest.raises(LoggedOut):
        await rig.backend.perform(MarkRead(chat=WIFE), KEY)
    assert rig.requests == []


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (AcceptFriend(request={"username": "@s"}), "unknown_id"),
        (AcceptFriend(request={}), "unknown_id"),
        (CreateGroup(members=(WIFE,)), "bad_command"),
        (SetRemark(person=WIFE, remark="\udc00"), "bad_command"),
        (RenameGroup(group=FAMILY, name="\udc00"), "bad_command"),
    ],
)
async def test_what_cannot_be_done_is_not_tried(online: WebWxRig, action: Action, code: str) -> None:
    before = len(online.requests)
    with refused(code):
        await online.backend.perform(action, KEY)
    assert len(online.requests) == before


async def test_a_request_whose_ticket_is_over_is_an_old_one(online: WebWxRig) -> None:
    online.put("webwxverifyuser", answer(-14))
    with pytest.raises(Rejected, match="too old") as refused:
        await online.backend.perform(AcceptFriend(request={"username": "@s", "ticket": "SECRET"}), KEY)
    assert refused.value.code == "unknown_id"


# groups


def group(*members: str, handle: str = FAMILY, count: int = 0) -> dict[str, Any]:
    listed = [{"UserName": handle, "NickName": f"n{handle[-1]}"} for handle in members]
    return {"UserName": handle, "NickName": "周末", "MemberCount": count or len(listed), "MemberList": listed}


async def test_a_new_group_comes_with_its_members_and_without_those_who_refuse(online: WebWxRig) -> None:
    members = [{"UserName": WIFE, "MemberStatus": 0}, {"UserName": BOB, "MemberStatus": 4}]
    made = answer(ChatRoomName=NEW, Topic="周末", MemberCount=2, MemberList=members, BlackList="@x,")
    online.put("webwxcreatechatroom", made)
    online.put("webwxbatchgetcontact", answer(ContactList=[group(WIFE, "@me", handle=NEW)]))
    done = await online.backend.perform(CreateGroup(members=(WIFE, BOB), name="周末"), KEY)
    assert done.refused_members == (BOB, "@x")
    assert done.group is not None
    assert (done.group.handle, done.group.kind, done.group.nickname) == (NEW, ChatKind.GROUP, "周末")
    assert [member.handle for member in done.group.members or ()] == [WIFE, "@me"]


async def test_a_new_group_that_cannot_be_looked_up_is_returned_all_the_same(online: WebWxRig) -> None:
    online.put("webwxcreatechatroom", answer(ChatRoomName=NEW, Topic="", MemberList=[]))
    online.put("webwxbatchgetcontact", text("", 500))
    done = await online.backend.perform(CreateGroup(members=(WIFE, BOB), name="周末"), KEY)
    assert done == ActionResult(group=Contact(handle=NEW, kind=ChatKind.GROUP, nickname="周末"))


async def test_a_group_that_was_not_made_is_a_refusal(online: WebWxRig) -> None:
    """Tencent switched it off for many (webwx 2.19.5)."""
    online.put("webwxcreatechatroom", answer(ChatRoomName=""))
    with pytest.raises(Rejected, match="no group"):
        await online.backend.perform(CreateGroup(members=(WIFE, BOB)), KEY)


@pytest.mark.parametrize(("size", "fun"), [(39, "addmember"), (40, "invitemember")])
async def test_from_forty_members_on_people_are_invited(online: WebWxRig, size: int, fun: str) -> None:
    members = [f"@m{n}" for n in range(size)]
    online.put("webwxgetcontact", answer(MemberList=[group(*members)], Seq=0))
    online.put("webwxbatchgetcontact", answer(ContactList=[group(*members)]))
    await online.load_contacts()
    online.put("webwxupdatechatroom", answer(MemberList=[{"UserName": BOB, "MemberStatus": 4}]))
    done = await online.backend.perform(AddMembers(group=FAMILY, members=(BOB,)), KEY)
    assert done == ActionResult(refused_members=(BOB,))
    (asked,) = online.asked("webwxupdatechatroom")
    assert query(asked)["fun"] == fun
    assert BOB in body(asked).values()

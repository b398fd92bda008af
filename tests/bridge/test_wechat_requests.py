"""Requests that change something at WeChat: the action and its answer, once each, whatever fails or is repeated."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.bridge.conftest import OpenBridge
from tests.support.account_rig import BridgedAccount
from tests.support.memory_backend import FAMILY, MOM, OWNER, WIFE, MemoryBackend, Pause, with_capabilities
from wx2mqtt.bridge.requests.dispatcher import ACTION_TIMEOUT_SECONDS
from wx2mqtt.errors import (
    LoggedOut,
    LoginRefused,
    OutcomeUnknown,
    ProtocolViolation,
    Rejected,
    Throttled,
    Unreachable,
)
from wx2mqtt.model import (
    AcceptFriend,
    ActionResult,
    AddMembers,
    ChatKind,
    Contact,
    CreateGroup,
    Event,
    Handle,
    MarkRead,
    Member,
    RemoveMembers,
    RenameGroup,
    SetRemark,
)
from wx2mqtt.mqtt.payloads import REQUEST_CODES
from wx2mqtt.wechat.backend import ShowQr

GROUP = "相亲相爱一家人"
LILEI = Contact(handle=Handle("@lilei"), kind=ChatKind.FRIEND, nickname="李雷", avatar="3")
MEMBERS = (
    Member(handle=OWNER.handle, nickname="我"),
    Member(handle=WIFE.handle, nickname="晓梅"),
    Member(handle=Handle("@aunt"), nickname="三姨"),
    Member(handle=Handle("@one"), nickname="小明", display_name="明明"),
    Member(handle=Handle("@two"), nickname="小明"),
)
OTHERS = (
    LILEI,
    Contact(handle=Handle("filehelper"), kind=ChatKind.SELF, permanent_id="filehelper"),
    Contact(handle=Handle("@news"), kind=ChatKind.OFFICIAL, nickname="news", avatar="1"),
    Contact(handle=Handle("@gone"), kind=ChatKind.FRIEND, nickname="gone", avatar="2"),
    # Two whom nothing distinguishes: after the next login nobody knows who is who.
    *(Contact(handle=Handle(f"@lost{n}"), kind=ChatKind.FRIEND, nickname="lost") for n in (1, 2)),
)
STRANGER = Contact(handle=Handle("@stranger"), kind=ChatKind.FRIEND, nickname="stranger", listed=False)
CREATE: dict[str, Any] = {"action": "create", "members": ["老婆", "妈妈"], "name": "新群"}
REMOVE: dict[str, Any] = {"user": GROUP, "action": "remove", "members": ["老婆"]}
READ = {"user": "老婆"}
QR_CODE = ShowQr(url="https://x/1", lifetime=300.0)
LATE = ACTION_TIMEOUT_SECONDS + 1


def backend_with(*contacts: Contact, members: tuple[Member, ...] = MEMBERS) -> MemoryBackend:
    return MemoryBackend(contacts=[WIFE, MOM, replace(FAMILY, members=members), *contacts])


@pytest.fixture
async def bridge(open_bridge: OpenBridge) -> BridgedAccount:
    return await open_bridge(backend_with(LILEI))


@pytest.fixture
async def peopled(open_bridge: OpenBridge) -> BridgedAccount:
    """A bridge that knows people of all sorts: `gone` was removed, `lost` is not certain, a stranger wrote."""
    bridge = await open_bridge(backend_with(*OTHERS))
    await bridge.kill()
    await bridge.restart()
    message = bridge.backend.message(STRANGER)
    bridge.backend.deliver(message, contacts=(STRANGER,), removed=(Handle("@gone"),))
    await bridge.next("wx/in/stranger")
    return bridge


def code_of(answer: dict[str, Any]) -> str:
    """Returns the code of an error, which has a sentence, and `ok` for what was done."""
    if answer["status"] == "ok":
        return "ok"
    assert answer["code"] in REQUEST_CODES
    assert answer["error"]
    return str(answer["code"])


def contact_of(bridge: BridgedAccount, user: str) -> dict[str, Any]:
    contacts = bridge.last("wx/contacts")["contacts"]
    return next(contact for contact in contacts if contact["user"] == user)


# what each of them does


@pytest.mark.parametrize("user", ["老婆", GROUP, "filehelper", "news", "stranger"])
async def test_every_chat_can_be_marked_as_read(peopled: BridgedAccount, user: str):
    assert await peopled.request("mark_read", user=user) == {"status": "ok", "data": {"user": user}}
    assert [type(action) for action in peopled.backend.performed] == [MarkRead]


@pytest.mark.parametrize(
    ("remark", "stored", "name"), [(" 爱人 👨‍👩‍👧 ", "爱人 👨‍👩‍👧", "爱人 👨‍👩‍👧"), ("", "", "晓梅")]
)
async def test_a_remark_is_set_at_wechat_and_the_directory_follows(
    bridge: BridgedAccount, remark: str, stored: str, name: str
):
    answer = await bridge.request("set_remark", user="老婆", remark=remark)
    assert answer["data"] == {"user": "老婆", "remark": stored}
    assert bridge.backend.performed == [SetRemark(person=WIFE.handle, remark=stored)]
    await bridge.request("set_remark", user="老婆", remark=remark)
    await bridge.pass_time(60)
    assert [event["to"] for event in bridge.published("wx/event/contact_renamed")] == [name]
    assert (contact_of(bridge, "老婆").get("remark", ""), contact_of(bridge, "老婆")["name"]) == (
        stored,
        name,
    )


async def test_a_remark_that_is_answered_in_the_next_login_is_not_stored(bridge: BridgedAccount):
    bridge.backend.outcomes.append(Pause(5))
    bridge.deliver("wx/bridge/request/set_remark", {"user": "老婆", "remark": "爱人"})
    await bridge.wait_until(lambda: bridge.backend.performed)
    bridge.backend.fail(LoggedOut("over"))
    assert code_of(await bridge.next("wx/bridge/response/set_remark")) == "ok"
    await bridge.pass_time(60)
    assert bridge.published("wx/event/contact_renamed") == []


async def test_a_friend_request_is_accepted_by_the_id_of_its_event_in_the_login_of_the_event(
    bridge: BridgedAccount,
):
    asked = Event(key="7001", name="friend_request", time=1, private={"ticket": "v2_x"})
    bridge.backend.deliver(asked)
    assert "ticket" not in await bridge.event("friend_request")
    assert await bridge.request("accept_friend", id="7001") == {"status": "ok", "data": {"id": "7001"}}
    assert bridge.backend.performed == [AcceptFriend(request={"ticket": "v2_x"})]
    for unknown in ("7002", "x" * 1000, "\ud800"):
        assert code_of(await bridge.request("accept_friend", id=unknown)) == "unknown_id"
    bridge.backend.fail(LoggedOut("over"))
    await bridge.wait_until(lambda: len(bridge.backend.resume_flags) == 2)
    await bridge.pass_time(1)
    assert code_of(await bridge.request("accept_friend", id="7001")) == "unknown_id"
    assert len(bridge.backend.performed) == 1


async def test_members_come_in_pages_named_by_their_topics_where_they_have_one(bridge: BridgedAccount):
    bodies = [
        {"name": "我", "self": True},
        {"user": "老婆", "name": "老婆", "self": False},
        {"name": "三姨", "self": False},
        {"name": "明明", "self": False},
        {"name": "小明", "self": False},
    ]
    pages: list[tuple[dict[str, Any], slice]] = [
        ({}, slice(None)),
        ({"action": "members"}, slice(None)),
        ({"limit": 2, "offset": 1}, slice(1, 3)),
        ({"offset": 4}, slice(4, None)),
        ({"offset": 9}, slice(9, None)),
    ]
    for fields, part in pages:
        answer = await bridge.request("group", user=GROUP, **fields)
        assert answer["data"] == {"user": GROUP, "count": 5, "members": bodies[part]}
    assert bridge.backend.performed == []


@pytest.mark.parametrize(
    ("members", "code"), [((), "refused_by_wechat"), (Unreachable(), "no_answer"), (Pause(LATE), "no_answer")]
)
async def test_a_group_of_which_wechat_says_nothing(
    bridge: BridgedAccount, members: Any, code: str, monkeypatch: pytest.MonkeyPatch
):
    async def answer(_group: Handle) -> tuple[Member, ...]:
        if isinstance(members, Exception):
            raise members
        if isinstance(members, Pause):
            await asyncio.sleep(members.seconds)
        return ()

    monkeypatch.setattr(bridge.backend, "list_members", answer)
    assert code_of(await bridge.request("group", user=GROUP)) == code


@pytest.mark.parametrize("is_reported_first", [False, True])
@pytest.mark.parametrize(("name", "user"), [("新群", "新群"), (GROUP, f"{GROUP}-2")])
async def test_a_new_group_has_a_topic_of_its_own_in_the_answer(
    bridge: BridgedAccount, name: str, user: str, is_reported_first: bool
):
    group = Contact(handle=Handle("@@new"), kind=ChatKind.GROUP, nickname=name, members=MEMBERS[:3])
    if is_reported_first:
        bridge.backend.deliver(contacts=(group,))
        await bridge.event("contact_added")
    bridge.backend.outcomes.append(ActionResult(group=group, refused_members=(MOM.handle,)))
    answer = await bridge.request("group", **{**CREATE, "members": ["老婆", "妈妈", "李雷"], "name": name})
    assert answer["data"] == {"user": user, "name": name, "refused": ["妈妈"]}
    handles = (WIFE.handle, MOM.handle, LILEI.handle)
    assert bridge.backend.performed == [CreateGroup(members=handles, name=name)]
    await bridge.pass_time(60)
    assert len(bridge.published("wx/event/contact_added")) == 1
    bridge.backend.write(group, sender=WIFE.handle)
    await bridge.next(f"wx/in/{user}")


async def test_people_are_added(bridge: BridgedAccount):
    bridge.backend.outcomes.append(ActionResult(refused_members=(LILEI.handle,)))
    answer = await bridge.request("group", user=GROUP, action="add", members=["妈妈", "李雷"])
    assert answer["data"] == {"user": GROUP, "added": ["妈妈"], "refused": ["李雷"]}
    assert bridge.backend.performed == [AddMembers(group=FAMILY.handle, members=(MOM.handle, LILEI.handle))]


@pytest.mark.parametrize(
    ("names", "handles"),
    [
        (["老婆", "三姨", "明明"], ["@wife", "@aunt", "@one"]),
        (["老婆", "晓梅", "三姨"], ["@wife", "@aunt"]),
        (["Jose\u0301"], ["@jose"]),
    ],
    ids=["by topic or by the name in the group", "with two names once", "in another normal form"],
)
async def test_people_are_removed(open_bridge: OpenBridge, names: list[str], handles: list[str]):
    jose = Member(handle=Handle("@jose"), nickname="Jos\u00e9")
    bridge = await open_bridge(backend_with(members=(*MEMBERS, jose)))
    answer = await bridge.request("group", user=GROUP, action="remove", members=names)
    assert answer["data"] == {"user": GROUP, "removed": names}
    removed = tuple(Handle(handle) for handle in handles)
    assert bridge.backend.performed == [RemoveMembers(group=FAMILY.handle, members=removed)]


@pytest.mark.parametrize("name", ["妈妈", "nobody", "小明"])
async def test_whoever_is_not_in_the_group_or_not_one_alone_is_not_removed(
    open_bridge: OpenBridge, name: str
):
    """A topic is never taken for the name of somebody else in the group."""
    eve = Member(handle=Handle("@eve"), nickname="妈妈")
    bridge = await open_bridge(backend_with(members=(*MEMBERS, eve)))
    answer = await bridge.request("group", user=GROUP, action="remove", members=["老婆", name])
    assert code_of(answer) == "unknown_user"
    assert f"'{name}'" in answer["error"]
    assert bridge.backend.performed == []


async def test_a_group_has_another_name_at_wechat_and_in_the_directory(bridge: BridgedAccount):
    answer = await bridge.request("group", user=GROUP, action="rename", name="一大家人")
    assert answer["data"] == {"user": GROUP, "name": "一大家人"}
    assert bridge.backend.performed == [RenameGroup(group=FAMILY.handle, name="一大家人")]
    assert (await bridge.event("contact_renamed"))["user"] == GROUP
    await bridge.pass_time(60)
    assert contact_of(bridge, GROUP)["nickname"] == "一大家人"


# what is refused before anything is done

NOT_RECIPIENTS = [
    *((user, "unknown_user") for user in ("nobody", "gone")),
    ("lost", "unresolved_user"),
    *((user, "bad_request") for user in ("a/b", "", 7, None)),
]
NOT_MEMBERS = [(["老婆", "妈妈", user], code) for user, code in NOT_RECIPIENTS[:3]] + [
    (["老婆", "妈妈", user], "bad_request") for user in (GROUP, "stranger", "filehelper")
]
NOT_GROUPS: list[dict[str, Any]] = [
    *({"user": "老婆", "action": action} for action in ("members", "rename", "add", "remove")),
    *({"action": "rename", **more} for more in ({}, {"name": ""}, {"name": "x", "members": ["老婆"]})),
    {"action": "leave"},
    *({"action": "members", **more} for more in ({"limit": -1}, {"limit": True}, {"offset": "1"})),
]
TOO_FEW = [["老婆"], ["老婆", "老婆"], [], "老婆", [1, 2], None, ["老婆", ""]]


async def test_what_cannot_be_is_refused_and_nothing_is_done(peopled: BridgedAccount):
    refusals: list[tuple[str, dict[str, Any], str]] = [
        *(("mark_read", {"user": user}, code) for user, code in NOT_RECIPIENTS),
        *(("set_remark", {"user": user, "remark": "x"}, code) for user, code in NOT_RECIPIENTS),
        *(
            ("set_remark", {"user": user, "remark": "x"}, "bad_request")
            for user in (GROUP, "filehelper", "news", "stranger")
        ),
        *(
            ("set_remark", {"user": "老婆", "remark": remark}, "bad_request")
            for remark in ("x" * 101, "a\nb", "a\0", "\u2028", 5, None, ["a"], "\ud800")
        ),
        ("set_remark", {"user": "老婆"}, "bad_request"),
        *(
            ("group", {"user": GROUP, "action": "add", "members": members}, code)
            for members, code in NOT_MEMBERS
        ),
        *(("group", {"action": "create", "members": members}, code) for members, code in NOT_MEMBERS),
        *(("group", {"user": GROUP, **fields}, "bad_request") for fields in NOT_GROUPS),
        *(("group", {"action": "create", "members": members}, "bad_request") for members in TOO_FEW),
    ]
    for name, fields, code in refusals:
        assert code_of(await peopled.request(name, **fields)) == code, (name, fields)
    assert peopled.backend.performed == []


async def test_send_allow_limits_the_people_on_whom_a_request_acts(open_bridge: OpenBridge):
    """Whoever may not be written to may be asked about."""
    bridge = await open_bridge(backend_with(LILEI), send={"per_minute": 0, "allow": ["老婆", GROUP]})
    bridge.backend.deliver(Event(key="7001", name="friend_request", time=1, private={"ticket": "v2_x"}))
    await bridge.event("friend_request")
    refusals: list[tuple[str, dict[str, Any], str]] = [
        ("mark_read", {"user": "妈妈"}, "not_allowed"),
        ("set_remark", {"user": "妈妈", "remark": "x"}, "not_allowed"),
        ("accept_friend", {"id": "7001"}, "not_allowed"),
        ("group", {**CREATE, "members": ["老婆", "李雷"]}, "not_allowed"),
        ("group", {"user": GROUP, "action": "add", "members": ["李雷"]}, "not_allowed"),
    ]
    for name, fields, code in refusals:
        assert code_of(await bridge.request(name, **fields)) == code
    assert bridge.backend.performed == []
    assert code_of(await bridge.request("mark_read", user="老婆")) == "ok"
    await bridge.reload(send={"allow": []})
    assert code_of(await bridge.request("group", user=GROUP)) == "ok"
    assert code_of(await bridge.request("group", user=GROUP, action="rename", name="x")) == "not_allowed"


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("mark_read", READ),
        ("set_remark", {"user": "老婆", "remark": "x"}),
        ("accept_friend", {"id": "1"}),
        ("group", {"user": GROUP}),
    ],
)
async def test_what_the_backend_cannot_do_is_unsupported(
    open_bridge: OpenBridge, name: str, fields: dict[str, Any]
):
    bridge = await open_bridge(with_capabilities(actions=frozenset()))
    assert code_of(await bridge.request(name, **fields)) == "unsupported"


# how often WeChat is asked, and how the answer is called


@pytest.mark.parametrize(
    ("outcomes", "code", "attempts"),
    [
        ([Unreachable(), Unreachable()], "ok", 3),
        ([ProtocolViolation(), ProtocolViolation()], "ok", 3),
        ([OutcomeUnknown()], "ok", 2),
        ([OutcomeUnknown(), OutcomeUnknown()], "no_answer perhaps", 2),
        ([OutcomeUnknown(), *[Unreachable()] * 100], "no_answer perhaps", None),
        ([Unreachable()] * 100, "no_answer", None),
        ([Pause(LATE)], "no_answer perhaps", 1),
        ([ZeroDivisionError(), ZeroDivisionError()], "no_answer perhaps", 2),
        ([Rejected("no such person")], "refused_by_wechat", 1),
        ([LoginRefused()], "no_answer", 1),
        ([LoggedOut("over")], "logged_out", 1),
    ],
    ids=lambda value: repr(value)[:60],
)
async def test_a_request_ends_within_its_time_as_wechat_answers(
    bridge: BridgedAccount, outcomes: list[Any], code: str, attempts: int | None
):
    bridge.backend.outcomes += outcomes
    begun = asyncio.get_running_loop().time()
    answer = await bridge.request("mark_read", **READ)
    assert asyncio.get_running_loop().time() <= begun + LATE
    is_possible = "may be done or not" in answer.get("error", "")
    assert code_of(answer) + (" perhaps" if is_possible else "") == code
    asked = len(bridge.backend.performed)
    assert asked == attempts if attempts else 4 <= asked <= 10
    assert len(set(bridge.backend.action_keys)) == 1, "the same key at each attempt"
    if isinstance(outcomes[0], Rejected):
        assert "no such person" in answer["error"]
    await bridge.pass_time(60)
    assert (len(bridge.backend.resume_flags) == 2) is isinstance(outcomes[0], LoggedOut)


async def test_what_nobody_answered_is_not_tried_again_where_that_may_be_twice(bridge: BridgedAccount):
    bridge.backend.outcomes.append(OutcomeUnknown())
    assert code_of(await bridge.request("group", **REMOVE)) == "no_answer"
    assert len(bridge.backend.performed) == 1


async def test_too_often_says_how_long_and_holds_for_all_that_goes_to_wechat(bridge: BridgedAccount):
    bridge.backend.outcomes.append(Throttled("slow down", retry_after=90.04))
    for _ in range(3):
        bridge.deliver("wx/bridge/request/mark_read", READ)
    answers = [await bridge.next("wx/bridge/response/mark_read") for _ in range(3)]
    assert [answer["code"] for answer in answers] == ["rate_limited"] * 3
    assert answers[0]["retry_after"] == 90.0
    for name, fields in (("set_remark", {"user": "老婆", "remark": "x"}), ("group", {"user": GROUP})):
        answer = await bridge.request(name, **fields)
        assert (answer["code"], 80 < answer["retry_after"] <= 90) == ("rate_limited", True)
    late = await bridge.send("老婆", {"text": "late", "ttl": 1})
    assert (late["status"], late["code"], 80 < late["retry_after"] <= 90) == ("expired", "rate_limited", True)
    assert (len(bridge.backend.performed), bridge.backend.texts) == (1, [])
    assert (await bridge.send("老婆", "later"))["status"] == "sent"
    assert code_of(await bridge.request("mark_read", **READ)) == "ok"


async def test_a_throttling_that_a_command_meets_holds_back_the_requests(bridge: BridgedAccount):
    bridge.backend.outcomes.append(Throttled("slow down", retry_after=90))
    bridge.deliver("wx/out/老婆", "hello")
    await bridge.wait_until(lambda: bridge.backend.sent)
    answer = await bridge.request("mark_read", **READ)
    assert (answer["code"], 80 < answer["retry_after"] <= 90) == ("rate_limited", True)
    assert code_of(await bridge.request("group", user=GROUP)) == "rate_limited"
    assert bridge.backend.performed == []


async def test_requests_of_one_sort_go_one_by_one_and_those_of_another_beside_them(bridge: BridgedAccount):
    bridge.backend.outcomes += [Pause(5), ActionResult(), Pause(5), ActionResult()]
    for user in ("老婆", "妈妈", "李雷"):
        bridge.deliver("wx/bridge/request/mark_read", {"user": user})
    await bridge.wait_until(lambda: len(bridge.backend.performed) == 1)
    bridge.deliver("wx/bridge/request/set_remark", {"user": "老婆", "remark": "x"})
    await bridge.pass_time(3)
    assert [type(action) for action in bridge.backend.performed] == [MarkRead, SetRemark]
    for name in ("mark_read", "mark_read", "mark_read", "set_remark"):
        assert code_of(await bridge.next(f"wx/bridge/response/{name}")) == "ok"
    chats = [action.chat for action in bridge.backend.performed if isinstance(action, MarkRead)]
    assert chats == ["@wife", "@mom", "@lilei"]


async def test_a_request_that_waits_in_vain_for_its_turn_is_certainly_not_done(bridge: BridgedAccount):
    bridge.backend.outcomes.append(Pause(LATE))
    for _ in range(2):
        bridge.deliver("wx/bridge/request/mark_read", READ)
    answers = [await bridge.next("wx/bridge/response/mark_read") for _ in range(2)]
    assert sorted("may be done or not" in answer["error"] for answer in answers) == [False, True]
    assert len(bridge.backend.performed) == 1


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ([Pause(5), ActionResult()], "ok"),
        ([Pause(5), Unreachable()], "logged_out"),
        ([Pause(5), OutcomeUnknown()], "no_answer"),
    ],
    ids=["done", "not done", "in doubt"],
)
async def test_nothing_is_tried_in_the_next_login(bridge: BridgedAccount, first: list[Any], code: str):
    bridge.backend.outcomes += first
    for _ in range(2):
        bridge.deliver("wx/bridge/request/mark_read", READ)
    await bridge.wait_until(lambda: bridge.backend.performed)
    bridge.backend.fail(LoggedOut("over"))
    assert code_of(await bridge.next("wx/bridge/response/mark_read")) == code
    assert code_of(await bridge.next("wx/bridge/response/mark_read")) == "logged_out"
    assert len(bridge.backend.performed) == 1
    await bridge.pass_time(60)
    assert (bridge.state, len(bridge.backend.resume_flags)) == ("online", 2)


async def test_while_the_login_is_interrupted_a_request_goes_on_in_it(bridge: BridgedAccount):
    bridge.backend.outcomes += [Unreachable()] * 4
    bridge.deliver("wx/bridge/request/mark_read", READ)
    await bridge.wait_until(lambda: len(bridge.backend.performed) == 4)
    bridge.backend.fail(*[Unreachable()] * 6)
    assert code_of(await bridge.next("wx/bridge/response/mark_read")) == "ok"


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([], "ok"),
        ([QR_CODE], "logged_out"),
        ([Pause(2 * LATE)], "logged_out"),
        ([LoginRefused("not you")], "logged_out"),
        ([Unreachable()], "logged_out"),
    ],
)
async def test_at_the_start_a_request_waits_until_it_is_known_whether_the_saved_login_stands(
    bridge: BridgedAccount, steps: list[Any], code: str
):
    await bridge.kill()
    resumed = [] if steps else [bridge.backend.logged_in(resumed=True)]
    bridge.backend.logins.append([Pause(3), *steps, *resumed])
    await bridge.restart(online=False)
    bridge.deliver("wx/bridge/request/mark_read", READ)
    await bridge.pass_time(2)
    assert bridge.published("wx/bridge/response/mark_read") == []
    assert code_of(await bridge.next("wx/bridge/response/mark_read")) == code


async def test_at_a_stop_what_is_under_way_may_end_and_nothing_is_begun(bridge: BridgedAccount):
    bridge.backend.outcomes += [Pause(1), ActionResult()]
    for _ in range(2):
        bridge.deliver("wx/bridge/request/mark_read", READ)
    await bridge.wait_until(lambda: bridge.backend.performed)
    begun = asyncio.get_running_loop().time()
    await bridge.account.stop()
    assert asyncio.get_running_loop().time() < begun + 2, "no longer than what is under way"
    bridge.deliver("wx/bridge/request/mark_read", READ)
    await bridge.pass_time(100)
    assert (len(bridge.backend.performed), len(bridge.broker.acknowledged)) == (1, 1)
    await bridge.kill()
    await bridge.restart()
    assert [code_of(answer) for answer in bridge.published("wx/bridge/response/mark_read")] == ["ok"]


# what the broker delivers again


def redeliver(bridge: BridgedAccount, name: str, fields: dict[str, Any]) -> None:
    """Delivers the same again, as a broker does that got no PUBACK."""
    bridge.deliver(f"wx/bridge/request/{name}", fields, mid=9, dup=True)


@pytest.mark.parametrize("is_answered", [False, True], ids=["under way", "answered"])
async def test_what_is_delivered_again_is_answered_again_and_not_done_again(
    bridge: BridgedAccount, is_answered: bool
):
    bridge.backend.outcomes += [Pause(5), ActionResult()]
    bridge.deliver("wx/bridge/request/group", CREATE, mid=9)
    await bridge.wait_until(
        lambda: bridge.published("wx/bridge/response/group") if is_answered else bridge.backend.performed
    )
    bridge.broker.disconnect()
    await bridge.broker.connect(session_present=True)
    redeliver(bridge, "group", CREATE)
    first, second = [await bridge.next("wx/bridge/response/group") for _ in range(2)]
    assert first == second
    assert len(bridge.backend.performed) == 1
    assert bridge.broker.acknowledged[-1].dup


async def test_the_same_payload_with_another_packet_id_is_another_request(bridge: BridgedAccount):
    for _ in range(2):
        await bridge.request("mark_read", **READ)
    assert len(bridge.backend.performed) == 2


async def test_a_request_that_was_never_started_is_checked_again(bridge: BridgedAccount):
    await bridge.kill()
    bridge.backend.logins.append([QR_CODE, Pause(60), bridge.backend.logged_in(login_id="login-2")])
    await bridge.restart(online=False)
    await bridge.pass_time(1)
    bridge.deliver("wx/bridge/request/mark_read", READ, mid=9)
    assert code_of(await bridge.next("wx/bridge/response/mark_read")) == "logged_out"
    await bridge.wait_until(lambda: bridge.state == "online")
    bridge.broker.disconnect()
    await bridge.broker.connect(session_present=True)
    redeliver(bridge, "mark_read", READ)
    assert code_of(await bridge.next("wx/bridge/response/mark_read")) == "ok"


@pytest.mark.parametrize("job", ["request_begin", "request_end"])
async def test_a_store_that_fails_before_or_after_it_makes_a_request_late_and_never_twice(
    bridge: BridgedAccount, job: str
):
    bridge.fail_store(job)
    bridge.deliver("wx/bridge/request/mark_read", READ)
    await bridge.pass_time(0.1)
    assert len(bridge.backend.performed) == (job == "request_end")
    assert (bridge.broker.acknowledged, bridge.published("wx/bridge/response/mark_read")) == ([], [])
    assert code_of(await bridge.next("wx/bridge/response/mark_read")) == "ok"
    await bridge.pass_time(60)
    assert (len(bridge.backend.performed), len(bridge.broker.acknowledged)) == (1, 1)


@pytest.mark.parametrize(
    ("name", "fields", "login", "code"),
    [
        ("mark_read", READ, "resumed", "ok"),
        ("mark_read", READ, "resumed late", "ok"),
        ("mark_read", READ, "another", "no_answer"),
        ("mark_read", READ, "none", "no_answer"),
        ("mark_read", READ, "never", "no_answer"),
        ("group", CREATE, "resumed", "no_answer"),
        ("group", REMOVE, "none", "no_answer"),
    ],
)
async def test_after_a_kill_only_what_is_harmless_is_done_again_and_what_is_in_doubt_is_said(
    bridge: BridgedAccount, name: str, fields: dict[str, Any], login: str, code: str
):
    backend = bridge.backend
    backend.outcomes.append(Pause(10**6))
    bridge.deliver(f"wx/bridge/request/{name}", fields, mid=9)
    await bridge.wait_until(lambda: backend.performed)
    await bridge.kill()
    backend.performed.clear()
    backend.outcomes.clear()
    resumed = replace(backend.logged_in(), login_id="login-1", resumed=True)
    steps: dict[str, list[Any]] = {
        "resumed": [resumed],
        "resumed late": [Pause(5), Unreachable()],
        "another": [Pause(1), replace(resumed, login_id="login-2", resumed=False)],
        "none": [QR_CODE],
        "never": [Pause(10**6)],
    }
    backend.logins += [steps[login], [resumed]]
    bridge.broker.grants = replace(bridge.broker.grants, session_present=True)
    for _ in range(2):
        await bridge.restart(online=False)
        redeliver(bridge, name, fields)
        answer = await bridge.next(f"wx/bridge/response/{name}")
        assert code_of(answer) == code
        assert ("may be done or not" in answer.get("error", "")) is (code == "no_answer")
        await bridge.kill()
    assert len(backend.performed) == (code == "ok"), "the answer was kept"

"""Creating and changing groups: webwxcreatechatroom, webwxupdatechatroom (webwx 2.19)."""

from __future__ import annotations

from collections.abc import Callable

from wx2mqtt.simulator import answers, checks, message_injection, messages
from wx2mqtt.simulator.checks import PARAMETER_ERROR, Call, CallRefused, Fields
from wx2mqtt.simulator.endpoints.actions import require_action_rate
from wx2mqtt.simulator.http_messages import SimulatedAnswer
from wx2mqtt.simulator.session import SimulatedSession
from wx2mqtt.simulator.world import INVITE_MEMBER_THRESHOLD, OWNER, PersonKind, WorldGroup, WorldPerson

_MEMBER_STATUS_DELETED_ME = 4  # value of MemberStatus


async def webwxcreatechatroom(call: Call) -> SimulatedAnswer:
    """Creates a group of the owner and at least two others; people who deleted the owner do not join."""
    session, body = checks.authenticated_body(call)
    member_list = body.get("MemberList")
    topic = body.get("Topic", "")
    if (
        not isinstance(member_list, list)
        or body.get("MemberCount") != len(member_list)
        or not isinstance(topic, str)
    ):
        raise call.refusal(PARAMETER_ERROR, "MemberCount is not the length of MemberList, or Topic no text")
    people = [
        _person(call, session, member.get("UserName") if isinstance(member, dict) else None)
        for member in member_list
    ]
    if len({person.id for person in people}) != len(people) or len(people) < 2:
        raise call.refusal(PARAMETER_ERROR, "a group needs two others")
    _require_group_changes_allowed(call)
    world = call.wechat.world
    joining = [person.id for person in people if not person.deleted_me]
    group = WorldGroup(id=world.free_id("webgroup"), nickname=topic, members=[OWNER, *joining], saved=False)
    world.add(group)
    call.wechat.contact_changed(group)
    _inject_notice(call, group, "i_invited", b=_names(people))
    return answers.json(
        0,
        Topic=messages.encode_name(topic),
        PYInitial="",
        QuanPin="",
        MemberCount=len(people),
        MemberList=_entries(session, people),
        ChatRoomName=session.user_name(group),
        BlackList="",
    )


async def webwxupdatechatroom(call: Call) -> SimulatedAnswer:
    """Changes a group; `fun` is addmember, invitemember, delmember, modtopic or quitchatroom."""
    session, body = checks.authenticated_body(call)
    change = _CHANGES.get(call.request.query.get("fun", ""))
    if change is None:
        raise call.refusal(PARAMETER_ERROR, f"fun is not one of {', '.join(_CHANGES)}")
    group = call.wechat.world.contacts.get(session.id_of(str(body.get("ChatRoomName"))) or "")
    if not isinstance(group, WorldGroup):
        raise call.refusal(PARAMETER_ERROR, "ChatRoomName is no group of this login")
    if OWNER not in group.members:
        raise CallRefused(PARAMETER_ERROR)
    people = change(call, session, group, body)
    return answers.json(0, MemberCount=len(people), MemberList=_entries(session, people))


def _require_group_changes_allowed(call: Call) -> None:
    """Refuses when Tencent has switched group changes off (as on 2018-06-27), or they are too frequent."""
    if not call.wechat.settings.allow_groups:
        raise CallRefused(PARAMETER_ERROR)
    require_action_rate(call)


def _add(call: Call, session: SimulatedSession, group: WorldGroup, body: Fields) -> list[WorldPerson]:
    people = _people(call, session, body, "AddMemberList")
    if len(group.members) >= INVITE_MEMBER_THRESHOLD:
        raise call.refusal(PARAMETER_ERROR, "from 40 members on people must be invited")
    _require_group_changes_allowed(call)
    joining = [person for person in people if not person.deleted_me and person.id not in group.members]
    group.members += [person.id for person in joining]
    if joining:
        call.wechat.contact_changed(group)
        _inject_notice(call, group, "i_invited", b=_names(joining))
    return people


def _invite(call: Call, session: SimulatedSession, group: WorldGroup, body: Fields) -> list[WorldPerson]:
    """Sends invitations; nothing changes until they are accepted (`/sim/people` join)."""
    people = _people(call, session, body, "InviteMemberList")
    if len(group.members) < INVITE_MEMBER_THRESHOLD:
        call.record_oddity("an invitation to a group of less than 40")
    _require_group_changes_allowed(call)
    return people


def _remove(call: Call, session: SimulatedSession, group: WorldGroup, body: Fields) -> list[WorldPerson]:
    people = _people(call, session, body, "DelMemberList", strangers=True)
    if group.founder != OWNER:
        raise call.refusal(PARAMETER_ERROR, "only the owner of a group removes members")
    if any(person.id not in group.members for person in people):
        raise call.refusal(PARAMETER_ERROR, "DelMemberList names somebody who is not in the group")
    _require_group_changes_allowed(call)
    group.members = [member for member in group.members if member not in {person.id for person in people}]
    call.wechat.contact_changed(group)
    _inject_notice(call, group, "i_removed", b=_names(people))
    return people


def _rename(call: Call, _: SimulatedSession, group: WorldGroup, body: Fields) -> list[WorldPerson]:
    topic = body.get("NewTopic")
    if not isinstance(topic, str) or not topic:
        raise call.refusal(PARAMETER_ERROR, "NewTopic is empty or no text")
    require_action_rate(call)
    group.nickname = topic
    call.wechat.contact_changed(group)
    _inject_notice(call, group, "i_renamed", t=topic)
    return []


def _quit(call: Call, _: SimulatedSession, group: WorldGroup, __: Fields) -> list[WorldPerson]:
    require_action_rate(call)
    call.wechat.contact_deleted(group)
    call.wechat.world.remove(group.id)
    return []


_CHANGES: dict[str, Callable[[Call, SimulatedSession, WorldGroup, Fields], list[WorldPerson]]] = {
    "addmember": _add,
    "invitemember": _invite,
    "delmember": _remove,
    "modtopic": _rename,
    "quitchatroom": _quit,
}


def _people(
    call: Call, session: SimulatedSession, body: Fields, key: str, *, strangers: bool = False
) -> list[WorldPerson]:
    names = body.get(key)
    if not isinstance(names, str) or not names:
        raise call.refusal(PARAMETER_ERROR, f"{key} is missing or no text")
    return [_person(call, session, name, strangers=strangers) for name in names.split(",")]


def _person(call: Call, session: SimulatedSession, name: object, *, strangers: bool = False) -> WorldPerson:
    person = call.wechat.world.contacts.get(session.id_of(str(name)) or "")
    if not isinstance(person, WorldPerson):
        raise call.refusal(PARAMETER_ERROR, "a member is unknown in this login")
    if person.kind is not PersonKind.FRIEND and not strangers:
        raise call.refusal(PARAMETER_ERROR, "only friends can be brought into a group")
    return person


def _entries(session: SimulatedSession, people: list[WorldPerson]) -> list[Fields]:
    return [
        {
            "Uin": 0,
            "UserName": session.user_name(person),
            "NickName": messages.encode_name(person.nickname),
            "AttrStatus": 0,
            "PYInitial": "",
            "PYQuanPin": "",
            "RemarkPYInitial": "",
            "RemarkPYQuanPin": "",
            "MemberStatus": _MEMBER_STATUS_DELETED_ME if person.deleted_me else 0,
            "DisplayName": "",
            "KeyWord": "",
        }
        for person in people
    ]


def _names(people: list[WorldPerson]) -> str:
    return "、".join(person.nickname for person in people)


def _inject_notice(call: Call, group: WorldGroup, text: str, **names: str) -> None:
    order = message_injection.MessageOrder(sender=group.id, to=OWNER, kind=f"system:{text}", detail=names)
    message_injection.inject(call.wechat, order)

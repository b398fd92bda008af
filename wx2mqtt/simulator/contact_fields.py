"""People and groups as WeChat writes them to a web client (webwx 2.6, 2.8, 2.9, 2.11)."""

from __future__ import annotations

from wx2mqtt.simulator import messages
from wx2mqtt.simulator.session import SimulatedSession
from wx2mqtt.simulator.world import OWNER, PersonKind, World, WorldContact, WorldGroup, WorldPerson

Fields = dict[str, object]

_CONTACT_IN_GROUP = 2
_SAVED_GROUP = 3


def icon(session: SimulatedSession, contact: WorldContact, *, skey: str) -> str:
    """The path of somebody's picture; `seq` stays the same in the next login."""
    page = "webwxgetheadimg" if isinstance(contact, WorldGroup) else "webwxgeticon"
    name = session.user_name(contact)
    return f"/cgi-bin/mmwebwx-bin/{page}?seq={contact.avatar}&username={name}&skey={skey}"


def full(
    world: World, session: SimulatedSession, contact: WorldContact, *, skey: str, hollow: bool = False
) -> Fields:
    """All fields of an entry of the address book. A `hollow` group has members without names (webwx 2.6)."""
    if isinstance(contact, WorldGroup):
        return _group(world, session, contact, skey=skey, hollow=hollow)
    return _person(session, contact, skey=skey)


def _base(session: SimulatedSession, contact: WorldContact, *, skey: str) -> Fields:
    return {
        "Uin": 0,
        "UserName": session.user_name(contact),
        "NickName": messages.name(contact.nickname),
        "HeadImgUrl": icon(session, contact, skey=skey),
        "ContactFlag": 0,
        "MemberCount": 0,
        "MemberList": [],
        "RemarkName": messages.name(contact.remark),
        "HideInputBarFlag": 0,
        "Sex": 0,
        "Signature": "",
        "VerifyFlag": 0,
        "OwnerUin": 0,
        "PYInitial": messages.pinyin(contact.nickname).upper(),
        "PYQuanPin": messages.pinyin(contact.nickname),
        "RemarkPYInitial": messages.pinyin(contact.remark).upper(),
        "RemarkPYQuanPin": messages.pinyin(contact.remark),
        "StarFriend": 0,
        "AppAccountFlag": 0,
        "Statues": 0,
        "AttrStatus": 0,
        "Province": "",
        "City": "",
        "Alias": "",
        "SnsFlag": 0,
        "UniFriend": 0,
        "DisplayName": "",
        "ChatRoomId": 0,
        "KeyWord": "",
        "EncryChatRoomId": "",
        "IsOwner": 0,
    }


def _person(session: SimulatedSession, person: WorldPerson, *, skey: str) -> Fields:
    special = person.kind is PersonKind.SPECIAL
    return _base(session, person, skey=skey) | {
        "ContactFlag": person.contact_flag,
        "Sex": person.sex,
        "Signature": messages.name(person.signature),
        "VerifyFlag": person.verify_flag,
        "StarFriend": person.star,
        "AttrStatus": person.attr_status,
        "Province": person.province,
        "City": person.city,
        "Alias": person.alias,
        "SnsFlag": person.sns_flag,
        "KeyWord": (person.id if special else person.wxid)[:3],
    }


def _group(world: World, session: SimulatedSession, group: WorldGroup, *, skey: str, hollow: bool) -> Fields:
    members = [_member(world, session, group, member, hollow=hollow) for member in group.members]
    return _base(session, group, skey=skey) | {
        "ContactFlag": _SAVED_GROUP if group.saved else _CONTACT_IN_GROUP,
        "MemberCount": len(members),
        "MemberList": members,
        "Statues": 0 if group.muted else 1,
        "EncryChatRoomId": session.room_id(group),
        "ChatRoomOwner": session.user_name(world.find(group.founder)),
        "IsOwner": int(group.founder == OWNER),
    }


def _member(
    world: World, session: SimulatedSession, group: WorldGroup, member: str, *, hollow: bool
) -> Fields:
    person = world.person(member)
    nickname = "" if hollow else messages.name(person.nickname)
    return {
        "Uin": 0,
        "UserName": session.user_name(person),
        "NickName": nickname,
        "AttrStatus": person.attr_status,
        "PYInitial": "",
        "PYQuanPin": "",
        "RemarkPYInitial": "",
        "RemarkPYQuanPin": "",
        "MemberStatus": 0,
        "DisplayName": "" if hollow else messages.name(group.display_names.get(member, "")),
        "KeyWord": person.wxid[:3],
    }


def owner(session: SimulatedSession, person: WorldPerson, *, uin: int) -> Fields:
    """The account itself, as webwxinit shows it."""
    return {
        "Uin": uin,
        "UserName": session.user_name(person),
        "NickName": messages.name(person.nickname),
        "HeadImgUrl": icon(session, person, skey=session.skey),
        "RemarkName": "",
        "PYInitial": "",
        "PYQuanPin": "",
        "RemarkPYInitial": "",
        "RemarkPYQuanPin": "",
        "HideInputBarFlag": 0,
        "StarFriend": 0,
        "Sex": person.sex,
        "Signature": messages.name(person.signature),
        "AppAccountFlag": 0,
        "VerifyFlag": 0,
        "ContactFlag": 0,
        "WebWxPluginSwitch": 0,
        "HeadImgFlag": 1,
        "SnsFlag": person.sns_flag,
    }


_CHANGED = (
    "UserName",
    "NickName",
    "Sex",
    "HeadImgUpdateFlag",
    "ContactType",
    "Alias",
    "ChatRoomOwner",
    "HeadImgUrl",
    "ContactFlag",
    "MemberCount",
    "MemberList",
    "HideInputBarFlag",
    "Signature",
    "VerifyFlag",
    "RemarkName",
    "Statues",
    "AttrStatus",
    "Province",
    "City",
    "SnsFlag",
    "KeyWord",
)
"""The fields of an entry of ModContactList: fewer than in the address book (webwx 2.11.5)."""


def changed(world: World, session: SimulatedSession, contact: WorldContact) -> Fields:
    """An entry of ModContactList."""
    entry = {"HeadImgUpdateFlag": 1, "ContactType": 0, "ChatRoomOwner": ""}
    entry |= full(world, session, contact, skey="")
    return {key: entry[key] for key in _CHANGED}


def deleted(session: SimulatedSession, contact: WorldContact) -> Fields:
    """An entry of DelContactList."""
    return {"UserName": session.user_name(contact), "ContactFlag": 0}


def in_address_book(contact: WorldContact) -> bool:
    """Whether webwxgetcontact lists somebody: no strangers, only saved groups (webwx 2.8.5, 2.8.6)."""
    if isinstance(contact, WorldGroup):
        return contact.saved
    return contact.kind is not PersonKind.STRANGER

"""The JSON of people and groups as a web client receives it (webwx 2.6, 2.8, 2.9, 2.11)."""

from __future__ import annotations

from wx2mqtt.simulator import messages
from wx2mqtt.simulator.session import SimulatedSession
from wx2mqtt.simulator.world import OWNER, PersonKind, World, WorldContact, WorldGroup, WorldPerson

Fields = dict[str, object]

_FLAG_UNSAVED_GROUP = 2
_FLAG_SAVED_GROUP = 3


def avatar_path(session: SimulatedSession, contact: WorldContact, *, skey: str) -> str:
    """Returns the URL path of a contact's picture; its `seq` stays the same in later logins."""
    page = "webwxgetheadimg" if isinstance(contact, WorldGroup) else "webwxgeticon"
    name = session.user_name(contact)
    return f"/cgi-bin/mmwebwx-bin/{page}?seq={contact.avatar}&username={name}&skey={skey}"


def contact_entry(
    world: World, session: SimulatedSession, contact: WorldContact, *, skey: str, hide_names: bool = False
) -> Fields:
    """Returns all fields of an address book entry.

    With `hide_names`, the members of a group have no names, as in webwxinit (webwx 2.6).
    """
    if isinstance(contact, WorldGroup):
        return _group(world, session, contact, skey=skey, hide_names=hide_names)
    return _person(session, contact, skey=skey)


def _base(session: SimulatedSession, contact: WorldContact, *, skey: str) -> Fields:
    return {
        "Uin": 0,
        "UserName": session.user_name(contact),
        "NickName": messages.encode_name(contact.nickname),
        "HeadImgUrl": avatar_path(session, contact, skey=skey),
        "ContactFlag": 0,
        "MemberCount": 0,
        "MemberList": [],
        "RemarkName": messages.encode_name(contact.remark),
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
        "Signature": messages.encode_name(person.signature),
        "VerifyFlag": person.verify_flag,
        "StarFriend": person.star,
        "AttrStatus": person.attr_status,
        "Province": person.province,
        "City": person.city,
        "Alias": person.alias,
        "SnsFlag": person.sns_flag,
        "KeyWord": (person.id if special else person.wxid)[:3],
    }


def _group(
    world: World, session: SimulatedSession, group: WorldGroup, *, skey: str, hide_names: bool
) -> Fields:
    members = [_member(world, session, group, member, hide_names=hide_names) for member in group.members]
    return _base(session, group, skey=skey) | {
        "ContactFlag": _FLAG_SAVED_GROUP if group.saved else _FLAG_UNSAVED_GROUP,
        "MemberCount": len(members),
        "MemberList": members,
        "Statues": 0 if group.muted else 1,
        "EncryChatRoomId": session.room_id(group),
        "ChatRoomOwner": session.user_name(world.find(group.founder)),
        "IsOwner": int(group.founder == OWNER),
    }


def _member(
    world: World, session: SimulatedSession, group: WorldGroup, member: str, *, hide_names: bool
) -> Fields:
    person = world.person(member)
    nickname = "" if hide_names else messages.encode_name(person.nickname)
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
        "DisplayName": "" if hide_names else messages.encode_name(group.display_names.get(member, "")),
        "KeyWord": person.wxid[:3],
    }


def owner_entry(session: SimulatedSession, person: WorldPerson) -> Fields:
    """Returns the account itself, as webwxinit shows it."""
    return {
        "Uin": session.uin,
        "UserName": session.user_name(person),
        "NickName": messages.encode_name(session.nickname or person.nickname),
        "HeadImgUrl": avatar_path(session, person, skey=session.skey),
        "RemarkName": "",
        "PYInitial": "",
        "PYQuanPin": "",
        "RemarkPYInitial": "",
        "RemarkPYQuanPin": "",
        "HideInputBarFlag": 0,
        "StarFriend": 0,
        "Sex": person.sex,
        "Signature": messages.encode_name(person.signature),
        "AppAccountFlag": 0,
        "VerifyFlag": 0,
        "ContactFlag": 0,
        "WebWxPluginSwitch": 0,
        "HeadImgFlag": 1,
        "SnsFlag": person.sns_flag,
    }


_CHANGED_ENTRY_FIELDS = (
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
"""The fields of a ModContactList entry: fewer than in the address book (webwx 2.11.5)."""


def changed_entry(world: World, session: SimulatedSession, contact: WorldContact) -> Fields:
    entry = {"HeadImgUpdateFlag": 1, "ContactType": 0, "ChatRoomOwner": ""}
    entry |= contact_entry(world, session, contact, skey="")
    return {key: entry[key] for key in _CHANGED_ENTRY_FIELDS}


def deleted_entry(session: SimulatedSession, contact: WorldContact) -> Fields:
    return {"UserName": session.user_name(contact), "ContactFlag": 0}


def in_address_book(contact: WorldContact) -> bool:
    """Returns whether webwxgetcontact lists it: no strangers, only saved groups (webwx 2.8.5, 2.8.6)."""
    if isinstance(contact, WorldGroup):
        return contact.saved
    return contact.kind is not PersonKind.STRANGER

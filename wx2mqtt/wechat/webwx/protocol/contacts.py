"""Converts WeChat's contact entries to contacts and members (webwx 4.1, 4.3).

    {"UserName": "@a1b2", "NickName": "Bo", "ContactFlag": 3}      Bo, a friend in the address book

Names of the fields of an entry are used in this module only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from wx2mqtt.model import FILEHELPER, ChatKind, Contact, Handle, Member, Owner
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_objects, read_text
from wx2mqtt.wechat.webwx.protocol.codes import HIDDEN_SUFFIXES, LISTED_FLAG, OFFICIAL_FLAG, SPECIAL_ACCOUNTS
from wx2mqtt.wechat.webwx.protocol.markup import clean_name

# All fields of the entries of contacts and members that this module reads.
CONTACT_KEYS = frozenset(
    {
        *("UserName", "NickName", "RemarkName", "DisplayName", "Alias", "HeadImgUrl", "VerifyFlag"),
        *("ContactFlag", "Sex", "Province", "City", "AttrStatus", "MemberList", "MemberCount"),
    }
)

# WeChat's own limit is about 32. Names stand in each message of their chat, in the store and on topics.
MAX_CONTACT_NAME_CHARACTERS = 500

# Every account has the file helper, even when no list contains it.
FILE_HELPER_CONTACT = Contact(handle=Handle(FILEHELPER), kind=ChatKind.SELF, permanent_id=FILEHELPER)


def is_group(handle: str) -> bool:
    return handle.startswith("@@") or handle.endswith("@chatroom")


def chat_kind_of(handle: str, owner: Handle) -> ChatKind | None:
    """Returns the kind of chat that a handle implies; None for a person or an official account."""
    if is_group(handle):
        return ChatKind.GROUP
    if handle in {owner, FILEHELPER}:
        return ChatKind.SELF
    if handle in SPECIAL_ACCOUNTS or handle.endswith("@qqim"):
        return ChatKind.SYSTEM
    return None


# The version of the picture in `/cgi-bin/mmwebwx-bin/webwxgeticon?seq=620&username=…`
_SEQ = re.compile(r"[?&]seq=([0-9]{1,20})")


def read_contact(entry: JsonObject, owner: Handle) -> Contact | None:
    """Returns the contact of an entry, or None when it is not one to show.

    An empty field means that the entry did not contain it, not that it was removed.
    """
    handle = read_text(entry, "UserName")
    if not handle or handle.endswith(HIDDEN_SUFFIXES):
        return None
    is_official = read_number(entry, "VerifyFlag") & OFFICIAL_FLAG or handle.startswith("gh_")
    is_listed = bool(read_number(entry, "ContactFlag") & LISTED_FLAG)
    avatar = _SEQ.search(read_text(entry, "HeadImgUrl"))
    return Contact(
        handle=Handle(handle),
        kind=chat_kind_of(handle, owner) or (ChatKind.OFFICIAL if is_official else ChatKind.FRIEND),
        nickname=_name(entry, "NickName"),
        remark=_name(entry, "RemarkName"),
        alias=_name(entry, "Alias"),
        permanent_id=handle if handle in SPECIAL_ACCOUNTS else "",
        avatar=avatar[1] if avatar and avatar[1].strip("0") else "",
        profile=_profile(entry),
        members=_members(entry) if is_group(handle) else None,
        listed=None if entry.get("ContactFlag") is None else is_listed,
    )


def read_contacts(entries: Iterable[JsonObject], owner: Handle) -> list[Contact]:
    contacts = []
    for entry in entries:
        contact = read_contact(entry, owner)
        if contact is not None:
            contacts.append(contact)
    return contacts


def read_owner(user: JsonObject) -> Owner:
    """Returns the account itself from `User` of webwxinit; its uin may be empty."""
    uin = read_number(user, "Uin")
    handle = Handle(read_text(user, "UserName"))
    return Owner(handle=handle, nickname=_name(user, "NickName"), uin=str(uin) if uin else "")


def new_nickname(profile: JsonObject) -> str:
    """Returns the changed nickname of the owner from a sync; empty when it did not change (webwx 2.11.3)."""
    if not read_number(profile, "BitFlag"):
        return ""
    return _name(read_object(profile, "NickName"), "Buff")


def owner_contact(owner: Owner) -> Contact:
    return Contact(handle=owner.handle, kind=ChatKind.SELF, nickname=owner.nickname)


def _name(entry: JsonObject, key: str) -> str:
    return clean_name(read_text(entry, key))[:MAX_CONTACT_NAME_CHARACTERS]


def _profile(entry: JsonObject) -> dict[str, str]:
    facts = {
        "sex": read_text(entry, "Sex"),
        "province": _name(entry, "Province"),
        "city": _name(entry, "City"),
        "attributes": read_text(entry, "AttrStatus"),
    }
    return {key: fact for key, fact in facts.items() if fact not in {"", "0"}}


def _members(entry: JsonObject) -> tuple[Member, ...] | None:
    """Returns the members of a group, or None unless the list is complete.

    Lists in webwxinit lack names, and others may be too short (webwx 2.6, 4.5).
    """
    member_entries, _ = read_objects(entry, "MemberList")
    members = tuple(
        Member(
            handle=Handle(read_text(member, "UserName")),
            nickname=_name(member, "NickName"),
            display_name=_name(member, "DisplayName"),
        )
        for member in member_entries
        if read_text(member, "UserName")
    )
    has_all = len(members) >= read_number(entry, "MemberCount")
    has_names = any(member.nickname for member in members)
    return members if has_all and has_names else None

"""From WeChat's contact entries to people and groups (webwx 4.1, 4.3). No raw key name leaves this module."""

from __future__ import annotations

import re

from wx2mqtt.model import ChatKind, Contact, Handle, Member, Owner
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_object, read_objects, read_text
from wx2mqtt.wechat.webwx.protocol.codes import (
    FILE_HELPER,
    HIDDEN_SUFFIXES,
    SPECIAL_ACCOUNTS,
    ContactFlag,
    VerifyFlag,
)
from wx2mqtt.wechat.webwx.protocol.markup import clean_name

_SEQ = re.compile(r"[?&]seq=([0-9]{1,20})")


def is_group(handle: str) -> bool:
    """Whether a UserName names a group."""
    return handle.startswith("@@") or handle.endswith("@chatroom")


def chat_kind_of(handle: str, owner: Handle) -> ChatKind | None:
    """What the name alone says; None for people and official accounts, which it does not tell apart."""
    if is_group(handle):
        return ChatKind.GROUP
    if handle in {owner, FILE_HELPER}:
        return ChatKind.SELF
    if handle in SPECIAL_ACCOUNTS or handle.endswith("@qqim"):
        return ChatKind.SYSTEM
    return None


def read_contact(entry: JsonObject, owner: Handle) -> Contact | None:
    """One entry; None when it names nobody that can be shown. Empty fields mean "not told", not "gone"."""
    handle = read_text(entry, "UserName")
    if not handle or handle.endswith(HIDDEN_SUFFIXES):
        return None
    avatar = _SEQ.search(read_text(entry, "HeadImgUrl"))
    return Contact(
        handle=Handle(handle),
        kind=chat_kind_of(handle, owner) or _person_or_account(entry),
        nickname=clean_name(read_text(entry, "NickName")),
        remark=clean_name(read_text(entry, "RemarkName")),
        alias=clean_name(read_text(entry, "Alias")),
        permanent_id=handle if handle in SPECIAL_ACCOUNTS else "",
        avatar=avatar[1] if avatar and avatar[1].strip("0") else "",
        profile=_profile(entry),
        members=_members(entry) if is_group(handle) else None,
        listed=_is_listed(entry),
    )


def file_helper_contact() -> Contact:
    """The chat with oneself, which every account has even where no list names it."""
    return Contact(handle=Handle(FILE_HELPER), kind=ChatKind.SELF, permanent_id=FILE_HELPER)


def read_owner(user: JsonObject) -> tuple[Handle, str, str]:
    """UserName, name and uin of the account itself, from webwxinit."""
    uin = read_number(user, "Uin")
    return (
        Handle(read_text(user, "UserName")),
        clean_name(read_text(user, "NickName")),
        str(uin) if uin else "",
    )


def new_nickname(profile: JsonObject) -> str:
    """The name that the owner has taken, from a webwxsync; empty when nothing changed (webwx 2.11.3)."""
    return (
        clean_name(read_text(read_object(profile, "NickName"), "Buff"))
        if read_number(profile, "BitFlag")
        else ""
    )


def owner_contact(owner: Owner) -> Contact:
    """The account itself as a contact."""
    return Contact(handle=owner.handle, kind=ChatKind.SELF, nickname=owner.nickname)


def handles_in(entries: list[JsonObject]) -> tuple[Handle, ...]:
    """The UserNames in a list of entries."""
    return tuple(Handle(handle) for entry in entries if (handle := read_text(entry, "UserName")))


def _person_or_account(entry: JsonObject) -> ChatKind:
    official = read_number(entry, "VerifyFlag") & VerifyFlag.OFFICIAL or read_text(
        entry, "UserName"
    ).startswith("gh_")
    return ChatKind.OFFICIAL if official else ChatKind.FRIEND


def _is_listed(entry: JsonObject) -> bool | None:
    flags = entry.get("ContactFlag")
    return None if flags is None else bool(read_number(entry, "ContactFlag") & ContactFlag.LISTED)


def _profile(entry: JsonObject) -> dict[str, str]:
    facts = {
        "sex": read_text(entry, "Sex"),
        "province": clean_name(read_text(entry, "Province")),
        "city": clean_name(read_text(entry, "City")),
        "attributes": read_text(entry, "AttrStatus"),
    }
    return {key: fact for key, fact in facts.items() if fact not in {"", "0"}}


def _members(entry: JsonObject) -> tuple[Member, ...] | None:
    """The members; None unless the list is whole: those of init are hollow, others stale (webwx 2.6, 4.5)."""
    listed, _ = read_objects(entry, "MemberList")
    members = tuple(
        Member(
            handle=Handle(read_text(member, "UserName")),
            nickname=clean_name(read_text(member, "NickName")),
            display_name=clean_name(read_text(member, "DisplayName")),
        )
        for member in listed
        if read_text(member, "UserName")
    )
    whole = len(members) >= read_number(entry, "MemberCount") and any(member.nickname for member in members)
    return members if members and whole else None

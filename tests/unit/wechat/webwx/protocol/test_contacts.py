"""People and groups from contact entries (webwx 4.1, 4.3)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from tests.unit.wechat.test_json_reader import ANYTHING
from tests.unit.wechat.webwx.entries import BOB, FAMILY, ME, OWNER, WIFE
from wx2mqtt.model import ChatKind, Contact, Handle, Member, Owner
from wx2mqtt.wechat.webwx.protocol import contacts

SEED = {
    "Uin": 0,
    "UserName": WIFE,
    "NickName": 'Nandi <span class="emoji emoji1f31b"></span>&amp;',
    "HeadImgUrl": f"/cgi-bin/mmwebwx-bin/webwxgeticon?seq=620986971&username={WIFE}&skey=@crypt_x",
    "ContactFlag": 3,
    "MemberCount": 0,
    "MemberList": [],
    "RemarkName": "丰哥",
    "Sex": 1,
    "VerifyFlag": 0,
    "AttrStatus": 2359303,
    "Province": "Jakarta Raya",
    "City": "",
    "Alias": "nandi",
}


def read(**fields: Any) -> Contact | None:
    return contacts.read_contact({**SEED, **fields}, ME)


def test_a_friend() -> None:
    assert read() == Contact(
        handle=WIFE,
        kind=ChatKind.FRIEND,
        nickname="Nandi 🌛&",
        remark="丰哥",
        alias="nandi",
        avatar="620986971",
        profile={"sex": "1", "province": "Jakarta Raya", "attributes": "2359303"},
        listed=True,
    )


@every_row(("flags", "listed"), [(3, True), (2051, True), (0, False), (2, False), (None, None), ("x", False)])
def test_whether_somebody_is_a_contact_or_was_only_met(flags: object, listed: bool | None) -> None:
    found = read(ContactFlag=flags)
    assert found is not None
    assert found.listed is listed


@every_row(
    ("fields", "kind", "permanent"),
    [
        ({"UserName": FAMILY}, ChatKind.GROUP, ""),
        ({"UserName": "123@chatroom"}, ChatKind.GROUP, ""),
        ({"UserName": ME}, ChatKind.SELF, ""),
        ({"UserName": "filehelper"}, ChatKind.SELF, "filehelper"),
        ({"UserName": "weixin", "VerifyFlag": 56}, ChatKind.SYSTEM, "weixin"),
        ({"UserName": "fmessage"}, ChatKind.SYSTEM, "fmessage"),
        ({"UserName": "1234@qqim"}, ChatKind.SYSTEM, ""),
        ({"VerifyFlag": 8}, ChatKind.OFFICIAL, ""),
        ({"VerifyFlag": 24}, ChatKind.OFFICIAL, ""),
        ({"VerifyFlag": 1}, ChatKind.FRIEND, ""),
        ({"UserName": "gh_0123456789ab"}, ChatKind.OFFICIAL, ""),
        ({"UserName": "wxid_chosen"}, ChatKind.FRIEND, ""),
    ],
)
def test_kinds(fields: dict[str, Any], kind: ChatKind, permanent: str) -> None:
    found = read(**fields)
    assert found is not None
    assert (found.kind, found.permanent_id) == (kind, permanent)


@every_row("name", ["", None, 7.5, "x@lbsroom", "x@talkroom"])
def test_who_is_nobody(name: object) -> None:
    assert read(UserName=name) is None


@every_row("url", ["", "/webwxgeticon?seq=0&username=x", "/webwxgeticon?username=seq", None])
def test_no_avatar(url: object) -> None:
    found = read(HeadImgUrl=url)
    assert found is not None
    assert found.avatar == ""


def group(members: list[Any], count: int) -> tuple[Member, ...] | None:
    found = read(UserName=FAMILY, MemberList=members, MemberCount=count)
    assert found is not None
    return found.members


def test_members_of_a_group() -> None:
    members = [
        {"UserName": WIFE, "NickName": "a"},
        {"UserName": BOB, "NickName": "b", "DisplayName": "&lt;B&gt;"},
        5,
    ]
    assert group(members, 2) == (
        Member(handle=WIFE, nickname="a"),
        Member(handle=BOB, nickname="b", display_name="<B>"),
    )


def test_hollow_and_partial_lists_are_no_lists() -> None:
    assert group([{"UserName": WIFE, "NickName": ""}], 1) is None
    assert group([{"UserName": WIFE, "NickName": "a"}], 2) is None
    assert group([], 0) is None


def test_the_owner() -> None:
    user = {"UserName": ME, "NickName": "王&amp;", "Uin": 211722515}
    assert contacts.read_owner(user) == Owner(handle=ME, nickname="王&", uin="211722515")
    assert contacts.read_owner({}) == Owner(handle=Handle(""), nickname="", uin="")
    assert contacts.owner_contact(OWNER).kind is ChatKind.SELF


def test_a_new_name_of_the_owner() -> None:
    profile = {"BitFlag": 190, "NickName": {"Buff": "Neu&amp;"}}
    assert contacts.new_nickname(profile) == "Neu&"
    assert contacts.new_nickname({**profile, "BitFlag": 0}) == ""


def test_the_file_helper_is_the_chat_with_oneself() -> None:
    assert (contacts.FILE_HELPER_CONTACT.kind, contacts.FILE_HELPER_CONTACT.permanent_id) == (
        ChatKind.SELF,
        "filehelper",
    )


@given(st.dictionaries(st.sampled_from([*SEED, "DisplayName"]), ANYTHING))
def test_no_entry_makes_it_fail(entry: dict[str, object]) -> None:
    contacts.read_contact(entry, ME)
    contacts.read_contact({"UserName": FAMILY, "MemberList": [entry], **entry}, ME)


class KeysRead(dict[str, Any]):
    """An entry that records which of its fields are read."""

    def __init__(self, *fields: Any) -> None:
        super().__init__(*fields)
        self.read: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)


@pytest.mark.parametrize("handle", [WIFE, FAMILY])
def test_every_field_that_is_read_is_kept_when_an_answer_is_parsed(handle: str) -> None:
    member = KeysRead({"UserName": BOB, "NickName": "Bob", "DisplayName": "B"})
    entry = KeysRead({**SEED, "UserName": handle, "MemberList": [member], "MemberCount": 1})
    assert contacts.read_contact(entry, ME) is not None
    assert entry.read | member.read <= contacts.CONTACT_KEYS


def test_a_name_of_a_megabyte_does_not_stand_in_each_message() -> None:
    names = ("NickName", "RemarkName", "DisplayName", "Alias", "Province", "City")
    long = dict.fromkeys(names, "x" * 1_000_000)
    member = {**long, "UserName": BOB}
    contact = contacts.read_contact(
        {**long, "UserName": FAMILY, "MemberList": [member], "MemberCount": 1}, ME
    )
    assert contact is not None
    assert contact.members is not None
    shown = [contact.nickname, contact.remark, contact.alias, *contact.profile.values()]
    shown += [contact.members[0].nickname, contact.members[0].display_name]
    shown += [
        contacts.read_owner(long).nickname,
        contacts.new_nickname({"BitFlag": 1, "NickName": {"Buff": long["City"]}}),
    ]
    assert {len(name) for name in shown} == {contacts.MAX_CONTACT_NAME_CHARACTERS}

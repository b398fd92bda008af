"""Names of senders and of the owner, in little memory."""

from __future__ import annotations

import sys
import tracemalloc

from tests.support.cost import is_in_proportion
from tests.unit.wechat.webwx.entries import BOB, FAMILY, ME, NEWS, OWNER, WIFE, roster
from wx2mqtt.model import ChatKind, Contact, Handle, Member
from wx2mqtt.wechat.webwx.protocol.group_members import GroupMembers


def test_members_have_the_name_that_the_group_shows() -> None:
    known = roster()
    assert known.member_name(FAMILY, WIFE) == "晓梅"
    assert known.member_name(FAMILY, BOB) == "Uncle"
    assert known.member_name(FAMILY, BOB) == "Uncle"
    assert known.member_name(FAMILY, "@stranger") is None
    assert known.member_name("@@unknown", BOB) is None


def test_a_new_list_replaces_the_old_one() -> None:
    known = roster()
    known.member_name(FAMILY, BOB)
    members = (Member(handle=BOB, nickname="Bob\nby"),)
    known.update([Contact(handle=FAMILY, kind=ChatKind.GROUP, members=members)])
    assert known.member_name(FAMILY, BOB) == "Bob by"
    assert known.member_name(FAMILY, WIFE) is None


def test_a_group_without_a_list_leaves_the_old_one() -> None:
    known = roster()
    known.update([Contact(handle=FAMILY, kind=ChatKind.GROUP)])
    assert known.member_name(FAMILY, WIFE) == "晓梅"


def test_the_members_of_known_groups_are_known() -> None:
    known = roster()
    assert all(known.contains(handle) for handle in (WIFE, FAMILY, NEWS, ME, "filehelper", "weixin"))
    assert not any(known.contains(handle) for handle in (BOB, "@@other"))
    known.remove(WIFE)
    known.remove(FAMILY)
    assert not known.contains(WIFE)
    assert not known.contains(FAMILY)


def test_what_a_chat_is() -> None:
    known = roster()
    assert known.chat_kind(FAMILY) is ChatKind.GROUP
    assert known.chat_kind(NEWS) is ChatKind.OFFICIAL
    assert known.chat_kind("gh_123") is ChatKind.OFFICIAL
    assert known.chat_kind(WIFE) is ChatKind.FRIEND
    assert known.chat_kind("filehelper") is ChatKind.SELF


def test_the_owner_may_be_mentioned_by_two_names() -> None:
    assert roster().own_names(FAMILY) == ("Papa W", "王小明")
    assert roster().own_names("@@unknown") == ("王小明",)


def test_the_name_of_a_member_costs_the_same_however_many_there_are() -> None:
    def ask(count: int) -> None:
        members = tuple(Member(handle=Handle(f"@{n}"), nickname=f"n{n}") for n in range(count))
        known = GroupMembers(OWNER)
        known.update([Contact(handle=FAMILY, kind=ChatKind.GROUP, members=members)])
        assert all(known.member_name(FAMILY, f"@{n}") == f"n{n}" for n in range(count))

    assert is_in_proportion(ask, 8000)


def test_large_groups_cost_little() -> None:
    """300 groups of 500 members would be 150,000 names; a tenth of it must stay below a megabyte."""
    known = GroupMembers(OWNER)
    tracemalloc.start()
    try:
        for group in range(30):
            members = tuple(
                Member(handle=Handle(f"@{group:030}{n:034}"), nickname=f"member {n}") for n in range(500)
            )
            known.update([Contact(handle=Handle(f"@@{group:064}"), kind=ChatKind.GROUP, members=members)])
        del members
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 1_000_000, sys.getsizeof(known)

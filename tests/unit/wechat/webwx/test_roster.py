"""Names of senders and of the owner, in little memory."""

from __future__ import annotations

import sys
import tracemalloc

from tests.unit.wechat.webwx.entries import BOB, FAMILY, ME, NEWS, OWNER, WIFE, roster
from wx2mqtt.model import ChatKind, Contact, Handle, Member
from wx2mqtt.wechat.webwx.roster import REMEMBERED, Roster


def test_members_have_the_name_that_the_group_shows() -> None:
    known = roster()
    assert known.name(FAMILY, WIFE) == "晓梅"
    assert known.name(FAMILY, BOB) == "Uncle"
    assert known.name(FAMILY, BOB) == "Uncle"
    assert known.name(FAMILY, "@stranger") is None
    assert known.name("@@unknown", BOB) is None


def test_a_new_list_replaces_the_old_one() -> None:
    known = roster()
    known.name(FAMILY, BOB)
    members = (Member(handle=BOB, nickname="Bob\nby"),)
    known.learn([Contact(handle=FAMILY, kind=ChatKind.GROUP, members=members)])
    assert known.name(FAMILY, BOB) == "Bob by"
    assert known.name(FAMILY, WIFE) is None


def test_a_group_without_a_list_leaves_the_old_one() -> None:
    known = roster()
    known.learn([Contact(handle=FAMILY, kind=ChatKind.GROUP)])
    assert known.name(FAMILY, WIFE) == "晓梅"


def test_who_is_known() -> None:
    known = roster()
    assert all(known.knows(handle) for handle in (WIFE, FAMILY, NEWS, ME, "filehelper", "weixin"))
    assert not any(known.knows(handle) for handle in (BOB, "@@other"))
    known.forget(WIFE)
    known.forget(FAMILY)
    assert not known.knows(WIFE)
    assert not known.knows(FAMILY)


def test_what_a_chat_is() -> None:
    known = roster()
    assert known.kind(FAMILY) is ChatKind.GROUP
    assert known.kind(NEWS) is ChatKind.OFFICIAL
    assert known.kind("gh_123") is ChatKind.OFFICIAL
    assert known.kind(WIFE) is ChatKind.FRIEND
    assert known.kind("filehelper") is ChatKind.SELF


def test_the_owner_may_be_mentioned_by_two_names() -> None:
    assert roster().own_names(FAMILY) == ("Papa W", "王小明")
    assert roster().own_names("@@unknown") == ("王小明",)


def test_names_used_lately_are_bounded() -> None:
    known = Roster(OWNER)
    members = tuple(Member(handle=Handle(f"@{n}"), nickname=f"n{n}") for n in range(REMEMBERED + 10))
    known.learn([Contact(handle=FAMILY, kind=ChatKind.GROUP, members=members)])
    assert all(known.name(FAMILY, f"@{n}") == f"n{n}" for n in range(REMEMBERED + 10))
    assert len(known._lately) == REMEMBERED


def test_large_groups_cost_little() -> None:
    """300 groups of 500 members would be 150,000 names; a tenth of it must stay below a megabyte."""
    known = Roster(OWNER)
    tracemalloc.start()
    try:
        for group in range(30):
            members = tuple(
                Member(handle=Handle(f"@{group:030}{n:034}"), nickname=f"member {n}") for n in range(500)
            )
            known.learn([Contact(handle=Handle(f"@@{group:064}"), kind=ChatKind.GROUP, members=members)])
        del members
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 1_000_000, sys.getsizeof(known)

"""The contact list: pages, groups in batches, contacts in other lists only, unknown contacts (webwx 2.8, 2.9)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.unit.wechat.rig import body, query
from tests.unit.wechat.webwx.entries import BOB, FAMILY, ME, WIFE
from tests.unit.wechat.webwx.server import INIT, WebWxRig, answer, text
from wx2mqtt.errors import LoggedOut, Throttled, Unreachable
from wx2mqtt.model import ChatKind, Contact, Member
from wx2mqtt.wechat.backend import LoggedIn


def person(handle: str, name: str = "") -> dict[str, Any]:
    return {"UserName": handle, "NickName": name or handle}


def group(handle: str, *members: str) -> dict[str, Any]:
    return {
        **person(handle),
        "MemberCount": len(members),
        "MemberList": [person(member) for member in members],
    }


def found_groups(request: httpx.Request) -> httpx.Response:
    return answer(ContactList=[group(requested["UserName"], ME, WIFE) for requested in body(request)["List"]])


async def people(rig: WebWxRig, counts: list[int] | None = None) -> list[tuple[Contact, ...]]:
    return [page async for page in rig.backend.list_contacts((counts if counts is not None else []).append)]


async def log_in(rig: WebWxRig) -> None:
    assert [step async for step in rig.backend.login(resume=False)]


def handles(pages: list[tuple[Contact, ...]]) -> list[str]:
    return [contact.handle for page in pages for contact in page]


async def test_pages_follow_each_other_until_seq_is_0(online: WebWxRig) -> None:
    online.put(
        "webwxgetcontact",
        answer(MemberList=[person(ME), person(WIFE)], Seq="688"),
        answer(MemberList=[person(BOB)], Seq=0),
    )
    counts: list[int] = []
    pages = await people(online, counts)
    assert handles(pages) == [ME, WIFE, BOB, "filehelper"]
    assert [query(request)["seq"] for request in online.asked("webwxgetcontact")] == ["0", "688"]
    assert counts == [2, 3, 4]
    assert pages[0][0].kind is ChatKind.SELF


@pytest.mark.parametrize("seqs", [[5, 5], [5, 6, 5]])
async def test_a_seq_that_repeats_is_the_end(online: WebWxRig, seqs: list[int]) -> None:
    online.put("webwxgetcontact", *(answer(MemberList=[person(ME)], Seq=seq) for seq in seqs))
    await people(online)
    assert len(online.asked("webwxgetcontact")) == len(seqs)


async def test_pages_without_end_end(online: WebWxRig) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        return answer(MemberList=[person(ME)], Seq=int(query(request)["seq"]) + 1)

    online.put("webwxgetcontact", page)
    await people(online)
    assert len(online.asked("webwxgetcontact")) == 40


async def test_an_empty_list_right_after_the_login_is_asked_for_again(online: WebWxRig) -> None:
    online.put("webwxgetcontact", answer(MemberList=[], Seq=0), answer(MemberList=[person(WIFE)], Seq=0))
    assert WIFE in handles(await people(online))
    assert online.clock.slept == [2.0]


async def test_an_empty_list_is_believed_at_last(online: WebWxRig) -> None:
    online.put("webwxgetcontact", answer(MemberList=[], Seq=0))
    assert handles(await people(online)) == [ME, "filehelper"]
    assert len(online.asked("webwxgetcontact")) == 3


async def test_contacts_that_only_init_lists_are_included(rig: WebWxRig) -> None:
    hollow = {**person("@@init"), "MemberCount": 1, "MemberList": [{"UserName": ME, "NickName": ""}]}
    init = INIT | {
        "ContactList": [person("weixin"), person(WIFE), hollow, {}],
        "ChatSet": "filehelper,@@chat,@x,",
    }
    rig.put("webwxinit", answer(**init))
    rig.put("webwxgetcontact", answer(MemberList=[person(ME), person(FAMILY), person(WIFE)], Seq=0))
    rig.put("webwxbatchgetcontact", found_groups)
    await log_in(rig)
    pages = await people(rig)
    assert handles(pages) == [ME, WIFE, "weixin", "filehelper", FAMILY, "@@init", "@@chat"]
    assert all(contact.members for contact in pages[-1])


async def test_groups_come_with_their_members_in_slices_of_50(online: WebWxRig) -> None:
    online.put(
        "webwxgetcontact", answer(MemberList=[person(f"@@{n}") for n in range(120)] + [person(ME)], Seq=0)
    )
    online.put("webwxbatchgetcontact", found_groups)
    pages = await people(online)
    asked = [body(request) for request in online.asked("webwxbatchgetcontact")]
    assert [requested["Count"] for requested in asked] == [50, 50, 20]
    assert asked[0]["List"][0] == {"UserName": "@@0", "ChatRoomId": ""}
    assert pages[-1][0].members == (Member(handle=ME, nickname=ME), Member(handle=WIFE, nickname=WIFE))
    assert len(handles(pages)) == len(set(handles(pages))) == 122


async def test_large_groups_are_asked_for_in_small_portions(online: WebWxRig) -> None:
    groups = [{**person(f"@@{n}"), "MemberCount": 500} for n in range(12)]
    online.put("webwxgetcontact", answer(MemberList=groups, Seq=0))
    online.put("webwxbatchgetcontact", found_groups)
    await people(online)
    assert [body(request)["Count"] for request in online.asked("webwxbatchgetcontact")] == [5, 5, 2]


async def test_a_group_that_is_left_out_comes_without_members(online: WebWxRig) -> None:
    online.put("webwxgetcontact", answer(MemberList=[person(FAMILY)], Seq=0))
    pages = await people(online)
    assert pages[-1][0].handle == FAMILY
    assert pages[-1][0].members is None


async def test_a_slice_that_fails_is_asked_for_in_smaller_ones(online: WebWxRig) -> None:
    names = [f"@@{n}" for n in range(60)]
    failing_handles = {"@@0", "@@33"}

    def refuse_some(request: httpx.Request) -> httpx.Response:
        asked = {requested["UserName"] for requested in body(request)["List"]}
        return text("", 502) if asked & failing_handles else found_groups(request)

    online.put("webwxgetcontact", answer(MemberList=[person(name) for name in names], Seq=0))
    online.put("webwxbatchgetcontact", refuse_some)
    pages = await people(online)
    with_members = {contact.handle for page in pages for contact in page if contact.members}
    assert with_members == set(names) - failing_handles
    assert set(names) <= set(handles(pages))
    sizes = [body(request)["Count"] for request in online.asked("webwxbatchgetcontact")]
    assert sizes[:4] == [50, 10, 5, 1]
    batch = await online.poll()
    assert batch.unreadable_count == 2


async def test_a_server_that_always_fails_is_not_asked_without_end(online: WebWxRig) -> None:
    online.put("webwxgetcontact", answer(MemberList=[person(f"@@{n}") for n in range(50)], Seq=0))
    online.put("webwxbatchgetcontact", answer(-1))
    with pytest.raises(Unreachable):
        await people(online)
    assert len(online.asked("webwxbatchgetcontact")) == 10


async def test_a_server_that_is_gone_is_asked_once(online: WebWxRig) -> None:
    online.put("webwxgetcontact", answer(MemberList=[person(FAMILY), person("@@b")], Seq=0))
    online.put("webwxbatchgetcontact", httpx.ConnectError("x"))
    with pytest.raises(Unreachable):
        await people(online)
    assert len(online.asked("webwxbatchgetcontact")) == 1


@pytest.mark.parametrize(("ret", "error"), [(1101, LoggedOut), (1205, Throttled), (7, Unreachable)])
async def test_refusals(online: WebWxRig, ret: int, error: type[Exception]) -> None:
    online.put("webwxgetcontact", answer(ret))
    with pytest.raises(error):
        await people(online)


async def test_entries_that_cannot_be_read_are_counted(online: WebWxRig) -> None:
    online.put("webwxgetcontact", answer(MemberList=[7, {}, None, person(WIFE)], Seq=0))
    assert WIFE in handles(await people(online))
    assert (await online.poll()).unreadable_count == 3


async def test_nobody_is_known_before_a_login(rig: WebWxRig) -> None:
    with pytest.raises(LoggedOut):
        await people(rig)


async def test_a_resumed_login_still_knows_the_groups_of_the_phone(rig: WebWxRig) -> None:
    rig.put("webwxinit", answer(**INIT | {"ChatSet": "@@chat,"}))
    await log_in(rig)
    await rig.backend.close()
    rig.restart()
    rig.put("webwxbatchgetcontact", found_groups)
    assert [isinstance(step, LoggedIn) async for step in rig.backend.login(resume=True)] == [True]
    assert "@@chat" in handles(await people(rig))

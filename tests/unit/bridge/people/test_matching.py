"""The matching rules: which evidence is enough, and which is not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.rows import every_row
from wx2mqtt.bridge.people.evidence import ContactFacts, MatchedBy, contact_facts
from wx2mqtt.bridge.people.matching import MatchQuery, match
from wx2mqtt.model import ChatKind, Contact, Handle, Member

HOME = {"sex": "1", "province": "广东", "city": "广州", "attributes": "102437"}


def one(nickname: str = "", members: str | None = None, **values: Any) -> ContactFacts:
    values.setdefault("kind", ChatKind.FRIEND if members is None else ChatKind.GROUP)
    names = (members or "").split()
    people = tuple(Member(handle=Handle(f"@{name}"), nickname=name) for name in names)
    contact = Contact(handle=Handle("@x"), nickname=nickname, members=people or None, **values)
    return contact_facts(contact, owner=None, uin="")


def climb(
    contacts: list[ContactFacts], persons: list[ContactFacts], **more: Any
) -> dict[int, tuple[int, str]]:
    return dict(match(ask(contacts, persons, **more)).matches)


def ask(contacts: list[ContactFacts], persons: list[ContactFacts], **more: Any) -> MatchQuery:
    values = {"open_contacts": range(len(contacts)), "open_persons": range(len(persons)), **more}
    return MatchQuery(contacts=contacts, persons=persons, **values)


ENOUGH = [
    (MatchedBy.ALIAS, one("A", alias="id1"), one("B", alias="id1", avatar="9", remark="x")),
    (MatchedBy.REMARK, one("A", remark="老婆", avatar="1"), one("B", remark="老婆", avatar="2")),
    (MatchedBy.REMARK, one("A", remark="老婆", alias="n"), one("A", remark="老婆", alias="o")),
    (
        MatchedBy.REMARK,
        one("A", remark="老婆", alias="n", avatar="1"),
        one("B", remark="老婆", alias="o", avatar="1"),
    ),
    (MatchedBy.AVATAR_AND_NICKNAME, one("A", avatar="1"), one("A", avatar="1", remark="老婆")),
    (MatchedBy.AVATAR_AND_NICKNAME, one("A", avatar="1", remark="new"), one("A", avatar="1", remark="old")),
    (MatchedBy.AVATAR_AND_PROFILE, one("A", avatar="1", profile=HOME), one("B", avatar="1", profile=HOME)),
    (MatchedBy.NICKNAME_AND_PROFILE, one("A", profile=HOME), one("A", profile=HOME)),
    (MatchedBy.NICKNAME_AND_PROFILE, one("A", profile=HOME, avatar="1"), one("A", profile=HOME)),
    (MatchedBy.NICKNAME_AND_PROFILE, one("A", profile=HOME), one("A", profile=HOME, avatar="1")),
    (MatchedBy.NICKNAME_AND_PROFILE, one("A", profile=HOME, avatar="1"), one("A", profile=HOME, avatar="2")),
    (
        MatchedBy.NICKNAME_AND_PROFILE,
        one("A", profile={"sex": "1", "city": "x"}),
        one("A", profile={"sex": "1", "city": "x"}),
    ),
    (MatchedBy.REMARK, one("群", "a b", remark="家"), one("x", "c d", remark="家")),
    (MatchedBy.NAME_AND_MEMBERS, one("群", "a b c d"), one("群", "a b e f")),
    (MatchedBy.NAME_AND_MEMBERS, one("群", "a b"), one("群", "a b c d e f g h")),
    (MatchedBy.NAME_AND_AVATAR, one("群", "", avatar="7"), one("群", "a b", avatar="7")),
    (MatchedBy.MEMBERS, one("new", "a b c d e"), one("old", "a b c d f e")),
    (MatchedBy.MEMBERS, one("", "a b c"), one("", "a b c")),
]

NOT_ENOUGH = [
    ("nothing but the nickname", one("A"), one("A")),
    ("a nickname and another picture", one("A", avatar="1"), one("A", avatar="2")),
    ("a nickname and the sex", one("A", profile={"sex": "1"}), one("A", profile={"sex": "1"})),
    (
        "a nickname, another picture, and no attributes",
        one("A", avatar="1", profile={"sex": "1", "city": "x"}),
        one("A", avatar="2", profile={"sex": "1", "city": "x"}),
    ),
    ("a nickname and other facts", one("A", profile=HOME), one("A", profile={**HOME, "city": "深圳"})),
    ("the nickname of somebody with a remark", one("A", profile=HOME), one("A", profile=HOME, remark="老婆")),
    (
        "a nickname, and another WeChat ID",
        one("A", alias="n", profile=HOME),
        one("A", alias="o", profile=HOME),
    ),
    (
        "a remark, and another WeChat ID",
        one("A", alias="n", remark="老婆"),
        one("B", alias="o", remark="老婆"),
    ),
    ("a remark that was a nickname", one("A", remark="老婆"), one("老婆")),
    ("a nickname like a remark", one("老婆"), one("A", remark="老婆")),
    ("a picture and other facts", one("A", avatar="1", profile=HOME), one("B", avatar="1")),
    ("a picture, and another WeChat ID", one("A", avatar="1", alias="n"), one("B", avatar="1", alias="o")),
    ("a default picture", one("A", avatar="0"), one("A", avatar="0")),
    (
        "a friend for an official account",
        one("A", alias="x", avatar="1"),
        one("A", alias="x", avatar="1", kind=ChatKind.OFFICIAL),
    ),
    ("a person for a group", one("A", avatar="1"), one("A", "", kind=ChatKind.GROUP, avatar="1")),
    ("a group's name and other members", one("群", "a b c d"), one("群", "a x y z")),
    ("a group's name and few of many members", one("群", "a b"), one("群", "a b c d e f g h i")),
    ("a group's name alone", one("群", "", kind=ChatKind.GROUP), one("群", "", kind=ChatKind.GROUP)),
    (
        "a group's name, its picture, and other members",
        one("群", "a b", avatar="1"),
        one("群", "c d", avatar="1"),
    ),
    ("a renamed group with many others", one("new", "a b c d"), one("old", "a b c d e f")),
    ("two members in common", one("new", "a b"), one("old", "a b")),
    ("an empty name", one("", "a b x"), one("", "a b y")),
]


@every_row(("why", "contact", "person"), ENOUGH)
def test_enough(why: MatchedBy, contact: ContactFacts, person: ContactFacts) -> None:
    assert climb([contact], [person]) == {0: (0, why)}


@every_row(("what", "contact", "person"), NOT_ENOUGH)
def test_not_enough(what: str, contact: ContactFacts, person: ContactFacts) -> None:
    assert climb([contact], [person]) == {}


@every_row(("why", "contact", "person"), ENOUGH)
def test_where_two_contacts_fit_none_is_chosen(
    why: MatchedBy, contact: ContactFacts, person: ContactFacts
) -> None:
    assert climb([contact, contact], [person]) == {}


@every_row(("why", "contact", "person"), ENOUGH)
def test_where_two_persons_fit_none_is_chosen(
    why: MatchedBy, contact: ContactFacts, person: ContactFacts
) -> None:
    assert climb([contact], [person, person]) == {}


@every_row(("why", "contact", "person"), ENOUGH)
def test_those_who_are_known_already_count_too(
    why: MatchedBy, contact: ContactFacts, person: ContactFacts
) -> None:
    assert climb([contact, contact], [person, person], open_contacts=[0], open_persons=[0]) == {}


@every_row(("why", "contact", "person"), ENOUGH)
def test_in_part_of_a_directory_being_the_only_one_means_little(
    why: MatchedBy, contact: ContactFacts, person: ContactFacts
) -> None:
    weak = {MatchedBy.AVATAR_AND_PROFILE, MatchedBy.NICKNAME_AND_PROFILE}
    found = climb([contact], [person], is_complete=False)
    assert found == ({} if why in weak else {0: (0, why)})


def test_stronger_evidence_is_heard_first() -> None:
    contact = one("Lily", alias="id1", remark="老婆", avatar="1")
    persons = [one("Lily", avatar="1"), one("x", remark="老婆"), one("y", alias="id1")]
    assert climb([contact], persons) == {0: (2, MatchedBy.ALIAS)}


def test_a_remark_that_was_moved_does_not_move_the_person() -> None:
    """The owner gave 老婆 to Eve and deleted Lily while the bridge was away."""
    eve, lily = one("Eve", avatar="1"), one("Lily", avatar="2", remark="老婆")
    assert climb([one("Eve", avatar="1", remark="老婆")], [eve, lily]) == {
        0: (0, MatchedBy.AVATAR_AND_NICKNAME)
    }


def test_two_whose_remarks_were_exchanged_stay_who_they_are() -> None:
    persons = [one("A", avatar="1", remark="x"), one("B", avatar="2", remark="y")]
    contacts = [one("A", avatar="1", remark="y"), one("B", avatar="2", remark="x")]
    assert {contact: found[0] for contact, found in climb(contacts, persons).items()} == {0: 0, 1: 1}


def test_pictures_keep_namesakes_apart() -> None:
    persons = [one("Bob", avatar="1"), one("Bob", avatar="2")]
    contacts = [one("Bob", avatar="2"), one("Bob", avatar="1")]
    assert {contact: found[0] for contact, found in climb(contacts, persons).items()} == {0: 1, 1: 0}


def test_a_copied_name_and_city_do_not_make_anybody_the_one_who_was_renamed() -> None:
    """Lily has no picture and calls herself 小百合 now; Eve took her name and says she is from the same city."""
    lily = one("Lily", profile=HOME)
    assert climb([one("Lily", profile=HOME, avatar="9"), one("小百合", profile=HOME)], [lily]) == {}


def test_a_copied_name_and_city_do_not_make_an_old_acquaintance_the_one_who_left() -> None:
    """Lily deleted her account; Eve, known before and from the same city, calls herself Lily now."""
    assert climb([one("Lily", profile=HOME)], [one("Lily", profile=HOME), one("Eve", profile=HOME)]) == {}


def test_whose_picture_is_somebody_elses_is_not_the_bearer_of_a_name() -> None:
    persons = [one("Lily", profile=HOME), one("Eve", avatar="9", profile={"sex": "2"})]
    assert climb([one("Lily", avatar="9", profile=HOME)], persons) == {}


def test_a_copied_city_counts_only_where_nobody_is_unaccounted_for() -> None:
    chosen = {"sex": "1", "city": "广州"}
    lily, eve, tom = one("Lily", profile=chosen), one("Eve", profile={"city": "x"}), one("Tom", avatar="3")
    assert climb([one("Lily", profile=chosen)], [lily, eve]) == {}
    assert climb([one("Lily", profile=chosen)], [lily, eve], removed_persons=[1]) == {
        0: (0, MatchedBy.NICKNAME_AND_PROFILE)
    }
    assert 0 in climb([one("Lily", profile=chosen), tom], [lily, tom])
    assert 0 in climb([one("Lily", profile=chosen), one("N", kind=ChatKind.OFFICIAL)], [lily])


def test_another_picture_counts_only_where_nobody_is_unaccounted_for() -> None:
    """Lily deleted her account; Eve has her name, city and attributes, and a new picture."""
    persons = [one("Lily", avatar="1", profile=HOME), one("Eve", avatar="2", profile={"sex": "2"})]
    assert climb([one("Lily", avatar="3", profile=HOME)], persons) == {}


def test_facts_that_many_share_do_not_outweigh_another_picture() -> None:
    persons = [one("Lily", avatar="1", profile=HOME), one("Tom", avatar="5", profile=HOME)]
    contacts = [one("Lily", avatar="2", profile=HOME), one("Tom", avatar="5", profile=HOME)]
    assert 0 not in climb(contacts, persons)


def test_who_was_seen_to_leave_does_not_come_back_by_a_name() -> None:
    contact, person = one("A", profile=HOME), one("A", profile=HOME)
    assert climb([contact], [person], removed_persons=[0]) == {}


def test_the_owners_pin_decides_between_two_with_a_remark() -> None:
    persons = [one("old", remark="老婆"), one("now", remark="老婆")]
    assert climb([one("now", remark="老婆")], persons, claims={0: 1}) == {0: (1, MatchedBy.PIN)}


def test_the_owners_pin_does_not_make_one_known_person_of_another() -> None:
    persons = [one("Lily", avatar="1", remark="老婆"), one("Eve", avatar="2")]
    assert climb([one("Eve", avatar="2", remark="老婆")], persons, claims={0: 0}) == {
        0: (1, MatchedBy.AVATAR_AND_NICKNAME)
    }


@every_row(
    ("contact", "person"),
    [
        (one("A"), one("A", remark="老婆")),
        (one("A", remark="x", alias="n"), one("B", remark="x", alias="o")),
        (one("A", avatar="1"), one("B", avatar="1", profile=HOME)),
        (one("群", "a b c"), one("群", "x y z")),
    ],
)
def test_who_shares_a_name_without_proof_may_be_the_one(contact: ContactFacts, person: ContactFacts) -> None:
    assert match(ask([contact], [person])).candidates == {0: (0,)}


def test_a_group_that_may_be_either_of_two_is_told() -> None:
    groups = [one("x", "a b c d"), one("y", "a b c d")]
    assert match(ask([one("z", "a b c d")], groups)).candidates == {0: (0, 1)}


@pytest.mark.parametrize(
    ("contact", "person"),
    [
        (one("A", avatar="1"), one("B", avatar="2")),
        (one(""), one("")),
        (one("A"), one("A", kind=ChatKind.OFFICIAL)),
    ],
)
def test_who_shares_nothing_is_nobodys_candidate(contact: ContactFacts, person: ContactFacts) -> None:
    assert match(ask([contact], [person])).candidates == {}


def test_a_picture_that_many_have_points_at_nobody() -> None:
    persons = [one("A", avatar="5"), one("B", avatar="5")]
    assert match(ask([one("C", avatar="5")], persons)).candidates == {}


def test_nobody_to_find_and_nobody_to_ask() -> None:
    assert match(ask([], [one("A")])).matches == match(ask([one("A")], [])).matches == {}

"""The matching rules: which evidence is enough, and which is not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.rows import every_row
from wx2mqtt.bridge.people.evidence import ContactFacts, MatchedBy, contact_facts
from wx2mqtt.bridge.people.matching import MatchQuery, match
from wx2mqtt.model import ChatKind, Contact, Handle, Member

PROFILE = {"sex": "1", "province": "广东", "city": "广州", "attributes": "102437"}


def facts_of(nickname: str = "", members: str | None = None, **values: Any) -> ContactFacts:
    values.setdefault("kind", ChatKind.FRIEND if members is None else ChatKind.GROUP)
    names = (members or "").split()
    people = tuple(Member(handle=Handle(f"@{name}"), nickname=name) for name in names)
    contact = Contact(handle=Handle("@x"), nickname=nickname, members=people or None, **values)
    return contact_facts(contact, owner=None, uin="")


def matches_of(
    contacts: list[ContactFacts], persons: list[ContactFacts], **more: Any
) -> dict[int, tuple[int, str]]:
    return dict(match(query_of(contacts, persons, **more)).matches)


def query_of(contacts: list[ContactFacts], persons: list[ContactFacts], **more: Any) -> MatchQuery:
    values = {"open_contacts": range(len(contacts)), "open_persons": range(len(persons)), **more}
    return MatchQuery(contacts=contacts, persons=persons, **values)


ENOUGH = [
    (MatchedBy.ALIAS, facts_of("A", alias="id1"), facts_of("B", alias="id1", avatar="9", remark="x")),
    (MatchedBy.REMARK, facts_of("A", remark="老婆", avatar="1"), facts_of("B", remark="老婆", avatar="2")),
    (MatchedBy.REMARK, facts_of("A", remark="老婆", alias="n"), facts_of("A", remark="老婆", alias="o")),
    (
        MatchedBy.REMARK,
        facts_of("A", remark="老婆", alias="n", avatar="1"),
        facts_of("B", remark="老婆", alias="o", avatar="1"),
    ),
    (MatchedBy.AVATAR_AND_NICKNAME, facts_of("A", avatar="1"), facts_of("A", avatar="1", remark="老婆")),
    (
        MatchedBy.AVATAR_AND_NICKNAME,
        facts_of("A", avatar="1", remark="new"),
        facts_of("A", avatar="1", remark="old"),
    ),
    (
        MatchedBy.AVATAR_AND_PROFILE,
        facts_of("A", avatar="1", profile=PROFILE),
        facts_of("B", avatar="1", profile=PROFILE),
    ),
    (MatchedBy.NICKNAME_AND_PROFILE, facts_of("A", profile=PROFILE), facts_of("A", profile=PROFILE)),
    (
        MatchedBy.NICKNAME_AND_PROFILE,
        facts_of("A", profile=PROFILE, avatar="1"),
        facts_of("A", profile=PROFILE),
    ),
    (
        MatchedBy.NICKNAME_AND_PROFILE,
        facts_of("A", profile=PROFILE),
        facts_of("A", profile=PROFILE, avatar="1"),
    ),
    (
        MatchedBy.NICKNAME_AND_PROFILE,
        facts_of("A", profile=PROFILE, avatar="1"),
        facts_of("A", profile=PROFILE, avatar="2"),
    ),
    (
        MatchedBy.NICKNAME_AND_PROFILE,
        facts_of("A", profile={"sex": "1", "city": "x"}),
        facts_of("A", profile={"sex": "1", "city": "x"}),
    ),
    (MatchedBy.REMARK, facts_of("群", "a b", remark="家"), facts_of("x", "c d", remark="家")),
    (MatchedBy.NAME_AND_MEMBERS, facts_of("群", "a b c d"), facts_of("群", "a b e f")),
    (MatchedBy.NAME_AND_MEMBERS, facts_of("群", "a b"), facts_of("群", "a b c d e f g h")),
    (MatchedBy.NAME_AND_AVATAR, facts_of("群", "", avatar="7"), facts_of("群", "a b", avatar="7")),
    (MatchedBy.MEMBERS, facts_of("new", "a b c d e"), facts_of("old", "a b c d f e")),
    (MatchedBy.MEMBERS, facts_of("", "a b c"), facts_of("", "a b c")),
]

NOT_ENOUGH = [
    ("nothing but the nickname", facts_of("A"), facts_of("A")),
    ("a nickname and another picture", facts_of("A", avatar="1"), facts_of("A", avatar="2")),
    ("a nickname and the sex", facts_of("A", profile={"sex": "1"}), facts_of("A", profile={"sex": "1"})),
    (
        "a nickname, another picture, and no attributes",
        facts_of("A", avatar="1", profile={"sex": "1", "city": "x"}),
        facts_of("A", avatar="2", profile={"sex": "1", "city": "x"}),
    ),
    (
        "a nickname and other facts",
        facts_of("A", profile=PROFILE),
        facts_of("A", profile={**PROFILE, "city": "深圳"}),
    ),
    (
        "the nickname of somebody with a remark",
        facts_of("A", profile=PROFILE),
        facts_of("A", profile=PROFILE, remark="老婆"),
    ),
    (
        "a nickname, and another WeChat ID",
        facts_of("A", alias="n", profile=PROFILE),
        facts_of("A", alias="o", profile=PROFILE),
    ),
    (
        "a remark, and another WeChat ID",
        facts_of("A", alias="n", remark="老婆"),
        facts_of("B", alias="o", remark="老婆"),
    ),
    ("a remark that was a nickname", facts_of("A", remark="老婆"), facts_of("老婆")),
    ("a nickname like a remark", facts_of("老婆"), facts_of("A", remark="老婆")),
    ("a picture and other facts", facts_of("A", avatar="1", profile=PROFILE), facts_of("B", avatar="1")),
    (
        "a picture, and another WeChat ID",
        facts_of("A", avatar="1", alias="n"),
        facts_of("B", avatar="1", alias="o"),
    ),
    ("a default picture", facts_of("A", avatar="0"), facts_of("A", avatar="0")),
    (
        "a friend for an official account",
        facts_of("A", alias="x", avatar="1"),
        facts_of("A", alias="x", avatar="1", kind=ChatKind.OFFICIAL),
    ),
    ("a person for a group", facts_of("A", avatar="1"), facts_of("A", "", kind=ChatKind.GROUP, avatar="1")),
    ("a group's name and other members", facts_of("群", "a b c d"), facts_of("群", "a x y z")),
    ("a group's name and few of many members", facts_of("群", "a b"), facts_of("群", "a b c d e f g h i")),
    (
        "a group's name alone",
        facts_of("群", "", kind=ChatKind.GROUP),
        facts_of("群", "", kind=ChatKind.GROUP),
    ),
    (
        "a group's name, its picture, and other members",
        facts_of("群", "a b", avatar="1"),
        facts_of("群", "c d", avatar="1"),
    ),
    ("a renamed group with many others", facts_of("new", "a b c d"), facts_of("old", "a b c d e f")),
    ("two members in common", facts_of("new", "a b"), facts_of("old", "a b")),
    ("an empty name", facts_of("", "a b x"), facts_of("", "a b y")),
]


@every_row(("why", "contact", "person"), ENOUGH)
def test_evidence_that_is_enough_matches_contact_and_person(
    why: MatchedBy, contact: ContactFacts, person: ContactFacts
) -> None:
    assert matches_of([contact], [person]) == {0: (0, why)}


@every_row(("what", "contact", "person"), NOT_ENOUGH)
def test_evidence_that_is_not_enough_matches_nobody(
    what: str, contact: ContactFacts, person: ContactFacts
) -> None:
    assert matches_of([contact], [person]) == {}


@every_row(("why", "contact", "person"), ENOUGH)
def test_where_two_contacts_fit_none_is_chosen(
    why: MatchedBy, contact: ContactFacts, person: ContactFacts
) -> None:
    assert matches_of([contact, contact], [person]) == {}


@every_row(("why", "contact", "person"), ENOUGH)
def test_where_two_persons_fit_none_is_chosen(
    why: MatchedBy, contact: ContactFacts, person: ContactFacts
) -> None:
    assert matches_of([contact], [person, person]) == {}


@every_row(("why", "contact", "person"), ENOUGH)
def test_those_who_are_known_already_count_too(
    why: MatchedBy, contact: ContactFacts, person: ContactFacts
) -> None:
    assert matches_of([contact, contact], [person, person], open_contacts=[0], open_persons=[0]) == {}


@every_row(("why", "contact", "person"), ENOUGH)
def test_in_part_of_a_directory_being_the_only_one_means_little(
    why: MatchedBy, contact: ContactFacts, person: ContactFacts
) -> None:
    weak = {MatchedBy.AVATAR_AND_PROFILE, MatchedBy.NICKNAME_AND_PROFILE}
    found = matches_of([contact], [person], is_complete=False)
    assert found == ({} if why in weak else {0: (0, why)})


def test_stronger_evidence_decides_first() -> None:
    contact = facts_of("Lily", alias="id1", remark="老婆", avatar="1")
    persons = [facts_of("Lily", avatar="1"), facts_of("x", remark="老婆"), facts_of("y", alias="id1")]
    assert matches_of([contact], persons) == {0: (2, MatchedBy.ALIAS)}


def test_a_remark_that_was_moved_does_not_move_the_person() -> None:
    """The owner gave 老婆 to Eve and deleted Lily while the bridge was away."""
    eve, lily = facts_of("Eve", avatar="1"), facts_of("Lily", avatar="2", remark="老婆")
    assert matches_of([facts_of("Eve", avatar="1", remark="老婆")], [eve, lily]) == {
        0: (0, MatchedBy.AVATAR_AND_NICKNAME)
    }


def test_two_whose_remarks_were_exchanged_stay_who_they_are() -> None:
    persons = [facts_of("A", avatar="1", remark="x"), facts_of("B", avatar="2", remark="y")]
    contacts = [facts_of("A", avatar="1", remark="y"), facts_of("B", avatar="2", remark="x")]
    assert {contact: found[0] for contact, found in matches_of(contacts, persons).items()} == {0: 0, 1: 1}


def test_pictures_keep_namesakes_apart() -> None:
    persons = [facts_of("Bob", avatar="1"), facts_of("Bob", avatar="2")]
    contacts = [facts_of("Bob", avatar="2"), facts_of("Bob", avatar="1")]
    assert {contact: found[0] for contact, found in matches_of(contacts, persons).items()} == {0: 1, 1: 0}


def test_a_copied_name_and_city_do_not_make_anybody_the_one_who_was_renamed() -> None:
    """Lily has no picture and calls herself 小百合 now; Eve took her name and says she is from the same city."""
    lily = facts_of("Lily", profile=PROFILE)
    assert (
        matches_of(
            [facts_of("Lily", profile=PROFILE, avatar="9"), facts_of("小百合", profile=PROFILE)], [lily]
        )
        == {}
    )


def test_a_copied_name_and_city_do_not_make_an_old_acquaintance_the_one_who_left() -> None:
    """Lily deleted her account; Eve, known before and from the same city, calls herself Lily now."""
    assert (
        matches_of(
            [facts_of("Lily", profile=PROFILE)],
            [facts_of("Lily", profile=PROFILE), facts_of("Eve", profile=PROFILE)],
        )
        == {}
    )


def test_whose_picture_is_somebody_elses_is_not_the_bearer_of_a_name() -> None:
    persons = [facts_of("Lily", profile=PROFILE), facts_of("Eve", avatar="9", profile={"sex": "2"})]
    assert matches_of([facts_of("Lily", avatar="9", profile=PROFILE)], persons) == {}


def test_a_copied_city_counts_only_where_nobody_is_unaccounted_for() -> None:
    chosen = {"sex": "1", "city": "广州"}
    lily, eve, tom = (
        facts_of("Lily", profile=chosen),
        facts_of("Eve", profile={"city": "x"}),
        facts_of("Tom", avatar="3"),
    )
    assert matches_of([facts_of("Lily", profile=chosen)], [lily, eve]) == {}
    assert matches_of([facts_of("Lily", profile=chosen)], [lily, eve], removed_persons=[1]) == {
        0: (0, MatchedBy.NICKNAME_AND_PROFILE)
    }
    assert 0 in matches_of([facts_of("Lily", profile=chosen), tom], [lily, tom])
    assert 0 in matches_of([facts_of("Lily", profile=chosen), facts_of("N", kind=ChatKind.OFFICIAL)], [lily])


def test_another_picture_counts_only_where_nobody_is_unaccounted_for() -> None:
    """Lily deleted her account; Eve has her name, city and attributes, and a new picture."""
    persons = [
        facts_of("Lily", avatar="1", profile=PROFILE),
        facts_of("Eve", avatar="2", profile={"sex": "2"}),
    ]
    assert matches_of([facts_of("Lily", avatar="3", profile=PROFILE)], persons) == {}


def test_facts_that_many_share_do_not_outweigh_another_picture() -> None:
    persons = [facts_of("Lily", avatar="1", profile=PROFILE), facts_of("Tom", avatar="5", profile=PROFILE)]
    contacts = [facts_of("Lily", avatar="2", profile=PROFILE), facts_of("Tom", avatar="5", profile=PROFILE)]
    assert 0 not in matches_of(contacts, persons)


def test_who_was_seen_to_leave_does_not_come_back_by_a_name() -> None:
    contact, person = facts_of("A", profile=PROFILE), facts_of("A", profile=PROFILE)
    assert matches_of([contact], [person], removed_persons=[0]) == {}


def test_the_owners_pin_decides_between_two_with_a_remark() -> None:
    persons = [facts_of("old", remark="老婆"), facts_of("now", remark="老婆")]
    assert matches_of([facts_of("now", remark="老婆")], persons, claims={0: 1}) == {0: (1, MatchedBy.PIN)}


def test_the_owners_pin_does_not_make_one_known_person_of_another() -> None:
    persons = [facts_of("Lily", avatar="1", remark="老婆"), facts_of("Eve", avatar="2")]
    assert matches_of([facts_of("Eve", avatar="2", remark="老婆")], persons, claims={0: 0}) == {
        0: (1, MatchedBy.AVATAR_AND_NICKNAME)
    }


@every_row(
    ("contact", "person"),
    [
        (facts_of("A"), facts_of("A", remark="老婆")),
        (facts_of("A", remark="x", alias="n"), facts_of("B", remark="x", alias="o")),
        (facts_of("A", avatar="1"), facts_of("B", avatar="1", profile=PROFILE)),
        (facts_of("群", "a b c"), facts_of("群", "x y z")),
    ],
)
def test_who_shares_a_name_without_proof_may_be_the_one(contact: ContactFacts, person: ContactFacts) -> None:
    assert match(query_of([contact], [person])).candidates == {0: (0,)}


def test_a_group_that_may_be_either_of_two_has_both_as_candidates() -> None:
    groups = [facts_of("x", "a b c d"), facts_of("y", "a b c d")]
    assert match(query_of([facts_of("z", "a b c d")], groups)).candidates == {0: (0, 1)}


@pytest.mark.parametrize(
    ("contact", "person"),
    [
        (facts_of("A", avatar="1"), facts_of("B", avatar="2")),
        (facts_of(""), facts_of("")),
        (facts_of("A"), facts_of("A", kind=ChatKind.OFFICIAL)),
    ],
)
def test_who_shares_nothing_is_nobodys_candidate(contact: ContactFacts, person: ContactFacts) -> None:
    assert match(query_of([contact], [person])).candidates == {}


def test_a_picture_that_many_have_points_at_nobody() -> None:
    persons = [facts_of("A", avatar="5"), facts_of("B", avatar="5")]
    assert match(query_of([facts_of("C", avatar="5")], persons)).candidates == {}


def test_nobody_to_find_and_nobody_to_ask() -> None:
    assert match(query_of([], [facts_of("A")])).matches == match(query_of([facts_of("A")], [])).matches == {}

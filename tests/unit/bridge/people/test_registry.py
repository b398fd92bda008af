"""A topic name stands for the same person over logins, renames, restarts and decisions of the owner."""

from __future__ import annotations

import unicodedata
from typing import cast

import pytest

from tests.support.cost import cpu_seconds, is_in_proportion, repeated
from tests.support.rows import every_row
from tests.unit.bridge.address_book import DAY, AddressBook, events
from wx2mqtt.bridge.people.evidence import MAX_CANDIDATES, ContactPin
from wx2mqtt.bridge.people.registry import NEWCOMER_RETENTION_MS
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import ChatKind, Handle, PersonId

PROFILE = {"sex": "1", "province": "广东", "city": "广州", "attributes": "102437"}


def two_bobs() -> AddressBook:
    """Returns an address book with two friends whom nothing distinguishes, after a login."""
    address_book = AddressBook()
    address_book.add_friend("bob", "Bob", avatar="")
    address_book.add_friend("bob2", "Bob", avatar="")
    address_book.log_in()
    return address_book


# the first login


def test_the_first_directory_gives_everybody_a_topic_name_and_is_no_event() -> None:
    address_book = AddressBook()
    address_book.add_special("filehelper")
    address_book.add_friend("wife", "Lily", remark="老婆")
    address_book.add_friend("bob", "Bob")
    address_book.add_group("family", "相亲 相爱", "Lily", "Bob")
    changes = address_book.log_in()
    assert {who: address_book.topic_name_of(who) for who in address_book.contacts} == {
        "filehelper": "filehelper",
        "wife": "老婆",
        "bob": "Bob",
        "family": "相亲_相爱",
    }
    assert changes.events == ()
    assert len(changes.people.persons) == 4
    assert {level for level, _ in changes.people.topic_names} == {"filehelper", "老婆", "Bob", "相亲_相爱"}


def test_a_first_directory_in_several_parts_is_no_event() -> None:
    address_book = AddressBook()
    address_book.add_friend("a", "A")
    address_book.add_friend("b", "B")
    address_book.log_in(without=("b",), complete=False)
    assert address_book.refresh().events == ()


def test_a_newcomer_who_wrote_first_has_only_the_profile_that_the_directory_gives() -> None:
    address_book = AddressBook()
    address_book.add_friend("bob", "Bob", avatar="", profile={"city": "广州"})
    address_book.log_in()
    address_book.add_friend("eve", "Bob", avatar="", profile={"sex": "1", "city": "北京"})
    address_book.log_in(without=("bob",), complete=False)
    address_book.receive_message("eve")
    address_book.change("eve", profile={"sex": "2"})
    address_book.refresh()
    assert address_book.person_of_handle(address_book.handle("eve")).profile == {"sex": "2"}
    assert address_book.refresh() == PeopleUpdate()


def test_the_first_directory_is_no_event_also_when_somebody_wrote_before_it() -> None:
    address_book = AddressBook()
    address_book.add_friend("a", "A")
    address_book.add_special("filehelper")
    address_book.log_in(without=("a",), complete=False)
    address_book.receive_message("stranger", name="S")
    address_book.restart()
    assert address_book.refresh().events == ()


def test_without_any_change_nothing_is_to_be_stored() -> None:
    address_book = two_bobs()
    address_book.now = DAY
    assert address_book.refresh() == PeopleUpdate()
    assert address_book.send_update("bob") == PeopleUpdate()
    assert address_book.receive_message("bob") == PeopleUpdate()


NAMES = [
    "",
    "😀",
    "/",
    "+",
    "#",
    "$SYS",
    "长" * 200,
    "\u202eabc",
    "Bob",
    "Bob",
    "Воb",
    "Jose\u0301",
    "José",
    "bob",
]


@pytest.mark.parametrize("naming", ["unicode", "pinyin"])
def test_every_name_gets_a_topic_of_one_level_that_stays(naming: str) -> None:
    address_book = AddressBook(name_style=naming)
    for number, name in enumerate(NAMES):
        address_book.add_friend(str(number), name)
    address_book.log_in()
    first = {who: address_book.topic_name_of(who) for who in address_book.contacts}
    assert len(set(first.values())) == len(NAMES)
    assert all(level and not set(level) & set("/+#$ ") for level in first.values())
    address_book.log_in()
    address_book.restart()
    address_book.log_in()
    assert {who: address_book.topic_name_of(who) for who in address_book.contacts} == first


# topic names


def test_a_renamed_friend_keeps_the_topic() -> None:
    address_book = AddressBook()
    address_book.add_friend("lily", "Lily", profile=PROFILE)
    address_book.log_in()
    address_book.change("lily", nickname="百合")
    changes = address_book.log_in()
    assert address_book.topic_name_of("lily") == "Lily"
    (event,) = changes.events
    assert (event.name, event.user) == ("contact_renamed", "Lily")
    assert event.fields == {"from": "Lily", "to": "百合"}
    assert [entry.name for entry in address_book.registry.directory()] == ["百合"]


def test_a_level_of_an_old_name_is_not_given_to_who_bears_the_name_now() -> None:
    address_book = AddressBook()
    address_book.add_friend("lily", "Lily", profile=PROFILE)
    address_book.log_in()
    address_book.change("lily", nickname="百合")
    address_book.send_update("lily")
    address_book.add_friend("eve", "Lily")
    address_book.send_update("eve")
    assert address_book.topic_name_of("eve") == "Lily-2"
    assert address_book.recipient_of("Lily") == "lily"


def test_levels_are_looked_up_composed_and_with_case() -> None:
    address_book = AddressBook()
    address_book.add_friend("j", "José")
    address_book.log_in()
    assert address_book.recipient_of(unicodedata.normalize("NFD", "José")) == "j"
    assert address_book.recipient_of("josé") is None


# special accounts


def test_the_file_helper_is_its_own_whatever_others_call_themselves() -> None:
    address_book = AddressBook(
        {"filehelper": ContactPin(nickname="filehelper"), "note": ContactPin(nickname="filehelper")}
    )
    address_book.add_friend("eve", "filehelper")
    address_book.log_in()
    address_book.add_special("filehelper")
    address_book.send_update("filehelper")
    assert address_book.topic_name_of("filehelper") == "filehelper"
    assert address_book.topic_name_of("eve") == "note"
    address_book.log_in()
    assert address_book.is_trusted("filehelper")
    assert not address_book.is_trusted("eve")


def test_a_friend_called_filehelper_gets_another_level() -> None:
    address_book = AddressBook()
    address_book.add_friend("eve", "filehelper", remark="filehelper")
    address_book.log_in()
    assert address_book.topic_name_of("eve") == "filehelper-2"
    address_book.receive_message("filehelper", ChatKind.SELF)
    assert address_book.person_of_handle(Handle("@filehelper-1")).topic_name == "self"


def test_the_file_helper_can_be_met_before_any_list_names_it() -> None:
    address_book = AddressBook()
    address_book.store(address_book.registry.add_unlisted(Handle("filehelper"), ChatKind.SELF, "", 0))
    assert address_book.person_of_topic("filehelper").permanent_id == "filehelper"
    address_book.add_special("filehelper")
    address_book.log_in()
    assert len(address_book.registry.directory()) == 1


# decisions of the owner


@pytest.mark.parametrize("decide", ["assign", "merge"])
def test_who_was_removed_and_came_back_as_somebody_else_gets_the_old_topic_at_once(decide: str) -> None:
    address_book = AddressBook()
    address_book.add_friend("bob", "Bob")
    address_book.add_friend("ann", "Ann")
    address_book.log_in()
    address_book.remove_contact("bob")
    address_book.add_friend("bob2", "Robert")
    address_book.send_update("bob2")
    with pytest.raises(BadCommand):
        getattr(address_book.registry, decide)("Ann", "Robert", 1)
    changes = address_book.store(getattr(address_book.registry, decide)("Bob", "Robert", 1))
    assert events(changes) == [("contact_added", "Bob"), ("topic_changed", "Bob")]
    address_book.restart()
    assert address_book.topic_name_of("bob2") == "Bob"
    assert address_book.recipient_of("Bob") == address_book.recipient_of("Robert") == "bob2"
    assert not address_book.person_of_topic("Bob").removed


def test_the_owner_decides_and_both_names_lead_to_the_person() -> None:
    address_book = two_bobs()
    address_book.log_in()
    newcomer = str(address_book.topic_name_of("bob"))
    changes = address_book.store(address_book.registry.assign("Bob", newcomer, 1))
    assert events(changes) == [("topic_changed", "Bob")]
    assert changes.events[0].fields == {"from": newcomer, "to": "Bob"}
    assert len(changes.people.removed) == 1
    address_book.restart()
    assert address_book.topic_name_of("bob") == "Bob"
    assert address_book.recipient_of("Bob") == address_book.recipient_of(newcomer) == "bob"
    assert [e.matched_by for e in address_book.registry.directory() if e.user == "Bob"] == ["owner_decided"]


@every_row(
    ("closed", "newcomer", "code"),
    [
        ("nobody", "Bob-3", "unknown_user"),
        ("Bob", "nobody", "unknown_user"),
        ("Bob-3", "Bob-4", "bad_request"),
        ("Bob", "Bob-2", "bad_request"),
        ("Bob", "Bob", "bad_request"),
        ("Bob", "群", "bad_request"),
        ("Bob", "filehelper", "bad_request"),
    ],
)
def test_a_decision_that_cannot_be_is_refused(closed: str, newcomer: str, code: str) -> None:
    address_book = two_bobs()
    address_book.add_group("g", "群")
    address_book.add_special("filehelper")
    address_book.log_in()
    before = address_book.registry.directory()
    with pytest.raises(BadCommand) as refused:
        address_book.registry.assign(closed, newcomer, 1)
    assert refused.value.code == code
    assert address_book.registry.directory() == before


def test_two_who_left_can_be_merged() -> None:
    address_book = AddressBook()
    for who in ("ann", "ann2", "bob"):
        address_book.add_friend(who, who)
    address_book.log_in()
    address_book.remove_contact("ann2")
    address_book.log_in(without=("ann",))
    changes = address_book.store(address_book.registry.merge("ann", "ann2", 1))
    assert dict(changes.people.topic_names) == {"ann2": address_book.person_of_topic("ann").id}
    assert address_book.person_of_topic("ann2").topic_name == "ann"


def test_a_friend_who_changed_name_and_picture_can_be_given_the_topic_back() -> None:
    address_book = AddressBook()
    address_book.add_friend("ann", "Ann")
    address_book.log_in()
    address_book.change("ann", nickname="安")
    address_book.change_picture("ann")
    assert events(address_book.log_in()) == [("contact_added", "安"), ("contact_removed", "Ann")]
    address_book.store(address_book.registry.assign("Ann", "安", 1))
    assert address_book.topic_name_of("ann") == "Ann"
    assert address_book.recipient_of("安") == "ann"


# forgetting


def test_newcomers_of_earlier_logins_that_never_wrote_are_forgotten() -> None:
    address_book = two_bobs()
    address_book.log_in()
    address_book.store(address_book.registry.mark_wrote(address_book.person_of_topic("Bob-3")))
    address_book.now = DAY
    address_book.log_in()
    assert address_book.store(address_book.registry.remove_stale(NEWCOMER_RETENTION_MS - 1)) == PeopleUpdate()
    changes = address_book.store(address_book.registry.remove_stale(NEWCOMER_RETENTION_MS))
    assert len(changes.people.removed) == 1
    assert {entry.user for entry in address_book.registry.directory()} == {
        "Bob",
        "Bob-2",
        "Bob-3",
        "Bob-5",
        "Bob-6",
    }
    assert address_book.registry.by_topic_name("Bob-4") is None
    address_book.restart()
    assert address_book.registry.by_topic_name("Bob-4") is None


def test_whoever_is_known_from_a_directory_without_doubt_is_never_forgotten() -> None:
    address_book = AddressBook()
    address_book.add_friend("ann", "Ann")
    address_book.add_friend("bob", "Bob")
    address_book.log_in()
    address_book.log_in(without=("ann",))
    assert address_book.registry.remove_stale(10 * NEWCOMER_RETENTION_MS) == PeopleUpdate()


def test_numbers_of_the_forgotten_are_not_given_again() -> None:
    address_book = AddressBook(next_id=7)
    address_book.add_friend("ann", "Ann")
    address_book.log_in()
    assert address_book.person_of_topic("Ann").id == 7


# other promises


def test_that_somebody_wrote_is_a_change_once() -> None:
    address_book = two_bobs()
    person = address_book.person_of_topic("Bob")
    assert address_book.registry.mark_wrote(person).people.persons[0].wrote
    assert address_book.registry.mark_wrote(person) == PeopleUpdate()


def test_that_somebody_wrote_who_is_another_now_is_no_fault() -> None:
    address_book = two_bobs()
    address_book.log_in()
    newcomer = address_book.person_of_topic("Bob-3")
    address_book.registry.assign("Bob", "Bob-3", 1)
    assert address_book.registry.mark_wrote(newcomer).people.persons[0].topic_name == "Bob"
    address_book.registry.assign("Bob-2", "Bob-4", 1)
    assert address_book.registry.get(PersonId(99)) is None


def test_the_directory_says_how_each_was_found() -> None:
    address_book = AddressBook()
    address_book.add_special("filehelper")
    address_book.add_friend("a", "A", alias="a1")
    address_book.add_friend("b", "B", remark="bb")
    address_book.add_friend("c", "C")
    address_book.add_friend("d", "D", profile=PROFILE)
    address_book.add_friend("e", "E", avatar="", profile={**PROFILE, "city": "x"})
    address_book.add_group("g", "G", "p", "q")
    address_book.add_group("h", "H", "r", "s", "t", "u")
    address_book.add_group("i", "I", avatar="5")
    address_book.log_in()
    address_book.change("d", nickname="D2")
    address_book.change("h", nickname="H2")
    address_book.log_in()
    assert {entry.user: entry.matched_by for entry in address_book.registry.directory()} == {
        "filehelper": "id",
        "A": "alias",
        "bb": "remark",
        "C": "avatar_and_nickname",
        "D": "avatar_and_profile",
        "E": "nickname_and_profile",
        "G": "name_and_members",
        "H": "members",
        "I": "name_and_avatar",
    }
    assert [entry.user for entry in address_book.registry.directory()][:2] == ["A", "C"]


def test_a_part_of_the_directory_has_those_who_have_the_levels_now() -> None:
    address_book = two_bobs()
    assert [entry.user for entry in address_book.registry.directory(["Bob-2", "nobody"])] == ["Bob-2"]
    assert len(address_book.registry.directory()) == address_book.registry.count == 2


def test_a_name_of_nothing_but_marks_costs_no_more_than_in_proportion() -> None:
    def add_people(size: int) -> None:
        address_book = AddressBook()
        marks = repeated("\u0301\u0327", size)
        address_book.add_friend("eve", marks)
        address_book.log_in()
        assert address_book.registry.by_topic_name(f"x{marks}") is None
        assert address_book.registry.topic_name_or(None, f"y{marks}") == f"y{marks}"

    assert is_in_proportion(add_people, 20_000)


def test_thousands_of_groups_with_the_same_members_cost_little_at_a_login() -> None:
    address_book = AddressBook()
    address_book.add_friend("bob", "Bob")
    for number in range(1500):
        address_book.add_group(f"g{number}", "", "a", "b", "c", "d")
    address_book.log_in()
    assert cpu_seconds(address_book.log_in) < 0.8


def test_friends_of_one_name_are_candidates_only_so_far_as_they_help_to_decide() -> None:
    address_book = AddressBook()
    for number in range(3 * MAX_CANDIDATES):
        address_book.add_friend(f"bob{number}", "Bob", avatar="")
    address_book.log_in()
    reported = address_book.log_in().events
    unresolved = [event for event in reported if event.name == "unresolved"]
    assert len(unresolved) == MAX_CANDIDATES
    assert {len(cast("list[str]", event.fields["candidates"])) for event in unresolved} == {MAX_CANDIDATES}
    levels = [address_book.topic_name_of(who) for who in address_book.contacts]
    assert len(set(levels)) == len(levels)  # nobody got the level of another one


def test_a_pin_that_fits_more_and_more_people_is_reported_no_more_after_a_while() -> None:
    address_book = AddressBook({"bob": ContactPin(nickname="Bob")})
    address_book.add_friend("bob0", "Bob")
    address_book.add_friend("bob1", "Bob")
    address_book.log_in()
    reports = 0
    for number in range(2, MAX_CANDIDATES + 20):
        address_book.add_friend(f"bob{number}", "Bob")
        reported = address_book.send_update(f"bob{number}").events
        reports += sum(event.name == "unresolved" for event in reported)
    assert reports == MAX_CANDIDATES - 2


def test_names_that_are_equal_where_they_are_cut_cost_no_more_than_in_proportion() -> None:
    def add_people(count: int) -> None:
        address_book = AddressBook()
        for number in range(count):
            address_book.add_friend(f"friend{number}", f"{'x' * 60}{number // 2:05}")
        address_book.log_in()
        levels = [address_book.topic_name_of(who) or "" for who in address_book.contacts]
        assert len(set(levels)) == count
        assert all(len(level) <= 64 for level in levels)

    assert is_in_proportion(add_people, 1600)

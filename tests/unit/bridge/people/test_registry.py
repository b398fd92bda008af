"""A topic level stands for the same person over logins, renames, restarts and decisions of the owner."""

from __future__ import annotations

import unicodedata
from typing import cast

import pytest

from tests.support.cost import cpu_seconds, is_in_proportion, repeated
from tests.support.rows import every_row
from tests.unit.bridge.address_book import DAY, AddressBook, events
from wx2mqtt.bridge.people import matching
from wx2mqtt.bridge.people.evidence import MAX_CANDIDATES, ContactPin
from wx2mqtt.bridge.people.matching import MatchQuery, MatchResult
from wx2mqtt.bridge.people.registry import NEWCOMER_RETENTION_MS
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import ChatKind, Contact, Handle, PersonId

HOME = {"sex": "1", "province": "广东", "city": "广州", "attributes": "102437"}


def two_bobs() -> AddressBook:
    """Two whom nothing tells apart."""
    address_book = AddressBook()
    address_book.friend("bob", "Bob", avatar="")
    address_book.friend("bob2", "Bob", avatar="")
    address_book.log_in()
    return address_book


# the first login


def test_the_first_directory_names_everybody_and_tells_nothing() -> None:
    address_book = AddressBook()
    address_book.special("filehelper")
    address_book.friend("wife", "Lily", remark="老婆")
    address_book.friend("bob", "Bob")
    address_book.group("family", "相亲 相爱", "Lily", "Bob")
    changes = address_book.log_in()
    assert {who: address_book.level(who) for who in address_book.book} == {
        "filehelper": "filehelper",
        "wife": "老婆",
        "bob": "Bob",
        "family": "相亲_相爱",
    }
    assert changes.events == ()
    assert len(changes.people.persons) == 4
    assert {level for level, _ in changes.people.topic_names} == {"filehelper", "老婆", "Bob", "相亲_相爱"}


def test_a_first_directory_that_came_in_parts_tells_nothing_either() -> None:
    address_book = AddressBook()
    address_book.friend("a", "A")
    address_book.friend("b", "B")
    address_book.log_in(without=("b",), complete=False)
    assert address_book.refresh().events == ()


def test_a_newcomer_who_wrote_first_has_only_the_profile_that_the_directory_gives() -> None:
    address_book = AddressBook()
    address_book.friend("bob", "Bob", avatar="", profile={"city": "广州"})
    address_book.log_in()
    address_book.friend("eve", "Bob", avatar="", profile={"sex": "1", "city": "北京"})
    address_book.log_in(without=("bob",), complete=False)
    address_book.writes("eve")
    address_book.change("eve", profile={"sex": "2"})
    address_book.refresh()
    assert address_book.whose(address_book.handle("eve")).profile == {"sex": "2"}
    assert address_book.refresh() == PeopleUpdate()


def test_who_wrote_before_the_first_directory_does_not_make_it_news() -> None:
    address_book = AddressBook()
    address_book.friend("a", "A")
    address_book.special("filehelper")
    address_book.log_in(without=("a",), complete=False)
    address_book.writes("stranger", name="S")
    address_book.restart()
    assert address_book.refresh().events == ()


def test_without_any_change_nothing_is_to_be_stored() -> None:
    address_book = two_bobs()
    address_book.now = DAY
    assert address_book.refresh() == PeopleUpdate()
    assert address_book.tell("bob") == PeopleUpdate()
    assert address_book.writes("bob") == PeopleUpdate()


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
        address_book.friend(str(number), name)
    address_book.log_in()
    first = {who: address_book.level(who) for who in address_book.book}
    assert len(set(first.values())) == len(NAMES)
    assert all(level and not set(level) & set("/+#$ ") for level in first.values())
    address_book.log_in()
    address_book.restart()
    address_book.log_in()
    assert {who: address_book.level(who) for who in address_book.book} == first


# known again


def test_handles_of_an_earlier_login_mean_nobody() -> None:
    address_book = two_bobs()
    old = address_book.handle("bob")
    address_book.log_in()
    assert address_book.identity.by_handle(old) is None


def test_a_restart_in_the_same_login_knows_everybody_at_once() -> None:
    address_book = two_bobs()
    address_book.restart()
    assert address_book.identity.is_current_login("login-1")
    assert not address_book.identity.is_current_login("login-2")
    assert address_book.level("bob") == "Bob"
    assert address_book.refresh() == PeopleUpdate()


def test_a_renamed_friend_keeps_the_topic() -> None:
    address_book = AddressBook()
    address_book.friend("lily", "Lily", profile=HOME)
    address_book.log_in()
    address_book.change("lily", nickname="百合")
    changes = address_book.log_in()
    assert address_book.level("lily") == "Lily"
    (event,) = changes.events
    assert (event.name, event.user) == ("contact_renamed", "Lily")
    assert event.fields == {"from": "Lily", "to": "百合"}
    assert [entry.name for entry in address_book.identity.directory()] == ["百合"]


def test_a_level_of_an_old_name_is_not_given_to_who_bears_the_name_now() -> None:
    address_book = AddressBook()
    address_book.friend("lily", "Lily", profile=HOME)
    address_book.log_in()
    address_book.change("lily", nickname="百合")
    address_book.tell("lily")
    address_book.friend("eve", "Lily")
    address_book.tell("eve")
    assert address_book.level("eve") == "Lily-2"
    assert address_book.reaches("Lily") == "lily"


def test_levels_are_looked_up_composed_and_with_case() -> None:
    address_book = AddressBook()
    address_book.friend("j", "José")
    address_book.log_in()
    assert address_book.reaches(unicodedata.normalize("NFD", "José")) == "j"
    assert address_book.reaches("josé") is None


def test_pages_of_a_directory_and_a_batch_never_empty_what_was_known() -> None:
    address_book = AddressBook()
    address_book.friend("lily", "Lily", remark="老婆", alias="id1", profile=HOME)
    address_book.log_in()
    address_book.book["lily"] = Contact(handle=Handle(""), kind=ChatKind.FRIEND, profile={"city": "深圳"})
    address_book.tell("lily")
    person = address_book.person("老婆")
    assert (person.nickname, person.remark, person.alias) == ("Lily", "老婆", "id1")
    assert person.profile == {**HOME, "city": "深圳"}


def test_only_a_directory_says_that_a_remark_is_no_more() -> None:
    address_book = AddressBook()
    address_book.friend("lily", "Lily", remark="老婆")
    address_book.log_in()
    address_book.change("lily", remark="")
    address_book.tell("lily")
    assert address_book.person("老婆").remark == "老婆"
    address_book.refresh()
    assert address_book.person("老婆").remark == ""


def test_a_contact_that_comes_twice_in_a_directory_keeps_what_either_says() -> None:
    """(webwx 2.6.3): the first answer has hollow groups, and may come after the full ones."""
    address_book = AddressBook()
    address_book.group("g", "家", "a", "b", "c", remark="家人")
    address_book.login = 1
    full, hollow = address_book.contact("g"), Contact(handle=address_book.handle("g"), kind=ChatKind.GROUP)
    for contacts in ([full, hollow], [hollow, full]):
        address_book.keep(
            address_book.identity.apply_directory(contacts, "login-1", address_book.owner, 0, complete=True)
        )
        (person,) = address_book.persons.values()
        assert (person.remark, person.nickname, len(person.members)) == ("家人", "家", 12)


# special accounts


def test_the_file_helper_is_its_own_whatever_others_call_themselves() -> None:
    address_book = AddressBook(
        {"filehelper": ContactPin(nickname="filehelper"), "note": ContactPin(nickname="filehelper")}
    )
    address_book.friend("eve", "filehelper")
    address_book.log_in()
    address_book.special("filehelper")
    address_book.tell("filehelper")
    assert address_book.level("filehelper") == "filehelper"
    assert address_book.level("eve") == "note"
    address_book.log_in()
    assert address_book.trusted("filehelper")
    assert not address_book.trusted("eve")


def test_a_friend_called_filehelper_gets_another_level() -> None:
    address_book = AddressBook()
    address_book.friend("eve", "filehelper", remark="filehelper")
    address_book.log_in()
    assert address_book.level("eve") == "filehelper-2"
    address_book.writes("filehelper", ChatKind.SELF)
    assert address_book.whose(Handle("@filehelper-1")).topic_name == "self"


def test_the_file_helper_can_be_met_before_any_list_names_it() -> None:
    address_book = AddressBook()
    address_book.keep(address_book.identity.add_unlisted(Handle("filehelper"), ChatKind.SELF, "", 0))
    assert address_book.person("filehelper").permanent_id == "filehelper"
    address_book.special("filehelper")
    address_book.log_in()
    assert len(address_book.identity.directory()) == 1


def test_ids_that_never_change_are_known_in_every_login_before_any_list() -> None:
    address_book = AddressBook({"me": ContactPin(ilink="o9@im.wechat")})
    address_book.special("o9@im.wechat", ChatKind.FRIEND)
    address_book.tell("o9@im.wechat")
    address_book.log_in(without=("o9@im.wechat",), complete=True)
    assert address_book.level("o9@im.wechat") == "me"
    assert address_book.trusted("o9@im.wechat")
    assert address_book.identity.is_current_login("login-1")
    assert not address_book.person("me").removed


def test_a_permanent_id_is_known_under_another_handle() -> None:
    address_book = AddressBook()
    address_book.keep(
        address_book.identity.add_unlisted(Handle("h1"), ChatKind.FRIEND, "Zoe", 0, permanent_id="z")
    )
    address_book.log_in(complete=False)
    assert address_book.person("Zoe").handle is None
    address_book.keep(
        address_book.identity.add_unlisted(Handle("h2"), ChatKind.FRIEND, "", 0, permanent_id="z")
    )
    assert address_book.whose(Handle("h2")).topic_name == "Zoe"


def test_the_accounts_own_entry_is_one_person_for_ever() -> None:
    address_book = AddressBook({"me": ContactPin(owner=True)})
    for _ in range(3):
        address_book.login += 1
        own = Contact(handle=address_book.owner.handle, kind=ChatKind.FRIEND, nickname="Me")
        address_book.keep(
            address_book.identity.apply_directory(
                [own], f"login-{address_book.login}", address_book.owner, 0, complete=True
            )
        )
    (entry,) = address_book.identity.directory()
    assert (entry.user, entry.trusted, entry.matched_by) == ("me", True, "pin")


# who comes and goes


def test_who_is_new_after_the_first_directory_is_told() -> None:
    address_book = two_bobs()
    address_book.friend("ann", "Ann")
    (event,) = address_book.tell("ann").events
    assert (event.name, event.user, event.fields) == (
        "contact_added",
        "Ann",
        {"kind": "friend", "name": "Ann"},
    )


def test_a_removed_friend_stays_in_the_directory_and_gets_nothing() -> None:
    address_book = two_bobs()
    address_book.friend("ann", "Ann")
    address_book.tell("ann")
    assert events(address_book.drop("ann")) == [("contact_removed", "Ann")]
    assert [entry.removed for entry in address_book.identity.directory() if entry.user == "Ann"] == [True]
    assert address_book.reaches("Ann") is None


def test_who_is_missing_from_a_whole_directory_is_gone_and_may_come_back() -> None:
    address_book = AddressBook()
    address_book.friend("ann", "Ann")
    address_book.friend("bob", "Bob")
    address_book.log_in()
    assert events(address_book.log_in(without=("ann",))) == [("contact_removed", "Ann")]
    assert events(address_book.log_in(without=("ann",))) == []
    assert events(address_book.log_in()) == [("contact_added", "Ann")]
    assert address_book.level("ann") == "Ann"


def test_who_is_missing_from_a_refresh_is_gone_too() -> None:
    address_book = AddressBook()
    address_book.friend("ann", "Ann")
    address_book.friend("bob", "Bob")
    address_book.log_in()
    assert events(address_book.refresh(without=("ann",))) == [("contact_removed", "Ann")]
    assert events(address_book.refresh()) == [("contact_added", "Ann")]


def test_who_is_missing_from_part_of_a_directory_is_not_gone() -> None:
    address_book = AddressBook()
    address_book.friend("ann", "Ann")
    address_book.friend("bob", "Bob")
    address_book.log_in()
    address_book.log_in(without=("ann",), complete=False)
    person = address_book.person("Ann")
    assert (person.handle, person.removed, person.closed) == (None, False, False)
    address_book.refresh()
    assert address_book.reaches("Ann") == "ann"


def test_an_empty_directory_is_one_that_is_not_filled_yet() -> None:
    """(webwx 4.5.5)"""
    address_book = two_bobs()
    address_book.log_in(without=("bob", "bob2"))
    assert not any(entry.removed for entry in address_book.identity.directory())
    address_book.log_in()
    assert address_book.refresh(without=("bob", "bob2")).events == ()


def test_when_the_last_friend_is_gone_an_empty_directory_is_believed() -> None:
    address_book = AddressBook()
    address_book.friend("ann", "Ann")
    address_book.log_in()
    address_book.drop("ann")
    address_book.friend("bob", "Bob")
    address_book.log_in(without=("bob",))
    assert address_book.person("Ann").removed


def test_a_group_that_nobody_saved_is_silent_and_not_gone() -> None:
    """(webwx 4.5.2)"""
    address_book = AddressBook()
    address_book.friend("ann", "Ann")
    address_book.group("g", "群", "Ann", "Tom", "Eva")
    address_book.log_in()
    assert address_book.log_in(without=("g",)).events == ()
    assert not address_book.person("群").removed
    assert events(address_book.tell("g")) == []
    assert address_book.reaches("群") == "g"


def test_a_group_that_writes_before_it_is_known_is_joined_with_what_it_was() -> None:
    address_book = AddressBook()
    address_book.friend("ann", "Ann")
    address_book.group("g", "群", "Ann", "Tom", "Eva")
    address_book.log_in()
    old = address_book.person("群").id
    address_book.log_in(without=("g",))
    address_book.writes("g", ChatKind.GROUP)
    assert address_book.level("g") == "group"
    placed = address_book.person("group").id
    address_book.keep(address_book.identity.mark_wrote(address_book.person("group")))
    assert events(address_book.tell("g")) == [("topic_changed", "群")]
    assert address_book.reaches("group") == address_book.reaches("群") == "g"
    assert address_book.identity.get(placed) == address_book.person("群")
    assert address_book.person("群").id == old
    assert address_book.person("群").wrote
    address_book.restart()
    assert address_book.reaches("group") == "g"


def test_a_stranger_who_writes_gets_a_topic_and_no_event() -> None:
    address_book = two_bobs()
    assert address_book.writes("stranger", name="Zoe").events == ()
    assert address_book.level("stranger") == "Zoe"
    address_book.refresh()
    assert not address_book.person("Zoe").removed
    address_book.friend("stranger", "Zoe", remark="Z")
    assert address_book.tell("stranger").events == ()
    assert address_book.person("Zoe").remark == "Z"
    assert address_book.level("stranger") == "Zoe"


def test_who_writes_before_the_directory_is_whole_is_found_in_it() -> None:
    address_book = AddressBook()
    address_book.friend("ann", "Ann", avatar="", profile=HOME)
    address_book.log_in()
    address_book.log_in(complete=False)
    assert address_book.level("ann") is None
    address_book.writes("ann")
    assert address_book.level("ann") == "Ann-2"
    address_book.refresh()
    assert address_book.level("ann") == "Ann"
    assert address_book.reaches("Ann-2") == "ann"
    assert address_book.identity.closed_count == 0


def test_who_may_be_somebody_waits_for_the_whole_directory() -> None:
    address_book = AddressBook()
    address_book.friend("ann", "Ann", avatar="", profile=HOME)
    address_book.log_in()
    address_book.log_in(complete=False, without=("ann",))
    address_book.tell("ann")
    assert len(address_book.identity.directory()) == 1
    address_book.refresh()
    assert address_book.reaches("Ann") == "ann"


def test_who_waits_and_writes_is_asked_about_again() -> None:
    """Her namesake was deleted meanwhile, and now the picture tells."""
    address_book = AddressBook()
    address_book.friend("ann", "Ann", avatar="7")
    address_book.log_in()
    address_book.friend("ann2", "Ann", avatar="7")
    address_book.log_in(complete=False)
    assert address_book.level("ann") is None
    address_book.drop("ann2")
    address_book.writes("ann")
    assert address_book.level("ann") == "Ann"
    assert address_book.reaches("Ann") == "ann"


def test_who_waits_and_is_removed_is_forgotten() -> None:
    address_book = AddressBook()
    address_book.friend("ann", "Ann", avatar="", profile=HOME)
    address_book.log_in()
    address_book.log_in(complete=False)
    address_book.drop("ann")
    assert address_book.writes("ann").people.persons[0].nickname == ""


def test_strong_evidence_is_enough_before_the_directory_is_whole() -> None:
    address_book = AddressBook()
    address_book.friend("ann", "Ann")
    address_book.log_in()
    address_book.log_in(complete=False)
    assert address_book.reaches("Ann") == "ann"


def test_a_placed_person_can_be_held_back_and_keeps_the_facts() -> None:
    address_book = AddressBook()
    address_book.friend("ann", "Ann", avatar="", profile=HOME)
    address_book.log_in()
    address_book.log_in(complete=False, without=("ann",))
    address_book.writes("ann")
    address_book.tell("ann")
    assert address_book.level("ann") == "friend"
    address_book.refresh()
    assert address_book.level("ann") == "Ann"


# where two fit


def test_where_two_fit_both_are_new_and_the_old_ones_closed() -> None:
    address_book = two_bobs()
    changes = address_book.log_in()
    assert {address_book.level("bob"), address_book.level("bob2")} == {"Bob-3", "Bob-4"}
    assert address_book.reaches("Bob") is address_book.reaches("Bob-2") is None
    assert address_book.identity.closed_count == 2
    told = {event.user: event.fields for event in changes.events}
    assert told == {
        "Bob": {"reason": "not_certain", "candidates": ["Bob-3", "Bob-4"]},
        "Bob-2": {"reason": "not_certain", "candidates": ["Bob-3", "Bob-4"]},
    }
    entries = {entry.user: entry for entry in address_book.identity.directory()}
    assert entries["Bob"].closed
    assert entries["Bob-3"].matched_by == "unsure"


def test_a_closed_person_stays_closed_over_restart_and_refresh() -> None:
    address_book = two_bobs()
    address_book.log_in()
    address_book.restart()
    assert address_book.refresh() == PeopleUpdate()
    assert address_book.identity.closed_count == 2


@pytest.mark.parametrize("decide", ["assign", "merge"])
def test_who_was_removed_and_came_back_as_somebody_else_gets_the_old_topic_at_once(decide: str) -> None:
    address_book = AddressBook()
    address_book.friend("bob", "Bob")
    address_book.friend("ann", "Ann")
    address_book.log_in()
    address_book.drop("bob")
    address_book.friend("bob2", "Robert")
    address_book.tell("bob2")
    with pytest.raises(BadCommand):
        getattr(address_book.identity, decide)("Ann", "Robert", 1)
    changes = address_book.keep(getattr(address_book.identity, decide)("Bob", "Robert", 1))
    assert events(changes) == [("contact_added", "Bob"), ("topic_changed", "Bob")]
    address_book.restart()
    assert address_book.level("bob2") == "Bob"
    assert address_book.reaches("Bob") == address_book.reaches("Robert") == "bob2"
    assert not address_book.person("Bob").removed


def test_the_owner_decides_and_both_names_lead_to_the_person() -> None:
    address_book = two_bobs()
    address_book.log_in()
    newcomer = str(address_book.level("bob"))
    changes = address_book.keep(address_book.identity.assign("Bob", newcomer, 1))
    assert events(changes) == [("topic_changed", "Bob")]
    assert changes.events[0].fields == {"from": newcomer, "to": "Bob"}
    assert len(changes.people.removed) == 1
    address_book.restart()
    assert address_book.level("bob") == "Bob"
    assert address_book.reaches("Bob") == address_book.reaches(newcomer) == "bob"
    assert [e.matched_by for e in address_book.identity.directory() if e.user == "Bob"] == ["owner_decided"]


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
    address_book.group("g", "群")
    address_book.special("filehelper")
    address_book.log_in()
    before = address_book.identity.directory()
    with pytest.raises(BadCommand) as refused:
        address_book.identity.assign(closed, newcomer, 1)
    assert refused.value.code == code
    assert address_book.identity.directory() == before


def test_two_who_left_can_be_merged() -> None:
    address_book = AddressBook()
    for who in ("ann", "ann2", "bob"):
        address_book.friend(who, who)
    address_book.log_in()
    address_book.drop("ann2")
    address_book.log_in(without=("ann",))
    changes = address_book.keep(address_book.identity.merge("ann", "ann2", 1))
    assert dict(changes.people.topic_names) == {"ann2": address_book.person("ann").id}
    assert address_book.person("ann2").topic_name == "ann"


def test_a_closed_person_who_is_recognized_at_the_next_login_is_open_again() -> None:
    address_book = AddressBook()
    address_book.friend("ann", "Ann", alias="ann1")
    address_book.log_in()
    address_book.change("ann", alias="")
    address_book.new_picture("ann")
    address_book.log_in()
    assert address_book.identity.closed_count == 1
    address_book.change("ann", alias="ann1")
    address_book.log_in()
    assert address_book.reaches("Ann") == "ann"
    assert address_book.identity.closed_count == 0


def test_a_friend_who_changed_name_and_picture_can_be_given_the_topic_back() -> None:
    address_book = AddressBook()
    address_book.friend("ann", "Ann")
    address_book.log_in()
    address_book.change("ann", nickname="安")
    address_book.new_picture("ann")
    assert events(address_book.log_in()) == [("contact_added", "安"), ("contact_removed", "Ann")]
    address_book.keep(address_book.identity.assign("Ann", "安", 1))
    assert address_book.level("ann") == "Ann"
    assert address_book.reaches("安") == "ann"


# forgetting


def test_newcomers_of_earlier_logins_that_never_wrote_are_forgotten() -> None:
    address_book = two_bobs()
    address_book.log_in()
    address_book.keep(address_book.identity.mark_wrote(address_book.person("Bob-3")))
    address_book.now = DAY
    address_book.log_in()
    assert address_book.keep(address_book.identity.remove_stale(NEWCOMER_RETENTION_MS - 1)) == PeopleUpdate()
    changes = address_book.keep(address_book.identity.remove_stale(NEWCOMER_RETENTION_MS))
    assert len(changes.people.removed) == 1
    assert {entry.user for entry in address_book.identity.directory()} == {
        "Bob",
        "Bob-2",
        "Bob-3",
        "Bob-5",
        "Bob-6",
    }
    assert address_book.identity.by_topic_name("Bob-4") is None
    address_book.restart()
    assert address_book.identity.by_topic_name("Bob-4") is None


def test_whoever_is_known_from_a_directory_without_doubt_is_never_forgotten() -> None:
    address_book = AddressBook()
    address_book.friend("ann", "Ann")
    address_book.friend("bob", "Bob")
    address_book.log_in()
    address_book.log_in(without=("ann",))
    assert address_book.identity.remove_stale(10 * NEWCOMER_RETENTION_MS) == PeopleUpdate()


def test_numbers_of_the_forgotten_are_not_given_again() -> None:
    address_book = AddressBook(next_id=7)
    address_book.friend("ann", "Ann")
    address_book.log_in()
    assert address_book.person("Ann").id == 7


# small things


def test_that_somebody_wrote_is_told_once() -> None:
    address_book = two_bobs()
    person = address_book.person("Bob")
    assert address_book.identity.mark_wrote(person).people.persons[0].wrote
    assert address_book.identity.mark_wrote(person) == PeopleUpdate()


def test_that_somebody_wrote_who_is_another_now_is_no_fault() -> None:
    address_book = two_bobs()
    address_book.log_in()
    newcomer = address_book.person("Bob-3")
    address_book.identity.assign("Bob", "Bob-3", 1)
    assert address_book.identity.mark_wrote(newcomer).people.persons[0].topic_name == "Bob"
    address_book.identity.assign("Bob-2", "Bob-4", 1)
    assert address_book.identity.get(PersonId(99)) is None


def test_the_directory_says_how_each_was_found() -> None:
    address_book = AddressBook()
    address_book.special("filehelper")
    address_book.friend("a", "A", alias="a1")
    address_book.friend("b", "B", remark="bb")
    address_book.friend("c", "C")
    address_book.friend("d", "D", profile=HOME)
    address_book.friend("e", "E", avatar="", profile={**HOME, "city": "x"})
    address_book.group("g", "G", "p", "q")
    address_book.group("h", "H", "r", "s", "t", "u")
    address_book.group("i", "I", avatar="5")
    address_book.log_in()
    address_book.change("d", nickname="D2")
    address_book.change("h", nickname="H2")
    address_book.log_in()
    assert {entry.user: entry.matched_by for entry in address_book.identity.directory()} == {
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
    assert [entry.user for entry in address_book.identity.directory()][:2] == ["A", "C"]


def test_a_part_of_the_directory_has_those_who_have_the_levels_now() -> None:
    address_book = two_bobs()
    assert [entry.user for entry in address_book.identity.directory(["Bob-2", "nobody"])] == ["Bob-2"]
    assert len(address_book.identity.directory()) == address_book.identity.count == 2


def test_a_name_of_nothing_but_marks_costs_no_more_than_in_proportion() -> None:
    def meet(size: int) -> None:
        address_book = AddressBook()
        marks = repeated("\u0301\u0327", size)
        address_book.friend("eve", marks)
        address_book.log_in()
        assert address_book.identity.by_topic_name(f"x{marks}") is None
        assert address_book.identity.topic_name_or(None, f"y{marks}") == f"y{marks}"

    assert is_in_proportion(meet, 20_000)


def test_thousands_of_groups_with_the_same_members_cost_little_at_a_login() -> None:
    address_book = AddressBook()
    address_book.friend("bob", "Bob")
    for number in range(1500):
        address_book.group(f"g{number}", "", "a", "b", "c", "d")
    address_book.log_in()
    assert cpu_seconds(address_book.log_in) < 0.8


def test_friends_of_one_name_are_candidates_only_so_far_as_they_help_to_decide() -> None:
    address_book = AddressBook()
    for number in range(3 * MAX_CANDIDATES):
        address_book.friend(f"bob{number}", "Bob", avatar="")
    address_book.log_in()
    told = address_book.log_in().events
    unresolved = [event for event in told if event.name == "unresolved"]
    assert len(unresolved) == MAX_CANDIDATES
    assert {len(cast("list[str]", event.fields["candidates"])) for event in unresolved} == {MAX_CANDIDATES}
    levels = [address_book.level(who) for who in address_book.book]
    assert len(set(levels)) == len(levels)  # nobody got the level of another one


def test_a_pin_that_fits_more_and_more_people_is_reported_no_more_after_a_while() -> None:
    address_book = AddressBook({"bob": ContactPin(nickname="Bob")})
    address_book.friend("bob0", "Bob")
    address_book.friend("bob1", "Bob")
    address_book.log_in()
    reports = 0
    for number in range(2, MAX_CANDIDATES + 20):
        address_book.friend(f"bob{number}", "Bob")
        told = address_book.tell(f"bob{number}").events
        reports += sum(event.name == "unresolved" for event in told)
    assert reports == MAX_CANDIDATES - 2


def test_who_writes_and_is_on_no_list_is_not_compared_with_all_people(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address_book = AddressBook()
    address_book.friend("a", "A")
    address_book.friend("b", "B")
    address_book.log_in()
    address_book.log_in(without=("b",))
    comparisons = []

    def compared(query: MatchQuery) -> MatchResult:
        comparisons.append(query)
        return MatchResult()

    monkeypatch.setattr(matching, "match", compared)
    address_book.writes("stranger")
    assert comparisons == []
    address_book.writes("guest", name="G")
    assert len(comparisons) == 1


def test_names_that_are_equal_where_they_are_cut_cost_no_more_than_in_proportion() -> None:
    def meet(count: int) -> None:
        address_book = AddressBook()
        for number in range(count):
            address_book.friend(f"friend{number}", f"{'x' * 60}{number // 2:05}")
        address_book.log_in()
        levels = [address_book.level(who) or "" for who in address_book.book]
        assert len(set(levels)) == count
        assert all(len(level) <= 64 for level in levels)

    assert is_in_proportion(meet, 1600)

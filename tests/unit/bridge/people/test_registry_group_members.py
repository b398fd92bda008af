"""`contact_added` means a new contact; people who are only seen in a group are strangers."""

from __future__ import annotations

import pytest

from tests.unit.bridge.address_book import DAY, AddressBook, events


@pytest.fixture
def address_book() -> AddressBook:
    """A login with its directory read: nobody is new for being there."""
    address_book = AddressBook()
    address_book.friend("wife", "晓梅", remark="老婆", listed=True)
    address_book.log_in()
    return address_book


def test_who_is_met_somewhere_is_no_new_contact(address_book: AddressBook):
    address_book.friend("aunt", "三姨", listed=False)
    assert events(address_book.tell("aunt")) == []
    (entry,) = (one for one in address_book.identity.directory() if one.user == "三姨")
    assert entry.stranger
    assert not entry.removed


def test_who_becomes_a_contact_is_told_whether_met_before_or_not(address_book: AddressBook):
    address_book.friend("bob", "Bob", listed=True)
    assert events(address_book.tell("bob")) == [("contact_added", "Bob")]
    address_book.friend("aunt", "三姨", listed=False)
    address_book.tell("aunt")
    address_book.change("aunt", listed=True)
    assert events(address_book.tell("aunt")) == [("contact_added", "三姨")]
    assert events(address_book.tell("aunt")) == []
    assert not any(one.stranger for one in address_book.identity.directory())


def test_what_does_not_say_whether_somebody_is_a_contact_changes_nothing(address_book: AddressBook):
    address_book.friend("aunt", "三姨", listed=False)
    address_book.tell("aunt")
    address_book.change("aunt", listed=None, nickname="三姨妈")
    assert events(address_book.tell("aunt")) == [("contact_renamed", "三姨")]
    assert [one.stranger for one in address_book.identity.directory() if one.user == "三姨"] == [True]


def test_a_backend_that_never_says_it_tells_of_everybody_new(address_book: AddressBook):
    address_book.friend("carol", "Carol")
    assert events(address_book.tell("carol")) == [("contact_added", "Carol")]


def test_a_stranger_is_missed_by_nobody(address_book: AddressBook):
    address_book.friend("aunt", "三姨", listed=False)
    address_book.tell("aunt")
    aunt = address_book.book.pop("aunt")
    assert events(address_book.log_in()) == []
    address_book.book["aunt"] = aunt
    address_book.tell("aunt")
    address_book.book.pop("aunt")
    assert events(address_book.log_in()) == []


def test_a_friend_who_was_removed_and_is_seen_in_a_group_is_not_back(address_book: AddressBook):
    wife = address_book.handle("wife")
    gone = address_book.identity.apply_update((), (wife,), address_book.now)
    assert events(gone) == [("contact_removed", "老婆")]
    address_book.change("wife", listed=False)
    assert events(address_book.tell("wife")) == []
    assert [one.removed for one in address_book.identity.directory()] == [True]
    address_book.change("wife", listed=True)
    assert events(address_book.tell("wife")) == [("contact_added", "老婆")]
    assert [one.removed for one in address_book.identity.directory()] == [False]


def test_who_wrote_before_any_list_named_them_is_told_once_they_are_a_contact(address_book: AddressBook):
    address_book.friend("bob", "Bob", listed=True)
    address_book.writes("bob")
    assert [name for name, _ in events(address_book.tell("bob"))] == ["contact_added"]
    address_book.friend("carol", "Carol", listed=False)
    address_book.writes("carol")
    assert events(address_book.tell("carol")) == []
    address_book.restart()
    address_book.change("carol", listed=True)
    assert [name for name, _ in events(address_book.tell("carol"))] == ["contact_added"]


def test_strangers_who_never_wrote_are_forgotten_like_newcomers(address_book: AddressBook):
    address_book.friend("aunt", "三姨", listed=False)
    address_book.tell("aunt")
    address_book.book.pop("aunt")
    address_book.log_in()
    address_book.now += 31 * DAY
    address_book.identity.remove_stale(address_book.now)
    assert address_book.identity.by_topic_name("三姨") is None


def test_the_first_directory_makes_nobody_new():
    address_book = AddressBook()
    address_book.friend("wife", "晓梅", listed=True)
    address_book.friend("aunt", "三姨", listed=False)
    assert events(address_book.log_in()) == []
    address_book.change("aunt", listed=True)
    assert events(address_book.tell("aunt")) == [("contact_added", "三姨")]

"""`contact_added` means a new contact; people who are only seen in a group are strangers."""

from __future__ import annotations

import pytest

from tests.unit.bridge.address_book import DAY, AddressBook, events


@pytest.fixture
def address_book() -> AddressBook:
    """An address book after the first login, so that only later contacts count as new."""
    address_book = AddressBook()
    address_book.add_friend("wife", "晓梅", remark="老婆", listed=True)
    address_book.log_in()
    return address_book


def test_who_is_met_somewhere_is_no_new_contact(address_book: AddressBook):
    address_book.add_friend("aunt", "三姨", listed=False)
    assert events(address_book.send_update("aunt")) == []
    (entry,) = (entry for entry in address_book.registry.directory() if entry.user == "三姨")
    assert entry.stranger
    assert not entry.removed


def test_whoever_becomes_a_contact_is_reported_whether_seen_before_or_not(address_book: AddressBook):
    address_book.add_friend("bob", "Bob", listed=True)
    assert events(address_book.send_update("bob")) == [("contact_added", "Bob")]
    address_book.add_friend("aunt", "三姨", listed=False)
    address_book.send_update("aunt")
    address_book.change("aunt", listed=True)
    assert events(address_book.send_update("aunt")) == [("contact_added", "三姨")]
    assert events(address_book.send_update("aunt")) == []
    assert not any(entry.stranger for entry in address_book.registry.directory())


def test_what_does_not_say_whether_somebody_is_a_contact_changes_nothing(address_book: AddressBook):
    address_book.add_friend("aunt", "三姨", listed=False)
    address_book.send_update("aunt")
    address_book.change("aunt", listed=None, nickname="三姨妈")
    assert events(address_book.send_update("aunt")) == [("contact_renamed", "三姨")]
    assert [entry.stranger for entry in address_book.registry.directory() if entry.user == "三姨"] == [True]


def test_a_backend_that_never_says_it_tells_of_everybody_new(address_book: AddressBook):
    address_book.add_friend("carol", "Carol")
    assert events(address_book.send_update("carol")) == [("contact_added", "Carol")]


def test_a_stranger_is_missed_by_nobody(address_book: AddressBook):
    address_book.add_friend("aunt", "三姨", listed=False)
    address_book.send_update("aunt")
    aunt = address_book.contacts.pop("aunt")
    assert events(address_book.log_in()) == []
    address_book.contacts["aunt"] = aunt
    address_book.send_update("aunt")
    address_book.contacts.pop("aunt")
    assert events(address_book.log_in()) == []


def test_a_friend_who_was_removed_and_is_seen_in_a_group_is_not_back(address_book: AddressBook):
    wife = address_book.handle("wife")
    gone = address_book.registry.apply_update((), (wife,), address_book.now)
    assert events(gone) == [("contact_removed", "老婆")]
    address_book.change("wife", listed=False)
    assert events(address_book.send_update("wife")) == []
    assert [entry.removed for entry in address_book.registry.directory()] == [True]
    address_book.change("wife", listed=True)
    assert events(address_book.send_update("wife")) == [("contact_added", "老婆")]
    assert [entry.removed for entry in address_book.registry.directory()] == [False]


def test_whoever_wrote_before_they_were_listed_is_an_event_once_they_are_a_contact(address_book: AddressBook):
    address_book.add_friend("bob", "Bob", listed=True)
    address_book.receive_message("bob")
    assert [name for name, _ in events(address_book.send_update("bob"))] == ["contact_added"]
    address_book.add_friend("carol", "Carol", listed=False)
    address_book.receive_message("carol")
    assert events(address_book.send_update("carol")) == []
    address_book.restart()
    address_book.change("carol", listed=True)
    assert [name for name, _ in events(address_book.send_update("carol"))] == ["contact_added"]


def test_strangers_who_never_wrote_are_forgotten_like_newcomers(address_book: AddressBook):
    address_book.add_friend("aunt", "三姨", listed=False)
    address_book.send_update("aunt")
    address_book.contacts.pop("aunt")
    address_book.log_in()
    address_book.now += 31 * DAY
    address_book.registry.remove_stale(address_book.now)
    assert address_book.registry.by_topic_name("三姨") is None


def test_the_first_directory_makes_nobody_new():
    address_book = AddressBook()
    address_book.add_friend("wife", "晓梅", listed=True)
    address_book.add_friend("aunt", "三姨", listed=False)
    assert events(address_book.log_in()) == []
    address_book.change("aunt", listed=True)
    assert events(address_book.send_update("aunt")) == [("contact_added", "三姨")]

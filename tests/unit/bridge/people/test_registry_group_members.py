"""`contact_added` means a new contact; people who are only seen in a group are strangers."""

from __future__ import annotations

import pytest

from tests.unit.bridge.phone import DAY, Phone, events


@pytest.fixture
def phone() -> Phone:
    """A login with its directory read: nobody is new for being there."""
    phone = Phone()
    phone.friend("wife", "晓梅", remark="老婆", listed=True)
    phone.log_in()
    return phone


def test_who_is_met_somewhere_is_no_new_contact(phone: Phone):
    phone.friend("aunt", "三姨", listed=False)
    assert events(phone.tell("aunt")) == []
    (entry,) = (one for one in phone.identity.directory() if one.user == "三姨")
    assert entry.stranger
    assert not entry.removed


def test_who_becomes_a_contact_is_told_whether_met_before_or_not(phone: Phone):
    phone.friend("bob", "Bob", listed=True)
    assert events(phone.tell("bob")) == [("contact_added", "Bob")]
    phone.friend("aunt", "三姨", listed=False)
    phone.tell("aunt")
    phone.change("aunt", listed=True)
    assert events(phone.tell("aunt")) == [("contact_added", "三姨")]
    assert events(phone.tell("aunt")) == []
    assert not any(one.stranger for one in phone.identity.directory())


def test_what_does_not_say_whether_somebody_is_a_contact_changes_nothing(phone: Phone):
    phone.friend("aunt", "三姨", listed=False)
    phone.tell("aunt")
    phone.change("aunt", listed=None, nickname="三姨妈")
    assert events(phone.tell("aunt")) == [("contact_renamed", "三姨")]
    assert [one.stranger for one in phone.identity.directory() if one.user == "三姨"] == [True]


def test_a_backend_that_never_says_it_tells_of_everybody_new(phone: Phone):
    phone.friend("carol", "Carol")
    assert events(phone.tell("carol")) == [("contact_added", "Carol")]


def test_a_stranger_is_missed_by_nobody(phone: Phone):
    phone.friend("aunt", "三姨", listed=False)
    phone.tell("aunt")
    aunt = phone.book.pop("aunt")
    assert events(phone.log_in()) == []
    phone.book["aunt"] = aunt
    phone.tell("aunt")
    phone.book.pop("aunt")
    assert events(phone.log_in()) == []


def test_a_friend_who_was_removed_and_is_seen_in_a_group_is_not_back(phone: Phone):
    wife = phone.handle("wife")
    gone = phone.identity.apply_update((), (wife,), phone.now)
    assert events(gone) == [("contact_removed", "老婆")]
    phone.change("wife", listed=False)
    assert events(phone.tell("wife")) == []
    assert [one.removed for one in phone.identity.directory()] == [True]
    phone.change("wife", listed=True)
    assert events(phone.tell("wife")) == [("contact_added", "老婆")]
    assert [one.removed for one in phone.identity.directory()] == [False]


def test_who_wrote_before_any_list_named_them_is_told_once_they_are_a_contact(phone: Phone):
    phone.friend("bob", "Bob", listed=True)
    phone.writes("bob")
    assert [name for name, _ in events(phone.tell("bob"))] == ["contact_added"]
    phone.friend("carol", "Carol", listed=False)
    phone.writes("carol")
    assert events(phone.tell("carol")) == []
    phone.restart()
    phone.change("carol", listed=True)
    assert [name for name, _ in events(phone.tell("carol"))] == ["contact_added"]


def test_strangers_who_never_wrote_are_forgotten_like_newcomers(phone: Phone):
    phone.friend("aunt", "三姨", listed=False)
    phone.tell("aunt")
    phone.book.pop("aunt")
    phone.log_in()
    phone.now += 31 * DAY
    phone.identity.remove_stale(phone.now)
    assert phone.identity.by_level("三姨") is None


def test_the_first_directory_makes_nobody_new():
    phone = Phone()
    phone.friend("wife", "晓梅", listed=True)
    phone.friend("aunt", "三姨", listed=False)
    assert events(phone.log_in()) == []
    phone.change("aunt", listed=True)
    assert events(phone.tell("aunt")) == [("contact_added", "三姨")]

"""Nobody can take over another person's topic by changing their own name: one test for each attack."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.rows import every_row
from tests.unit.bridge.address_book import AddressBook, events
from wx2mqtt.bridge.people.evidence import ContactPin

PROFILE = {"sex": "1", "province": "广东", "city": "广州", "attributes": "102437"}


def couple(pins: dict[str, ContactPin] | None = None, **facts: Any) -> AddressBook:
    """Returns an address book with Lily, and Eve who pretends to be her."""
    address_book = AddressBook(pins)
    address_book.add_friend("lily", "Lily", **facts)
    address_book.add_friend("eve", "Eve", profile={"sex": "2", "attributes": "4133"})
    address_book.log_in()
    return address_book


def lilys_topic(address_book: AddressBook) -> str:
    return next(level for level in address_book.topic_names if address_book.recipient_of(level) == "lily")


def test_taking_the_nickname_in_a_running_login_changes_nothing() -> None:
    address_book = couple()
    address_book.change("eve", nickname="Lily")
    address_book.send_update("eve")
    assert (address_book.topic_name_of("eve"), address_book.recipient_of("Lily")) == ("Eve", "lily")


@every_row("facts", [{}, {"remark": "老婆"}, {"alias": "lily_1"}, {"profile": PROFILE}, {"avatar": ""}])
def test_taking_the_nickname_before_a_new_login_gives_nothing(facts: dict[str, Any]) -> None:
    address_book = couple(**facts)
    topic = lilys_topic(address_book)
    address_book.change("eve", nickname="Lily")
    address_book.log_in()
    assert address_book.topic_name_of("eve") == "Eve"
    assert address_book.recipient_of(topic) in {"lily", None}


@every_row("facts", [{}, {"remark": "老婆"}, {"alias": "lily_1"}, {"profile": PROFILE}, {"avatar": ""}])
def test_taking_the_nickname_of_a_friend_who_was_deleted_gives_nothing(facts: dict[str, Any]) -> None:
    address_book = couple(**facts)
    topic = lilys_topic(address_book)
    del address_book.contacts["lily"]
    address_book.change("eve", nickname="Lily", profile=facts.get("profile", {}))
    address_book.change_picture("eve")
    address_book.log_in()
    address_book.log_in()
    assert address_book.recipient_of(topic) is None
    assert address_book.topic_name_of("eve") != topic


def test_a_stranger_with_the_name_and_city_of_a_friend_who_was_renamed_gets_another_topic() -> None:
    address_book = couple(avatar="", profile=PROFILE)
    address_book.change("lily", nickname="百合")
    address_book.add_friend("mallory", "Lily", profile=PROFILE)
    address_book.log_in()
    assert address_book.topic_name_of("mallory") == "Lily-2"
    assert address_book.recipient_of("Lily") is None


def test_a_stranger_with_all_facts_of_a_friend_who_was_seen_to_leave_gets_another_topic() -> None:
    address_book = couple(avatar="", profile=PROFILE)
    address_book.remove_contact("lily")
    address_book.add_friend("mallory", "Lily", avatar="", profile=PROFILE)
    address_book.log_in()
    assert address_book.topic_name_of("mallory") == "Lily-2"
    assert address_book.recipient_of("Lily") is None


def test_a_remark_is_never_won_by_a_nickname() -> None:
    address_book = couple(remark="老婆", avatar="")
    address_book.change("eve", nickname="老婆")
    address_book.change("lily", remark="")
    address_book.log_in()
    assert address_book.recipient_of("老婆") in {"lily", None}
    assert address_book.topic_name_of("eve") == "Eve"


@pytest.mark.parametrize("name", ["wife", "老婆"])
def test_calling_oneself_like_a_pin_gives_neither_name_nor_trust(name: str) -> None:
    address_book = couple({"wife": ContactPin(remark="老婆")}, remark="老婆")
    address_book.change("eve", nickname=name)
    address_book.send_update("eve")
    for _ in range(3):
        assert address_book.recipient_of("wife") == "lily"
        assert address_book.is_trusted("lily")
        assert not address_book.is_trusted("eve")
        address_book.log_in()


def test_a_stranger_called_like_a_pin_that_waits_gets_neither() -> None:
    address_book = AddressBook({"wife": ContactPin(remark="老婆")})
    address_book.add_friend("eve", "wife")
    address_book.log_in()
    address_book.receive_message("mallory", name="wife")
    assert "wife" not in {address_book.topic_name_of("eve"), address_book.topic_name_of("mallory")}


def test_a_pin_by_nickname_does_not_move_to_who_takes_the_nickname() -> None:
    address_book = couple({"lil": ContactPin(nickname="Lily")})
    address_book.change("lily", nickname="百合")
    address_book.change("eve", nickname="Lily")
    changes = address_book.send_update("lily", "eve")
    assert (address_book.topic_name_of("lily"), address_book.topic_name_of("eve")) == ("lil", "Eve")
    assert ("unresolved", "lil") in events(changes)
    address_book.log_in()
    assert (address_book.topic_name_of("lily"), address_book.topic_name_of("eve")) == ("lil", "Eve")


def test_a_pin_by_nickname_needs_the_evidence_that_others_need() -> None:
    address_book = couple({"lil": ContactPin(nickname="Lily")})
    address_book.change_picture("lily")
    changes = address_book.log_in()
    assert address_book.recipient_of("lil") is None
    assert address_book.topic_name_of("lily") == "Lily"
    assert {event.fields["reason"] for event in changes.events} == {"not_certain", "pin_belongs_to_another"}
    address_book.store(address_book.registry.assign("lil", "Lily", 1))
    assert (address_book.topic_name_of("lily"), address_book.recipient_of("Lily")) == ("lil", "lily")
    assert not address_book.is_trusted("lily")


def test_taking_the_nickname_of_a_deleted_friend_with_a_pin_by_nickname_gives_nothing() -> None:
    address_book = couple({"lil": ContactPin(nickname="Lily")}, profile=PROFILE)
    address_book.remove_contact("lily")
    address_book.change("eve", nickname="Lily", profile=PROFILE)
    address_book.send_update("eve")
    address_book.log_in()
    assert address_book.recipient_of("lil") is None
    assert address_book.topic_name_of("eve") == "Eve"


def test_a_second_with_the_pinned_nickname_takes_the_pin_from_both_and_the_topic_from_none() -> None:
    address_book = couple({"lil": ContactPin(nickname="Lily")})
    address_book.change("eve", nickname="Lily")
    address_book.send_update("eve")
    assert (address_book.topic_name_of("lily"), address_book.topic_name_of("eve")) == ("lil", "Eve")
    address_book.log_in()
    assert (address_book.topic_name_of("lily"), address_book.topic_name_of("eve")) == ("lil", "Eve")


@pytest.mark.parametrize("name", ["filehelper", "文件传输助手", "File Transfer"])
def test_the_file_helper_cannot_be_played(name: str) -> None:
    address_book = couple()
    address_book.add_special("filehelper")
    address_book.change("eve", nickname=name)
    address_book.add_friend("mallory", name, remark="filehelper")
    address_book.log_in()
    assert address_book.topic_name_of("filehelper") == "filehelper"
    assert not address_book.is_trusted("eve")
    assert not address_book.is_trusted("mallory")


def family() -> AddressBook:
    address_book = AddressBook({"family": ContactPin(group="家")})
    address_book.add_friend("eve", "Eve")
    address_book.add_group("home", "家", "Ma", "Pa", "Sis", "Bro")
    address_book.log_in()
    return address_book


def test_a_group_with_the_familys_name_is_not_the_family_while_that_is_in_no_directory() -> None:
    address_book = family()
    address_book.add_group("trap", "家", "Eve", "Ma", "X", "Y", "Z")
    changes = address_book.log_in(without=("home",))
    assert address_book.topic_name_of("trap") == "家"
    assert address_book.recipient_of("family") is None
    assert ("unresolved", "family") in events(changes)


def test_when_the_family_is_reported_again_it_is_the_family() -> None:
    address_book = family()
    address_book.add_group("trap", "家", "Eve", "X", "Y", "Z")
    address_book.log_in(without=("home",))
    address_book.send_update("home")
    assert address_book.recipient_of("family") == "home"
    assert address_book.topic_name_of("home") == "family"


def test_renaming_ones_own_group_does_not_take_the_familys_topic() -> None:
    address_book = family()
    address_book.add_group("trap", "Eves", "Eve", "X", "Y", "Z")
    address_book.send_update("trap")
    address_book.change("trap", nickname="家")
    address_book.change("home", nickname="家家")
    for changes in (address_book.send_update("trap", "home"), address_book.log_in()):
        assert ("unresolved", "family") in events(changes) or changes is not None
        assert (address_book.topic_name_of("home"), address_book.topic_name_of("trap")) == ("family", "Eves")


def test_the_marks_of_a_lookalike_make_another_topic() -> None:
    address_book = couple()
    for who, name in [("a", "Lіly"), ("b", "Li\u200dly"), ("c", "Lily\u202e"), ("d", "lily"), ("e", "Lily ")]:
        address_book.add_friend(who, name)
    address_book.send_update("a", "b", "c", "d", "e")
    assert len({address_book.topic_name_of(who) for who in address_book.contacts}) == len(
        address_book.contacts
    )
    assert address_book.recipient_of("Lily") == "lily"

"""Nobody can take over another person's topic by changing their own name: one test for each attack."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.bridge.phone import Phone, events
from wx2mqtt.bridge.people.evidence import ContactPin

HOME = {"sex": "1", "province": "广东", "city": "广州", "attributes": "102437"}


def couple(pins: dict[str, ContactPin] | None = None, **facts: Any) -> Phone:
    """Lily, and Eve who wants to be her."""
    phone = Phone(pins)
    phone.friend("lily", "Lily", **facts)
    phone.friend("eve", "Eve", profile={"sex": "2", "attributes": "4133"})
    phone.log_in()
    return phone


def lilys_topic(phone: Phone) -> str:
    return next(level for level in phone.levels if phone.reaches(level) == "lily")


def test_taking_the_nickname_in_a_running_login_changes_nothing() -> None:
    phone = couple()
    phone.change("eve", nickname="Lily")
    phone.tell("eve")
    assert (phone.level("eve"), phone.reaches("Lily")) == ("Eve", "lily")


@pytest.mark.parametrize(
    "facts", [{}, {"remark": "老婆"}, {"alias": "lily_1"}, {"profile": HOME}, {"avatar": ""}]
)
def test_taking_the_nickname_before_a_new_login_gives_nothing(facts: dict[str, Any]) -> None:
    phone = couple(**facts)
    topic = lilys_topic(phone)
    phone.change("eve", nickname="Lily")
    phone.log_in()
    assert phone.level("eve") == "Eve"
    assert phone.reaches(topic) in {"lily", None}


@pytest.mark.parametrize(
    "facts", [{}, {"remark": "老婆"}, {"alias": "lily_1"}, {"profile": HOME}, {"avatar": ""}]
)
def test_taking_the_nickname_of_a_friend_who_was_deleted_gives_nothing(facts: dict[str, Any]) -> None:
    phone = couple(**facts)
    topic = lilys_topic(phone)
    del phone.book["lily"]
    phone.change("eve", nickname="Lily", profile=facts.get("profile", {}))
    phone.new_picture("eve")
    phone.log_in()
    phone.log_in()
    assert phone.reaches(topic) is None
    assert phone.level("eve") != topic


def test_a_stranger_with_the_name_and_city_of_a_friend_who_was_renamed_gets_another_topic() -> None:
    phone = couple(avatar="", profile=HOME)
    phone.change("lily", nickname="百合")
    phone.friend("mallory", "Lily", profile=HOME)
    phone.log_in()
    assert phone.level("mallory") == "Lily-2"
    assert phone.reaches("Lily") is None


def test_a_stranger_with_all_facts_of_a_friend_who_was_seen_to_leave_gets_another_topic() -> None:
    phone = couple(avatar="", profile=HOME)
    phone.drop("lily")
    phone.friend("mallory", "Lily", avatar="", profile=HOME)
    phone.log_in()
    assert phone.level("mallory") == "Lily-2"
    assert phone.reaches("Lily") is None


def test_a_remark_is_never_won_by_a_nickname() -> None:
    phone = couple(remark="老婆", avatar="")
    phone.change("eve", nickname="老婆")
    phone.change("lily", remark="")
    phone.log_in()
    assert phone.reaches("老婆") in {"lily", None}
    assert phone.level("eve") == "Eve"


@pytest.mark.parametrize("name", ["wife", "老婆"])
def test_calling_oneself_like_a_pin_gives_neither_name_nor_trust(name: str) -> None:
    phone = couple({"wife": ContactPin(remark="老婆")}, remark="老婆")
    phone.change("eve", nickname=name)
    phone.tell("eve")
    for _ in range(3):
        assert phone.reaches("wife") == "lily"
        assert phone.trusted("lily")
        assert not phone.trusted("eve")
        phone.log_in()


def test_a_stranger_called_like_a_pin_that_waits_gets_neither() -> None:
    phone = Phone({"wife": ContactPin(remark="老婆")})
    phone.friend("eve", "wife")
    phone.log_in()
    phone.writes("mallory", name="wife")
    assert "wife" not in {phone.level("eve"), phone.level("mallory")}


def test_a_pin_by_nickname_does_not_move_to_who_takes_the_nickname() -> None:
    phone = couple({"lil": ContactPin(nickname="Lily")})
    phone.change("lily", nickname="百合")
    phone.change("eve", nickname="Lily")
    changes = phone.tell("lily", "eve")
    assert (phone.level("lily"), phone.level("eve")) == ("lil", "Eve")
    assert ("unresolved", "lil") in events(changes)
    phone.log_in()
    assert (phone.level("lily"), phone.level("eve")) == ("lil", "Eve")


def test_a_pin_by_nickname_needs_the_evidence_that_others_need() -> None:
    phone = couple({"lil": ContactPin(nickname="Lily")})
    phone.new_picture("lily")
    changes = phone.log_in()
    assert phone.reaches("lil") is None
    assert phone.level("lily") == "Lily"
    assert {event.fields["reason"] for event in changes.events} == {"not_certain", "pin_belongs_to_another"}
    phone.keep(phone.identity.assign("lil", "Lily", 1))
    assert (phone.level("lily"), phone.reaches("Lily")) == ("lil", "lily")
    assert not phone.trusted("lily")


def test_taking_the_nickname_of_a_deleted_friend_with_a_pin_by_nickname_gives_nothing() -> None:
    phone = couple({"lil": ContactPin(nickname="Lily")}, profile=HOME)
    phone.drop("lily")
    phone.change("eve", nickname="Lily", profile=HOME)
    phone.tell("eve")
    phone.log_in()
    assert phone.reaches("lil") is None
    assert phone.level("eve") == "Eve"


def test_a_second_with_the_pinned_nickname_takes_the_pin_from_both_and_the_topic_from_none() -> None:
    phone = couple({"lil": ContactPin(nickname="Lily")})
    phone.change("eve", nickname="Lily")
    phone.tell("eve")
    assert (phone.level("lily"), phone.level("eve")) == ("lil", "Eve")
    phone.log_in()
    assert (phone.level("lily"), phone.level("eve")) == ("lil", "Eve")


@pytest.mark.parametrize("name", ["filehelper", "文件传输助手", "File Transfer"])
def test_the_file_helper_cannot_be_played(name: str) -> None:
    phone = couple()
    phone.special("filehelper")
    phone.change("eve", nickname=name)
    phone.friend("mallory", name, remark="filehelper")
    phone.log_in()
    assert phone.level("filehelper") == "filehelper"
    assert not phone.trusted("eve")
    assert not phone.trusted("mallory")


def family() -> Phone:
    phone = Phone({"family": ContactPin(group="家")})
    phone.friend("eve", "Eve")
    phone.group("home", "家", "Ma", "Pa", "Sis", "Bro")
    phone.log_in()
    return phone


def test_a_group_with_the_familys_name_is_not_the_family_while_that_is_silent() -> None:
    phone = family()
    phone.group("trap", "家", "Eve", "Ma", "X", "Y", "Z")
    changes = phone.log_in(without=("home",))
    assert phone.level("trap") == "家"
    assert phone.reaches("family") is None
    assert ("unresolved", "family") in events(changes)


def test_when_the_family_speaks_again_it_is_the_family() -> None:
    phone = family()
    phone.group("trap", "家", "Eve", "X", "Y", "Z")
    phone.log_in(without=("home",))
    phone.tell("home")
    assert phone.reaches("family") == "home"
    assert phone.level("home") == "family"


def test_renaming_ones_own_group_does_not_take_the_familys_topic() -> None:
    phone = family()
    phone.group("trap", "Eves", "Eve", "X", "Y", "Z")
    phone.tell("trap")
    phone.change("trap", nickname="家")
    phone.change("home", nickname="家家")
    for changes in (phone.tell("trap", "home"), phone.log_in()):
        assert ("unresolved", "family") in events(changes) or changes is not None
        assert (phone.level("home"), phone.level("trap")) == ("family", "Eves")


def test_the_marks_of_a_lookalike_make_another_topic() -> None:
    phone = couple()
    for who, name in [("a", "Lіly"), ("b", "Li\u200dly"), ("c", "Lily\u202e"), ("d", "lily"), ("e", "Lily ")]:
        phone.friend(who, name)
    phone.tell("a", "b", "c", "d", "e")
    assert len({phone.level(who) for who in phone.book}) == len(phone.book)
    assert phone.reaches("Lily") == "lily"

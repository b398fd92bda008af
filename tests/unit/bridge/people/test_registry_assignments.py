"""Names that the owner gave by a request, groups created by one, and lists that name people."""

from __future__ import annotations

import pytest

from tests.unit.bridge.phone import Phone, events
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.model import ChatKind, Contact, Handle, Member, PersonId

PINS = {"wife": ContactPin(remark="老婆")}


def family() -> Phone:
    phone = Phone(PINS)
    phone.friend("wife", "晓梅", remark="老婆")
    phone.friend("bob", "Bob")
    phone.group("home", "一家人", "晓梅", "Bob", "Ann")
    phone.log_in()
    return phone


def remark(phone: Phone, level: str, text: str) -> PeopleUpdate:
    return phone.keep(phone.identity.apply_rename(phone.person(level).id, 1, remark=text))


def test_a_remark_is_known_at_once_and_no_news_when_wechat_tells_of_it() -> None:
    phone = family()
    assert events(remark(phone, "Bob", "Bobby")) == [("contact_renamed", "Bob")]
    assert phone.person("Bob").remark == "Bobby"
    phone.change("bob", remark="Bobby")
    assert phone.tell("bob") == PeopleUpdate()


def test_and_the_other_way_round() -> None:
    phone = family()
    phone.change("bob", remark="Bobby")
    assert events(phone.tell("bob")) == [("contact_renamed", "Bob")]
    assert remark(phone, "Bob", "Bobby") == PeopleUpdate()


def test_a_remark_that_is_taken_away_is_gone() -> None:
    """A batch that leaves it empty is no news (webwx 2.11.5), but the owner's word is."""
    phone = family()
    remark(phone, "Bob", "Bobby")
    assert events(remark(phone, "Bob", "")) == [("contact_renamed", "Bob")]
    assert phone.person("Bob").remark == ""
    phone.change("bob", remark="")
    assert phone.tell("bob") == PeopleUpdate()


def test_the_topic_stays_whatever_the_remark() -> None:
    phone = family()
    remark(phone, "Bob", "Bobby")
    assert phone.level("bob") == "Bob"


def test_a_pin_by_remark_goes_by_the_remark_of_now() -> None:
    phone = family()
    assert phone.trusted("wife")
    remark(phone, "wife", "爱人")
    assert not phone.trusted("wife"), "as when the phone gives another remark"
    remark(phone, "Bob", "老婆")
    assert (phone.level("bob"), phone.trusted("bob")) == ("wife", True)


def test_two_of_one_remark_have_no_pin_and_no_trust() -> None:
    phone = family()
    assert ("unresolved", "wife") in events(remark(phone, "Bob", "老婆"))
    assert not phone.trusted("wife")
    assert not phone.trusted("bob")


def test_somebody_who_was_forgotten_meanwhile_is_no_trouble() -> None:
    phone = family()
    assert phone.identity.apply_rename(PersonId(99), 1, remark="x") == PeopleUpdate()


def made(phone: Phone, name: str) -> tuple[Contact, PeopleUpdate]:
    members = tuple(Member(handle=Handle(f"@{one}"), nickname=one) for one in ("晓梅", "Bob", "Ann"))
    group = Contact(handle=Handle("@@made"), kind=ChatKind.GROUP, nickname=name, members=members)
    return group, phone.keep(phone.identity.add_group(group, 1))


def test_a_group_that_was_made_here_is_new_whatever_its_name_and_members() -> None:
    phone = family()
    phone.log_in(without=("home",))  # it is silent in this login, and looks the same
    _, changes = made(phone, "一家人")
    assert events(changes) == [("contact_added", "一家人-2")]
    assert phone.whose(Handle("@@made")).level == "一家人-2"
    assert phone.reaches("一家人") is None, "what is written to the old one does not go to the new one"


def test_a_group_that_wechat_has_told_of_already_is_the_same() -> None:
    phone = family()
    group, _ = made(phone, "新群")
    assert phone.identity.add_group(group, 2) == PeopleUpdate()


def test_every_name_of_somebody_is_known() -> None:
    phone = family()
    assert set(phone.identity.levels_of(phone.person("wife").id)) == {"wife"}
    phone.keep(phone.identity.set_pins({**PINS, "bobby": ContactPin(nickname="Bob")}, 1))
    assert set(phone.identity.levels_of(phone.person("bobby").id)) == {"Bob", "bobby"}


@pytest.mark.parametrize(
    ("handle", "name", "shown"),
    [
        ("bob", "Robert", "Bob"),
        ("", "Robert", "Robert"),
        ("nobody", "Robert", "Robert"),
        ("", "wife", "“wife”"),
        ("nobody", "Bob", "“Bob”"),
        ("", "", ""),
    ],
)
def test_a_list_of_people_has_topics_and_names_and_nobody_is_taken_for_another(handle, name, shown) -> None:
    phone = family()
    assert phone.identity.level_or_name(phone.handle(handle) if handle else None, name) == shown


def test_not_even_for_somebody_whose_topic_is_in_quotes() -> None:
    phone = Phone()
    phone.friend("a", "wife")
    phone.friend("b", "“wife”")
    phone.log_in()
    assert phone.identity.level_or_name(None, "wife") == "““wife””"

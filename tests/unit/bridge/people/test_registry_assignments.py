"""Names that the owner gave by a request, groups created by one, and lists that name people."""

from __future__ import annotations

from tests.support.rows import every_row
from tests.unit.bridge.address_book import AddressBook, events
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.model import ChatKind, Contact, Handle, Member, PersonId

PINS = {"wife": ContactPin(remark="老婆")}


def family() -> AddressBook:
    address_book = AddressBook(PINS)
    address_book.add_friend("wife", "晓梅", remark="老婆")
    address_book.add_friend("bob", "Bob")
    address_book.add_group("home", "一家人", "晓梅", "Bob", "Ann")
    address_book.log_in()
    return address_book


def remark(address_book: AddressBook, level: str, text: str) -> PeopleUpdate:
    return address_book.store(
        address_book.registry.apply_rename(address_book.person_of_topic(level).id, 1, remark=text)
    )


def test_a_remark_that_was_set_is_known_at_once_and_no_event_when_wechat_reports_it() -> None:
    address_book = family()
    assert events(remark(address_book, "Bob", "Bobby")) == [("contact_renamed", "Bob")]
    assert address_book.person_of_topic("Bob").remark == "Bobby"
    address_book.change("bob", remark="Bobby")
    assert address_book.send_update("bob") == PeopleUpdate()


def test_a_remark_that_wechat_has_reported_is_no_event_when_it_is_set() -> None:
    address_book = family()
    address_book.change("bob", remark="Bobby")
    assert events(address_book.send_update("bob")) == [("contact_renamed", "Bob")]
    assert remark(address_book, "Bob", "Bobby") == PeopleUpdate()


def test_a_remark_that_is_taken_away_is_gone() -> None:
    """An empty remark in a batch changes nothing (webwx 2.11.5), but one that the owner sets does."""
    address_book = family()
    remark(address_book, "Bob", "Bobby")
    assert events(remark(address_book, "Bob", "")) == [("contact_renamed", "Bob")]
    assert address_book.person_of_topic("Bob").remark == ""
    address_book.change("bob", remark="")
    assert address_book.send_update("bob") == PeopleUpdate()


def test_the_topic_stays_whatever_the_remark() -> None:
    address_book = family()
    remark(address_book, "Bob", "Bobby")
    assert address_book.topic_name_of("bob") == "Bob"


def test_a_pin_by_remark_goes_by_the_remark_of_now() -> None:
    address_book = family()
    assert address_book.is_trusted("wife")
    remark(address_book, "wife", "爱人")
    assert not address_book.is_trusted("wife"), "as when the phone gives another remark"
    remark(address_book, "Bob", "老婆")
    assert (address_book.topic_name_of("bob"), address_book.is_trusted("bob")) == ("wife", True)


def test_two_of_one_remark_have_no_pin_and_no_trust() -> None:
    address_book = family()
    assert ("unresolved", "wife") in events(remark(address_book, "Bob", "老婆"))
    assert not address_book.is_trusted("wife")
    assert not address_book.is_trusted("bob")


def test_somebody_who_was_forgotten_meanwhile_is_no_trouble() -> None:
    address_book = family()
    assert address_book.registry.apply_rename(PersonId(99), 1, remark="x") == PeopleUpdate()


def add_created_group(address_book: AddressBook, name: str) -> tuple[Contact, PeopleUpdate]:
    members = tuple(Member(handle=Handle(f"@{name}"), nickname=name) for name in ("晓梅", "Bob", "Ann"))
    group = Contact(handle=Handle("@@made"), kind=ChatKind.GROUP, nickname=name, members=members)
    return group, address_book.store(address_book.registry.add_group(group, 1))


def test_a_group_that_was_made_here_is_new_whatever_its_name_and_members() -> None:
    address_book = family()
    address_book.log_in(without=("home",))  # it is silent in this login, and looks the same
    _, changes = add_created_group(address_book, "一家人")
    assert events(changes) == [("contact_added", "一家人-2")]
    assert address_book.person_of_handle(Handle("@@made")).topic_name == "一家人-2"
    assert address_book.recipient_of("一家人") is None, (
        "what is written to the old one does not go to the new one"
    )


def test_a_created_group_that_wechat_has_reported_already_is_the_same() -> None:
    address_book = family()
    group, _ = add_created_group(address_book, "新群")
    assert address_book.registry.add_group(group, 2) == PeopleUpdate()


def test_every_name_of_somebody_is_known() -> None:
    address_book = family()
    assert set(address_book.registry.topic_names_of(address_book.person_of_topic("wife").id)) == {"wife"}
    address_book.store(address_book.registry.set_pins({**PINS, "bobby": ContactPin(nickname="Bob")}))
    assert set(address_book.registry.topic_names_of(address_book.person_of_topic("bobby").id)) == {
        "Bob",
        "bobby",
    }


@every_row(
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
    address_book = family()
    assert address_book.registry.topic_name_or(address_book.handle(handle) if handle else None, name) == shown


def test_a_name_in_a_list_is_not_taken_for_somebody_whose_topic_name_has_quotation_marks() -> None:
    address_book = AddressBook()
    address_book.add_friend("a", "wife")
    address_book.add_friend("b", "“wife”")
    address_book.log_in()
    assert address_book.registry.topic_name_or(None, "wife") == "““wife””"

"""Pins: the person each stands for, the trust it gives, and what happens when that changes."""

from __future__ import annotations

import pytest

from tests.unit.bridge.address_book import AddressBook, events
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.model import ChatKind, Handle, Owner

HOME = {"sex": "1", "province": "广东", "city": "广州", "attributes": "102437"}
WIFE = {"wife": ContactPin(remark="老婆")}


def lily(pins: dict[str, ContactPin] | None = None) -> AddressBook:
    address_book = AddressBook(WIFE if pins is None else pins)
    address_book.friend("lily", "Lily", remark="老婆", alias="lily_1")
    address_book.log_in()
    return address_book


def entry(address_book: AddressBook, user: str):
    return next(entry for entry in address_book.identity.directory() if entry.user == user)


@pytest.mark.parametrize(
    ("pin", "trusted"),
    [
        (ContactPin(remark="老婆"), True),
        (ContactPin(alias="lily_1"), True),
        (ContactPin(nickname="Lily"), False),
    ],
)
def test_a_pinned_friend_is_called_by_the_pin_from_the_start(pin: ContactPin, trusted: bool) -> None:
    address_book = lily({"wife": pin})
    assert address_book.level("lily") == "wife"
    assert address_book.trusted("lily") is trusted
    assert address_book.identity.is_pinned("wife")
    assert not address_book.identity.is_pinned("老婆")
    assert set(address_book.levels) == {"wife"}
    assert entry(address_book, "wife").matched_by == "pin"


def test_a_pinned_group_is_called_by_the_pin_and_not_trusted() -> None:
    address_book = AddressBook({"family": ContactPin(group="家")})
    address_book.group("g", "家", "a", "b")
    address_book.log_in()
    assert address_book.level("g") == "family"
    assert not address_book.trusted("g")


def test_a_pin_renames_once_and_the_old_name_still_works() -> None:
    address_book = lily({})
    address_book.pins = WIFE
    changes = address_book.keep(address_book.identity.set_pins(WIFE))
    (event,) = changes.events
    assert (event.name, event.user, event.fields) == ("topic_changed", "wife", {"from": "老婆", "to": "wife"})
    assert address_book.level("lily") == "wife"
    assert address_book.reaches("老婆") == address_book.reaches("wife") == "lily"
    assert address_book.identity.set_pins(WIFE) == PeopleUpdate()
    address_book.restart()
    assert address_book.log_in().events == ()


def test_the_old_name_of_a_pinned_person_is_never_given_to_another() -> None:
    address_book = lily({})
    address_book.identity.set_pins(WIFE)
    address_book.change("lily", remark="妻")
    address_book.friend("eve", "老婆")
    address_book.tell("lily", "eve")
    assert address_book.level("eve") == "老婆-2"


def test_the_name_of_a_pin_that_fits_nobody_yet_is_kept_free() -> None:
    address_book = AddressBook(WIFE)
    address_book.friend("eve", "wife")
    address_book.log_in()
    assert address_book.level("eve") == "wife-2"


def test_pins_that_changed_while_the_bridge_was_down_count_before_any_directory() -> None:
    address_book = lily()
    address_book.restart({})
    assert not address_book.trusted("lily")
    address_book.restart({"spouse": ContactPin(alias="lily_1")})
    assert address_book.level("lily") == "spouse"
    changes = address_book.tell()
    assert ("topic_changed", "spouse") in events(changes)


def test_a_pin_that_is_gone_leaves_the_name_and_ends_the_trust() -> None:
    address_book = lily()
    address_book.keep(address_book.identity.set_pins({}))
    assert address_book.level("lily") == "wife"
    assert not address_book.trusted("lily")
    assert entry(address_book, "wife").matched_by == "new"


def test_a_pin_under_another_name_renames_again_and_back() -> None:
    address_book = lily()
    address_book.keep(address_book.identity.set_pins({"spouse": ContactPin(remark="老婆")}))
    assert address_book.level("lily") == "spouse"
    changes = address_book.keep(address_book.identity.set_pins(WIFE))
    assert address_book.level("lily") == "wife"
    assert changes.people.topic_names == ()
    assert address_book.reaches("spouse") == "lily"


def test_a_remark_that_no_longer_fits_ends_the_trust_and_keeps_the_name() -> None:
    address_book = lily()
    address_book.change("lily", remark="ex")
    address_book.tell("lily")
    assert address_book.level("lily") == "wife"
    assert not address_book.trusted("lily")


def test_a_pin_that_fits_two_means_neither() -> None:
    address_book = lily()
    address_book.friend("eve", "Eve", remark="老婆")
    changes = address_book.tell("eve")
    (added, event) = changes.events
    assert added.user == "老婆"
    assert (event.name, event.user) == ("unresolved", "wife")
    assert event.fields == {"reason": "pin_fits_several", "pin": "wife", "candidates": ["wife", "老婆"]}
    assert not address_book.trusted("lily")
    assert not address_book.trusted("eve")
    assert address_book.level("lily") == "wife"
    assert {one.problem for one in address_book.identity.directory()} == {"pin_fits_several"}
    assert address_book.tell("eve").events == ()
    address_book.change("eve", remark="")
    address_book.refresh()
    assert address_book.trusted("lily")
    assert {one.problem for one in address_book.identity.directory()} == {""}


def test_a_reload_does_not_tell_the_same_problem_again() -> None:
    address_book = lily()
    address_book.friend("eve", "Eve", remark="老婆")
    address_book.tell("eve")
    assert address_book.identity.set_pins(WIFE) == PeopleUpdate()


def test_the_owner_moves_the_remark_to_somebody_else_and_the_name_follows() -> None:
    address_book = lily()
    address_book.friend("eve", "Eve")
    address_book.tell("eve")
    address_book.change("lily", remark="ex")
    address_book.change("eve", remark="老婆")
    changes = address_book.tell("lily", "eve")
    assert address_book.level("eve") == "wife"
    assert address_book.level("lily") == "ex"
    assert address_book.reaches("Eve") == "eve"
    assert address_book.trusted("eve")
    assert not address_book.trusted("lily")
    assert [event.fields for event in changes.events if event.name == "topic_changed"] == [
        {"from": "Eve", "to": "wife"},
        {"from": "wife", "to": "ex"},
    ]
    address_book.restart()
    assert address_book.reaches("wife") == "eve"


def test_the_owner_moves_the_remark_between_two_logins_and_the_name_follows() -> None:
    address_book = lily()
    address_book.friend("eve", "Eve")
    address_book.tell("eve")
    address_book.change("lily", remark="ex")
    address_book.change("eve", remark="老婆")
    address_book.log_in()
    assert (address_book.level("eve"), address_book.level("lily")) == ("wife", "ex")
    assert address_book.reaches("Eve") == "eve"


def test_who_loses_a_name_has_an_earlier_one_back() -> None:
    address_book = lily({})
    address_book.keep(address_book.identity.set_pins(WIFE))
    address_book.change("lily", remark="ex")
    address_book.friend("eve", "Eve", remark="老婆")
    address_book.tell("lily", "eve")
    assert address_book.level("lily") == "老婆"
    assert address_book.level("eve") == "wife"


def test_the_wife_is_deleted_and_another_gets_the_remark() -> None:
    address_book = lily()
    address_book.drop("lily")
    address_book.friend("eve", "Eve", remark="老婆")
    address_book.tell("eve")
    assert address_book.level("eve") == "wife"
    for _ in range(3):
        address_book.log_in()
        assert entry(address_book, "老婆").matched_by == "new"
        assert address_book.level("eve") == "wife"
        assert address_book.trusted("eve")


def test_the_name_of_a_pin_is_taken_from_who_had_it_by_chance() -> None:
    address_book = AddressBook()
    address_book.friend("eve", "wife")
    address_book.friend("lily", "Lily", remark="老婆")
    address_book.log_in()
    changes = address_book.keep(address_book.identity.set_pins(WIFE))
    assert address_book.reaches("wife") == "lily"
    assert address_book.level("eve") == "wife-2"
    assert ("topic_changed", "wife-2") in events(changes)


def test_an_old_name_of_somebody_goes_to_the_pin_and_leaves_the_person_alone() -> None:
    address_book = lily({"a": ContactPin(remark="老婆")})
    address_book.keep(address_book.identity.set_pins({"b": ContactPin(remark="老婆")}))
    address_book.friend("eve", "Eve", remark="E")
    address_book.tell("eve")
    changes = address_book.keep(
        address_book.identity.set_pins({"b": ContactPin(remark="老婆"), "a": ContactPin(remark="E")})
    )
    assert events(changes) == [("topic_changed", "a")]
    assert (address_book.reaches("a"), address_book.reaches("b")) == ("eve", "lily")


def test_a_pin_by_nickname_does_not_take_a_name_that_is_somebodys() -> None:
    address_book = AddressBook()
    address_book.friend("bob", "bob")
    address_book.friend("bobby", "Bobby")
    address_book.log_in()
    (event,) = address_book.keep(address_book.identity.set_pins({"bob": ContactPin(nickname="Bobby")})).events
    assert event.fields == {"reason": "pin_belongs_to_another", "pin": "bob", "candidates": ["Bobby"]}
    assert (address_book.level("bob"), address_book.level("bobby")) == ("bob", "Bobby")


def test_who_has_two_pins_is_called_by_the_stronger() -> None:
    address_book = lily(
        {
            "lil": ContactPin(nickname="Lily"),
            "wife": ContactPin(remark="老婆"),
            "my": ContactPin(alias="lily_1"),
        }
    )
    assert address_book.level("lily") == "wife"
    assert address_book.trusted("lily")
    assert entry(address_book, "wife").problem == "person_has_another_pin"


def test_a_pin_for_the_file_helpers_name_means_nobody() -> None:
    address_book = lily({"filehelper": ContactPin(remark="老婆")})
    assert address_book.level("lily") == "老婆"


def test_the_file_helper_cannot_be_pinned_by_what_it_is_called() -> None:
    address_book = AddressBook(
        {"note": ContactPin(alias="filehelper"), "x": ContactPin(nickname="filehelper")}
    )
    address_book.special("filehelper")
    address_book.log_in()
    assert address_book.level("filehelper") == "filehelper"


def test_a_pin_that_says_nothing_means_nobody() -> None:
    address_book = lily({"x": ContactPin()})
    assert address_book.level("lily") == "老婆"


def test_pins_by_ilink_id_and_owner() -> None:
    address_book = AddressBook({"me": ContactPin(ilink="o9@im.wechat"), "also": ContactPin(owner=True)})
    address_book.special("o9@im.wechat", ChatKind.FRIEND)
    address_book.special("o8@im.wechat", ChatKind.FRIEND)
    address_book.log_in()
    assert address_book.trusted("o9@im.wechat")
    assert address_book.level("o9@im.wechat") == "me"
    assert not address_book.trusted("o8@im.wechat")


def test_names_of_pins_are_composed() -> None:
    address_book = lily({"Jose\u0301": ContactPin(remark="老婆")})
    assert address_book.level("lily") == "José"
    assert address_book.identity.is_pinned("Jose\u0301")


def test_a_pin_says_who_of_two_with_the_remark_is_meant_in_a_new_login() -> None:
    """An old one was removed and has the remark still; neither shows a picture."""
    address_book = AddressBook(WIFE)
    address_book.friend("old", "Lily", remark="老婆", avatar="")
    address_book.friend("tom", "Tom")
    address_book.log_in()
    address_book.drop("old")
    address_book.friend("new", "Lily", remark="老婆", avatar="", profile=HOME)
    address_book.tell("new")
    address_book.log_in()
    assert address_book.level("new") == "wife"
    assert address_book.identity.closed_count == 0
    assert len(address_book.identity.directory()) == 3


def test_who_is_out_of_reach_keeps_the_pin_and_has_no_trust() -> None:
    address_book = lily()
    address_book.friend("tom", "Tom")
    address_book.log_in(without=("lily",), complete=False)
    person = address_book.person("wife")
    assert (person.pin, person.trusted) == ("wife", False)
    address_book.refresh()
    assert address_book.trusted("lily")


def test_the_owner_stays_trusted_between_start_and_login() -> None:
    address_book = AddressBook({"me": ContactPin(owner=True)})
    address_book.special("me@im.wechat", ChatKind.FRIEND)
    address_book.login = 1
    owner = Owner(handle=Handle("me@im.wechat"), nickname="Me")
    contact = address_book.contact("me@im.wechat")
    address_book.keep(address_book.identity.apply_directory([contact], "login-1", owner, 0, complete=True))
    assert address_book.trusted("me@im.wechat")
    address_book.restart()
    assert address_book.trusted("me@im.wechat")
    assert address_book.tell() == PeopleUpdate()
    address_book.restart({"me": ContactPin(nickname="Me")})
    assert not address_book.trusted("me@im.wechat")


def test_a_remark_given_to_two_between_logins_lets_neither_claim_the_name() -> None:
    address_book = lily()
    address_book.friend("eve", "Eve", remark="老婆")
    address_book.change("lily", alias="")
    address_book.new_picture("lily")
    address_book.log_in()
    assert address_book.reaches("wife") is None
    assert address_book.identity.closed_count == 1
    assert not address_book.trusted("eve")

"""Pins: the person each stands for, the trust it gives, and what happens when that changes."""

from __future__ import annotations

import pytest

from tests.unit.bridge.address_book import AddressBook, events
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.model import ChatKind, Handle, Owner

PROFILE = {"sex": "1", "province": "广东", "city": "广州", "attributes": "102437"}
WIFE = {"wife": ContactPin(remark="老婆")}


def lily(pins: dict[str, ContactPin] | None = None) -> AddressBook:
    address_book = AddressBook(WIFE if pins is None else pins)
    address_book.add_friend("lily", "Lily", remark="老婆", alias="lily_1")
    address_book.log_in()
    return address_book


def entry(address_book: AddressBook, user: str):
    return next(entry for entry in address_book.registry.directory() if entry.user == user)


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
    assert address_book.topic_name_of("lily") == "wife"
    assert address_book.is_trusted("lily") is trusted
    assert address_book.registry.is_pinned("wife")
    assert not address_book.registry.is_pinned("老婆")
    assert set(address_book.topic_names) == {"wife"}
    assert entry(address_book, "wife").matched_by == "pin"


def test_a_pinned_group_is_called_by_the_pin_and_not_trusted() -> None:
    address_book = AddressBook({"family": ContactPin(group="家")})
    address_book.add_group("g", "家", "a", "b")
    address_book.log_in()
    assert address_book.topic_name_of("g") == "family"
    assert not address_book.is_trusted("g")


def test_a_pin_renames_once_and_the_old_name_still_works() -> None:
    address_book = lily({})
    address_book.pins = WIFE
    changes = address_book.store(address_book.registry.set_pins(WIFE))
    (event,) = changes.events
    assert (event.name, event.user, event.fields) == ("topic_changed", "wife", {"from": "老婆", "to": "wife"})
    assert address_book.topic_name_of("lily") == "wife"
    assert address_book.recipient_of("老婆") == address_book.recipient_of("wife") == "lily"
    assert address_book.registry.set_pins(WIFE) == PeopleUpdate()
    address_book.restart()
    assert address_book.log_in().events == ()


def test_the_old_name_of_a_pinned_person_is_never_given_to_another() -> None:
    address_book = lily({})
    address_book.registry.set_pins(WIFE)
    address_book.change("lily", remark="妻")
    address_book.add_friend("eve", "老婆")
    address_book.send_update("lily", "eve")
    assert address_book.topic_name_of("eve") == "老婆-2"


def test_the_name_of_a_pin_that_fits_nobody_yet_is_kept_free() -> None:
    address_book = AddressBook(WIFE)
    address_book.add_friend("eve", "wife")
    address_book.log_in()
    assert address_book.topic_name_of("eve") == "wife-2"


def test_pins_that_changed_while_the_bridge_was_down_count_before_any_directory() -> None:
    address_book = lily()
    address_book.restart({})
    assert not address_book.is_trusted("lily")
    address_book.restart({"spouse": ContactPin(alias="lily_1")})
    assert address_book.topic_name_of("lily") == "spouse"
    changes = address_book.send_update()
    assert ("topic_changed", "spouse") in events(changes)


def test_a_pin_that_is_gone_leaves_the_name_and_ends_the_trust() -> None:
    address_book = lily()
    address_book.store(address_book.registry.set_pins({}))
    assert address_book.topic_name_of("lily") == "wife"
    assert not address_book.is_trusted("lily")
    assert entry(address_book, "wife").matched_by == "new"


def test_a_pin_under_another_name_renames_again_and_back() -> None:
    address_book = lily()
    address_book.store(address_book.registry.set_pins({"spouse": ContactPin(remark="老婆")}))
    assert address_book.topic_name_of("lily") == "spouse"
    changes = address_book.store(address_book.registry.set_pins(WIFE))
    assert address_book.topic_name_of("lily") == "wife"
    assert changes.people.topic_names == ()
    assert address_book.recipient_of("spouse") == "lily"


def test_a_remark_that_no_longer_fits_ends_the_trust_and_keeps_the_name() -> None:
    address_book = lily()
    address_book.change("lily", remark="ex")
    address_book.send_update("lily")
    assert address_book.topic_name_of("lily") == "wife"
    assert not address_book.is_trusted("lily")


def test_a_pin_that_fits_two_means_neither() -> None:
    address_book = lily()
    address_book.add_friend("eve", "Eve", remark="老婆")
    changes = address_book.send_update("eve")
    (added, event) = changes.events
    assert added.user == "老婆"
    assert (event.name, event.user) == ("unresolved", "wife")
    assert event.fields == {"reason": "pin_fits_several", "pin": "wife", "candidates": ["wife", "老婆"]}
    assert not address_book.is_trusted("lily")
    assert not address_book.is_trusted("eve")
    assert address_book.topic_name_of("lily") == "wife"
    assert {entry.problem for entry in address_book.registry.directory()} == {"pin_fits_several"}
    assert address_book.send_update("eve").events == ()
    address_book.change("eve", remark="")
    address_book.refresh()
    assert address_book.is_trusted("lily")
    assert {entry.problem for entry in address_book.registry.directory()} == {""}


def test_a_reload_does_not_tell_the_same_problem_again() -> None:
    address_book = lily()
    address_book.add_friend("eve", "Eve", remark="老婆")
    address_book.send_update("eve")
    assert address_book.registry.set_pins(WIFE) == PeopleUpdate()


def test_the_owner_moves_the_remark_to_somebody_else_and_the_name_follows() -> None:
    address_book = lily()
    address_book.add_friend("eve", "Eve")
    address_book.send_update("eve")
    address_book.change("lily", remark="ex")
    address_book.change("eve", remark="老婆")
    changes = address_book.send_update("lily", "eve")
    assert address_book.topic_name_of("eve") == "wife"
    assert address_book.topic_name_of("lily") == "ex"
    assert address_book.recipient_of("Eve") == "eve"
    assert address_book.is_trusted("eve")
    assert not address_book.is_trusted("lily")
    assert [event.fields for event in changes.events if event.name == "topic_changed"] == [
        {"from": "Eve", "to": "wife"},
        {"from": "wife", "to": "ex"},
    ]
    address_book.restart()
    assert address_book.recipient_of("wife") == "eve"


def test_the_owner_moves_the_remark_between_two_logins_and_the_name_follows() -> None:
    address_book = lily()
    address_book.add_friend("eve", "Eve")
    address_book.send_update("eve")
    address_book.change("lily", remark="ex")
    address_book.change("eve", remark="老婆")
    address_book.log_in()
    assert (address_book.topic_name_of("eve"), address_book.topic_name_of("lily")) == ("wife", "ex")
    assert address_book.recipient_of("Eve") == "eve"


def test_who_loses_a_name_has_an_earlier_one_back() -> None:
    address_book = lily({})
    address_book.store(address_book.registry.set_pins(WIFE))
    address_book.change("lily", remark="ex")
    address_book.add_friend("eve", "Eve", remark="老婆")
    address_book.send_update("lily", "eve")
    assert address_book.topic_name_of("lily") == "老婆"
    assert address_book.topic_name_of("eve") == "wife"


def test_the_wife_is_deleted_and_another_gets_the_remark() -> None:
    address_book = lily()
    address_book.remove_contact("lily")
    address_book.add_friend("eve", "Eve", remark="老婆")
    address_book.send_update("eve")
    assert address_book.topic_name_of("eve") == "wife"
    for _ in range(3):
        address_book.log_in()
        assert entry(address_book, "老婆").matched_by == "new"
        assert address_book.topic_name_of("eve") == "wife"
        assert address_book.is_trusted("eve")


def test_the_name_of_a_pin_is_taken_from_who_had_it_by_chance() -> None:
    address_book = AddressBook()
    address_book.add_friend("eve", "wife")
    address_book.add_friend("lily", "Lily", remark="老婆")
    address_book.log_in()
    changes = address_book.store(address_book.registry.set_pins(WIFE))
    assert address_book.recipient_of("wife") == "lily"
    assert address_book.topic_name_of("eve") == "wife-2"
    assert ("topic_changed", "wife-2") in events(changes)


def test_an_old_name_of_somebody_goes_to_the_pin_and_leaves_the_person_alone() -> None:
    address_book = lily({"a": ContactPin(remark="老婆")})
    address_book.store(address_book.registry.set_pins({"b": ContactPin(remark="老婆")}))
    address_book.add_friend("eve", "Eve", remark="E")
    address_book.send_update("eve")
    changes = address_book.store(
        address_book.registry.set_pins({"b": ContactPin(remark="老婆"), "a": ContactPin(remark="E")})
    )
    assert events(changes) == [("topic_changed", "a")]
    assert (address_book.recipient_of("a"), address_book.recipient_of("b")) == ("eve", "lily")


def test_a_pin_by_nickname_does_not_take_a_name_that_is_somebodys() -> None:
    address_book = AddressBook()
    address_book.add_friend("bob", "bob")
    address_book.add_friend("bobby", "Bobby")
    address_book.log_in()
    (event,) = address_book.store(
        address_book.registry.set_pins({"bob": ContactPin(nickname="Bobby")})
    ).events
    assert event.fields == {"reason": "pin_belongs_to_another", "pin": "bob", "candidates": ["Bobby"]}
    assert (address_book.topic_name_of("bob"), address_book.topic_name_of("bobby")) == ("bob", "Bobby")


def test_who_has_two_pins_is_called_by_the_stronger() -> None:
    address_book = lily(
        {
            "lil": ContactPin(nickname="Lily"),
            "wife": ContactPin(remark="老婆"),
            "my": ContactPin(alias="lily_1"),
        }
    )
    assert address_book.topic_name_of("lily") == "wife"
    assert address_book.is_trusted("lily")
    assert entry(address_book, "wife").problem == "person_has_another_pin"


def test_a_pin_for_the_file_helpers_name_means_nobody() -> None:
    address_book = lily({"filehelper": ContactPin(remark="老婆")})
    assert address_book.topic_name_of("lily") == "老婆"


def test_the_file_helper_cannot_be_pinned_by_what_it_is_called() -> None:
    address_book = AddressBook(
        {"note": ContactPin(alias="filehelper"), "x": ContactPin(nickname="filehelper")}
    )
    address_book.add_special("filehelper")
    address_book.log_in()
    assert address_book.topic_name_of("filehelper") == "filehelper"


def test_a_pin_that_says_nothing_means_nobody() -> None:
    address_book = lily({"x": ContactPin()})
    assert address_book.topic_name_of("lily") == "老婆"


def test_pins_by_ilink_id_and_owner() -> None:
    address_book = AddressBook({"me": ContactPin(ilink="o9@im.wechat"), "also": ContactPin(owner=True)})
    address_book.add_special("o9@im.wechat", ChatKind.FRIEND)
    address_book.add_special("o8@im.wechat", ChatKind.FRIEND)
    address_book.log_in()
    assert address_book.is_trusted("o9@im.wechat")
    assert address_book.topic_name_of("o9@im.wechat") == "me"
    assert not address_book.is_trusted("o8@im.wechat")


def test_names_of_pins_are_composed() -> None:
    address_book = lily({"Jose\u0301": ContactPin(remark="老婆")})
    assert address_book.topic_name_of("lily") == "José"
    assert address_book.registry.is_pinned("Jose\u0301")


def test_a_pin_says_who_of_two_with_the_remark_is_meant_in_a_new_login() -> None:
    """The removed friend still has the remark, and neither of the two has a picture."""
    address_book = AddressBook(WIFE)
    address_book.add_friend("old", "Lily", remark="老婆", avatar="")
    address_book.add_friend("tom", "Tom")
    address_book.log_in()
    address_book.remove_contact("old")
    address_book.add_friend("new", "Lily", remark="老婆", avatar="", profile=PROFILE)
    address_book.send_update("new")
    address_book.log_in()
    assert address_book.topic_name_of("new") == "wife"
    assert address_book.registry.closed_count == 0
    assert len(address_book.registry.directory()) == 3


def test_who_is_out_of_reach_keeps_the_pin_and_has_no_trust() -> None:
    address_book = lily()
    address_book.add_friend("tom", "Tom")
    address_book.log_in(without=("lily",), complete=False)
    person = address_book.person_of_topic("wife")
    assert (person.pin, person.trusted) == ("wife", False)
    address_book.refresh()
    assert address_book.is_trusted("lily")


def test_the_owner_stays_trusted_between_start_and_login() -> None:
    address_book = AddressBook({"me": ContactPin(owner=True)})
    address_book.add_special("me@im.wechat", ChatKind.FRIEND)
    address_book.login = 1
    owner = Owner(handle=Handle("me@im.wechat"), nickname="Me")
    contact = address_book.contact("me@im.wechat")
    address_book.store(address_book.registry.apply_directory([contact], "login-1", owner, 0, complete=True))
    assert address_book.is_trusted("me@im.wechat")
    address_book.restart()
    assert address_book.is_trusted("me@im.wechat")
    assert address_book.send_update() == PeopleUpdate()
    address_book.restart({"me": ContactPin(nickname="Me")})
    assert not address_book.is_trusted("me@im.wechat")


def test_a_remark_given_to_two_between_logins_lets_neither_claim_the_name() -> None:
    address_book = lily()
    address_book.add_friend("eve", "Eve", remark="老婆")
    address_book.change("lily", alias="")
    address_book.change_picture("lily")
    address_book.log_in()
    assert address_book.recipient_of("wife") is None
    assert address_book.registry.closed_count == 1
    assert not address_book.is_trusted("eve")

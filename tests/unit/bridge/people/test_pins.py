"""Pins: the person each stands for, the trust it gives, and what happens when that changes."""

from __future__ import annotations

import pytest

from tests.unit.bridge.phone import Phone, events
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.model import ChatKind, Handle, Owner

HOME = {"sex": "1", "province": "广东", "city": "广州", "attributes": "102437"}
WIFE = {"wife": ContactPin(remark="老婆")}


def lily(pins: dict[str, ContactPin] | None = None) -> Phone:
    phone = Phone(WIFE if pins is None else pins)
    phone.friend("lily", "Lily", remark="老婆", alias="lily_1")
    phone.log_in()
    return phone


def entry(phone: Phone, user: str):
    return next(entry for entry in phone.identity.directory() if entry.user == user)


@pytest.mark.parametrize(
    ("pin", "trusted"),
    [
        (ContactPin(remark="老婆"), True),
        (ContactPin(alias="lily_1"), True),
        (ContactPin(nickname="Lily"), False),
    ],
)
def test_a_pinned_friend_is_called_by_the_pin_from_the_start(pin: ContactPin, trusted: bool) -> None:
    phone = lily({"wife": pin})
    assert phone.level("lily") == "wife"
    assert phone.trusted("lily") is trusted
    assert phone.identity.is_pinned("wife")
    assert not phone.identity.is_pinned("老婆")
    assert set(phone.levels) == {"wife"}
    assert entry(phone, "wife").matched_by == "pin"


def test_a_pinned_group_is_called_by_the_pin_and_not_trusted() -> None:
    phone = Phone({"family": ContactPin(group="家")})
    phone.group("g", "家", "a", "b")
    phone.log_in()
    assert phone.level("g") == "family"
    assert not phone.trusted("g")


def test_a_pin_renames_once_and_the_old_name_still_works() -> None:
    phone = lily({})
    phone.pins = WIFE
    changes = phone.keep(phone.identity.set_pins(WIFE, 1))
    (event,) = changes.events
    assert (event.name, event.user, event.fields) == ("topic_changed", "wife", {"from": "老婆", "to": "wife"})
    assert phone.level("lily") == "wife"
    assert phone.reaches("老婆") == phone.reaches("wife") == "lily"
    assert phone.identity.set_pins(WIFE, 1) == PeopleUpdate()
    phone.restart()
    assert phone.log_in().events == ()


def test_the_old_name_of_a_pinned_person_is_never_given_to_another() -> None:
    phone = lily({})
    phone.identity.set_pins(WIFE, 1)
    phone.change("lily", remark="妻")
    phone.friend("eve", "老婆")
    phone.tell("lily", "eve")
    assert phone.level("eve") == "老婆-2"


def test_the_name_of_a_pin_that_fits_nobody_yet_is_kept_free() -> None:
    phone = Phone(WIFE)
    phone.friend("eve", "wife")
    phone.log_in()
    assert phone.level("eve") == "wife-2"


def test_pins_that_changed_while_the_bridge_was_down_count_before_any_directory() -> None:
    phone = lily()
    phone.restart({})
    assert not phone.trusted("lily")
    phone.restart({"spouse": ContactPin(alias="lily_1")})
    assert phone.level("lily") == "spouse"
    changes = phone.tell()
    assert ("topic_changed", "spouse") in events(changes)


def test_a_pin_that_is_gone_leaves_the_name_and_ends_the_trust() -> None:
    phone = lily()
    phone.keep(phone.identity.set_pins({}, 1))
    assert phone.level("lily") == "wife"
    assert not phone.trusted("lily")
    assert entry(phone, "wife").matched_by == "new"


def test_a_pin_under_another_name_renames_again_and_back() -> None:
    phone = lily()
    phone.keep(phone.identity.set_pins({"spouse": ContactPin(remark="老婆")}, 1))
    assert phone.level("lily") == "spouse"
    changes = phone.keep(phone.identity.set_pins(WIFE, 1))
    assert phone.level("lily") == "wife"
    assert changes.people.levels == ()
    assert phone.reaches("spouse") == "lily"


def test_a_remark_that_no_longer_fits_ends_the_trust_and_keeps_the_name() -> None:
    phone = lily()
    phone.change("lily", remark="ex")
    phone.tell("lily")
    assert phone.level("lily") == "wife"
    assert not phone.trusted("lily")


def test_a_pin_that_fits_two_means_neither() -> None:
    phone = lily()
    phone.friend("eve", "Eve", remark="老婆")
    changes = phone.tell("eve")
    (added, event) = changes.events
    assert added.user == "老婆"
    assert (event.name, event.user) == ("unresolved", "wife")
    assert event.fields == {"reason": "pin_fits_several", "pin": "wife", "candidates": ["wife", "老婆"]}
    assert not phone.trusted("lily")
    assert not phone.trusted("eve")
    assert phone.level("lily") == "wife"
    assert {one.problem for one in phone.identity.directory()} == {"pin_fits_several"}
    assert phone.tell("eve").events == ()
    phone.change("eve", remark="")
    phone.refresh()
    assert phone.trusted("lily")
    assert {one.problem for one in phone.identity.directory()} == {""}


def test_a_reload_does_not_tell_the_same_problem_again() -> None:
    phone = lily()
    phone.friend("eve", "Eve", remark="老婆")
    phone.tell("eve")
    assert phone.identity.set_pins(WIFE, 1) == PeopleUpdate()


def test_the_owner_moves_the_remark_to_somebody_else_and_the_name_follows() -> None:
    phone = lily()
    phone.friend("eve", "Eve")
    phone.tell("eve")
    phone.change("lily", remark="ex")
    phone.change("eve", remark="老婆")
    changes = phone.tell("lily", "eve")
    assert phone.level("eve") == "wife"
    assert phone.level("lily") == "ex"
    assert phone.reaches("Eve") == "eve"
    assert phone.trusted("eve")
    assert not phone.trusted("lily")
    assert [event.fields for event in changes.events if event.name == "topic_changed"] == [
        {"from": "Eve", "to": "wife"},
        {"from": "wife", "to": "ex"},
    ]
    phone.restart()
    assert phone.reaches("wife") == "eve"


def test_the_owner_moves_the_remark_between_two_logins_and_the_name_follows() -> None:
    phone = lily()
    phone.friend("eve", "Eve")
    phone.tell("eve")
    phone.change("lily", remark="ex")
    phone.change("eve", remark="老婆")
    phone.log_in()
    assert (phone.level("eve"), phone.level("lily")) == ("wife", "ex")
    assert phone.reaches("Eve") == "eve"


def test_who_loses_a_name_has_an_earlier_one_back() -> None:
    phone = lily({})
    phone.keep(phone.identity.set_pins(WIFE, 1))
    phone.change("lily", remark="ex")
    phone.friend("eve", "Eve", remark="老婆")
    phone.tell("lily", "eve")
    assert phone.level("lily") == "老婆"
    assert phone.level("eve") == "wife"


def test_the_wife_is_deleted_and_another_gets_the_remark() -> None:
    phone = lily()
    phone.drop("lily")
    phone.friend("eve", "Eve", remark="老婆")
    phone.tell("eve")
    assert phone.level("eve") == "wife"
    for _ in range(3):
        phone.log_in()
        assert entry(phone, "老婆").matched_by == "new"
        assert phone.level("eve") == "wife"
        assert phone.trusted("eve")


def test_the_name_of_a_pin_is_taken_from_who_had_it_by_chance() -> None:
    phone = Phone()
    phone.friend("eve", "wife")
    phone.friend("lily", "Lily", remark="老婆")
    phone.log_in()
    changes = phone.keep(phone.identity.set_pins(WIFE, 1))
    assert phone.reaches("wife") == "lily"
    assert phone.level("eve") == "wife-2"
    assert ("topic_changed", "wife-2") in events(changes)


def test_an_old_name_of_somebody_goes_to_the_pin_and_leaves_the_person_alone() -> None:
    phone = lily({"a": ContactPin(remark="老婆")})
    phone.keep(phone.identity.set_pins({"b": ContactPin(remark="老婆")}, 1))
    phone.friend("eve", "Eve", remark="E")
    phone.tell("eve")
    changes = phone.keep(
        phone.identity.set_pins({"b": ContactPin(remark="老婆"), "a": ContactPin(remark="E")}, 1)
    )
    assert events(changes) == [("topic_changed", "a")]
    assert (phone.reaches("a"), phone.reaches("b")) == ("eve", "lily")


def test_a_pin_by_nickname_does_not_take_a_name_that_is_somebodys() -> None:
    phone = Phone()
    phone.friend("bob", "bob")
    phone.friend("bobby", "Bobby")
    phone.log_in()
    (event,) = phone.keep(phone.identity.set_pins({"bob": ContactPin(nickname="Bobby")}, 1)).events
    assert event.fields == {"reason": "pin_belongs_to_another", "pin": "bob", "candidates": ["Bobby"]}
    assert (phone.level("bob"), phone.level("bobby")) == ("bob", "Bobby")


def test_who_has_two_pins_is_called_by_the_stronger() -> None:
    phone = lily(
        {
            "lil": ContactPin(nickname="Lily"),
            "wife": ContactPin(remark="老婆"),
            "my": ContactPin(alias="lily_1"),
        }
    )
    assert phone.level("lily") == "wife"
    assert phone.trusted("lily")
    assert entry(phone, "wife").problem == "person_has_another_pin"


def test_a_pin_for_the_file_helpers_name_means_nobody() -> None:
    phone = lily({"filehelper": ContactPin(remark="老婆")})
    assert phone.level("lily") == "老婆"


def test_the_file_helper_cannot_be_pinned_by_what_it_is_called() -> None:
    phone = Phone({"note": ContactPin(alias="filehelper"), "x": ContactPin(nickname="filehelper")})
    phone.special("filehelper")
    phone.log_in()
    assert phone.level("filehelper") == "filehelper"


def test_a_pin_that_says_nothing_means_nobody() -> None:
    phone = lily({"x": ContactPin()})
    assert phone.level("lily") == "老婆"


def test_pins_by_ilink_id_and_owner() -> None:
    phone = Phone({"me": ContactPin(ilink="o9@im.wechat"), "also": ContactPin(owner=True)})
    phone.special("o9@im.wechat", ChatKind.FRIEND)
    phone.special("o8@im.wechat", ChatKind.FRIEND)
    phone.log_in()
    assert phone.trusted("o9@im.wechat")
    assert phone.level("o9@im.wechat") == "me"
    assert not phone.trusted("o8@im.wechat")


def test_names_of_pins_are_composed() -> None:
    phone = lily({"Jose\u0301": ContactPin(remark="老婆")})
    assert phone.level("lily") == "José"
    assert phone.identity.is_pinned("Jose\u0301")


def test_a_pin_says_who_of_two_with_the_remark_is_meant_in_a_new_login() -> None:
    """An old one was removed and has the remark still; neither shows a picture."""
    phone = Phone(WIFE)
    phone.friend("old", "Lily", remark="老婆", avatar="")
    phone.friend("tom", "Tom")
    phone.log_in()
    phone.drop("old")
    phone.friend("new", "Lily", remark="老婆", avatar="", profile=HOME)
    phone.tell("new")
    phone.log_in()
    assert phone.level("new") == "wife"
    assert phone.identity.closed_count == 0
    assert len(phone.identity.directory()) == 3


def test_who_is_out_of_reach_keeps_the_pin_and_has_no_trust() -> None:
    phone = lily()
    phone.friend("tom", "Tom")
    phone.log_in(without=("lily",), complete=False)
    person = phone.person("wife")
    assert (person.pin, person.trusted) == ("wife", False)
    phone.refresh()
    assert phone.trusted("lily")


def test_the_owner_stays_trusted_between_start_and_login() -> None:
    phone = Phone({"me": ContactPin(owner=True)})
    phone.special("me@im.wechat", ChatKind.FRIEND)
    phone.login = 1
    owner = Owner(handle=Handle("me@im.wechat"), nickname="Me")
    contact = phone.contact("me@im.wechat")
    phone.keep(phone.identity.apply_directory([contact], "login-1", owner, 0, complete=True))
    assert phone.trusted("me@im.wechat")
    phone.restart()
    assert phone.trusted("me@im.wechat")
    assert phone.tell() == PeopleUpdate()
    phone.restart({"me": ContactPin(nickname="Me")})
    assert not phone.trusted("me@im.wechat")


def test_a_remark_given_to_two_between_logins_lets_neither_claim_the_name() -> None:
    phone = lily()
    phone.friend("eve", "Eve", remark="老婆")
    phone.change("lily", alias="")
    phone.new_picture("lily")
    phone.log_in()
    assert phone.reaches("wife") is None
    assert phone.identity.closed_count == 1
    assert not phone.trusted("eve")

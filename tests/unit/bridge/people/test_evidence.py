"""Facts and pins: what is compared, and what a pin means."""

from __future__ import annotations

from typing import Any

import pytest

from wx2mqtt.bridge.people.evidence import Facts, Pin, checksums, facts_of, member_set, tidy
from wx2mqtt.model import ChatKind, Contact, Handle, Member

ME = Handle("@me")


def facts(**values: Any) -> Facts:
    values.setdefault("kind", ChatKind.FRIEND)
    return facts_of(Contact(handle=values.pop("handle", Handle("@x")), **values), owner=ME, uin="42")


def people(*names: str) -> tuple[Member, ...]:
    return tuple(Member(handle=Handle(f"@{name}"), nickname=name) for name in names)


def test_texts_are_compared_composed_and_trimmed() -> None:
    assert facts(nickname=" Jose\u0301 ").nickname == "José"


def test_half_a_character_does_not_reach_the_store() -> None:
    tidy("\ud83dx").encode()


def test_values_that_say_nothing_are_unknown() -> None:
    found = facts(avatar="0", profile={"sex": "0", "province": "", "city": "广州"})
    assert found.avatar == ""
    assert found.profile == {"city": "广州"}


def test_equal_profiles_are_kept_once() -> None:
    assert facts(profile={"sex": "1"}).profile is facts(profile={"sex": "1", "city": ""}).profile


def test_the_file_helper_is_the_owner_himself_whatever_it_says_of_itself() -> None:
    assert facts(permanent_id="filehelper", kind=ChatKind.SYSTEM).kind is ChatKind.SELF


def test_the_accounts_own_entry_is_known_by_its_number() -> None:
    assert facts(handle=ME).permanent_id == "uin:42"
    assert facts(handle=Handle("@other")).permanent_id == ""


def test_members_are_compared_as_a_set_of_names_without_the_owner() -> None:
    both = (*people("b", "a", "a"), Member(handle=ME, nickname="Me"), Member(handle=Handle("@n")))
    assert checksums(both, ME) == checksums(people("a", "b"), ME)
    assert len(member_set(checksums(both, ME))) == 2


def test_members_are_kept_in_ascending_order_on_any_machine() -> None:
    kept = checksums(people(*map(str, range(50))), ME)
    numbers = [int.from_bytes(kept[place : place + 4]) for place in range(0, len(kept), 4)]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("pin", "one", "fits"),
    [
        (Pin(remark="老婆"), facts(remark="老婆"), True),
        (Pin(remark="老婆"), facts(nickname="老婆"), False),
        (Pin(remark="老婆"), facts(remark="老婆", kind=ChatKind.GROUP), False),
        (Pin(remark="Jose\u0301"), facts(remark="José"), True),
        (Pin(alias="lily_1"), facts(alias="lily_1"), True),
        (Pin(alias="lily_1"), facts(nickname="lily_1"), False),
        (Pin(nickname="Lily"), facts(nickname="Lily"), True),
        (Pin(nickname="Lily"), facts(nickname="Lily", kind=ChatKind.GROUP), False),
        (Pin(group="家"), facts(nickname="家", kind=ChatKind.GROUP), True),
        (Pin(group="家"), facts(nickname="x", remark="家", kind=ChatKind.GROUP), True),
        (Pin(group="家"), facts(nickname="家"), False),
        (Pin(ilink="o9@im.wechat"), facts(permanent_id="o9@im.wechat"), True),
        (Pin(ilink="o9@im.wechat"), facts(nickname="o9@im.wechat"), False),
        (Pin(owner=True), facts(handle=ME), True),
        (Pin(owner=True), facts(nickname="Me"), False),
        (Pin(remark="老婆", nickname="Lily"), facts(remark="老婆", nickname="Eve"), False),
        (Pin(remark="老婆", nickname="Lily"), facts(remark="老婆", nickname="Lily"), True),
        (Pin(), facts(), False),
    ],
)
def test_whom_a_pin_means(pin: Pin, one: Facts, fits: bool) -> None:
    assert pin.fits(one, ME) is fits


def test_an_owner_pin_means_nobody_before_the_owner_is_known() -> None:
    assert not Pin(owner=True).fits(facts(handle=ME), None)


@pytest.mark.parametrize("pin", [Pin(nickname="x"), Pin(group="x"), Pin(nickname="x", group="y"), Pin()])
def test_what_strangers_choose_gives_no_trust(pin: Pin) -> None:
    assert not pin.strong


@pytest.mark.parametrize("pin", [Pin(remark="x"), Pin(alias="x"), Pin(ilink="x"), Pin(owner=True)])
def test_the_owners_word_gives_trust(pin: Pin) -> None:
    assert pin.strong

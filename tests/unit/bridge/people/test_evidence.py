"""Normalised facts about contacts, and what a pin matches."""

from __future__ import annotations

from typing import Any

from tests.support.rows import every_row
from wx2mqtt.bridge.people.evidence import (
    ContactFacts,
    ContactPin,
    checksums,
    contact_facts,
    member_set,
    normalize_text,
)
from wx2mqtt.model import ChatKind, Contact, Handle, Member

ME = Handle("@me")


def facts(**values: Any) -> ContactFacts:
    values.setdefault("kind", ChatKind.FRIEND)
    return contact_facts(Contact(handle=values.pop("handle", Handle("@x")), **values), owner=ME, uin="42")


def people(*names: str) -> tuple[Member, ...]:
    return tuple(Member(handle=Handle(f"@{name}"), nickname=name) for name in names)


def test_texts_are_compared_composed_and_trimmed() -> None:
    assert facts(nickname=" Jose\u0301 ").nickname == "José"


def test_half_a_character_does_not_reach_the_store() -> None:
    normalize_text("\ud83dx").encode()


def test_values_that_say_nothing_are_unknown() -> None:
    found = facts(avatar="0", profile={"sex": "0", "province": "", "city": "广州"})
    assert found.avatar == ""
    assert found.profile == {"city": "广州"}


def test_equal_values_are_kept_once() -> None:
    """Thousands of people have one of a few cities in their profile."""
    first, second = (facts(profile={"city": b"Guangzhou Guangdong".decode()}).profile for _ in range(2))
    assert first["city"] is second["city"]
    assert facts(profile={"sex": "0"}).profile is facts(profile={}).profile, "most have none"


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


@every_row(
    ("pin", "contact", "fits"),
    [
        (ContactPin(remark="老婆"), facts(remark="老婆"), True),
        (ContactPin(remark="老婆"), facts(nickname="老婆"), False),
        (ContactPin(remark="老婆"), facts(remark="老婆", kind=ChatKind.GROUP), False),
        (ContactPin(remark="Jose\u0301"), facts(remark="José"), True),
        (ContactPin(alias="lily_1"), facts(alias="lily_1"), True),
        (ContactPin(alias="lily_1"), facts(nickname="lily_1"), False),
        (ContactPin(nickname="Lily"), facts(nickname="Lily"), True),
        (ContactPin(nickname="Lily"), facts(nickname="Lily", kind=ChatKind.GROUP), False),
        (ContactPin(group="家"), facts(nickname="家", kind=ChatKind.GROUP), True),
        (ContactPin(group="家"), facts(nickname="x", remark="家", kind=ChatKind.GROUP), True),
        (ContactPin(group="家"), facts(nickname="家"), False),
        (ContactPin(ilink="o9@im.wechat"), facts(permanent_id="o9@im.wechat"), True),
        (ContactPin(ilink="o9@im.wechat"), facts(nickname="o9@im.wechat"), False),
        (ContactPin(owner=True), facts(handle=ME), True),
        (ContactPin(owner=True), facts(nickname="Me"), False),
        (ContactPin(remark="老婆", nickname="Lily"), facts(remark="老婆", nickname="Eve"), False),
        (ContactPin(remark="老婆", nickname="Lily"), facts(remark="老婆", nickname="Lily"), True),
        (ContactPin(), facts(), False),
    ],
)
def test_whom_a_pin_means(pin: ContactPin, contact: ContactFacts, fits: bool) -> None:
    assert pin.matches(contact, ME) is fits


def test_an_owner_pin_means_nobody_before_the_owner_is_known() -> None:
    assert not ContactPin(owner=True).matches(facts(handle=ME), None)


@every_row(
    "pin",
    [ContactPin(nickname="x"), ContactPin(group="x"), ContactPin(nickname="x", group="y"), ContactPin()],
)
def test_what_strangers_choose_gives_no_trust(pin: ContactPin) -> None:
    assert not pin.is_strong


@every_row(
    "pin", [ContactPin(remark="x"), ContactPin(alias="x"), ContactPin(ilink="x"), ContactPin(owner=True)]
)
def test_a_pin_that_only_the_owner_can_choose_gives_trust(pin: ContactPin) -> None:
    assert pin.is_strong

"""The names that the owner gives to people: whom each means, who is trusted for it, what is wrong.

A pin by remark, alias, iLink id or owner is the owner's word, and its name goes to whoever it means now.
A pin by nickname or group goes by what strangers choose: its name stays with the person that once got it.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from wx2mqtt.bridge.people.evidence import ContactPin, Traits, normalize_text
from wx2mqtt.bridge.people.table import PeopleTable
from wx2mqtt.bridge.people.topic_names import FILEHELPER
from wx2mqtt.model import ChatKind, Handle, PersonId
from wx2mqtt.store.records import Person

FITS_SEVERAL = "pin_fits_several"
BELONGS_TO_ANOTHER = "pin_belongs_to_another"
HAS_ANOTHER = "person_has_another_pin"

TraitsT = TypeVar("TraitsT", bound=Traits)


@dataclass(frozen=True, slots=True)
class PinProblem:
    """Why a pin names nobody, and whom it may have meant."""

    reason: str
    people: tuple[PersonId, ...]


class PinResolver:
    """The pins of one account. `problems` are as of the last `settle`."""

    def __init__(self, pins: Mapping[str, ContactPin]) -> None:
        named = {unicodedata.normalize("NFC", key): pin for key, pin in pins.items()}
        named.pop(FILEHELPER, None)  # belongs to the file helper alone
        self.pins = dict(sorted(named.items(), key=lambda item: not item[1].is_strong))
        self.problems: dict[str, PinProblem] = {}
        self._index: dict[tuple[str, str], list[str]] = defaultdict(list)
        for key, pin in self.pins.items():
            self._index[_clue(pin)].append(key)

    def __contains__(self, level: str) -> bool:
        return unicodedata.normalize("NFC", level) in self.pins

    def may_match(self, traits: Traits, owner: Handle | None) -> bool:
        """Whether a pin may mean this one, or it is the owner; quick, and sometimes wrongly true."""
        if owner is not None and traits.permanent_id == owner:
            return True
        return bool(self._index) and any(clue in self._index for clue in _clues(traits, owner))

    def matches_by_pin(self, people: Iterable[TraitsT], owner: Handle | None) -> dict[str, list[TraitsT]]:
        """For each pin whom of these it fits; pins that fit nobody are left out."""
        found: dict[str, list[TraitsT]] = defaultdict(list)
        for one in people if self.pins else ():
            if one.permanent_id == FILEHELPER:
                continue
            keys = {key for clue in _clues(one, owner) for key in self._index.get(clue, ())}
            for key in keys:
                if self.pins[key].matches(one, owner):
                    found[key].append(one)
        return found

    def resolve(self, table: PeopleTable, owner: Handle | None, make_level: Callable[[Person], str]) -> None:
        """Give every pin's name to the one whom it means. `name` makes a level for who loses theirs."""
        chosen = self._choose(table, owner)
        for key, person in chosen.items():
            self._assign_level(table, key, person, make_level)
        pinned = {person: key for key, person in chosen.items()}
        for one in list(table.persons.values()):
            pin = pinned.get(one.id) or self._retained_pin(table, one)
            strong = one.id in pinned and self.pins[pin].is_strong
            trusted = one.kind is ChatKind.SELF or strong or _has_scanned(one, owner)
            if (one.pin, one.trusted) != (pin, trusted):
                table.change(one.id, pin=pin, trusted=trusted)

    def _choose(self, table: PeopleTable, owner: Handle | None) -> dict[str, PersonId]:
        present = [one for one in table.persons.values() if one.handle is not None and not one.removed]
        fitting = self.matches_by_pin(present, owner)
        if owner is None:  # between start and login: whoever was the owner still is
            trusted = [one for one in present if one.pin and one.trusted]
            fitting |= {one.pin: [one] for one in trusted if self._is_owner_pin(one.pin)}
        chosen: dict[str, PersonId] = {}
        problems: dict[str, PinProblem] = {}
        for key in self.pins:
            people = tuple(one.id for one in fitting.get(key, ()))
            if not people:
                continue
            reason = self._problem_reason(table, key, people, chosen)
            if reason:
                problems[key] = PinProblem(reason, people)
            else:
                chosen[key] = people[0]
        self._record_problems(table, problems)
        return chosen

    def _is_owner_pin(self, key: str) -> bool:
        return key in self.pins and self.pins[key].owner

    def _problem_reason(
        self, table: PeopleTable, key: str, people: tuple[PersonId, ...], chosen: Mapping[str, PersonId]
    ) -> str:
        if len(people) > 1:
            return FITS_SEVERAL
        if people[0] in chosen.values():
            return HAS_ANOTHER
        if not self.pins[key].is_strong and table.levels.get(key, people[0]) != people[0]:
            return BELONGS_TO_ANOTHER
        return ""

    def _record_problems(self, table: PeopleTable, problems: dict[str, PinProblem]) -> None:
        for key, problem in problems.items():
            if self.problems.get(key) != problem:
                table.add_event("unresolved", key, {"reason": problem.reason, "pin": key}, problem.people)
        self.problems = problems

    def _assign_level(
        self, table: PeopleTable, key: str, person: PersonId, make_level: Callable[[Person], str]
    ) -> None:
        was = table.persons[person].level
        holder = table.levels.get(key)
        if was == key and holder == person:
            return
        table.set_level(person, key)
        if was:
            table.add_event("topic_changed", person, {"from": was, "to": key})
        displaced = None if holder is None else table.persons.get(holder)
        if displaced is not None and displaced.id != person and displaced.level == key:
            earlier = table.levels_of(displaced.id)
            table.set_level(displaced.id, earlier[0] if earlier else make_level(displaced))
            to = table.persons[displaced.id].level
            table.add_event("topic_changed", displaced.id, {"from": key, "to": to})

    def _retained_pin(self, table: PeopleTable, person: Person) -> str:
        """Whoever is out of reach keeps the pin, so that it can speak for them when they are back."""
        if person.handle is None and person.pin in self.pins and table.levels.get(person.pin) == person.id:
            return person.pin
        return ""


def _has_scanned(person: Person, owner: Handle | None) -> bool:
    """Whether this is the owner, who writes to a bot of their own; as before, between start and login."""
    if owner is None:
        return person.trusted and not person.pin and bool(person.permanent_id)
    return person.permanent_id == owner


def _clue(pin: ContactPin) -> tuple[str, str]:
    """One thing that whoever the pin fits must have, to find them quickly."""
    given = (
        ("remark", normalize_text(pin.remark)),
        ("alias", normalize_text(pin.alias)),
        ("ilink", pin.ilink),
        ("nickname", normalize_text(pin.nickname)),
        ("group", normalize_text(pin.group)),
        ("owner", "yes" if pin.owner else ""),
    )
    return next((clue for clue in given if clue[1]), ("", ""))


def _clues(traits: Traits, owner: Handle | None) -> Iterable[tuple[str, str]]:
    if owner is not None and owner in {traits.handle, traits.permanent_id}:
        yield "owner", "yes"
    if traits.kind is ChatKind.GROUP:
        yield "group", traits.nickname
        yield "group", traits.remark
        return
    yield "remark", traits.remark
    yield "alias", traits.alias
    yield "nickname", traits.nickname
    yield "ilink", traits.permanent_id

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

from wx2mqtt.bridge.people.evidence import Pin, Traits, tidy
from wx2mqtt.bridge.people.naming import FILEHELPER
from wx2mqtt.bridge.people.roster import Roster
from wx2mqtt.model import ChatKind, Handle, PersonId
from wx2mqtt.store.people import Person

FITS_SEVERAL = "pin_fits_several"
BELONGS_TO_ANOTHER = "pin_belongs_to_another"
HAS_ANOTHER = "person_has_another_pin"

One = TypeVar("One", bound=Traits)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a pin names nobody, and whom it may have meant."""

    reason: str
    people: tuple[PersonId, ...]


class Pinning:
    """The pins of one account. `problems` are as of the last `settle`."""

    def __init__(self, pins: Mapping[str, Pin]) -> None:
        named = {unicodedata.normalize("NFC", key): pin for key, pin in pins.items()}
        named.pop(FILEHELPER, None)  # belongs to the file helper alone
        self.pins = dict(sorted(named.items(), key=lambda item: not item[1].strong))
        self.problems: dict[str, Problem] = {}
        self._index: dict[tuple[str, str], list[str]] = defaultdict(list)
        for key, pin in self.pins.items():
            self._index[_clue(pin)].append(key)

    def __contains__(self, level: str) -> bool:
        return unicodedata.normalize("NFC", level) in self.pins

    def concerns(self, one: Traits, owner: Handle | None) -> bool:
        """Whether a pin may mean this one, or it is the owner; quick, and sometimes wrongly true."""
        if owner is not None and one.permanent_id == owner:
            return True
        return bool(self._index) and any(clue in self._index for clue in _clues(one, owner))

    def fitting(self, people: Iterable[One], owner: Handle | None) -> dict[str, list[One]]:
        """For each pin whom of these it fits; pins that fit nobody are left out."""
        found: dict[str, list[One]] = defaultdict(list)
        for one in people if self.pins else ():
            if one.permanent_id == FILEHELPER:
                continue
            keys = {key for clue in _clues(one, owner) for key in self._index.get(clue, ())}
            for key in keys:
                if self.pins[key].fits(one, owner):
                    found[key].append(one)
        return found

    def settle(self, roster: Roster, owner: Handle | None, name: Callable[[Person], str]) -> None:
        """Give every pin's name to the one whom it means. `name` makes a level for who loses theirs."""
        chosen = self._choose(roster, owner)
        for key, person in chosen.items():
            self._call(roster, key, person, name)
        pinned = {person: key for key, person in chosen.items()}
        for one in list(roster.persons.values()):
            pin = pinned.get(one.id) or self._kept(roster, one)
            strong = one.id in pinned and self.pins[pin].strong
            trusted = one.kind is ChatKind.SELF or strong or _has_scanned(one, owner)
            if (one.pin, one.trusted) != (pin, trusted):
                roster.change(one.id, pin=pin, trusted=trusted)

    def _choose(self, roster: Roster, owner: Handle | None) -> dict[str, PersonId]:
        present = [one for one in roster.persons.values() if one.handle is not None and not one.removed]
        fitting = self.fitting(present, owner)
        if owner is None:  # between start and login: whoever was the owner still is
            trusted = [one for one in present if one.pin and one.trusted]
            fitting |= {one.pin: [one] for one in trusted if self._means_owner(one.pin)}
        chosen: dict[str, PersonId] = {}
        problems: dict[str, Problem] = {}
        for key in self.pins:
            people = tuple(one.id for one in fitting.get(key, ()))
            if not people:
                continue
            reason = self._objection(roster, key, people, chosen)
            if reason:
                problems[key] = Problem(reason, people)
            else:
                chosen[key] = people[0]
        self._tell(roster, problems)
        return chosen

    def _means_owner(self, key: str) -> bool:
        return key in self.pins and self.pins[key].owner

    def _objection(
        self, roster: Roster, key: str, people: tuple[PersonId, ...], chosen: Mapping[str, PersonId]
    ) -> str:
        if len(people) > 1:
            return FITS_SEVERAL
        if people[0] in chosen.values():
            return HAS_ANOTHER
        if not self.pins[key].strong and roster.levels.get(key, people[0]) != people[0]:
            return BELONGS_TO_ANOTHER
        return ""

    def _tell(self, roster: Roster, problems: dict[str, Problem]) -> None:
        for key, problem in problems.items():
            if self.problems.get(key) != problem:
                roster.tell("unresolved", key, {"reason": problem.reason, "pin": key}, problem.people)
        self.problems = problems

    def _call(self, roster: Roster, key: str, person: PersonId, name: Callable[[Person], str]) -> None:
        was = roster.persons[person].level
        holder = roster.levels.get(key)
        if was == key and holder == person:
            return
        roster.call(person, key)
        if was:
            roster.tell("topic_changed", person, {"from": was, "to": key})
        displaced = None if holder is None else roster.persons.get(holder)
        if displaced is not None and displaced.id != person and displaced.level == key:
            earlier = roster.levels_of(displaced.id)
            roster.call(displaced.id, earlier[0] if earlier else name(displaced))
            to = roster.persons[displaced.id].level
            roster.tell("topic_changed", displaced.id, {"from": key, "to": to})

    def _kept(self, roster: Roster, person: Person) -> str:
        """Whoever is out of reach keeps the pin, so that it can speak for them when they are back."""
        if person.handle is None and person.pin in self.pins and roster.levels.get(person.pin) == person.id:
            return person.pin
        return ""


def _has_scanned(person: Person, owner: Handle | None) -> bool:
    """Whether this is the owner, who writes to a bot of their own; as before, between start and login."""
    if owner is None:
        return person.trusted and not person.pin and bool(person.permanent_id)
    return person.permanent_id == owner


def _clue(pin: Pin) -> tuple[str, str]:
    """One thing that whoever the pin fits must have, to find them quickly."""
    given = (
        ("remark", tidy(pin.remark)),
        ("alias", tidy(pin.alias)),
        ("ilink", pin.ilink),
        ("nickname", tidy(pin.nickname)),
        ("group", tidy(pin.group)),
        ("owner", "yes" if pin.owner else ""),
    )
    return next((clue for clue in given if clue[1]), ("", ""))


def _clues(one: Traits, owner: Handle | None) -> Iterable[tuple[str, str]]:
    if owner is not None and owner in {one.handle, one.permanent_id}:
        yield "owner", "yes"
    if one.kind is ChatKind.GROUP:
        yield "group", one.nickname
        yield "group", one.remark
        return
    yield "remark", one.remark
    yield "alias", one.alias
    yield "nickname", one.nickname
    yield "ilink", one.permanent_id

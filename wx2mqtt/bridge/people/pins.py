"""Pins: names in the configuration, the person each stands for, who is trusted, and problems.

A pin by remark, alias, id (iLink, WeCom) or owner is under the owner's control; its name goes to whoever
matches now.
A pin by nickname or group depends on what strangers choose; its name stays with the person who first got it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from wx2mqtt.bridge.people.evidence import (
    MAX_CANDIDATES,
    ContactPin,
    Traits,
    id_without_kind,
    normalize_text,
)
from wx2mqtt.bridge.people.table import PeopleTable
from wx2mqtt.model import FILEHELPER, ChatKind, Handle, PersonId
from wx2mqtt.names import composed
from wx2mqtt.store.person_records import Person
from wx2mqtt.values import frozen

REASON_FITS_SEVERAL = "pin_fits_several"
REASON_BELONGS_TO_ANOTHER = "pin_belongs_to_another"
REASON_HAS_ANOTHER = "person_has_another_pin"

TraitsT = TypeVar("TraitsT", bound=Traits)


@frozen(kw_only=False)
class PinProblem:
    """Why a pin stands for nobody, and the people that it may have meant."""

    reason: str
    people: tuple[PersonId, ...]


class PinResolver:
    """The pins of one account. `problems` are those of the last `resolve`."""

    def __init__(self, pins: Mapping[str, ContactPin]) -> None:
        normalized = {composed(key): pin for key, pin in pins.items()}
        normalized.pop(FILEHELPER, None)  # reserved for the file helper
        self.pins = dict(sorted(normalized.items(), key=lambda item: not item[1].is_strong))
        self.problems: dict[str, PinProblem] = {}
        self._index: dict[tuple[str, str], list[str]] = defaultdict(list)
        for key, pin in self.pins.items():
            self._index[_clue(pin)].append(key)

    def __contains__(self, topic_name: str) -> bool:
        return composed(topic_name) in self.pins

    def is_in_doubt(self, person: PersonId) -> bool:
        """Returns whether a pin fits this person and others."""
        return any(person in problem.people for problem in self.problems.values())

    def may_match(self, traits: Traits, owner: Handle | None) -> bool:
        """Returns whether a pin may match, or the person is the owner. Fast; may be wrongly true."""
        if owner is not None and traits.permanent_id == owner:
            return True
        return bool(self._index) and any(clue in self._index for clue in _clues(traits, owner))

    def matches_by_pin(self, people: Iterable[TraitsT], owner: Handle | None) -> dict[str, list[TraitsT]]:
        """Returns the matching people of each pin; pins that match nobody are absent."""
        matches: dict[str, list[TraitsT]] = defaultdict(list)
        for person in people if self.pins else ():
            if person.permanent_id == FILEHELPER:
                continue
            keys = {key for clue in _clues(person, owner) for key in self._index.get(clue, ())}
            for key in keys:
                if self.pins[key].matches(person, owner):
                    matches[key].append(person)
        return matches

    def resolve(
        self,
        table: PeopleTable,
        owner: Handle | None,
        make_name: Callable[[Person], str],
        *,
        gives_trust: bool = True,
    ) -> None:
        """Gives every pin's name to its person; `make_name` makes one for a person who loses theirs.

        Without `gives_trust` neither a pin nor being the owner makes anybody trusted.
        """
        chosen = self._choose(table, owner)
        for key, person_id in chosen.items():
            self._assign_topic_name(table, key, person_id, make_name)
        pinned = {person_id: key for key, person_id in chosen.items()}
        for person in list(table.persons.values()):
            pin = pinned.get(person.id, "")
            keeps_pin = person.pin in self.pins and table.topic_names.get(person.pin) == person.id
            if not pin and person.handle is None and keeps_pin:
                pin = person.pin  # it identifies them when they return
            is_strong = person.id in pinned and self.pins[pin].is_strong
            is_named = gives_trust and (is_strong or _has_scanned(person, owner))
            # In a group everybody speaks for themselves.
            trusted = person.kind is ChatKind.SELF or (is_named and person.kind is not ChatKind.GROUP)
            if (person.pin, person.trusted) != (pin, trusted):
                table.change(person.id, pin=pin, trusted=trusted)

    def _choose(self, table: PeopleTable, owner: Handle | None) -> dict[str, PersonId]:
        present = [
            person for person in table.persons.values() if person.handle is not None and not person.removed
        ]
        fitting = self.matches_by_pin(present, owner)
        if owner is None:  # between start and login: the stored owner stays
            for person in present:
                if person.trusted and person.pin in self.pins and self.pins[person.pin].owner:
                    fitting[person.pin] = [person]
        chosen: dict[str, PersonId] = {}
        problems: dict[str, PinProblem] = {}
        for key in self.pins:
            people = tuple(person.id for person in self._likely(key, fitting.get(key, ())))
            if not people:
                continue
            reason = self._problem_reason(table, key, people, chosen)
            if reason:
                problems[key] = PinProblem(reason, people[:MAX_CANDIDATES])
            else:
                chosen[key] = people[0]
        for key, problem in problems.items():
            if self.problems.get(key) != problem:
                table.add_event("unresolved", key, {"reason": problem.reason, "pin": key}, problem.people)
        self.problems = problems
        return chosen

    def _likely(self, key: str, fitting: Sequence[Person]) -> Sequence[Person]:
        """Returns whom a pin means of those that it fits.

        An id does not say whether it is a person's or a group's, so the bridge may have guessed wrong before
        anybody wrote: of both, the one that has written.
        """
        wrote = [person for person in fitting if person.wrote]
        return wrote if self.pins[key].wecom and wrote else fitting

    def _problem_reason(
        self, table: PeopleTable, key: str, people: tuple[PersonId, ...], chosen: Mapping[str, PersonId]
    ) -> str:
        if len(people) > 1:
            return REASON_FITS_SEVERAL
        if people[0] in chosen.values():
            return REASON_HAS_ANOTHER
        if not self.pins[key].is_strong and table.topic_names.get(key, people[0]) != people[0]:
            return REASON_BELONGS_TO_ANOTHER
        return ""

    def _assign_topic_name(
        self, table: PeopleTable, key: str, person: PersonId, make_name: Callable[[Person], str]
    ) -> None:
        old_name = table.persons[person].topic_name
        holder = table.topic_names.get(key)
        if old_name == key and holder == person:
            return
        table.set_topic_name(person, key)
        if old_name:
            table.add_event("topic_changed", person, {"from": old_name, "to": key})
        displaced = None if holder is None else table.persons.get(holder)
        if displaced is not None and displaced.id != person and displaced.topic_name == key:
            earlier_names = table.topic_names_of(displaced.id)
            table.set_topic_name(displaced.id, earlier_names[0] if earlier_names else make_name(displaced))
            new_name = table.persons[displaced.id].topic_name
            table.add_event("topic_changed", displaced.id, {"from": key, "to": new_name})


def _has_scanned(person: Person, owner: Handle | None) -> bool:
    """Returns whether this is the owner of a bot; before the login the stored trust decides."""
    if owner is None:
        return person.trusted and not person.pin and bool(person.permanent_id)
    return person.permanent_id == owner


def _clue(pin: ContactPin) -> tuple[str, str]:
    """Returns one value that every match of the pin has, as an index key."""
    clues = (
        ("remark", normalize_text(pin.remark)),
        ("alias", normalize_text(pin.alias)),
        ("ilink", pin.ilink),
        ("wecom", pin.wecom),
        ("nickname", normalize_text(pin.nickname)),
        ("group", normalize_text(pin.group)),
        ("owner", "yes" if pin.owner else ""),
    )
    return next((clue for clue in clues if clue[1]), ("", ""))


def _clues(traits: Traits, owner: Handle | None) -> Iterable[tuple[str, str]]:
    if owner is not None and owner in {traits.handle, traits.permanent_id}:
        yield "owner", "yes"
    if pinned_id := id_without_kind(traits.permanent_id):
        yield "wecom", pinned_id
    if traits.kind is ChatKind.GROUP:
        yield "group", traits.nickname
        yield "group", traits.remark
        return
    yield "remark", traits.remark
    yield "alias", traits.alias
    yield "nickname", traits.nickname
    yield "ilink", traits.permanent_id

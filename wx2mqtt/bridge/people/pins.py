"""Pins: names in the configuration, the person each stands for, who is trusted, and problems.

    contacts: {wife: {remark: 老婆}}  ->  who has the remark 老婆 gets the topic name `wife`, and is trusted

A pin by remark, alias, id (iLink, WeCom) or owner is strong, since it uses what only the account's owner
sets: its name goes to whoever matches now. A pin by nickname or group depends on what strangers choose: its
name stays with the person who first got it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    """The pins of one account."""

    def __init__(self, pins: Mapping[str, ContactPin]) -> None:
        normalized = {composed(name): pin for name, pin in pins.items()}
        normalized.pop(FILEHELPER, None)  # reserved for the file helper
        #: By topic name; strong pins first, since the first of two pins for one person gets them.
        self.pins = dict(sorted(normalized.items(), key=lambda item: not item[1].is_strong))
        #: By the topic name of the pin: those of the last `resolve`.
        self.problems: dict[str, PinProblem] = {}
        #: The names of the pins by `_index_key`, so that a contact is not compared with every pin.
        self._index: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name, pin in self.pins.items():
            self._index[_index_key(pin)].append(name)

    def __contains__(self, topic_name: str) -> bool:
        return composed(topic_name) in self.pins

    def is_in_doubt(self, person_id: PersonId) -> bool:
        """Returns whether a pin fits this person and others."""
        return any(person_id in problem.people for problem in self.problems.values())

    def may_match(self, traits: Traits, owner: Handle | None) -> bool:
        """Returns whether a pin may match, or the person is the owner. Fast; may be wrongly true."""
        if owner is not None and traits.permanent_id == owner:
            return True
        return bool(self._index) and any(key in self._index for key in _possible_keys(traits, owner))

    def matches_by_pin(self, people: Iterable[TraitsT], owner: Handle | None) -> dict[str, list[TraitsT]]:
        """Returns the matching people by the name of the pin; pins that match nobody are absent."""
        if not self.pins:
            return {}
        matches: dict[str, list[TraitsT]] = defaultdict(list)
        for person in people:
            if person.permanent_id == FILEHELPER:
                continue
            names = {name for key in _possible_keys(person, owner) for name in self._index.get(key, ())}
            for name in names:
                if self.pins[name].matches(person, owner):
                    matches[name].append(person)
        return matches

    def resolve(
        self,
        table: PeopleTable,
        owner: Handle | None,
        make_name: Callable[[Person], str],
        *,
        gives_trust: bool = True,
    ) -> None:
        """Gives every pin's name to its person, then each person the pin and the trust that follow.

        `make_name` makes a topic name for a person who loses theirs to a pin. Without `gives_trust` neither a
        pin nor being the owner makes anybody trusted.
        """
        chosen = self._choose(table, owner)
        for name, person_id in chosen.items():
            self._assign_topic_name(table, name, person_id, make_name)
        pin_names = {person_id: name for name, person_id in chosen.items()}
        for person in list(table.persons.values()):
            pin = pin_names.get(person.id, "")
            is_trusted = self._is_trusted(person, pin, owner, gives_trust=gives_trust)
            if not pin and self._keeps_pin(person, table):
                pin = person.pin
            if (person.pin, person.trusted) != (pin, is_trusted):
                table.change(person.id, pin=pin, trusted=is_trusted)

    def _is_trusted(self, person: Person, pin: str, owner: Handle | None, *, gives_trust: bool) -> bool:
        if person.kind is ChatKind.SELF:
            return True
        if person.kind is ChatKind.GROUP or not gives_trust:
            return False  # in a group everybody speaks for themselves
        return (bool(pin) and self.pins[pin].is_strong) or _is_bot_owner(person, owner)

    def _keeps_pin(self, person: Person, table: PeopleTable) -> bool:
        """Returns whether an absent person keeps the pin that they had: it identifies them on return."""
        has_name = person.pin in self.pins and table.topic_names.get(person.pin) == person.id
        return person.handle is None and has_name

    def _choose(self, table: PeopleTable, owner: Handle | None) -> dict[str, PersonId]:
        """Returns the person of each pin that stands for exactly one; records the problems of the others."""
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
        for name in self.pins:
            people = tuple(person.id for person in self._likely(name, fitting.get(name, ())))
            if not people:
                continue
            reason = self._problem_reason(table, name, people, chosen)
            if reason:
                problems[name] = PinProblem(reason, people[:MAX_CANDIDATES])
            else:
                chosen[name] = people[0]
        for name, problem in problems.items():
            if self.problems.get(name) != problem:
                table.add_event("unresolved", name, {"reason": problem.reason, "pin": name}, problem.people)
        self.problems = problems
        return chosen

    def _likely(self, name: str, fitting: Sequence[Person]) -> Sequence[Person]:
        """Returns the people whom a pin may mean, of those that it fits.

        A WeCom id does not say whether it is a person's or a group's, so the bridge may have added both
        before either of them wrote. Then the one that has written is meant.
        """
        wrote = [person for person in fitting if person.wrote]
        return wrote if self.pins[name].wecom and wrote else fitting

    def _problem_reason(
        self, table: PeopleTable, name: str, people: tuple[PersonId, ...], chosen: Mapping[str, PersonId]
    ) -> str:
        """Returns why the pin cannot stand for the people that it fits; empty if it can."""
        if len(people) > 1:
            return REASON_FITS_SEVERAL
        if people[0] in chosen.values():
            return REASON_HAS_ANOTHER
        if not self.pins[name].is_strong and table.topic_names.get(name, people[0]) != people[0]:
            return REASON_BELONGS_TO_ANOTHER
        return ""

    def _assign_topic_name(
        self, table: PeopleTable, name: str, person_id: PersonId, make_name: Callable[[Person], str]
    ) -> None:
        """Gives the pin's name to the person; who has it now gets an earlier name of theirs, or a new one."""
        old_name = table.persons[person_id].topic_name
        holder = table.topic_names.get(name)
        if old_name == name and holder == person_id:
            return
        table.set_topic_name(person_id, name)
        if old_name:
            table.add_event("topic_changed", person_id, {"from": old_name, "to": name})
        displaced = None if holder is None else table.persons.get(holder)
        if displaced is not None and displaced.id != person_id and displaced.topic_name == name:
            earlier_names = table.topic_names_of(displaced.id)
            new_name = earlier_names[0] if earlier_names else make_name(displaced)
            table.set_topic_name(displaced.id, new_name)
            table.add_event("topic_changed", displaced.id, {"from": name, "to": new_name})


def _is_bot_owner(person: Person, owner: Handle | None) -> bool:
    """Returns whether this person owns the bot; before the login the stored trust decides."""
    if owner is None:
        return person.trusted and not person.pin and bool(person.permanent_id)
    return person.permanent_id == owner


def _index_key(pin: ContactPin) -> tuple[str, str]:
    """Returns one value that everybody has whom the pin matches, as `("remark", "老婆")`."""
    values = (
        ("remark", normalize_text(pin.remark)),
        ("alias", normalize_text(pin.alias)),
        ("ilink", pin.ilink),
        ("wecom", pin.wecom),
        ("nickname", normalize_text(pin.nickname)),
        ("group", normalize_text(pin.group)),
        ("owner", "yes" if pin.owner else ""),
    )
    return next((value for value in values if value[1]), ("", ""))


def _possible_keys(traits: Traits, owner: Handle | None) -> Iterator[tuple[str, str]]:
    """Yields the index keys of all pins that may match this contact or person."""
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

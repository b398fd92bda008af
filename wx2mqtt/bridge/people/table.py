"""Who there is: persons by number, handle and level, and what changed since that was last told. No rules."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wx2mqtt.model import Handle, Json, PersonId
from wx2mqtt.store.records import NO_CHANGES, PeopleChanges, Person


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleEvent:
    """A change among the people, published on `event/<kind>`; `user` is a topic level."""

    name: str
    user: str
    fields: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PeopleUpdate:
    """What is to be stored, and what is to be told once it is."""

    people: PeopleChanges = NO_CHANGES
    events: tuple[PeopleEvent, ...] = ()


NO_UPDATE = PeopleUpdate()


@dataclass(frozen=True, slots=True, kw_only=True)
class _PendingEvent:
    """An event before its names are settled: who is newly found gets a level at the very end."""

    name: str
    user: PersonId | str
    fields: Mapping[str, Json]
    candidates: tuple[PersonId, ...]


class PeopleTable:
    """Everybody of one account, in memory."""

    def __init__(self, persons: Iterable[Person], levels: Mapping[str, PersonId], next_id: int) -> None:
        self.persons: dict[PersonId, Person] = {one.id: one for one in persons}
        self.levels: dict[str, PersonId] = {
            **levels,
            **{one.level: one.id for one in self.persons.values()},
        }
        self._by_handle = {one.handle: one.id for one in self.persons.values() if one.handle is not None}
        self._by_permanent_id = {
            one.permanent_id: one.id for one in self.persons.values() if one.permanent_id
        }
        self._merged: dict[PersonId, PersonId] = {}
        self._next_id = max(next_id, 1 + max((*self.persons, *self.levels.values()), default=0))
        self._originals: dict[PersonId, Person | None] = {}
        self._assigned_levels: dict[str, PersonId] = {}
        self._removed: list[PersonId] = []
        self._pending_events: list[_PendingEvent] = []

    @property
    def is_dirty(self) -> bool:
        """Whether anything changed since `take`."""
        return bool(self._originals or self._assigned_levels or self._removed or self._pending_events)

    def changed_persons(self) -> Iterator[Person]:
        """Everybody who changed since `take`, as before and as now."""
        for person, before in self._originals.items():
            yield from (one for one in (before, self.persons.get(person)) if one is not None)

    def by_handle(self, handle: Handle) -> Person | None:
        """Who has this handle in the present login."""
        found = self._by_handle.get(handle)
        return None if found is None else self.persons[found]

    def by_permanent_id(self, permanent_id: str) -> Person | None:
        """Who has this id for ever."""
        found = self._by_permanent_id.get(permanent_id) if permanent_id else None
        return None if found is None else self.persons[found]

    def by_level(self, level: str) -> Person | None:
        """Who is called so, or was."""
        found = self.levels.get(level) or self.levels.get(unicodedata.normalize("NFC", level))
        return None if found is None else self.persons.get(found)

    def get(self, person: PersonId) -> Person | None:
        """A person by number; whoever was joined to another is that other."""
        return self.persons.get(self._merged.get(person, person))

    def new_id(self) -> PersonId:
        """A number that nobody had."""
        self._next_id += 1
        return PersonId(self._next_id - 1)

    def add(self, person: Person) -> None:
        """A new person."""
        self._originals.setdefault(person.id, None)
        self._link(person, None)

    def change(self, person: PersonId, **values: Any) -> Person:
        """Give a person other values, named as the fields of `Person`; returns the person as it is now."""
        old = self.persons[person]
        if all(getattr(old, name) == value for name, value in values.items()):
            return old
        new = replace(old, **values)
        self._originals.setdefault(person, old)
        self._link(new, old)
        return new

    def set_level(self, person: PersonId, level: str) -> None:
        """From now on this is the person's level, and it leads to nobody else."""
        self.assign_level(level, person)
        self.change(person, level=level)

    def assign_level(self, level: str, person: PersonId) -> None:
        """From now on this level leads to the person."""
        if self.levels.get(level) != person:
            self.levels[level] = self._assigned_levels[level] = person

    def levels_of(self, person: PersonId) -> list[str]:
        """Every level that leads to the person."""
        return [level for level, owner in self.levels.items() if owner == person]

    def merge(self, removed: PersonId, into: PersonId) -> None:
        """Two were one: every level of `gone` leads to the other, and `gone` is no more."""
        for level in self.levels_of(removed):
            self.assign_level(level, into)
        self.remove(removed)
        self._merged = {old: into if new == removed else new for old, new in self._merged.items()} | {
            removed: into
        }

    def remove(self, person: PersonId) -> None:
        """Take a person out; levels that still lead there are free again."""
        old = self.persons.pop(person)
        self._originals.setdefault(person, old)
        self._unlink(old)
        for level in self.levels_of(person):
            del self.levels[level]
            self._assigned_levels.pop(level, None)
        self._removed.append(person)

    def add_event(
        self,
        name: str,
        user: PersonId | str,
        fields: Mapping[str, Json] | None = None,
        candidates: Iterable[PersonId] = (),
    ) -> None:
        """Something happened; `candidates` are told by the levels that they have in the end."""
        self._pending_events.append(
            _PendingEvent(
                name=name, user=user, fields=fields or {}, candidates=tuple(dict.fromkeys(candidates))
            )
        )

    def collect_update(self) -> PeopleUpdate:
        """What changed since the last time."""
        if not self.is_dirty:
            return NO_UPDATE
        people = PeopleChanges(
            persons=tuple(
                self.persons[one]
                for one, before in self._originals.items()
                if one in self.persons and self.persons[one] != before
            ),
            levels=tuple(self._assigned_levels.items()),
            removed=tuple(self._removed),
        )
        changes = PeopleUpdate(people, tuple(map(self._resolve_event, self._pending_events)))
        self._originals, self._assigned_levels, self._removed, self._pending_events = {}, {}, [], []
        return changes

    def _resolve_event(self, pending: _PendingEvent) -> PeopleEvent:
        fields = dict(pending.fields)
        if pending.candidates:
            fields["candidates"] = [one.level for one in map(self.get, pending.candidates) if one is not None]
        return PeopleEvent(name=pending.name, user=self._level_of(pending.user), fields=fields)

    def _level_of(self, user: PersonId | str) -> str:
        if isinstance(user, str):
            return user
        person = self.get(user)
        return "" if person is None else person.level

    def _link(self, new: Person, old: Person | None) -> None:
        if old is not None and (old.handle, old.permanent_id) != (new.handle, new.permanent_id):
            self._unlink(old)
        self.persons[new.id] = new
        if new.handle is not None:
            self._by_handle[new.handle] = new.id
        if new.permanent_id:
            self._by_permanent_id[new.permanent_id] = new.id

    def _unlink(self, old: Person) -> None:
        if old.handle is not None and self._by_handle.get(old.handle) == old.id:
            del self._by_handle[old.handle]
        if self._by_permanent_id.get(old.permanent_id) == old.id:
            del self._by_permanent_id[old.permanent_id]

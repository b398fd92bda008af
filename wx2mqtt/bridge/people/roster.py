"""Who there is: persons by number, handle and level, and what changed since that was last told. No rules."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wx2mqtt.model import Handle, Json, PersonId
from wx2mqtt.store.people import NO_CHANGES, PeopleChanges, Person


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleEvent:
    """What happened among the people (DESIGN 4, `event/<kind>`); `user` is a topic level."""

    name: str
    user: str
    fields: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be stored, and what is to be told once it is."""

    people: PeopleChanges = NO_CHANGES
    events: tuple[PeopleEvent, ...] = ()


NOTHING = Changes()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    """An event before its names are settled: who is newly found gets a level at the very end."""

    name: str
    user: PersonId | str
    fields: Mapping[str, Json]
    candidates: tuple[PersonId, ...]


class Roster:
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
        self._joined: dict[PersonId, PersonId] = {}
        self._next = max(next_id, 1 + max((*self.persons, *self.levels.values()), default=0))
        self._before: dict[PersonId, Person | None] = {}
        self._given: dict[str, PersonId] = {}
        self._forgotten: list[PersonId] = []
        self._notes: list[_Note] = []

    @property
    def dirty(self) -> bool:
        """Whether anything changed since `take`."""
        return bool(self._before or self._given or self._forgotten or self._notes)

    def touched(self) -> Iterator[Person]:
        """Everybody who changed since `take`, as before and as now."""
        for person, before in self._before.items():
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
        return self.persons.get(self._joined.get(person, person))

    def new_id(self) -> PersonId:
        """A number that nobody had."""
        self._next += 1
        return PersonId(self._next - 1)

    def put(self, person: Person) -> None:
        """A new person."""
        self._before.setdefault(person.id, None)
        self._set(person, None)

    def change(self, person: PersonId, **values: Any) -> Person:
        """Give a person other values, named as the fields of `Person`; returns the person as it is now."""
        old = self.persons[person]
        if all(getattr(old, name) == value for name, value in values.items()):
            return old
        new = replace(old, **values)
        self._before.setdefault(person, old)
        self._set(new, old)
        return new

    def call(self, person: PersonId, level: str) -> None:
        """From now on this is the person's level, and it leads to nobody else."""
        self.give(level, person)
        self.change(person, level=level)

    def give(self, level: str, person: PersonId) -> None:
        """From now on this level leads to the person."""
        if self.levels.get(level) != person:
            self.levels[level] = self._given[level] = person

    def levels_of(self, person: PersonId) -> list[str]:
        """Every level that leads to the person."""
        return [level for level, owner in self.levels.items() if owner == person]

    def join(self, gone: PersonId, into: PersonId) -> None:
        """Two were one: every level of `gone` leads to the other, and `gone` is no more."""
        for level in self.levels_of(gone):
            self.give(level, into)
        self.forget(gone)
        self._joined = {old: into if new == gone else new for old, new in self._joined.items()} | {gone: into}

    def forget(self, person: PersonId) -> None:
        """Take a person out; levels that still lead there are free again."""
        old = self.persons.pop(person)
        self._before.setdefault(person, old)
        self._unlink(old)
        for level in self.levels_of(person):
            del self.levels[level]
            self._given.pop(level, None)
        self._forgotten.append(person)

    def tell(
        self,
        name: str,
        user: PersonId | str,
        fields: Mapping[str, Json] | None = None,
        candidates: Iterable[PersonId] = (),
    ) -> None:
        """Something happened; `candidates` are told by the levels that they have in the end."""
        self._notes.append(
            _Note(name=name, user=user, fields=fields or {}, candidates=tuple(dict.fromkeys(candidates)))
        )

    def take(self) -> Changes:
        """What changed since the last time."""
        if not self.dirty:
            return NOTHING
        people = PeopleChanges(
            persons=tuple(
                self.persons[one]
                for one, before in self._before.items()
                if one in self.persons and self.persons[one] != before
            ),
            levels=tuple(self._given.items()),
            forgotten=tuple(self._forgotten),
        )
        changes = Changes(people, tuple(map(self._event, self._notes)))
        self._before, self._given, self._forgotten, self._notes = {}, {}, [], []
        return changes

    def _event(self, note: _Note) -> PeopleEvent:
        fields = dict(note.fields)
        if note.candidates:
            fields["candidates"] = [one.level for one in map(self.get, note.candidates) if one is not None]
        return PeopleEvent(name=note.name, user=self._level(note.user), fields=fields)

    def _level(self, user: PersonId | str) -> str:
        if isinstance(user, str):
            return user
        person = self.get(user)
        return "" if person is None else person.level

    def _set(self, new: Person, old: Person | None) -> None:
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

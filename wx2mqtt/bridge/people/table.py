"""The people of one account in memory: indexes, and the changes not yet collected.

Knows no rule about who is who.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any

from wx2mqtt.model import Handle, Json, PersonId
from wx2mqtt.names import composed
from wx2mqtt.store.person_records import NO_CHANGES, PeopleChanges, Person
from wx2mqtt.values import changed, frozen


@frozen
class PeopleEvent:
    """A change among the people, published on `event/<name>`; `user` is a topic name."""

    name: str
    user: str
    fields: Mapping[str, Json] = field(default_factory=dict)


@frozen(kw_only=False)
class PeopleUpdate:
    """The changes to store, and the events to publish once they are stored."""

    people: PeopleChanges = NO_CHANGES
    events: tuple[PeopleEvent, ...] = ()
    #: The directory may look different afterwards.
    is_visible: bool = True


NO_UPDATE = PeopleUpdate()


@frozen
class _PendingEvent:
    """An event whose topic names are looked up when the update is collected: new people get one late."""

    name: str
    user: PersonId | str
    fields: Mapping[str, Json]
    candidates: tuple[PersonId, ...]


class PeopleTable:
    """All people of one account, including removed ones."""

    def __init__(self, persons: Iterable[Person], topic_names: Mapping[str, PersonId], next_id: int) -> None:
        self.persons: dict[PersonId, Person] = {person.id: person for person in persons}
        self.topic_names: dict[str, PersonId] = {
            **topic_names,
            **{person.topic_name: person.id for person in self.persons.values()},
        }
        self._by_handle = {
            person.handle: person.id for person in self.persons.values() if person.handle is not None
        }
        self._by_permanent_id = {
            person.permanent_id: person.id for person in self.persons.values() if person.permanent_id
        }
        self._merged: dict[PersonId, PersonId] = {}
        self._next_id = max(next_id, 1 + max((*self.persons, *self.topic_names.values()), default=0))
        self._originals: dict[PersonId, Person | None] = {}
        self._assigned_topic_names: dict[str, PersonId] = {}
        self._removed: list[PersonId] = []
        self._pending_events: list[_PendingEvent] = []

    @property
    def is_dirty(self) -> bool:
        """Whether anything changed since `collect_update`."""
        return bool(self._originals or self._assigned_topic_names or self._removed or self._pending_events)

    def changed_persons(self) -> Iterator[Person]:
        """Yields the people changed since `collect_update`, in their old and in their new version."""
        for person, before in self._originals.items():
            yield from (version for version in (before, self.persons.get(person)) if version is not None)

    def by_handle(self, handle: Handle) -> Person | None:
        person_id = self._by_handle.get(handle)
        return None if person_id is None else self.persons[person_id]

    def by_permanent_id(self, permanent_id: str) -> Person | None:
        """Returns the person with this id, which is the same in every login."""
        person_id = self._by_permanent_id.get(permanent_id) if permanent_id else None
        return None if person_id is None else self.persons[person_id]

    def by_topic_name(self, topic_name: str) -> Person | None:
        """Returns the person who has or had this topic name."""
        person_id = self.topic_names.get(topic_name) or self.topic_names.get(composed(topic_name))
        return None if person_id is None else self.persons.get(person_id)

    def get(self, person: PersonId) -> Person | None:
        """Returns a person by id; for a merged person, the one that remains."""
        return self.persons.get(self._merged.get(person, person))

    def new_id(self) -> PersonId:
        """Returns an id that no person ever had."""
        self._next_id += 1
        return PersonId(self._next_id - 1)

    def add(self, person: Person) -> None:
        self._originals.setdefault(person.id, None)
        self._link(person, None)

    def change(self, person: PersonId, **values: Any) -> Person:
        """Changes fields of `Person` by name; returns the new version."""
        old = self.persons[person]
        if all(getattr(old, name) == value for name, value in values.items()):
            return old
        new = changed(old, **values)  # of thousands, at the first login
        self._originals.setdefault(person, old)
        self._link(new, old)
        return new

    def set_topic_name(self, person: PersonId, topic_name: str) -> None:
        """Makes this the person's current topic name."""
        self.assign_topic_name(topic_name, person)
        self.change(person, topic_name=topic_name)

    def assign_topic_name(self, topic_name: str, person: PersonId) -> None:
        """Makes a topic name lead to the person and to nobody else; the current topic name stays."""
        if self.topic_names.get(topic_name) != person:
            self.topic_names[topic_name] = self._assigned_topic_names[topic_name] = person

    def topic_names_of(self, person: PersonId) -> tuple[str, ...]:
        """Returns every topic name that leads to the person."""
        return tuple(topic_name for topic_name, owner in self.topic_names.items() if owner == person)

    def merge(self, removed: PersonId, into: PersonId) -> None:
        """Merges two people: all topic names of `removed` lead to `into`."""
        for topic_name in self.topic_names_of(removed):
            self.assign_topic_name(topic_name, into)
        self.remove(removed)
        self._merged = {old: into if new == removed else new for old, new in self._merged.items()} | {
            removed: into
        }

    def remove(self, person: PersonId) -> None:
        """Removes a person; topic names that still lead to them become free."""
        old = self.persons.pop(person)
        self._originals.setdefault(person, old)
        self._unlink(old)
        for topic_name in self.topic_names_of(person):
            del self.topic_names[topic_name]
            self._assigned_topic_names.pop(topic_name, None)
        self._removed.append(person)

    def add_event(
        self,
        name: str,
        user: PersonId | str,
        fields: Mapping[str, Json] | None = None,
        candidates: Iterable[PersonId] = (),
    ) -> None:
        """Adds an event; `candidates` are published as the topic names that they finally have."""
        self._pending_events.append(
            _PendingEvent(
                name=name, user=user, fields=fields or {}, candidates=tuple(dict.fromkeys(candidates))
            )
        )

    def collect_update(self) -> PeopleUpdate:
        """Returns all changes and events since the last call."""
        if not self.is_dirty:
            return NO_UPDATE
        people = PeopleChanges(
            persons=tuple(
                self.persons[person_id]
                for person_id, before in self._originals.items()
                if person_id in self.persons and self.persons[person_id] != before
            ),
            topic_names=tuple(self._assigned_topic_names.items()),
            removed=tuple(self._removed),
        )
        events = []
        for pending in self._pending_events:
            fields = dict(pending.fields)
            if pending.candidates:
                candidates = filter(None, map(self.get, pending.candidates))
                fields["candidates"] = [person.topic_name for person in candidates]
            user = pending.user
            if not isinstance(user, str):
                person = self.get(user)
                user = "" if person is None else person.topic_name
            events.append(PeopleEvent(name=pending.name, user=user, fields=fields))
        self._originals, self._assigned_topic_names = {}, {}
        self._removed, self._pending_events = [], []
        return PeopleUpdate(people, tuple(events))

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

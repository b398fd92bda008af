"""The people of one account in memory: look-ups by id, handle and topic name, and the changes made to them.

    table.change(7, remark="Lily")  ->  collect_update() returns person 7 as they are now, to be stored

This is data only: who is who `matching.py` and `pins.py` decide, and `registry.py` is what others call.
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
    #: Whether the published directory may look different afterwards.
    is_visible: bool = True


NO_UPDATE = PeopleUpdate()


@frozen
class _PendingEvent:
    """An event that still names people by id: a new person gets a topic name just before the update."""

    name: str
    #: The id of a person, or a topic name that nobody needs to have.
    user: PersonId | str
    fields: Mapping[str, Json]
    candidates: tuple[PersonId, ...]


class PeopleTable:
    """All people of one account, including removed ones."""

    def __init__(self, persons: Iterable[Person], topic_names: Mapping[str, PersonId], next_id: int) -> None:
        #: Every person, in the newest version. Outside of this class it is only read.
        self.persons: dict[PersonId, Person] = {person.id: person for person in persons}
        #: Whom each topic name leads to; former names of a person are included.
        self.topic_names: dict[str, PersonId] = {
            **topic_names,
            **{person.topic_name: person.id for person in self.persons.values()},
        }
        # The ids of the people who have a handle, or a permanent id. Several people may have had the same
        # value one after the other; the last one counts.
        self._by_handle = {
            person.handle: person.id for person in self.persons.values() if person.handle is not None
        }
        self._by_permanent_id = {
            person.permanent_id: person.id for person in self.persons.values() if person.permanent_id
        }
        #: By the id of a person who was merged into another: the id of the person who remains.
        self._merged_into: dict[PersonId, PersonId] = {}
        #: An id is never given twice, not even after a restart.
        self._next_id = max(next_id, 1 + max((*self.persons, *self.topic_names.values()), default=0))

        # What changed since `collect_update`:
        #: Each changed person as they were before; None for a new person.
        self._before: dict[PersonId, Person | None] = {}
        #: The topic names that lead to somebody else now.
        self._assigned_topic_names: dict[str, PersonId] = {}
        #: The people who are deleted.
        self._removed: list[PersonId] = []
        #: The events to publish.
        self._pending_events: list[_PendingEvent] = []

    # Look-ups

    def by_handle(self, handle: Handle) -> Person | None:
        person_id = self._by_handle.get(handle)
        return None if person_id is None else self.persons[person_id]

    def by_permanent_id(self, permanent_id: str) -> Person | None:
        """Returns the person with this id, which is the same in every login; nobody for an empty one."""
        person_id = self._by_permanent_id.get(permanent_id) if permanent_id else None
        return None if person_id is None else self.persons[person_id]

    def by_topic_name(self, topic_name: str) -> Person | None:
        """Returns the person who has or had this topic name."""
        person_id = self.topic_names.get(topic_name) or self.topic_names.get(composed(topic_name))
        return None if person_id is None else self.persons.get(person_id)

    def get(self, person_id: PersonId) -> Person | None:
        """Returns a person by id; for a merged person, the one that remains."""
        return self.persons.get(self._merged_into.get(person_id, person_id))

    def topic_names_of(self, person_id: PersonId) -> tuple[str, ...]:
        """Returns every topic name that leads to the person."""
        return tuple(topic_name for topic_name, owner in self.topic_names.items() if owner == person_id)

    # Changes

    def new_id(self) -> PersonId:
        """Returns an id that no person ever had."""
        self._next_id += 1
        return PersonId(self._next_id - 1)

    def add(self, person: Person) -> None:
        self._before.setdefault(person.id, None)
        self._put(person)

    def change(self, person_id: PersonId, **values: Any) -> Person:
        """Changes fields of `Person` by name; returns the new version."""
        old = self.persons[person_id]
        if all(getattr(old, name) == value for name, value in values.items()):
            return old
        new = changed(old, **values)  # not `replace`, which is slow: a first login changes thousands
        self._before.setdefault(person_id, old)
        if (old.handle, old.permanent_id) != (new.handle, new.permanent_id):
            self._remove_from_indexes(old)
        self._put(new)
        return new

    def set_topic_name(self, person_id: PersonId, topic_name: str) -> None:
        """Makes this the person's current topic name."""
        self.assign_topic_name(topic_name, person_id)
        self.change(person_id, topic_name=topic_name)

    def assign_topic_name(self, topic_name: str, person_id: PersonId) -> None:
        """Makes a topic name lead to the person and to nobody else; the current topic name stays."""
        if self.topic_names.get(topic_name) != person_id:
            self.topic_names[topic_name] = person_id
            self._assigned_topic_names[topic_name] = person_id

    def merge(self, removed: PersonId, into: PersonId) -> None:
        """Merges two people: all topic names of `removed` lead to `into`."""
        for topic_name in self.topic_names_of(removed):
            self.assign_topic_name(topic_name, into)
        self.remove(removed)
        for earlier, remaining in self._merged_into.items():
            if remaining == removed:
                self._merged_into[earlier] = into
        self._merged_into[removed] = into

    def remove(self, person_id: PersonId) -> None:
        """Removes a person; topic names that still lead to them become free."""
        old = self.persons.pop(person_id)
        self._before.setdefault(person_id, old)
        self._remove_from_indexes(old)
        for topic_name in self.topic_names_of(person_id):
            del self.topic_names[topic_name]
            self._assigned_topic_names.pop(topic_name, None)
        self._removed.append(person_id)

    def add_event(
        self,
        name: str,
        user: PersonId | str,
        fields: Mapping[str, Json] | None = None,
        candidates: Iterable[PersonId] = (),
    ) -> None:
        """Adds an event; `candidates` are published as the topic names that they finally have."""
        unique_candidates = tuple(dict.fromkeys(candidates))
        self._pending_events.append(
            _PendingEvent(name=name, user=user, fields=fields or {}, candidates=unique_candidates)
        )

    def _put(self, person: Person) -> None:
        self.persons[person.id] = person
        if person.handle is not None:
            self._by_handle[person.handle] = person.id
        if person.permanent_id:
            self._by_permanent_id[person.permanent_id] = person.id

    def _remove_from_indexes(self, old: Person) -> None:
        if old.handle is not None and self._by_handle.get(old.handle) == old.id:
            del self._by_handle[old.handle]
        if self._by_permanent_id.get(old.permanent_id) == old.id:
            del self._by_permanent_id[old.permanent_id]

    # What changed

    @property
    def is_dirty(self) -> bool:
        """Whether anything changed since `collect_update`."""
        return bool(self._before or self._assigned_topic_names or self._removed or self._pending_events)

    def changed_persons(self) -> Iterator[Person]:
        """Yields the people changed since `collect_update`, in their old and in their new version."""
        for person_id, before in self._before.items():
            if before is not None:
                yield before
            if person_id in self.persons:
                yield self.persons[person_id]

    def collect_update(self) -> PeopleUpdate:
        """Returns all changes and events since the last call."""
        if not self.is_dirty:
            return NO_UPDATE
        people = PeopleChanges(
            persons=tuple(
                self.persons[person_id]
                for person_id, before in self._before.items()
                if person_id in self.persons and self.persons[person_id] != before
            ),
            topic_names=tuple(self._assigned_topic_names.items()),
            removed=tuple(self._removed),
        )
        events = tuple(self._with_topic_names(event) for event in self._pending_events)
        self._before = {}
        self._assigned_topic_names = {}
        self._removed = []
        self._pending_events = []
        return PeopleUpdate(people, events)

    def _with_topic_names(self, event: _PendingEvent) -> PeopleEvent:
        """Returns the event as it is published; people who were removed meanwhile are left out."""
        fields = dict(event.fields)
        if event.candidates:
            persons = [self.get(person_id) for person_id in event.candidates]
            fields["candidates"] = [person.topic_name for person in persons if person is not None]
        if isinstance(event.user, str):
            return PeopleEvent(name=event.name, user=event.user, fields=fields)
        user = self.get(event.user)
        return PeopleEvent(name=event.name, user="" if user is None else user.topic_name, fields=fields)

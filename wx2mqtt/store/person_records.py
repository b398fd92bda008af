"""People and groups as they are stored, and changes of them: frozen, without I/O."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import field

from wx2mqtt.model import ChatKind, Handle, PersonId
from wx2mqtt.values import frozen


@frozen
class Person:
    """A person or group that the account knows."""

    #: Never given again.
    id: PersonId
    topic_name: str
    kind: ChatKind
    #: Valid within the login `login_id` only.
    handle: Handle | None
    login_id: str
    matched_by: str
    pin: str = ""
    trusted: bool = False
    permanent_id: str = ""
    alias: str = ""
    remark: str = ""
    nickname: str = ""
    avatar: str = ""
    profile: Mapping[str, str] = field(default_factory=dict)
    #: The sorted 4-byte CRC-32 values of the nicknames of a group's members.
    members: bytes = b""
    closed: bool = False
    removed: bool = False
    #: No contact of the owner: a member of a group, or a recent chat.
    stranger: bool = False
    #: A message of this chat was published before.
    wrote: bool = False
    created: int = 0
    seen: int = 0


NO_PROFILE: Mapping[str, str] = {}


def shared_profile(items: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Returns a profile of strings that all persons share: thousands live in the same few places."""
    return {sys.intern(key): sys.intern(value) for key, value in items} or NO_PROFILE


@frozen
class PeopleChanges:
    """Changes to store."""

    #: New persons, and known ones with their new values.
    persons: tuple[Person, ...] = ()
    #: Topic names, each with the person who has it from now on.
    topic_names: tuple[tuple[str, PersonId], ...] = ()
    #: The persons to delete.
    removed: tuple[PersonId, ...] = ()

    @classmethod
    def merged(cls, changes: Iterable[PeopleChanges]) -> PeopleChanges:
        """Returns several as one change, of which each is applied after those before it."""
        persons: dict[PersonId, Person] = {}
        topic_names: dict[str, PersonId] = {}
        removed: dict[PersonId, None] = {}
        for change in changes:
            persons |= {person.id: person for person in change.persons}
            for person_id in change.removed:
                persons.pop(person_id, None)
                removed[person_id] = None
            topic_names |= dict(change.topic_names)
        return cls(
            persons=tuple(persons.values()), topic_names=tuple(topic_names.items()), removed=tuple(removed)
        )


NO_CHANGES = PeopleChanges()

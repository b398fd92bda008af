"""The people of an account, for all who ask for them or report a change: the only entry to this package.

    registry.by_topic_name("wife").handle     her handle in this login
    registry.apply_directory(contacts, …)     who got which handle, as a `PeopleUpdate` to be stored

Everything is in memory, without I/O and clock; the caller stores an update before it relies on it. The
package's docstring says which file does what, and explains the words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from wx2mqtt.bridge.people.binding import ContactBinder
from wx2mqtt.bridge.people.directory import DirectoryEntry, entry_of
from wx2mqtt.bridge.people.evidence import (
    ContactFacts,
    ContactPin,
    MatchedBy,
    OwnerTrust,
    normalize_text,
)
from wx2mqtt.bridge.people.pins import PinResolver
from wx2mqtt.bridge.people.table import NO_UPDATE, PeopleTable, PeopleUpdate
from wx2mqtt.bridge.people.topic_names import NameStyle, topic_name_candidates, unique_topic_name
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import FILEHELPER, ChatKind, Contact, Handle, Owner, PersonId
from wx2mqtt.names import composed
from wx2mqtt.store.person_records import Person

# Newcomers and strangers of earlier logins are removed when this time has passed since they were last seen.
NEWCOMER_RETENTION_MS = 30 * 24 * 3600 * 1000


class PeopleRegistry:
    """The people of one account.

    Times (`now`) are milliseconds since 1970. Changes that the constructor makes (pins may have changed while
    the bridge was down) come with the first `PeopleUpdate` that a method returns.
    """

    def __init__(
        self,
        persons: Iterable[Person],
        topic_names: Mapping[str, PersonId],
        pins: Mapping[str, ContactPin],
        *,
        name_style: NameStyle = "unicode",
        next_id: int = 1,
    ) -> None:
        self._table = PeopleTable(persons, topic_names, next_id)
        self._pin_resolver = PinResolver(pins)
        self._binder = ContactBinder(self._table, self._pin_resolver)
        self._name_style = name_style
        #: Where the search for a free topic name goes on (`unique_topic_name`).
        self._topic_name_hints: dict[str, int] = {}
        #: Returns the person who has this handle in the current login.
        self.by_handle = self._table.by_handle
        #: Returns the person who has or had this topic name: old names stay valid.
        self.by_topic_name = self._table.by_topic_name
        #: Returns every topic name that leads to a person.
        self.topic_names_of = self._table.topic_names_of
        #: Returns a person by id; for a merged person, the one that remains.
        self.get = self._table.get
        self._resolve_pins()

    # Look-ups

    @property
    def login_id(self) -> str:
        """The login in which the handles are valid; empty before the first."""
        return self._binder.login_id

    @property
    def owner_handle(self) -> Handle | None:
        return self._binder.own_handle

    def topic_name_or(self, handle: Handle | None, name: str) -> str:
        """Returns the topic name of the handle, or for an unknown handle the name.

        The name is put in quotes if somebody has it as topic name: a stranger may have chosen it for that.
        """
        person = self._table.by_handle(handle) if handle else None
        if person is not None:
            return person.topic_name
        while self._table.by_topic_name(name) is not None:
            name = f"“{name}”"
        return name

    def is_current_login(self, login_id: str) -> bool:
        return bool(login_id) and login_id == self._binder.login_id

    @property
    def is_complete(self) -> bool:
        """Whether the directory of this login is complete: nobody else will be found."""
        return self._binder.is_complete

    def is_pinned(self, topic_name: str) -> bool:
        """Returns whether the topic name is a name in the configuration."""
        return topic_name in self._pin_resolver

    def pin_problem(self, topic_name: str) -> str:
        """Returns why the pin of this name stands for nobody; empty without a problem."""
        problem = self._pin_resolver.problems.get(composed(topic_name))
        return "" if problem is None else problem.reason

    @property
    def closed_count(self) -> int:
        """How many people wait for the owner's decision."""
        return sum(person.closed for person in self._table.persons.values())

    def reachable(self) -> list[Person]:
        """Returns the people who have a handle in this login."""
        return [
            person
            for person in self._table.persons.values()
            if person.handle is not None and person.topic_name
        ]

    @property
    def count(self) -> int:
        """The number of people, removed ones included."""
        return len(self._table.persons)

    def people(self) -> list[Person]:
        """Returns all people as they are now, removed ones included."""
        return [*self._table.persons.values()]

    def pin_problems(self) -> Mapping[PersonId, str]:
        """Returns the problem of the pin that may stand for a person, by the person."""
        return {
            person_id: problem.reason
            for problem in self._pin_resolver.problems.values()
            for person_id in problem.people
        }

    def directory(self, topic_names: Collection[str] | None = None) -> list[DirectoryEntry]:
        """Returns the entries of all people, or of those who have one of these topic names now; sorted."""
        problems = self.pin_problems()
        if topic_names is None:
            persons: Iterable[Person] = self._table.persons.values()
        else:
            owners = {name: self._table.by_topic_name(name) for name in topic_names}
            persons = [
                person for topic_name, person in owners.items() if person and person.topic_name == topic_name
            ]
        entries = [entry_of(person, problems.get(person.id, "")) for person in persons]
        return sorted(entries, key=lambda entry: entry.user)

    # Updates from WeChat

    def apply_directory(
        self,
        contacts: Iterable[Contact | ContactFacts],
        login_id: str,
        owner: Owner,
        now: int,
        complete: bool = True,
    ) -> PeopleUpdate:
        """Applies the directory of a login, or a part of it; a known `login_id` means a refresh.

        Call it without contacts and with `complete=False` as soon as a new login exists: from then on handles
        of earlier logins are invalid. `complete` says that every friend is among the contacts; only then does
        a unique name prove anything, and only then are missing people removed. A contact may be given as
        `ContactFacts`, if the caller has read it already.
        """
        self._binder.apply_directory(contacts, login_id, owner, now, complete=complete)
        return self.collect_changes()

    def apply_update(
        self, contacts: Collection[Contact], removed: Collection[Handle], now: int
    ) -> PeopleUpdate:
        """Applies the contacts of a batch; an empty value is unknown, not cleared (webwx 2.11.5)."""
        if contacts or removed:
            self._binder.apply_update(contacts, removed, now)
        elif not self._table.is_dirty:
            return NO_UPDATE
        return self.collect_changes()

    def add_unlisted(
        self, handle: Handle, kind: ChatKind, name: str, now: int, permanent_id: str = ""
    ) -> PeopleUpdate:
        """Adds the author of a message whom no contact list has; `by_handle` then finds them."""
        if self._table.by_handle(handle) is None:
            self._binder.add_unlisted(handle, kind, name, now, permanent_id)
        return self.collect_changes()

    def apply_rename(
        self, person_id: PersonId, now: int, *, remark: str | None = None, nickname: str | None = None
    ) -> PeopleUpdate:
        """Applies a rename that the owner requested here; an empty remark clears it (webwx 2.18)."""
        names = {}
        if remark is not None:
            names["remark"] = normalize_text(remark)
        if nickname is not None:
            names["nickname"] = normalize_text(nickname)
        person = self._table.get(person_id)
        if person is not None:
            self._binder.rename(person, names, now)
        return self.collect_changes()

    def add_group(self, group: Contact, now: int) -> PeopleUpdate:
        """Adds a group that the owner created here; it never matches an older group."""
        if self._table.by_handle(group.handle) is None:
            self._binder.add_group(group, now)
        return self.collect_changes()

    def mark_wrote(self, person: Person) -> PeopleUpdate:
        """Records that a message of the person is published: users may now depend on the topic name."""
        current = self._table.get(person.id)
        if current is None or current.wrote:
            return NO_UPDATE
        has_other_changes = self._table.is_dirty
        self._table.change(current.id, wrote=True)
        if has_other_changes or self._pin_resolver.is_in_doubt(current.id):
            return self.collect_changes()
        return replace(self._table.collect_update(), is_visible=False)  # the directory does not show `wrote`

    # Decisions of the owner

    def set_pins(self, pins: Mapping[str, ContactPin]) -> PeopleUpdate:
        """Replaces the pins after a change of the configuration."""
        resolver = PinResolver(pins)
        resolver.problems = self._pin_resolver.problems  # a problem that stays makes no second event
        self._pin_resolver = resolver
        self._binder.pin_resolver = resolver
        self._resolve_pins()
        return self.collect_changes()

    def set_trust(self, trust: OwnerTrust) -> None:
        """Says who is trusted on a backend where the operator names the owner.

        The changes come with the next `PeopleUpdate`, or at once from `collect_changes`.
        """
        if trust != self._binder.trust:
            self._binder.trust = trust
            self._resolve_pins()

    def forget_everybody(self) -> None:
        """Removes all people and topic names, after the store has deleted them: another bot knows others."""
        for person_id in list(self._table.persons):
            self._table.remove(person_id)
        self._table.topic_names.clear()
        self._binder.forget_login()
        self._pin_resolver.problems = {}
        self._table.collect_update()

    def assign(self, closed_name: str, newcomer_name: str, now: int) -> PeopleUpdate:
        """Applies the owner's decision that `newcomer_name` is the old `closed_name`. Raises `BadCommand`."""
        old, newcomer = self._require_person(closed_name), self._require_person(newcomer_name)
        if _is_present(old) or not _is_present(newcomer):
            present = closed_name if _is_present(old) else newcomer_name
            raise BadCommand("bad_request", "assign_closed", user=present)
        return self.merge(closed_name, newcomer_name, now)

    def merge(self, topic_name: str, other_name: str, now: int) -> PeopleUpdate:
        """Applies the owner's decision that two people are one.

        Raises `BadCommand` if both are contacts now, have permanent ids, or are of different kinds.
        """
        person, other = self._require_person(topic_name), self._require_person(other_name)
        both_present = _is_present(person) and _is_present(other)
        permanent = person.permanent_id or other.permanent_id
        if person.id == other.id or both_present or permanent or person.kind is not other.kind:
            raise BadCommand("bad_request", "assign_closed", user=topic_name)
        self._binder.merge(person, other, now)
        return self.collect_changes()

    def remove_stale(self, now: int) -> PeopleUpdate:
        """Removes newcomers and strangers of earlier logins who never wrote: nobody uses their names."""
        for person in list(self._table.persons.values()):
            is_temporary = person.stranger or person.matched_by in {MatchedBy.UNSURE, MatchedBy.MESSAGE}
            is_removable = is_temporary and not person.wrote and not person.pin
            if is_removable and person.handle is None and now - person.seen >= NEWCOMER_RETENTION_MS:
                self._table.remove(person.id)
        return self.collect_changes()

    # What changed

    def collect_changes(self) -> PeopleUpdate:
        """Returns all changes that no update has brought yet, as those of the constructor and of `set_trust`.

        Completes them before: gives pinned people their names, and new people a topic name.
        """
        owner = self._binder.own_handle
        if any(self._pin_resolver.may_match(person, owner) for person in self._table.changed_persons()):
            self._resolve_pins()
        for person_id in self._binder.unnamed:
            current = self._table.get(person_id)
            if current is not None and not current.topic_name:
                self._table.set_topic_name(current.id, self._new_topic_name(current))
        self._binder.unnamed.clear()
        return self._table.collect_update()

    def _resolve_pins(self) -> None:
        trust = self._binder.trust
        gives_trust = trust is None or trust.is_confirmed
        self._pin_resolver.resolve(
            self._table, self._binder.own_handle, self._new_topic_name, gives_trust=gives_trust
        )

    def _new_topic_name(self, person: Person) -> str:
        if person.permanent_id == FILEHELPER:
            return FILEHELPER
        names = topic_name_candidates(person, is_owner=person.permanent_id == self._binder.own_handle)
        return unique_topic_name(names, person.kind, self._name_style, self._is_taken, self._topic_name_hints)

    def _is_taken(self, topic_name: str) -> bool:
        return topic_name in self._table.topic_names or topic_name in self._pin_resolver.pins

    def _require_person(self, topic_name: str) -> Person:
        person = self._table.by_topic_name(topic_name)
        if person is None:
            raise BadCommand("unknown_user", "assign_unknown", user=topic_name)
        return person


def _is_present(person: Person) -> bool:
    """Returns whether the person is a contact of this login, so that no other contact can be them."""
    return person.handle is not None and not person.removed

"""Binds known people to the contacts of the current login, and handles those without a contact."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from wx2mqtt.bridge.people.evidence import (
    MAX_CANDIDATES,
    ContactFacts,
    MatchedBy,
    OwnerTrust,
    contact_facts,
)
from wx2mqtt.bridge.people.matching import MatchedContact, match_contacts
from wx2mqtt.bridge.people.pins import PinResolver
from wx2mqtt.bridge.people.table import PeopleTable
from wx2mqtt.model import ChatKind, Contact, Handle, Json, Owner, PersonId
from wx2mqtt.store.person_records import Person

# A complete directory has all of these, but only the groups saved to the address book (webwx 2.8.6).
_LISTED_KINDS = frozenset({ChatKind.FRIEND, ChatKind.OFFICIAL})
_MATCHED_WITHOUT_DIRECTORY = frozenset({MatchedBy.MESSAGE, MatchedBy.ID})  # known without any directory


class ContactBinder:
    """The state of the current login."""

    def __init__(self, table: PeopleTable, pin_resolver: PinResolver) -> None:
        self._table = table
        self.pin_resolver = pin_resolver
        self.owner: Owner | None = None
        #: None where a login says who the owner is.
        self.trust: OwnerTrust | None = None
        bound = (person.login_id for person in table.persons.values() if person.handle is not None)
        self.login_id = next(bound, "")
        #: Its directory is fully known.
        self.is_complete = False
        #: No directory was ever read, so that nobody counts as added.
        self.is_first_directory = all(
            person.matched_by in _MATCHED_WITHOUT_DIRECTORY for person in table.persons.values()
        )
        #: Contacts with candidates, until the directory is complete or they write.
        self.pending: dict[Handle, ContactFacts] = {}
        #: New people without a topic name.
        self.unnamed: list[PersonId] = []

    @property
    def own_handle(self) -> Handle | None:
        """The owner's handle; None before a login, unless the operator names the owner."""
        if self.trust is not None:
            return self.trust.owner
        return None if self.owner is None else self.owner.handle

    def facts_of(self, contact: Contact) -> ContactFacts:
        return contact_facts(contact, self.own_handle, self.owner.uin if self.owner else "")

    def merge_by_handle(self, contacts: Iterable[Contact | ContactFacts]) -> dict[Handle, ContactFacts]:
        """Returns facts by handle; merges a contact that is listed twice (webwx 2.6.3)."""
        merged: dict[Handle, ContactFacts] = {}
        for contact in contacts:
            facts = contact if isinstance(contact, ContactFacts) else self.facts_of(contact)
            earlier = merged.get(facts.handle)
            merged[facts.handle] = facts if earlier is None else earlier.merged_with(facts)
        return merged

    def start_login(self, login_id: str) -> None:
        """Clears the handles of earlier logins, except permanent ones."""
        self.login_id, self.is_complete = login_id, False
        self.pending.clear()
        for person in list(self._table.persons.values()):
            if person.handle is not None and person.handle == person.permanent_id:
                self._table.change(person.id, login_id=login_id)
            elif person.handle is not None:
                self._table.change(person.id, handle=None)

    def is_plausible(self, facts: Collection[ContactFacts]) -> bool:
        """Returns false for a list without friends, which WeChat has not filled yet (webwx 4.5.5)."""
        known = self._table.persons.values()
        return any(contact.kind is ChatKind.FRIEND for contact in facts) or not any(
            person.kind is ChatKind.FRIEND and not person.removed and not person.permanent_id
            for person in known
        )

    def apply_contacts(self, facts: Iterable[ContactFacts], now: int, *, full: bool) -> None:
        """Updates the known people, and matches or adds those whom no handle or id names yet."""
        unknown: list[ContactFacts] = []
        for contact in facts:
            known = self._table.by_handle(contact.handle) or self._table.by_permanent_id(contact.permanent_id)
            if known is None or known.matched_by == MatchedBy.MESSAGE:
                unknown.append(contact)
            else:
                self.update_person(known, contact, now, full=full)
        if unknown:
            self._match_unknown(unknown, now, full=full)

    def _match_unknown(self, contacts: Sequence[ContactFacts], now: int, *, full: bool) -> None:
        """Binds each contact to the person it matches; else keeps it for later, or adds a new person."""
        result = self.recognize(contacts)
        doubts: dict[PersonId, list[PersonId]] = defaultdict(list)
        for index, contact in enumerate(contacts):
            candidates = result.candidates.get(index, ())
            if index in result.matches:
                self.bind(*result.matches[index], contact, now, full=full)
            elif candidates and not self.is_complete:
                self.pending[contact.handle] = contact
                if (provisional := self._table.by_handle(contact.handle)) is not None:
                    self.update_person(provisional, contact, now, full=full)
            else:
                newcomer = self.add_newcomer(
                    contact, now, MatchedBy.UNSURE if candidates else MatchedBy.NEW, full=full
                )
                for candidate in candidates:
                    doubts[candidate].append(newcomer)
        for candidate, newcomers in doubts.items():
            # Closed, with several or unproven matches: no messages until the owner decides.
            if not self._table.persons[candidate].closed:
                people = newcomers[:MAX_CANDIDATES]
                self._table.add_event("unresolved", candidate, {"reason": "not_certain"}, people)
            self._table.change(candidate, closed=True, login_id=self.login_id)

    def recognize(self, contacts: Sequence[ContactFacts]) -> MatchedContact:
        return match_contacts(
            contacts,
            self._table,
            self.pin_resolver,
            self.own_handle,
            pending=self.pending.values(),
            is_complete=self.is_complete,
        )

    def bind(
        self, person: PersonId, matched_by: MatchedBy, facts: ContactFacts, now: int, *, full: bool
    ) -> None:
        provisional = self._table.by_handle(facts.handle)
        if provisional is not None and provisional.id != person:
            self.merge_into(provisional, person)
        self.pending.pop(facts.handle, None)
        known = self._table.persons[person]
        self.update_person(known, facts, now, full=full, matched_by=matched_by, closed=False)

    def add_newcomer(
        self, facts: ContactFacts, now: int, matched_by: MatchedBy, *, full: bool = False
    ) -> PersonId:
        """Adds a new person; the topic name is assigned after the pins are resolved."""
        provisional = self._table.by_handle(facts.handle)
        if provisional is None:
            person = self._new_person(facts, now, matched_by)
            self._table.add(person)
            self.unnamed.append(person.id)
        else:
            person = self.update_person(
                provisional, facts, now, full=full, matched_by=matched_by, stranger=facts.listed is False
            )
        # Whoever wrote first may have been a contact all the time, unless WeChat says that they are one now.
        added = not person.stranger if provisional is None else facts.listed is True
        if added and matched_by is MatchedBy.NEW and not self.is_first_directory:
            self._table.add_event("contact_added", person.id, _event_fields(person))
        return person.id

    def _new_person(self, facts: ContactFacts, now: int, matched_by: MatchedBy) -> Person:
        return Person(
            id=self._table.new_id(),
            topic_name="",
            kind=facts.kind,
            handle=facts.handle,
            login_id=self.login_id,
            matched_by=MatchedBy.ID if facts.permanent_id else matched_by,
            permanent_id=facts.permanent_id,
            alias=facts.alias,
            remark=facts.remark,
            nickname=facts.nickname,
            avatar=facts.avatar,
            profile=facts.profile,
            members=facts.members,
            trusted=facts.kind is ChatKind.SELF,
            stranger=facts.listed is False,
            created=now,
            seen=now,
        )

    def mark_missing(self, present: Collection[Handle]) -> None:
        """Removes friends who are missing in a complete directory; groups may be inactive (webwx 4.5.2)."""
        for person in list(self._table.persons.values()):
            if person.handle in present or person.permanent_id:
                continue
            if person.stranger or person.matched_by == MatchedBy.MESSAGE:
                continue  # they were never in a directory
            if person.closed and person.login_id == self.login_id:
                continue
            self._table.change(person.id, closed=False)
            if person.kind in _LISTED_KINDS:
                self.mark_removed(self._table.persons[person.id])

    def mark_removed(self, person: Person) -> None:
        if not person.removed:
            self._table.change(person.id, removed=True)
            self._table.add_event("contact_removed", person.id, _event_fields(person))

    def update_person(
        self, person: Person, facts: ContactFacts, now: int, *, full: bool, **more: Any
    ) -> Person:
        values = {**_updated_values(person, facts, full=full), "login_id": self.login_id, **more}
        if all(getattr(person, name) == value for name, value in values.items()):
            return person
        new = self._table.change(person.id, **values, seen=now)
        self._record_events(person, new)
        return new

    def rename(self, person: Person, names: Mapping[str, str], now: int) -> None:
        """Sets names of the person, including empty ones."""
        if any(getattr(person, key) != name for key, name in names.items()):
            self._record_events(person, self._table.change(person.id, **names, seen=now))

    def _record_events(self, person: Person, new: Person) -> None:
        was_added = (person.removed or person.stranger) and not (new.removed or new.stranger)
        if was_added and person.matched_by != MatchedBy.MESSAGE and not self.is_first_directory:
            self._table.add_event("contact_added", person.id, _event_fields(new))
        elif person.matched_by != MatchedBy.MESSAGE and display_name(person) != display_name(new):
            fields: dict[str, Json] = {"from": display_name(person), "to": display_name(new)}
            self._table.add_event("contact_renamed", person.id, fields)

    def merge_into(self, removed: Person, into: PersonId) -> None:
        person = self._table.persons[into]
        self._table.change(
            into, wrote=person.wrote or removed.wrote, created=min(person.created, removed.created)
        )
        self._table.add_event("topic_changed", into, {"from": removed.topic_name, "to": person.topic_name})
        self._table.merge(removed.id, into)


def display_name(person: Person) -> str:
    """Returns the remark, or else the nickname (webwx 4.4.1)."""
    return person.remark or person.nickname


def _event_fields(person: Person) -> Mapping[str, Json]:
    name = display_name(person)
    return {"kind": str(person.kind), **({"name": name} if name else {})}


def _updated_values(person: Person, facts: ContactFacts, *, full: bool) -> dict[str, Any]:
    """Returns the values of `person` after `facts`. Only a full directory entry can clear a remark."""
    profile = facts.profile or person.profile
    return {
        "kind": facts.kind,
        "handle": facts.handle,
        "permanent_id": facts.permanent_id or person.permanent_id,
        "alias": facts.alias or person.alias,
        "remark": facts.remark if full else facts.remark or person.remark,
        "nickname": facts.nickname or person.nickname,
        "avatar": facts.avatar or person.avatar,
        "profile": profile if full else {**person.profile, **profile},
        "members": facts.members or person.members,
        # Whoever is merely seen somewhere is not back among the contacts.
        "removed": person.removed and facts.listed is False,
        "stranger": person.stranger and facts.listed is not True,
    }

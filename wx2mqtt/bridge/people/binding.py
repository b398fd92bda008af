"""Binds people to the contacts of the current login: what becomes of each contact that WeChat lists.

    a contact whose handle or permanent id is known   ->  the person is updated
    an unknown contact that matches a person          ->  the person gets its handle
    an unknown contact that may be one of several     ->  it is pending until the directory is complete; then
                                                          it becomes a newcomer, and those people are closed
    any other contact                                 ->  a newcomer

`matching.py` says which contact matches whom. Nothing is stored: `registry.py` collects the changes.
"""

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
from wx2mqtt.bridge.people.matching import ContactMatches, match_contacts
from wx2mqtt.bridge.people.pins import PinResolver
from wx2mqtt.bridge.people.table import PeopleTable
from wx2mqtt.model import ChatKind, Contact, Handle, Json, Owner, PersonId
from wx2mqtt.store.person_records import Person

# Who is missing in a complete directory is no contact any more. Of groups a directory has only those that are
# saved to the address book (webwx 2.8.6).
_LISTED_KINDS = frozenset({ChatKind.FRIEND, ChatKind.OFFICIAL})

# In web WeChat the handles of these are the same in every login, as `filehelper` (webwx 4.3.2).
_KINDS_WITH_PERMANENT_HANDLES = frozenset({ChatKind.SYSTEM, ChatKind.SELF})

# People who were recognised by these are known without any directory.
_MATCHED_WITHOUT_DIRECTORY = frozenset({MatchedBy.MESSAGE, MatchedBy.ID})


class ContactBinder:
    """The people and contacts of the current login. Every method changes the table.

    `full` in the methods: the facts are a whole entry of the directory, so that an empty remark clears it.
    """

    def __init__(self, table: PeopleTable, pin_resolver: PinResolver) -> None:
        self._table = table
        self.pin_resolver = pin_resolver
        #: The account that is logged in; None before the first login of this process.
        self._owner: Owner | None = None
        #: Who is trusted where the operator names the owner; None where a login says who it is.
        self.trust: OwnerTrust | None = None
        bound = (person.login_id for person in table.persons.values() if person.handle is not None)
        #: The login in which the handles are valid; empty before the first.
        self.login_id = next(bound, "")
        #: Whether the directory of this login is fully known.
        self.is_complete = False
        #: Whether no directory was ever read, so that nobody counts as added.
        self._is_first_directory = all(
            person.matched_by in _MATCHED_WITHOUT_DIRECTORY for person in table.persons.values()
        )
        #: Contacts with candidates, until the directory is complete or they write.
        self._pending: dict[Handle, ContactFacts] = {}
        #: New people who still need a topic name; the registry gives it to them, after the pins are resolved.
        self.unnamed: list[PersonId] = []

    @property
    def own_handle(self) -> Handle | None:
        """The owner's handle; None before a login, unless the operator names the owner."""
        if self.trust is not None:
            return self.trust.owner
        return None if self._owner is None else self._owner.handle

    # What the registry calls

    def apply_directory(
        self,
        contacts: Iterable[Contact | ContactFacts],
        login_id: str,
        owner: Owner,
        now: int,
        *,
        complete: bool,
    ) -> None:
        """Applies the directory of a login, or a part of it, as `PeopleRegistry.apply_directory` says."""
        self._owner = owner
        if login_id != self.login_id:
            self._start_login(login_id)
        facts = self._merge_by_handle(contacts)
        is_whole = complete and self._is_plausible(facts.values())
        if is_whole:
            self.is_complete = True
            self._pending.clear()
        self._apply_contacts(facts.values(), now, full=True)
        if is_whole:
            self._mark_missing(facts)
            self._is_first_directory = False

    def apply_update(self, contacts: Iterable[Contact], removed: Iterable[Handle], now: int) -> None:
        """Applies the contacts of a batch, and removes those who are no contacts any more."""
        facts = self._merge_by_handle(contacts)
        self._apply_contacts(facts.values(), now, full=False)
        for handle in removed:
            self._pending.pop(handle, None)
            person = self._table.by_handle(handle)
            if person is not None and not person.permanent_id:
                self._mark_removed(person)

    def add_unlisted(
        self, handle: Handle, kind: ChatKind, name: str, now: int, permanent_id: str = ""
    ) -> None:
        """Adds the author of a message whom no contact list has, unless it is somebody known."""
        facts = self._pending.pop(handle, None)
        if facts is None:
            if kind in _KINDS_WITH_PERMANENT_HANDLES and handle != self.own_handle:
                permanent_id = permanent_id or handle
            facts = self._facts_of(
                Contact(handle=handle, kind=kind, nickname=name, permanent_id=permanent_id)
            )
        known = self._table.by_permanent_id(facts.permanent_id)
        match = self._recognize([facts]).matches.get(0)
        if known is not None:
            self._update_person(known, facts, now, full=False)
        elif match is not None:
            person_id, rule = match
            self._bind(person_id, rule, facts, now, full=False)
        else:
            self._add_newcomer(facts, now, MatchedBy.MESSAGE)

    def add_group(self, group: Contact, now: int) -> None:
        """Adds a group that the owner created here; it never matches an older group."""
        self._add_newcomer(self._facts_of(group), now, MatchedBy.NEW)

    def rename(self, person: Person, names: Mapping[str, str], now: int) -> None:
        """Sets names of the person, including empty ones."""
        if any(getattr(person, key) != name for key, name in names.items()):
            self._add_change_event(person, self._table.change(person.id, **names, seen=now))

    def merge(self, person: Person, other: Person, now: int) -> None:
        """Merges `other` into `person`, as the owner decided; if `other` is a contact now, `person` is it."""
        if other.handle is not None and not other.removed:
            facts = _facts_of_person(other, other.handle)
            self._update_person(person, facts, now, full=False, matched_by=MatchedBy.OWNER, closed=False)
        self._merge_into(other, person.id)

    def forget_login(self) -> None:
        """Begins as before the first login."""
        self._pending.clear()
        self.login_id = ""
        self.is_complete = False

    # Contacts

    def _facts_of(self, contact: Contact) -> ContactFacts:
        return contact_facts(contact, self.own_handle, self._owner.uin if self._owner else "")

    def _merge_by_handle(self, contacts: Iterable[Contact | ContactFacts]) -> dict[Handle, ContactFacts]:
        """Returns facts by handle; merges a contact that is listed twice (webwx 2.6.3)."""
        merged: dict[Handle, ContactFacts] = {}
        for contact in contacts:
            facts = contact if isinstance(contact, ContactFacts) else self._facts_of(contact)
            earlier = merged.get(facts.handle)
            merged[facts.handle] = facts if earlier is None else earlier.merged_with(facts)
        return merged

    def _start_login(self, login_id: str) -> None:
        """Clears the handles of earlier logins, except permanent ones."""
        self.login_id = login_id
        self.is_complete = False
        self._pending.clear()
        for person in list(self._table.persons.values()):
            if person.handle is not None and person.handle == person.permanent_id:
                self._table.change(person.id, login_id=login_id)
            elif person.handle is not None:
                self._table.change(person.id, handle=None)

    def _is_plausible(self, facts: Collection[ContactFacts]) -> bool:
        """Returns false for a list without friends, which WeChat has not filled yet (webwx 4.5.5)."""
        if any(contact.kind is ChatKind.FRIEND for contact in facts):
            return True
        return not any(
            person.kind is ChatKind.FRIEND and not person.removed and not person.permanent_id
            for person in self._table.persons.values()
        )

    def _apply_contacts(self, facts: Iterable[ContactFacts], now: int, *, full: bool) -> None:
        """Updates the known people, and matches or adds those whom no handle or id names yet."""
        unknown: list[ContactFacts] = []
        for contact in facts:
            known = self._table.by_handle(contact.handle) or self._table.by_permanent_id(contact.permanent_id)
            # Of somebody who is known from a message only, it is still to be found out who they are.
            if known is None or known.matched_by == MatchedBy.MESSAGE:
                unknown.append(contact)
            else:
                self._update_person(known, contact, now, full=full)
        if unknown:
            self._match_unknown(unknown, now, full=full)

    def _match_unknown(self, contacts: Sequence[ContactFacts], now: int, *, full: bool) -> None:
        """Binds each contact to the person it matches; else keeps it for later, or adds a new person."""
        result = self._recognize(contacts)
        newcomers_by_candidate: dict[PersonId, list[PersonId]] = defaultdict(list)
        for index, contact in enumerate(contacts):
            candidates = result.candidates.get(index, ())
            if index in result.matches:
                person_id, rule = result.matches[index]
                self._bind(person_id, rule, contact, now, full=full)
            elif candidates and not self.is_complete:
                self._pending[contact.handle] = contact
                wrote_before = self._table.by_handle(contact.handle)
                if wrote_before is not None:
                    self._update_person(wrote_before, contact, now, full=full)
            else:
                rule = MatchedBy.UNSURE if candidates else MatchedBy.NEW
                newcomer = self._add_newcomer(contact, now, rule, full=full)
                for candidate in candidates:
                    newcomers_by_candidate[candidate].append(newcomer)
        for candidate, newcomers in newcomers_by_candidate.items():
            self._close(candidate, newcomers)

    def _close(self, person_id: PersonId, newcomers: Sequence[PersonId]) -> None:
        """Gives a person no messages until the owner decides which of the newcomers they are, if any."""
        if not self._table.persons[person_id].closed:
            candidates = newcomers[:MAX_CANDIDATES]
            self._table.add_event("unresolved", person_id, {"reason": "not_certain"}, candidates)
        self._table.change(person_id, closed=True, login_id=self.login_id)

    def _recognize(self, contacts: Sequence[ContactFacts]) -> ContactMatches:
        """Finds out who the contacts are, without changing anything."""
        return match_contacts(
            contacts,
            self._table,
            self.pin_resolver,
            self.own_handle,
            pending=self._pending.values(),
            is_complete=self.is_complete,
        )

    def _bind(
        self, person_id: PersonId, matched_by: MatchedBy, facts: ContactFacts, now: int, *, full: bool
    ) -> None:
        """Makes the contact this person's; who wrote with its handle before is merged into them."""
        wrote_before = self._table.by_handle(facts.handle)
        if wrote_before is not None and wrote_before.id != person_id:
            self._merge_into(wrote_before, person_id)
        self._pending.pop(facts.handle, None)
        known = self._table.persons[person_id]
        self._update_person(known, facts, now, full=full, matched_by=matched_by, closed=False)

    def _add_newcomer(
        self, facts: ContactFacts, now: int, matched_by: MatchedBy, *, full: bool = False
    ) -> PersonId:
        """Adds a new person, or updates the one who wrote with this handle before; returns the id.

        The topic name is assigned after the pins are resolved.
        """
        wrote_before = self._table.by_handle(facts.handle)
        if wrote_before is None:
            person = self._new_person(facts, now, matched_by)
            self._table.add(person)
            self.unnamed.append(person.id)
            is_contact = not person.stranger
        else:
            stranger = facts.listed is False
            person = self._update_person(
                wrote_before, facts, now, full=full, matched_by=matched_by, stranger=stranger
            )
            is_contact = facts.listed is True  # where WeChat does not say it, they may be one for years
        if is_contact and matched_by is MatchedBy.NEW and not self._is_first_directory:
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

    def _mark_missing(self, present: Collection[Handle]) -> None:
        """Removes friends who are missing in a complete directory; groups may be inactive (webwx 4.5.2)."""
        for person in list(self._table.persons.values()):
            if person.handle in present or person.permanent_id:
                continue
            if person.stranger or person.matched_by == MatchedBy.MESSAGE:
                continue  # they were never in a directory
            if person.closed and person.login_id == self.login_id:
                continue  # one of the newcomers may be this person
            self._table.change(person.id, closed=False)
            if person.kind in _LISTED_KINDS:
                self._mark_removed(self._table.persons[person.id])

    def _mark_removed(self, person: Person) -> None:
        if not person.removed:
            self._table.change(person.id, removed=True)
            self._table.add_event("contact_removed", person.id, _event_fields(person))

    def _update_person(
        self, person: Person, facts: ContactFacts, now: int, *, full: bool, **more: Any
    ) -> Person:
        """Gives the person the facts, and `more` fields by name; returns the new version."""
        values = {**_updated_values(person, facts, full=full), "login_id": self.login_id, **more}
        if all(getattr(person, name) == value for name, value in values.items()):
            return person
        new = self._table.change(person.id, **values, seen=now)
        self._add_change_event(person, new)
        return new

    def _add_change_event(self, person: Person, new: Person) -> None:
        """Adds the event about a change from `person` to `new`, if there is one."""
        if person.matched_by == MatchedBy.MESSAGE:
            return  # nobody knew until now who this is
        was_added = (person.removed or person.stranger) and not (new.removed or new.stranger)
        if was_added and not self._is_first_directory:
            self._table.add_event("contact_added", person.id, _event_fields(new))
        elif display_name(person) != display_name(new):
            fields: dict[str, Json] = {"from": display_name(person), "to": display_name(new)}
            self._table.add_event("contact_renamed", person.id, fields)

    def _merge_into(self, removed: Person, into: PersonId) -> None:
        """Merges two people: whoever used the topic names of `removed` reaches `into` with them."""
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
    fields: dict[str, Json] = {"kind": str(person.kind)}
    if display_name(person):
        fields["name"] = display_name(person)
    return fields


def _facts_of_person(person: Person, handle: Handle) -> ContactFacts:
    """Returns what is known of a person in the form of a contact."""
    return ContactFacts(
        handle=handle,
        kind=person.kind,
        alias=person.alias,
        remark=person.remark,
        nickname=person.nickname,
        avatar=person.avatar,
        profile=person.profile,
        members=person.members,
    )


def _updated_values(person: Person, facts: ContactFacts, *, full: bool) -> dict[str, Any]:
    """Returns the values of `person` after `facts`. Only a full entry of the directory can clear a remark."""
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
        # Somebody who is only seen, as in a group, is not a contact again by that.
        "removed": person.removed and facts.listed is False,
        "stranger": person.stranger and facts.listed is not True,
    }

"""Which of the known people are present in this login, and what becomes of those that are not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from wx2mqtt.bridge.people.evidence import ContactFacts, MatchedBy, contact_facts
from wx2mqtt.bridge.people.matching import MatchedContact, match_contacts
from wx2mqtt.bridge.people.pins import PinResolver
from wx2mqtt.bridge.people.table import PeopleTable
from wx2mqtt.model import ChatKind, Contact, Handle, Json, Owner, PersonId
from wx2mqtt.store.records import Person

# A whole directory has all of these; groups that are not saved to the address book are in none (webwx 2.8.6).
_LISTED = frozenset({ChatKind.FRIEND, ChatKind.OFFICIAL})
_NOT_LISTED = frozenset({MatchedBy.PLACED, MatchedBy.ID})  # known without any directory


class ContactBinder:
    """The present login.

    `whole` says that its directory is known in full; until then contacts that may be somebody wait in
    `pending`. `first` says that no directory was ever read, so that nobody counts as added. `unnamed` are
    newcomers that have no level yet.
    """

    def __init__(self, table: PeopleTable, pin_resolver: PinResolver) -> None:
        self._table = table
        self.pin_resolver = pin_resolver
        self.owner: Owner | None = None
        bound = (one.login_id for one in table.persons.values() if one.handle is not None)
        self.login_id = next(bound, "")
        self.is_complete = False
        self.is_first_directory = all(one.matched_by in _NOT_LISTED for one in table.persons.values())
        self.pending: dict[Handle, ContactFacts] = {}
        self.unnamed: list[PersonId] = []

    @property
    def own_handle(self) -> Handle | None:
        """The account's own handle."""
        return None if self.owner is None else self.owner.handle

    def facts_of(self, contact: Contact) -> ContactFacts:
        """A contact of this login as it is compared and kept."""
        return contact_facts(contact, owner=self.own_handle, uin=self.owner.uin if self.owner else "")

    def merge_by_handle(self, contacts: Iterable[Contact]) -> dict[Handle, ContactFacts]:
        """Contacts by handle; of one that comes twice, hollow and in full (webwx 2.6.3), all is kept."""
        found: dict[Handle, ContactFacts] = {}
        for one in map(self.facts_of, contacts):
            before = found.get(one.handle)
            found[one.handle] = one if before is None else before.merged_with(one)
        return found

    def start_login(self, login_id: str) -> None:
        """Handles of earlier logins mean nobody now, but for those that never change."""
        self.login_id, self.is_complete = login_id, False
        self.pending.clear()
        for one in list(self._table.persons.values()):
            if one.handle is not None and one.handle == one.permanent_id:
                self._table.change(one.id, login_id=login_id)
            elif one.handle is not None:
                self._table.change(one.id, handle=None)

    def is_plausible(self, facts: Collection[ContactFacts]) -> bool:
        """A list without any friend is one that WeChat has not filled yet (webwx 4.5.5)."""
        known = self._table.persons.values()
        return any(one.kind is ChatKind.FRIEND for one in facts) or not any(
            one.kind is ChatKind.FRIEND and not one.removed and not one.permanent_id for one in known
        )

    def apply_contacts(self, facts: Iterable[ContactFacts], now: int, *, full: bool) -> None:
        strangers: list[ContactFacts] = []
        for one in facts:
            known = self._table.by_handle(one.handle) or self._table.by_permanent_id(one.permanent_id)
            if known is None or known.matched_by == MatchedBy.PLACED:
                strangers.append(one)
            else:
                self.update_person(known, one, now, full=full)
        if strangers:
            self._match_strangers(strangers, now, full=full)

    def _match_strangers(self, strangers: Sequence[ContactFacts], now: int, *, full: bool) -> None:
        found = self.recognize(strangers)
        doubts: dict[PersonId, list[PersonId]] = defaultdict(list)
        for place, one in enumerate(strangers):
            near = found.candidates.get(place, ())
            if place in found.matches:
                self.bind(*found.matches[place], one, now, full=full)
            elif near and not self.is_complete:
                self._postpone(one, now, full=full)
            else:
                newcomer = self.add_newcomer(one, now, MatchedBy.UNSURE if near else MatchedBy.NEW)
                for old in near:
                    doubts[old].append(newcomer)
        for old, newcomers in doubts.items():
            self._close_person(old, newcomers)

    def recognize(self, strangers: Sequence[ContactFacts]) -> MatchedContact:
        return match_contacts(
            strangers,
            self._table,
            self.pin_resolver,
            self.own_handle,
            waiting=self.pending.values(),
            whole=self.is_complete,
        )

    def bind(
        self, person: PersonId, matched_by: MatchedBy, facts: ContactFacts, now: int, *, full: bool
    ) -> None:
        placed = self._table.by_handle(facts.handle)
        if placed is not None and placed.id != person:
            self.merge_into(placed, person)
        self.pending.pop(facts.handle, None)
        known = self._table.persons[person]
        self.update_person(known, facts, now, full=full, matched_by=matched_by, closed=False)

    def _postpone(self, facts: ContactFacts, now: int, *, full: bool) -> None:
        """Wait for the whole directory before this becomes a newcomer, unless it writes."""
        self.pending[facts.handle] = facts
        placed = self._table.by_handle(facts.handle)
        if placed is not None:
            self.update_person(placed, facts, now, full=full)

    def add_newcomer(self, facts: ContactFacts, now: int, matched_by: MatchedBy) -> PersonId:
        """Somebody new; the level is given when the pins have spoken."""
        placed = self._table.by_handle(facts.handle)
        if placed is None:
            person = self._new_person(facts, now, matched_by)
            self._table.add(person)
            self.unnamed.append(person.id)
        else:
            person = self.update_person(
                placed, facts, now, full=False, matched_by=matched_by, stranger=facts.listed is False
            )
        # Whoever wrote first may have been a contact all the time, unless WeChat says that they are one now.
        added = not person.stranger if placed is None else facts.listed is True
        if added and matched_by is MatchedBy.NEW and not self.is_first_directory:
            self._table.add_event("contact_added", person.id, _described(person))
        return person.id

    def _new_person(self, facts: ContactFacts, now: int, matched_by: MatchedBy) -> Person:
        return Person(
            id=self._table.new_id(),
            level="",
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

    def _close_person(self, person: PersonId, newcomers: Sequence[PersonId]) -> None:
        """Two fit, or one without proof: nobody can write to this person until the owner has decided."""
        if not self._table.persons[person].closed:
            self._table.add_event("unresolved", person, {"reason": "not_certain"}, newcomers)
        self._table.change(person, closed=True, login_id=self.login_id)

    def mark_missing(self, present: Collection[Handle]) -> None:
        """Who is not in a whole directory: friends are gone, groups may only be silent (webwx 4.5.2)."""
        for one in list(self._table.persons.values()):
            if one.handle in present or one.permanent_id or self._is_unlisted(one):
                continue
            if one.closed and one.login_id == self.login_id:
                continue
            self._table.change(one.id, closed=False)
            if one.kind in _LISTED:
                self.mark_removed(self._table.persons[one.id])

    def _is_unlisted(self, person: Person) -> bool:
        """Whether no directory ever had this one."""
        return person.stranger or person.matched_by == MatchedBy.PLACED

    def mark_removed(self, person: Person) -> None:
        if not person.removed:
            self._table.change(person.id, removed=True)
            self._table.add_event("contact_removed", person.id, _described(person))

    def update_person(
        self, person: Person, facts: ContactFacts, now: int, *, full: bool, **more: Any
    ) -> Person:
        """The person is this contact; what is new about them is kept."""
        values = {**_learned(person, facts, full=full), "login_id": self.login_id, **more}
        if all(getattr(person, name) == value for name, value in values.items()):
            return person
        new = self._table.change(person.id, **values, seen=now)
        self._record_events(person, new)
        return new

    def rename(self, person: Person, names: Mapping[str, str], now: int) -> None:
        """The person has these names, empty ones too."""
        if any(getattr(person, key) != name for key, name in names.items()):
            self._record_events(person, self._table.change(person.id, **names, seen=now))

    def _record_events(self, person: Person, new: Person) -> None:
        came = (person.removed or person.stranger) and not (new.removed or new.stranger)
        if came and person.matched_by != MatchedBy.PLACED and not self.is_first_directory:
            self._table.add_event("contact_added", person.id, _described(new))
        elif person.matched_by != MatchedBy.PLACED and display_name(person) != display_name(new):
            fields: dict[str, Json] = {"from": display_name(person), "to": display_name(new)}
            self._table.add_event("contact_renamed", person.id, fields)

    def merge_into(self, removed: Person, into: PersonId) -> None:
        person = self._table.persons[into]
        self._table.change(
            into, wrote=person.wrote or removed.wrote, created=min(person.created, removed.created)
        )
        self._table.add_event("topic_changed", into, {"from": removed.level, "to": person.level})
        self._table.merge(removed.id, into)


def display_name(person: Person) -> str:
    """What people call them: the remark, else the nickname (webwx 4.4.1)."""
    return person.remark or person.nickname


def _described(person: Person) -> Mapping[str, Json]:
    name = display_name(person)
    return {"kind": str(person.kind), **({"name": name} if name else {})}


def _learned(person: Person, facts: ContactFacts, *, full: bool) -> dict[str, Any]:
    """The values of `person` after `facts`. Only a directory can say that a remark is no more."""
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

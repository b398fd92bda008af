"""Which of the known people are present in this login, and what becomes of those that are not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from wx2mqtt.bridge.people.evidence import Facts, MatchedBy, facts_of
from wx2mqtt.bridge.people.pinning import Pinning
from wx2mqtt.bridge.people.recognition import Recognized, recognize
from wx2mqtt.bridge.people.roster import Roster
from wx2mqtt.model import ChatKind, Contact, Handle, Json, Owner, PersonId
from wx2mqtt.store.people import Person

# A whole directory has all of these; groups that are not saved to the address book are in none (webwx 2.8).
_LISTED = frozenset({ChatKind.FRIEND, ChatKind.OFFICIAL})
_NOT_LISTED = frozenset({MatchedBy.PLACED, MatchedBy.ID})  # known without any directory


class Attendance:
    """The present login.

    `whole` says that its directory is known in full; until then contacts that may be somebody wait in
    `pending`. `first` says that no directory was ever read, so that nobody counts as added. `unnamed` are
    newcomers that have no level yet.
    """

    def __init__(self, roster: Roster, pinning: Pinning) -> None:
        self._roster = roster
        self.pinning = pinning
        self.owner: Owner | None = None
        bound = (one.login_id for one in roster.persons.values() if one.handle is not None)
        self.login_id = next(bound, "")
        self.whole = False
        self.first = all(one.matched_by in _NOT_LISTED for one in roster.persons.values())
        self.pending: dict[Handle, Facts] = {}
        self.unnamed: list[PersonId] = []

    @property
    def handle(self) -> Handle | None:
        """The account's own handle."""
        return None if self.owner is None else self.owner.handle

    def facts(self, contact: Contact) -> Facts:
        """A contact of this login as it is compared and kept."""
        return facts_of(contact, owner=self.handle, uin=self.owner.uin if self.owner else "")

    def gather(self, contacts: Iterable[Contact]) -> dict[Handle, Facts]:
        """Contacts by handle; of one that comes twice, hollow and in full (webwx 2.7), all is kept."""
        found: dict[Handle, Facts] = {}
        for one in map(self.facts, contacts):
            before = found.get(one.handle)
            found[one.handle] = one if before is None else before.with_news(one)
        return found

    def begin(self, login_id: str) -> None:
        """Handles of earlier logins mean nobody now, but for those that never change."""
        self.login_id, self.whole = login_id, False
        self.pending.clear()
        for one in list(self._roster.persons.values()):
            if one.handle is not None and one.handle == one.permanent_id:
                self._roster.change(one.id, login_id=login_id)
            elif one.handle is not None:
                self._roster.change(one.id, handle=None)

    def is_plausible(self, facts: Collection[Facts]) -> bool:
        """A list without any friend is one that WeChat has not filled yet (webwx 4.5)."""
        known = self._roster.persons.values()
        return any(one.kind is ChatKind.FRIEND for one in facts) or not any(
            one.kind is ChatKind.FRIEND and not one.removed and not one.permanent_id for one in known
        )

    def admit(self, facts: Iterable[Facts], now: int, *, full: bool) -> None:
        strangers: list[Facts] = []
        for one in facts:
            known = self._roster.by_handle(one.handle) or self._roster.by_permanent_id(one.permanent_id)
            if known is None or known.matched_by == MatchedBy.PLACED:
                strangers.append(one)
            else:
                self.learn(known, one, now, full=full)
        if strangers:
            self._settle(strangers, now, full=full)

    def _settle(self, strangers: Sequence[Facts], now: int, *, full: bool) -> None:
        found = self.recognize(strangers)
        doubts: dict[PersonId, list[PersonId]] = defaultdict(list)
        for place, one in enumerate(strangers):
            near = found.candidates.get(place, ())
            if place in found.matches:
                self.bind(*found.matches[place], one, now, full=full)
            elif near and not self.whole:
                self._hold(one, now, full=full)
            else:
                newcomer = self.welcome(one, now, MatchedBy.UNSURE if near else MatchedBy.NEW)
                for old in near:
                    doubts[old].append(newcomer)
        for old, newcomers in doubts.items():
            self._close(old, newcomers)

    def recognize(self, strangers: Sequence[Facts]) -> Recognized:
        return recognize(
            strangers,
            self._roster,
            self.pinning,
            self.handle,
            waiting=self.pending.values(),
            whole=self.whole,
        )

    def bind(self, person: PersonId, why: MatchedBy, facts: Facts, now: int, *, full: bool) -> None:
        placed = self._roster.by_handle(facts.handle)
        if placed is not None and placed.id != person:
            self.absorb(placed, person)
        self.pending.pop(facts.handle, None)
        known = self._roster.persons[person]
        self.learn(known, facts, now, full=full, matched_by=why, closed=False)

    def _hold(self, facts: Facts, now: int, *, full: bool) -> None:
        """Wait for the whole directory before this becomes a newcomer, unless it writes."""
        self.pending[facts.handle] = facts
        placed = self._roster.by_handle(facts.handle)
        if placed is not None:
            self.learn(placed, facts, now, full=full)

    def welcome(self, facts: Facts, now: int, how: MatchedBy) -> PersonId:
        """Somebody new; the level is given when the pins have spoken."""
        placed = self._roster.by_handle(facts.handle)
        if placed is None:
            person = self._newcomer(facts, now, how)
            self._roster.put(person)
            self.unnamed.append(person.id)
        else:
            person = self.learn(
                placed, facts, now, full=False, matched_by=how, stranger=facts.listed is False
            )
        # Whoever wrote first may have been a contact all the time, unless WeChat says that they are one now.
        added = not person.stranger if placed is None else facts.listed is True
        if added and how is MatchedBy.NEW and not self.first:
            self._roster.tell("contact_added", person.id, _described(person))
        return person.id

    def _newcomer(self, facts: Facts, now: int, how: MatchedBy) -> Person:
        return Person(
            id=self._roster.new_id(),
            level="",
            kind=facts.kind,
            handle=facts.handle,
            login_id=self.login_id,
            matched_by=MatchedBy.ID if facts.permanent_id else how,
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

    def _close(self, person: PersonId, newcomers: Sequence[PersonId]) -> None:
        """Two fit, or one without proof: nobody can write to this person until the owner has decided."""
        if not self._roster.persons[person].closed:
            self._roster.tell("unresolved", person, {"reason": "not_certain"}, newcomers)
        self._roster.change(person, closed=True, login_id=self.login_id)

    def miss(self, present: Collection[Handle]) -> None:
        """Who is not in a whole directory: friends are gone, groups may only be silent (webwx 4.5)."""
        for one in list(self._roster.persons.values()):
            if one.handle in present or one.permanent_id or self._is_unlisted(one):
                continue
            if one.closed and one.login_id == self.login_id:
                continue
            self._roster.change(one.id, closed=False)
            if one.kind in _LISTED:
                self.remove(self._roster.persons[one.id])

    def _is_unlisted(self, person: Person) -> bool:
        """Whether no directory ever had this one."""
        return person.stranger or person.matched_by == MatchedBy.PLACED

    def remove(self, person: Person) -> None:
        if not person.removed:
            self._roster.change(person.id, removed=True)
            self._roster.tell("contact_removed", person.id, _described(person))

    def learn(self, person: Person, facts: Facts, now: int, *, full: bool, **more: Any) -> Person:
        """The person is this contact; what is new about them is kept."""
        values = {**_learned(person, facts, full=full), "login_id": self.login_id, **more}
        if all(getattr(person, name) == value for name, value in values.items()):
            return person
        new = self._roster.change(person.id, **values, seen=now)
        self._tell_learned(person, new)
        return new

    def rename(self, person: Person, names: Mapping[str, str], now: int) -> None:
        """The person has these names, empty ones too."""
        if any(getattr(person, key) != name for key, name in names.items()):
            self._tell_learned(person, self._roster.change(person.id, **names, seen=now))

    def _tell_learned(self, person: Person, new: Person) -> None:
        came = (person.removed or person.stranger) and not (new.removed or new.stranger)
        if came and person.matched_by != MatchedBy.PLACED and not self.first:
            self._roster.tell("contact_added", person.id, _described(new))
        elif person.matched_by != MatchedBy.PLACED and shown(person) != shown(new):
            fields: dict[str, Json] = {"from": shown(person), "to": shown(new)}
            self._roster.tell("contact_renamed", person.id, fields)

    def absorb(self, gone: Person, into: PersonId) -> None:
        person = self._roster.persons[into]
        self._roster.change(into, wrote=person.wrote or gone.wrote, created=min(person.created, gone.created))
        self._roster.tell("topic_changed", into, {"from": gone.level, "to": person.level})
        self._roster.join(gone.id, into)


def shown(person: Person) -> str:
    """What people call them: the remark, else the nickname (webwx 4.4)."""
    return person.remark or person.nickname


def _described(person: Person) -> Mapping[str, Json]:
    name = shown(person)
    return {"kind": str(person.kind), **({"name": name} if name else {})}


def _learned(person: Person, facts: Facts, *, full: bool) -> dict[str, Any]:
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

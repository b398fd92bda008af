"""Who is who: a person or group keeps one topic level for ever, though handles change with every login.

All in memory: no I/O, no clock. What changed comes back as `PeopleUpdate`, to be stored before it is
relied on.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from wx2mqtt.bridge.people.binding import ContactBinder, display_name
from wx2mqtt.bridge.people.evidence import ContactFacts, ContactPin, MatchedBy, normalize_text
from wx2mqtt.bridge.people.pins import PinResolver
from wx2mqtt.bridge.people.table import NO_UPDATE, PeopleTable, PeopleUpdate
from wx2mqtt.bridge.people.topic_names import FILEHELPER, NameStyle, level_for
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import ChatKind, Contact, Handle, Json, Owner, PersonId
from wx2mqtt.store.records import Person

OWNER_LEVEL = "owner"  # the level of who has scanned, where nothing better is known
NEWCOMER_RETENTION_MS = 30 * 24 * 3600 * 1000  # milliseconds that a newcomer who never wrote is kept

_CLEAR_NAMES = frozenset({ChatKind.SYSTEM, ChatKind.SELF})


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryEntry:
    """One line of the directory. `problem` names what is wrong with a pin that may mean this entry.

    `window` says whether WeChat would take a message now, as it is published; empty where it always would.
    """

    user: str
    kind: ChatKind
    name: str
    remark: str
    nickname: str
    matched_by: str
    trusted: bool
    removed: bool
    closed: bool
    stranger: bool = False
    problem: str = ""
    window: Mapping[str, Json] = field(default_factory=dict)


class PeopleRegistry:
    """The people of one account.

    Times (`now`) are milliseconds since 1970. Changes that the constructor makes (pins may have changed while
    the bridge was down) come with the first `PeopleUpdate` that a method returns.
    """

    def __init__(
        self,
        persons: Iterable[Person],
        levels: Mapping[str, PersonId],
        pins: Mapping[str, ContactPin],
        *,
        name_style: NameStyle = "unicode",
        next_id: int = 1,
    ) -> None:
        self._table = PeopleTable(persons, levels, next_id)
        self._pin_resolver = PinResolver(pins)
        self._binder = ContactBinder(self._table, self._pin_resolver)
        self._name_style = name_style
        self._level_hints: dict[str, int] = {}
        self._resolve_pins()

    # who is it

    def by_handle(self, handle: Handle) -> Person | None:
        """Whose handle this is in the present login."""
        return self._table.by_handle(handle)

    def by_level(self, level: str) -> Person | None:
        """Who is called so, or was: old names lead to the same person."""
        return self._table.by_level(level)

    def levels_of(self, person: PersonId) -> tuple[str, ...]:
        """Every name that ever led to somebody."""
        return tuple(self._table.levels_of(person))

    @property
    def login_id(self) -> str:
        """In which login the known handles are good; empty before the first."""
        return self._binder.login_id

    @property
    def owner_handle(self) -> Handle | None:
        """The account's own handle; None before a login."""
        return self._binder.own_handle

    def level_or_name(self, handle: Handle | None, name: str) -> str:
        """The level of whoever has this handle, else the name; in quotes where that is somebody's level.

        So nobody is taken for another in a list that holds levels and names.
        """
        person = self._table.by_handle(handle) if handle else None
        while person is None and self._table.by_level(name) is not None:
            name = f"“{name}”"
        return name if person is None else person.level

    def get(self, person: PersonId) -> Person | None:
        """A person by number."""
        return self._table.get(person)

    def is_current_login(self, login_id: str) -> bool:
        """Whether the known handles are those of this login."""
        return bool(login_id) and login_id == self._binder.login_id

    @property
    def is_complete(self) -> bool:
        """Whether everybody of this login is known: who was not found yet will not be."""
        return self._binder.is_complete

    def is_pinned(self, level: str) -> bool:
        """Whether the owner gave this name to somebody."""
        return level in self._pin_resolver

    def pin_problem(self, level: str) -> str:
        """Why the pin of this name means nobody; empty where nothing is wrong with it."""
        problem = self._pin_resolver.problems.get(unicodedata.normalize("NFC", level))
        return "" if problem is None else problem.reason

    @property
    def closed_count(self) -> int:
        """How many wait for the owner's decision."""
        return sum(one.closed for one in self._table.persons.values())

    def reachable(self) -> list[Person]:
        """Who can be written to in this login."""
        return [one for one in self._table.persons.values() if one.handle is not None and one.level]

    def directory(self) -> list[DirectoryEntry]:
        """Everybody, by level."""
        problems = {
            one: problem.reason for problem in self._pin_resolver.problems.values() for one in problem.people
        }
        entries = [_entry(one, problems.get(one.id, "")) for one in self._table.persons.values()]
        return sorted(entries, key=lambda entry: entry.user)

    # what WeChat tells

    def apply_directory(
        self, contacts: Iterable[Contact], login_id: str, owner: Owner, now: int, complete: bool = True
    ) -> PeopleUpdate:
        """The directory of a login, or what is known of it; with the same `login_id`, a refresh.

        Call it with no contacts and `complete=False` as soon as a new login stands: from then on no handle of
        an earlier login means anybody. `complete` says that every friend is among the contacts; only then
        is being the only one of a name worth anything, and only then is whoever is missing gone.
        """
        here = self._binder
        here.owner = owner
        if login_id != here.login_id:
            here.start_login(login_id)
        facts = here.merge_by_handle(contacts)
        whole = complete and here.is_plausible(facts.values())
        here.is_complete = here.is_complete or whole
        if whole:
            here.pending.clear()
        here.apply_contacts(facts.values(), now, full=True)
        if whole:
            here.mark_missing(facts)
            here.is_first_directory = False
        return self._collect_update()

    def apply_update(
        self, contacts: Iterable[Contact], removed: Collection[Handle], now: int
    ) -> PeopleUpdate:
        """What a batch says of people; a value that it leaves empty is no news (webwx 2.11.5)."""
        here = self._binder
        facts = here.merge_by_handle(contacts)
        here.apply_contacts(facts.values(), now, full=False)
        for handle in removed:
            here.pending.pop(handle, None)
            person = self._table.by_handle(handle)
            if person is not None and not person.permanent_id:
                here.mark_removed(person)
        return self._collect_update()

    def add_unlisted(
        self, handle: Handle, kind: ChatKind, name: str, now: int, permanent_id: str = ""
    ) -> PeopleUpdate:
        """Somebody wrote whom no contact list named: afterwards `by_handle` knows them."""
        if self._table.by_handle(handle) is not None:
            return self._collect_update()
        here = self._binder
        facts = here.pending.pop(handle, None) or self._facts_from_name(handle, kind, name, permanent_id)
        known = self._table.by_permanent_id(facts.permanent_id)
        match = here.recognize([facts]).matches.get(0)
        if known is not None:
            here.update_person(known, facts, now, full=False)
        elif match is not None:
            here.bind(*match, facts, now, full=False)
        else:
            here.add_newcomer(facts, now, MatchedBy.PLACED)
        return self._collect_update()

    def apply_rename(
        self, person: PersonId, now: int, *, remark: str | None = None, nickname: str | None = None
    ) -> PeopleUpdate:
        """Somebody is called otherwise since the owner said so here; an empty remark is none (webwx 2.18)."""
        current = self._table.get(person)
        told = (("remark", remark), ("nickname", nickname))
        names = {key: normalize_text(value) for key, value in told if value is not None}
        if current is not None:
            self._binder.rename(current, names, now)
        return self._collect_update()

    def add_group(self, group: Contact, now: int) -> PeopleUpdate:
        """A group that the owner has made here: it is nobody's of before, whatever its name and members."""
        here = self._binder
        if self._table.by_handle(group.handle) is None:
            here.add_newcomer(here.facts_of(group), now, MatchedBy.NEW)
        return self._collect_update()

    def mark_wrote(self, person: Person) -> PeopleUpdate:
        """A message of theirs is published: from now on somebody may rely on the name."""
        current = self._table.get(person.id)
        if current is None or current.wrote:
            return NO_UPDATE
        self._table.change(current.id, wrote=True)
        return self._collect_update()

    # what the owner decides

    def set_pins(self, pins: Mapping[str, ContactPin], now: int) -> PeopleUpdate:  # noqa: ARG002 - as all that changes
        """The names in the configuration are others now."""
        told = self._pin_resolver.problems
        self._pin_resolver = self._binder.pin_resolver = PinResolver(pins)
        self._pin_resolver.problems = told
        self._resolve_pins()
        return self._collect_update()

    def assign(self, closed_level: str, newcomer_level: str, now: int) -> PeopleUpdate:
        """The owner's decision: whoever is called `newcomer_level` in this login is the old `closed_level`.

        Both levels lead to the old person afterwards. Raises `BadCommand`.
        """
        old, newcomer = self._require_person(closed_level), self._require_person(newcomer_level)
        if _is_here(old) or not _is_here(newcomer):
            present = closed_level if _is_here(old) else newcomer_level
            raise BadCommand("bad_request", "assign_closed", user=present)
        return self.merge(closed_level, newcomer_level, now)

    def merge(self, level: str, other_level: str, now: int) -> PeopleUpdate:
        """The owner says that two are one: every level of the other leads to the first afterwards.

        Not for two that are both among the contacts of this login, nor for a person and a group. Raises
        `BadCommand`.
        """
        person, other = self._require_person(level), self._require_person(other_level)
        both = _is_here(person) and _is_here(other)
        permanent = person.permanent_id or other.permanent_id
        if person.id == other.id or both or permanent or person.kind is not other.kind:
            raise BadCommand("bad_request", "assign_closed", user=level)
        here = self._binder
        if other.handle is not None and _is_here(other):
            facts = _facts_again(other, other.handle)
            here.update_person(person, facts, now, full=False, matched_by=MatchedBy.OWNER, closed=False)
        here.merge_into(other, person.id)
        return self._collect_update()

    def remove_stale(self, now: int) -> PeopleUpdate:
        """Let go of newcomers and strangers of earlier logins who never wrote: nobody knows their names."""
        for one in list(self._table.persons.values()):
            passing = one.stranger or one.matched_by in {MatchedBy.UNSURE, MatchedBy.PLACED}
            new = passing and not one.wrote and not one.pin
            if new and one.handle is None and now - one.seen >= NEWCOMER_RETENTION_MS:
                self._table.remove(one.id)
        return self._collect_update()

    # how it is done

    def _collect_update(self) -> PeopleUpdate:
        owner = self._binder.own_handle
        if any(self._pin_resolver.may_match(one, owner) for one in self._table.changed_persons()):
            self._resolve_pins()
        for person in self._binder.unnamed:
            one = self._table.get(person)
            if one is not None and not one.level:
                self._table.set_level(one.id, self._new_level(one))
        self._binder.unnamed.clear()
        return self._table.collect_update()

    def _resolve_pins(self) -> None:
        self._pin_resolver.resolve(self._table, self._binder.own_handle, self._new_level)

    def _new_level(self, person: Person) -> str:
        if person.permanent_id == FILEHELPER:
            return FILEHELPER
        owner = OWNER_LEVEL if person.permanent_id == self._binder.own_handle else ""
        names = (person.remark, person.nickname, owner)
        return level_for(names, person.kind, self._name_style, self._is_taken, self._level_hints)

    def _is_taken(self, level: str) -> bool:
        return level in self._table.levels or level in self._pin_resolver.pins

    def _require_person(self, level: str) -> Person:
        person = self._table.by_level(level)
        if person is None:
            raise BadCommand("unknown_user", "assign_unknown", user=level)
        return person

    def _facts_from_name(self, handle: Handle, kind: ChatKind, name: str, permanent_id: str) -> ContactFacts:
        """Special accounts keep clear names, and those never change (webwx 4.3.2)."""
        if kind in _CLEAR_NAMES and handle != self._binder.own_handle:
            permanent_id = permanent_id or handle
        contact = Contact(handle=handle, kind=kind, nickname=name, permanent_id=permanent_id)
        return self._binder.facts_of(contact)


def _entry(person: Person, problem: str) -> DirectoryEntry:
    return DirectoryEntry(
        user=person.level,
        kind=person.kind,
        name=display_name(person) or person.level,
        remark=person.remark,
        nickname=person.nickname,
        matched_by=MatchedBy.PIN if person.pin else person.matched_by,
        trusted=person.trusted,
        removed=person.removed,
        closed=person.closed,
        stranger=person.stranger,
        problem=problem,
    )


def _is_here(person: Person) -> bool:
    """Whether somebody is among the people of this login, so that nobody else can be them."""
    return person.handle is not None and not person.removed


def _facts_again(person: Person, handle: Handle) -> ContactFacts:
    """What is known of a person, as if a contact had just said it."""
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

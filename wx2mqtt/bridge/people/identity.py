"""Who is who: a person or group keeps one topic level for ever, though handles change with every login (P3).

All in memory: no I/O, no clock. What changed comes back as `Changes`, to be stored before it is relied on.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from wx2mqtt.bridge.people.attendance import Attendance, shown
from wx2mqtt.bridge.people.evidence import Facts, MatchedBy, Pin, tidy
from wx2mqtt.bridge.people.naming import FILEHELPER, Style, level_for
from wx2mqtt.bridge.people.pinning import Pinning
from wx2mqtt.bridge.people.roster import NOTHING, Changes, PeopleEvent, Roster
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import ChatKind, Contact, Handle, Json, Owner, PersonId
from wx2mqtt.store.people import Person

__all__ = ["Changes", "Entry", "Identity", "MatchedBy", "PeopleEvent", "Pin"]

OWNER = "owner"  # the level of who has scanned, where nothing better is known
FORGET_AFTER = 30 * 24 * 3600 * 1000  # milliseconds that a newcomer who never wrote is kept

_CLEAR_NAMES = frozenset({ChatKind.SYSTEM, ChatKind.SELF})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
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


class Identity:
    """The people of one account.

    Times (`now`) are milliseconds since 1970. Changes that the constructor makes (pins may have changed while
    the bridge was down) come with the first `Changes` that a method returns.
    """

    def __init__(
        self,
        persons: Iterable[Person],
        levels: Mapping[str, PersonId],
        pins: Mapping[str, Pin],
        *,
        naming: Style = "unicode",
        next_id: int = 1,
    ) -> None:
        self._roster = Roster(persons, levels, next_id)
        self._pinning = Pinning(pins)
        self._attendance = Attendance(self._roster, self._pinning)
        self._naming = naming
        self._hints: dict[str, int] = {}
        self._settle_pins()

    # who is it

    def by_handle(self, handle: Handle) -> Person | None:
        """Whose handle this is in the present login."""
        return self._roster.by_handle(handle)

    def by_level(self, level: str) -> Person | None:
        """Who is called so, or was: old names lead to the same person."""
        return self._roster.by_level(level)

    def levels(self, person: PersonId) -> tuple[str, ...]:
        """Every name that ever led to somebody."""
        return tuple(self._roster.levels_of(person))

    @property
    def login_id(self) -> str:
        """In which login the known handles are good; empty before the first."""
        return self._attendance.login_id

    @property
    def owner_handle(self) -> Handle | None:
        """The account's own handle; None before a login."""
        return self._attendance.handle

    def called(self, handle: Handle | None, name: str) -> str:
        """The level of whoever has this handle, else the name; in quotes where that is somebody's level.

        So nobody is taken for another in a list that holds levels and names.
        """
        person = self._roster.by_handle(handle) if handle else None
        while person is None and self._roster.by_level(name) is not None:
            name = f"“{name}”"
        return name if person is None else person.level

    def get(self, person: PersonId) -> Person | None:
        """A person by number."""
        return self._roster.get(person)

    def knows(self, login_id: str) -> bool:
        """Whether the known handles are those of this login."""
        return bool(login_id) and login_id == self._attendance.login_id

    @property
    def complete(self) -> bool:
        """Whether everybody of this login is known: who was not found yet will not be."""
        return self._attendance.whole

    def is_pinned(self, level: str) -> bool:
        """Whether the owner gave this name to somebody."""
        return level in self._pinning

    def pin_problem(self, level: str) -> str:
        """Why the pin of this name means nobody; empty where nothing is wrong with it."""
        problem = self._pinning.problems.get(unicodedata.normalize("NFC", level))
        return "" if problem is None else problem.reason

    @property
    def closed(self) -> int:
        """How many wait for the owner's decision."""
        return sum(one.closed for one in self._roster.persons.values())

    def here(self) -> list[Person]:
        """Who can be written to in this login."""
        return [one for one in self._roster.persons.values() if one.handle is not None and one.level]

    def directory(self) -> list[Entry]:
        """Everybody, by level."""
        problems = {
            one: problem.reason for problem in self._pinning.problems.values() for one in problem.people
        }
        entries = [_entry(one, problems.get(one.id, "")) for one in self._roster.persons.values()]
        return sorted(entries, key=lambda entry: entry.user)

    # what WeChat tells

    def adopt(
        self, contacts: Iterable[Contact], login_id: str, owner: Owner, now: int, complete: bool = True
    ) -> Changes:
        """The directory of a login, or what is known of it; with the same `login_id`, a refresh.

        Call it with no contacts and `complete=False` as soon as a new login stands: from then on no handle of
        an earlier login means anybody. `complete` says that every friend is among the contacts; only then
        is being the only one of a name worth anything, and only then is whoever is missing gone.
        """
        here = self._attendance
        here.owner = owner
        if login_id != here.login_id:
            here.begin(login_id)
        facts = here.gather(contacts)
        whole = complete and here.is_plausible(facts.values())
        here.whole = here.whole or whole
        if whole:
            here.pending.clear()
        here.admit(facts.values(), now, full=True)
        if whole:
            here.miss(facts)
            here.first = False
        return self._changes()

    def update(self, contacts: Iterable[Contact], removed: Collection[Handle], now: int) -> Changes:
        """What a batch says of people; a value that it leaves empty is no news (webwx 2.11)."""
        here = self._attendance
        facts = here.gather(contacts)
        here.admit(facts.values(), now, full=False)
        for handle in removed:
            here.pending.pop(handle, None)
            person = self._roster.by_handle(handle)
            if person is not None and not person.permanent_id:
                here.remove(person)
        return self._changes()

    def place(self, handle: Handle, kind: ChatKind, name: str, now: int, permanent_id: str = "") -> Changes:
        """Somebody wrote whom no contact list named: afterwards `by_handle` knows them."""
        if self._roster.by_handle(handle) is not None:
            return self._changes()
        here = self._attendance
        facts = here.pending.pop(handle, None) or self._only_a_name(handle, kind, name, permanent_id)
        known = self._roster.by_permanent_id(facts.permanent_id)
        match = here.recognize([facts]).matches.get(0)
        if known is not None:
            here.learn(known, facts, now, full=False)
        elif match is not None:
            here.bind(*match, facts, now, full=False)
        else:
            here.welcome(facts, now, MatchedBy.PLACED)
        return self._changes()

    def heard(
        self, person: PersonId, now: int, *, remark: str | None = None, nickname: str | None = None
    ) -> Changes:
        """Somebody is called otherwise since the owner said so here; an empty remark is none (webwx 2.18)."""
        current = self._roster.get(person)
        told = (("remark", remark), ("nickname", nickname))
        names = {key: tidy(value) for key, value in told if value is not None}
        if current is not None:
            self._attendance.rename(current, names, now)
        return self._changes()

    def founded(self, group: Contact, now: int) -> Changes:
        """A group that the owner has made here: it is nobody's of before, whatever its name and members."""
        here = self._attendance
        if self._roster.by_handle(group.handle) is None:
            here.welcome(here.facts(group), now, MatchedBy.NEW)
        return self._changes()

    def mark_wrote(self, person: Person) -> Changes:
        """A message of theirs is published: from now on somebody may rely on the name."""
        current = self._roster.get(person.id)
        if current is None or current.wrote:
            return NOTHING
        self._roster.change(current.id, wrote=True)
        return self._changes()

    # what the owner decides

    def set_pins(self, pins: Mapping[str, Pin], now: int) -> Changes:  # noqa: ARG002 - as all that changes
        """The names in the configuration are others now."""
        told = self._pinning.problems
        self._pinning = self._attendance.pinning = Pinning(pins)
        self._pinning.problems = told
        self._settle_pins()
        return self._changes()

    def assign(self, closed_level: str, newcomer_level: str, now: int) -> Changes:
        """The owner's decision: whoever is called `newcomer_level` in this login is the old `closed_level`.

        Both levels lead to the old person afterwards. Raises `BadCommand`.
        """
        old, newcomer = self._named(closed_level), self._named(newcomer_level)
        if _is_here(old) or not _is_here(newcomer):
            present = closed_level if _is_here(old) else newcomer_level
            raise BadCommand("bad_request", "assign_closed", user=present)
        return self.merge(closed_level, newcomer_level, now)

    def merge(self, level: str, other_level: str, now: int) -> Changes:
        """The owner says that two are one: every level of the other leads to the first afterwards.

        Not for two that are both among the contacts of this login, nor for a person and a group. Raises
        `BadCommand`.
        """
        person, other = self._named(level), self._named(other_level)
        both = _is_here(person) and _is_here(other)
        permanent = person.permanent_id or other.permanent_id
        if person.id == other.id or both or permanent or person.kind is not other.kind:
            raise BadCommand("bad_request", "assign_closed", user=level)
        here = self._attendance
        if other.handle is not None and _is_here(other):
            facts = _facts_again(other, other.handle)
            here.learn(person, facts, now, full=False, matched_by=MatchedBy.OWNER, closed=False)
        here.absorb(other, person.id)
        return self._changes()

    def forget(self, now: int) -> Changes:
        """Let go of newcomers and strangers of earlier logins who never wrote: nobody knows their names."""
        for one in list(self._roster.persons.values()):
            passing = one.stranger or one.matched_by in {MatchedBy.UNSURE, MatchedBy.PLACED}
            new = passing and not one.wrote and not one.pin
            if new and one.handle is None and now - one.seen >= FORGET_AFTER:
                self._roster.forget(one.id)
        return self._changes()

    # how it is done

    def _changes(self) -> Changes:
        owner = self._attendance.handle
        if any(self._pinning.concerns(one, owner) for one in self._roster.touched()):
            self._settle_pins()
        for person in self._attendance.unnamed:
            one = self._roster.get(person)
            if one is not None and not one.level:
                self._roster.call(one.id, self._level_for(one))
        self._attendance.unnamed.clear()
        return self._roster.take()

    def _settle_pins(self) -> None:
        self._pinning.settle(self._roster, self._attendance.handle, self._level_for)

    def _level_for(self, person: Person) -> str:
        if person.permanent_id == FILEHELPER:
            return FILEHELPER
        owner = OWNER if person.permanent_id == self._attendance.handle else ""
        names = (person.remark, person.nickname, owner)
        return level_for(names, person.kind, self._naming, self._is_taken, self._hints)

    def _is_taken(self, level: str) -> bool:
        return level in self._roster.levels or level in self._pinning.pins

    def _named(self, level: str) -> Person:
        person = self._roster.by_level(level)
        if person is None:
            raise BadCommand("unknown_user", "assign_unknown", user=level)
        return person

    def _only_a_name(self, handle: Handle, kind: ChatKind, name: str, permanent_id: str) -> Facts:
        """Special accounts keep clear names, and those never change (webwx 4.3)."""
        if kind in _CLEAR_NAMES and handle != self._attendance.handle:
            permanent_id = permanent_id or handle
        contact = Contact(handle=handle, kind=kind, nickname=name, permanent_id=permanent_id)
        return self._attendance.facts(contact)


def _entry(person: Person, problem: str) -> Entry:
    return Entry(
        user=person.level,
        kind=person.kind,
        name=shown(person) or person.level,
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


def _facts_again(person: Person, handle: Handle) -> Facts:
    """What is known of a person, as if a contact had just said it."""
    return Facts(
        handle=handle,
        kind=person.kind,
        alias=person.alias,
        remark=person.remark,
        nickname=person.nickname,
        avatar=person.avatar,
        profile=person.profile,
        members=person.members,
    )

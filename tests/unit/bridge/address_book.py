"""The phone that owns the account: it knows all people, and every login gives them new handles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.model import ChatKind, Contact, Handle, Member, Owner, PersonId
from wx2mqtt.store.person_records import Person

DAY = 24 * 3600 * 1000


class AddressBook:
    """An address book, and the bridge's memory (as a store would keep it) beside it."""

    def __init__(self, pins: Mapping[str, ContactPin] | None = None, **options: Any) -> None:
        self.book: dict[str, Contact] = {}
        self.login = 0
        self.now = 0
        self.pins = dict(pins or {})
        self.options = options
        self.persons: dict[PersonId, Person] = {}
        self.levels: dict[str, PersonId] = {}
        self._seq = count(600_000_000)
        self.identity = self._new_identity()

    def friend(self, who: str, nickname: str, **facts: Any) -> None:
        """Add a friend; a picture of their own unless `avatar` is given."""
        facts.setdefault("avatar", str(next(self._seq)))
        self._add(who, ChatKind.FRIEND, nickname=nickname, **facts)

    def group(self, who: str, name: str, *members: str, **facts: Any) -> None:
        """Add a group with members of these nicknames."""
        self._add(who, ChatKind.GROUP, nickname=name, members=tuple(members) or None, **facts)

    def special(self, name: str, kind: ChatKind = ChatKind.SELF) -> None:
        """Add a special account."""
        self.book[name] = Contact(handle=Handle(name), kind=kind, nickname=name, permanent_id=name)

    def _add(self, who: str, kind: ChatKind, **facts: Any) -> None:
        members = facts.pop("members", None)
        self.book[who] = Contact(handle=Handle(""), kind=kind, members=_members(members), **facts)

    def change(self, who: str, **facts: Any) -> None:
        """Somebody has other facts now; nobody has told the bridge yet."""
        if "members" in facts:
            facts["members"] = _members(facts["members"])
        self.book[who] = replace(self.book[who], **facts)

    def new_picture(self, who: str) -> None:
        """Somebody has another picture, and with it another number."""
        self.change(who, avatar=str(next(self._seq)))

    def handle(self, who: str) -> Handle:
        """Somebody's handle in this login."""
        contact = self.book.get(who)
        if contact is not None and contact.permanent_id:
            return Handle(contact.permanent_id)
        mark = "@@" if contact is not None and contact.kind is ChatKind.GROUP else "@"
        return Handle(f"{mark}{who}-{self.login}")

    def contact(self, who: str) -> Contact:
        """Somebody as this login shows them."""
        return replace(self.book[who], handle=self.handle(who))

    @property
    def owner(self) -> Owner:
        return Owner(handle=Handle(f"@me-{self.login}"), nickname="Me", uin="42")

    def log_in(self, *, without: tuple[str, ...] = (), complete: bool = True) -> PeopleUpdate:
        """A new login and its directory."""
        self.login += 1
        return self.refresh(without=without, complete=complete)

    def refresh(self, *, without: tuple[str, ...] = (), complete: bool = True) -> PeopleUpdate:
        """The directory of this login."""
        contacts = [self.contact(who) for who in self.book if who not in without]
        return self.keep(
            self.identity.apply_directory(
                contacts, f"login-{self.login}", self.owner, self.now, complete=complete
            )
        )

    def tell(self, *people: str) -> PeopleUpdate:
        """WeChat tells that these have changed, in a batch."""
        return self.keep(self.identity.apply_update([self.contact(who) for who in people], (), self.now))

    def drop(self, who: str) -> PeopleUpdate:
        """WeChat tells that somebody is no contact any more."""
        handle = self.handle(who)
        del self.book[who]
        return self.keep(self.identity.apply_update((), (handle,), self.now))

    def writes(self, who: str, kind: ChatKind = ChatKind.FRIEND, name: str = "") -> PeopleUpdate:
        """A message comes from somebody."""
        return self.keep(self.identity.add_unlisted(self.handle(who), kind, name, self.now))

    def keep(self, changes: PeopleUpdate) -> PeopleUpdate:
        """Store changes as the store does."""
        self.persons |= {one.id: one for one in changes.people.persons}
        self.levels |= dict(changes.people.topic_names) | {
            one.topic_name: one.id for one in changes.people.persons
        }
        for gone in changes.people.removed:
            del self.persons[gone]
            self.levels = {level: owner for level, owner in self.levels.items() if owner != gone}
        return changes

    def restart(self, pins: Mapping[str, ContactPin] | None = None) -> None:
        """The bridge starts again with what was stored."""
        self.pins = self.pins if pins is None else dict(pins)
        self.identity = self._new_identity()

    def level(self, who: str) -> str | None:
        """On which topic the bridge publishes what somebody writes."""
        person = self.identity.by_handle(self.handle(who))
        return None if person is None else person.topic_name

    def person(self, level: str) -> Person:
        """Whom the bridge means by a topic."""
        person = self.identity.by_topic_name(level)
        assert person is not None, level
        return person

    def whose(self, handle: Handle) -> Person:
        """Whom the bridge means by a handle."""
        person = self.identity.by_handle(handle)
        assert person is not None, handle
        return person

    def reaches(self, level: str) -> str | None:
        """To whom a command on this topic goes, in truth."""
        person = self.identity.by_topic_name(level)
        if person is None or person.closed or person.removed or person.handle is None:
            return None
        return next((who for who in self.book if self.handle(who) == person.handle), None)

    def trusted(self, who: str) -> bool:
        """Whether the bridge trusts somebody."""
        person = self.identity.by_handle(self.handle(who))
        return person is not None and person.trusted

    def _new_identity(self) -> PeopleRegistry:
        return PeopleRegistry(self.persons.values(), self.levels, self.pins, **self.options)


def _members(names: Iterable[str] | None) -> tuple[Member, ...] | None:
    if names is None:
        return None
    return tuple(Member(handle=Handle(f"@{name}"), nickname=name) for name in names)


def events(changes: PeopleUpdate) -> list[tuple[str, str]]:
    """Names and users of what happened."""
    return [(event.name, event.user) for event in changes.events]

"""A simulated address book at WeChat with the people registry that reads it; each login has new handles."""

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
    """An address book (`contacts`), a registry, and what a store would keep (`persons`, `topic_names`)."""

    def __init__(self, pins: Mapping[str, ContactPin] | None = None, **options: Any) -> None:
        self.contacts: dict[str, Contact] = {}
        self.login = 0
        self.now = 0
        self.pins = dict(pins or {})
        self.options = options
        self.persons: dict[PersonId, Person] = {}
        self.topic_names: dict[str, PersonId] = {}
        self._seq = count(600_000_000)
        self.registry = self._new_registry()

    def add_friend(self, who: str, nickname: str, **facts: Any) -> None:
        """Adds a friend, with a picture that nobody else has unless `avatar` is given."""
        facts.setdefault("avatar", str(next(self._seq)))
        self._add(who, ChatKind.FRIEND, nickname=nickname, **facts)

    def add_group(self, who: str, name: str, *members: str, **facts: Any) -> None:
        """Adds a group with members of these nicknames."""
        self._add(who, ChatKind.GROUP, nickname=name, members=tuple(members) or None, **facts)

    def add_special(self, name: str, kind: ChatKind = ChatKind.SELF) -> None:
        """Adds a special account, whose name is its handle in every login."""
        self.contacts[name] = Contact(handle=Handle(name), kind=kind, nickname=name, permanent_id=name)

    def _add(self, who: str, kind: ChatKind, **facts: Any) -> None:
        members = facts.pop("members", None)
        self.contacts[who] = Contact(handle=Handle(""), kind=kind, members=_members(members), **facts)

    def change(self, who: str, **facts: Any) -> None:
        """Changes facts of somebody without a report to the registry."""
        if "members" in facts:
            facts["members"] = _members(facts["members"])
        self.contacts[who] = replace(self.contacts[who], **facts)

    def change_picture(self, who: str) -> None:
        """Gives somebody another picture."""
        self.change(who, avatar=str(next(self._seq)))

    def handle(self, who: str) -> Handle:
        """Returns somebody's handle in this login."""
        contact = self.contacts.get(who)
        if contact is not None and contact.permanent_id:
            return Handle(contact.permanent_id)
        mark = "@@" if contact is not None and contact.kind is ChatKind.GROUP else "@"
        return Handle(f"{mark}{who}-{self.login}")

    def contact(self, who: str) -> Contact:
        """Returns somebody's contact in this login."""
        return replace(self.contacts[who], handle=self.handle(who))

    @property
    def owner(self) -> Owner:
        return Owner(handle=Handle(f"@me-{self.login}"), nickname="Me", uin="42")

    def log_in(self, *, without: tuple[str, ...] = (), complete: bool = True) -> PeopleUpdate:
        """Begins a login and applies its directory."""
        self.login += 1
        return self.refresh(without=without, complete=complete)

    def refresh(self, *, without: tuple[str, ...] = (), complete: bool = True) -> PeopleUpdate:
        """Applies the directory of this login again."""
        contacts = [self.contact(who) for who in self.contacts if who not in without]
        return self.store(
            self.registry.apply_directory(
                contacts, f"login-{self.login}", self.owner, self.now, complete=complete
            )
        )

    def send_update(self, *people: str) -> PeopleUpdate:
        """Reports the contacts of these people in a batch."""
        return self.store(self.registry.apply_update([self.contact(who) for who in people], (), self.now))

    def remove_contact(self, who: str) -> PeopleUpdate:
        """Removes somebody and reports it in a batch."""
        handle = self.handle(who)
        del self.contacts[who]
        return self.store(self.registry.apply_update((), (handle,), self.now))

    def receive_message(self, who: str, kind: ChatKind = ChatKind.FRIEND, name: str = "") -> PeopleUpdate:
        """Receives a message from somebody who may be in no directory."""
        return self.store(self.registry.add_unlisted(self.handle(who), kind, name, self.now))

    def store(self, changes: PeopleUpdate) -> PeopleUpdate:
        """Keeps changes as the store does, and returns them."""
        self.persons |= {person.id: person for person in changes.people.persons}
        self.topic_names |= dict(changes.people.topic_names) | {
            person.topic_name: person.id for person in changes.people.persons
        }
        for removed_id in changes.people.removed:
            del self.persons[removed_id]
            self.topic_names = {
                level: owner for level, owner in self.topic_names.items() if owner != removed_id
            }
        return changes

    def restart(self, pins: Mapping[str, ContactPin] | None = None) -> None:
        """Creates the registry again from what was stored, as a start of the bridge does."""
        self.pins = self.pins if pins is None else dict(pins)
        self.registry = self._new_registry()

    def topic_name_of(self, who: str) -> str | None:
        """Returns the topic name of somebody, None for an unknown handle."""
        person = self.registry.by_handle(self.handle(who))
        return None if person is None else person.topic_name

    def person_of_topic(self, level: str) -> Person:
        """Returns the person with a topic name."""
        person = self.registry.by_topic_name(level)
        assert person is not None, level
        return person

    def person_of_handle(self, handle: Handle) -> Person:
        """Returns the person with a handle."""
        person = self.registry.by_handle(handle)
        assert person is not None, handle
        return person

    def recipient_of(self, level: str) -> str | None:
        """Returns who in the address book gets a command to this topic name, None for nobody."""
        person = self.registry.by_topic_name(level)
        if person is None or person.closed or person.removed or person.handle is None:
            return None
        return next((who for who in self.contacts if self.handle(who) == person.handle), None)

    def is_trusted(self, who: str) -> bool:
        """Returns whether the registry trusts somebody."""
        person = self.registry.by_handle(self.handle(who))
        return person is not None and person.trusted

    def _new_registry(self) -> PeopleRegistry:
        return PeopleRegistry(self.persons.values(), self.topic_names, self.pins, **self.options)


def _members(names: Iterable[str] | None) -> tuple[Member, ...] | None:
    if names is None:
        return None
    return tuple(Member(handle=Handle(f"@{name}"), nickname=name) for name in names)


def events(changes: PeopleUpdate) -> list[tuple[str, str]]:
    """Returns name and user of each event."""
    return [(event.name, event.user) for event in changes.events]

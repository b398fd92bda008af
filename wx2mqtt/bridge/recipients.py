"""Finds whom a command or request means, and checks whether `send.allow` permits it.

    "wife"  ->  the person of this topic name, with their handle in this login

All functions raise `BadCommand` if there is nobody, or if it is not allowed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from wx2mqtt.bridge.account_settings import matches_any
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import ChatKind, Handle, Member
from wx2mqtt.names import composed
from wx2mqtt.store.person_records import Person
from wx2mqtt.values import frozen


@frozen
class ActionTarget:
    """A person or group with their handle in this login."""

    person: Person
    handle: Handle

    @property
    def topic_name(self) -> str:
        return self.person.topic_name


class Recipients:
    """The people and groups of one account that commands may address."""

    def __init__(self, ctx: AccountContext) -> None:
        self._ctx = ctx

    def find(self, user: str) -> Person:
        """Returns the person or group of a topic name. Raises `BadCommand` if there is none."""
        person = self._ctx.registry.by_topic_name(user)
        if person is None:
            raise BadCommand("unknown_user", "unknown_user", user=user, contacts=self._ctx.topics.contacts)
        if person.closed:
            raise BadCommand("unresolved_user", "unresolved_user", user=user)
        if person.removed:
            raise BadCommand("unknown_user", "removed_user", user=user)
        return person

    def require_allowed(self, user: str, person: Person | None) -> None:
        """Raises `BadCommand` unless `send.allow` matches `user` or the topic name of the person.

        `user` is the name as it was given; it may be an earlier one, or nobody's (None).
        """
        allow = self._ctx.settings.account.send.allow
        is_person_allowed = person is not None and matches_any(person.topic_name, allow)
        if not is_person_allowed and not matches_any(composed(user), allow):
            raise BadCommand("not_allowed", "not_allowed", user=user)

    # On whom a request acts

    def target(self, user: str, *, must_be_allowed: bool = True) -> ActionTarget:
        """Returns a person or group of this login; `send.allow` must permit it if `must_be_allowed`."""
        person = self.find(user)
        if person.handle is None:
            raise BadCommand("unresolved_user", "unresolved_user", user=user)
        if must_be_allowed:
            self.require_allowed(user, person)
        return ActionTarget(person=person, handle=person.handle)

    def contact_target(self, user: str) -> ActionTarget:
        """Returns a friend on whom `send.allow` permits actions."""
        target = self.target(user)
        if target.person.kind is not ChatKind.FRIEND or target.person.stranger:
            raise BadCommand("bad_request", "no_friend", user=user)
        return target

    def group_target(self, user: str, *, must_be_allowed: bool = True) -> ActionTarget:
        """Returns a group on which `send.allow` permits actions."""
        target = self.target(user, must_be_allowed=must_be_allowed)
        if target.person.kind is not ChatKind.GROUP:
            raise BadCommand("bad_request", "no_group", user=user)
        return target

    def require_unrestricted(self) -> None:
        """Requires `send.allow` to permit everybody: a requesting friend has no name that it could list."""
        if not matches_any("", self._ctx.settings.account.send.allow):
            raise BadCommand("not_allowed", "nobody_allowed")


class GroupMemberIndex:
    """The members of one group by name, for several look-ups in a large group."""

    def __init__(self, registry: PeopleRegistry, members: Iterable[Member]) -> None:
        self._registry = registry
        self._handles: set[Handle] = set()
        #: The members with each name, as a set in their order.
        self._handles_by_name: defaultdict[str, dict[Handle, None]] = defaultdict(dict)
        for member in members:
            self._handles.add(member.handle)
            for name in filter(None, (member.display_name, member.nickname)):
                self._handles_by_name[composed(name)][member.handle] = None

    def find(self, name: str) -> tuple[Handle, ...]:
        """Returns the member with this topic name; if nobody has it, all members with this name."""
        person = self._registry.by_topic_name(name)
        if person is None:
            return tuple(self._handles_by_name.get(composed(name), ()))
        if person.handle not in self._handles:
            return ()
        return (person.handle,)

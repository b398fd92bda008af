"""Finds whom a command or request means: its recipient, or members of a group; checks `send.allow`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from wx2mqtt.bridge.account_settings import matches_any
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Handle, Member
from wx2mqtt.names import composed
from wx2mqtt.store.person_records import Person


class Recipients:
    """The people and groups of one account that commands may address."""

    def __init__(self, ctx: AccountContext) -> None:
        self._ctx = ctx

    def find(self, user: str) -> Person:
        """Returns the person or group of a topic level. Raises `BadCommand` if there is none."""
        person = self._ctx.registry.by_level(user)
        if person is None:
            raise BadCommand("unknown_user", "unknown_user", user=user, contacts=self._ctx.topics.contacts)
        if person.closed:
            raise BadCommand("unresolved_user", "unresolved_user", user=user)
        if person.removed:
            raise BadCommand("unknown_user", "removed_user", user=user)
        return person

    def require_allowed(self, user: str, person: Person | None) -> None:
        """Raises `BadCommand` unless `send.allow` matches `user` or the topic level of the person."""
        names = {composed(user), *((person.level,) if person else ())}
        if not any(matches_any(name, self._ctx.settings.account.send.allow) for name in names):
            raise BadCommand("not_allowed", "not_allowed", user=user)


class GroupMemberIndex:
    """The members of one group by name. Making it costs as much as the group is large, a look-up does not."""

    def __init__(self, registry: PeopleRegistry, members: Iterable[Member]) -> None:
        self._registry = registry
        self._handles: set[Handle] = set()
        self._handles_by_name: defaultdict[str, dict[Handle, None]] = defaultdict(dict)
        for member in members:
            self._handles.add(member.handle)
            for name in filter(None, (member.display_name, member.nickname)):
                self._handles_by_name[composed(name)][member.handle] = None

    def find(self, name: str) -> tuple[Handle, ...]:
        """Returns the members with this topic name, else all with this name in the group."""
        person = self._registry.by_level(name)
        if person is None:
            return tuple(self._handles_by_name.get(composed(name), ()))
        return (person.handle,) if person.handle in self._handles else ()

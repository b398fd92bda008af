"""Finds the members of a group by the names that commands and requests use for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.model import Handle, Member
from wx2mqtt.names import composed


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

"""Finds the recipient of a command or request, and checks `send.allow`."""

from __future__ import annotations

from wx2mqtt.bridge.account_settings import matches_any
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.errors import BadCommand
from wx2mqtt.names import composed
from wx2mqtt.store.records import Person


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
        if not any(matches_any(name, self._ctx.settings.send.allow) for name in names):
            raise BadCommand("not_allowed", "not_allowed", user=user)

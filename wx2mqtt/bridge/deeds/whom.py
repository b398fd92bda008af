"""Whom a request means by a topic level, and whether the owner lets it act on them. Decides, does nothing.

`send.allow` names to whom the bridge may write, and so also on whom a request may act.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from wx2mqtt.bridge.filters import fits
from wx2mqtt.bridge.judge import Rules
from wx2mqtt.bridge.people.identity import Identity
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import ChatKind, Handle
from wx2mqtt.store.people import Person


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody, or a group, as this login reaches them."""

    person: Person
    handle: Handle

    @property
    def level(self) -> str:
        """Their topic level."""
        return self.person.level


class Whom:
    """Knows the people of one account and the owner's rules. All raise `BadCommand`."""

    def __init__(self, identity: Identity, rules: Callable[[], Rules], contacts: str) -> None:
        self._identity = identity
        self._rules = rules
        self._contacts = contacts  # the topic of the directory

    def anybody(self, user: str) -> Target:
        """Somebody who may be asked about."""
        person = self._identity.by_level(user)
        if person is None:
            raise BadCommand("unknown_user", "unknown_user", user=user, contacts=self._contacts)
        if person.removed:
            raise BadCommand("unknown_user", "removed_user", user=user)
        if person.closed or person.handle is None:
            raise BadCommand("unresolved_user", "unresolved_user", user=user)
        return Target(person, person.handle)

    def allowed(self, user: str) -> Target:
        """Somebody who may be acted on."""
        target = self.anybody(user)
        names = {unicodedata.normalize("NFC", user), target.level}
        if not any(fits(name, self._rules().allow) for name in names):
            raise BadCommand("not_allowed", "not_allowed", user=user)
        return target

    def contact(self, user: str) -> Target:
        """A friend who may be acted on."""
        target = self.allowed(user)
        if target.person.kind is not ChatKind.FRIEND or target.person.stranger:
            raise BadCommand("bad_request", "no_friend", user=user)
        return target

    def group(self, user: str) -> Target:
        """A group that may be changed."""
        target = self.allowed(user)
        self.must_be_group(target, user)
        return target

    @staticmethod
    def must_be_group(target: Target, user: str) -> None:
        if target.person.kind is not ChatKind.GROUP:
            raise BadCommand("bad_request", "no_group", user=user)

    def must_allow_everybody(self) -> None:
        """Whoever asks to become a friend has no name yet that `send.allow` could hold."""
        if not fits("", self._rules().allow):
            raise BadCommand("not_allowed", "nobody_allowed")

"""Finds the person or group on which a request acts, and checks that `send.allow` permits it."""

from __future__ import annotations

from dataclasses import dataclass

from wx2mqtt.bridge.account_settings import matches_any
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.recipients import Recipients
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import ChatKind, Handle
from wx2mqtt.store.records import Person


@dataclass(frozen=True, slots=True)
class ActionTarget:
    """A person or group with their handle in this login."""

    person: Person
    handle: Handle

    @property
    def level(self) -> str:
        """The topic level."""
        return self.person.level


class TargetResolver:
    """Finds targets among the people of one account. All methods raise `BadCommand`."""

    def __init__(self, ctx: AccountContext, recipients: Recipients) -> None:
        self._ctx = ctx
        self._recipients = recipients

    def known_target(self, user: str) -> ActionTarget:
        """Returns a known person or group, on which `send.allow` need not permit actions."""
        person = self._recipients.find(user)
        if person.handle is None:
            raise BadCommand("unresolved_user", "unresolved_user", user=user)
        return ActionTarget(person, person.handle)

    def allowed_target(self, user: str) -> ActionTarget:
        """Returns a person or group on which `send.allow` permits actions."""
        target = self.known_target(user)
        self._recipients.require_allowed(user, target.person)
        return target

    def contact_target(self, user: str) -> ActionTarget:
        """Returns a friend on whom `send.allow` permits actions."""
        target = self.allowed_target(user)
        if target.person.kind is not ChatKind.FRIEND or target.person.stranger:
            raise BadCommand("bad_request", "no_friend", user=user)
        return target

    def group_target(self, user: str) -> ActionTarget:
        """Returns a group on which `send.allow` permits actions."""
        target = self.allowed_target(user)
        self.require_group(target, user)
        return target

    @staticmethod
    def require_group(target: ActionTarget, user: str) -> None:
        if target.person.kind is not ChatKind.GROUP:
            raise BadCommand("bad_request", "no_group", user=user)

    def require_unrestricted(self) -> None:
        """Requires `send.allow` to permit everybody: a requesting friend has no name that it could list."""
        if not matches_any("", self._ctx.settings.send.allow):
            raise BadCommand("not_allowed", "nobody_allowed")

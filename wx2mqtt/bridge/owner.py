"""The WeChat account to which the store of this bridge account belongs: decides which logins may stay.

The first account that logs in is remembered in the store. Whoever sees a QR code can scan it, so another
account that logs in is refused, until the owner asks for a change: with `expect` in the configuration, or
with a request for a login of a new owner.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.errors import StoreError, Wx2MqttError
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Owner
from wx2mqtt.settings.schema import Expect

log = structlog.get_logger(__name__)


class WrongAccount(Wx2MqttError):
    """Another account than the owner's has logged in. `nickname` is its name; iLink sends none."""

    def __init__(self, message: str, nickname: str) -> None:
        super().__init__(message)
        self.nickname = nickname


class CommandsOfLogin(Protocol):
    """What a login means for the commands that wait: `CommandSender`, which knows the session itself."""

    def set_online(self, online: bool) -> None:
        """Commands are only sent while the account is online."""

    def recheck(self) -> None:
        """All contacts of this login are known: more commands may be sent."""

    def on_login_ended(self, reason: str) -> None:
        """WeChat has ended the login, and no renewal follows; `reason` is a sentence."""

    async def change_owner(self, backend: str, owner_id: str) -> None:
        """Stores another owner, and finishes the commands that waited for the previous one, in one commit.

        Raises `StoreError`; then nothing is changed.
        """


class AccountOwner:
    """The remembered account. Each backend has its own: the ids of one say nothing about those of another."""

    def __init__(self, ctx: AccountContext, commands: CommandsOfLogin) -> None:
        self._ctx = ctx
        self._commands = commands
        self._backend_name = ctx.backend.capabilities.backend
        self._stored_id = ctx.saved_state.owner_ids.get(self._backend_name, "")
        self._id = self._stored_id

    @property
    def is_known(self) -> bool:
        """Whether an account is remembered."""
        return bool(self._id)

    @property
    def _expected(self) -> Expect:
        return self._ctx.settings.account.expect

    async def adopt_saved_login(self) -> None:
        """Remembers the account of the saved login if none is remembered.

        That is the case after an update from a version that remembered none, and after a kill between the
        first login and the commit that remembers it. Raises `StoreError`.
        """
        if self._id:
            return
        owner = await self._ctx.backend.saved_owner()
        if owner is not None and self._id_of(owner) and not mismatched_key(self._expected, owner):
            await self._ctx.journal.commands.set_owner(self._backend_name, self._id_of(owner))
            self._id = self._stored_id = self._id_of(owner)

    def may_resume(self, owner: Owner, *, new_owner: bool) -> bool:
        """Returns whether a saved login of this account may be used; with `new_owner` not the owner's."""
        if mismatched_key(self._expected, owner):
            return False
        if not self._id or _names(self._expected, owner):
            return True
        return (self._id_of(owner) == self._id) is not new_owner

    def is_remembered(self, owner: Owner) -> bool:
        """Returns whether this is the remembered account, so that it may renew the login."""
        return bool(self._id) and self._id_of(owner) == self._id and not mismatched_key(self._expected, owner)

    async def accept(
        self,
        owner: Owner,
        *,
        new_owner: bool = False,
        on_store_failure: Callable[[StoreError], None] = lambda _error: None,
    ) -> None:
        """Checks the account of a login, and remembers the first one; with `new_owner` also another one.

        Returns when that is stored; retries as long as the store fails. Raises `WrongAccount`.
        """
        self._require_allowed(owner, new_owner=new_owner)
        owner_id = self._id_of(owner)
        is_change = bool(self._stored_id)
        self._id = owner_id
        if owner_id == self._stored_id:
            return
        if is_change:
            log.info("another account is the owner now", account=self._ctx.name)
            await retry_until_stored(
                lambda: self._commands.change_owner(self._backend_name, owner_id), on_store_failure
            )
        else:
            await retry_until_stored(
                lambda: self._ctx.journal.commands.set_owner(self._backend_name, owner_id), on_store_failure
            )
        self._stored_id = owner_id

    def report_refused(self, nickname: str) -> None:
        """Publishes that another account scanned and was refused; its id is nobody's business."""
        self._ctx.publish_event("other_account", {"name": nickname} if nickname else {})

    def _require_allowed(self, owner: Owner, *, new_owner: bool) -> None:
        language, name = self._ctx.language, owner.nickname
        expected = self._expected
        if key := mismatched_key(expected, owner):
            raise WrongAccount(bridge_text(language, "wrong_account", found=name or "?", key=key), name)
        owner_id = self._id_of(owner)
        if not owner_id:
            raise WrongAccount(bridge_text(language, "unknown_account"), name)
        if self._id and owner_id != self._id and not (new_owner or _names(expected, owner)):
            raise WrongAccount(bridge_text(language, "not_the_owner", found=name or "?"), name)

    def _id_of(self, owner: Owner) -> str:
        """Returns what stays the same in all logins of an account; empty where WeChat did not say it."""
        if not self._ctx.backend.capabilities.handles_change_at_login:
            return owner.handle
        return owner.uin if owner.uin.strip("0") else ""


def mismatched_key(expected: Expect, owner: Owner) -> str:
    """Returns the first key of `expect` that does not match, or an empty string; null keys are not checked.

    Only the key is for messages: its value identifies a person.
    """
    checks = (
        ("uin", expected.uin, owner.uin),
        ("nickname", expected.nickname, owner.nickname),
        ("ilink", expected.ilink, owner.handle),
    )
    return next((key for key, allowed, actual in checks if allowed and allowed != actual), "")


def _names(expected: Expect, owner: Owner) -> bool:
    """Returns whether `expect` names this account, which becomes the owner without any further question.

    A nickname names nobody: everybody can change their own.
    """
    has_uin = bool(expected.uin) and expected.uin == owner.uin
    return has_uin or (bool(expected.ilink) and expected.ilink == owner.handle)

"""The WeChat account to which the store of this bridge account belongs: decides which logins may stay.

The first account that logs in is remembered in the store. Whoever sees a QR code can scan it, so another
account that logs in is refused, until the owner asks for a change: with `expect` in the configuration, or
with a request for a login of a new owner.

On WeCom that account is a bot, and no login says which person is its owner. Nobody is trusted there until the
operator has said two things, which the store remembers as well: that the bot is theirs, and who the owner is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Protocol

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.people.evidence import OwnerTrust
from wx2mqtt.errors import BadCommand, StoreError, Wx2MqttError
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import ChatKind, Contact, Handle, Owner
from wx2mqtt.settings.schema import Expect
from wx2mqtt.store.records import NOTHING_SAID, NamedOwner

log = structlog.get_logger(__name__)


class WrongAccount(Wx2MqttError):
    """Another account than the owner's has logged in. `nickname` is its name; iLink sends none."""

    def __init__(self, message: str, nickname: str) -> None:
        super().__init__(message)
        self.nickname = nickname


class OwnerNeed(StrEnum):
    """What the operator has not said yet; the value is the key of the sentence that asks for it."""

    NOTHING = ""
    #: Whether this bot, which a scan made, is theirs.
    BOT = "owner_unconfirmed"
    #: Who of the people is the owner.
    PERSON = "owner_unnamed"


class CommandsOfLogin(Protocol):
    """What a login means for the commands that wait: `CommandSender`, which knows the session itself."""

    def set_online(self, online: bool) -> None:
        """Commands are only sent while the account is online."""

    def recheck(self) -> None:
        """All contacts of this login are known: more commands may be sent."""

    def on_login_ended(self, reason: str) -> None:
        """WeChat has ended the login, and no renewal follows; `reason` is a sentence."""

    async def change_owner(
        self, backend: str, owner_id: str, named: NamedOwner = NOTHING_SAID, *, forgets_people: bool = False
    ) -> None:
        """Stores another owner, and finishes the commands that waited for the previous one, in one commit.

        With `forgets_people` that commit deletes everybody whom the previous one knew. Raises `StoreError`;
        then nothing is changed.
        """


class AccountOwner:
    """The remembered account. Each backend has its own: the ids of one say nothing about those of another."""

    def __init__(self, ctx: AccountContext, commands: CommandsOfLogin) -> None:
        self._ctx = ctx
        self._commands = commands
        self._backend_name = ctx.backend.capabilities.backend
        #: Whether the operator names the owner, since no login does.
        self.is_named_by_operator = ctx.backend.capabilities.owner_is_named
        self._stored_id = ctx.saved_state.owner_ids.get(self._backend_name, "")
        self._id = self._stored_id
        self._said = ctx.saved_state.named_owners.get(self._backend_name, NOTHING_SAID)
        self._saying = asyncio.Lock()
        self._set_trust()

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
            self._set_trust()

    def may_resume(self, owner: Owner, *, new_owner: bool) -> bool:
        """Returns whether a saved login of this account may be used; with `new_owner` not the owner's.

        A bot may stay where another person becomes its owner.
        """
        if mismatched_key(self._expected, owner):
            return False
        if not self._id or _names(self._expected, owner):
            return True
        if self.is_named_by_operator:
            return new_owner or self._id_of(owner) == self._id
        return (self._id_of(owner) == self._id) is not new_owner

    def is_remembered(self, owner: Owner) -> bool:
        """Returns whether this is the remembered account, so that it may renew the login."""
        return bool(self._id) and self._id_of(owner) == self._id and not mismatched_key(self._expected, owner)

    async def accept(
        self,
        owner: Owner,
        *,
        new_owner: bool = False,
        is_configured: bool = False,
        on_store_failure: Callable[[StoreError], None] = lambda _error: None,
    ) -> None:
        """Checks the account of a login, and remembers the first one; with `new_owner` also another one.

        - Another account in place of a remembered one ends the commands that waited. Another bot also ends
          all that is known of people: the ids of its enterprise mean others.
        - With `new_owner` the same bot stays with its people, and gets another owner.
        - A bot of the configuration (`is_configured`) is the operator's: it needs no other word of them.

        Returns when that is stored; retries as long as the store fails. Raises `WrongAccount`.
        """
        self._require_allowed(owner, new_owner=new_owner)
        owner_id, stored_id = self._id_of(owner), self._stored_id
        is_another = bool(stored_id) and owner_id != stored_id
        begins_anew = is_another or (bool(stored_id) and new_owner and self.is_named_by_operator)
        said = NOTHING_SAID if begins_anew else self._said
        said = replace(said, is_confirmed=said.is_confirmed or is_configured)
        self._id = owner_id
        if (owner_id, said) == (stored_id, self._said) and not begins_anew:
            return
        if begins_anew:
            log.info("another account is the owner now", account=self._ctx.name)
            forgets = is_another and self.is_named_by_operator
            await retry_until_stored(
                lambda: self._commands.change_owner(
                    self._backend_name, owner_id, said, forgets_people=forgets
                ),
                on_store_failure,
            )
            if forgets:
                self._ctx.registry.forget_everybody()
                self._ctx.signals.people_changed.emit()
        else:
            await retry_until_stored(
                lambda: self._ctx.journal.commands.set_owner(self._backend_name, owner_id, said),
                on_store_failure,
            )
        self._stored_id, self._said = owner_id, said
        self._set_trust()

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

    # Where the operator names the owner

    @property
    def bot_id(self) -> str:
        """The remembered bot; empty before the first login."""
        return self._stored_id

    @property
    def is_confirmed(self) -> bool:
        """Whether the bot is the operator's: it is in the configuration, or they have said so."""
        return self._said.is_confirmed

    @property
    def person(self) -> Handle | None:
        """The handle of the owner; None while nobody is named. `expect` counts more than what was said."""
        if userid := self._expected.wecom:
            contact = self._ctx.backend.contact_of_id(userid, ChatKind.FRIEND)
            return None if contact is None else contact.handle
        return Handle(self._said.person) if self._said.person else None

    @property
    def need(self) -> OwnerNeed:
        """What the operator must say before anybody, or the owner, is trusted."""
        if not self.is_named_by_operator or not self._stored_id:
            return OwnerNeed.NOTHING
        if not self.is_confirmed:
            return OwnerNeed.BOT
        return OwnerNeed.PERSON if self.person is None else OwnerNeed.NOTHING

    async def confirm(self, bot_id: str) -> None:
        """Stores that this bot is the operator's. Raises `BadCommand` where it is not the one in use."""
        async with self._saying:
            if not bot_id or bot_id != self._stored_id:
                raise BadCommand("bad_request", "other_bot")
            await self._say(replace(self._said, is_confirmed=True))

    async def name(self, person: Handle) -> None:
        """Stores who is the owner. Raises `BadCommand` where there is one: only a new login changes it."""
        async with self._saying:
            if self.person is not None:
                raise BadCommand("bad_request", "owner_named")
            await self._say(replace(self._said, person=person))

    async def _say(self, said: NamedOwner) -> None:
        """Raises `StoreError`; then nothing is changed."""
        await self._ctx.journal.commands.set_owner(self._backend_name, self._stored_id, said)
        self._said = said
        self._set_trust()

    def _set_trust(self) -> None:
        if self.is_named_by_operator:
            nobody = Handle(self._stored_id or self._backend_name)
            self._ctx.registry.set_trust(
                OwnerTrust(owner=self.person or nobody, is_confirmed=self.is_confirmed)
            )

    def known_contacts(self) -> list[Contact]:
        """Returns the owner, and whom the pins name by an id: they can be written to before they write.

        A pin does not say whether its id is a person's or a group's. Whoever is known already has it,
        otherwise the backend guesses by its form.
        """
        backend, registry = self._ctx.backend, self._ctx.registry
        contacts: list[Contact] = []
        for pin in self._ctx.settings.pins.values():
            guess = backend.contact_of_id(pin.wecom) if pin.wecom else None
            kinds = (ChatKind.FRIEND, ChatKind.GROUP) if guess is not None else ()
            possible = [backend.contact_of_id(pin.wecom, kind) for kind in kinds]
            known = [contact for contact in possible if contact and registry.by_handle(contact.handle)]
            if guess is not None and not known:
                contacts.append(guess)
        if userid := self._expected.wecom:
            owner = backend.contact_of_id(userid, ChatKind.FRIEND)
            contacts += [] if owner is None else [owner]
        return contacts


def mismatched_key(expected: Expect, owner: Owner) -> str:
    """Returns the first key of `expect` that does not match, or an empty string; null keys are not checked.

    Only the key is for messages: its value identifies a person. `wecom` names a person, and no account.
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

"""The WeChat account to which the store of this bridge account belongs: decides which logins may stay.

    the first account logs in    ->  it is remembered in the store
    the same one logs in again   ->  accepted
    another account logs in      ->  `WrongAccount`: whoever sees a QR code can scan it

The owner can ask for another account: with `expect` in the configuration, or with a request for a login of a
new owner.

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
from wx2mqtt.store.remembered_owners import NOTHING_SAID, NamedOwner

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


class AccountOwner:
    """The remembered account of one backend, and on WeCom what the operator has said of it."""

    def __init__(self, ctx: AccountContext, commands: CommandsOfLogin) -> None:
        self._ctx = ctx
        self._commands = commands
        self._backend_name = ctx.backend.capabilities.backend
        #: Whether the operator names the owner, since no login does.
        self.is_named_by_operator = ctx.backend.capabilities.owner_is_named
        #: The id of the account in the store (`_id_of`); empty before the first login.
        self._stored_id = ctx.saved_state.owner_ids.get(self._backend_name, "")
        #: The id of the accepted account. It differs from `_stored_id` only until `accept` has stored it.
        self._accepted_id = self._stored_id
        #: What the operator has said, as it is stored.
        self._said = ctx.saved_state.named_owners.get(self._backend_name, NOTHING_SAID)
        #: Locked while the operator says something: what is checked must hold until it is stored.
        self._said_lock = asyncio.Lock()
        self._set_trust()

    @property
    def is_known(self) -> bool:
        return bool(self._accepted_id)

    async def adopt_saved_login(self) -> None:
        """Remembers the account of the saved login if none is remembered.

        That is the case after an update from a version that remembered none, and after a kill between the
        first login and the commit that remembers it. Raises `StoreError`.
        """
        if self._accepted_id:
            return
        owner = await self._ctx.backend.saved_owner()
        if owner is not None and self._id_of(owner) and not mismatched_key(self._expected, owner):
            await self._ctx.journal.owner.remember(self._backend_name, self._id_of(owner))
            self._stored_id = self._id_of(owner)
            self._accepted_id = self._stored_id
            self._set_trust()

    def may_resume(self, owner: Owner, *, new_owner: bool) -> bool:
        """Returns whether a saved login of this account may be used.

        With `new_owner` the login of another account is wanted, and that of the remembered one may not be
        used. A bot may stay, since it is the person behind it who changes.
        """
        if mismatched_key(self._expected, owner):
            return False
        if not self._accepted_id or _is_expected_account(self._expected, owner):
            return True
        is_same = self._id_of(owner) == self._accepted_id
        if not new_owner:
            return is_same
        return self.is_named_by_operator or not is_same

    def is_remembered(self, owner: Owner) -> bool:
        """Returns whether this is the remembered account, so that it may renew the login."""
        is_same = bool(self._accepted_id) and self._id_of(owner) == self._accepted_id
        return is_same and not mismatched_key(self._expected, owner)

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
        owner_id = self._id_of(owner)
        self._accepted_id = owner_id
        is_other_account = bool(self._stored_id) and owner_id != self._stored_id
        is_other_person = bool(self._stored_id) and new_owner and self.is_named_by_operator
        if is_other_account or is_other_person:
            said = replace(NOTHING_SAID, is_confirmed=is_configured)
            forgets_people = is_other_account and self.is_named_by_operator
            await self._change_owner(owner_id, said, on_store_failure, forgets_people=forgets_people)
        else:
            said = replace(self._said, is_confirmed=self._said.is_confirmed or is_configured)
            if (owner_id, said) == (self._stored_id, self._said):
                return
            await retry_until_stored(
                lambda: self._ctx.journal.owner.remember(self._backend_name, owner_id, said),
                on_store_failure,
            )
        self._stored_id = owner_id
        self._said = said
        self._set_trust()

    async def _change_owner(
        self,
        owner_id: str,
        said: NamedOwner,
        on_store_failure: Callable[[StoreError], None],
        *,
        forgets_people: bool,
    ) -> None:
        log.info("another account is the owner now", account=self._ctx.name)
        await retry_until_stored(
            lambda: self._commands.change_owner(
                self._backend_name, owner_id, said, forgets_people=forgets_people
            ),
            on_store_failure,
        )
        if forgets_people:
            self._ctx.registry.forget_everybody()
            self._ctx.signals.people_changed.emit()

    def report_refused(self, nickname: str) -> None:
        """Publishes that another account scanned and was refused; its id stays private."""
        self._ctx.publish_event("other_account", {"name": nickname} if nickname else {})

    def _require_allowed(self, owner: Owner, *, new_owner: bool) -> None:
        """Raises `WrongAccount` with the reason for the owner, if this account may not log in."""
        language, name = self._ctx.language, owner.nickname
        key = mismatched_key(self._expected, owner)
        if key:
            raise WrongAccount(bridge_text(language, "wrong_account", found=name or "?", key=key), name)
        owner_id = self._id_of(owner)
        if not owner_id:
            raise WrongAccount(bridge_text(language, "unknown_account"), name)
        is_wanted = new_owner or _is_expected_account(self._expected, owner)
        if self._accepted_id and owner_id != self._accepted_id and not is_wanted:
            raise WrongAccount(bridge_text(language, "not_the_owner", found=name or "?"), name)

    def _id_of(self, owner: Owner) -> str:
        """Returns an id that is the same in all logins of an account; empty if WeChat did not tell it."""
        if not self._ctx.backend.capabilities.handles_change_at_login:
            return owner.handle
        is_told = owner.uin.strip("0") != ""  # WeChat sends 0 for an unknown one
        return owner.uin if is_told else ""

    @property
    def _expected(self) -> Expect:
        return self._ctx.settings.account.expect

    # On WeCom, where the operator names the owner

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
        if self._expected.wecom:
            contact = self._ctx.backend.contact_of_id(self._expected.wecom, ChatKind.FRIEND)
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
        """Stores that this bot is the operator's. Raises `BadCommand` if another bot is in use."""
        async with self._said_lock:
            if not bot_id or bot_id != self._stored_id:
                raise BadCommand("bad_request", "other_bot")
            await self._store_said(replace(self._said, is_confirmed=True))

    async def name(self, person: Handle) -> None:
        """Stores who is the owner. Raises `BadCommand` if there is one, whom only a new login changes."""
        async with self._said_lock:
            if self.person is not None:
                raise BadCommand("bad_request", "owner_named")
            await self._store_said(replace(self._said, person=person))

    async def _store_said(self, said: NamedOwner) -> None:
        """Stores what the operator has said. Raises `StoreError`; then nothing is changed."""
        await self._ctx.journal.owner.remember(self._backend_name, self._stored_id, said)
        self._said = said
        self._set_trust()

    def _set_trust(self) -> None:
        if self.is_named_by_operator:
            nobody = Handle(self._stored_id or self._backend_name)  # no person has the handle of the bot
            trust = OwnerTrust(owner=self.person or nobody, is_confirmed=self.is_confirmed)
            self._ctx.registry.set_trust(trust)

    def known_contacts(self) -> list[Contact]:
        """Returns the owner, and whom the pins name by an id: they can be written to before they write."""
        ids = [pin.wecom for pin in self._ctx.settings.pins.values() if pin.wecom]
        contacts = [self._new_contact_of(wecom_id) for wecom_id in ids]
        if self._expected.wecom:
            contacts.append(self._ctx.backend.contact_of_id(self._expected.wecom, ChatKind.FRIEND))
        return [contact for contact in contacts if contact is not None]

    def _new_contact_of(self, wecom_id: str) -> Contact | None:
        """Returns the contact that a pin names by its id; None if somebody known has this id.

        A pin does not say whether its id is a person's or a group's: the backend guesses by its form.
        """
        backend = self._ctx.backend
        for kind in (ChatKind.FRIEND, ChatKind.GROUP):
            contact = backend.contact_of_id(wecom_id, kind)
            if contact is not None and self._ctx.registry.by_handle(contact.handle) is not None:
                return None
        return backend.contact_of_id(wecom_id)


class CommandsOfLogin(Protocol):
    """What a login tells the commands that wait. `CommandSender` implements it."""

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


def mismatched_key(expected: Expect, owner: Owner) -> str:
    """Returns the first key of `expect` that does not match, or an empty string; empty keys are not checked.

    Error texts show the key, and not its value, which identifies a person. `wecom` is not checked, since it
    names a person and not an account.
    """
    checks = (
        ("uin", expected.uin, owner.uin),
        ("nickname", expected.nickname, owner.nickname),
        ("ilink", expected.ilink, owner.handle),
    )
    return next((key for key, allowed, actual in checks if allowed and allowed != actual), "")


def _is_expected_account(expected: Expect, owner: Owner) -> bool:
    """Returns whether `expect` names this account by an id, so that it may take the place of another one.

    A nickname is no such id: everybody can change their own.
    """
    if expected.uin and expected.uin == owner.uin:
        return True
    return bool(expected.ilink) and expected.ilink == owner.handle

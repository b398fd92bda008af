"""The WeChat account to which the store of this bridge account belongs: decides which logins may stay.

    the first account logs in    ->  it is remembered in the store
    the same one logs in again   ->  accepted
    another account logs in      ->  `WrongAccount`: whoever sees a QR code can scan it

The owner can ask for another account: with `expect` in the configuration, or with a request for a login of a
new owner.

On WeCom that account is a bot. Which person is its owner no login says, but the operator (`bot_owner.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import structlog

from wx2mqtt.aio import retry_until_stored
from wx2mqtt.bridge.bot_owner import BotOwner
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.errors import StoreError, Wx2MqttError
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import ChatKind, Contact, Owner
from wx2mqtt.settings.schema import Expect
from wx2mqtt.store.remembered_owners import NOTHING_SAID, NamedOwner

log = structlog.get_logger(__name__)


class WrongAccount(Wx2MqttError):
    """Another account than the owner's has logged in. `nickname` is its name; iLink sends none."""

    def __init__(self, message: str, nickname: str) -> None:
        super().__init__(message)
        self.nickname = nickname


class AccountOwner:
    """The remembered account of one backend. What the operator says of a bot is stored with it."""

    def __init__(self, ctx: AccountContext, bot_owner: BotOwner, commands: CommandsOfLogin) -> None:
        self._ctx = ctx
        self._bot_owner = bot_owner
        self._commands = commands
        self._backend_name = ctx.backend.capabilities.backend
        #: Whether the account is a bot, behind which another person may be without a change of its id.
        self._is_bot = bot_owner.is_named_by_operator
        #: The id of the account in the store (`_id_of`); empty before the first login.
        self._stored_id = ctx.saved_state.owner_ids.get(self._backend_name, "")
        #: The id of the accepted account. It differs from `_stored_id` only until `accept` has stored it.
        self._accepted_id = self._stored_id

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
            self._bot_owner.use(self._stored_id, self._bot_owner.said)

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
        return self._is_bot or not is_same

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
        is_other_person = bool(self._stored_id) and new_owner and self._is_bot
        if is_other_account or is_other_person:
            said = replace(NOTHING_SAID, is_confirmed=is_configured)
            forgets_people = is_other_account and self._is_bot
            await self._change_owner(owner_id, said, on_store_failure, forgets_people=forgets_people)
        else:
            known = self._bot_owner.said
            said = replace(known, is_confirmed=known.is_confirmed or is_configured)
            if (owner_id, said) == (self._stored_id, known):
                return
            await retry_until_stored(
                lambda: self._ctx.journal.owner.remember(self._backend_name, owner_id, said),
                on_store_failure,
            )
        self._stored_id = owner_id
        self._bot_owner.use(owner_id, said)

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

    def known_contacts(self) -> list[Contact]:
        """Returns whom the configuration names by an id: they can be written to before they write."""
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
        """Commands are only sent while the account is online.

        Called also when WeChat answers again after failures: the pauses after failed attempts end.
        """

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

"""Who the owner of a WeCom bot is, and whether the bot is the operator's: the operator says both.

    request/owner {"user": "li"}   ->   {"user": "li", "bot": "aibK…", "confirmed": true, "trusted": true}

A login of WeCom is a bot, and does not say who is behind it. So the operator confirms the bot, and names one
of the people who write to it as its owner. Nobody is trusted before.

The page, `wx2mqtt login` and `wx2mqtt setup` come here, too. Only they confirm the bot. Whoever publishes to
the broker can also read the QR code there, and may have made the bot by scanning it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from enum import StrEnum

from wx2mqtt.aio import Signal
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.people.directory import DirectoryEntry
from wx2mqtt.bridge.people.evidence import OwnerTrust
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import ChatKind, Handle, Json
from wx2mqtt.mqtt import commands as read
from wx2mqtt.store.person_records import Person
from wx2mqtt.store.remembered_owners import NOTHING_SAID, NamedOwner
from wx2mqtt.values import frozen

# The event that is published when the operator has named the owner.
OWNER_NAMED_EVENT = "owner_named"


class OwnerNeed(StrEnum):
    """What the operator has not said yet; the value is the key of the sentence that asks for it."""

    NOTHING = ""
    #: Whether this bot, which a scan made, is theirs.
    BOT = "owner_unconfirmed"
    #: Who of the people is the owner.
    PERSON = "owner_unnamed"


class BotOwner:
    """Lets the operator confirm the bot of one account, and name its owner.

    `confirm` and `name` raise `StoreError`, and `BadCommand` for what is not allowed; nothing is changed
    then. `apply_people` stores and publishes who is trusted after that.
    """

    def __init__(self, ctx: AccountContext, apply_people: Callable[[PeopleUpdate], Awaitable[None]]) -> None:
        self._ctx = ctx
        self._apply_people = apply_people
        self._backend_name = ctx.backend.capabilities.backend
        #: False on all other backends: there a login itself says who the owner is.
        self.is_named_by_operator = ctx.backend.capabilities.owner_is_named
        #: The id of the bot; empty before its first login, and on all other backends.
        self.bot_id = ""
        #: What the operator has said, as it is stored.
        self.said = ctx.saved_state.named_owners.get(self._backend_name, NOTHING_SAID)
        #: Locked while the operator says something: what is checked must hold until it is stored.
        self._lock = asyncio.Lock()
        #: Emitted when the operator has said something.
        self.changed: Signal[[]] = Signal()
        self.use(ctx.saved_state.owner_ids.get(self._backend_name, ""), self.said)

    async def answer_request(self, fields: dict[str, Json]) -> Json:
        """Answers `request/owner`: names the owner, and does not confirm the bot."""
        read.reject_unknown_fields(fields, "user")
        user = read.read_text(fields, "user")
        await self.name(user)
        person = self._find(user)  # as it is trusted now
        return {
            "user": person.topic_name,
            "bot": self.bot_id,
            "confirmed": self.said.is_confirmed,
            "trusted": person.trusted,
        }

    async def name(self, user: str) -> None:
        """Makes the person with this topic name the owner, if there is none; a new login changes one."""
        self._require_bot()
        person = self._find(user)
        assert person.handle is not None
        async with self._lock:
            if self.owner is not None:
                raise BadCommand("bad_request", "owner_named")
            await self._store(replace(self.said, person=person.handle))
        await self._finish_change()
        self._ctx.publish_event(OWNER_NAMED_EVENT, {"user": person.topic_name})

    async def confirm(self, bot_id: str) -> None:
        """Stores that this bot is the operator's; it must be the one in use."""
        self._require_bot()
        async with self._lock:
            if bot_id != self.bot_id:
                raise BadCommand("bad_request", "other_bot")
            await self._store(replace(self.said, is_confirmed=True))
        await self._finish_change()

    def use(self, bot_id: str, said: NamedOwner) -> None:
        """Takes over the bot of a login, and what is stored of it."""
        self.said = said
        if self.is_named_by_operator:
            self.bot_id = bot_id
            self._set_trust()

    @property
    def owner(self) -> Handle | None:
        """The handle of the owner; None while nobody is named. The configuration (`expect`) counts first."""
        expected_id = self._ctx.settings.account.expect.wecom
        if expected_id:
            contact = self._ctx.backend.contact_of_id(expected_id, ChatKind.FRIEND)
            return None if contact is None else contact.handle
        return Handle(self.said.person) if self.said.person else None

    @property
    def need(self) -> OwnerNeed:
        """What the operator must say before anybody, or the owner, is trusted."""
        if not self.bot_id:
            return OwnerNeed.NOTHING
        if not self.said.is_confirmed:
            return OwnerNeed.BOT
        return OwnerNeed.PERSON if self.owner is None else OwnerNeed.NOTHING

    @property
    def state(self) -> BotOwnerState | None:
        """What is said and what is missing; None without a bot."""
        if not self.bot_id:
            return None
        registry, owner = self._ctx.registry, self.owner
        person = None if owner is None else registry.by_handle(owner)
        people = [entry for entry in registry.directory() if entry.kind is ChatKind.FRIEND]
        people.sort(key=self._last_seen, reverse=True)
        return BotOwnerState(
            need=self.need,
            bot_id=self.bot_id,
            is_confirmed=self.said.is_confirmed,
            user="" if person is None else person.topic_name,
            people=tuple(people),
        )

    def _last_seen(self, entry: DirectoryEntry) -> int:
        person = self._ctx.registry.by_topic_name(entry.user)
        return 0 if person is None else person.seen

    def _require_bot(self) -> None:
        if not self.is_named_by_operator:
            raise BadCommand("unsupported", "unsupported_action", name="owner")
        if not self.bot_id:
            raise BadCommand("logged_out", "not_logged_in")

    def _find(self, user: str) -> Person:
        """Returns the person with this topic name, who has or may have a chat with the bot."""
        person = self._ctx.registry.by_topic_name(user)
        if person is None or person.handle is None:
            raise BadCommand("unknown_user", "unknown_user", user=user, contacts=self._ctx.topics.contacts)
        if person.kind is not ChatKind.FRIEND:
            raise BadCommand("bad_request", "owner_no_person", user=user)
        return person

    async def _store(self, said: NamedOwner) -> None:
        """Stores what the operator has said. Raises `StoreError`; then nothing is changed."""
        await self._ctx.journal.owner.remember(self._backend_name, self.bot_id, said)
        self.said = said
        self._set_trust()

    def _set_trust(self) -> None:
        """Lets the registry decide anew who is trusted."""
        nobody = Handle(self.bot_id or self._backend_name)  # no person has the handle of the bot
        trust = OwnerTrust(owner=self.owner or nobody, is_confirmed=self.said.is_confirmed)
        self._ctx.registry.set_trust(trust)

    async def _finish_change(self) -> None:
        """Stores and publishes who is trusted now; `login/state` follows."""
        await self._apply_people(self._ctx.registry.collect_changes())
        self.changed.emit()


@frozen
class BotOwnerState:
    """What the operator has said so far, and what is missing."""

    need: OwnerNeed
    #: The id of the bot.
    bot_id: str
    is_confirmed: bool
    #: The topic name of the owner; empty while nobody is named, or the named one is not known yet.
    user: str
    #: Who can be named: people who have written, the newest first, and those of the configuration.
    people: tuple[DirectoryEntry, ...]

    def body(self) -> dict[str, Json]:
        """Returns it as the control socket answers it."""
        people: list[Json] = [entry.user for entry in self.people]
        return {
            "need": str(self.need),
            "bot": self.bot_id,
            "confirmed": self.is_confirmed,
            "user": self.user,
            "people": people,
        }

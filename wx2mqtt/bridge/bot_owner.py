"""What the operator says of a WeCom bot: that it is theirs, and which of the people is its owner.

    request/owner {"user": "li"}   ->   {"user": "li", "bot": "aibK…", "confirmed": true, "trusted": true}

The bot is the WeCom account of a login; its owner is one of the people who write to it. `AccountOwner` of
`account_owner.py` remembers both, and has the rules. `BotOwner` here finds the person whom the operator
means, and publishes what follows.

The page, `wx2mqtt login` and `wx2mqtt setup` come here, too. Only they confirm the bot. Whoever publishes to
the broker can also read the QR code there, and may have made the bot by scanning it.
"""

from __future__ import annotations

from wx2mqtt.bridge.account_owner import AccountOwner, OwnerNeed
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.login_session import LoginSession
from wx2mqtt.bridge.people.directory import DirectoryEntry
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import ChatKind, Json
from wx2mqtt.mqtt import commands as read
from wx2mqtt.store.person_records import Person
from wx2mqtt.values import frozen

# The event that is published when the operator has named the owner.
OWNER_NAMED_EVENT = "owner_named"


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


class BotOwner:
    """Names the owner of the bot of one account, and confirms the bot.

    Its methods raise `StoreError`, and `BadCommand` for what is not allowed; nothing is changed then.
    """

    def __init__(
        self, ctx: AccountContext, remembered: AccountOwner, session: LoginSession, inbound: InboundMessages
    ) -> None:
        self._ctx = ctx
        self._remembered = remembered
        self._session = session
        self._inbound = inbound

    @property
    def state(self) -> BotOwnerState | None:
        """What is said and what is missing; None where the login itself says who the owner is."""
        remembered, registry = self._remembered, self._ctx.registry
        if not remembered.is_named_by_operator or not remembered.bot_id:
            return None
        owner = None if remembered.person is None else registry.by_handle(remembered.person)
        people = [entry for entry in registry.directory() if entry.kind is ChatKind.FRIEND]
        people.sort(key=self._last_seen, reverse=True)
        return BotOwnerState(
            need=remembered.need,
            bot_id=remembered.bot_id,
            is_confirmed=remembered.is_confirmed,
            user="" if owner is None else owner.topic_name,
            people=tuple(people),
        )

    async def answer_request(self, fields: dict[str, Json]) -> Json:
        """Answers `request/owner`: names the owner, and does not confirm the bot."""
        read.reject_unknown_fields(fields, "user")
        user = read.read_text(fields, "user")
        await self.name(user)
        person = self._find(user)
        return {
            "user": person.topic_name,
            "bot": self._remembered.bot_id,
            "confirmed": self._remembered.is_confirmed,
            "trusted": person.trusted,
        }

    async def name(self, user: str) -> None:
        """Makes the person with this topic name the owner, if there is none."""
        self._require_bot()
        person = self._find(user)
        assert person.handle is not None
        await self._remembered.name(person.handle)
        await self._show_change()
        self._ctx.publish_event(OWNER_NAMED_EVENT, {"user": person.topic_name})

    async def confirm(self, bot_id: str) -> None:
        """Stores that this bot is the operator's."""
        self._require_bot()
        await self._remembered.confirm(bot_id)
        await self._show_change()

    async def _show_change(self) -> None:
        """Stores who is trusted now, and publishes it."""
        await self._inbound.apply_people(self._ctx.registry.collect_changes())
        self._session.state.refresh()

    def _last_seen(self, entry: DirectoryEntry) -> int:
        person = self._ctx.registry.by_topic_name(entry.user)
        return 0 if person is None else person.seen

    def _require_bot(self) -> None:
        if not self._remembered.is_named_by_operator:
            raise BadCommand("unsupported", "unsupported_action", name="owner")
        if not self._remembered.bot_id:
            raise BadCommand("logged_out", "not_logged_in")

    def _find(self, user: str) -> Person:
        """Returns the person with this topic name, who has or may have a chat with the bot."""
        person = self._ctx.registry.by_topic_name(user)
        if person is None or person.handle is None:
            raise BadCommand("unknown_user", "unknown_user", user=user, contacts=self._ctx.topics.contacts)
        if person.kind is not ChatKind.FRIEND:
            raise BadCommand("bad_request", "owner_no_person", user=user)
        return person

"""What `wx2mqtt login` asks about a bot of WeCom: whether it is the operator's, and who they are.

1. A bot that a scan made is confirmed, or the questions end.
2. Each person who has written or writes is offered, until one of them is the operator.

The answers go to the running bridge (`OwnerByBridge`). Where none runs they go into the store (`OwnerHere`),
and this process receives what people write. Both questions may also be answered later, on the page.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Protocol, TextIO

from typing_extensions import override

from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.bot_owner import OwnerNeed
from wx2mqtt.cli.terminal import read_line
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Json
from wx2mqtt.names import printable

POLL_SECONDS = 0.5  # between two questions to the running bridge who has written

# What a person types for yes, in English and Chinese.
_YES = frozenset({"y", "yes", "是", "好"})

# `BotOwnerState.body`; empty where a login itself says who the owner is.
OwnerReport = dict[str, Json]


class OwnerChannel(Protocol):
    """Where the answers of the operator go. Its methods raise `Wx2MqttError`."""

    async def state(self) -> OwnerReport:
        """Returns what is known of the owner, and the next question (`need`)."""

    async def confirm(self, bot_id: str) -> None:
        """Stores that this bot is the operator's."""

    async def name(self, user: str) -> None:
        """Stores who the owner is."""

    async def wait_for_people(self) -> None:
        """Returns when somebody may have written."""


class OwnerByBridge(OwnerChannel):
    """The running bridge. `ask` lets it do one operation and returns its answer."""

    def __init__(self, ask: Callable[..., Awaitable[OwnerReport]]) -> None:
        self._ask = ask

    @override
    async def state(self) -> OwnerReport:
        return await self._ask("owner.show")

    @override
    async def confirm(self, bot_id: str) -> None:
        await self._ask("owner.confirm", bot=bot_id)

    @override
    async def name(self, user: str) -> None:
        await self._ask("owner.name", user=user)

    @override
    async def wait_for_people(self) -> None:
        await asyncio.sleep(POLL_SECONDS)


class OwnerHere(OwnerChannel):
    """An account of this process, which is logged in. It receives only while somebody waits for people."""

    def __init__(self, account: Account) -> None:
        self._naming = account.components.bot_owner
        self._session = account.components.session

    @override
    async def state(self) -> OwnerReport:
        state = self._naming.state
        return {} if state is None else state.body()

    @override
    async def confirm(self, bot_id: str) -> None:
        await self._naming.confirm(bot_id)

    @override
    async def name(self, user: str) -> None:
        await self._naming.name(user)

    @override
    async def wait_for_people(self) -> None:
        await self._session.receive_once()


async def ask_about_owner(channel: OwnerChannel, out: TextIO, language: Language) -> None:
    """Asks the two questions, as far as they have no answer yet. Without a terminal it only says so."""

    def show(message_key: str, **facts: object) -> None:
        print(printable(bridge_text(language, message_key, **facts)), file=out, flush=True)

    async def is_yes(message_key: str, **facts: object) -> bool:
        print(printable(bridge_text(language, message_key, **facts)), end=" ", file=out, flush=True)
        return (await read_line()).strip().casefold() in _YES

    report = await channel.state()
    if report.get("need") == OwnerNeed.BOT:
        bot_id = str(report["bot"])
        if not (sys.stdin.isatty() and await is_yes("ask_bot", bot=bot_id)):
            show("bot_unconfirmed")
            return
        await channel.confirm(bot_id)
        show("bot_confirmed")
    if not sys.stdin.isatty():
        return
    offered: set[str] = set()
    while (report := await channel.state()).get("need") == OwnerNeed.PERSON:
        people = report["people"]
        assert isinstance(people, list)
        new = [str(user) for user in people if user not in offered]
        if not offered and not new:
            show("ask_to_write")
        for user in new:
            offered.add(user)
            if await is_yes("ask_owner", user=user):
                await channel.name(user)
                show("owner_is", user=user)
                return
        await channel.wait_for_people()

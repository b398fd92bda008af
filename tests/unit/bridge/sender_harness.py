"""A sender with a real journal and a fake backend."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.address_book import AddressBook
from tests.unit.bridge.commands_harness import CAPABILITIES
from tests.unit.bridge.contexts import context, settings
from wx2mqtt.bridge.commands.acceptance import Acceptance
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.commands.sender import CommandSender
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.wechat_calls import EchoFilter, WeChatCalls, new_key
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BackendError
from wx2mqtt.model import (
    Command,
    Draft,
    Handle,
    Receipt,
    ReplyWindow,
    Result,
    SendKey,
)
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.schema import Fallback, Hold, ILink, Send
from wx2mqtt.store.command_records import NewCommand
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.sqlite_database import SqliteDatabase
from wx2mqtt.wechat.ilink.protocol.endpoints import CAPABILITIES as BOT_CAPABILITIES
from wx2mqtt.wechat.ilink.protocol.reply_window import ChatWindow

NOW = 1_795_600_000_000

SendOutcome = BackendError | Callable[[Draft], None] | None
"""What a send does: it raises the error, or calls the function and succeeds, or just succeeds."""


class FakeBackend:
    """A backend that can only send.

    `outcomes` and `receipts` are used in order. While `gate` is cleared, every send waits for it. A send to
    one of `hanging_chats` never ends.
    """

    capabilities = CAPABILITIES
    has_connection = True

    def __init__(self) -> None:
        self.outcomes: deque[SendOutcome] = deque()
        self.receipts: deque[Receipt] = deque()
        self.windows: dict[Handle, ReplyWindow] = {}
        self.drafts: list[Draft] = []
        self.keys: list[SendKey] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.hanging_chats: set[Handle] = set()
        self.began = asyncio.Event()

    async def prepare(self, draft: Draft) -> None:
        pass

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        self.drafts.append(draft)
        self.keys.append(key)
        self.began.set()
        if draft.chat in self.hanging_chats:
            await asyncio.Event().wait()
        await self.gate.wait()
        outcome = self.outcomes.popleft() if self.outcomes else None
        if isinstance(outcome, BackendError):
            raise outcome
        if outcome is not None:
            outcome(draft)
        return self.receipts.popleft() if self.receipts else Receipt(message_id=f"sent-{len(self.drafts)}")

    def seconds_until_sendable(self, chat: Handle) -> float:
        return 0.0

    def reply_window(self, handle: Handle) -> ReplyWindow | None:
        return self.windows.get(handle)

    def earliest_server_time(self) -> int | None:
        return None


class SenderHarness:
    """The sender of one account with everything that it needs."""

    def __init__(self, database: Database, address_book: AddressBook) -> None:
        self.address_book = address_book
        self.journal = Journal(database, "home")
        self.backend = FakeBackend()
        self.echoes = EchoFilter()
        self.per_minute: float = 0
        self.burst = 1
        self.hold, self.fallback = Hold(), Fallback()
        self.ilink = ILink()
        self.ctx: AccountContext
        self.sender: CommandSender
        self.calls: WeChatCalls
        self._changed = asyncio.Event()
        self._command_count = 0

    @contextlib.asynccontextmanager
    async def running(self, *, online: bool = True) -> AsyncIterator[CommandSender]:
        """Runs the sender; at the end of the block it is cancelled, as by a crash."""
        self.echoes = EchoFilter()
        ctx = context(
            journal=self.journal,
            backend=self.backend,
            registry=self.address_book.registry,
            settings=settings(
                send=Send().model_copy(update={"per_minute": self.per_minute, "burst": self.burst}),
                hold=self.hold,
                fallback=self.fallback,
                ilink=self.ilink,
            ),
        )
        ctx.signals.outbox_changed.connect(lambda _batch: self._changed.set())
        ctx.signals.sending_changed.connect(self._changed.set)
        self.ctx = ctx
        attachments: Any = None  # nothing is sent here but text
        resolver = CommandResolver(ctx, attachments)
        self.calls = WeChatCalls(ctx)
        results = ResultPublications("home", Topics("wx"))
        self.sender = CommandSender(ctx, self.calls, resolver, self.echoes, results)
        self.acceptance = Acceptance(self.journal, self.sender)
        self.sender.set_online(online=online)
        running = asyncio.create_task(self.sender.run())
        try:
            yield self.sender
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    def command(self, user: str, text: str = "", *, ttl: float = 600.0, accepted: int = NOW) -> NewCommand:
        self._command_count += 1
        command_id = f"c{self._command_count}"
        person = self.address_book.registry.by_topic_name(user)
        assert person is not None
        return NewCommand(
            command=Command(user=user, text=text or command_id, id=command_id),
            command_id=command_id,
            fingerprint=text or command_id,
            person=person.id,
            key=new_key(),
            accepted=accepted,
            expires=accepted + int(ttl * 1000),
            replies=(ResultPublications("home", Topics("wx")).result_topic_reply(user),),
            delivery=None,
            duplicate_possible=False,
            result=None,
            publications=(),
        )

    async def accept(self, *commands: NewCommand) -> None:
        """Accepts as `CommandIntake` does."""
        await self.acceptance.accept(commands)

    async def result(self, command_id: str) -> Result:
        """Returns the result of a command, once it is stored."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while True:
                self._changed.clear()
                row = await self.journal.commands.get(command_id)
                if row is not None and row.result is not None:
                    return row.result
                await self._changed.wait()

    async def wait_until(self, condition: Callable[[], object]) -> None:
        """Waits until the condition is true; it is checked every 10 ms."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not condition():  # noqa: ASYNC110 - there is no event for everything
                await asyncio.sleep(0.01)

    async def waiting_ids(self) -> list[str]:
        """Returns the ids of the commands without a result, the oldest first."""
        return [row.command_id for row in await self.journal.commands.list_due(1000)]

    async def wait_for_sends(self, count: int) -> list[str]:
        """Returns the texts that were sent, once there are at least `count`."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while len(self.backend.drafts) < count:
                self.backend.began.clear()
                await self.backend.began.wait()
        return [draft.text for draft in self.backend.drafts]


class ILinkSenderHarness(SenderHarness):
    """A sender of an iLink bot, with the real reply window of the chat with wife; `now` is WeChat's clock in ms."""

    def __init__(self, harness: SenderHarness) -> None:
        self.__dict__.update(harness.__dict__)
        self.backend.capabilities = BOT_CAPABILITIES
        self.backend.send = self._send  # type: ignore[method-assign]
        self.backend.reply_window = self._window  # type: ignore[method-assign]
        self.chat = ChatWindow()
        self.now = now_ms()

    def _window(self, handle: Handle) -> ReplyWindow | None:
        return self.chat.reply_window(self.now) if handle == self.address_book.handle("wife") else None

    async def _send(self, draft: Draft, key: Any) -> Receipt:
        receipt = await type(self.backend).send(self.backend, draft, key)
        if draft.chat == self.address_book.handle("wife"):
            self.chat = self.chat.with_sent(self.now + 1)
        return receipt

    def receive_message(self) -> None:
        """Receives a message from wife, which opens the reply window."""
        self.now += 1
        self.chat = self.chat.with_message(self.now, "token")
        self.sender.recheck()


@contextlib.asynccontextmanager
async def open_sender_harness(folder: Path, *friends: str) -> AsyncIterator[SenderHarness]:
    """Opens a store for an account with these friends."""
    address_book = AddressBook()
    for friend in friends:
        address_book.add_friend(friend, friend)
    address_book.log_in()
    database = await SqliteDatabase.open(folder / "wx2mqtt.db")
    try:
        harness = SenderHarness(database, address_book)
        await harness.journal.open()
        yield harness
    finally:
        await database.close()

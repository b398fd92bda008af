"""A sender with a real journal and a scripted WeChat."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.address_book import AddressBook
from tests.unit.bridge.contexts import context, settings
from tests.unit.bridge.outgoing import CAPABILITIES
from wx2mqtt.bridge.commands.acceptance import Acceptance
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.commands.sender import CommandSender
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.wechat_calls import EchoFilter, WeChatCalls, new_key
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BackendError, WindowClosed
from wx2mqtt.model import (
    ChatKind,
    Command,
    Draft,
    Handle,
    Kind,
    Message,
    Receipt,
    ReplyWindow,
    Result,
    SendKey,
)
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.schema import Fallback, Hold, ILink, Send
from wx2mqtt.store.command_records import CommandRow, NewCommand
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.sqlite_database import SqliteDatabase
from wx2mqtt.wechat.ilink.protocol.endpoints import CAPABILITIES as BOT_CAPABILITIES
from wx2mqtt.wechat.ilink.protocol.endpoints import MAX_REPLIES_PER_MESSAGE
from wx2mqtt.wechat.ilink.protocol.reply_window import ChatWindow

NOW = 1_795_600_000_000

SendOutcome = BackendError | Callable[[Draft], None] | None
"""What a send does: raises, or something and then a receipt, or just a receipt."""


class FakeGateway:
    """A gateway that can only send. `outcomes` come in turn; `gate` holds every send while it is cleared."""

    capabilities = CAPABILITIES

    def __init__(self) -> None:
        self.outcomes: deque[SendOutcome] = deque()
        self.receipts: deque[Receipt] = deque()
        self.windows: dict[Handle, ReplyWindow] = {}
        self.drafts: list[Draft] = []
        self.keys: list[SendKey] = []
        self.times: list[float] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.stuck: set[Handle] = set()
        self.began = asyncio.Event()

    async def prepare(self, draft: Draft) -> None:
        pass

    async def send(self, draft: Draft, key: SendKey) -> Receipt:
        self.drafts.append(draft)
        self.keys.append(key)
        self.times.append(asyncio.get_running_loop().time())
        self.began.set()
        if draft.chat in self.stuck:
            await asyncio.Event().wait()
        await self.gate.wait()
        outcome = self.outcomes.popleft() if self.outcomes else None
        if isinstance(outcome, BackendError):
            raise outcome
        if outcome is not None:
            outcome(draft)
        return self.receipts.popleft() if self.receipts else Receipt(message_id=f"sent-{len(self.drafts)}")

    def reply_window(self, handle: Handle) -> ReplyWindow | None:
        return self.windows.get(handle)

    def earliest_server_time(self) -> int | None:
        return None


class SenderHarness:
    """The sender of one account and what it needs."""

    def __init__(self, database: Database, address_book: AddressBook) -> None:
        self.address_book = address_book
        self.journal = Journal(database, "home")
        self.wire = FakeGateway()
        self.echoes = EchoFilter()
        self.per_minute: float = 0
        self.burst = 1
        self.hold, self.fallback = Hold(), Fallback()
        self.ilink = ILink()
        self.ctx: AccountContext
        self.sender: CommandSender
        self.calls: WeChatCalls
        self._settled = asyncio.Event()
        self._numbers = 0

    @contextlib.asynccontextmanager
    async def running(self, *, online: bool = True) -> AsyncIterator[CommandSender]:
        """One life of the sender; it ends as a crash would end it."""
        self.echoes = EchoFilter()
        ctx = context(
            journal=self.journal,
            backend=self.wire,
            registry=self.address_book.identity,
            settings=settings(
                send=Send().model_copy(update={"per_minute": self.per_minute, "burst": self.burst}),
                hold=self.hold,
                fallback=self.fallback,
                ilink=self.ilink,
            ),
        )
        ctx.signals.outbox_changed.connect(lambda _batch: self._settled.set())
        ctx.signals.sending_changed.connect(self._settled.set)
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
        self._numbers += 1
        ident = f"c{self._numbers}"
        person = self.address_book.identity.by_topic_name(user)
        assert person is not None
        return NewCommand(
            command=Command(user=user, text=text or ident, id=ident),
            command_id=ident,
            fingerprint=text or ident,
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
        """As `CommandIntake` does it."""
        await self.acceptance.accept(commands)

    async def result(self, command_id: str) -> Result:
        """The result, once there is one."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while True:
                self._settled.clear()
                row = await self.journal.commands.get(command_id)
                if row is not None and row.result is not None:
                    return row.result
                await self._settled.wait()

    async def until(self, holds: Callable[[], object]) -> None:
        """Until it does; looked at whenever something has happened, and often."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while not holds():  # noqa: ASYNC110 - there is no event for everything
                await asyncio.sleep(0.01)

    async def unsettled(self) -> list[str]:
        """The ids of what waits, oldest first."""
        return [row.command_id for row in await self.journal.commands.list_due(1000)]

    async def events(self, name: str, count: int) -> list[dict[str, Any]]:
        """The events of a name, once there are so many."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while True:
                self._settled.clear()
                rows = await self.journal.outbox.list_waiting(0, 10_000, ())
                found = [json.loads(row.payload) for row in rows if row.topic == f"wx/event/{name}"]
                if len(found) >= count:
                    return found
                await self._settled.wait()

    def refuse(self, window: ReplyWindow, code: str) -> None:
        """WeChat says that its window is shut."""
        self.wire.windows = dict.fromkeys(self.wire.windows, window)
        raise WindowClosed(code=code)

    async def sends(self, count: int) -> list[str]:
        """The texts of the sends, once there are so many."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            while len(self.wire.drafts) < count:
                self.wire.began.clear()
                await self.wire.began.wait()
        return [draft.text for draft in self.wire.drafts]

    def own(self, user: str, text: str, message_id: str, time: int) -> Message:
        """A message of the owner as WeChat hands it over: written on the phone, or an echo of ours."""
        person = self.address_book.identity.by_topic_name(user)
        assert person is not None
        assert person.handle is not None
        return Message(
            key=message_id,
            id=message_id,
            chat=person.handle,
            chat_kind=ChatKind.FRIEND,
            sender=None,
            from_self=True,
            kind=Kind.TEXT,
            text=text,
            time=time,
        )


class ILinkSenderHarness(SenderHarness):
    """A room whose account is a bot, with its real reply window to the wife; `now` is the clock of WeChat."""

    def __init__(self, made: SenderHarness) -> None:
        self.__dict__.update(made.__dict__)
        self.wire.capabilities = BOT_CAPABILITIES
        self.wire.send = self._send  # type: ignore[method-assign]
        self.wire.reply_window = self._window  # type: ignore[method-assign]
        self.chat = ChatWindow()
        self.now = now_ms()

    def _window(self, handle: Handle) -> ReplyWindow | None:
        return self.chat.reply_window(self.now) if handle == self.address_book.handle("wife") else None

    async def _send(self, draft: Draft, key: Any) -> Receipt:
        receipt = await type(self.wire).send(self.wire, draft, key)
        if draft.chat == self.address_book.handle("wife"):
            self.chat = self.chat.with_sent(self.now + 1)
        return receipt

    def writes(self) -> None:
        """She writes."""
        self.now += 1
        self.chat = self.chat.with_message(self.now, "token")
        self.sender.recheck()

    def leave(self, messages: int) -> None:
        """The window is open, and so many messages are left."""
        self.now += 1
        self.chat = ChatWindow(last_wrote=self.now, sent=(self.now,) * (MAX_REPLIES_PER_MESSAGE - messages))

    def asked(self, text: str = "", *, ttl: float = 600.0, **more: Any) -> Any:
        """A command to her."""
        new = self.command("wife", text, ttl=ttl, accepted=now_ms())
        return replace(new, command=replace(new.command, **more))

    async def accept_together(self, *texts: str, **more: Any) -> None:
        """Accepts commands in one commit; the sender sees all of them before it sends the first."""
        await self.accept(*(self.asked(text, **more) for text in texts))

    async def results(self, *ids: str) -> list[Result]:
        return [await self.result(command_id) for command_id in ids]

    async def stored(self, command_id: str) -> CommandRow:
        row = await self.journal.commands.get(command_id)
        assert row is not None
        return row

    async def until_stored(self, command_id: str, holds: Callable[[CommandRow], bool]) -> CommandRow:
        """The command as the journal has it, once it is like that."""
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            row = await self.stored(command_id)
            while not holds(row):
                row = await self.stored(command_id)
        return row

    async def wait_until_in_doubt(self, command_id: str) -> CommandRow:
        return await self.until_stored(command_id, lambda row: row.unanswered > 0)

    async def wait_until_held(self, count: int) -> None:
        await self.until(lambda: self.sender.window_wait.count == count)

    async def hold_texts(self, *texts: str, **more: Any) -> None:
        """She has not written yet: these wait."""
        await self.accept_together(*texts, **more)
        await self.wait_until_held(len(texts))


@contextlib.asynccontextmanager
async def sender_harness(folder: Path, *friends: str) -> AsyncIterator[SenderHarness]:
    """A room with these friends known to it."""
    address_book = AddressBook()
    for friend in friends:
        address_book.friend(friend, friend)
    address_book.log_in()
    database = await SqliteDatabase.open(folder / "wx2mqtt.db")
    try:
        made = SenderHarness(database, address_book)
        await made.journal.open()
        yield made
    finally:
        await database.close()

"""WeChat to MQTT: stores what is received, changes of people and the cursor in one commit, and publishes it.

    a batch with a text from `wife`  ->  one commit: a row for `in/wife`, and the cursor behind it  ->  MQTT

`ReceiveLoop`, below, asks WeChat for one batch after the other. `InboundMessages.store` stores a batch:

1. The contacts in it are merged into the known people.
2. Each message and event becomes a row (`inbound_rows.py`), unless it is the echo of an own send
   (`EchoFilter`), or `receive` filters it.
3. One commit stores the rows, the changed people and the cursor.
4. What is stored is published (`publisher.py`), its files are fetched (`media/`), and others hear of it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import NoReturn

import structlog

from wx2mqtt.aio import retry_until_stored, yield_after_long_work
from wx2mqtt.bridge.account_owner import CommandsOfLogin
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inbound_rows import NO_PEOPLE, EventRows, MessageRows, PeopleBatch
from wx2mqtt.bridge.journal_lookups import StoredQuotes
from wx2mqtt.bridge.login_tracker import RETRIED_ERRORS, LoginStateTracker, is_interruption, retry_delay
from wx2mqtt.bridge.media.downloader import MediaDownloader
from wx2mqtt.bridge.people.table import NO_UPDATE, PeopleUpdate
from wx2mqtt.bridge.publisher import Publisher
from wx2mqtt.bridge.status_topics import StatusTopics
from wx2mqtt.bridge.wechat_calls import EchoFilter
from wx2mqtt.clock import Backoff, loop_time, now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.model import ButtonPress, Cursor, Event, Kind, LoginState, Message, Owner
from wx2mqtt.store.person_records import NO_CHANGES, Person
from wx2mqtt.store.question_records import NewPress
from wx2mqtt.store.questions import Item
from wx2mqtt.store.records import NewEvent, NewMessage, RecordResult
from wx2mqtt.wechat.backend import Batch, LoggedIn
from wx2mqtt.wechat.backend_options import SKIPPED_MESSAGE_EVENT, fatal_message_event

log = structlog.get_logger(__name__)

# A batch that takes longer to convert is stored in parts, so that the end of the process costs less work.
MAX_UNSTORED_SECONDS = 2.0


class InboundMessages:
    """Stores and publishes what one account receives (`store`)."""

    def __init__(
        self,
        ctx: AccountContext,
        echoes: EchoFilter,
        publisher: Publisher,
        status: StatusTopics,
        media: MediaDownloader,
    ) -> None:
        self._ctx = ctx
        self._echoes = echoes
        self._publisher = publisher
        self._status = status
        self._media = media
        self._journal = ctx.journal
        self._registry = ctx.registry
        #: The owner of the current login; None before the first.
        self.owner: Owner | None = None
        #: How many items are not published, by reason.
        self._left_out = ctx.counters.left_out
        self._quotes = StoredQuotes(ctx.journal.history, ctx.registry)
        self._message_rows = MessageRows(ctx)
        self._event_rows = EventRows(ctx)
        #: Changes that the registry has made, and that are not in the database yet.
        self._unsaved: list[PeopleBatch] = []
        #: Locked during a commit, and until the downloader knows which of its messages wait for their file.
        #: A file that is downloaded sooner would find no message that waits for it.
        self._commit_lock = media.waiting.commit_lock

    async def apply_people(
        self, changes: PeopleUpdate, on_failure: Callable[[StoreError], None] = lambda _error: None
    ) -> None:
        """Stores changes of people that come with no batch, as of the contact list or of the settings.

        Retries until they are stored; `on_failure` is called at each failure.
        """
        self._add_unsaved(changes)
        await retry_until_stored(lambda: self._commit([], None, ""), on_failure)

    async def store(self, batch: Batch, login_id: str) -> None:
        """Stores a batch and its cursor. Raises `StoreError`; the same batch must be received again then."""
        self._left_out["unread"] += batch.unreadable_count
        self._add_unsaved(self._registry.apply_update(batch.contacts, batch.removed, now_ms()))
        rows: list[Item] = []
        loop_clock = asyncio.get_running_loop().time
        started_at = stored_at = loop_clock()
        for item in batch.items:
            row = await self._row_of(item)
            if row is not None:
                rows.append(row)
            started_at = await yield_after_long_work(started_at, loop_clock)
            if loop_clock() - stored_at > MAX_UNSTORED_SECONDS:
                # The cursor stays behind: what is stored is recognised when the batch is received again.
                await self._commit(rows, None, "")
                rows = []
                stored_at = loop_clock()
        await self._commit(rows, batch.cursor, login_id)

    # From an item to its row

    async def _row_of(self, item: Message | ButtonPress | Event) -> Item | None:
        """Returns the row of an item; None for one that is not published. Raises only `StoreError`."""
        try:
            if self._ctx.marks.is_fatal(item.key):
                return self._row_of_fatal(item)
            if isinstance(item, Message):
                return await self._row_of_message(item)
            if isinstance(item, ButtonPress):
                return self._row_of_press(item)
            return await self._row_of_event(item)
        except StoreError:  # the message is not at fault: the batch must be received again
            raise
        except Exception:  # a message that cannot be processed must not stop the others
            self._left_out["unreadable"] += 1
            log.exception("message skipped", kind=getattr(item, "kind", "event"))
            return None

    def _row_of_fatal(self, item: Message | ButtonPress | Event) -> NewEvent | None:
        """Counts a message that has ended the process three times; returns the event that reports it."""
        self._left_out["unreadable"] += 1
        message_id = item.id if isinstance(item, Message) else ""
        log.error("message skipped: the process ended three times while it was stored", message_id=message_id)
        return self._event_rows.row(fatal_message_event(item.key, message_id, now_ms()), "")

    async def _row_of_event(self, event: Event) -> NewEvent | None:
        if event.name == SKIPPED_MESSAGE_EVENT:
            self._left_out["unreadable"] += 1
        actor = await self._event_rows.actor(event)
        with self._ctx.marks.processing(event.key, is_last=True):
            return self._event_rows.row(event, actor)

    async def _row_of_message(self, message: Message) -> NewMessage | None:
        if message.from_self and await self._is_echo(message):
            self._left_out["echoes"] += 1
            return None
        person = self._registry.by_handle(message.chat)
        if person is None:
            person = self._add_person(message)
        if not self._ctx.settings.publishes_message(message, person.topic_name, listed=bool(person.pin)):
            self._left_out["filtered"] += 1
            return None
        if not person.wrote:
            self._add_unsaved(self._registry.mark_wrote(person))
        if message.kind is Kind.QUOTE:
            message = await self._quotes.with_stored_quote(message)
        with self._ctx.marks.processing(message.key, is_last=True):
            return self._message_rows.row(message, person, self.owner)

    def _row_of_press(self, press: ButtonPress) -> NewPress | None:
        person = self._registry.by_handle(press.chat)
        if person is None:  # buttons are sent to known chats only, so that this press belongs to no card
            self._left_out["unreadable"] += 1
            return None
        listed = bool(person.pin)
        if not self._ctx.settings.publishes_chat(person.topic_name, person.kind, listed=listed):
            self._left_out["filtered"] += 1
            return None
        with self._ctx.marks.processing(press.key, is_last=True):
            return self._message_rows.press_row(press, person)

    async def _is_echo(self, message: Message) -> bool:
        await self._echoes.wait_for_open_attempts(message)
        # `is_echo` may take the message for a send without an answer, and each such send accounts for one
        # message only. So a message that the journal knows as sent must not get there.
        if message.id not in self._echoes.sent_ids:
            is_stored_as_sent = await self._journal.commands.is_sent_message(message.id)
            if is_stored_as_sent:
                return True
        return self._echoes.is_echo(message)

    def _add_person(self, message: Message) -> Person:
        """Adds the person or group of a chat that is not among the contacts."""
        self._add_unsaved(self._registry.add_unlisted(message.chat, message.chat_kind, "", now_ms()))
        added = self._registry.by_handle(message.chat)
        assert added is not None
        return added

    # The commit, and what follows from it

    async def _commit(self, rows: list[Item], cursor: Cursor | None, login_id: str) -> None:
        self._ctx.marks.clear()  # a commit that ends the process is not the fault of the last message
        async with self._commit_lock:
            # Merged only now: merging with each message would copy all changes of the batch each time.
            people = PeopleBatch.merged(self._unsaved) if self._unsaved else NO_PEOPLE
            self._unsaved = []
            if not rows and cursor is None and people == NO_PEOPLE:
                return
            try:
                recorded = await self._journal.received.record(
                    [*people.events, *rows], people.changes, cursor, login_id
                )
            except BaseException:
                self._unsaved.insert(0, people)
                raise
            with_media = [row for row in rows if isinstance(row, NewMessage) and row.media]
            if with_media:
                self._media.enqueue(with_media)
        self._announce(recorded, people)

    def _announce(self, recorded: RecordResult, people: PeopleBatch) -> None:
        """Publishes what is stored, and lets others follow.

        The messages and behind them the topic `last` are one write to the broker. It is made at once
        (`flush`), else it would wait until the receive loop has sent its next request.
        """
        ctx = self._ctx
        self._publisher.add(recorded.outbox)
        if recorded.last_payload is not None:
            self._status.show_last(recorded.last_payload)
        ctx.broker.flush()
        if recorded.message_keys:
            ctx.backend.on_published(recorded.message_keys)
        if recorded.messages or recorded.events:
            ctx.shared.changes.notify()
        if recorded.answers.proven or recorded.answers.updates:
            ctx.signals.answered.emit(recorded.answers)
            for account, batch in recorded.for_other_accounts.items():
                ctx.shared.fallback_accounts.on_answered(account, batch)
        ctx.signals.received.emit(recorded)
        self._left_out["repeated"] += recorded.repeated
        ctx.counters.received.update(recorded.kinds)
        if people is NO_PEOPLE:  # as with most batches
            return
        if people.changes != NO_CHANGES and ctx.people_file is not None:
            ctx.people_file.request()
        if people.is_visible:
            ctx.signals.people_changed.emit()

    def _add_unsaved(self, update: PeopleUpdate) -> None:
        """Adds changes to the next commit; to be called right after the registry made them, in that order."""
        if update is NO_UPDATE:
            return
        events = tuple(self._event_rows.people_rows(update))
        is_visible = update.is_visible and update.people != NO_CHANGES
        self._unsaved.append(PeopleBatch(update.people, events, is_visible))


# The receive loop must report progress to the watchdog within this time.
POLL_WATCHDOG_SECONDS = 120.0

# While the store is full, nothing is received; it is looked at again after this pause.
STORE_FULL_POLL_SECONDS = 5.0


class ReceiveLoop:
    """Receives and stores one batch after the other (`run`).

    The cursor says what was received last. So an error, or the end of the process, loses nothing: WeChat is
    asked with the old cursor again.
    """

    def __init__(
        self,
        ctx: AccountContext,
        inbound: InboundMessages,
        commands: CommandsOfLogin,
        state: LoginStateTracker,
    ) -> None:
        self._ctx = ctx
        self._inbound = inbound
        self._commands = commands
        self._state = state
        #: Locked while a received batch is being stored. Whoever ends the login waits for it: the batch could
        #: not be received again.
        self.store_lock = asyncio.Lock()
        #: Whether the store was full when it was looked at last.
        self._is_store_full = False
        #: Set when WeChat answers again after failures; who waits for it clears it.
        self.recovered = asyncio.Event()
        #: The place behind the last stored batch; valid in the login `login_id` only.
        self.cursor = Cursor("")
        self.login_id = ""

    async def start_login(self, step: LoggedIn) -> None:
        """Stores where a new login begins. A resumed login goes on behind the last batch."""
        if step.login_id == self.login_id:
            return
        await retry_until_stored(
            lambda: self._ctx.journal.received.set_cursor(step.login_id, step.cursor),
            self._state.on_store_failure,
        )
        self.login_id = step.login_id
        self.cursor = step.cursor

    async def run(self, owner: Owner) -> NoReturn:
        """Receives until the login ends: `LoggedOut` is raised, or the task is cancelled."""
        watching = asyncio.create_task(self._watch_store())
        try:
            await self._receive(owner)
        finally:
            watching.cancel()

    async def _receive(self, owner: Owner) -> NoReturn:
        failing_since: float | None = None
        backoff = Backoff()
        self._set_online(owner)
        while True:
            self._ctx.heartbeat("receive", POLL_WATCHDOG_SECONDS)
            if self._shows_full_store():  # nothing is received that could not be stored
                await self._pause(STORE_FULL_POLL_SECONDS)
                continue
            try:
                await self.receive_once()
            except RETRIED_ERRORS as error:
                if failing_since is None:
                    failing_since = loop_time()
                backoff = backoff.after_failure()
                pause = retry_delay(error, backoff, random.random())
                if is_interruption(error, max(pause, loop_time() - failing_since)):
                    self._state.set_interrupted(error)
                await self._pause(pause)
            else:
                if failing_since is not None or self._state.status.state is not LoginState.ONLINE:
                    self._set_online(owner)
                    self.recovered.set()
                failing_since = None
                backoff = backoff.reset()

    async def _watch_store(self) -> NoReturn:
        """Shows a store that becomes full during a poll, which may last for half a minute."""
        while True:
            await asyncio.sleep(STORE_FULL_POLL_SECONDS)
            self._shows_full_store()

    def _shows_full_store(self) -> bool:
        """Sets the state `interrupted` while the store is full; returns whether it is.

        A full store is full until it has room for commands again, which may use less of it: else each message
        could fill it anew, and the state would change with each.
        """
        limit = self._ctx.shared.exceeded_limit(for_commands=self._is_store_full)
        self._is_store_full = bool(limit)
        if limit:
            self._state.set(LoginState.INTERRUPTED, self._state.text("storage_full_state", limit=limit))
        return self._is_store_full

    async def receive_once(self) -> None:
        """Waits for the next batch and stores it. Raises `LoggedOut` and `RETRIED_ERRORS`."""
        batch = await self._ctx.backend.receive(self.cursor)
        self._state.last_answer = now_ms()
        async with self.store_lock:
            await self._inbound.store(batch, self.login_id)
            self.cursor = batch.cursor

    def _set_online(self, owner: Owner) -> None:
        """Lets commands be sent, and sets the state `online` unless the store is full."""
        if not self._shows_full_store():
            if owner.nickname:
                reason = self._state.text("online", name=owner.nickname)
            else:
                reason = self._state.text("online_unnamed")
            self._state.set(LoginState.ONLINE, reason)
        self._commands.set_online(True)

    async def _pause(self, seconds: float) -> None:
        self._ctx.heartbeat("receive", seconds + POLL_WATCHDOG_SECONDS)
        await self._ctx.login_requests.pause_before_try(seconds)

"""Prepares the files of commands beside the queues of their chats: fetches a `url`, then uploads the file.

    out/me {"kind": "image", "url": "http://door/snapshot.jpg"}

1. `NextStepPolicy` finds that its file may be prepared now (`find_startable`), and `sender.py` starts a task.
2. The task fetches the `url` into the store, then uploads the file to WeChat, where nobody sees it yet.
3. The file is *ready* (`is_ready`), and the command is sent when it is its turn.

Other commands of the chat are sent meanwhile. The command's attempt begins only at step 3, so that after a
crash the file is simply prepared again.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import structlog

from wx2mqtt.bridge.commands.chat_queue import ChatQueue, is_important, stays_first
from wx2mqtt.bridge.commands.resolver import CommandResolver, has_file, needs_fetch
from wx2mqtt.bridge.commands.send_attempts import CommandProgress
from wx2mqtt.bridge.commands.send_limits import SendLimits
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.wechat_calls import WeChatCalls
from wx2mqtt.clock import Backoff, boot_time, loop_time
from wx2mqtt.errors import (
    BackendError,
    BadCommand,
    LoggedOut,
    Rejected,
    StoreError,
    TemporarilyUnavailable,
    Throttled,
    TransferBroken,
    Unreachable,
)
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.limits import transfer_seconds
from wx2mqtt.model import Handle
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.store.commands import AlreadyFinished

log = structlog.get_logger(__name__)

# How many urls are fetched at the same time. The others wait, the oldest first.
MAX_CONCURRENT_FETCHES = 8

# How many files are uploaded at the same time. An upload may take minutes.
MAX_CONCURRENT_UPLOADS = 3

# How many files of one chat are being prepared or are ready. So no chat takes all places, and the files that
# wait for their turn do not fill the store. Important ones wait for no other.
MAX_PREPARED_FILES = 3

# How many commands of a chat may wait whose `url` is not fetched yet. Above this the newest are rejected.
MAX_UNFETCHED_COMMANDS = 100

# When so many transfers of a file in a row broke off, its command is rejected.
MAX_TRANSFER_ATTEMPTS = 3

# After a failure no file of the chat is begun for this time: many urls that fail must not become many
# requests.
FAILURE_PAUSE_SECONDS = 1.0

# The commands of a chat wait this long for the file of an earlier one, so that it keeps its place.
FETCH_WAIT_SECONDS = 5.0
UPLOAD_WAIT_SECONDS = 30.0

# A file counts as uploaded for this time; the backends remember an upload longer.
READY_SECONDS = 300.0


@dataclass(slots=True, kw_only=True)
class FileState:
    """What is known of the file of one command. Times are those of the event loop's clock."""

    #: Runs while the file is being prepared.
    task: asyncio.Task[None] | None = None
    #: The pauses between attempts to prepare it.
    backoff: Backoff = field(default_factory=Backoff)
    #: It is not prepared again before this time.
    retry_at: float = 0.0
    #: How many transfers in a row broke off.
    transfer_failures: int = 0
    #: Why its url could not be fetched last; None if it could.
    error: TemporarilyUnavailable | None = None
    #: Why it can never be prepared.
    failed: BadCommand | Rejected | None = None
    #: The recipient for whom it is uploaded, who has another handle in each login; None before the upload.
    ready_for: Handle | None = None
    #: When it does not count as uploaded any more.
    ready_until: float = 0.0

    @property
    def is_paused(self) -> bool:
        """Whether it must not be prepared now, or never."""
        return self.failed is not None or self.retry_at > loop_time()

    def is_ready_for(self, chat: Handle | None) -> bool:
        return chat is not None and self.ready_for == chat and loop_time() < self.ready_until

    def delay(self) -> None:
        """Lets it be prepared again after a pause, a longer one after each further failure."""
        self.backoff = self.backoff.after_failure()
        self.retry_at = loop_time() + self.backoff.wait(random.random())

    def end_pause(self) -> None:
        """Lets it be prepared without the pause after the last failure."""
        self.backoff = self.backoff.reset()
        self.retry_at = 0.0


@dataclass(slots=True)
class ChatFiles:
    """The files of one chat. Times are those of the event loop's clock."""

    #: By the row id of the command.
    states: dict[int, FileState] = field(default_factory=dict)
    #: When a command began to wait for the file of an earlier one; None if none waits.
    blocked_since: float | None = None
    #: No file is begun before this time.
    paused_until: float = 0.0


class FilePreparation:
    """Prepares the files of one account's commands.

    After a temporary failure a file is prepared again, until the ttl of its command is over.
    """

    def __init__(
        self,
        ctx: AccountContext,
        resolver: CommandResolver,
        calls: WeChatCalls,
        limits: SendLimits,
        progress: CommandProgress,
    ) -> None:
        self._ctx = ctx
        self._resolver = resolver
        self._limits = limits
        self._calls = calls
        self._progress = progress
        self._fetch_places = asyncio.Semaphore(MAX_CONCURRENT_FETCHES)
        self._upload_places = asyncio.Semaphore(MAX_CONCURRENT_UPLOADS)
        self._chats: WeakKeyDictionary[ChatQueue, ChatFiles] = WeakKeyDictionary()

    # What the next step of a chat depends on

    def is_ready(self, queue: ChatQueue, row: CommandRow) -> bool:
        """Returns whether a command has no file, or one that is stored and uploaded."""
        if not has_file(row):
            return True
        state = self._files_of(queue).states.get(row.id)
        return state is not None and state.is_ready_for(self._resolver.chat_of(row))

    def find_startable(self, queue: ChatQueue) -> CommandRow | None:
        """Returns the command whose file is to be prepared next; None if no file may be begun now."""
        files = self._files_of(queue)
        if loop_time() < files.paused_until:
            return None
        active = []
        for row_id, state in files.states.items():
            row = queue.rows.get(row_id)
            if row is not None and self._is_active(state, row):
                active.append(row)
        if sum(map(is_important, active)) < MAX_PREPARED_FILES:
            important = self._first_startable(queue, important_only=True)
            if important is not None:
                return important
        if len(active) < MAX_PREPARED_FILES:
            return self._first_startable(queue, important_only=False)
        return None

    def _first_startable(self, queue: ChatQueue, *, important_only: bool) -> CommandRow | None:
        """Returns the first command whose file is not prepared, and that the limits allow to send."""
        states = self._files_of(queue).states
        for row in queue.waiting.rows:
            if not has_file(row) or (important_only and not is_important(row)):
                continue
            state = states.get(row.id)
            if state is not None and (state.is_paused or self._is_active(state, row)):
                continue
            if self._limits.seconds_until_allowed(row) <= 0:
                return row
        return None

    def _is_active(self, state: FileState, row: CommandRow) -> bool:
        """Returns whether the file of a command is being prepared, or is ready."""
        return state.task is not None or state.is_ready_for(self._resolver.chat_of(row))

    def find_failed(self, queue: ChatQueue) -> tuple[CommandRow, BadCommand | Rejected] | None:
        """Returns a command that is to be rejected because of its file, and the reason; None without one."""
        if len(queue.waiting.unfetched) > MAX_UNFETCHED_COMMANDS:
            newest = queue.rows.get(max(queue.waiting.unfetched))
            assert newest is not None
            return newest, BadCommand("rate_limited", "too_many_files", most=MAX_UNFETCHED_COMMANDS)
        for row_id, state in self._files_of(queue).states.items():
            row = queue.rows.get(row_id)
            if state.failed is not None and row is not None:
                return row, state.failed
        return None

    def seconds_until_retry(self, queue: ChatQueue) -> float:
        """Returns the seconds until a file of this chat may be prepared again; infinity for none."""
        if queue not in self._chats:
            return float("inf")
        files = self._files_of(queue)
        times = [files.paused_until]
        for state in files.states.values():
            if state.task is None:
                times += (state.retry_at, state.ready_until)
        now = loop_time()
        return min((time - now for time in times if time > now), default=float("inf"))

    def seconds_until_overtaking(self, queue: ChatQueue, row: CommandRow) -> float:
        """Returns how many seconds a command still waits for the file of the first one of its chat.

        All commands behind it wait the same time, not one after the other.
        """
        files = self._files_of(queue)
        first = queue.waiting.rows[0]
        if row.id == first.id or self.is_ready(queue, first):
            files.blocked_since = None
            return 0.0
        if is_important(row) or stays_first(row) or row.id == queue.begun_id:
            return 0.0
        if files.blocked_since is None:
            files.blocked_since = loop_time()
        wait = FETCH_WAIT_SECONDS if needs_fetch(first) else UPLOAD_WAIT_SECONDS
        return files.blocked_since + wait - loop_time()

    def error_of(self, queue: ChatQueue, row: CommandRow) -> TemporarilyUnavailable | None:
        """Returns why the last fetch of a command's url failed; None if it did not."""
        if not needs_fetch(row):
            return None
        state = self._files_of(queue).states.get(row.id)
        return None if state is None else state.error

    # Called by `sender.py`

    def start(self, queue: ChatQueue, row: CommandRow, tasks: asyncio.TaskGroup) -> None:
        """Begins to prepare the file of a command in a task."""
        states = self._files_of(queue).states
        state = states.setdefault(row.id, FileState())
        state.ready_for = None
        state.task = tasks.create_task(self._prepare(queue, row, state))

    def require_again(self, queue: ChatQueue, row: CommandRow) -> None:
        """Lets the file of a command be uploaded again: WeChat may not have it any more."""
        state = self._files_of(queue).states.get(row.id)
        if state is not None:
            state.ready_for = None

    def end_pauses(self) -> None:
        """Lets all files be prepared without the pauses after failures: WeChat answers again.

        What waited for an earlier file meanwhile waits anew, so that the file keeps its place.
        """
        for files in self._chats.values():
            files.paused_until = 0.0
            files.blocked_since = None
            for state in files.states.values():
                state.end_pause()

    def cancel_removed(self, queue: ChatQueue) -> None:
        """Ends the preparation for commands that have left this queue."""
        if queue not in self._chats:
            return
        states = self._files_of(queue).states
        removed_ids = [row_id for row_id in states if queue.rows.get(row_id) is None]
        for row_id in removed_ids:
            task = states.pop(row_id).task
            if task is not None:
                task.cancel()

    def _files_of(self, queue: ChatQueue) -> ChatFiles:
        return self._chats.setdefault(queue, ChatFiles())

    # One file

    async def _prepare(self, queue: ChatQueue, row: CommandRow, state: FileState) -> None:
        try:
            if needs_fetch(row):
                async with self._fetch_places:
                    row = await self._resolver.fetch(row, queue.expires_at(row) - boot_time())
                queue.change(row.id, blob=row.blob)
                state.backoff = state.backoff.reset()
                state.error = None
            await self._upload(row, state)
        except AlreadyFinished:
            await self._progress.drop_finished([row])
        except (BadCommand, StoreError, BackendError) as error:
            self._files_of(queue).paused_until = loop_time() + FAILURE_PAUSE_SECONDS
            self._on_failure(state, error)
        finally:
            state.task = None
            queue.wake.set()

    async def _upload(self, row: CommandRow, state: FileState) -> None:
        """Uploads the file of a command; nobody sees it yet. Raises `BadCommand` and `BackendError`."""
        draft = await self._resolver.resolve_file(row)
        size = 0 if row.blob is None else row.blob.size
        async with self._upload_places:
            try:
                async with asyncio.timeout(transfer_seconds(size)):
                    await self._ctx.backend.prepare(draft)
            except TimeoutError:
                raise Unreachable(bridge_text(self._ctx.language, "upload_slow")) from None
        state.backoff = state.backoff.reset()
        state.ready_for = draft.chat
        state.ready_until = loop_time() + READY_SECONDS

    def _on_failure(self, state: FileState, error: BadCommand | StoreError | BackendError) -> None:
        """Records a failure; after a throttling or a logout all calls of the account wait."""
        match error:
            case TransferBroken() if state.transfer_failures + 1 >= MAX_TRANSFER_ATTEMPTS:
                state.failed = error
            case TemporarilyUnavailable():
                is_broken = isinstance(error, TransferBroken)
                state.transfer_failures = state.transfer_failures + 1 if is_broken else 0
                state.error = error
                state.delay()
            case BadCommand() | Rejected():
                state.failed = error
            case Throttled() | LoggedOut():
                self._calls.hold_back(error)
            case _:
                log.warning("file not stored or uploaded yet", problem=str(error))
                state.delay()

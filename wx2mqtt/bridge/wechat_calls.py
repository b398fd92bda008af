"""The calls by which one account changes something at WeChat, and whether one may be made now.

    await calls.send(draft, key)      a message of a command
    await calls.perform(action, key)  a recall, or the action of a request

Each is made once. Its outcome is returned: the answer, or the error. Who makes it has stored its begin
before, and decides what follows: `commands/sender.py` for commands, `requests/action_runner.py` for requests.
A throttling and the end of the login hold back the calls of both (`hold_back`).

WeChat may deliver a message that was sent as a received one, too (an echo). `EchoFilter` recognizes it, so
that it is not published:

    `calls.send` is answered with the id 42  ->  WeChat delivers an own message with the id 42  ->  an echo
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TypeVar

import structlog

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import loop_time, now_ms
from wx2mqtt.errors import BackendError, LoggedOut, OutcomeUnknown, Throttled
from wx2mqtt.model import Action, ActionResult, Draft, Handle, Kind, Message, Receipt, SendKey
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

AnswerT = TypeVar("AnswerT")


class WeChatCalls:
    def __init__(self, ctx: AccountContext) -> None:
        self._ctx = ctx
        #: The loop time at which the throttling by WeChat ends.
        self._throttled_until = 0.0
        #: Whether a call was answered with the end of the login, since the last login.
        self._is_login_refused = False
        #: Whether there is a login for messages; a request asks the session.
        self.online = False
        #: Whether nothing new is begun any more.
        self.stopping = False

    def send(self, draft: Draft, key: SendKey) -> Awaitable[Receipt | BackendError]:
        return _outcome_of(self._ctx.backend.send(draft, key), "send failed", draft.kind)

    def perform(self, action: Action, key: SendKey) -> Awaitable[ActionResult | BackendError]:
        return _outcome_of(self._ctx.backend.perform(action, key), "act failed", type(action).__name__)

    # Whether a call may be made

    @property
    def may_send(self) -> bool:
        """Whether a message may be sent, now or after a wait."""
        return self.online and not self.stopping

    @property
    def is_connected(self) -> bool:
        """Whether a message that is sent now may reach WeChat; without it nothing is tried."""
        return self.online and self._ctx.backend.has_connection

    @property
    def may_send_now(self) -> bool:
        """Whether a message need not wait for a login or a connection."""
        return self.is_connected and not self.stopping

    @property
    def throttled_seconds(self) -> float:
        """Seconds until the throttling by WeChat ends; 0 without one."""
        return max(0.0, self._throttled_until - loop_time())

    def hold_back(self, error: BackendError) -> None:
        """Holds back all calls after a throttling or the end of the login; other errors concern one chat."""
        match error:
            case Throttled(retry_after=seconds):
                self._throttled_until = max(self._throttled_until, loop_time() + seconds)
            case LoggedOut():
                self.online = False
                self._is_login_refused = True
                self._ctx.login_requests.on_logged_out(error)
            case _:
                pass

    def set_online(self, online: bool) -> None:
        """Records that there is a login, or none any more."""
        self.online = online
        if online:
            self._is_login_refused = False

    def try_after_login_end(self) -> None:
        """Allows calls after polls were refused, until a call is refused as well."""
        self.online = not self._is_login_refused


async def _outcome_of(call: Awaitable[AnswerT], problem: str, subject: str) -> AnswerT | BackendError:
    try:
        return await call
    except BackendError as error:
        return error
    except Exception:  # a bug in the bridge: the request may have been written
        log.exception(problem, subject=subject)
        return OutcomeUnknown()


# The last digits of the keys. They count, since random ones would be equal for some of the commands that are
# accepted in the same millisecond, and WeChat drops the second message with a key.
_key_numbers = count(random.randrange(10_000))


def new_key() -> SendKey:
    """Returns the time in milliseconds and four digits, like the official client (webwx 2.12.1)."""
    return SendKey(f"{now_ms()}{next(_key_numbers) % 10_000:04d}")


# Message ids of the last sends; older ones are looked up in the journal.
SENT_CACHE_SIZE = 2000

# The time limit of a send is lower, so its message id or its failure is known by then.
ECHO_WAIT_SECONDS = 20.0

# The clocks of WeChat and of this machine may differ by this much.
CLOCK_TOLERANCE_MS = 600_000
# The same where nothing but the time tells a picture of the bridge from one of the phone.
MEDIA_CLOCK_TOLERANCE_MS = 30_000

# A send whose time is so long before that of another one has no echo any more.
ECHO_MEMORY_MS = 86_400_000


class EchoFilter:
    """The recent sends of one account.

    - The echo may come before the answer to the send (webwx 2.12.5): while a send of the same kind to the
      same chat is open, its answer is awaited.
    - If a send got no answer, an own message in the same chat, of the same kind and content and of about the
      same time, counts as its echo. The content of a text is the text, that of a file its size. WeChat
      changes pictures and videos, so that only their time is left: it must be closer.
    """

    def __init__(self) -> None:
        #: The message ids with which recent sends were answered.
        self.sent_ids: OrderedDict[str, None] = OrderedDict()
        #: By chat and kind, as the next one: for each open send the event that it has ended.
        self._open_attempts: dict[tuple[Handle, Kind], set[asyncio.Event]] = {}
        self._unanswered: dict[tuple[Handle, Kind], list[_UnansweredSend]] = {}
        #: Set when all unanswered attempts of the previous process were added with `add_unanswered`.
        self.recovered = asyncio.Event()

    @contextmanager
    def open_attempt(self, chat: Handle, kind: Kind) -> Iterator[None]:
        """Sends within the block, which adds the id or the unanswered send before its end."""
        finished = asyncio.Event()
        attempts = self._open_attempts.setdefault((chat, kind), set())
        attempts.add(finished)
        try:
            yield
        finally:
            attempts.discard(finished)
            if not attempts:
                del self._open_attempts[chat, kind]
            finished.set()

    def add_sent_id(self, message_id: str) -> None:
        """Records the id that WeChat gave to a message of the bridge."""
        self.sent_ids[message_id] = None
        while len(self.sent_ids) > SENT_CACHE_SIZE:
            self.sent_ids.popitem(last=False)

    def add_unanswered(
        self, chat: Handle, kind: Kind, text: str, since: int, until: int, *, size: int | None = None
    ) -> None:
        """Records a send between two times, in milliseconds, that got no message id; `size` of its file."""
        content = _echo_content(kind, text, size)
        tolerance = CLOCK_TOLERANCE_MS if content else MEDIA_CLOCK_TOLERANCE_MS
        times = range(since - tolerance, until + tolerance)
        sends = self._unanswered.setdefault((chat, kind), [])
        sends[:] = [send for send in sends if send.times.stop > since - ECHO_MEMORY_MS]
        sends.append(_UnansweredSend(content, times))

    async def wait_for_open_attempts(self, message: Message) -> None:
        """Waits for the answers of all open sends whose echo a message could be.

        These are the sends of its kind to its chat, whatever their text: WeChat may have changed it.
        """
        await self.recovered.wait()
        for finished in tuple(self._open_attempts.get((message.chat, message.kind), ())):
            try:
                async with asyncio.timeout(ECHO_WAIT_SECONDS):
                    await finished.wait()
            except TimeoutError:
                return

    def is_echo(self, message: Message) -> bool:
        """Returns whether the bridge has sent a message; an unanswered send accounts for one message only."""
        if message.id in self.sent_ids:
            return True
        size = None if message.media is None else message.media.size
        content = _echo_content(message.kind, message.text, size)
        unanswered = self._unanswered.get((message.chat, message.kind), [])
        for send in unanswered:
            can_compare = bool(send.content and content)
            if can_compare and send.content != content:
                continue
            if message.time in send.times:
                unanswered.remove(send)
                self.add_sent_id(message.id)  # WeChat may deliver it again
                return True
        return False


@frozen(kw_only=False)
class _UnansweredSend:
    """A send without an answer."""

    #: Empty where WeChat changes it.
    content: str
    #: When its echo may come, in milliseconds.
    times: range


def _echo_content(kind: Kind, text: str, size: int | None) -> str:
    """Returns what an echo has in common with the message that was sent; empty where that is nothing.

    A text is compared without what WeChat changes: line ends, and white space around it (webwx 3.3.5).
    """
    match kind:
        case Kind.TEXT:
            return text.replace("\r\n", "\n").strip()
        case Kind.FILE if size:
            return str(size)
        case _:
            return ""

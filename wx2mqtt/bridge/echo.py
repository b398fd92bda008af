"""Recognizes received messages that the bridge has sent itself, so that they are not published.

WeChat may deliver a message that the bridge has sent (an echo), even before it answers the send
(webwx 2.12.5). An echo is recognized by the message id in the answer; while a send of the same kind to the
same chat is open, that answer is awaited. If a send got no answer, an own message in the same chat, of the
same kind and text and of about the same time, counts as its echo. Only texts are compared: of other kinds
WeChat changes the text.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from wx2mqtt.model import Handle, Kind, Message

# Message ids of the last sends; older ones are looked up in the journal.
SENT_CACHE_SIZE = 2000

# The time limit of a send is lower, so its message id or its failure is known by then.
ECHO_WAIT_SECONDS = 20.0

# The clocks of WeChat and of this machine may differ by this much.
CLOCK_TOLERANCE_MS = 600_000

# The chat, the kind and the text of a message that was sent.
SentFingerprint = tuple[Handle, Kind, str]


class EchoFilter:
    """Knows the recent sends of one account: answered ones by message id, open ones, and unanswered ones."""

    def __init__(self) -> None:
        self._sent_ids: OrderedDict[str, None] = OrderedDict()
        self._open_attempts: dict[tuple[Handle, Kind], set[asyncio.Event]] = {}
        self._unanswered: dict[SentFingerprint, list[range]] = {}
        self._recovered = asyncio.Event()
        self._recovered.set()

    def require_recovery(self) -> None:
        """Lets `wait_for_open_attempts` wait until the attempts of the previous process are added."""
        self._recovered.clear()

    def mark_recovered(self) -> None:
        """Records that all unanswered attempts of the previous process were added with `add_unanswered`."""
        self._recovered.set()

    def mark_started(self, chat: Handle, kind: Kind) -> asyncio.Event:
        """Records that a send begins. Returns the event to pass to `mark_finished`."""
        finished = asyncio.Event()
        self._open_attempts.setdefault((chat, kind), set()).add(finished)
        return finished

    def mark_finished(self, chat: Handle, kind: Kind, finished: asyncio.Event, message_id: str) -> None:
        """Records that a send is over; `message_id` is empty if WeChat gave none."""
        events = self._open_attempts[chat, kind]
        events.discard(finished)
        if not events:
            del self._open_attempts[chat, kind]
        if message_id:
            self._add_sent_id(message_id)
        finished.set()

    def add_unanswered(self, chat: Handle, kind: Kind, text: str, since: int, until: int) -> None:
        """Records a send between two times, in milliseconds, that got no message id."""
        fingerprint = chat, kind, _comparable(text)
        self._unanswered.setdefault(fingerprint, []).append(
            range(since - CLOCK_TOLERANCE_MS, until + CLOCK_TOLERANCE_MS)
        )

    async def wait_for_open_attempts(self, message: Message) -> None:
        """Waits for the answers of all open sends whose echo a message could be.

        These are the sends of its kind to its chat, whatever their text: WeChat may have changed it.
        """
        await self._recovered.wait()
        for finished in tuple(self._open_attempts.get((message.chat, message.kind), ())):
            try:
                async with asyncio.timeout(ECHO_WAIT_SECONDS):
                    await finished.wait()
            except TimeoutError:
                return

    def is_answered(self, message_id: str) -> bool:
        """Returns whether a recent send was answered with this message id."""
        return message_id in self._sent_ids

    def is_echo(self, message: Message) -> bool:
        """Returns whether the bridge has sent a message; an unanswered send accounts for one message only."""
        if self.is_answered(message.id):
            return True
        text = message.text if message.kind is Kind.TEXT else ""
        attempts = self._unanswered.get((message.chat, message.kind, _comparable(text)), [])
        matching = next((attempt for attempt in attempts if message.time in attempt), None)
        if matching is None:
            return False
        attempts.remove(matching)
        self._add_sent_id(message.id)  # WeChat may deliver it again
        return True

    def _add_sent_id(self, message_id: str) -> None:
        self._sent_ids[message_id] = None
        while len(self._sent_ids) > SENT_CACHE_SIZE:
            self._sent_ids.popitem(last=False)


def _comparable(text: str) -> str:
    """Returns a text without what WeChat changes: line ends, and white space around it (webwx 3.3.5)."""
    return text.replace("\r\n", "\n").strip()

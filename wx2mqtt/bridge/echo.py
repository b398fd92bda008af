"""Telling what the bridge sent from what the owner wrote on the phone.

WeChat may hand back what we sent, even before it answers the send (webwx 2.12.5). Such an echo is never
published. It is known by the id that the send was answered with; while a send of that kind to that chat is
open we wait for that id; and where no id ever came, an own message of the same kind and text in the same
chat, written at about that time, is that send. What is not text comes back with words of WeChat's own: there
the kind must do.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from wx2mqtt.model import Handle, Kind, Message

SENT_CACHE_SIZE = 2000  # ids of the last sends; older ones are looked up in the journal
ECHO_WAIT_SECONDS = 20.0  # seconds; a send is cut before that, so its id or its failure is known by then
CLOCK_TOLERANCE_MS = 600_000  # milliseconds that WeChat's clock and ours may differ

SentFingerprint = tuple[Handle, Kind, str]
"""Where something went, as what, and its text."""


class EchoFilter:
    """What was sent lately, by id; what is being sent; what was never answered."""

    def __init__(self) -> None:
        self._sent_ids: OrderedDict[str, None] = OrderedDict()
        self._open_attempts: dict[tuple[Handle, Kind], set[asyncio.Event]] = {}
        self._unanswered: dict[SentFingerprint, list[range]] = {}
        self._recovered = asyncio.Event()
        self._recovered.set()

    def require_recovery(self) -> None:
        """No echo can be told before `recovered`: the attempts of the last life are not known yet."""
        self._recovered.clear()

    def mark_recovered(self) -> None:
        """All attempts of the last life that nobody answered have been told with `doubt`."""
        self._recovered.set()

    def mark_started(self, chat: Handle, kind: Kind) -> asyncio.Event:
        """An attempt is about to be written; the event must be given to `end`."""
        ended = asyncio.Event()
        self._open_attempts.setdefault((chat, kind), set()).add(ended)
        return ended

    def mark_finished(self, chat: Handle, kind: Kind, finished: asyncio.Event, message_id: str) -> None:
        """The attempt is over; `message_id` is empty where WeChat gave none."""
        events = self._open_attempts[chat, kind]
        events.discard(finished)
        if not events:
            del self._open_attempts[chat, kind]
        if message_id:
            self._remember(message_id)
        finished.set()

    def add_unanswered(self, chat: Handle, kind: Kind, text: str, since: int, until: int) -> None:
        """An attempt between these times, in milliseconds, got no id: its echo must be known by its looks."""
        sent = chat, kind, _comparable(text)
        self._unanswered.setdefault(sent, []).append(
            range(since - CLOCK_TOLERANCE_MS, until + CLOCK_TOLERANCE_MS)
        )

    async def wait_for_open_attempts(self, message: Message) -> None:
        """Wait until no open attempt could be this message. Its text says nothing: WeChat may change it."""
        await self._recovered.wait()
        for ended in tuple(self._open_attempts.get((message.chat, message.kind), ())):
            try:
                async with asyncio.timeout(ECHO_WAIT_SECONDS):
                    await ended.wait()
            except TimeoutError:
                return

    def is_echo(self, message: Message) -> bool:
        """Whether this own message is one that we sent; an unanswered attempt is used up by it."""
        if message.id in self._sent_ids:
            return True
        text = message.text if message.kind is Kind.TEXT else ""
        attempts = self._unanswered.get((message.chat, message.kind, _comparable(text)), [])
        fitting = next((attempt for attempt in attempts if message.time in attempt), None)
        if fitting is None:
            return False
        attempts.remove(fitting)
        self._remember(message.id)  # it may be handed over again
        return True

    def _remember(self, message_id: str) -> None:
        self._sent_ids[message_id] = None
        while len(self._sent_ids) > SENT_CACHE_SIZE:
            self._sent_ids.popitem(last=False)


def _comparable(text: str) -> str:
    """Line ends, and blanks around a text, do not survive their way through WeChat (webwx 3.3.5)."""
    return text.replace("\r\n", "\n").strip()

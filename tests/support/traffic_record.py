"""What went into a bridge, and a sentence for each broken promise (README, "What it promises"). Pure.

All texts must differ: `<chat>/<number>` from WeChat, anything from MQTT.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.support.subscriber import ReceivedMessage

Sent = Mapping[str, Any]
"""One line of `/sim/sent`."""


@dataclass(frozen=True, slots=True)
class RecordedCommand:
    """A command that the broker acknowledged to its publisher."""

    publisher: str
    user: str
    text: str


@dataclass
class TrafficRecord:
    """What was written and commanded; `base` is the base topic."""

    base: str = "wx"
    #: The texts of each chat in order, by topic level.
    written: dict[str, list[str]] = field(default_factory=dict)
    #: The commands by id, in order.
    commands: dict[str, RecordedCommand] = field(default_factory=dict)
    #: The topic level for WeChat's name of a chat.
    people: dict[str, str] = field(default_factory=dict)

    def missing(self, received: Sequence[ReceivedMessage]) -> int:
        """Returns how many messages and results have not been published yet."""
        written = {text for texts in self.written.values() for text in texts}
        published = {message.body["text"] for message in self._on(received, "in/")}
        answered = {message.body["id"] for message in self._on(received, "result/")}
        return len(written - published) + len(self.commands.keys() - answered)

    def problems(self, received: Sequence[ReceivedMessage], sent: Sequence[Sent]) -> list[str]:
        """Returns all broken promises."""
        return [*self.wrong_messages(received), *self.wrong_commands(received, sent)]

    # WeChat to MQTT

    def wrong_messages(self, received: Sequence[ReceivedMessage]) -> Iterator[str]:
        """Yields messages that are lost, out of order in their chat, or repeated with another id or seq."""
        firsts: dict[int, ReceivedMessage] = {}
        for message in self._on(received, "in/"):
            first = firsts.setdefault(message.body["seq"], message)
            if (first.topic, first.payload) != (message.topic, message.payload):
                yield f"seq {message.body['seq']} was published again as something else"
        yield from self._gaps(firsts)
        yield from _repeated("id", (message.body["id"] for message in firsts.values()))
        by_chat: dict[str, list[ReceivedMessage]] = {level: [] for level in self.written}
        for message in firsts.values():
            by_chat.setdefault(self._level(message, "in/"), []).append(message)
        for level, messages in by_chat.items():
            yield from self._wrong_chat(level, messages)

    def _wrong_chat(self, level: str, messages: Sequence[ReceivedMessage]) -> Iterator[str]:
        written = self.written.get(level, [])
        texts = [message.body["text"] for message in messages]
        yield from _difference(f"chat {level}", written, texts)
        seqs = [message.body["seq"] for message in messages]
        if seqs != sorted(seqs):
            yield f"chat {level}: seq does not rise in the order of first publications"

    def _gaps(self, firsts: Mapping[int, ReceivedMessage]) -> Iterator[str]:
        wanted = set(range(1, max(firsts, default=0) + 1))
        if wanted != firsts.keys():
            yield f"seq has gaps: {sorted(wanted - firsts.keys())[:10]}"

    # MQTT to WeChat

    def wrong_commands(self, received: Sequence[ReceivedMessage], sent: Sequence[Sent]) -> Iterator[str]:
        """Yields commands without one result, sent twice without saying so, or out of order."""
        results: dict[str, dict[str, Any]] = {}
        for message in self._on(received, "result/"):
            first = results.setdefault(message.body["id"], message.body)
            if first != message.body:
                yield f"command {message.body['id']} has two results: {first} and {message.body}"
        for command_id in self.commands.keys() - results.keys():
            yield f"command {command_id} has no result"
        delivered = Counter(line["text"] for line in sent if line["delivered"])
        for command_id, command in self.commands.items():
            if command_id in results:
                yield from _wrong_delivery(command_id, results[command_id], delivered[command.text])
        yield from self._unexpected(sent)
        yield from self._wrong_order(sent)

    def _unexpected(self, sent: Sequence[Sent]) -> Iterator[str]:
        known = {command.text for command in self.commands.values()}
        for line in sent:
            if line["text"] not in known:
                yield f"WeChat got a text of no command: {line['text']!r}"

    def _wrong_order(self, sent: Sequence[Sent]) -> Iterator[str]:
        """One publisher's commands to one person arrive in the order in which they were published."""
        position: dict[str, int] = {}
        for line in sent:
            if line["delivered"]:
                position.setdefault(line["text"], line["n"])
        by_route: dict[tuple[str, str], list[str]] = {}
        for command in self.commands.values():
            by_route.setdefault((command.publisher, command.user), []).append(command.text)
        for route, texts in by_route.items():
            arrived = [text for text in texts if text in position]
            late = [text for text, other in pairwise(arrived) if position[text] > position[other]]
            if late:
                yield f"commands of {route}: arrived after what was commanded later: {late[:5]}"

    def _on(self, received: Iterable[ReceivedMessage], below: str) -> Iterator[ReceivedMessage]:
        start = f"{self.base}/{below}"
        return (message for message in received if message.topic.startswith(start))

    def _level(self, message: ReceivedMessage, below: str) -> str:
        return message.topic.removeprefix(f"{self.base}/{below}")


def repeats(received: Iterable[ReceivedMessage], base: str = "wx") -> int:
    """Returns how many messages were published again."""
    seqs = [message.body["seq"] for message in received if message.topic.startswith(f"{base}/in/")]
    return len(seqs) - len(set(seqs))


def _wrong_delivery(command_id: str, result: Mapping[str, Any], times: int) -> Iterator[str]:
    honest = result["duplicate_possible"] or result["status"] == "uncertain"
    if result["status"] == "sent" and times == 0:
        yield f"command {command_id} says sent and did not arrive"
    if result["status"] not in ("sent", "uncertain") and times:
        yield f"command {command_id} says {json.dumps(result)} and did arrive"
    if times > 2:
        yield f"command {command_id} arrived {times} times; an unanswered attempt is repeated once"
    if times > 1 and not honest:
        yield f"command {command_id} arrived {times} times and does not say so"


def _difference(what: str, wanted: Sequence[str], found: Sequence[str]) -> Iterator[str]:
    lost = [text for text in wanted if text not in set(found)]
    unexpected = [text for text in found if text not in set(wanted)]
    if lost:
        yield f"{what}: {len(lost)} never published, such as {lost[:5]}"
    if unexpected:
        yield f"{what}: {len(unexpected)} that nobody wrote, such as {unexpected[:5]}"
    yield from _repeated(what, found)
    if not lost and not unexpected and list(wanted) != list(dict.fromkeys(found)):
        yield f"{what}: first published out of order"


def _repeated(what: str, values: Iterable[str]) -> Iterator[str]:
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        yield f"{what}: under two numbers, such as {twice[:5]}"

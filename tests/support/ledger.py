"""Each broken promise (README, "What it promises") as a sentence, from what went in and came out. Pure.

Texts must be unlike each other: `<chat>/<number>` from WeChat, anything from MQTT.
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
class Asked:
    """A command that the broker acknowledged to its publisher."""

    publisher: str
    user: str
    text: str


@dataclass
class Ledger:
    """`said` are the texts of each chat in order, by topic level; `asked` the commands by id, in order.

    `base` is the base topic. `people` gives the topic level for WeChat's name of a chat.
    """

    base: str = "wx"
    said: dict[str, list[str]] = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)
    people: dict[str, str] = field(default_factory=dict)

    def missing(self, received: Sequence[ReceivedMessage]) -> int:
        """How much has not come out yet, either way."""
        said = {text for texts in self.said.values() for text in texts}
        published = {one.body["text"] for one in self._on(received, "in/")}
        answered = {one.body["id"] for one in self._on(received, "result/")}
        return len(said - published) + len(self.asked.keys() - answered)

    def problems(self, received: Sequence[ReceivedMessage], sent: Sequence[Sent]) -> list[str]:
        """Everything that is wrong."""
        return [*self.wrong_messages(received), *self.wrong_commands(received, sent)]

    # WeChat to MQTT

    def wrong_messages(self, received: Sequence[ReceivedMessage]) -> Iterator[str]:
        """Yields messages that are lost, out of order in their chat, or repeated with another id or seq."""
        firsts: dict[int, ReceivedMessage] = {}
        for one in self._on(received, "in/"):
            first = firsts.setdefault(one.body["seq"], one)
            if (first.topic, first.payload) != (one.topic, one.payload):
                yield f"seq {one.body['seq']} was published again as something else"
        yield from self._gaps(firsts)
        yield from _repeated("id", (one.body["id"] for one in firsts.values()))
        by_chat: dict[str, list[ReceivedMessage]] = {level: [] for level in self.said}
        for one in firsts.values():
            by_chat.setdefault(self._level(one, "in/"), []).append(one)
        for level, ones in by_chat.items():
            yield from self._wrong_chat(level, ones)

    def _wrong_chat(self, level: str, ones: Sequence[ReceivedMessage]) -> Iterator[str]:
        said = self.said.get(level, [])
        texts = [one.body["text"] for one in ones]
        yield from _unlike(f"chat {level}", said, texts)
        seqs = [one.body["seq"] for one in ones]
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
        for one in self._on(received, "result/"):
            first = results.setdefault(one.body["id"], one.body)
            if first != one.body:
                yield f"command {one.body['id']} has two results: {first} and {one.body}"
        for command_id in self.asked.keys() - results.keys():
            yield f"command {command_id} has no result"
        delivered = Counter(line["text"] for line in sent if line["delivered"])
        for command_id, asked in self.asked.items():
            if command_id in results:
                yield from _wrong_delivery(command_id, results[command_id], delivered[asked.text])
        yield from self._strange(sent)
        yield from self._disorder(sent)

    def _strange(self, sent: Sequence[Sent]) -> Iterator[str]:
        known = {asked.text for asked in self.asked.values()}
        for line in sent:
            if line["text"] not in known:
                yield f"WeChat got what nobody asked for: {line['text']!r}"

    def _disorder(self, sent: Sequence[Sent]) -> Iterator[str]:
        """One publisher's commands to one person arrive in the order in which they were published."""
        place: dict[str, int] = {}
        for line in sent:
            if line["delivered"]:
                place.setdefault(line["text"], line["n"])
        lanes: dict[tuple[str, str], list[str]] = {}
        for asked in self.asked.values():
            lanes.setdefault((asked.publisher, asked.user), []).append(asked.text)
        for lane, texts in lanes.items():
            arrived = [text for text in texts if text in place]
            late = [one for one, other in pairwise(arrived) if place[one] > place[other]]
            if late:
                yield f"commands of {lane}: arrived after what was commanded later: {late[:5]}"

    def _on(self, received: Iterable[ReceivedMessage], below: str) -> Iterator[ReceivedMessage]:
        start = f"{self.base}/{below}"
        return (one for one in received if one.topic.startswith(start))

    def _level(self, one: ReceivedMessage, below: str) -> str:
        return one.topic.removeprefix(f"{self.base}/{below}")


def repeats(received: Iterable[ReceivedMessage], base: str = "wx") -> int:
    """How many messages were published that had been before."""
    seqs = [one.body["seq"] for one in received if one.topic.startswith(f"{base}/in/")]
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


def _unlike(what: str, wanted: Sequence[str], found: Sequence[str]) -> Iterator[str]:
    lost = [text for text in wanted if text not in set(found)]
    strange = [text for text in found if text not in set(wanted)]
    if lost:
        yield f"{what}: {len(lost)} never published, such as {lost[:5]}"
    if strange:
        yield f"{what}: {len(strange)} that nobody said, such as {strange[:5]}"
    yield from _repeated(what, found)
    if not lost and not strange and list(wanted) != list(dict.fromkeys(found)):
        yield f"{what}: first published out of order"


def _repeated(what: str, values: Iterable[str]) -> Iterator[str]:
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        yield f"{what}: under two numbers, such as {twice[:5]}"

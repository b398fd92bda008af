"""Records the messages and commands of a soak, their arrival, and how long it took."""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable

_MESSAGE = re.compile(r"\bm(\d+)\b")
_COMMAND = re.compile(r"\bc(\d+)\b")
_PROBE_TOPIC = "soak"
# The first account has no level of its own.
_TOPIC = re.compile(r"wx/(?:(bot|wecom\d+)/)?(.*)")


async def poll_until(condition: Callable[[], bool], seconds: float) -> None:
    """Waits for what another thread changes; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - an event could not be set in another thread
            await asyncio.sleep(0.1)


class TrafficRecord:
    """The text of each message and command contains its number. Methods may be called in any thread."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._messages: dict[int, tuple[str, float]] = {}
        self._commands: dict[int, float] = {}
        self._results: set[int] = set()
        self._sessions: dict[str, str] = {}
        self._latencies: dict[str, list[float]] = {"message": [], "command": [], "machine": []}

    def new_message(self, account: str) -> str:
        """Returns the text of a message that is written now."""
        with self._lock:
            self.counts["messages"] += 1
            number = self.counts["messages"]
            self._messages[number] = (account, time.monotonic())
        return f"m{number} 你好"

    def new_command(self) -> tuple[str, str]:
        """Returns the id and the text of a command that is published now."""
        with self._lock:
            self.counts["commands"] += 1
            number = self.counts["commands"]
            self._commands[number] = time.monotonic()
            self._results.add(number)
        return f"soak-{number}", f"c{number} 开灯"

    def drop_message(self, text: str) -> None:
        """Drops a message that could not be written."""
        with self._lock:
            for number in map(int, _MESSAGE.findall(text)):
                self._messages.pop(number, None)

    def record_lost_login(self, account: str) -> None:
        """Drops the messages that may never come, since WeChat had not delivered them to the lost login (webwx 2.11.10)."""
        with self._lock:
            lost = [number for number, (owner, _) in self._messages.items() if owner == account]
            for number in lost:
                del self._messages[number]
            self.counts["in doubt at a logout"] += len(lost)
            self.counts["logins lost"] += 1

    def probe_payload(self) -> str:
        """Returns the payload that a client publishes to itself on `soak`."""
        return repr(time.monotonic())

    def received(self, topic: str, payload: bytes) -> None:
        """Records a publication."""
        now = time.monotonic()
        with self._lock:
            if topic == _PROBE_TOPIC:
                self._latencies["machine"].append(now - float(payload))
                return
            found = _TOPIC.fullmatch(topic)
            if found is None:
                return
            match found[2].split("/"):
                case ["in", _]:
                    self._message_arrived(json.loads(payload), now)
                case ["result", _]:
                    self._result_arrived(json.loads(payload))
                case ["login", "state"]:
                    self._login_changed(found[1] or "home", json.loads(payload))
                case ["event", "media"]:
                    self.counts[f"media {json.loads(payload)['state']}"] += 1
                case ["bridge", "response", _]:
                    self.counts[f"responses {json.loads(payload)['status']}"] += 1
                case _:
                    return

    def _login_changed(self, account: str, body: dict[str, str]) -> None:
        self._sessions[account] = body["since"] if body["state"] == "online" else ""

    def _message_arrived(self, body: dict[str, str], now: float) -> None:
        self.counts["messages published"] += 1
        for number in map(int, _MESSAGE.findall(body["text"])):
            written = self._messages.pop(number, None)
            if written is not None:
                self._latencies["message"].append(now - written[1])

    def _result_arrived(self, body: dict[str, str]) -> None:
        if body["status"] == "held" or not body["id"].startswith("soak-"):
            return
        self.counts[f"results {body['status']}"] += 1
        self._results.discard(int(body["id"].removeprefix("soak-")))

    def sent(self, text: str) -> None:
        """Records a text that WeChat received."""
        now = time.monotonic()
        with self._lock:
            self.counts["received by WeChat"] += 1
            for number in map(int, _COMMAND.findall(text)):
                published_at = self._commands.pop(number, None)
                if published_at is not None:
                    self._latencies["command"].append(now - published_at)

    def session(self, account: str) -> str:
        """Returns since when the account is online, which is another time for each login; empty if it is not."""
        with self._lock:
            return self._sessions.get(account, "")

    def take_latency(self, kind: str) -> float | None:
        """Returns the lower quartile since the last call, in milliseconds; None if nothing came."""
        with self._lock:
            seconds, self._latencies[kind] = self._latencies[kind], []
        if len(seconds) < 2:
            return seconds[0] * 1000 if seconds else None
        return statistics.quantiles(seconds, n=4, method="inclusive")[0] * 1000

    @property
    def missing(self) -> dict[str, int]:
        """How many messages have not been published, and how many commands have no result."""
        with self._lock:
            return {"messages": len(self._messages), "results": len(self._results)}

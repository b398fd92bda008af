"""Drivers of the limits of what is sent, fetched, opened and logged: see `test_limits.py`.

Each gets a value of the limit and a folder, and returns whether that much is still within the limit.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from structlog.testing import capture_logs

from tests.support.fake_broker import FakeBroker
from tests.unit.bridge.commands.test_waiting_commands import SimulatedJournal
from tests.unit.bridge.commands.test_waiting_commands import row as command_row
from tests.unit.bridge.commands_harness import CAPABILITIES
from tests.unit.bridge.contexts import context
from tests.unit.bridge.validation_harness import ValidationHarness
from tests.unit.mqtt.test_packet_reader import PacketReaderHarness
from tests.unit.mqtt.test_reconnect import ended
from wx2mqtt.app import redaction
from wx2mqtt.app.operations import AccountOperations
from wx2mqtt.bridge.attachment_checks import _check_size
from wx2mqtt.bridge.commands.outcomes import CommandOutcomes, FailureLog
from wx2mqtt.bridge.commands.waiting_commands import WaitingCommands
from wx2mqtt.bridge.inflight import InflightWindow, RetainedPublisher
from wx2mqtt.bridge.journal_lookups import StoredQuotes
from wx2mqtt.bridge.outbox_rows import Coverage, OutboxReader
from wx2mqtt.bridge.people.directory import MAX_DIRECTORY_BYTES, DirectoryEntry, directory_payload
from wx2mqtt.bridge.retained_commands import RetainedCommands
from wx2mqtt.errors import BadCommand
from wx2mqtt.external.local_files import open_file
from wx2mqtt.external.url_fetch import UrlFetcher
from wx2mqtt.model import ChatKind, Handle, Kind, Message, Result, Status
from wx2mqtt.mqtt import packets
from wx2mqtt.mqtt.broker import Delivery, Publication
from wx2mqtt.mqtt.connection_errors import reason_text
from wx2mqtt.mqtt.options import parse_broker_url, parse_server_references
from wx2mqtt.mqtt.reconnect import EndReason, ReconnectPolicy
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store import mapped_files
from wx2mqtt.wechat.ilink.protocol import endpoints as ilink_endpoints
from wx2mqtt.wechat.webwx.protocol import endpoints as webwx_endpoints

Driver = Callable[[Any, Path], bool]


def _run(scenario: Coroutine[Any, Any, bool]) -> bool:
    return asyncio.run(scenario)


async def _nothing() -> None:
    """Closes nothing."""


# The broker and what is sent


def unacknowledged(count: int, _: Path) -> bool:
    broker = FakeBroker()
    broker.connect(receive_maximum=65_535)
    window = InflightWindow(broker)
    for number in range(count - 1):
        window.publish(Publication(topic=f"t/{number}", payload=b""), lambda _error: None)
    return window.free_slots > 0


def rows_in_memory(count: int, _: Path) -> bool:
    async def scenario() -> bool:
        journal: Any = None
        reader = OutboxReader(journal, {})
        reader._coverage = Coverage.CAUGHT_UP
        rows = [SimpleNamespace(topic="a") for _ in range(count)]
        batch: Any = SimpleNamespace(rows=rows, after_id=0, last_id=count)
        reader.add(batch)
        return len(reader.rows) == count

    return _run(scenario())


def _queues(counts: Iterable[int], *, by_priority: bool = False) -> WaitingCommands:
    """Loads so many commands for each of some users from the journal."""

    async def scenario() -> WaitingCommands:
        journal = SimulatedJournal()
        for user, count in enumerate(counts):
            for _ in range(count):
                number = len(journal.rows) + 1
                journal.rows[number] = command_row(number, f"user{user}")
        resolver: Any = SimpleNamespace(chat_key=lambda row: row.command.user)
        loaded = WaitingCommands(resolver)
        loaded.by_priority = by_priority
        await loaded.load(journal.list_due)
        return loaded

    return asyncio.run(scenario())


def commands_of_chat(count: int, _: Path) -> bool:
    return _queues([count]).count == count


def commands_in_memory(count: int, _: Path) -> bool:
    return _queues([1] * count).count == count


def commands_by_priority(count: int, _: Path) -> bool:
    return _queues([count], by_priority=True).count == count


def _fits(size: int, kind: Kind, limits: Any) -> bool:
    try:
        _check_size(size, kind, limits)
    except BadCommand as bad:
        assert bad.code == "too_large"
        return False
    return True


def picture_or_video(size: int, _: Path) -> bool:
    (fits,) = {_fits(size, kind, webwx_endpoints.CAPABILITIES.media) for kind in (Kind.IMAGE, Kind.VIDEO)}
    return fits


def text_parts(count: int, _: Path) -> bool:
    """The text has no blank, at which it could be split earlier."""
    capabilities = replace(CAPABILITIES, part_limit=20, text_limit=10**9)
    result = ValidationHarness(capabilities=capabilities).new("x" * 20 * count).result
    assert result is None or result.code == "too_long"
    return result is None


def directory_size(size: int, _: Path) -> bool:
    """The name of the person fills the payload."""
    fields: dict[str, Any] = {
        "user": "wife", "kind": ChatKind.FRIEND, "remark": "", "nickname": "", "matched_by": "remark",
        "trusted": True, "removed": False, "closed": False,
    }  # fmt: skip
    empty = len(directory_payload([DirectoryEntry(name="", **fields)], named=(), count=1, max_bytes=10**6))
    whole = DirectoryEntry(name="x" * (size - empty), **fields)
    payload = directory_payload([whole], count=1, named=(), max_bytes=MAX_DIRECTORY_BYTES)
    return b'"complete":true' in payload and len(payload) == size


def stored_quote(size: int, _: Path) -> bool:
    async def scenario() -> bool:
        quotes = StoredQuotes(None, None)  # type: ignore[arg-type]
        quoted = SimpleNamespace(text="x" * size, kind=Kind.TEXT, author=dict)
        message = Message(
            key="1", id="1", chat=Handle("@a"), chat_kind=ChatKind.FRIEND, sender=Handle("@a"), kind=Kind.QUOTE,
            text="", time=0, detail={"id": "2"},
        )  # fmt: skip

        async def find(*_: object) -> Any:
            return quoted

        quotes.lookup = find  # type: ignore[method-assign, assignment]
        return len(str((await quotes.with_stored_quote(message)).detail["text"])) == size

    return _run(scenario())


# What is fetched and opened


def redirects(count: int, _: Path) -> bool:
    async def scenario() -> bool:
        fetcher = UrlFetcher()
        answers = [httpx.Response(302, headers={"Location": "http://a/b"}) for _ in range(count)]
        last = httpx.Response(200)
        queue = deque([*answers, last])

        async def request(*_: object) -> httpx.Response:
            return queue.popleft()

        fetcher._request = request  # type: ignore[method-assign, assignment]
        try:
            answer = await fetcher._follow_redirects("http://a/", ())
        except BadCommand as bad:
            assert bad.code == "fetch_failed"
            return False
        return answer is last

    return _run(scenario())


def path_size(size: int, folder: Path) -> bool:
    """The path leads to a file that exists: a missing one is another refusal."""
    (folder / "a").write_text("a")
    start, end = f"{folder}/", "a"
    rest = size - len(start) - len(end)
    path = f"{start}{'./' * (rest // 2)}{'/' * (rest % 2)}{end}"
    assert len(path) == size
    try:
        os.close(open_file(path, (folder,)))
    except BadCommand as bad:
        assert "too long" in str(bad.facts["problem"])
        return False
    return True


# MQTT


def packet_properties(count: int, _: Path) -> bool:
    properties = b"\x01\x01" * (count - 1) + b"\x03\x00\x01t"  # payload format indicators, a content type
    body = b"\x00\x01t" + packets.pack_varint(len(properties)) + properties
    return packets.read_publish(0x30, body, v5=True).content_type == "t"


def control_packet(size: int, _: Path) -> bool:
    harness = PacketReaderHarness()
    harness.receive(b"\x20\x03\x00\x00\x00")
    body = b"\x00\x01\x00" + b"\x01" * (size - 3)
    harness.receive(b"\x90" + packets.pack_varint(size) + body)
    return "on_suback" in harness.names


def server_references(count: int, _: Path) -> bool:
    at = parse_broker_url("mqtt://a")
    references = parse_server_references(" ".join(f"s{number}" for number in range(count)), at)
    return len(references) == count


def servers_in_a_row(count: int, _: Path) -> bool:
    policy = ReconnectPolicy(addresses=(parse_broker_url("mqtt://a"),))
    for number in range(count):
        reference = parse_broker_url(f"mqtt://s{number}")
        policy, _delay = policy.after(ended(EndReason.MOVED, references=(reference,)), 0.0, 0.5)
    return policy.current_address.host == f"s{count - 1}"


# The command line and the log


def listed_commands(count: int, _: Path) -> bool:
    async def scenario() -> bool:
        async def list_unsent(limit: int) -> list[Any]:
            return [command_row(number) for number in range(count)][:limit]

        async def nothing(*_arguments: object, **_more: object) -> list[Any]:
            return []

        commands = SimpleNamespace(list_newest=nothing, list_unsent=list_unsent)
        journal = SimpleNamespace(commands=commands, outbox=SimpleNamespace(list_rejected=nothing))
        ctx = SimpleNamespace(journal=journal, registry=None)
        account: Any = SimpleNamespace(ctx=ctx, components=None)
        listed: Any = await AccountOperations(account).run("journal.list", {})
        return len(listed["commands"]) == count

    return _run(scenario())


def failing_users(count: int, _: Path) -> bool:
    async def scenario() -> bool:
        async def list_failing_users(*_arguments: object) -> list[Any]:
            return []

        journal = SimpleNamespace(commands=SimpleNamespace(list_failing_users=list_failing_users))
        outcomes = CommandOutcomes(context(journal=journal))
        for number in range(count):
            outcomes.record("text", _expired(f"{number}"))
        outcomes.close()
        return len(await outcomes.failing_users()) == count

    return _run(scenario())


def cleared_topics(count: int, _: Path) -> bool:
    async def scenario() -> bool:
        broker = FakeBroker(acknowledges_at_once=True)
        connection = broker.connect(protocol="3.1.1", receive_maximum=65_535)
        ctx: Any = SimpleNamespace(broker=broker, topics=Topics("wx"))
        inflight = InflightWindow(broker)
        commands = RetainedCommands(ctx, inflight, RetainedPublisher(inflight, ctx.topics.state))
        commands.on_connected(connection)
        first = Delivery(topic="t/0", payload=b"x", mid=1, dup=False, retain=True, connection_number=1)
        for number in range(count):
            await commands.judge(replace(first, topic=f"t/{number}"))
        return commands.is_own_clear(replace(first, payload=b""))

    return _run(scenario())


def lines_about_commands(count: int, _: Path) -> bool:
    async def scenario() -> bool:
        log = FailureLog("home")
        with capture_logs() as lines:
            for number in range(count):
                log.write(_expired(f"{number}"))
            log.end_period()
        return len([line for line in lines if "id" in line]) == count

    return _run(scenario())


def _expired(user: str) -> Result:
    return Result(id=f"to-{user}", user=user, status=Status.EXPIRED, code="expired", time=0)


def depth_of_logged_value(depth: int, _: Path) -> bool:
    value: Any = "x"
    for _level in range(depth - 1):
        value = [value]
    return "x" in str(redaction.redact_value("key", value, message_text=True))


def fatal_messages(count: int, folder: Path) -> bool:
    """Each message is being processed when three processes in a row are killed."""
    path = folder / "marks"
    for number in range(count):
        for _process in range(mapped_files.MAX_KILLS):
            marks = mapped_files.ProcessingMarks(path)
            marks._write_mark(mapped_files._mark_of(f"m{number}"), marks._kills if _process else 0)
    return mapped_files.ProcessingMarks(path).is_fatal("m0")


TRAFFIC_DRIVERS: dict[str, Driver] = {
    "publishes that wait for the broker's acknowledgement": unacknowledged,
    "publishes in memory that are due": rows_in_memory,
    "commands for one chat in memory": commands_of_chat,
    "commands in memory": commands_in_memory,
    "commands in memory (iLink, where the most important goes first)": commands_by_priority,
    "a picture or a video that goes out (web WeChat)": picture_or_video,
    "a file that goes out (iLink)": lambda size, _: _fits(
        size, Kind.FILE, ilink_endpoints.CAPABILITIES.media
    ),
    "messages for one long text": text_parts,
    "the directory on `contacts`": directory_size,
    "the text of a quoted message (web WeChat)": stored_quote,
    "the last messages that died three times with the process": fatal_messages,
    "redirects of a `url`": redirects,
    "`path` of a command, as the system opens it": path_size,
    "a packet of the broker without message": control_packet,
    "properties of an MQTT 5 packet": packet_properties,
    "other servers that a broker names": server_references,
    "such servers that are followed in a row": servers_in_a_row,
    "the reason that a broker states": lambda size, _: (
        f"({'x' * size})" in reason_text("en", 0x87, "x" * size)
    ),
    "each list of `wx2mqtt journal list`": listed_commands,
    "users in health who got nothing": failing_users,
    "cleared topics in memory (MQTT 3.1.1)": cleared_topics,
    "commands that were not sent, in the log of a minute": lines_about_commands,
    "a text in a line of the log": lambda size, _: "…" not in redaction._truncate("x" * size),
    "a traceback in the log": lambda size, _: redaction.clean_traceback(
        ("b\n" + "a line of some words and more, as they are in tracebacks\n" * size)[:size]
    ).startswith("b"),
    "lines of a traceback in the log": lambda count, _: (
        len(redaction.clean_traceback("\n".join("x" * count)).splitlines()) == count
    ),
    "depth of a value in the log": depth_of_logged_value,
}

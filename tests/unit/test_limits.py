"""Every limit holds: at its value all is well, one beyond what the table says happens; docs show the table of today."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from tests.docs.limit_rows import Limit
from tests.docs.limit_table import LIMITS
from tests.docs.limit_texts import LIMIT_TEXTS
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.unit.bridge.commands_harness import running
from tests.unit.bridge.contexts import FakeQuota, shared
from tests.unit.bridge.rows import row_of
from tests.unit.mqtt.test_packet_reader import PacketReaderHarness
from tests.unit.traffic_limits import TRAFFIC_DRIVERS
from tests.unit.web_limits import WEB_DRIVERS
from tests.unit.wechat_limits import WECHAT_DRIVERS
from tests.unit.wecom_limits import WECOM_DRIVERS
from wx2mqtt.app import control_socket
from wx2mqtt.bounded_json import JsonBounds, JsonOutOfBounds, read_float
from wx2mqtt.bridge.attachment_checks import check_filename
from wx2mqtt.bridge.commands import file_preparation
from wx2mqtt.bridge.commands.fallback_alerts import summary_lines
from wx2mqtt.bridge.commands.fallback_queue import AlertQueue
from wx2mqtt.bridge.media.media_request import _require_fitting
from wx2mqtt.bridge.requests.account_requests import QuestionsRequest
from wx2mqtt.bridge.requests.history_request import HistoryRequest
from wx2mqtt.errors import BadBackup, BadCommand, Wx2MqttError
from wx2mqtt.external.url_fetch import MinimumRate, UrlFetcher
from wx2mqtt.i18n.bridge import rejection_text
from wx2mqtt.limits import (
    ALERTS_JSON,
    BACKUP_HEAD_JSON,
    COMMAND_JSON,
    CONTROL_ANSWER_JSON,
    CONTROL_REQUEST_JSON,
    MAX_HISTORY_ANSWER_BYTES,
    PEOPLE_FILE_JSON,
    REQUEST_JSON,
    ROBOT_JSON,
    SAVED_LOGIN_JSON,
    STORED_JSON,
    WECHAT_JSON,
)
from wx2mqtt.model import Blob, Json, PersonId
from wx2mqtt.mqtt import commands
from wx2mqtt.mqtt.broker import ProtocolVersion
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.payloads import encode, last_body, plain_text
from wx2mqtt.mqtt.sockets import READ_CHUNK_BYTES
from wx2mqtt.names import composed
from wx2mqtt.settings.loader import UnreadableError, read_text
from wx2mqtt.settings.yaml_tree import parse
from wx2mqtt.store.backup_archive import _BoundedReader, _CountedReader, read_archive
from wx2mqtt.store.people_file import _read as read_people_file
from wx2mqtt.store.question_records import AskedQuestion
from wx2mqtt.store.saved_logins import SavedLoginFile
from wx2mqtt.store.snapshots import _is_within_bounds
from wx2mqtt.web.senders.interface import json_object
from wx2mqtt.wechat.json_reader import UnreadableJson, parse_json
from wx2mqtt.wechat.webwx.protocol.markup import parse_plain_xml

Driver = Callable[[Any, Path], bool]
"""Gets a value of the limit and a folder; returns whether it is still within."""


def refuses(work: Callable[[], object], *errors: type[Exception]) -> bool:
    """Returns whether the work ends with one of these errors."""
    try:
        work()
    except errors:
        return True
    return False


# --- JSON ---


def text_of(bounds: JsonBounds, part: str, value: int, head: str) -> bytes:
    """Returns a JSON object that begins with `head` and has so many bytes, levels or values.

    Every entry of `head` and `x` itself count as one.
    """
    begin = "{" + head + ('"x": ' if head.endswith(", ") or not head else ', "x": ')
    if part == "depth":
        return f"{begin}{'[' * (value - 1)}{']' * (value - 1)}}}".encode()
    if part == "values":
        used = begin.count(",") + begin.count("{") + begin.count("[") + 1
        return f"{begin}[{','.join('1' * (value - used + 1))}]}}".encode()
    return f'{begin}"{"a" * (value - len(begin) - 3)}"}}'.encode()


def json_driver(
    bounds: JsonBounds, part: str, accepts: Callable[[bytes, Path], bool], head: str = ""
) -> Driver:
    return lambda value, folder: accepts(text_of(bounds, part, value, head), folder)


def accepts_command(text: bytes, _: Path) -> bool:
    """Returns whether the text was parsed: only then its unknown key is refused."""
    try:
        commands.read_command("wife", text, "application/json")
    except BadCommand as bad:
        return bad.message_key == "unknown_key"
    return True


def accepts_request(text: bytes, _: Path) -> bool:
    return not refuses(lambda: commands.read_request(text), BadCommand)


def accepts_control_request(text: bytes, _: Path) -> bool:
    async def done(_name: str, _fields: object) -> Json:
        return "done"

    return "done" in str(asyncio.run(control_socket._answer(text, done)))


def accepts_control_answer(text: bytes, folder: Path) -> bool:
    """Returns whether a command reads this line as the answer of a bridge."""

    async def ask() -> None:
        reader = SimpleNamespace(readline=None)

        async def readline() -> bytes:
            return text

        async def connect(*_: object, **__: object) -> Any:
            return reader, SimpleNamespace(write=lambda _: None, close=lambda: None)

        reader.readline = readline
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "open_unix_connection", connect)
            await control_socket.ask_bridge(folder, "health")

    return not refuses(lambda: asyncio.run(ask()), Wx2MqttError)


def accepts_answer_of_wechat(text: bytes, _: Path) -> bool:
    return not refuses(lambda: parse_json(text), UnreadableJson)


def accepts_backup_head(text: bytes, folder: Path) -> bool:
    """Returns whether the head was parsed: only then its unknown key is refused."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo("backup.json")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    try:
        read_archive(io.BytesIO(out.getvalue()), folder, lambda _: None)
    except BadBackup as bad:
        return (
            not isinstance(bad.__cause__, JsonOutOfBounds)
            and "program" not in repr(bad.__cause__)
            and bad.key != "backup_none"
        )
    return True


def accepts_for_robot(text: bytes, _: Path) -> bool:
    return not refuses(lambda: json_object(text, ROBOT_JSON), BadCommand)


def accepts_alerts(text: bytes, _: Path) -> bool:
    return not refuses(lambda: json_object(text, ALERTS_JSON), BadCommand)


def accepts_saved_login(text: bytes, folder: Path) -> bool:
    file = folder / "home.json"
    file.write_bytes(text)
    return asyncio.run(SavedLoginFile(file).load()) is not None


def accepts_people_file(text: bytes, folder: Path) -> bool:
    file = folder / "people.json"
    file.write_bytes(text)
    read_people_file(file)
    return file.exists()  # else it was set aside


def accepts_row(text: bytes, _: Path) -> bool:
    return _is_within_bounds(text) and _is_within_bounds(text.decode())


JSON_KINDS: dict[str, tuple[JsonBounds, Callable[[bytes, Path], bool], str]] = {
    "a command in JSON": (COMMAND_JSON, accepts_command, '"text": "x"'),
    "a request": (REQUEST_JSON, accepts_request, ""),
    "a message to the imitated WeCom robot": (ROBOT_JSON, accepts_for_robot, ""),
    "alerts from Alertmanager or Grafana": (ALERTS_JSON, accepts_alerts, ""),
    "a request on the control socket": (CONTROL_REQUEST_JSON, accepts_control_request, ""),
    "an answer on the control socket": (CONTROL_ANSWER_JSON, accepts_control_answer, '"ok": 1'),
    "an answer of WeChat": (WECHAT_JSON, accepts_answer_of_wechat, ""),
    "the head of a backup": (
        BACKUP_HEAD_JSON,
        accepts_backup_head,
        '"program": "wx2mqtt", "version": "1", "format": 1',
    ),
    "a row of a restored store": (STORED_JSON, accepts_row, ""),
    "`people.json`": (PEOPLE_FILE_JSON, accepts_people_file, '"accounts": {}'),
    "a saved login": (SAVED_LOGIN_JSON, accepts_saved_login, ""),
}
JSON_DRIVERS = {
    f"{words} {name}": json_driver(bounds, part, accepts, head)
    for name, (bounds, accepts, head) in JSON_KINDS.items()
    for words, part in (("size of", "bytes"), ("depth of", "depth"), ("values in", "values"))
}


# --- the others ---


def command_of(**fields: Any) -> bool:
    payload = json.dumps({"text": "x", **fields}).encode()
    return not refuses(lambda: commands.read_command("wife", payload, ""), BadCommand)


def text_of_command(size: int, _: Path) -> bool:
    kept = not refuses(lambda: commands.read_command("wife", b"x" * size, ""), BadCommand)
    assert kept is command_of(text="x" * size)
    return kept


def field_of_command(size: int, _: Path) -> bool:
    fields = ({"path": "x" * size}, {"url": "x" * size}, {"data": "x", "name": "x" * size})
    answers = {command_of(text="", kind="file", **more) for more in fields}
    answers.add(command_of(text="", kind="recall", message_id="x" * size))
    (answer,) = answers
    return answer


def ttl_of_command(seconds: int, _: Path) -> bool:
    command = commands.read_command("wife", json.dumps({"text": "x", "ttl": seconds}).encode(), "")
    return command.ttl == seconds


def transaction(size: int, _: Path) -> bool:
    fields = {"transaction": "x" * (size - 2)}
    echo = commands.transaction_echo(fields)
    kept = not refuses(lambda: commands.pop_transaction({**fields}), BadCommand)
    assert isinstance(echo, str)
    assert fields["transaction"].startswith(echo)
    assert kept is (echo == fields["transaction"])
    return kept


def quoted_value(size: int, _: Path) -> bool:
    sentence = rejection_text("en", BadCommand("bad_command", "unknown_key", key="k" * size, known=""))
    assert sentence.count("k") > 250
    return "…" not in sentence


def pending_deliveries(size: int, folder: Path) -> bool:
    async def deliver() -> bool:
        async with running(folder) as commands_harness:
            empty = commands_harness.deliver(b"", "wife/file/a").held_bytes
            commands_harness.deliver(bytes(size - 2 * empty), "wife/file/a")
            return not commands_harness.broker.paused

    return asyncio.run(deliver())


def transfer_of_file(seconds: int, _: Path) -> bool:
    """Returns whether a file is fetched whose answer ends just before so many seconds."""
    loop = asyncio.SelectorEventLoop()
    now, ahead = loop.time, 0.0
    loop.time = lambda: now() + ahead  # type: ignore[method-assign]

    class SlowBody(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal ahead
            yield b"x"
            ahead = seconds - 0.5
            await asyncio.sleep(0.001)  # lets the loop see what is due by now

    async def get(*_: Any) -> httpx.Response:
        return httpx.Response(200, stream=SlowBody())

    async def resolve(*_: Any) -> list[str]:
        return ["93.184.216.34"]

    async def fetch() -> bytes:
        fetcher = UrlFetcher(minimum_rate=MinimumRate(window_seconds=1e9), resolve=resolve)
        fetcher._get = get  # type: ignore[assignment, method-assign]
        file = fetcher.fetch("http://h/x", max_bytes=9, allowed_hosts=["h"], timeout_seconds=1e9)
        return b"".join([piece async for piece in file])

    try:
        return loop.run_until_complete(fetch()) == b"x"
    except BadCommand as bad:
        assert bad.code == "fetch_failed"
        return False
    finally:
        loop.close()


def unfetched_commands(count: int, folder: Path) -> bool:
    """Returns whether so many commands are kept while no file of them is fetched."""

    class HangingFetcher:
        async def fetch(self, *_: Any, **__: Any) -> AsyncIterator[bytes]:
            await asyncio.Event().wait()
            yield b""

    limit = file_preparation.MAX_UNFETCHED_COMMANDS

    async def ask() -> bool:
        async with running(folder, fetcher=HangingFetcher()) as commands_harness:
            for number in range(count):
                commands_harness.deliver_command(kind="file", url="http://h/x", id=f"{number}")
            commands_harness.deliver("last")
            commands_harness.deliver("other", "mom")
            await commands_harness.wait_for_bodies("wx/result/mom")
            waiting = next(iter(commands_harness.sender.waiting.queues.values()))
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                while len(waiting.rows) > limit + 1:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0)
            refused = commands_harness.bodies_on("wx/result/wife")
            assert {result["code"] for result in refused} <= {"rate_limited"}
            return not refused

    return asyncio.run(ask())


def alerts_in_a_minute(count: int, _: Path) -> bool:
    """Returns whether so many alerts go out one by one."""
    queue = AlertQueue()
    for number in range(count):
        if queue.seconds_until_allowed(0.0):
            return False
        queue.add(row_of(number, "u", "x"))
        queue.take(0.0)
    return True


def summary_of_fallback(size: int, _: Path) -> bool:
    """Returns whether a summary names ten commands whose lines have so many characters, with the ends of the lines."""
    lengths = [99] * 9 + [size - 901]
    rows = [row_of(number, "u", "x" * (length - len("u: "))) for number, length in enumerate(lengths)]
    return len(summary_lines(rows, "en")) == len(rows)


def open_requests(count: int, folder: Path) -> bool:
    """Returns whether so many requests are carried out while none of them ends."""
    released = asyncio.Event()

    async def wait(_fields: dict[str, Any]) -> None:
        await released.wait()

    async def ask() -> bool:
        async with running(folder, handlers={"wait": wait}) as commands_harness:
            for _ in range(count - 1):
                commands_harness.deliver("", topic="wx/bridge/request/wait", mid=0)
            commands_harness.deliver('{"transaction": "last"}', topic="wx/bridge/request/wait", mid=0)
            commands_harness.deliver("", topic="wx/bridge/request/none", mid=0)
            await commands_harness.wait_for_bodies("wx/bridge/response/none")
            released.set()
            answers = await commands_harness.wait_for_bodies("wx/bridge/response/wait", count)
            last = next(answer for answer in answers if answer.get("transaction") == "last")
            assert last["status"] == "ok" or last["code"] == "rate_limited"
            return bool(last["status"] == "ok")

    return asyncio.run(ask())


def packet(size: int, _: Path) -> bool:
    """Returns whether a packet is delivered with MQTT 3.1.1, where the broker is not told the limit."""
    is_announced = MqttOptions(urls=("mqtt://a",), client_id="a").packet_limit >= size
    harness = PacketReaderHarness(ProtocolVersion.MQTT_3_1_1)
    harness.receive(b"\x20\x02\x00\x00")
    length = size - 5
    encoded = bytes(length >> shift & 0x7F | (0x80 if shift < 21 else 0) for shift in (0, 7, 14, 21))
    harness.receive(b"\x32" + encoded + b"\x00\x01t\x00\x07")
    left = length - 5
    while left:
        left -= (part := min(left, READ_CHUNK_BYTES))
        harness.receive(bytes(part))
    delivered = harness.names[-1] == "on_publish"
    assert delivered is is_announced
    return delivered


def text_on_last(size: int, _: Path) -> bool:
    return "truncated" not in json.loads(last_body(json.dumps({"kind": "text", "text": "x" * size}).encode()))


def listed_questions(count: int, _: Path) -> bool:
    question = AskedQuestion(
        id=1,
        account="home",
        command=1,
        command_id="a",
        user="wife",
        person=PersonId(1),
        text="Lock?",
        buttons=(),
        anyone=False,
        asked=0,
        until=None,
        closed=None,
        answer="",
    )

    async def list_open(_now: int, most: int) -> list[AskedQuestion]:
        return [question] * min(count, most)

    ctx: Any = SimpleNamespace(journal=SimpleNamespace(questions=SimpleNamespace(list_open=list_open)))
    answer: Any = asyncio.run(QuestionsRequest(ctx).answer({}))
    return len(answer["questions"]) == count and not answer["more"]


def history_messages(count: int, _: Path) -> bool:
    registry: Any = None
    journal: Any = SimpleNamespace(stream="")
    return HistoryRequest(journal, registry, "")._parse_query({"limit": count}).limit == count


def history_bytes(size: int, _: Path) -> bool:
    """Returns whether an answer has its one message, whose size makes an answer of so many bytes."""

    async def ask() -> bool:
        frame = len(encode({"messages": [{"kind": "text", "text": ""}], "more": False, "stream": "s"}))
        text = "x" * (size - frame - 1)  # each message counts with a comma
        row = SimpleNamespace(seq=1, message_id="1", payload=encode({"kind": "text", "text": text}))

        async def find(_: object) -> Any:
            return [row], False

        async def media(_: object) -> list[Any]:
            return []

        journal: Any = SimpleNamespace(
            stream="s",
            history=SimpleNamespace(find=find),
            media=SimpleNamespace(of_messages=media),
        )
        registry: Any = None
        answer: Any = await HistoryRequest(journal, registry, "").answer({}, None)
        assert len(encode(answer)) <= MAX_HISTORY_ANSWER_BYTES
        return bool(answer["messages"][0]["text"] == text)

    return asyncio.run(ask())


def file_in_answer(size: int, _: Path) -> bool:
    blob = Blob(sha256="", size=size, mime="", path="")
    return not refuses(lambda: _require_fitting(blob, {}, None), BadCommand)


def read_file(size: int, folder: Path, limit: Limit) -> bool:
    (folder / "file").write_bytes(b"#" * size)
    return not refuses(lambda: read_text(folder / "file", int(limit.value)), UnreadableError)


def config_file(size: int, folder: Path) -> bool:
    return read_file(size, folder, BY_NAME["the configuration file"])


def secret_file(size: int, folder: Path) -> bool:
    return read_file(size, folder, BY_NAME["the file of a secret"])


def config_levels(levels: int, _: Path) -> bool:
    """Returns whether so many levels are read; the file itself is the first one."""
    problems = parse("a: " + "[" * (levels - 1) + "]" * (levels - 1), "c.yaml").problems
    return not any("nested deeper" in problem.message for problem in problems)


def config_values(count: int, _: Path) -> bool:
    """Returns whether so many values are read; a list of 99 counts as 100 each time that it is named."""
    times, rest = divmod(count - 101, 100)
    text = f"x: &x [{'1,' * 99}]\na: [{'*x ,' * times}{'1,' * rest}]"
    problems = parse(text, "c.yaml").problems
    return not any("holds more" in problem.message for problem in problems)


def xml_elements(count: int, _: Path) -> bool:
    return bool(parse_plain_xml(f"<a>{'<b></b>' * (count - 1)}</a>"))


def unpacked_backup(ratio: int, folder: Path) -> bool:
    """Returns whether a backup may grow so many times; the size that any backup may have is set to 0."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wx2mqtt.store.backup_archive.MIN_UNPACKED_BYTES", 0)
        packed = _CountedReader(io.BytesIO(bytes(1000)))
        packed.read()
        reader = _BoundedReader(io.BytesIO(bytes(1000 * ratio)), packed)
        return not refuses(reader.read, BadBackup)


def store_share(share: float, _: Path) -> bool:
    services = shared(quota=FakeQuota(size=int(share * 1_000_000) - 1, limit=1_000_000))
    assert services.exceeded_limit() == ""
    return not services.exceeded_limit(for_commands=True)


def control_connections(count: int, folder: Path) -> bool:
    """Returns whether so many connections are served while all are open."""
    done: list[bytes] = []

    async def serve() -> None:
        async def run_operation(_name: str, _fields: object) -> Any:
            return None

        handlers: list[Callable[..., Any]] = []

        async def start(handler: Callable[..., Any], path: Path, limit: int) -> Any:
            handlers.append(handler)
            return SimpleNamespace(close=lambda: None)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "start_unix_server", start)
            released = asyncio.Event()

            async def readuntil(_: bytes) -> bytes:
                await released.wait()
                return b"{}\n"

            async def drain() -> None: ...

            async with control_socket.serve_operations(folder, run_operation):
                reader = SimpleNamespace(readuntil=readuntil)
                writer = SimpleNamespace(write=done.append, drain=drain, close=lambda: None)
                tasks = [asyncio.create_task(handlers[0](reader, writer)) for _ in range(count)]
                await asyncio.sleep(0)
                released.set()
                await asyncio.gather(*tasks)

    asyncio.run(serve())
    return len(done) == count


OTHER_DRIVERS: dict[str, Driver] = {
    "a number with a fraction or an exponent, in any JSON": lambda size, _: (
        not refuses(lambda: read_float("0." + "1" * (size - 2)), JsonOutOfBounds)
    ),
    "the text of a command": text_of_command,
    "`id` of a command": lambda size, _: command_of(id="x" * size),
    "`path`, `url`, `name` and `message_id` of a command": field_of_command,
    "buttons of a question": lambda count, _: command_of(buttons=[f"no {n}" for n in range(count)]),
    "the text of a button": lambda size, _: command_of(buttons=["x" * size]),
    "the key of a button": lambda size, _: command_of(buttons=[{"text": "x", "key": "y" * size}]),
    "names in `mention`": lambda count, _: command_of(mention=["x"] * count),
    "a name in `mention`": lambda size, _: command_of(mention=["x" * size]),
    "`ttl` of a command": ttl_of_command,
    "`transaction` of a request": transaction,
    "a remark or the name of a group": lambda size, _: (
        not refuses(lambda: commands.read_name({"name": "x" * size}, "name"), BadCommand)
    ),
    "the `code` of a login": lambda size, _: (
        not refuses(lambda: commands.read_digits({"code": "1" * size}, "code"), BadCommand)
    ),
    "an integer in a request": lambda value, _: commands.read_integer({"limit": value}, "limit") == value,
    "the name of a topic level in a request": lambda size, _: (
        not refuses(lambda: commands.read_topic_name({"user": "x" * size}, "user"), BadCommand)
    ),
    "the name of a file": lambda size, _: not refuses(lambda: check_filename("x" * size), BadCommand),
    "marks in a row in a long name": lambda count, _: (
        len(composed("x" * 500 + "\u0301" * count)) == 500 + count
    ),
    "a packet from the broker": packet,
    "deliveries in memory that are not stored yet, with 4 KiB for each": pending_deliveries,
    "the fetch or the upload of a command's file, and a second more for each 100 kB": transfer_of_file,
    "commands of a chat whose `url` is not fetched yet": unfetched_commands,
    "alerts of the fallback in a minute": alerts_in_a_minute,
    "the text of a summary of the fallback": summary_of_fallback,
    "requests that are open at a time": open_requests,
    "the text on `last`": text_on_last,
    "the text on `text/<user>`": lambda size, _: len(plain_text("x" * size)) == size,
    "messages in an answer of `history`": history_messages,
    "questions in an answer of `questions`": listed_questions,
    "size of an answer of `history`": history_bytes,
    "a file in an answer of `media`": file_in_answer,
    "the configuration file": config_file,
    "depth of the configuration file": config_levels,
    "values in the configuration file, aliases counted each time": config_values,
    "the file of a secret": secret_file,
    "a value that a sentence quotes": quoted_value,
    "connections to the control socket at a time": control_connections,
    "the XML of a message": lambda size, _: bool(parse_plain_xml(f"<a>{'x' * (size - 7)}</a>")),
    "elements in the XML of a message": xml_elements,
    "size of an unpacked backup, in sizes of the packed one": unpacked_backup,
    "share of `storage.max_size` that commands may fill": store_share,
}
DRIVERS = {
    **JSON_DRIVERS,
    **OTHER_DRIVERS,
    **WEB_DRIVERS,
    **TRAFFIC_DRIVERS,
    **WECHAT_DRIVERS,
    **WECOM_DRIVERS,
}
BY_NAME = {limit.bounded: limit for limit in LIMITS}


def test_every_limit_has_a_driver_and_every_driver_a_limit() -> None:
    assert len(BY_NAME) == len(LIMITS)
    assert DRIVERS.keys() == BY_NAME.keys()


@pytest.mark.parametrize("limit", LIMITS, ids=[limit.bounded for limit in LIMITS])
def test_at_its_value_a_limit_lets_through_and_one_beyond_it_does_not(limit: Limit, tmp_path: Path) -> None:
    driver = DRIVERS[limit.bounded]
    step = 1 if isinstance(limit.value, int) else 0.001
    for name in ("within", "beyond"):
        (tmp_path / name).mkdir()
    assert driver(limit.value, tmp_path / "within")
    assert not driver(limit.value + step, tmp_path / "beyond")


def test_a_command_takes_a_file_of_27_mb_in_data_and_none_of_29() -> None:
    """README and docs/en/limits.md say so."""
    for megabytes, accepted in ((27, True), (29, False)):
        encoded = "A" * (megabytes * 1_000_000 // 3 * 4)
        assert command_of(text="", kind="file", name="a.bin", data=encoded) is accepted


def test_the_chinese_texts_of_limits_are_those_of_the_table() -> None:
    texts = {text for limit in LIMITS for text in (limit.bounded, limit.unit, limit.beyond)}
    assert set(LIMIT_TEXTS) == texts - {""}

"""What h11 reads costs no more than in proportion, and means what it meant."""

from __future__ import annotations

import subprocess
import sys

import h11
import pytest
from h11 import _readers as readers

from tests.support.cost import cpu_seconds, is_in_proportion
from tests.support.rows import every_row
from wx2mqtt.h11_patterns import replace_h11_patterns

# What one reading of a socket may bring.
MAX_READ_BYTES = 256 * 1024

# A head of two minutes would take as long in a failing test.
LENGTHS = (4_000, 16_000, MAX_READ_BYTES)

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LINES = {
    "blanks": (HEAD, b"a:%s\0\r\n\r\n", b" "),
    "tabs": (HEAD, b"a:%s\0\r\n\r\n", b"\t"),
    "blanks behind a value": (HEAD, b"a: b%s\0\r\n\r\n", b" "),
    "words": (HEAD, b"a: %s\0\r\n\r\n", b"b "),
    "extension": (CHUNKED, b"1;%s\nx\r\n", b" "),
    "blanks of a chunk": (CHUNKED, b"1%s\nx\r\n", b" "),
}


@pytest.fixture(autouse=True)
def _replaced():
    replace_h11_patterns()


def read(begin: bytes, line: bytes) -> list[object]:
    """Returns the events of an answer, the last one an error or what h11 waits for."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=2 * MAX_READ_BYTES)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(begin + line)
    events: list[object] = []
    while not events or not isinstance(events[-1], (h11.EndOfMessage, h11.RemoteProtocolError, type)):
        try:
            events.append(connection.next_event())
        except h11.RemoteProtocolError as error:
            events.append(error)
    return events


@every_row("name", LINES)
def test_a_line_of_blanks_costs_no_more_than_in_proportion(name):
    begin, line, part = LINES[name]
    for length in LENGTHS:
        assert is_in_proportion(lambda size: read(begin, line % (part * (size // len(part)))), length)
    assert cpu_seconds(lambda: read(begin, line % (part * (MAX_READ_BYTES // len(part))))) < 0.1
    assert isinstance(read(begin, line % (part * 10))[-1], h11.RemoteProtocolError)


@every_row(
    ("line", "value"),
    [
        (b"a:b", b"b"),
        (b"a:", b""),
        (b"a: \t", b""),
        (b"a: \t b  c\td \t", b"b  c\td"),
        (b"a:\xff\xfe", b"\xff\xfe"),
        (b"a: b:c", b"b:c"),
    ],
)
def test_the_value_of_a_header_is_what_stands_between_blanks(line, value):
    response = read(HEAD, line + b"\r\nContent-Length: 0\r\n\r\n")[0]
    assert isinstance(response, h11.Response)
    assert dict(response.headers)[b"a"] == value


@every_row("line", [b"a :b", b" a:b", b":b", b"a", b"a:b\0", b"a:b\rc", b"a:\x0bb"])
def test_what_is_no_header_is_refused(line):
    assert isinstance(read(HEAD, line + b"\r\n\r\n")[-1], h11.RemoteProtocolError)


@every_row("line", [b"3", b"03", b"3 ", b"3;a=b", b"3;a=b \t", b"3;a"])
def test_a_chunk_is_read_with_its_extensions(line):
    events = read(CHUNKED, line + b"\r\nabc\r\n0\r\n\r\n")
    assert [bytes(event.data) for event in events if isinstance(event, h11.Data)] == [b"abc"]
    assert isinstance(events[-1], h11.EndOfMessage)


@every_row("line", [b"x", b"", b"1" * 21, b"1 1", b"-1"])
def test_what_is_no_chunk_is_refused(line):
    assert isinstance(read(CHUNKED, line + b"\r\nabc\r\n0\r\n\r\n")[-1], h11.RemoteProtocolError)


@pytest.mark.parametrize("module", ["external.url_fetch", "mqtt.websocket"])
def test_who_uses_h11_replaces_its_patterns(module):
    code = f"import h11._readers as readers, wx2mqtt.{module}; print(readers.header_field_re.pattern)"
    python = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert "]++" in python.stdout


def test_the_installed_version_has_the_patterns_that_are_replaced():
    """A version without them would have others, which this file must be written for."""
    assert {"header_field_re", "chunk_header_re"} <= vars(readers).keys()
    assert b"++" in readers.header_field_re.pattern
    assert b"*+" in readers.chunk_header_re.pattern

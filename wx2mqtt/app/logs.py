"""Logging: one line for each event, readable at a terminal, as JSON elsewhere.

    log.info("reloaded", applied=["log.level"])
    {"time": "…", "level": "info", "logger": "wx2mqtt.app.application", "event": "reloaded", "applied": […]}

`configure` builds one chain of processors, which includes `redaction`. Loggers of this program (structlog)
and of libraries (logging) share it. Libraries are logged from WARNING on: below that httpx logs whole URLs.
"""

from __future__ import annotations

import io
import json
import logging
import os
import threading
from functools import partial, partialmethod
from types import NoneType
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from wx2mqtt.app.redaction import clean_traceback, redact_value
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Json
from wx2mqtt.mqtt.commands import reject_unknown_fields
from wx2mqtt.names import printable

LEVEL_NUMBERS: dict[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
FIRST_KEYS = ("time", "level", "logger", "event")

# Characters that some programs take for the end of a line.
_LINE_ENDS = {ord(char): f"\\u{ord(char):04x}" for char in "\x7f\x85\u2028\u2029"}


class _Threshold:
    """The lowest level that is logged in this process."""

    level = logging.INFO


def configure(*, level: str, format: str, stream: TextIO, message_text: bool) -> None:  # noqa: A002
    """Sends all logs to `stream`.

    `format` is auto (console at a terminal, else JSON), console or json. With `message_text` the texts of
    messages are logged. May be called again.
    """
    is_terminal = stream.isatty()
    is_console = format == "console" or (format == "auto" and is_terminal)
    has_colors = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    console = structlog.dev.ConsoleRenderer(
        colors=has_colors, timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
    )
    sink = _Sink(stream)
    chain: list[Processor] = [  # turns an event into a line
        structlog.processors.TimeStamper(
            fmt="%H:%M:%S" if is_console else "iso", utc=not is_console, key="time"
        ),
        structlog.processors.format_exc_info,
        partial(_redact_event, message_text),
        partial(_render_console, console) if is_console else _render_json,
    ]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _add_logger_name,
            *chain,
        ],
        wrapper_class=BoundLogger,
        logger_factory=lambda *names: _LineLogger(sink, names[0] if names else ""),
        cache_logger_on_first_use=False,
    )
    handler = _StdlibHandler(sink, chain)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    set_level(level)


def set_level(level: str) -> None:
    """Sets the lowest level that is logged; a key of `LEVEL_NUMBERS`."""
    _Threshold.level = LEVEL_NUMBERS[level]


async def answer_request(fields: dict[str, Json]) -> Json:
    """Answers `request/log_level`. Raises `BadCommand` for a level that there is not."""
    reject_unknown_fields(fields, "level")
    level = fields.get("level")
    if not isinstance(level, str) or level not in LEVEL_NUMBERS:
        raise BadCommand("bad_request", "bad_value", key="level", expected="a log level")
    set_level(level)
    return {"level": level}


class BoundLogger(structlog.BoundLoggerBase):
    """A logger to which `set_level` applies at once, also where it was bound before."""

    def _write(self, level: int, name: str, event: str, /, **values: object) -> None:
        if level >= _Threshold.level:
            self._proxy_to_logger(name, event, **values)

    #: A detail for the search for a fault.
    debug = partialmethod(_write, logging.DEBUG, "debug")
    #: Normal operation.
    info = partialmethod(_write, logging.INFO, "info")
    #: Something that the owner should check at some time.
    warning = partialmethod(_write, logging.WARNING, "warning")
    #: A failure.
    error = partialmethod(_write, logging.ERROR, "error")
    #: A failure, with the traceback of the exception that is being handled.
    exception = partialmethod(_write, logging.ERROR, "error", exc_info=True)
    critical = error


class _Sink:
    """Writes whole lines, from any thread. Ignores errors of a stream that is closed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an ASCII terminal must not break on 你

    def write(self, line: str) -> None:
        try:
            with self._lock:
                self._stream.write(f"{line}\n")
                self._stream.flush()
        except (OSError, ValueError):
            return


class _LineLogger:
    """Writes the finished lines of structlog; holds the name of the logger for `_add_logger_name`."""

    def __init__(self, sink: _Sink, name: str) -> None:
        self.name = name
        self.debug = self.info = self.warning = self.error = sink.write


class _StdlibHandler(logging.Handler):
    """Passes events of libraries, which use `logging`, to the same chain."""

    def __init__(self, sink: _Sink, chain: list[Processor]) -> None:
        super().__init__(logging.WARNING)
        self._sink = sink
        self._chain = chain

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < _Threshold.level:
            return
        try:
            event: EventDict = {"event": record.getMessage()}
        # A format may not fit its arguments, and an argument may fail to become a text. A library's call must
        # not raise for that. `handleError` would print the arguments, which may hold secrets.
        except Exception:  # noqa: BLE001
            event = {"event": str(record.msg)}
        event.update(level=record.levelname.lower(), logger=record.name)
        event = structlog.contextvars.merge_contextvars(None, "", event)
        if record.exc_info:
            event["exc_info"] = record.exc_info
        line: EventDict | str = event
        for processor in self._chain:
            line = processor(None, record.levelname.lower(), line)  # type: ignore[arg-type,assignment]
        self._sink.write(str(line))


def _add_logger_name(logger: WrappedLogger, _: str, event: EventDict) -> EventDict:
    if logger.name:
        event["logger"] = logger.name
    return event


def _redact_event(message_text: bool, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
    traceback = event.pop("exception", None)
    cleaned = {key: redact_value(key, value, message_text=message_text) for key, value in event.items()}
    if traceback is not None:
        cleaned["exception"] = clean_traceback(str(traceback))
    return cleaned


def _render_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    first_fields = {key: event.pop(key) for key in FIRST_KEYS if key in event}
    return json.dumps(first_fields | dict(event), ensure_ascii=False, default=str).translate(_LINE_ENDS)


def _render_console(
    console: structlog.dev.ConsoleRenderer, logger: WrappedLogger, name: str, event: EventDict
) -> str:
    traceback = event.pop("exception", "")
    for key, value in event.items():
        if not isinstance(value, (bool, int, float, NoneType)):
            event[key] = printable(str(value))
    # A traceback keeps its lines. The `|` before each distinguishes it from a line of the log.
    trace_lines = [f"    | {printable(trace_line)}" for trace_line in str(traceback).splitlines()]
    return "\n".join([console(logger, name, event).rstrip(), *trace_lines])

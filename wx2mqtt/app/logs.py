"""The log: one line for each event, for people at a terminal, as JSON elsewhere.

Our own loggers (structlog) and those of libraries (logging) go through the same chain, and all of it
through `redaction`. Libraries are heard from WARNING on only: below that httpx tells whole URLs.
"""

from __future__ import annotations

import io
import json
import logging
import os
import threading
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from wx2mqtt.app.redaction import clean_traceback, one_line, redact_value

LogLevel = Literal["debug", "info", "warning", "error"]
LEVEL_NUMBERS: dict[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
FIRST_KEYS = ("time", "level", "logger", "event")
_LINE_ENDS = {ord(mark): f"\\u{ord(mark):04x}" for mark in "\x7f\x85\u2028\u2029"}


class _Threshold:
    """What is loud enough; one for the process, changed while it runs."""

    level = logging.INFO


def configure(*, level: str, format: str, stream: TextIO, message_text: bool) -> None:  # noqa: A002
    """Send all logs to `stream`.

    `format` is auto (console at a terminal, else JSON), console or json. `message_text` lets the texts
    of messages through. May be called again.
    """
    console = format == "console" or (format == "auto" and stream.isatty())
    sink = _Sink(stream)
    chain = _chain(console=console, colors=_colors(stream), message_text=message_text)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _named,
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
    """From now on only what is at least this loud; one of `LEVEL_NUMBERS`."""
    _Threshold.level = LEVEL_NUMBERS[level]


class BoundLogger(structlog.BoundLoggerBase):
    """Loggers that obey `set_level` at once, also those that were bound before."""

    def debug(self, event: str, **values: object) -> None:
        """What only somebody who looks for a fault wants to know."""
        self._write(logging.DEBUG, "debug", event, values)

    def info(self, event: str, **values: object) -> None:
        """What happened as it should."""
        self._write(logging.INFO, "info", event, values)

    def warning(self, event: str, **values: object) -> None:
        """What the owner should look at some time."""
        self._write(logging.WARNING, "warning", event, values)

    def error(self, event: str, **values: object) -> None:
        """What did not work."""
        self._write(logging.ERROR, "error", event, values)

    def exception(self, event: str, **values: object) -> None:
        """An error with the traceback of the exception that is being handled."""
        self._write(logging.ERROR, "error", event, {"exc_info": True, **values})

    critical = error

    def _write(self, level: int, name: str, event: str, values: dict[str, object]) -> None:
        if level >= _Threshold.level:
            self._proxy_to_logger(name, event, **values)


class _Sink:
    """Writes whole lines, from any thread; a stream that is gone silences the log and nothing else."""

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
    """What structlog hands a finished line to; it carries the logger's name for `_named`."""

    def __init__(self, sink: _Sink, name: str) -> None:
        self.name = name
        self.debug = self.info = self.warning = self.error = sink.write


class _StdlibHandler(logging.Handler):
    """Takes what libraries log through `logging` into the same chain."""

    def __init__(self, sink: _Sink, chain: list[Processor]) -> None:
        super().__init__(logging.WARNING)
        self._sink = sink
        self._chain = chain

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < _Threshold.level:
            return
        try:
            event: EventDict = {"event": record.getMessage()}
        except (TypeError, ValueError):  # a library's own slip in its format string
            event = {"event": str(record.msg)}
        event.update(level=record.levelname.lower(), logger=record.name)
        if record.exc_info:
            event["exc_info"] = record.exc_info
        line: EventDict | str = event
        for step in self._chain:
            line = step(None, record.levelname.lower(), line)  # type: ignore[arg-type,assignment]
        self._sink.write(str(line))


def _chain(*, console: bool, colors: bool, message_text: bool) -> list[Processor]:
    """From an event to a line."""
    return [
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console, key="time"),
        structlog.processors.format_exc_info,
        _redactor(message_text=message_text),
        _console(colors=colors) if console else _as_json,
    ]


def _named(logger: WrappedLogger, _: str, event: EventDict) -> EventDict:
    if logger.name:
        event["logger"] = logger.name
    return event


def _redactor(*, message_text: bool) -> Processor:
    def redact_event(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        traceback = event.pop("exception", None)
        cleaned = {key: redact_value(key, value, message_text=message_text) for key, value in event.items()}
        if traceback is not None:
            cleaned["exception"] = clean_traceback(str(traceback))
        return cleaned

    return redact_event


def _as_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    first = {key: event.pop(key) for key in FIRST_KEYS if key in event}
    return json.dumps(first | dict(event), ensure_ascii=False, default=str).translate(_LINE_ENDS)


def _console(*, colors: bool) -> Processor:
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors,
        timestamp_key="time",
        exception_formatter=structlog.dev.plain_traceback,
    )

    def render(logger: WrappedLogger, name: str, event: EventDict) -> str:
        traceback = event.pop("exception", "")
        line = renderer(logger, name, {key: _flat(value) for key, value in event.items()})
        # A traceback keeps its lines, marked so that none of them can pass for a line of the log.
        return "\n".join([line.rstrip(), *(f"    | {one_line(row)}" for row in str(traceback).splitlines())])

    return render


def _flat(value: object) -> object:
    return value if value is None or isinstance(value, (bool, int, float)) else one_line(str(value))


def _colors(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

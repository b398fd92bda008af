"""The log has one line for each event, of this program and of libraries, without secrets."""

from __future__ import annotations

import io
import json
import logging
import threading
import warnings

import pytest
import structlog

from wx2mqtt.app import logs

pytestmark = pytest.mark.usefixtures("restored_logging")


class FakeTerminal(io.StringIO):
    def isatty(self):
        return True


def logging_to(stream, *, level="info", form="json", message_text=False):
    logs.configure(level=level, format=form, stream=stream, message_text=message_text)
    return structlog.get_logger("wx2mqtt.test")


def rows(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object_with_time_level_logger_and_data():
    stream = io.StringIO()
    logging_to(stream, form="auto").warning("broker refuses topic", topic="wx/in/老婆", tries=3)
    assert "老婆" in stream.getvalue()
    (row,) = rows(stream)
    assert list(row)[:4] == ["time", "level", "logger", "event"]
    assert row.pop("time").endswith("Z")
    assert row == {
        "level": "warning",
        "logger": "wx2mqtt.test",
        "event": "broker refuses topic",
        "topic": "wx/in/老婆",
        "tries": 3,
    }


def test_a_terminal_gets_text_and_no_colour_when_none_is_wanted(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = FakeTerminal()
    logging_to(stream, form="auto").info("stopping", account="home")
    assert "stopping" in stream.getvalue()
    assert "account=home" in stream.getvalue()
    assert "{" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_with_colours_gets_them(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = FakeTerminal()
    logging_to(stream, form="auto").info("stopping")
    assert "\x1b[" in stream.getvalue()


HOSTILE_TEXT = "a\nfake line\r\x1b[2Jb\u2028c\x85d\x00e\x7ff\u202eg"


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_logged_text_makes_a_line_of_its_own_or_moves_the_cursor(form):
    stream = io.StringIO()
    log = logging_to(stream, form=form, message_text=True)
    log.info("message", name=HOSTILE_TEXT, nested={"a": [HOSTILE_TEXT]}, text=HOSTILE_TEXT)
    log.info(HOSTILE_TEXT)
    logging.getLogger("paho").warning("refused %s", HOSTILE_TEXT)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert not set("".join(lines)) & set("\x1b\x00\x7f\x85\u2028\r")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_is_there_without_secrets_and_cannot_pass_for_lines_of_the_log(form):
    stream = io.StringIO()
    log = logging_to(stream, form=form)
    try:
        raise ValueError("skey=Geheim0815\n12:00:00 [info] forged")
    except ValueError:
        log.exception("request failed")
        logging.getLogger("asyncio").exception("never retrieved")
    text = stream.getvalue()
    assert "Geheim" not in text
    assert text.count("Traceback") == 2
    assert "test_logs.py" in text
    if form == "json":
        assert len(rows(stream)) == 2
    else:
        assert all(
            line.startswith("    | ") for line in text.splitlines() if "forged" in line or "File" in line
        )


def test_secrets_are_hidden_in_every_place_of_an_event():
    stream = io.StringIO()
    log = logging_to(stream).bind(skey="Geheim")
    log.info(
        "login at https://login.weixin.qq.com/l/GeheimGeheim",
        request={"Sid": "Geheim"},
        url="mqtt://a:Geheim@b",
    )
    logging.getLogger("asyncio").warning("GET %s", "https://wx.qq.com/?pass_ticket=Geheim")
    with structlog.contextvars.bound_contextvars(token="Geheim"):
        log.info("x")
    assert len(rows(stream)) == 3
    assert "Geheim" not in stream.getvalue()


def test_the_text_of_messages_is_shown_only_when_allowed():
    for allowed in (False, True):
        stream = io.StringIO()
        logging_to(stream, message_text=allowed).info("message", text="开灯")
        assert ("开灯" in stream.getvalue()) is allowed


def test_libraries_are_logged_from_warning_on_whatever_the_level_is():
    for level, logged in (("debug", ["w", "e"]), ("info", ["w", "e"]), ("error", ["e"])):
        stream = io.StringIO()
        logging_to(stream, level=level)
        for name in ("asyncio", "paho.mqtt.client", "uvicorn.error", "amqtt.broker"):
            library = logging.getLogger(name)
            for logger in (library, logging.getLogger(name.partition(".")[0])):
                logger.disabled, logger.propagate = (
                    False,
                    True,
                )  # whatever a server in this process set before
                logger.setLevel(logging.NOTSET)
            library.info("i")
            library.warning("w")
            library.error("e")
        assert [row["event"] for row in rows(stream)] == logged * 4


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "arguments", [("%d of %s", "x"), ("%(x)s", {"y": 1}), ("%s", Unprintable())], ids=["few", "key", "object"]
)
def test_a_wrong_call_of_a_library_is_logged_without_its_arguments(arguments):
    stream = io.StringIO()
    logging_to(stream)
    logging.getLogger("library").warning(*arguments)
    assert [row["event"] for row in rows(stream)] == [arguments[0]]


def test_python_s_warnings_are_logged():
    stream = io.StringIO()
    logging_to(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "old" in rows(stream)[0]["event"]


def test_the_level_can_be_changed_while_it_runs_also_for_bound_loggers():
    stream = io.StringIO()
    log = logging_to(stream, level="warning").bind(account="home")
    log.info("1")
    logs.set_level("debug")
    log.debug("2")
    logs.set_level("error")
    log.warning("3")
    log.critical("4")
    assert [(row["event"], row["level"]) for row in rows(stream)] == [("2", "debug"), ("4", "error")]


def test_configuring_again_moves_all_loggers_to_the_new_stream():
    first, second = io.StringIO(), io.StringIO()
    log = logging_to(first)
    logging_to(second)
    log.info("a")
    logging.getLogger("x").warning("b")
    assert first.getvalue() == ""
    assert [row["event"] for row in rows(second)] == ["a", "b"]


def test_an_unknown_level_is_refused():
    with pytest.raises(KeyError):
        logs.set_level("loud")


def test_a_logger_without_a_name_logs_without_one():
    stream = io.StringIO()
    logging_to(stream)
    structlog.get_logger().info("a")
    assert "logger" not in rows(stream)[0]


def test_a_closed_stream_stops_the_log_and_nothing_else():
    class BrokenStream(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    logging_to(BrokenStream()).info("a")
    closed = io.StringIO()
    log = logging_to(closed)
    closed.close()
    log.info("a")


def test_a_terminal_that_knows_only_ascii_gets_escapes():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    log = logging_to(stream, form="console")
    log.info("message", name="老婆 \ud800")
    assert b"\\u8001\\u5a46" in raw.getvalue()


def test_lines_of_several_threads_do_not_mix():
    stream = io.StringIO()
    log = logging_to(stream)

    def write():
        for number in range(50):
            log.info("x" * 200, number=number)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(stream)) == 200

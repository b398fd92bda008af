"""Lines about the calls of senders: each refusal has one soon, and no flood fills the log or hides the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.support.pauseless_loop import run_without_pauses
from wx2mqtt.web.senders.call_log import LOG_PERIOD_SECONDS, MAX_ACCEPTED_LINES, CallLog


def lines_of(*minutes: Callable[[CallLog], None], close: bool = False) -> list[EventDict]:
    """Returns the lines that a log writes while one of the functions is called at the begin of each minute."""

    async def scenario() -> None:
        log = CallLog()
        for minute in minutes:
            minute(log)
            if not close:
                await asyncio.sleep(LOG_PERIOD_SECONDS + 1)
        log.close()

    with capture_logs() as lines:
        run_without_pauses(scenario())
    return list(lines)


def calls(count: int, sender: str, code: str) -> Callable[[CallLog], None]:
    def write(log: CallLog) -> None:
        for _ in range(count):
            log.write(sender, code, {"interface": "send"})

    return write


def nothing(_log: CallLog) -> None:
    pass


def test_a_refused_call_has_its_line_among_many_accepted_and_refused_ones():
    def busy(log: CallLog) -> None:
        calls(1000, "nas", "accepted")(log)
        calls(1000, "", "unauthorized")(log)
        calls(1000, "nas", "forbidden")(log)
        calls(1, "nas", "rate_limited")(log)
        calls(1, "grafana", "forbidden")(log)
        calls(1, "grafana", "accepted")(log)

    lines = [(line["sender"], line.get("code"), line["log_level"]) for line in lines_of(busy)]
    assert [lines.count(line) for line in dict.fromkeys(lines)] == [MAX_ACCEPTED_LINES + 1, 2, 2, 1, 1, 1]
    assert [*dict.fromkeys(lines)] == [
        ("nas", None, "info"),
        ("", "unauthorized", "warning"),
        ("nas", "forbidden", "warning"),
        ("nas", "rate_limited", "warning"),
        ("grafana", "forbidden", "warning"),
        ("grafana", None, "info"),
    ]


def test_a_flood_of_refusals_has_its_first_line_and_then_one_a_minute_with_the_count():
    refused = calls(70, "nas", "forbidden")
    lines = lines_of(refused, refused, nothing, nothing, calls(1, "nas", "forbidden"))
    assert [line.get("count") for line in lines] == [None, 69, 70, None]
    assert [line.get("interface") for line in lines] == ["send", None, None, "send"]


def test_a_sender_has_so_many_lines_of_accepted_calls_in_each_minute():
    accepted = calls(MAX_ACCEPTED_LINES + 70, "nas", "accepted")
    lines = lines_of(accepted, accepted)
    assert [line["count"] for line in lines if "count" in line] == [70, 70]
    assert len(lines) == 2 * (MAX_ACCEPTED_LINES + 1)


def test_the_counts_are_written_when_the_bridge_stops():
    lines = lines_of(calls(3, "nas", "forbidden"), calls(1, "nas", "rate_limited"), close=True)
    assert [line.get("count") for line in lines] == [None, None, 2]

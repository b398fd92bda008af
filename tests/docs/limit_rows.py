"""The type of a row of the table of limits (`limit_table.py`), and consequences that several rows share."""

from __future__ import annotations

from dataclasses import dataclass

from wx2mqtt.bounded_json import JsonBounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One row of the table: what is limited, to how much, and what happens to more than that."""

    bounded: str
    value: float
    unit: str
    beyond: str


def limit(bounded: str, value: float, unit: str, beyond: str) -> Limit:
    return Limit(bounded=bounded, value=value, unit=unit, beyond=beyond)


def json_limits(text: str, bounds: JsonBounds, beyond: str) -> tuple[Limit, ...]:
    return (
        limit(f"size of {text}", bounds.max_bytes, "bytes", beyond),
        limit(f"depth of {text}", bounds.max_depth, "levels", beyond),
        limit(f"values in {text}", bounds.max_values, "values", beyond),
    )


REFUSED = "result `rejected`, code `bad_command` or `too_large`; nothing is parsed"
BAD_COMMAND = "result `rejected`, code `bad_command`"
BAD_REQUEST = "error `bad_request`"
TOO_LARGE = "result `rejected`, code `too_large`"
READING_PAUSES = "reading from the other side pauses"
WAITS = "the rest waits in the store"
IDLE_CLOSED = "the one that is idle the longest is closed; without an idle one status 503"
CONNECTION_CLOSED = "the connection to the broker is closed"
LEFT_OUT = "the rest is left out"
COUNTED = "the rest is counted in one line"
OLDEST_FORGOTTEN = "the oldest are forgotten"
LOOKED_UP = "the rest is looked up when somebody writes"

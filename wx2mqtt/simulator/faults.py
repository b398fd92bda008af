"""Ordered faults: which call each one affects and how often. `fault_injection.py` carries them out."""

from __future__ import annotations

import asyncio
import codecs
from dataclasses import dataclass
from enum import StrEnum

FaultValue = str | int | float | None


class FaultKind(StrEnum):
    """Kinds of faults. Those of the second group happen after the call was carried out."""

    STATUS = "status"  # value: HTTP status
    RET = "ret"  # value: BaseResponse.Ret, or the retcode, or the XML's ret
    RETCODE = "retcode"  # value: retcode of synccheck
    SELECTOR = "selector"  # value: selector of synccheck
    CODE = "code"  # value: code of the login poll or jslogin
    HANG = "hang"  # value: seconds (none: until the client disconnects), then closes
    RESET = "reset"  # RST
    GARBAGE = "garbage"  # value: text of the body
    HTML = "html"  # a web page with status 200
    EMPTY = "empty"  # status 200 and no body
    BAD_STATUS_LINE = "bad_status_line"
    STUCK = "stuck"  # webwxsync or getupdates has no news, and the key or cursor stays
    HUGE = "huge"  # value: size of the JSON in bytes (none: 200 MB)
    DEEP = "deep"  # value: how deep the JSON is nested (none: 100,000)
    DIGITS = "digits"  # value: how many digits a number in the JSON has (none: 1,000,000)

    DROP_ANSWER = "drop_answer"  # closes without an answer
    TRUNCATE = "truncate"  # value: bytes of the body that are sent (none: half), then closes
    STALL = "stall"  # value: bytes of the body that are sent (none: half), then nothing
    DRIP = "drip"  # value: bytes of the body a second (none: 1000)
    NO_LENGTH = "no_length"  # the answer has no Content-Length
    CHARSET = "charset"  # value: encoding of the body (none: gbk)
    DELAY = "delay"  # value: seconds before the call is carried out
    HOLD = "hold"  # carried out once the faults are cleared
    LATE = "late"  # value: seconds after it was carried out until the answer


class BadFault(ValueError):
    """The order of a fault is malformed."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """An ordered fault.

    It lets `skip` calls pass, then happens `left` times (None: always).
    """

    endpoint: str
    kind: FaultKind
    value: FaultValue = None
    left: int | None = 1
    skip: int = 0


class Faults:
    """The pending faults in the sequence of their orders."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._cleared = asyncio.Event()

    def add(self, values: dict[str, object], known_endpoints: frozenset[str]) -> None:
        """Adds the fault of a control order; raises `BadFault`."""
        self._waiting.append(_parse_fault(values, known_endpoints))

    def next_fault(self, endpoint: str) -> Fault | None:
        """Returns the fault for this call and counts it down; None when there is none."""
        for fault in self._waiting:
            if fault.endpoint not in (endpoint, "*"):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            self._count_down(fault)
            return fault
        return None

    def _count_down(self, fault: Fault) -> None:
        if fault.left is not None:
            fault.left -= 1
            if not fault.left:
                self._waiting.remove(fault)

    def list(self) -> list[Fault]:
        return [*self._waiting]

    def clear(self) -> None:
        """Removes all faults, and lets the calls go on that a fault holds."""
        self._waiting.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()

    async def wait_until_cleared(self) -> None:
        """Returns at the next `clear`."""
        await self._cleared.wait()


_KINDS_WITH_TEXT = frozenset({FaultKind.GARBAGE, FaultKind.CHARSET})


def _checked_value(kind: FaultKind, value: object) -> FaultValue:
    if value is None:
        return None
    if kind in _KINDS_WITH_TEXT and isinstance(value, str):
        return _known_charset(value) if kind is FaultKind.CHARSET else value
    if kind not in _KINDS_WITH_TEXT and isinstance(value, int | float):
        return value
    raise BadFault(f"the value of {kind} must be {'text' if kind in _KINDS_WITH_TEXT else 'a number'}")


def _known_charset(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise BadFault(f"no charset is named {name!r}") from None


def _parse_fault(values: dict[str, object], known_endpoints: frozenset[str]) -> Fault:
    endpoint = values.get("endpoint")
    kind = values.get("kind")
    if endpoint != "*" and endpoint not in known_endpoints:
        raise BadFault(f"endpoint must be * or one of {', '.join(sorted(known_endpoints))}, not {endpoint!r}")
    if kind not in [*FaultKind]:
        raise BadFault(f"kind must be one of {', '.join(FaultKind)}, not {kind!r}")
    times = values.get("times", 1)
    skip = values.get("skip", 0)
    if not isinstance(times, int) or not isinstance(skip, int) or times < 0 or skip < 0:
        raise BadFault("times and skip must be whole numbers, not negative")
    known_kind = FaultKind(str(kind))
    value = _checked_value(known_kind, values.get("value"))
    return Fault(endpoint=str(endpoint), kind=known_kind, value=value, left=times or None, skip=skip)

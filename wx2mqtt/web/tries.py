"""Guessing made slow: after five wrong tries an address must wait, longer each time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_network

from wx2mqtt.web.hosts import address_of

FREE = 5  # wrong tries before the first wait
LONGEST = 300.0  # seconds
FORGOTTEN = 3600.0  # seconds without a wrong try after which an address begins anew
ADDRESSES = 1000  # that are remembered; the oldest goes

_HOUSE = 64  # bits: whoever has one IPv6 address has all of such a network


@dataclass(slots=True)
class _Record:
    count: int
    last: float
    until: float


class Tries:
    """Wrong tries by address; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until this address may try again; 0 when it may now."""
        record = self._records.get(_house(address))
        return 0.0 if record is None else min(LONGEST, max(0.0, record.until - self._clock()))

    def wrong(self, address: str) -> None:
        """It tried, and was wrong."""
        now, house = self._clock(), _house(address)
        record = self._records.pop(house, None)
        if record is None or now - record.last > FORGOTTEN:
            record = _Record(0, now, now)
        record.count += 1
        record.last = now
        if record.count >= FREE:
            record.until = now + min(LONGEST, 2.0 ** min(record.count - FREE + 1, 20))
        self._records[house] = record
        if len(self._records) > ADDRESSES:
            self._records.popitem(last=False)

    def right(self, address: str) -> None:
        """It tried, and was right."""
        self._records.pop(_house(address), None)


def _house(address: str) -> str:
    known = address_of(address)
    if isinstance(known, IPv6Address):
        return str(ip_network((known, _HOUSE), strict=False))
    return address

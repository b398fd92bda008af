"""Files by url: a name is looked up once, all its addresses are checked, and one of those is connected to.

A redirect is followed at most five times and checked anew each time; what drips is ended.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing

from wx2mqtt.apart import apart
from wx2mqtt.errors import BadCommand
from wx2mqtt.outside.door import (
    Answer,
    BadAddress,
    BadCertificate,
    CutOff,
    Door,
    NoConnection,
    Place,
    Silent,
)
from wx2mqtt.outside.pace import Pace
from wx2mqtt.outside.public import is_public, same_host
from wx2mqtt.outside.trouble import Broken, NotNow, TooLarge

HOPS = 5
LOOKUP = 10.0  # seconds that a name may take
IDLE = 15.0  # seconds without a byte
GREETING = 30.0  # seconds until an answer has begun, also one whose head drips
REDIRECTS = frozenset({301, 302, 303, 307, 308})
LATER = frozenset({408, 425, 429, 500, 502, 503, 504})

Lookup = Callable[[str, int], Awaitable[list[str]]]
"""All addresses of a name, for a port. Raises `OSError`."""


async def look_up(host: str, port: int) -> list[str]:
    """As the system does it."""
    found = await apart(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    return [str(address[0]) for *_, address in found]


class Fetcher:
    """Fetches files for commands. Raises `BadCommand` for what is not to be had, `NotNow` for what may be."""

    def __init__(self, *, idle: float = IDLE, pace: Pace | None = None, lookup: Lookup = look_up) -> None:
        self._door = Door(idle=idle)
        self._pace = pace or Pace()
        self._lookup = lookup

    async def fetch(
        self, url: str, *, limit: int, allowed: Collection[str], seconds: float
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of a file, in pieces, within so many seconds. `allowed` hosts may be in the house.

        Raises `TooLarge` for what is announced above `limit` bytes; what comes has to be counted.
        """
        until = _clock() + seconds
        try:
            async with asyncio.timeout_at(until):
                answer = await self._answer(url, allowed)
        except TimeoutError:
            raise Broken("fetch_failed", "fetch_too_slow") from None
        try:
            _must_be_usable(answer, limit)
            async with aclosing(self._pieces(answer, until)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            await answer.close()

    async def _answer(self, url: str, allowed: Collection[str]) -> Answer:
        place = _read(url)
        for _ in range(HOPS + 1):
            answer = await self._ask(place, allowed)
            location = answer.header("location")
            if answer.status not in REDIRECTS or not location:
                return answer
            await answer.close()
            place = _joined(place, location)
        raise BadCommand("fetch_failed", "fetch_hops", most=HOPS)

    async def _ask(self, place: Place, allowed: Collection[str]) -> Answer:
        last: Exception = NotNow("fetch_failed", "fetch_no_connection", host=place.host)
        for address in await self._checked(place, allowed):
            try:
                async with asyncio.timeout(GREETING):
                    return await self._door.get(place, address)
            except NoConnection:
                continue
            except BadCertificate:
                raise BadCommand("fetch_failed", "fetch_certificate", host=place.host) from None
            except (CutOff, Silent, TimeoutError):
                last = Broken("fetch_failed", "fetch_no_answer", host=place.host)
        raise last

    async def _checked(self, place: Place, allowed: Collection[str]) -> list[str]:
        """The addresses of a host, all of them such as may be asked."""
        try:
            async with asyncio.timeout(LOOKUP):
                found = await self._lookup(place.host, place.port)
        except (OSError, UnicodeError, TimeoutError):
            raise Broken("fetch_failed", "fetch_no_name", host=place.host) from None
        if not any(same_host(place.host, one) for one in allowed):
            for address in found:
                if not is_public(address):
                    raise BadCommand("not_allowed", "fetch_private", host=place.host, address=address)
        return list(dict.fromkeys(found))

    async def _pieces(self, answer: Answer, until: float) -> AsyncGenerator[bytes, None]:
        pace = self._pace.begin(_clock())
        pieces = aiter(answer.pieces())
        while True:
            try:
                async with asyncio.timeout_at(min(until, pace.next_look)):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except CutOff:
                raise Broken("fetch_failed", "fetch_cut_off") from None
            except (Silent, TimeoutError):
                raise BadCommand("fetch_failed", "fetch_too_slow") from None
            given = _clock()
            yield piece
            pace = pace.after(len(piece), given).rested(_clock() - given)  # the disk may be slow too


def check_url(url: str) -> None:
    """Raise `BadCommand` for what is no url of a file."""
    _read(url)


def name_in(url: str) -> str:
    """The last part of the path of a url, decoded; may be empty."""
    return _read(url).path.rpartition("/")[2]


def _read(url: str) -> Place:
    try:
        return Place.read(url)
    except BadAddress:
        raise BadCommand("bad_command", "fetch_bad_url") from None


def _joined(place: Place, location: str) -> Place:
    try:
        return place.joined(location)
    except BadAddress:
        raise BadCommand("fetch_failed", "fetch_bad_redirect", host=place.host) from None


def _must_be_usable(answer: Answer, limit: int) -> None:
    if answer.status in LATER:
        raise NotNow("fetch_failed", "fetch_status", status=answer.status)
    if not 200 <= answer.status < 300:
        raise BadCommand("fetch_failed", "fetch_status", status=answer.status)
    if answer.header("content-encoding") not in ("", "identity"):
        raise BadCommand("fetch_failed", "fetch_packed")
    length = answer.header("content-length")
    if length.isascii() and length.isdigit() and int(length[:18]) > limit:
        raise TooLarge


def _clock() -> float:
    return asyncio.get_running_loop().time()

"""Fetching bytes from WeChat's CDN, decrypted as they come, and compared with what was told (ilink 8.4)."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import structlog

from wx2mqtt.errors import GatewayError, NothingYet, Rejected
from wx2mqtt.model import MediaRef
from wx2mqtt.wechat.http import BadAnswer, Response
from wx2mqtt.wechat.ilink import requests
from wx2mqtt.wechat.ilink.channel import Channel
from wx2mqtt.wechat.ilink.crypt import CutShort, Decryptor, WrongKey
from wx2mqtt.wechat.ilink.endpoints import DOWNLOAD
from wx2mqtt.wechat.ilink.hosts import Hosts
from wx2mqtt.wechat.ilink.keys import padded
from wx2mqtt.wechat.ilink.locators import Place, place_of

log = structlog.get_logger(__name__)


async def download(channel: Channel, media: MediaRef) -> AsyncGenerator[bytes, None]:
    """As `Gateway.download`.

    The whole address knows more than what we can make ourselves; that one is tried where it does not do.
    """
    place = place_of(media.locator)
    addresses = [] if place is None else list(dict.fromkeys(_addresses(place, channel.hosts)))
    if place is None or not addresses:
        raise Rejected(channel.words("no_locator"), code="gone")
    for address in addresses:
        async with channel.transport.download(address) as answer:
            if answer.status != 200 and address is not addresses[-1]:
                log.info("whole address of bytes not good", status=answer.status)
                continue
            _must_be_there(channel, answer)
            async with aclosing(_opened(channel, place, answer)) as pieces:
                async for piece in pieces:
                    yield piece
            return


def _addresses(place: Place, hosts: Hosts) -> Iterator[str]:
    """Where the bytes may be, best first; only at hosts that are believed."""
    whole = hosts.media(place.url) if place.url else None
    if whole is not None:
        yield whole
    if place.param:
        yield requests.download_from(hosts.cdn, place.param)


def _must_be_there(channel: Channel, answer: Response) -> None:
    """4xx is said of what is not there, yet or any more; only 410 says which. No redirect is followed."""
    status = answer.status
    if status == 200:
        return
    if status == 410:
        raise Rejected(channel.words("gone", call=DOWNLOAD.name), code="gone")
    if status == 204 or 400 <= status < 500:
        raise NothingYet(channel.words("nothing_yet", call=DOWNLOAD.name))
    raise BadAnswer(channel.words("status", status=status, call=DOWNLOAD.name))


async def _opened(channel: Channel, place: Place, answer: Response) -> AsyncGenerator[bytes, None]:
    """The bytes, without their encryption where they have one."""
    check = _Check(place)
    cipher = None if place.key is None else Decryptor(place.key)
    async with aclosing(answer.pieces(channel.transport.silence())) as pieces:
        async for piece in pieces:
            check.arrived(piece)
            opened = piece if cipher is None else cipher.update(piece)
            if opened:
                check.opened(opened)
                yield opened
    try:
        last = b"" if cipher is None else cipher.end()
    except CutShort:
        raise BadAnswer(channel.words("broken_answer", call=DOWNLOAD.name)) from None
    except WrongKey:
        raise Rejected(channel.words("wrong_key")) from None
    check.opened(last)
    if (trouble := check.trouble(channel)) is not None:
        raise trouble
    if last:
        yield last


class _Check:
    """Compares bytes with what was told of them, perhaps as they were encrypted: nobody says which."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._sizes = [0, 0]
        self._hashes = [hashlib.md5(usedforsecurity=False) for _ in range(2)] if place.md5 else []

    def arrived(self, piece: bytes) -> None:
        """Bytes as they came."""
        self._count(0, piece)

    def opened(self, piece: bytes) -> None:
        """Bytes as they are."""
        self._count(1, piece)

    def _count(self, which: int, piece: bytes) -> None:
        self._sizes[which] += len(piece)
        if self._hashes:
            self._hashes[which].update(piece)

    def trouble(self, channel: Channel) -> GatewayError | None:
        """What is wrong with them in the end."""
        told, (came, size) = self._place, self._sizes
        if told.size and told.size not in {came, size, padded(size)}:
            return BadAnswer(channel.words("wrong_size", size=size, announced=told.size))
        if self._hashes and told.md5 not in {one.hexdigest() for one in self._hashes}:
            return BadAnswer(channel.words("wrong_hash"))
        return None

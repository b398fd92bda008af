"""Downloads from WeChat's CDN: decrypted as they come, compared with what was announced (ilink 8.4)."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import structlog

from wx2mqtt.errors import BackendError, NoContentYet, Rejected
from wx2mqtt.model import MediaRef
from wx2mqtt.wechat.http import BadAnswer, StreamedResponse
from wx2mqtt.wechat.ilink.client import ApiClient
from wx2mqtt.wechat.ilink.protocol import requests
from wx2mqtt.wechat.ilink.protocol.crypto import (
    Decryptor,
    MediaLocation,
    TruncatedCiphertext,
    WrongKey,
    padded_size,
    parse_locator,
)
from wx2mqtt.wechat.ilink.protocol.endpoints import DOWNLOAD, TrustedHosts

log = structlog.get_logger(__name__)


async def download(client: ApiClient, media: MediaRef) -> AsyncGenerator[bytes, None]:
    """As `Backend.download`.

    The whole address knows more than what we can make ourselves; that one is tried where it does not do.
    """
    place = parse_locator(media.locator)
    addresses = [] if place is None else list(dict.fromkeys(_addresses(place, client.hosts)))
    if place is None or not addresses:
        raise Rejected(client.text("no_locator"), code="gone")
    for address in addresses:
        async with client.transport.download(address) as answer:
            if answer.status != 200 and address is not addresses[-1]:
                log.info("whole address of bytes not good", status=answer.status)
                continue
            _must_be_there(client, answer)
            async with aclosing(_opened(client, place, answer)) as pieces:
                async for piece in pieces:
                    yield piece
            return


def _addresses(location: MediaLocation, hosts: TrustedHosts) -> Iterator[str]:
    """Where the bytes may be, best first; only at hosts that are believed."""
    whole = hosts.media_url(location.url) if location.url else None
    if whole is not None:
        yield whole
    if location.param:
        yield requests.download_request(hosts.cdn, location.param)


def _must_be_there(client: ApiClient, response: StreamedResponse) -> None:
    """4xx is said of what is not there, yet or any more; only 410 says which. No redirect is followed."""
    status = response.status
    if status == 200:
        return
    if status == 410:
        raise Rejected(client.text("gone", call=DOWNLOAD.name), code="gone")
    if status == 204 or 400 <= status < 500:
        raise NoContentYet(client.text("nothing_yet", call=DOWNLOAD.name))
    raise BadAnswer(client.text("status", status=status, call=DOWNLOAD.name))


async def _opened(
    client: ApiClient, location: MediaLocation, answer: StreamedResponse
) -> AsyncGenerator[bytes, None]:
    """The bytes, without their encryption where they have one."""
    check = _IntegrityCheck(location)
    cipher = None if location.key is None else Decryptor(location.key)
    async with aclosing(answer.iter_bytes(client.transport.idle_timeout())) as pieces:
        async for piece in pieces:
            check.add_received(piece)
            opened = piece if cipher is None else cipher.update(piece)
            if opened:
                check.add_decrypted(opened)
                yield opened
    try:
        last = b"" if cipher is None else cipher.finish()
    except TruncatedCiphertext:
        raise BadAnswer(client.text("broken_answer", call=DOWNLOAD.name)) from None
    except WrongKey:  # a body that was cut behind a whole block looks the same, so another try may do
        raise BadAnswer(client.text("wrong_key")) from None
    check.add_decrypted(last)
    if (trouble := check.error(client)) is not None:
        raise trouble
    if last:
        yield last


class _IntegrityCheck:
    """Compares bytes with what was told of them, perhaps as they were encrypted: nobody says which."""

    def __init__(self, location: MediaLocation) -> None:
        self._location = location
        self._sizes = [0, 0]
        self._hashes = [hashlib.md5(usedforsecurity=False) for _ in range(2)] if location.md5 else []

    def add_received(self, chunk: bytes) -> None:
        """Bytes as they came."""
        self._count(0, chunk)

    def add_decrypted(self, chunk: bytes) -> None:
        """Bytes as they are."""
        self._count(1, chunk)

    def _count(self, which: int, chunk: bytes) -> None:
        self._sizes[which] += len(chunk)
        if self._hashes:
            self._hashes[which].update(chunk)

    def error(self, client: ApiClient) -> BackendError | None:
        """What is wrong with them in the end."""
        told, (came, size) = self._location, self._sizes
        if told.size and told.size not in {came, size, padded_size(size)}:
            return BadAnswer(client.text("wrong_size", size=size, announced=told.size))
        if self._hashes and told.md5 not in {digest.hexdigest() for digest in self._hashes}:
            return BadAnswer(client.text("wrong_hash"))
        return None

"""Downloads files from WeChat's CDN: decrypts them in chunks, checks size and hash (ilink 8.4)."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from wx2mqtt.errors import NoContentYet, Rejected
from wx2mqtt.model import MediaRef
from wx2mqtt.wechat.http_client import BadAnswer, StreamedResponse
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
from wx2mqtt.wechat.ilink.protocol.endpoints import DOWNLOAD

log = structlog.get_logger(__name__)


async def download(client: ApiClient, media: MediaRef) -> AsyncGenerator[bytes, None]:
    """Yields the file in chunks (`Backend.download`).

    The whole address contains more than the one made from a parameter, so it is tried first.
    """
    location = parse_locator(media.locator)
    urls = [] if location is None else _urls(client, location)
    if location is None or not urls:
        raise Rejected(client.text("no_locator"), code="gone")
    for url in urls:
        async with client.http.download(url) as answer:
            if answer.status != 200 and url is not urls[-1]:
                log.info("whole address of bytes not good", status=answer.status)
                continue
            _check_status(client, answer)
            async with aclosing(_decrypted_chunks(client, location, answer)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return


def _urls(client: ApiClient, location: MediaLocation) -> list[str]:
    """Returns the addresses of a file to try, without one at a host that is not trusted."""
    full_url = client.hosts.media_url(location.url) if location.url else None
    made_url = requests.download_url(client.hosts.cdn, location.param) if location.param else None
    return [url for url in dict.fromkeys((full_url, made_url)) if url is not None]


def _check_status(client: ApiClient, response: StreamedResponse) -> None:
    """Raises unless the status is 200.

    The CDN answers 4xx for a file that does not exist yet or any more; only 410 says which.
    """
    status = response.status
    if status == 200:
        return
    if status == 410:
        raise Rejected(client.text("gone"), code="gone")
    if status == 204 or 400 <= status < 500:
        raise NoContentYet(client.text("nothing_yet", call=DOWNLOAD.name))
    raise BadAnswer(client.text("status", status=status, call=DOWNLOAD.name))


async def _decrypted_chunks(
    client: ApiClient, location: MediaLocation, answer: StreamedResponse
) -> AsyncGenerator[bytes, None]:
    """Yields the bytes of the file, decrypted where they are encrypted.

    Raises `BadAnswer` at the end where they do not match the facts in `location`.
    """
    received = _Digest(with_md5=bool(location.md5))
    decrypted = _Digest(with_md5=bool(location.md5))
    cipher = None if location.key is None else Decryptor(location.key)
    async with aclosing(answer.iter_bytes()) as received_chunks:
        async for chunk in received_chunks:
            received.update(chunk)
            plain_chunk = chunk if cipher is None else cipher.update(chunk)
            if plain_chunk:
                decrypted.update(plain_chunk)
                yield plain_chunk
    try:
        last_chunk = b"" if cipher is None else cipher.finish()
    except TruncatedCiphertext:
        raise BadAnswer(client.text("broken_answer", call=DOWNLOAD.name)) from None
    except WrongKey:  # a body that ends early after a whole block looks the same, so a retry may help
        raise BadAnswer(client.text("wrong_key")) from None
    decrypted.update(last_chunk)
    _check_integrity(client, location, received, decrypted)
    if last_chunk:
        yield last_chunk


def _check_integrity(
    client: ApiClient, location: MediaLocation, received: _Digest, decrypted: _Digest
) -> None:
    """Raises `BadAnswer` for a file without the size and hash that its message says.

    The protocol does not say whether these are of the encrypted or the decrypted bytes, so both are accepted.
    """
    sizes = {received.size, decrypted.size, padded_size(decrypted.size)}
    if location.size and location.size not in sizes:
        raise BadAnswer(client.text("wrong_size", size=decrypted.size, announced=location.size))
    if location.md5 and location.md5 not in {received.md5(), decrypted.md5()}:
        raise BadAnswer(client.text("wrong_hash"))


class _Digest:
    """Size and, where it is needed, MD5 of bytes that come in chunks."""

    def __init__(self, *, with_md5: bool) -> None:
        self.size = 0
        self._hash = hashlib.md5(usedforsecurity=False) if with_md5 else None

    def update(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self._hash is not None:
            self._hash.update(chunk)

    def md5(self) -> str:
        """Returns the MD5 in hex, empty where it is not computed."""
        return "" if self._hash is None else self._hash.hexdigest()

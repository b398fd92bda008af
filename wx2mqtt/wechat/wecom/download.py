"""Downloads the files of messages from WeCom's object storage, and decrypts them in chunks (wecom 4.4)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from wx2mqtt.errors import NoContentYet, Rejected
from wx2mqtt.model import MediaRef
from wx2mqtt.wechat.backend_options import OnFileName
from wx2mqtt.wechat.http_client import BadAnswer, StreamedResponse
from wx2mqtt.wechat.wecom.client import WeComClient
from wx2mqtt.wechat.wecom.protocol.endpoints import DOWNLOAD, file_url
from wx2mqtt.wechat.wecom.protocol.media import (
    Decryptor,
    MediaLocation,
    WrongKey,
    filename_of,
    parse_locator,
)


async def download(client: WeComClient, media: MediaRef, on_name: OnFileName) -> AsyncGenerator[bytes, None]:
    """Yields the file in chunks (`Backend.download`). After five minutes its address leads to nothing.

    A message does not say the name of its file: it is in the head of this answer.
    """
    location = parse_locator(media.locator)
    url = None if location is None else file_url(client.endpoint, location.url)
    if location is None or url is None:
        raise Rejected(client.text("no_locator"), code="gone")
    async with client.http.download(url) as answer:
        _check_status(client, answer)
        if name := filename_of(answer.header("Content-Disposition")):
            on_name(name)
        async with aclosing(_decrypted_chunks(client, location, answer)) as chunks:
            async for chunk in chunks:
                yield chunk


def _check_status(client: WeComClient, answer: StreamedResponse) -> None:
    """Raises unless the status is 200. The storage answers 403 for an address that has expired."""
    status = answer.status
    if status == 200:
        return
    if status in {403, 410}:
        raise Rejected(client.text("address_expired", status=status), code="gone")
    if status == 204 or 400 <= status < 500:
        raise NoContentYet(client.text("nothing_yet", call=DOWNLOAD.name))
    raise BadAnswer(client.text("status", status=status, call=DOWNLOAD.name))


async def _decrypted_chunks(
    client: WeComClient, location: MediaLocation, answer: StreamedResponse
) -> AsyncGenerator[bytes, None]:
    """Yields the bytes of the file. With another key, or cut off, it raises `BadAnswer` at its end."""
    decryptor = None if location.key is None else Decryptor(location.key)
    async with aclosing(answer.iter_bytes()) as chunks:
        async for chunk in chunks:
            plain = chunk if decryptor is None else decryptor.update(chunk)
            if plain:
                yield plain
    if decryptor is None:
        return
    try:
        rest = decryptor.finish()
    except WrongKey:  # a body that ends early looks the same, so another attempt may help
        raise BadAnswer(client.text("wrong_key")) from None
    if rest:
        yield rest

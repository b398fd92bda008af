"""Bringing files to WeChat's CDN: encrypted while they go out, never whole in memory (ilink 8.1, 8.2).

Whatever goes wrong here, nothing was delivered: a file that was uploaded and never sent is seen by nobody.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

import structlog

from wx2mqtt.errors import GatewayError, Rejected, Unreachable
from wx2mqtt.model import Draft, Handle, Kind
from wx2mqtt.wechat import disk
from wx2mqtt.wechat.http import BadAnswer
from wx2mqtt.wechat.ilink import requests, responses
from wx2mqtt.wechat.ilink.channel import Channel
from wx2mqtt.wechat.ilink.codes import BUSY, LOGGED_OUT, OFTEN
from wx2mqtt.wechat.ilink.crypt import Encryptor
from wx2mqtt.wechat.ilink.endpoints import GET_UPLOAD_URL, UPLOAD
from wx2mqtt.wechat.ilink.requests import Body, Upload

log = structlog.get_logger(__name__)

PIECE = 128 << 10  # bytes
TRIES = 3
PAUSE = 1.0  # seconds between them
KEPT = 32  # files whose place at the CDN is remembered
GOOD_FOR = 600.0  # seconds; how long a place lives is not known (ilink 8.2)

_Key = tuple[str, Kind, Handle, str]  # what is in it, as what, for whom, its name


class Uploader:
    """The files that one login has brought to WeChat."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._kept: OrderedDict[_Key, tuple[Body, float]] = OrderedDict()
        self._under_way: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()

    async def uploaded(self, draft: Draft) -> Body:
        """The item that sends the attachment of a draft; another attempt a moment later uploads nothing.

        Raises `Rejected` with code `bad_file` when it cannot be read.
        """
        key, now = _key(draft), self._channel.timing.monotonic
        lock = self._under_way.setdefault(key, asyncio.Lock())
        async with lock:
            item, until = self._kept.get(key, ({}, 0.0))
            if item and now() < until:
                return item
            item = await self._brought(draft)
            self._kept[key] = item, now() + GOOD_FOR
            self._kept.move_to_end(key)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return item

    def forget(self, draft: Draft) -> None:
        """WeChat may not know the attachment of this draft any more."""
        self._kept.pop(_key(draft), None)

    async def _brought(self, draft: Draft) -> Body:
        upload, file = await self._begun(draft), _file(draft)
        began = self._channel.timing.monotonic()
        address = await self._address(upload)
        param = await self._sent(upload, file, address)
        seconds = round(self._channel.timing.monotonic() - began, 1)
        log.info("file uploaded", kind=str(upload.kind), size=upload.size, seconds=seconds)
        return requests.media_item(upload, param)

    async def _begun(self, draft: Draft) -> Upload:
        attachment = draft.attachment
        assert attachment is not None
        return Upload(
            kind=draft.kind,
            to=draft.chat,
            name=attachment.name,
            size=attachment.blob.size,
            md5=await disk.read(partial(disk.md5, attachment.file), self._channel.words("bad_file")),
            key=secrets.token_bytes(16),
            filekey=secrets.token_hex(16),
        )

    async def _address(self, upload: Upload) -> str:
        """Where it goes to: the whole address where there is one, since it knows more (ilink 8.2)."""
        channel = self._channel
        answer = await channel.ask_anyway(GET_UPLOAD_URL, requests.upload_url(upload))
        ret, (url, param) = responses.code_of(answer), responses.upload_address(answer)
        if ret:
            raise self._refusal(ret, responses.words_of(answer))
        whole = channel.hosts.media(url) if url else None
        if whole is None and not param:
            raise BadAnswer(channel.words("no_address"))
        return whole or requests.upload_to(channel.hosts.cdn, param, upload.filekey)

    def _refusal(self, ret: int, words: str) -> GatewayError:
        if ret in {LOGGED_OUT, OFTEN, BUSY}:
            return self._channel.refusal(ret, GET_UPLOAD_URL)
        return self._rejected(ret, words)

    def _rejected(self, ret: int, words: str) -> Rejected:
        sentence = self._channel.words("not_uploaded", ret=ret)
        return Rejected(f"{sentence}: {words}" if words else sentence)

    async def _sent(self, upload: Upload, file: Path, address: str) -> str:
        """What the CDN calls it. What it cannot take now is tried again, what it refuses is not."""
        for _ in range(TRIES - 1):
            try:
                return await self._try(upload, file, address)
            except Unreachable as why:
                log.info("trying again", reason=str(why))
                await self._channel.timing.sleep(PAUSE)
        return await self._try(upload, file, address)

    async def _try(self, upload: Upload, file: Path, address: str) -> str:
        channel = self._channel
        answer = await channel.transport.upload(address, self._pieces(upload, file), upload.encrypted)
        if 400 <= answer.status < 500:
            raise self._rejected(answer.status, responses.shown(answer.words))
        if answer.status != 200 or not answer.param:
            word = "no_media_id" if answer.status == 200 else "status"
            raise BadAnswer(channel.words(word, status=answer.status, call=UPLOAD.name))
        return answer.param

    async def _pieces(self, upload: Upload, file: Path) -> AsyncIterator[bytes]:
        """The file as it goes out. It must be as long as was told."""
        cipher, place = Encryptor(upload.key), 0
        while place < upload.size:
            piece = await disk.read(
                partial(disk.piece, file, place, upload.size, PIECE), self._channel.words("bad_file")
            )
            place += len(piece)
            yield cipher.update(piece)
        yield cipher.end()


def _key(draft: Draft) -> _Key:
    assert draft.attachment is not None
    return draft.attachment.blob.sha256, draft.kind, draft.chat, draft.attachment.name


def _file(draft: Draft) -> Path:
    assert draft.attachment is not None
    return draft.attachment.file

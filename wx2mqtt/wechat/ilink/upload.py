"""Uploads to WeChat's CDN: encrypted while the bytes go out, never whole in memory (ilink 8.1, 8.2).

Whatever fails here, nothing was delivered: a file that was uploaded and never sent is seen by nobody.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import structlog

from wx2mqtt.errors import BackendError, Rejected, Unreachable
from wx2mqtt.model import Draft, Handle, Kind
from wx2mqtt.wechat import attachments
from wx2mqtt.wechat.attachments import UploadCache
from wx2mqtt.wechat.http import BadAnswer
from wx2mqtt.wechat.ilink.client import ApiClient
from wx2mqtt.wechat.ilink.protocol import requests, responses
from wx2mqtt.wechat.ilink.protocol.crypto import Encryptor
from wx2mqtt.wechat.ilink.protocol.endpoints import (
    ERR_BUSY,
    ERR_LOGGED_OUT,
    ERR_TOO_OFTEN,
    GET_UPLOAD_URL,
    UPLOAD,
)
from wx2mqtt.wechat.ilink.protocol.requests import JsonBody, Upload

log = structlog.get_logger(__name__)

READ_CHUNK_BYTES = 128 << 10  # bytes
MAX_UPLOAD_ATTEMPTS = 3
UPLOAD_RETRY_SECONDS = 1.0  # seconds between them
UPLOAD_CACHE_SIZE = 32  # files whose place at the CDN is remembered
UPLOAD_CACHE_SECONDS = 600.0  # seconds; how long a place lives is not known (ilink 8.2.6)

_UploadKey = tuple[str, Kind, Handle, str]  # what is in it, as what, for whom, its name
_TimedItem = tuple[JsonBody, float]  # what sends it, and until when on the monotonic clock it is used


class Uploader:
    """The files that one login has brought to WeChat."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._cache = UploadCache[_UploadKey, _TimedItem](UPLOAD_CACHE_SIZE)

    async def ensure_uploaded(self, draft: Draft) -> JsonBody:
        """The item that sends the attachment of a draft; another attempt a moment later uploads nothing.

        Raises `Rejected` with code `bad_file` when it cannot be read.
        """
        now = self._client.clock.monotonic

        async def upload() -> _TimedItem:
            item = await self._upload(draft)
            return item, now() + UPLOAD_CACHE_SECONDS

        item, _ = await self._cache.get_or_upload(_key(draft), upload, lambda known: now() < known[1])
        return item

    def invalidate(self, draft: Draft) -> None:
        """WeChat may not know the attachment of this draft any more."""
        self._cache.invalidate(_key(draft))

    async def _upload(self, draft: Draft) -> JsonBody:
        upload, file = await self._prepare_upload(draft), _file(draft)
        started_at = self._client.clock.monotonic()
        address = await self._request_upload_url(upload)
        param = await self._send_with_retries(upload, file, address)
        seconds = round(self._client.clock.monotonic() - started_at, 1)
        log.info("file uploaded", kind=str(upload.kind), size=upload.size, seconds=seconds)
        return requests.media_item(upload, param)

    async def _prepare_upload(self, draft: Draft) -> Upload:
        attachment = draft.attachment
        assert attachment is not None
        return Upload(
            kind=draft.kind,
            to=draft.chat,
            name=attachment.name,
            size=attachment.blob.size,
            md5=await attachments.read_attachment(
                partial(attachments.file_md5, attachment.file), self._client.text("bad_file")
            ),
            key=secrets.token_bytes(16),
            filekey=secrets.token_hex(16),
        )

    async def _request_upload_url(self, upload: Upload) -> str:
        """Where it goes to: the whole address where there is one, since it knows more (ilink 8.2.2)."""
        client = self._client
        answer = await client.call_unchecked(GET_UPLOAD_URL, requests.upload_url_request(upload))
        ret, (url, param) = responses.error_code(answer), responses.read_upload_url(answer)
        if ret:
            raise self._error_for(ret, responses.error_text(answer))
        whole = client.hosts.media_url(url) if url else None
        if whole is None and not param:
            raise BadAnswer(client.text("no_address"))
        return whole or requests.upload_request(client.hosts.cdn, param, upload.filekey)

    def _error_for(self, ret: int, errmsg: str) -> BackendError:
        if ret in {ERR_LOGGED_OUT, ERR_TOO_OFTEN, ERR_BUSY}:
            return self._client.error_for(ret, GET_UPLOAD_URL)
        return self._rejected(ret, errmsg)

    def _rejected(self, ret: int, errmsg: str) -> Rejected:
        sentence = self._client.text("not_uploaded", ret=ret)
        return Rejected(f"{sentence}: {errmsg}" if errmsg else sentence)

    async def _send_with_retries(self, upload: Upload, file: Path, address: str) -> str:
        """What the CDN calls it. What it cannot take now is tried again, what it refuses is not."""
        for _ in range(MAX_UPLOAD_ATTEMPTS - 1):
            try:
                return await self._send_once(upload, file, address)
            except Unreachable as why:
                log.info("trying again", reason=str(why))
                await self._client.clock.sleep(UPLOAD_RETRY_SECONDS)
        return await self._send_once(upload, file, address)

    async def _send_once(self, upload: Upload, file: Path, address: str) -> str:
        client = self._client
        answer = await client.transport.upload(
            address, self._encrypted_chunks(upload, file), upload.encrypted_size
        )
        if 400 <= answer.status < 500:
            raise self._rejected(answer.status, responses.printable_error(answer.errmsg))
        if answer.status != 200 or not answer.param:
            word = "no_media_id" if answer.status == 200 else "status"
            raise BadAnswer(client.text(word, status=answer.status, call=UPLOAD.name))
        return answer.param

    async def _encrypted_chunks(self, upload: Upload, file: Path) -> AsyncIterator[bytes]:
        """The file as it goes out. It must be as long as was told."""
        cipher, place = Encryptor(upload.key), 0
        while place < upload.size:
            piece = await attachments.read_attachment(
                partial(attachments.read_piece, file, place, upload.size, READ_CHUNK_BYTES),
                self._client.text("bad_file"),
            )
            place += len(piece)
            yield cipher.update(piece)
        yield cipher.finish()


def _key(draft: Draft) -> _UploadKey:
    assert draft.attachment is not None
    return draft.attachment.blob.sha256, draft.kind, draft.chat, draft.attachment.name


def _file(draft: Draft) -> Path:
    assert draft.attachment is not None
    return draft.attachment.file

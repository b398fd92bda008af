"""Uploads files to WeChat's CDN, encrypted in chunks (ilink 8.1, 8.2).

No failure here leaves an outcome unknown: nobody sees an uploaded file before a message with it is sent.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from wx2mqtt.errors import Rejected
from wx2mqtt.model import Draft, Handle, Kind
from wx2mqtt.wechat import outgoing_files
from wx2mqtt.wechat.http_client import BadAnswer, with_retries
from wx2mqtt.wechat.ilink.client import ApiClient
from wx2mqtt.wechat.ilink.protocol import requests, responses
from wx2mqtt.wechat.ilink.protocol.codes import ERR_BUSY, ERR_LOGGED_OUT, ERR_TOO_OFTEN
from wx2mqtt.wechat.ilink.protocol.crypto import Encryptor
from wx2mqtt.wechat.ilink.protocol.endpoints import GET_UPLOAD_URL, UPLOAD
from wx2mqtt.wechat.ilink.protocol.requests import JsonBody, Upload
from wx2mqtt.wechat.outgoing_files import UploadCache

log = structlog.get_logger(__name__)

READ_CHUNK_BYTES = 128 << 10

# How many uploads are used again, and for how long. WeChat does not say how long it keeps one (ilink 8.2.6).
UPLOAD_CACHE_SIZE = 32
UPLOAD_CACHE_SECONDS = 600.0

# What must be equal for an upload to be used again: SHA-256 of the file, kind, recipient, file name.
_UploadKey = tuple[str, Kind, Handle, str]


class Uploader:
    """Uploads files for one login, and remembers recent uploads."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._cache = UploadCache[_UploadKey, JsonBody](
            UPLOAD_CACHE_SIZE, UPLOAD_CACHE_SECONDS, client.clock.monotonic
        )

    async def ensure_uploaded(self, draft: Draft) -> JsonBody:
        """Returns the item that sends the attachment of a draft, uploaded now or recently.

        Raises `Rejected` with code `bad_file` when the file cannot be read.
        """
        return await self._cache.get_or_upload(_key(draft), lambda: self._upload(draft))

    def invalidate(self, draft: Draft) -> None:
        """Removes the upload of this draft: WeChat may not have it any more."""
        self._cache.invalidate(_key(draft))

    async def _upload(self, draft: Draft) -> JsonBody:
        attachment = draft.attachment
        assert attachment is not None
        upload = Upload(
            kind=draft.kind,
            to=draft.chat,
            name=attachment.name,
            size=attachment.blob.size,
            md5=await outgoing_files.read_md5(attachment.file, self._client.text("bad_file")),
            key=secrets.token_bytes(16),
            filekey=secrets.token_hex(16),
        )
        started_at = self._client.clock.monotonic()
        url = await self._request_upload_url(upload)
        param = await with_retries(lambda: self._send(upload, attachment.file, url), self._client.clock)
        seconds = round(self._client.clock.monotonic() - started_at, 1)
        log.info("file uploaded", kind=str(upload.kind), size=upload.size, seconds=seconds)
        return requests.media_item(upload, param)

    async def _request_upload_url(self, upload: Upload) -> str:
        """Asks WeChat for the address of an upload.

        A whole address has precedence over one made from a parameter: it contains more (ilink 8.2.2).
        """
        client = self._client
        answer = await client.call_unchecked(GET_UPLOAD_URL, requests.upload_url_body(upload))
        ret = responses.error_code(answer)
        if ret:
            if ret in {ERR_LOGGED_OUT, ERR_TOO_OFTEN, ERR_BUSY}:
                client.observe_ret(ret, GET_UPLOAD_URL)
                raise client.error_for(ret, GET_UPLOAD_URL)
            raise self._rejected(ret, responses.error_text(answer))
        full_url, param = responses.read_upload_url(answer)
        trusted_url = client.hosts.media_url(full_url) if full_url else None
        if trusted_url is None and not param:
            raise BadAnswer(client.text("no_address"))
        return trusted_url or requests.upload_url(client.hosts.cdn, param, upload.filekey)

    def _rejected(self, ret: int, errmsg: str) -> Rejected:
        message = self._client.text("not_uploaded", ret=ret)
        return Rejected(f"{message}: {errmsg}" if errmsg else message)

    async def _send(self, upload: Upload, file: Path, url: str) -> str:
        """Uploads a file and returns its `param` at the CDN. Raises `Rejected` where that refuses it."""
        client = self._client
        answer = await client.http.upload(url, self._encrypted_chunks(upload, file), upload.encrypted_size)
        if 400 <= answer.status < 500:
            raise self._rejected(answer.status, responses.printable_error(answer.errmsg))
        if answer.status != 200 or not answer.param:
            message_key = "no_media_id" if answer.status == 200 else "status"
            raise BadAnswer(client.text(message_key, status=answer.status, call=UPLOAD.name))
        return answer.param

    async def _encrypted_chunks(self, upload: Upload, file: Path) -> AsyncIterator[bytes]:
        """Yields the encrypted bytes. Raises `Rejected` where the file is shorter than `upload.size`."""
        cipher = Encryptor(upload.key)
        position = 0
        while position < upload.size:
            chunk = await outgoing_files.read_piece(
                file, position, upload.size, READ_CHUNK_BYTES, self._client.text("bad_file")
            )
            position += len(chunk)
            yield cipher.update(chunk)
        yield cipher.finish()


def _key(draft: Draft) -> _UploadKey:
    assert draft.attachment is not None
    return draft.attachment.blob.sha256, draft.kind, draft.chat, draft.attachment.name

"""Uploads attachments in parts (webwx 2.13, 2.14).

1. A large file is announced. WeChat may have it already, and answers with its MediaId: nothing is uploaded.
2. Each part of half a megabyte is a call of its own. The answer to the last one has the MediaId.
3. The MediaId is remembered for the login: the same file is uploaded once for several drafts.

When an upload fails, nothing was delivered: nobody sees an uploaded file before it is sent.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import structlog

from wx2mqtt.model import Draft, Kind
from wx2mqtt.wechat import outgoing_files
from wx2mqtt.wechat.http_client import BadAnswer
from wx2mqtt.wechat.json_reader import JsonObject, read_text
from wx2mqtt.wechat.outgoing_files import UploadCache
from wx2mqtt.wechat.webwx.client import ApiClient
from wx2mqtt.wechat.webwx.protocol import media_requests
from wx2mqtt.wechat.webwx.protocol.media_requests import (
    UPLOAD_CHECK_BYTES,
    UPLOAD_PART_BYTES,
    Upload,
    Uploaded,
)

log = structlog.get_logger(__name__)

# The MediaIds of so many files are remembered.
UPLOAD_CACHE_SIZE = 512

# SHA-256 of the content, and the kind that it is sent as.
_UploadKey = tuple[str, Kind]


class Uploader:
    """Uploads the attachments of one login, and remembers what was uploaded."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._login_id = client.session.login_id
        self._upload_numbers = count()
        #: When the last upload began, in milliseconds since 1970; the next one gets a later time.
        self._last_started_ms = 0
        self._cache = UploadCache[_UploadKey, Uploaded](UPLOAD_CACHE_SIZE)

    async def prepare(self, draft: Draft) -> None:
        """Uploads the attachment of a draft unless that was done before. Raises as `ensure_uploaded`."""
        await self._cache.get_or_upload(_key(draft), lambda: self._upload(draft))

    async def ensure_uploaded(self, draft: Draft) -> Uploaded:
        """Returns the upload of a draft's attachment; the same file is uploaded once for several drafts.

        Raises `Rejected` with code `bad_file` when the file cannot be read.
        """
        key = _key(draft)
        uploaded = await self._cache.get_or_upload(key, lambda: self._upload(draft))
        self._cache.store(key, replace(uploaded, reused=True))  # so the next draft that sends it knows
        return uploaded

    def invalidate(self, draft: Draft) -> None:
        """Forgets the upload of a draft's attachment, so that it is uploaded again."""
        self._cache.invalidate(_key(draft))

    async def _upload(self, draft: Draft) -> Uploaded:
        attachment = draft.attachment
        assert attachment is not None
        client, blob = self._client, attachment.blob
        # WeChat identifies the parts of an upload by its time, so this is unique.
        self._last_started_ms = max(client.clock.now, self._last_started_ms + 1)
        upload = Upload(
            number=next(self._upload_numbers),
            started_ms=self._last_started_ms,
            kind=draft.kind,
            name=media_requests.upload_filename(attachment.name, draft.kind, blob.mime),
            mime=blob.mime,
            size=blob.size,
            md5=await outgoing_files.read_md5(attachment.file, client.text("bad_file")),
            to=draft.chat,
        )
        if upload.size > UPLOAD_CHECK_BYTES:
            session = client.require_login(self._login_id)
            request = media_requests.check_upload_request(session, upload)
            answer = await client.call_or_reject(request, "not_uploaded")
            signature = read_text(answer, "Signature")
            known_media_id = read_text(answer, "MediaId")
            if known_media_id:
                log.info("WeChat has this file already", size=upload.size)
                return Uploaded(media_id=known_media_id, signature=signature)
            upload = replace(upload, aes_key=read_text(answer, "AESKey"), signature=signature)
        return await self._send_parts(draft, upload)

    async def _send_parts(self, draft: Draft, upload: Upload) -> Uploaded:
        """Uploads all parts in order; the answer to the last one holds the media id."""
        client = self._client
        started_at = client.clock.monotonic()
        media_id = ""
        for index in range(upload.part_count):
            media_id = read_text(await self._send_part(draft, upload, index), "MediaId")
        if not media_id:
            raise BadAnswer(client.text("no_media_id"))
        seconds = round(client.clock.monotonic() - started_at, 1)
        log.info("file uploaded", kind=str(upload.kind), size=upload.size, seconds=seconds)
        return Uploaded(media_id=media_id, signature=upload.signature)

    async def _send_part(self, draft: Draft, upload: Upload, index: int) -> JsonObject:
        """Uploads one part with the current keys, which a sync may have renewed since the previous part."""
        assert draft.attachment is not None
        client = self._client
        start = index * UPLOAD_PART_BYTES
        content = await outgoing_files.read_piece(
            draft.attachment.file, start, upload.size, UPLOAD_PART_BYTES, client.text("bad_file")
        )
        session = client.require_login(self._login_id)
        ticket = client.http.cookies.value("webwx_data_ticket")
        request = media_requests.upload_part_request(session, upload, index, content, ticket)
        return await client.call_or_reject(request, "not_uploaded")


def _key(draft: Draft) -> _UploadKey:
    assert draft.attachment is not None
    return draft.attachment.blob.sha256, draft.kind

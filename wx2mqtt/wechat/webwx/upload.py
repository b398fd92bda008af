"""Uploads: part after part from the disk, and not again what WeChat has (webwx 2.13, 2.14).

Whatever fails here, nothing was delivered: a file that was uploaded and never sent is seen by nobody.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import count

import structlog

from wx2mqtt.model import Draft, Kind
from wx2mqtt.wechat import attachments
from wx2mqtt.wechat.attachments import UploadCache
from wx2mqtt.wechat.http import BadAnswer
from wx2mqtt.wechat.json_reader import JsonObject, read_text
from wx2mqtt.wechat.webwx.client import ApiClient
from wx2mqtt.wechat.webwx.protocol import content, media_requests
from wx2mqtt.wechat.webwx.protocol.media_requests import (
    UPLOAD_CHECK_BYTES,
    UPLOAD_PART_BYTES,
    Upload,
    Uploaded,
)

log = structlog.get_logger(__name__)

UPLOAD_CACHE_SIZE = 512  # files whose MediaId is remembered

_UploadKey = tuple[str, Kind]  # what is in it, and as what it is sent


class Uploader:
    """The files that one login has brought to WeChat."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._login_id = client.session.login_id
        self._numbers = count()
        self._last_started_ms = 0
        self._cache = UploadCache[_UploadKey, Uploaded](UPLOAD_CACHE_SIZE)

    async def prepare(self, draft: Draft) -> None:
        """Uploads the attachment of a draft, unless it is there. Raises as `ensure_uploaded`."""
        await self._cache.get_or_upload(_key(draft), lambda: self._upload(draft))

    async def ensure_uploaded(self, draft: Draft) -> Uploaded:
        """The attachment of a draft at WeChat; two drafts with the same one upload it once.

        Raises `Rejected` with code `bad_file` when it cannot be read.
        """
        key = _key(draft)
        uploaded = await self._cache.get_or_upload(key, lambda: self._upload(draft))
        self._cache.store(key, replace(uploaded, reused=True))  # what the next draft gets is no fresh upload
        return uploaded

    def invalidate(self, draft: Draft) -> None:
        """WeChat does not know the attachment of this draft any more."""
        self._cache.invalidate(_key(draft))

    async def _upload(self, draft: Draft) -> Uploaded:
        upload = await self._prepare_upload(draft)
        if upload.size > UPLOAD_CHECK_BYTES:
            answer = await self._check_upload(upload)
            upload = replace(
                upload, aes_key=read_text(answer, "AESKey"), signature=read_text(answer, "Signature")
            )
            if read_text(answer, "MediaId"):
                log.info("WeChat has this file already", size=upload.size)
                return Uploaded(media_id=read_text(answer, "MediaId"), signature=upload.signature)
        return await self._send_parts(draft, upload)

    async def _prepare_upload(self, draft: Draft) -> Upload:
        attachment = draft.attachment
        assert attachment is not None
        blob = attachment.blob
        return Upload(
            number=next(self._numbers),
            started_ms=self._unique_start_ms(),
            kind=draft.kind,
            name=content.upload_filename(attachment.name, draft.kind, blob.mime),
            mime=blob.mime,
            size=blob.size,
            md5=await attachments.read_attachment(
                partial(attachments.file_md5, attachment.file), self._client.text("bad_file")
            ),
            to=draft.chat,
        )

    def _unique_start_ms(self) -> int:
        """Now, in milliseconds; each upload has its own, by which WeChat knows its parts."""
        self._last_started_ms = max(self._client.clock.now, self._last_started_ms + 1)
        return self._last_started_ms

    async def _check_upload(self, upload: Upload) -> JsonObject:
        client = self._client
        session = client.require_login(self._login_id)
        request = media_requests.check_upload_request(client.site, session, upload)
        return await client.call_or_reject(request, "not_uploaded")

    async def _send_parts(self, draft: Draft, upload: Upload) -> Uploaded:
        """The parts one after the other; the answer to the last one names the file."""
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
        """One part, with the keys of this moment: a sync may have renewed them since the part before."""
        assert draft.attachment is not None
        client = self._client
        part = partial(
            attachments.read_piece,
            draft.attachment.file,
            index * UPLOAD_PART_BYTES,
            upload.size,
            UPLOAD_PART_BYTES,
        )
        content = await attachments.read_attachment(part, client.text("bad_file"))
        session = client.require_login(self._login_id)
        ticket = client.transport.cookies.value("webwx_data_ticket")
        request = media_requests.upload_part_request(client.site, session, upload, index, content, ticket)
        return await client.call_or_reject(request, "not_uploaded")


def _key(draft: Draft) -> _UploadKey:
    assert draft.attachment is not None
    return draft.attachment.blob.sha256, draft.kind

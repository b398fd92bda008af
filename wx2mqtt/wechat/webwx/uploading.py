"""Bringing files to WeChat: part after part from the disk, and not again what it has (webwx 2.13, 2.14).

Whatever goes wrong here, nothing was delivered: a file that was uploaded and never sent is seen by nobody.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from itertools import count
from weakref import WeakValueDictionary

import structlog

from wx2mqtt.model import Draft, Kind
from wx2mqtt.wechat import disk
from wx2mqtt.wechat.fields import Entry, text
from wx2mqtt.wechat.http import BadAnswer
from wx2mqtt.wechat.webwx import filenames, send_requests
from wx2mqtt.wechat.webwx.channel import Channel
from wx2mqtt.wechat.webwx.send_requests import CHECKED, PART, Upload, Uploaded

log = structlog.get_logger(__name__)

KEPT = 512  # files whose MediaId is remembered

_Key = tuple[str, Kind]  # what is in it, and as what it is sent


class Uploader:
    """The files that one login has brought to WeChat."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._login_id = channel.session.login_id
        self._numbers = count()
        self._began = 0
        self._kept: OrderedDict[_Key, Uploaded] = OrderedDict()
        self._under_way: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()

    async def prepare(self, draft: Draft) -> None:
        """Bring the attachment of a draft, unless it is there. Raises as `uploaded`."""
        await self._there(_key(draft), draft)

    async def uploaded(self, draft: Draft) -> Uploaded:
        """The attachment of a draft at WeChat; two drafts with the same one upload it once.

        Raises `Rejected` with code `bad_file` when it cannot be read.
        """
        key = _key(draft)
        found = await self._there(key, draft)
        self._kept[key] = replace(found, reused=True)  # from the next one on it is no fresh one
        return found

    async def _there(self, key: _Key, draft: Draft) -> Uploaded:
        lock = self._under_way.setdefault(key, asyncio.Lock())
        async with lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
                return known
            fresh = await self._brought(draft)
            self._kept[key] = fresh
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return fresh

    def forget(self, draft: Draft) -> None:
        """WeChat does not know the attachment of this draft any more."""
        self._kept.pop(_key(draft), None)

    async def _brought(self, draft: Draft) -> Uploaded:
        upload = await self._begun(draft)
        if upload.size > CHECKED:
            answer = await self._announced(upload)
            upload = replace(upload, aes_key=text(answer, "AESKey"), signature=text(answer, "Signature"))
            if text(answer, "MediaId"):
                log.info("WeChat has this file already", size=upload.size)
                return Uploaded(media_id=text(answer, "MediaId"), signature=upload.signature)
        return await self._sent(draft, upload)

    async def _begun(self, draft: Draft) -> Upload:
        attachment = draft.attachment
        assert attachment is not None
        blob = attachment.blob
        return Upload(
            number=next(self._numbers),
            began=self._moment(),
            kind=draft.kind,
            name=filenames.uploaded(attachment.name, draft.kind, blob.mime),
            mime=blob.mime,
            size=blob.size,
            md5=await disk.read(partial(disk.md5, attachment.file), self._channel.words("bad_file")),
            to=draft.chat,
        )

    def _moment(self) -> int:
        """Now, in milliseconds; each upload has its own, by which WeChat knows its parts."""
        self._began = max(self._channel.timing.now, self._began + 1)
        return self._began

    async def _announced(self, upload: Upload) -> Entry:
        channel = self._channel
        session = channel.of_login(self._login_id)
        request = send_requests.check_upload(channel.site, session, upload)
        return await channel.deliver(request, "not_uploaded")

    async def _sent(self, draft: Draft, upload: Upload) -> Uploaded:
        """The parts one after the other; the answer to the last one names the file."""
        channel = self._channel
        began = channel.timing.monotonic()
        media_id = ""
        for index in range(upload.parts):
            media_id = text(await self._part(draft, upload, index), "MediaId")
        if not media_id:
            raise BadAnswer(channel.words("no_media_id"))
        seconds = round(channel.timing.monotonic() - began, 1)
        log.info("file uploaded", kind=str(upload.kind), size=upload.size, seconds=seconds)
        return Uploaded(media_id=media_id, signature=upload.signature)

    async def _part(self, draft: Draft, upload: Upload, index: int) -> Entry:
        """One part, with the keys of this moment: a sync may have renewed them since the part before."""
        assert draft.attachment is not None
        channel = self._channel
        part = partial(disk.piece, draft.attachment.file, index * PART, upload.size, PART)
        content = await disk.read(part, channel.words("bad_file"))
        session = channel.of_login(self._login_id)
        ticket = channel.transport.cookies.value("webwx_data_ticket")
        request = send_requests.upload_part(channel.site, session, upload, index, content, ticket)
        return await channel.deliver(request, "not_uploaded")


def _key(draft: Draft) -> _Key:
    assert draft.attachment is not None
    return draft.attachment.blob.sha256, draft.kind

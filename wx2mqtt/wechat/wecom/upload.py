"""Uploads files to WeCom in pieces, over the socket that carries everything else (wecom 5.9).

1. `aibot_upload_media_init` announces the file and gets an upload id, which is good for 30 minutes.
2. Each piece is a request of its own; the next one is read when it is answered. So at most one piece of the
   account is on its way, and texts and heartbeats go between two.
3. `aibot_upload_media_finish` returns the `media_id`, with which messages send the file for three days.

A piece without an answer is repeated, since WeCom ignores what it has already. After a lost connection the
next call goes on where this one stopped. What WeCom refuses as a picture or a video is uploaded as a file.

How many uploads of a bot begin is bounded by WeCom (`_UploadQuota`).

No failure here leaves an outcome unknown: nobody sees an uploaded file before a message with it is sent.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass

import structlog

from wx2mqtt.errors import OutcomeUnknown, Rejected, Unreachable
from wx2mqtt.model import Attachment, Draft, Kind
from wx2mqtt.values import frozen
from wx2mqtt.wechat import outgoing_files
from wx2mqtt.wechat.json_reader import JsonObject, read_text
from wx2mqtt.wechat.outgoing_files import UploadCache
from wx2mqtt.wechat.wecom.client import WeComClient
from wx2mqtt.wechat.wecom.protocol import requests
from wx2mqtt.wechat.wecom.protocol.endpoints import (
    CAPABILITIES,
    MAX_UPLOADS,
    MEDIA_ID_SECONDS,
    UPLOAD_SECONDS,
)
from wx2mqtt.wechat.wecom.protocol.frames import FrameCommand
from wx2mqtt.wechat.wecom.protocol.requests import JsonBody
from wx2mqtt.wechat.wecom.protocol.session import COUNTED_UPLOADS

log = structlog.get_logger(__name__)

# The size of a piece, but for the last one, and how many pieces WeCom takes of a file.
PIECE_BYTES = 512 * 1024
MAX_PIECES = 100

# A request without an answer is made so often.
MAX_REQUESTS = 3

# So many finished uploads are remembered to be used again, and so many unfinished ones to go on.
UPLOAD_CACHE_SIZE = 32

# What must be equal for an upload to be used again: SHA-256 of the file, kind, file name.
UploadKey = tuple[str, Kind, str]


class Uploader:
    """Uploads files for one bot, and remembers recent uploads."""

    def __init__(self, client: WeComClient) -> None:
        self._client = client
        self._clock = client.clock
        self._cache = UploadCache[UploadKey, UploadedMedia](
            UPLOAD_CACHE_SIZE, MEDIA_ID_SECONDS, client.clock.boot_time
        )
        #: The uploads that have begun and not ended, the oldest first.
        self._unfinished: OrderedDict[UploadKey, UnfinishedUpload] = OrderedDict()
        #: Only one piece of the account is on its way at a time.
        self._piece_lock = asyncio.Lock()
        self._quota = _UploadQuota(client)

    async def ensure_uploaded(self, draft: Draft) -> UploadedMedia:
        """Returns the attachment of a draft as a message sends it, uploaded now or in the last three days.

        Raises `Rejected` where WeCom takes it in no form, with code `bad_file` when it cannot be read;
        `Unreachable` where a later call may do it; `Throttled`.
        """
        assert draft.attachment is not None
        attachment, kind = draft.attachment, draft.kind
        return await self._cache.get_or_upload(
            _key(attachment, kind), lambda: self._upload_in_any_kind(attachment, kind)
        )

    async def upload_as_file(self, draft: Draft) -> UploadedMedia:
        """Uploads the attachment of a draft as a file, since WeCom refused the message with it as a picture.

        The draft is remembered with this upload. Raises as `ensure_uploaded`.
        """
        assert draft.attachment is not None
        uploaded = await self._upload(draft.attachment, Kind.FILE)
        self._cache.store(_key(draft.attachment, draft.kind), uploaded)
        return uploaded

    def invalidate(self, draft: Draft) -> None:
        """Removes the upload of this draft: WeCom may not have it any more."""
        assert draft.attachment is not None
        self._cache.invalidate(_key(draft.attachment, draft.kind))

    async def _upload_in_any_kind(self, attachment: Attachment, kind: Kind) -> UploadedMedia:
        """Uploads a file as this kind; a picture or a video that WeCom refuses is uploaded as a file."""
        try:
            return await self._upload(attachment, kind)
        except Rejected as why:
            if why.code == "bad_file" or not CAPABILITIES.media[kind].else_as_file:
                raise
            log.info("refused as this kind, uploaded as a file", kind=str(kind), reason=str(why))
            return await self._upload(attachment, Kind.FILE)

    async def _upload(self, attachment: Attachment, kind: Kind) -> UploadedMedia:
        """Uploads a file as this kind.

        An upload that an earlier call has begun goes on; if WeCom refuses that, it begins anew.
        """
        key = _key(attachment, kind)
        started_at = self._clock.monotonic()
        is_continued = self._find_unfinished(key) is not None
        try:
            media_id = await self._upload_rest(attachment, kind)
        except Rejected:
            self._unfinished.pop(key, None)
            if not is_continued:
                raise
            media_id = await self._upload_rest(attachment, kind)
        self._unfinished.pop(key, None)
        seconds = round(self._clock.monotonic() - started_at, 1)
        log.info("file uploaded", kind=str(kind), size=attachment.blob.size, seconds=seconds)
        return UploadedMedia(media_id=media_id, kind=kind)

    async def _upload_rest(self, attachment: Attachment, kind: Kind) -> str:
        """Uploads all that WeCom does not have yet; returns the `media_id`."""
        upload = self._find_unfinished(_key(attachment, kind)) or await self._begin(attachment, kind)
        while upload.pieces_done < piece_count(attachment.blob.size):
            await self._send_piece(upload, attachment)
            upload.pieces_done += 1
        answer = await self._request(FrameCommand.UPLOAD_END, requests.upload_end(upload.upload_id))
        return self._require_text(answer, "media_id")

    def _find_unfinished(self, key: UploadKey) -> UnfinishedUpload | None:
        """Returns the upload that may go on. One that began too long ago is forgotten."""
        upload = self._unfinished.get(key)
        if upload is None or self._clock.boot_time() - upload.begun_at < UPLOAD_SECONDS:
            return upload
        del self._unfinished[key]
        return None

    async def _begin(self, attachment: Attachment, kind: Kind) -> UnfinishedUpload:
        """Announces a file."""
        blob = attachment.blob
        md5 = await outgoing_files.read_md5(attachment.file, self._client.text("bad_file"))
        begun_at = self._clock.boot_time()
        body = requests.upload_begin(kind, attachment.name, blob.size, piece_count(blob.size), md5)
        answer = await self._request(FrameCommand.UPLOAD_BEGIN, body)
        upload = UnfinishedUpload(upload_id=self._require_text(answer, "upload_id"), begun_at=begun_at)
        self._unfinished[_key(attachment, kind)] = upload
        if len(self._unfinished) > UPLOAD_CACHE_SIZE:
            self._unfinished.popitem(last=False)
        return upload

    async def _send_piece(self, upload: UnfinishedUpload, attachment: Attachment) -> None:
        async with self._piece_lock:
            data = await outgoing_files.read_base64_piece(
                attachment.file,
                upload.pieces_done * PIECE_BYTES,
                attachment.blob.size,
                PIECE_BYTES,
                self._client.text("bad_file"),
            )
            body = requests.upload_piece(upload.upload_id, upload.pieces_done, data)
            await self._request(FrameCommand.UPLOAD_PIECE, body)

    async def _request(self, command: FrameCommand, body: JsonBody) -> JsonObject:
        """Makes a request, and repeats one without an answer: none of these does any harm twice.

        Raises the errors of `WeComClient.request`, and `Unreachable` in place of `OutcomeUnknown`.
        """
        for attempt in range(1, MAX_REQUESTS + 1):
            if command is FrameCommand.UPLOAD_BEGIN:
                await self._quota.count()  # WeCom may count one without an answer, so each repetition counts
            try:
                return await self._client.request(command, body)
            except OutcomeUnknown as why:
                if attempt == MAX_REQUESTS:
                    raise Unreachable(str(why)) from None
                log.info("no answer, repeated", call=command)
        raise AssertionError

    def _require_text(self, answer: JsonObject, key: str) -> str:
        """Returns a text of an answer. Raises `Unreachable` without it."""
        value = read_text(answer, key)
        if not value:
            raise Unreachable(self._client.text("no_media_id"))
        return value


@frozen
class UploadedMedia:
    """What a message sends."""

    media_id: str
    #: The kind as which it was uploaded: `Kind.FILE` for a picture that WeCom refused as one.
    kind: Kind


@dataclass(slots=True, kw_only=True)
class UnfinishedUpload:
    """An upload that has begun."""

    upload_id: str
    #: By `Clock.boot_time`, which goes on while the machine sleeps; in seconds.
    begun_at: float
    #: How many pieces WeCom has.
    pieces_done: int = 0


# An upload that began longer ago counts for no limit of WeCom.
_LONGEST_COUNTED_SECONDS = max(seconds for _, seconds in MAX_UPLOADS)


class _UploadQuota:
    """Counts the uploads of one bot that begin, also over a restart, within `MAX_UPLOADS`."""

    def __init__(self, client: WeComClient) -> None:
        self._client = client
        self._clock = client.clock
        now, now_ms = self._clock.boot_time(), self._clock.now
        # Where the system clock was set back, some of the saved uploads began now.
        saved_times = [now - max(0, now_ms - begun_at) / 1000 for begun_at in client.login.bot.uploads]
        #: When the last uploads began, by `Clock.boot_time`, the oldest first.
        self._begun_at = deque(saved_times, maxlen=COUNTED_UPLOADS)

    async def count(self) -> None:
        """Counts and saves an upload that begins. Raises `Unreachable` where WeCom takes none yet.

        What cannot be saved does not begin.
        """
        now = self._clock.boot_time()
        for count, seconds in MAX_UPLOADS:
            # The limit is used up when the last `count` uploads all began within these seconds.
            if len(self._begun_at) >= count and now - self._begun_at[-count] < seconds:
                raise Unreachable(self._client.text("too_many_uploads"))
        self._begun_at.append(now)
        now_ms = self._clock.now
        ages = (now - begun_at for begun_at in self._begun_at)
        counted = [now_ms - round(age * 1000) for age in ages if age < _LONGEST_COUNTED_SECONDS]
        await self._client.login.save_uploads(counted)


def _key(attachment: Attachment, kind: Kind) -> UploadKey:
    return attachment.blob.sha256, kind, attachment.name


def piece_count(size: int) -> int:
    """Returns in how many pieces a file of this size is uploaded."""
    return -(-size // PIECE_BYTES)

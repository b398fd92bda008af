"""Uploads over the socket: init, pieces, finish (wecom 5.9)."""

from __future__ import annotations

import asyncio
import base64
import binascii

from wx2mqtt.simulator.media import ByteSource
from wx2mqtt.simulator.wecom import codes
from wx2mqtt.simulator.wecom.bot import Bot, Upload, UploadedMedia
from wx2mqtt.simulator.wecom.codes import BAD_PARAMETER, Refused
from wx2mqtt.simulator.wecom.commands import Call, Fields

MAX_PIECE_BYTES = 512 * 1024
_MAX_PIECES = 100
_MIN_BYTES = 5
_MAX_NAME_BYTES = 256

_TYPES = {
    "image": ("image/jpeg", "image/png", "image/gif"),
    "video": ("video/mp4",),
    "voice": ("audio/amr",),
}
"""The formats of each type; a file may be anything."""

_AMR = b"#!AMR"


async def upload_init(call: Call) -> Fields:
    """Begins an upload; the answer has its `upload_id`."""
    bot, wecom = call.bot, call.wecom
    kind = call.text("type")
    if kind not in ("file", "image", "voice", "video"):
        raise Refused(codes.BAD_MEDIA_TYPE, "type is not file, image, voice or video")
    name = call.text("filename")
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise Refused(BAD_PARAMETER, f"filename is longer than {_MAX_NAME_BYTES} bytes")
    size, total = call.number("total_size", _MIN_BYTES), call.number("total_chunks", 1, _MAX_PIECES)
    if not total <= size <= total * MAX_PIECE_BYTES:
        raise Refused(BAD_PARAMETER, "total_chunks pieces cannot hold total_size bytes")
    _require_size(call, kind, size)
    settings = wecom.settings
    limits = (settings.upload_minute_limit, settings.upload_hour_limit)
    if not bot.upload_rate.take(wecom.clock.now(), *limits):
        raise Refused(codes.TOO_OFTEN)
    upload = Upload(
        upload_id=f"upload-{wecom.rng.getrandbits(96):024x}",
        kind=kind,
        name=name,
        size=size,
        total=total,
        md5=call.text("md5", required=False).lower(),
        began_at=wecom.clock.now(),
    )
    bot.uploads[upload.upload_id] = upload
    return {"upload_id": upload.upload_id}


def _require_size(call: Call, kind: str, size: int) -> None:
    """Raises `Refused` for a file that is too large: WeCom decides it, so it is no violation."""
    settings = call.wecom.settings
    limits = {
        "image": settings.image_limit,
        "video": settings.video_limit,
        "voice": settings.voice_limit,
        "file": settings.file_limit,
    }
    if limits[kind] and size > limits[kind]:
        raise Refused(codes.PICTURE_TOO_LARGE if kind == "image" else codes.FILE_TOO_LARGE)
    if kind in settings.refuse_media.split():
        raise Refused(codes.BAD_MEDIA_TYPE)


def _upload(call: Call, bot: Bot) -> Upload:
    upload = bot.uploads.get(call.text("upload_id"))
    if upload is None:
        raise Refused(BAD_PARAMETER, "upload_id is none of this bot")
    if call.wecom.clock.now() - upload.began_at > call.wecom.settings.upload_lifetime:
        raise Refused(BAD_PARAMETER)
    return upload


async def upload_chunk(call: Call) -> None:
    """Takes a piece, in any order; a repeated one is ignored. Too many at once get a system error."""
    upload = _upload(call, call.bot)
    upload.in_flight += 1
    try:
        if upload.in_flight > upload.max_in_flight:
            raise Refused(codes.SYSTEM_ERROR, f"more than {upload.max_in_flight} pieces in flight")
        index = call.number("chunk_index", 0, upload.total - 1)
        piece = _piece(call)
        await asyncio.sleep(call.wecom.settings.piece_seconds)
        upload.pieces.setdefault(index, piece)
    finally:
        upload.in_flight -= 1


def _piece(call: Call) -> bytes:
    try:
        piece = base64.b64decode(call.text("base64_data"), validate=True)
    except binascii.Error:
        raise Refused(BAD_PARAMETER, "base64_data is no base64") from None
    if len(piece) > MAX_PIECE_BYTES:
        raise Refused(BAD_PARAMETER, f"a piece is larger than {MAX_PIECE_BYTES} bytes")
    return piece


async def upload_finish(call: Call) -> Fields:
    """Ends an upload; the answer has its `media_id`, the same one when it is asked for again."""
    bot, wecom = call.bot, call.wecom
    upload = _upload(call, bot)
    if not upload.media_id:
        content = _whole_file(upload)
        _require_type(upload.kind, content)
        upload.media_id = f"media-{wecom.rng.getrandbits(160):040x}"
        bot.media[upload.media_id] = UploadedMedia(
            kind=upload.kind, name=upload.name, content=content, finished_at=wecom.clock.now()
        )
        upload.pieces.clear()
    return {"type": upload.kind, "media_id": upload.media_id, "created_at": int(wecom.clock.now())}


def _whole_file(upload: Upload) -> ByteSource:
    if missing := [index for index in range(upload.total) if index not in upload.pieces]:
        raise Refused(BAD_PARAMETER, f"finished although {len(missing)} pieces are missing")
    content = upload.content()
    if content.size != upload.size:
        raise Refused(BAD_PARAMETER, "the pieces together have not total_size bytes")
    if upload.md5 and content.md5 != upload.md5:
        raise Refused(BAD_PARAMETER, "md5 is not that of the pieces")
    return content


def _require_type(kind: str, content: ByteSource) -> None:
    """Raises `Refused` for a picture, video or voice of a format that WeCom does not show."""
    head = b"".join(content.pieces(0, len(_AMR)))
    mime = "audio/amr" if head == _AMR else content.mime
    if kind in _TYPES and mime not in _TYPES[kind]:
        raise Refused(codes.BAD_MEDIA_TYPE)

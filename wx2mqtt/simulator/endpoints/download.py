"""Downloads of pictures, voices, videos, files and maps of messages (webwx 2.16, 3.7)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from wx2mqtt.simulator import answers, app_message_kinds, checks
from wx2mqtt.simulator.checks import PARAMETER_ERROR, Call, CallRefused
from wx2mqtt.simulator.hosts import Role
from wx2mqtt.simulator.http_messages import BodyStream, Headers, SimulatedAnswer
from wx2mqtt.simulator.media import STORE_STICKER, ByteSource, MessageMedia
from wx2mqtt.simulator.session import SimulatedSession

_VIDEOS = frozenset({"video", "iphone_video", "micro_video"})
_STICKERS = frozenset({"sticker", "app_sticker", STORE_STICKER})
_RANGE = re.compile(r"bytes=([0-9]{1,15})?-([0-9]{1,15})?")


async def webwxgetmsgimg(call: Call) -> SimulatedAnswer:
    """Returns a picture, a thumbnail (type=slave, also of videos and links) or a sticker (type=big)."""
    _session(call)
    attachment = _attachment(call, "MsgID")
    image_type = call.request.query.get("type", "")
    if image_type == "slave":
        return media_answer(call, attachment, attachment.thumbnail, "slave", "image/jpeg")
    if image_type not in ("", "big") or attachment.kind in (*_VIDEOS, "voice", "file"):
        raise call.refusal(PARAMETER_ERROR, "type is not slave or big, or the message is no picture")
    if (image_type == "big") is not (attachment.kind in _STICKERS):
        call.record_oddity("type=big is for stickers, and only for them (itchat, wechat4u)")
    mime = "image/gif" if attachment.kind in _STICKERS else "image/jpeg"
    return media_answer(call, attachment, attachment.content, "", mime)


async def webwxgetvoice(call: Call) -> SimulatedAnswer:
    """Returns a voice message; always MP3, whatever the phone recorded."""
    _session(call)
    attachment = _attachment(call, "msgid", "voice")
    return media_answer(call, attachment, attachment.content, "", "audio/mp3")


async def webwxgetvideo(call: Call) -> SimulatedAnswer:
    """Returns a video; without a Range header the answer has 0 bytes."""
    _session(call)
    attachment = _attachment(call, "msgid", *_VIDEOS)
    if "range" not in call.request.headers:
        call.record_violation("a video without a Range header")
        return SimulatedAnswer(content_type="video/mp4")
    return media_answer(call, attachment, attachment.content, "", "video/mp4")


async def webwxgetmedia(call: Call) -> SimulatedAnswer:
    """Returns a file, from the file host."""
    session = checks.cookie_session(call, Role.FILE)
    _require_get(call)
    attachment, msg_id = _file(call)
    _file_query(call, session, attachment, msg_id)
    disposition = f'attachment; filename="{attachment.name}"'.encode().decode("latin-1")
    headers = (("content-disposition", disposition.translate(_LINE_ENDS)),)
    return media_answer(call, attachment, attachment.content, "", "application/octet-stream", headers)


_LINE_ENDS = {ord("\r"): None, ord("\n"): None, 0: None}


async def webwxgetpubliclinkimg(call: Call) -> SimulatedAnswer:
    """Returns the map of a location; its path is part of the message (webwx 3.8.4)."""
    _session(call, skey=False)
    if call.request.query.get("pictype") != "location":
        raise call.refusal(PARAMETER_ERROR, "pictype is not location")
    attachment = _attachment(call, "msgid", "location", "location_48")
    return media_answer(call, attachment, attachment.thumbnail, "map", "image/jpeg")


# Checks of the request


def _require_get(call: Call) -> None:
    checks.require_method(call, "GET")
    if "referer" not in call.request.headers:
        call.record_oddity("no Referer (itchat, wechat4u)")


def _session(call: Call, *, skey: bool = True) -> SimulatedSession:
    session = checks.cookie_session(call)
    _require_get(call)
    if skey:
        checks.require_skey(call, session, call.request.query.get("skey", ""))
    return session


def _attachment(call: Call, name: str, *kinds: str) -> MessageMedia:
    query = call.request.query
    msg_id = query.get(name)
    if msg_id is None:
        msg_id = query.get("msgid" if name == "MsgID" else "MsgID", "")
        if msg_id:
            call.record_oddity("MsgID and msgid are not the same name (itchat, wechat4u)")
    attachment = call.wechat.media.find(msg_id)
    if attachment is None or (kinds and attachment.kind not in kinds):
        raise call.refusal(PARAMETER_ERROR, f"{name} is that of no message that has this")
    return attachment


def _file(call: Call) -> tuple[MessageMedia, int]:
    text = call.request.query.get("mediaid", "").removeprefix("@crypt_")
    msg_id = int(text, 16) if re.fullmatch("[0-9a-f]{1,16}", text) else 0
    attachment = call.wechat.media.find(str(msg_id))
    if attachment is None or attachment.kind != "file":
        raise call.refusal(PARAMETER_ERROR, "mediaid is that of no file")
    return attachment, msg_id


def _file_query(call: Call, session: SimulatedSession, attachment: MessageMedia, msg_id: int) -> None:
    query = call.request.query
    owner = session.user_name(call.wechat.world.owner)
    sender = query.get("sender", "")
    if sender != session.known_name(attachment.from_id):
        if any(other.id_of(sender) for other in call.wechat.sessions.values() if other is not session):
            raise CallRefused(PARAMETER_ERROR)  # the MediaId belongs to that login, too
        raise call.refusal(PARAMETER_ERROR, "sender is not the message's FromUserName")
    if query.get("fromuser") == owner:
        call.record_oddity("the user name as fromuser (wechat4u)")
    elif query.get("fromuser") != str(session.uin):
        raise call.refusal(PARAMETER_ERROR, "fromuser is not the account's number")
    if "encryfilename" not in query and query.get("filename"):
        call.record_oddity("filename instead of encryfilename (itchat, wechat4u)")
    elif query.get("encryfilename") != app_message_kinds.encrypted_name(msg_id):
        raise call.refusal(PARAMETER_ERROR, "encryfilename is not that of the file")
    if query.get("pass_ticket") == "undefined":
        call.record_oddity("undefined as pass_ticket (itchat)")
    else:
        checks.require_pass_ticket(call, session)
    checks.require_data_ticket(call, session, query.get("webwx_data_ticket"))


# The bytes


def media_answer(
    call: Call,
    attachment: MessageMedia,
    content: ByteSource | None,
    variant: str,
    mime: str,
    headers: Headers = (),
) -> SimulatedAnswer:
    """Returns the bytes, or the error that the servers give instead of them."""
    empty = (
        call.wechat.settings.empty_downloads if attachment.empty_answers is None else attachment.empty_answers
    )
    attachment.answers_given[variant] += 1
    gone = attachment.gone or call.wechat.settings.gone_media
    if content is None or not content.size or gone == "empty" or attachment.answers_given[variant] <= empty:
        return SimulatedAnswer(content_type=mime, headers=headers)
    if gone == "json":
        return answers.json(PARAMETER_ERROR)
    if gone == "html":
        return answers.html_page("The file has expired")
    return _stream(call, content, SimulatedAnswer(content_type=mime, headers=headers))


def _stream(call: Call, content: ByteSource, answer: SimulatedAnswer) -> SimulatedAnswer:
    byte_range = _requested_range(call, content.size)
    if byte_range is None:
        headers = (("content-range", f"bytes */{content.size}"),)
        return dataclasses.replace(answer, status=416, headers=headers)
    start, stop = byte_range
    if "range" in call.request.headers:
        content_range = ("content-range", f"bytes {start}-{stop - 1}/{content.size}")
        answer = dataclasses.replace(answer, status=206, headers=(*answer.headers, content_range))
    return dataclasses.replace(answer, stream=_counted_stream(call, content, start, stop))


def _requested_range(call: Call, size: int) -> tuple[int, int] | None:
    """Returns the range (start, end) of the request; None when it contains no byte."""
    text = call.request.headers.get("range")
    if text is None:
        return 0, size
    match = _RANGE.fullmatch(text)
    if match is None or match[0] == "bytes=-":
        return 0, size
    if match[1] is None:
        start = max(0, size - int(match[2]))
        stop = size
    else:
        start = int(match[1])
        stop = min(size, int(match[2]) + 1 if match[2] else size)
    return (start, stop) if start < stop else None


def _counted_stream(call: Call, content: ByteSource, start: int, stop: int) -> BodyStream:
    """Returns a stream that counts as an active download until it ends.

    Two simultaneous downloads may get each other's bytes (webwx 2.16.9).
    """
    store = call.wechat.media
    settings = call.wechat.settings
    others = [*store.active_downloads]
    if others:
        call.record_oddity("another download is under way")
    pieces = content.pieces(start, stop)
    if others and settings.mix_downloads:
        pieces = _bytes_of_other(others[-1], start, stop)
    store.start_download(content)
    finished: list[bool] = []

    def done() -> None:
        if not finished:
            finished.append(True)
            store.finish_download(content)

    return BodyStream(size=stop - start, pieces=pieces, on_done=done)


def _bytes_of_other(other: ByteSource, start: int, stop: int) -> Iterator[bytes]:
    """Yields as many bytes as were asked for, but from the file of another message."""
    remaining = stop - start
    while remaining:
        for piece in other.pieces(0, remaining):
            remaining -= len(piece)
            yield piece

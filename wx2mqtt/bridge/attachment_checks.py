"""Checks of the files in commands: whether WeChat accepts the content, base64, and file names.

    {"kind": "image", "data": "JVBERi0x…"}  ->  `BadCommand`: the content is a PDF, and no image

The kind of a file follows from its content, never from its name. Every check raises `BadCommand`.
"""

from __future__ import annotations

import binascii
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import AsyncGenerator, AsyncIterable, Iterator, Mapping

from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import MAX_FILENAME_BYTES
from wx2mqtt.model import Blob, Kind
from wx2mqtt.names import clean_filename, cut_filename, extension_of, is_harmless, utf8_size
from wx2mqtt.store.file_type import SNIFFED_BYTES, UNKNOWN_TYPE, file_type_of, image_size
from wx2mqtt.wechat.backend import MediaLimits

# The files that the backend accepts, by kind.
LimitsByKind = Mapping[str, MediaLimits]


async def screen_content(
    chunks: AsyncIterable[bytes],
    requested_kind: str,
    limits: LimitsByKind,
    free_bytes: int,
    full_error: BadCommand,
) -> AsyncGenerator[bytes, None]:
    """Yields the same bytes while they are acceptable, else raises `BadCommand`.

    Nothing is yielded before the type of the file is known. Raises `full_error` for more than `free_bytes`.
    """
    size = 0
    head = b""  # the first bytes, which are held back until they show the type
    kind: Kind | None = None
    async for chunk in chunks:
        size += len(chunk)
        if size > free_bytes:
            raise full_error
        if kind is None:
            head += chunk
            if len(head) < SNIFFED_BYTES:
                continue
            kind = _kind(head, requested_kind, limits, is_complete=False)
            chunk = head  # noqa: PLW2901 - the bytes that were held back come first
        _check_size(size, kind, limits)
        yield chunk
    if not size:
        raise BadCommand("empty", "no_bytes")
    if kind is None:
        kind = _kind(head, requested_kind, limits, is_complete=True)
        _check_size(size, kind, limits)
        if size < limits[kind].min_bytes:
            raise BadCommand("bad_file", "file_too_small", size=size, limit=limits[kind].min_bytes)
        yield head


def _kind(head: bytes, requested_kind: str, limits: LimitsByKind, *, is_complete: bool) -> Kind:
    """Returns the kind as which a file with these first bytes is sent; `is_complete` if they are all."""
    size = len(head) if is_complete else len(head) + 1
    mime = file_type_of(head, size).mime
    is_damaged = is_complete and image_size(head, mime) is None
    return _kind_for(requested_kind, mime, limits, is_damaged=is_damaged)


def _check_size(size: int, kind: Kind, limits: LimitsByKind) -> None:
    if size > limits[_kind_of_large(kind, limits)].max_bytes:
        raise file_too_large_error(kind, limits)


def kind_for(requested_kind: str, blob: Blob, limits: LimitsByKind) -> Kind:
    """Returns the kind as which a stored file is sent. Raises `BadCommand`.

    An animated image is sent as a sticker. If the backend says so (`else_as_file`), what it refuses as a
    picture or a video is sent as a file.
    """
    # Of a larger picture only the first bytes were searched for width and height.
    is_damaged = blob.width is None and blob.size < SNIFFED_BYTES
    kind = _kind_for(requested_kind, blob.mime, limits, is_damaged=is_damaged)
    return Kind.FILE if blob.size > limits[kind].max_bytes and limits[kind].else_as_file else kind


def _kind_for(requested_kind: str, mime: str, limits: LimitsByKind, *, is_damaged: bool) -> Kind:
    """Returns the kind as which a file of this type is sent, if it is not too large. Raises `BadCommand`.

    `is_damaged`: neither width nor height can be read, which only counts for a picture.
    """
    if requested_kind not in limits:
        raise BadCommand("unsupported", "unsupported_kind", kind=requested_kind)
    kind = Kind(requested_kind)
    if kind is Kind.IMAGE and Kind.STICKER in limits and mime in limits[Kind.STICKER].mime_types:
        kind = Kind.STICKER
    error = _content_error(kind, mime, limits, is_damaged=is_damaged)
    if error is None:
        return kind
    if limits[kind].else_as_file:
        return Kind.FILE
    raise error


def _content_error(kind: Kind, mime: str, limits: LimitsByKind, *, is_damaged: bool) -> BadCommand | None:
    """Returns the error for a file whose content this kind does not have; None where it has."""
    mime_types = limits[kind].mime_types
    known = ", ".join(sorted(mime_types))
    if not mime_types:
        return None
    if mime in mime_types:
        is_picture = mime.startswith("image/")
        return BadCommand("bad_file", "unreadable_picture", mime=mime) if is_picture and is_damaged else None
    if mime.startswith(f"{kind}/"):
        return BadCommand("unsupported", "unsupported_sort", kind=kind, mime=mime, known=known)
    return BadCommand("bad_file", "not_that_kind", kind=kind, mime=mime, known=known)


def suggested_kind(mime: str, limits: LimitsByKind) -> Kind:
    """Returns the kind of a file whose sender names none: picture or video if it can be sent as that."""
    for kind in (Kind.IMAGE, Kind.VIDEO):
        if kind in limits and mime in limits[kind].mime_types:
            return kind
    return Kind.FILE


def check_stored_file(requested_kind: str, blob: Blob, limits: LimitsByKind) -> None:
    """Raises `BadCommand` for a file that cannot be sent as this kind."""
    _check_size(blob.size, kind_for(requested_kind, blob, limits), limits)


def max_bytes(requested_kind: str, limits: LimitsByKind) -> int:
    """Returns the largest size of a file that is requested as this kind; 0 if it is not supported."""
    kinds = [requested_kind]
    if requested_kind == Kind.IMAGE:
        kinds.append(Kind.STICKER)
    if requested_kind in limits and limits[requested_kind].else_as_file:
        kinds.append(Kind.FILE)
    return max((limits[kind].max_bytes for kind in kinds if kind in limits), default=0)


def file_too_large_error(kind: str, limits: LimitsByKind) -> BadCommand:
    """Returns the error for a file that is too large for WeChat."""
    as_kind = _kind_of_large(kind, limits)
    return BadCommand("too_large", "file_too_large", kind=as_kind, limit=limits[as_kind].max_bytes)


def _kind_of_large(kind: str, limits: LimitsByKind) -> str:
    """Returns the kind as which a file of this kind is sent that is too large for it."""
    return Kind.FILE if limits[kind].else_as_file else kind


# Base64

# How much is decoded in one turn of the event loop.
BASE64_CHUNK_CHARACTERS = 512 * 1024


def decode_base64(data: str) -> Iterator[bytes]:
    """Yields the decoded bytes in chunks. White space is allowed. Raises `BadCommand` for invalid base64."""
    rest = ""  # the characters behind the last whole group of four
    is_padded = False
    for start in range(0, len(data), BASE64_CHUNK_CHARACTERS):
        characters = rest + "".join(data[start : start + BASE64_CHUNK_CHARACTERS].split())
        whole = len(characters) // 4 * 4
        chunk, rest = characters[:whole], characters[whole:]
        if is_padded and characters:  # only the end may have padding
            raise BadCommand("bad_command", "bad_base64")
        is_padded = chunk.endswith("=")
        if not chunk:
            continue
        try:
            decoded = binascii.a2b_base64(chunk, strict_mode=True)
        except ValueError:  # invalid base64, or characters that are not ASCII
            raise BadCommand("bad_command", "bad_base64") from None
        yield decoded
    if rest:
        raise BadCommand("bad_command", "bad_base64")


# Bytes on the topic of texts, and texts on the topics of files

# So much of a text is decoded to see whether it is a picture in base64.
BASE64_HEAD_CHARACTERS = 4096


def bytes_as_text_error(payload: bytes, topics: tuple[str, str, str]) -> BadCommand:
    """Returns the error for a payload on `out/<user>` that is no text.

    It names the topic that the sender should use; `topics` are those of `Topics.files_to`.
    """
    if payload.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return BadCommand("bad_command", "utf16")
    mime = file_type_of(payload[:SNIFFED_BYTES], len(payload)).mime
    if mime == UNKNOWN_TYPE:  # it may be a text in another encoding
        return BadCommand("bad_command", "not_utf8")
    image_topic, video_topic, topic = topics
    if mime.startswith("image/"):
        topic = image_topic
    elif mime.startswith("video/"):
        topic = video_topic
    return BadCommand("bad_command", "bytes_on_text_topic", mime=mime, topic=topic)


def reject_text_as_bytes(kind: str, payload: bytes, text_topic: str) -> None:
    """Raises `BadCommand` if the payload of a picture or a video is base64 or a command in JSON."""
    if kind not in {Kind.IMAGE, Kind.VIDEO}:
        return
    head = payload[:SNIFFED_BYTES]
    mime = file_type_of(head, len(payload)).mime
    if mime == "application/json":
        raise BadCommand("bad_file", "command_as_bytes", topic=text_topic)
    if mime == "text/plain" and _decoded_type(head).startswith(("image/", "video/")):
        raise BadCommand("bad_file", "base64_as_bytes", kind=kind, topic=text_topic)


def _decoded_type(head: bytes) -> str:
    """Returns the type of the file that a text has in base64, or as a data URL; empty if it has none."""
    text = head.partition(b";base64,")[2] if head.startswith(b"data:") else head
    digits = b"".join(text[:BASE64_HEAD_CHARACTERS].split())
    try:
        decoded = binascii.a2b_base64(digits[: len(digits) // 4 * 4], strict_mode=True)
    except ValueError:
        return ""
    return file_type_of(decoded, len(head)).mime


# File names

# The extension of a file of unknown type. It is not appended to a name.
UNKNOWN_EXTENSION = ".bin"


def check_filename(name: str) -> None:
    """Raises `BadCommand` for a name that is too long, is a path, or has characters that can disguise it."""
    if utf8_size(name) > MAX_FILENAME_BYTES:
        raise BadCommand("bad_command", "name_too_long", limit=MAX_FILENAME_BYTES)
    if name in {".", ".."} or "/" in name or "\\" in name or not all(map(is_harmless, name)):
        raise BadCommand("bad_command", "bad_name")


def filename_of(path: str) -> str:
    """Returns the last part of a path as a valid file name; empty if nothing of it is valid."""
    return cut_filename(clean_filename(re.split(r"[/\\]", path)[-1]))


def choose_filename(requested: str, derived: str, kind: str, extension: str) -> str:
    """Returns the name of a file: the requested one, else that of the path or URL, else its kind."""
    name = requested.strip() or filename_of(derived)
    if name and (extension_of(name) or extension == UNKNOWN_EXTENSION):
        return name
    return cut_filename(f"{name or kind}{extension}")

"""Uploads of a web client: the multipart form, the parts of a login's uploads, and the XML of a sent file.

Forms are parsed as strictly as WeChat's file servers do (webwx 2.12.10, 2.13, 2.14). Has no HTTP.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from wx2mqtt.simulator.media import ByteSource, UploadedBytes

FILE_APPID = "wxeb7ec651dd0aefa9"
_REQUIRED_CHILDREN = ("title", "des", "action", "type", "content", "url", "lowurl", "appattach", "extinfo")
_REQUIRED_ATTACHMENT_CHILDREN = ("totallen", "attachid", "fileext")


class BadAppFile(ValueError):
    """The XML does not describe a file; the text gives the reason and repeats no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFile:
    """The content of that XML."""

    appid: str
    title: str
    size: int
    media_id: str
    extension: str


def read_app_file(content: object) -> AppFile:
    """Reads the XML of webwxsendappmsg; raises `BadAppFile`."""
    root = _root(content)
    _check_shape(root)
    size = root.findtext("appattach/totallen", "")
    if not size.isdecimal() or not size.isascii():
        raise BadAppFile("totallen is no number")
    return AppFile(
        appid=root.get("appid", ""),
        title=root.findtext("title", ""),
        size=int(size[:20]),
        media_id=root.findtext("appattach/attachid", ""),
        extension=root.findtext("appattach/fileext", "").lower(),
    )


def _root(content: object) -> Element:
    try:
        root: Element = ElementTree.fromstring(str(content))
    except (ParseError, DefusedXmlException, ValueError):
        raise BadAppFile("Content is no XML: a name must be escaped") from None
    return root


def _check_shape(root: Element) -> None:
    if root.tag != "appmsg" or "appid" not in root.keys() or "sdkver" not in root.keys():  # noqa: SIM118
        raise BadAppFile("the root is not appmsg with appid and sdkver")
    attached = root.find("appattach")
    missing = [name for name in _REQUIRED_CHILDREN if root.find(name) is None]
    if (
        attached is None
        or missing
        or any(attached.find(name) is None for name in _REQUIRED_ATTACHMENT_CHILDREN)
    ):
        raise BadAppFile("appmsg or appattach lacks a child")
    if root.findtext("type") != "6":
        raise BadAppFile("type is not 6")
    if not root.findtext("title"):
        raise BadAppFile("title is empty")


_BOUNDARY = re.compile(
    r'multipart/form-data;\s*(?:charset=[^;]+;\s*)?boundary="?([^";]{1,200})"?', re.IGNORECASE
)

_DISPOSITION = re.compile(r"content-disposition:\s*form-data(;.*)", re.IGNORECASE)
_PARAMETER = re.compile(r';\s*([a-z]+\*?)=(?:"([^"]*)"|([^;\s]*))', re.IGNORECASE)


class BadForm(ValueError):
    """The body is no valid form; the text gives the reason and repeats no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedField:
    """A form field; `filename` is None unless it is a file."""

    name: str
    filename: str | None
    content: bytes


def parse_form(content_type: str, body: bytes) -> dict[str, ReceivedField]:
    """Returns the form fields by name, in their sequence; raises `BadForm`."""
    boundary = _BOUNDARY.match(content_type)
    if boundary is None:
        raise BadForm("the body is no multipart/form-data")
    first, *parts = (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())
    if first or not parts or parts.pop().strip(b"\r\n") != b"--":
        raise BadForm("the form does not begin and end with its boundary")
    fields: dict[str, ReceivedField] = {}
    for part in map(_parse_part, parts):
        if part.name in fields:
            raise BadForm("a field comes twice")
        fields[part.name] = part
    return fields


def escaped_filename(name: str) -> str:
    """Returns the filename parameter with which a browser sends a file of this name (webwx 2.14.8).

    It encodes only the characters that would end the parameter (HTML, multipart form data).
    """
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _parse_part(raw: bytes) -> ReceivedField:
    head, blank, content = raw.partition(b"\r\n\r\n")
    if not blank or not head.startswith(b"\r\n"):
        raise BadForm("a part has no head")
    parameters = _parameters(head[2:])
    if "filename*" in parameters:
        raise BadForm("filename* (RFC 2231); WeChat reads only filename in plain UTF-8")
    if "name" not in parameters:
        raise BadForm("a part has no name")
    return ReceivedField(name=parameters["name"], filename=parameters.get("filename"), content=content)


def _parameters(head: bytes) -> dict[str, str]:
    try:
        lines = head.decode().split("\r\n")
    except UnicodeDecodeError:
        raise BadForm("the head of a part is no UTF-8") from None
    dispositions = [match[1] for line in lines if (match := _DISPOSITION.fullmatch(line))]
    if len(dispositions) != 1:
        raise BadForm("a part has no Content-Disposition")
    return {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(dispositions[0])}


PART_BYTES = 524_288
MAX_FINISHED_UPLOADS = 1000
"""Number of finished uploads that a login keeps."""

MediaType = Literal["pic", "video", "doc"]
MEDIA_TYPES: tuple[MediaType, ...] = ("pic", "video", "doc")

_EXTENSIONS: dict[MediaType, frozenset[str]] = {
    "pic": frozenset({"jpg", "jpeg", "png", "bmp"}),
    "video": frozenset({"mp4"}),
}

_CONTENT_TYPES: dict[MediaType, frozenset[str]] = {
    "pic": frozenset({"image/jpeg", "image/png", "image/bmp"}),
    "video": frozenset({"video/mp4"}),
}


class BadUpload(ValueError):
    """WeChat rejects this part; the text gives the reason and repeats no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadDeclaration:
    """The whole upload as every part declares it. `md5` is empty where a client omits it."""

    key: str
    name: str
    size: int
    media_type: MediaType
    md5: str
    part_count: int
    signature: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedUpload:
    """A file that can be sent. `media_id` is valid in its login, for any number of receivers."""

    media_id: str
    name: str
    media_type: MediaType
    content: ByteSource
    signature: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPermit:
    """The answer of webwxcheckupload for a file of that size."""

    size: int
    aes_key: str
    signature: str


@dataclass(slots=True)
class Upload:
    """An upload with `received_parts` so far; `finished` is set after the last one."""

    declaration: UploadDeclaration
    content: UploadedBytes
    received_parts: int = 0
    last_part_digest: bytes = b""
    finished: FinishedUpload | None = None

    def is_repeated(self, index: int, digest: bytes) -> bool:
        """Returns whether this part was the last one received: the client lost the answer."""
        return index == self.received_parts - 1 and digest == self.last_part_digest


def extension(name: str) -> str:
    """Returns the text after the last dot of a name, in lower case."""
    return name.rpartition(".")[2].lower() if "." in name else ""


def extension_fits(name: str, media_type: MediaType) -> bool:
    """Returns whether a file of that name may have that type: pic and video by extension, doc always."""
    return media_type == "doc" or extension(name) in _EXTENSIONS[media_type]


class Uploads:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._started: dict[str, Upload] = {}
        self._finished: dict[str, FinishedUpload] = {}
        self._permits: dict[str, UploadPermit] = {}

    def grant_permit(self, md5: str, size: int) -> UploadPermit:
        permit = UploadPermit(size=size, aes_key=self._hex(32), signature=self._hex(160))
        self._permits[md5] = permit
        return permit

    def permit_for(self, md5: str) -> UploadPermit | None:
        return self._permits.get(md5)

    def find(self, media_id: str) -> FinishedUpload | None:
        return self._finished.get(media_id)

    def add(
        self, name: str, media_type: MediaType, content: ByteSource, signature: str = ""
    ) -> FinishedUpload:
        """Stores a complete file and issues its MediaId."""
        finished = FinishedUpload(
            media_id=f"@crypt_{self._hex(8)}_{self._hex(128)}",
            name=name,
            media_type=media_type,
            content=content,
            signature=signature,
        )
        self._finished[finished.media_id] = finished
        if len(self._finished) > MAX_FINISHED_UPLOADS:
            del self._finished[next(iter(self._finished))]
        return finished

    def accept_part(self, declaration: UploadDeclaration, index: int, part: bytes) -> Upload:
        """Stores a part; a repeated part changes nothing. Raises `BadUpload` and drops the upload."""
        upload = self._start(declaration, index)
        digest = hashlib.sha256(part).digest()
        if upload.is_repeated(index, digest):
            return upload
        try:
            _check_part(upload, index, part)
            upload.content.append(part)
            upload.received_parts = index + 1
            upload.last_part_digest = digest
            if upload.received_parts == declaration.part_count:
                _check_whole(declaration, upload.content)
                self._remove_old_finished()
                upload.finished = self.add(
                    declaration.name, declaration.media_type, upload.content, declaration.signature
                )
        except BadUpload:
            del self._started[declaration.key]
            raise
        return upload

    def _remove_old_finished(self) -> None:
        """Drops old finished uploads; the newest ones stay for repeated parts."""
        finished_keys = [key for key, upload in self._started.items() if upload.finished]
        for key in finished_keys[:-10]:
            del self._started[key]

    def _start(self, declaration: UploadDeclaration, index: int) -> Upload:
        upload = self._started.get(declaration.key)
        if upload is None or (index == 0 and upload.received_parts > 1):
            if index:
                raise BadUpload("chunk 0 must come first")
            upload = self._started[declaration.key] = Upload(declaration, UploadedBytes())
        if upload.declaration != declaration:
            raise BadUpload("the parts of one upload say different things of it")
        return upload

    def _hex(self, digits: int) -> str:
        return f"{self._rng.getrandbits(4 * digits):0{digits}x}"


def _check_part(upload: Upload, index: int, part: bytes) -> None:
    declaration = upload.declaration
    if index != upload.received_parts:
        raise BadUpload("the chunks do not come in their order")
    is_last = index == declaration.part_count - 1
    if len(part) != (declaration.size - index * PART_BYTES if is_last else PART_BYTES):
        raise BadUpload("a chunk is not of 524288 bytes, or the last one not of what is left")


def _check_whole(declaration: UploadDeclaration, content: UploadedBytes) -> None:
    if declaration.md5 and declaration.md5 != content.md5:
        raise BadUpload("FileMd5 is not the MD5 of what came")
    allowed_types = _CONTENT_TYPES.get(declaration.media_type)
    if allowed_types is not None and content.mime not in allowed_types:
        raise BadUpload(f"what came is no {'picture' if declaration.media_type == 'pic' else 'video'}")

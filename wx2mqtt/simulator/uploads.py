"""The uploads of one login: parts in their order, and what came of them (webwx 2.13, 2.14). Knows no HTTP."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Literal

from wx2mqtt.simulator.content import Content, Uploaded

PART = 524_288
KEPT = 1000
"""So many finished uploads are kept."""

MediaType = Literal["pic", "video", "doc"]
MEDIA_TYPES: tuple[MediaType, ...] = ("pic", "video", "doc")

_EXTENSIONS: dict[MediaType, frozenset[str]] = {
    "pic": frozenset({"jpg", "jpeg", "png", "bmp"}),
    "video": frozenset({"mp4"}),
}
_CONTENTS: dict[MediaType, frozenset[str]] = {
    "pic": frozenset({"image/jpeg", "image/png", "image/bmp"}),
    "video": frozenset({"video/mp4"}),
}


class BadUpload(ValueError):
    """A part that WeChat does not take; says why, and repeats no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What an upload says of itself, the same with each part. `md5` is empty where a client leaves it out."""

    key: str
    name: str
    size: int
    media_type: MediaType
    md5: str
    parts: int
    signature: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A file that can be sent: `media_id` is good in its login, for any number of receivers."""

    media_id: str
    name: str
    media_type: MediaType
    content: Content
    signature: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What webwxcheckupload gave for a file of that size."""

    size: int
    aes_key: str
    signature: str


@dataclass(slots=True)
class Upload:
    """One that has begun: `parts` have come; `ready` once it is whole."""

    announced: Announced
    content: Uploaded
    parts: int = 0
    last: bytes = b""
    ready: Ready | None = None

    def repeats(self, number: int, digest: bytes) -> bool:
        """Whether that part came last already: its answer was lost."""
        return number == self.parts - 1 and digest == self.last


def extension(name: str) -> str:
    """What follows the last dot of a name, in lower case."""
    return name.rpartition(".")[2].lower() if "." in name else ""


def fits(name: str, media_type: MediaType) -> bool:
    """Whether a file of that name may go as that: pictures and videos by their extension, all as `doc`."""
    return media_type == "doc" or extension(name) in _EXTENSIONS[media_type]


class Uploads:
    """Begun and finished uploads of a login."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._begun: dict[str, Upload] = {}
        self._ready: dict[str, Ready] = {}
        self._permits: dict[str, Permit] = {}

    def permit(self, md5: str, size: int) -> Permit:
        """Allow a large file."""
        made = Permit(size=size, aes_key=self._hex(32), signature=self._hex(160))
        self._permits[md5] = made
        return made

    def permitted(self, md5: str) -> Permit | None:
        """What was allowed for a file."""
        return self._permits.get(md5)

    def find(self, media_id: str) -> Ready | None:
        """The file with that MediaId."""
        return self._ready.get(media_id)

    def add(self, name: str, media_type: MediaType, content: Content, signature: str = "") -> Ready:
        """A file that WeChat has whole."""
        ready = Ready(
            media_id=f"@crypt_{self._hex(8)}_{self._hex(128)}",
            name=name,
            media_type=media_type,
            content=content,
            signature=signature,
        )
        self._ready[ready.media_id] = ready
        if len(self._ready) > KEPT:
            del self._ready[next(iter(self._ready))]
        return ready

    def take(self, announced: Announced, number: int, part: bytes) -> Upload:
        """Another part; one that comes again changes nothing. Raises `BadUpload`, and the upload is over."""
        upload, digest = self._begin(announced, number), hashlib.sha256(part).digest()
        if upload.repeats(number, digest):
            return upload
        try:
            _check_part(upload, number, part)
            upload.content.append(part)
            upload.parts, upload.last = number + 1, digest
            if upload.parts == announced.parts:
                _check_whole(announced, upload.content)
                self._forget_old()
                upload.ready = self.add(
                    announced.name, announced.media_type, upload.content, announced.signature
                )
        except BadUpload:
            del self._begun[announced.key]
            raise
        return upload

    def _forget_old(self) -> None:
        """Of the uploads that ended some are kept, for parts that come again."""
        ended = [key for key, upload in self._begun.items() if upload.ready]
        for key in ended[:-10]:
            del self._begun[key]

    def _begin(self, announced: Announced, number: int) -> Upload:
        upload = self._begun.get(announced.key)
        if upload is None or (number == 0 and upload.parts > 1):
            if number:
                raise BadUpload("chunk 0 must come first")
            upload = self._begun[announced.key] = Upload(announced, Uploaded())
        if upload.announced != announced:
            raise BadUpload("the parts of one upload say different things of it")
        return upload

    def _hex(self, digits: int) -> str:
        return f"{self._dice.getrandbits(4 * digits):0{digits}x}"


def _check_part(upload: Upload, number: int, part: bytes) -> None:
    announced = upload.announced
    if number != upload.parts:
        raise BadUpload("the chunks do not come in their order")
    last = number == announced.parts - 1
    if len(part) != (announced.size - number * PART if last else PART):
        raise BadUpload("a chunk is not of 524288 bytes, or the last one not of what is left")


def _check_whole(announced: Announced, content: Uploaded) -> None:
    if announced.md5 and announced.md5 != content.md5:
        raise BadUpload("FileMd5 is not the MD5 of what came")
    wanted = _CONTENTS.get(announced.media_type)
    if wanted is not None and content.mime not in wanted:
        raise BadUpload(f"what came is no {'picture' if announced.media_type == 'pic' else 'video'}")

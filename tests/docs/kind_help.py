"""The rows of the table of message kinds in docs/en/reference/kinds.md; Chinese is in `i18n/reference.py`."""

from __future__ import annotations

from dataclasses import dataclass

from wx2mqtt.model import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class KindHelp:
    """The texts of the documentation about one kind of message."""

    about: str
    #: The keys of the object that has the name of the kind.
    keys: tuple[str, ...] = ()
    #: Which files a message of the kind has.
    files: str = ""
    #: How it can be sent; empty: not at all.
    sent_as: str = ""


KIND_HELP: dict[Kind, KindHelp] = {
    Kind.TEXT: KindHelp(
        about="what somebody typed; also texts of apps, group lists (接龙) and announcements",
        sent_as="yes",
    ),
    Kind.IMAGE: KindHelp(
        about="a picture",
        files="whole and `thumbnail`",
        sent_as="JPEG, PNG, BMP; iLink: WebP, GIF, too",
    ),
    Kind.VOICE: KindHelp(
        about="a voice message",
        keys=("duration", "transcript"),
        files="MP3, on iLink SILK",
        sent_as="as a file",
    ),
    Kind.VIDEO: KindHelp(
        about="a video",
        keys=("duration",),
        files="whole and `thumbnail`",
        sent_as="MP4",
    ),
    Kind.STICKER: KindHelp(
        about="a sticker, also dice (`result` 1 to 6) and `rock_paper_scissors`",
        keys=("width", "height", "game", "result"),
        files="whole",
        sent_as="GIF",
    ),
    Kind.FILE: KindHelp(
        about="a file",
        keys=("name", "size"),
        files="whole",
        sent_as="any",
    ),
    Kind.LINK: KindHelp(
        about="an article, a song (`audio`), a video, something from a shop, a coupon, a gift, a post of Channels (视频号)",
        keys=("title", "description", "url", "source", "audio", "items"),
        files="`thumbnail`",
    ),
    Kind.MINI_PROGRAM: KindHelp(
        about="a mini program",
        keys=("title", "url", "app", "page"),
        files="`thumbnail`",
    ),
    Kind.LOCATION: KindHelp(
        about="a place; or that somebody shares where they are (`live`)",
        keys=("lat", "lon", "label", "address", "live"),
        files="a map as `thumbnail`",
    ),
    Kind.CARD: KindHelp(
        about="somebody's contact card",
        keys=("name", "alias", "province", "city"),
    ),
    Kind.QUOTE: KindHelp(
        about="a reply: `text` is what was written now, the object what it answers",
        keys=("id", "kind", "text", "sender", "user", "self", "command_id"),
    ),
    Kind.CHAT_HISTORY: KindHelp(
        about="a forwarded conversation, or a note",
        keys=("title", "items"),
        files="`thumbnail`",
    ),
    Kind.TRANSFER: KindHelp(
        about="money for one person",
        keys=("amount", "currency", "note", "state"),
    ),
    Kind.RED_PACKET: KindHelp(
        about="a red packet; what is in it nobody is told",
        keys=("note",),
    ),
    Kind.SYSTEM: KindHelp(
        about="WeChat's own words: who joined, an end of sharing; and a pat, with its sender",
    ),
    Kind.UNSUPPORTED: KindHelp(
        about="what WeChat does not show here, or newer than this program",
        keys=("type", "app", "length"),
    ),
}

"""What a message of a bot may contain: markdown, a card, or a file that was uploaded (wecom 5.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from wx2mqtt.simulator.media import ByteSource, FileDescription
from wx2mqtt.simulator.wecom import codes
from wx2mqtt.simulator.wecom.bot import Bot, UploadedMedia
from wx2mqtt.simulator.wecom.cards import Card, read_card
from wx2mqtt.simulator.wecom.codes import Refused
from wx2mqtt.simulator.wecom.commands import Call, Fields
from wx2mqtt.simulator.wecom.shown_text import shown_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A message whose form is right. `text` is as it was sent, `shown` as people read it."""

    kind: str
    text: str
    shown: str
    card: Card | None = None
    media: FileDescription | None = None
    file: ByteSource | None = None


def read_content(call: Call, bot: Bot) -> Content:
    """Returns what `msgtype` and the part named by it say; raises `Refused`."""
    kind = call.text("msgtype")
    reader = _READERS.get(kind)
    if reader is None:
        raise Refused(codes.BAD_MESSAGE_TYPE, f"msgtype is not one of {', '.join(_READERS)}")
    part = call.body.get(kind)
    if not isinstance(part, dict):
        raise Refused(codes.BAD_PARAMETER, f"{kind} is no object")
    return reader(call, bot, kind, part)


def check_text(call: Call, text: str) -> None:
    """Raises `Refused` for a text that is blank, too long, or spam."""
    if not text.strip():
        raise Refused(codes.EMPTY_CONTENT, "the content is blank")
    limit = call.wecom.settings.text_limit
    if len(text.encode()) > limit:
        raise Refused(codes.TEXT_TOO_LONG, f"the content is longer than {limit} bytes")
    spam = call.wecom.settings.spam
    if spam and spam in text:
        raise Refused(codes.SPAM)


def _markdown(call: Call, _: Bot, kind: str, part: Fields) -> Content:
    text = call.text("content", of=part, required=False)
    check_text(call, text)
    for name in sorted(part.keys() - {"content", "feedback"}):
        call.record_oddity(f"markdown.{name} is not known")
    return Content(kind=kind, text=text, shown=shown_text(text))


def _card(call: Call, bot: Bot, kind: str, part: Fields) -> Content:
    card = read_card(part)
    for oddity in card.oddities:
        call.record_oddity(oddity)
    if card.task_id and card.task_id in bot.task_ids and call.wecom.settings.repeated_task_id == "refuse":
        raise Refused(codes.BAD_PARAMETER, "task_id is that of an older card")
    bot.task_ids.add(card.task_id)
    text = card_text(card)
    return Content(kind=kind, text=text, shown=text, card=card)


def card_text(card: Card) -> str:
    """Returns a card as text: title, body, and its buttons in brackets."""
    buttons = " ".join(f"[{button.text}]" for button in card.buttons)
    return "\n".join(part for part in (card.title, card.body, buttons) if part)


def _uploaded(call: Call, bot: Bot, kind: str, part: Fields) -> Content:
    media = _media(call, bot, kind, part)
    known = {"media_id", "title", "description"} if kind == "video" else {"media_id"}
    for name in sorted(part.keys() - known):
        call.record_oddity(f"{kind}.{name} is not known")
    if len(str(part.get("title", "")).encode()) > 64:
        call.record_oddity("video.title is longer than 64 bytes")
    if len(str(part.get("description", "")).encode()) > 512:
        raise Refused(codes.TEXT_TOO_LONG, "video.description is longer than 512 bytes")
    source = media.content
    return Content(
        kind=kind,
        text=media.name,
        shown=media.name,
        media=FileDescription(name=media.name, size=source.size, mime=source.mime),
        file=source,
    )


def _media(call: Call, bot: Bot, kind: str, part: Fields) -> UploadedMedia:
    media = bot.media.get(call.text("media_id", of=part))
    if media is None:
        raise Refused(codes.BAD_MEDIA_ID, "media_id is none of this bot")
    if media.kind != kind:
        raise Refused(codes.BAD_MEDIA_ID, f"media_id is that of a {media.kind}, not of a {kind}")
    if call.wecom.clock.now() - media.finished_at > call.wecom.settings.media_lifetime:
        raise Refused(codes.BAD_MEDIA_ID)
    return media


_READERS: dict[str, Callable[[Call, Bot, str, Fields], Content]] = {
    "markdown": _markdown,
    "template_card": _card,
    **dict.fromkeys(("image", "voice", "file", "video"), _uploaded),
}

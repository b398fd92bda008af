"""The kinds of messages that a person can send to a bot, as the part of a callback (wecom 4.2 to 4.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import get_args
from urllib.parse import quote as percent_encode

from wx2mqtt.simulator import samples
from wx2mqtt.simulator.media import ByteSource, GeneratedBytes
from wx2mqtt.simulator.wecom.aes import Damage
from wx2mqtt.simulator.wecom.bot import Bot
from wx2mqtt.simulator.wecom.chat_log import ChatLine
from wx2mqtt.simulator.wecom.simulated_wecom import SimulatedWeCom
from wx2mqtt.simulator.world import WorldContact, WorldGroup

Fields = dict[str, object]

SINGLE_ONLY = frozenset({"image", "voice", "video"})
"""Kinds that a group does not bring to a bot (wecom 4.2)."""

FILE_KINDS = frozenset({"image", "file", "video"})
_NAMES = {"image": "图片.jpg", "file": "说明书.pdf", "video": "视频.mp4"}
_UNIQUE_TAIL_BYTES = 64
_KEY_FORMS = ("right", "padded", "wrong", "short", "bad")


class UnknownKind(ValueError):
    """A person does not send this kind."""


class BadDetail(ValueError):
    """A detail of the order has a wrong value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRequest:
    """One message to build. `content` are the bytes of its file; None: a sample is generated.

    `address` is the base URL by which the program reaches the simulator.
    """

    wecom: SimulatedWeCom
    bot: Bot
    chat: WorldContact
    kind: str
    text: str
    seed: str
    address: str
    detail: Mapping[str, object] = field(default_factory=dict)
    content: ByteSource | None = None

    def choice(self, key: str, *allowed: str) -> str:
        """Returns a detail that is one of the texts, by default the first; raises `BadDetail`."""
        value = self.detail.get(key, allowed[0])
        if value not in allowed:
            raise BadDetail(f"{key} must be one of {', '.join(map(repr, allowed))}")
        return str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltMessage:
    """The fields of the body, and what the phone shows. `paths`: its files in the storage."""

    fields: Fields
    text: str = ""
    file: ByteSource | None = None
    name: str = ""
    quoted: str = ""
    paths: tuple[str, ...] = ()


def build(request: MessageRequest) -> BuiltMessage:
    """Returns a message; raises `UnknownKind` and `BadDetail`."""
    builder = _BUILDERS.get(request.kind)
    if builder is None:
        raise UnknownKind(f"no kind is named {request.kind!r}; there are: {', '.join(_BUILDERS)}")
    return builder(request)


def _text(request: MessageRequest) -> BuiltMessage:
    part: Fields = {"msgtype": "text", "text": {"content": _addressed(request, request.text)}}
    return BuiltMessage(fields=part, text=request.text)


def _addressed(request: MessageRequest, text: str) -> str:
    """Returns what a program gets of a text: in a group it begins with the name of the bot."""
    if not isinstance(request.chat, WorldGroup) or request.detail.get("at") is False:
        return text
    return f"@{request.bot.name} {text}"


def _voice(request: MessageRequest) -> BuiltMessage:
    """A voice brings its transcript and no sound."""
    part: Fields = {"msgtype": "voice", "voice": {"content": request.text}}
    return BuiltMessage(fields=part, text=request.text)


def _file(request: MessageRequest) -> BuiltMessage:
    kind = request.kind
    content = request.content or sample_file(kind, request.seed)
    name = request.text or _NAMES[kind]
    path, part = _stored(request, content, name)
    shown_name = name if kind == "file" else ""
    return BuiltMessage(
        fields={"msgtype": kind, kind: part}, file=content, name=name, text=shown_name, paths=(path,)
    )


def sample_file(kind: str, seed: str, size: int | None = None) -> ByteSource:
    """Returns a sample file, different for each `seed`; without `size` it is small."""
    head = samples.sample_of_kind(kind)
    return GeneratedBytes(head, len(head) + _UNIQUE_TAIL_BYTES if size is None else size, seed)


def _stored(request: MessageRequest, content: ByteSource, name: str) -> tuple[str, Fields]:
    """Stores a file; returns its path, and the fields `url` and `aeskey` as the order wants them."""
    damage: Damage = request.choice("damage", *get_args(Damage))  # type: ignore[assignment]
    wecom = request.wecom
    path, key = wecom.files.store(
        content, disposition=_disposition(request, name), now=wecom.clock.now(), damage=damage
    )
    texts = {
        "right": key.text,
        "padded": f"{key.text}=",
        "wrong": "A" * 43,
        "short": key.text[:22],
        "bad": "no key at all!",
    }
    url = f"{request.address}{path}?sign=q-{request.seed[-6:]}%2F1%3D"
    return path, {"url": url, "aeskey": texts[request.choice("key", *_KEY_FORMS)]}


def _disposition(request: MessageRequest, name: str) -> str:
    """Returns the header with the name of a file: `both` has the plain form, too, in bytes that say less."""
    encoded = percent_encode(name)
    forms = {
        "both": f"attachment; filename=\"file\"; filename*=UTF-8''{encoded}",
        "star": f"attachment; filename*=UTF-8''{encoded}",
        "plain": f'attachment; filename="{encoded}"',
        "none": "",
    }
    return forms[request.choice("name", *forms)]


def _mixed(request: MessageRequest) -> BuiltMessage:
    """Texts and pictures in one message; `parts` says which, in order: a text, or null for a picture."""
    parts = request.detail.get("parts", [request.text, None])
    if not isinstance(parts, list) or not all(isinstance(one, str | None) for one in parts):
        raise BadDetail("parts must be a list of texts, and null for each picture")
    items: list[Fields] = []
    paths: list[str] = []
    content: ByteSource | None = None
    for index, text in enumerate(parts):
        if text is not None:
            shown = _addressed(request, text) if index == 0 else text
            items.append({"msgtype": "text", "text": {"content": shown}})
            continue
        picture = request.content or sample_file("image", f"{request.seed} {index}")
        path, part = _stored(request, picture, _NAMES["image"])
        items.append({"msgtype": "image", "image": part})
        paths.append(path)
        content = content or picture
    text = "\n".join(one for one in parts if one)
    fields: Fields = {"msgtype": "mixed", "mixed": {"msg_item": items}}
    return BuiltMessage(fields=fields, text=text, file=content, name=_NAMES["image"], paths=tuple(paths))


def _quote(request: MessageRequest) -> BuiltMessage:
    """A text that quotes a message; the quote has no id (wecom 4.3).

    The detail `msg_id` names it, else it is the bot's newest; `quote` is the quote itself.
    """
    given = request.detail.get("quote")
    if isinstance(given, dict):
        built = _text(request)
        return BuiltMessage(fields={**built.fields, "quote": given}, text=built.text, quoted=str(given))
    line = _quoted_line(request)
    part = _quoted_part(request, line)
    fields = {**_text(request).fields, "quote": part}
    return BuiltMessage(fields=fields, text=request.text, quoted=line.text or f"[{line.kind}]")


def _quoted_line(request: MessageRequest) -> ChatLine:
    chats = request.wecom.chats
    msg_id = request.detail.get("msg_id")
    if msg_id is not None:
        line = chats.find(str(msg_id))
    else:
        own = (one for one in reversed(chats.lines) if one.chat == request.chat.id and one.sender == "bot")
        line = next(own, None)
    if line is None:
        raise BadDetail("msg_id must be that of a message: the bot has sent none there yet")
    return line


def _quoted_part(request: MessageRequest, line: ChatLine) -> Fields:
    content = request.wecom.files.plain.get(line.msg_id)
    if line.kind in FILE_KINDS and content is not None:
        _, part = _stored(request, content, line.media.name if line.media else "")
        return {"msgtype": line.kind, line.kind: part}
    if line.kind == "voice":
        return {"msgtype": "voice", "voice": {"content": line.text}}
    return {"msgtype": "text", "text": {"content": line.text}}


def _unknown(request: MessageRequest) -> BuiltMessage:
    """A kind that no client knows."""
    return BuiltMessage(fields={"msgtype": "hologram", "hologram": {"content": request.text}})


_BUILDERS: dict[str, Callable[[MessageRequest], BuiltMessage]] = {
    "text": _text,
    "image": _file,
    "mixed": _mixed,
    "voice": _voice,
    "file": _file,
    "video": _file,
    "quote": _quote,
    "unknown": _unknown,
}

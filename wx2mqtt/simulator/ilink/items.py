"""The one item of a message that a bot sends (ilink 5.2, 6.1)."""

from __future__ import annotations

from dataclasses import dataclass

from wx2mqtt.simulator.content import Content
from wx2mqtt.simulator.media import Shown

Fields = dict[str, object]


class BadItem(ValueError):
    """No item at all: an argument is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What was sent. `visible`: the phone shows it. `fault` is why the servers cannot prepare it."""

    kind: str
    text: str = ""
    visible: bool = True
    fault: str = ""
    content: Content | None = None

    @property
    def media(self) -> Shown | None:
        """What the phone says of the file."""
        if self.content is None:
            return None
        return Shown(name=self.text, size=self.content.size, mime=self.content.mime)

    @property
    def sha256(self) -> str:
        """Of the file, in hex."""
        return self.content.sha256 if self.content else ""


def read(value: object) -> Item:
    """What an item says; raises `BadItem`."""
    if not isinstance(value, dict):
        raise BadItem("the item is no object")
    if value.get("type") == 1:
        return _text(value)
    raise BadItem("the item's type is none that can be sent")


def _text(value: Fields) -> Item:
    sub = value.get("text_item")
    text = sub.get("text") if isinstance(sub, dict) else None
    if not isinstance(text, str) or not text:
        raise BadItem("text_item.text is no text")
    return Item(kind="text", text=text)

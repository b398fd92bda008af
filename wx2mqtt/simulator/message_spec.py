"""The input of the message builders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wx2mqtt.simulator.media import MessageMedia
from wx2mqtt.simulator.settings import ClientLanguage
from wx2mqtt.simulator.world import WorldContact

Fields = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDetails:
    """Optional values of a kind, and how to look up the user names of this login."""

    language: ClientLanguage
    values: Mapping[str, object] = field(default_factory=dict)
    user_name_of: Callable[[str], str] = str

    def text(self, key: str, default: str = "") -> str:
        return str(self.values.get(key, default))

    def number(self, key: str, default: int) -> int:
        value = self.values.get(key, default)
        return value if isinstance(value, int) else default


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSpec:
    text: str
    msg_id: int
    author: WorldContact
    details: MessageDetails
    media: MessageMedia | None = None

    @property
    def media_size(self) -> int:
        """The size of its file in bytes; 0 without one."""
        content = self.media and self.media.content
        return content.size if content else 0


Builder = Callable[[MessageSpec], Fields]

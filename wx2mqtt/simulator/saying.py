"""What a message is built from. Values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wx2mqtt.simulator.media import Attachment
from wx2mqtt.simulator.settings import Language
from wx2mqtt.simulator.world import Contact

Fields = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a kind may need: details from whoever asked, user names and people of this login."""

    language: Language
    detail: Mapping[str, object] = field(default_factory=dict)
    name: Callable[[str], str] = str

    def text(self, key: str, default: str = "") -> str:
        """A detail as text."""
        return str(self.detail.get(key, default))

    def number(self, key: str, default: int) -> int:
        """A detail as a whole number."""
        value = self.detail.get(key, default)
        return value if isinstance(value, int) else default


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """One message to build."""

    text: str
    msg_id: int
    author: Contact
    asked: Asked
    media: Attachment | None = None

    @property
    def length(self) -> int:
        """How many bytes the thing itself has."""
        content = self.media and self.media.content
        return content.size if content else 0


Builder = Callable[[Saying], Fields]

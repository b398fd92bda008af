"""Which of WeChat's messages are published, by `receive` of the configuration. Pure.

The `media` rules of the configuration: what is fetched and kept. Values only.

What the owner wants of one account and may change while the bridge runs. Values only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import ChatKind, Json, Message, Owner


class WrongAccount(Wx2MqttError):
    """Somebody else scanned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedAccount:
    """The only account that may log in (`expect`); empty fields do not matter."""

    uin: str = ""
    nickname: str = ""
    ilink: str = ""

    def check(self, owner: Owner, language: Language) -> None:
        """Raise `WrongAccount` for anybody else."""
        key = self.mismatched_key(owner)
        if key:
            raise WrongAccount(bridge_text(language, "wrong_account", found=owner.nickname or "?", key=key))

    def mismatched_key(self, owner: Owner) -> str:
        """The key that names another account, or nothing. The number itself is not for everybody."""
        facts = (
            ("uin", self.uin, owner.uin),
            ("nickname", self.nickname, owner.nickname),
            ("ilink", self.ilink, owner.handle),
        )
        return next((key for key, wanted, found in facts if wanted and wanted != found), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentSources:
    """Which files of this machine and of this network commands may send (`media`)."""

    send_from: tuple[Path, ...] = ()
    allow_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeAssistantSettings:
    """What Home Assistant is to see of one account. Of `expose` the last are left out first, if some must be.

    `url` is the address of the page from outside, empty without one. `expiry` is how many seconds a message
    may wait at the broker.
    """

    enabled: bool = False
    prefix: str = "homeassistant"
    expose: tuple[str, ...] = ()
    url: str = ""
    expiry: int = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class SendRules:
    """What the owner allows; `ttl` in seconds. `bases` are those of every account."""

    allow: tuple[str, ...]
    ttl: float
    base_topics: tuple[str, ...]
    discovery_prefix: str
    size_limit: str = ""
    attachment_sources: AttachmentSources = field(default_factory=AttachmentSources)


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackRules:
    """Where to, and after how many seconds. The addresses are secrets."""

    after_seconds: float = 30.0
    urls: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRules:
    """At most `most` commands wait for one person, each `ttl` seconds where it has none of its own."""

    max_commands: int = 100
    ttl: float = 86_400.0


FILEHELPER = "filehelper"


def matches_any(user: str, patterns: Collection[str]) -> bool:
    """Whether a topic name is one of the names or globs; a name may hold what a glob means otherwise."""
    return user in patterns or any(fnmatchcase(user, pattern) for pattern in patterns)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveFilter:
    """`groups`: all, mentions, listed (those that the owner named), none."""

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()
    groups: str = "all"
    own: bool = False

    def allows_message(self, message: Message, user: str, *, listed: bool) -> bool:
        """Whether a message in the chat with `user` is published.

        What the owner writes to the file helper always is: it is the remote control.
        """
        if user == FILEHELPER:
            return True
        if message.from_self and not self.own:
            return False
        mentions_only = message.chat_kind is ChatKind.GROUP and self.groups == "mentions"
        return self.allows_chat(user, message.chat_kind, listed=listed) and (
            message.mentioned or not mentions_only
        )

    def allows_chat(self, user: str, kind: ChatKind, *, listed: bool) -> bool:
        """Whether anything of this chat may be published, events included."""
        if user == FILEHELPER:
            return True
        if not matches_any(user, self.allow) or matches_any(user, self.deny):
            return False
        match self.groups if kind is ChatKind.GROUP else "all":
            case "listed":
                return listed
            case "none":
                return False
            case _:
                return True


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRules:
    """Sizes in bytes. `base` is what a url begins with: an address, or nothing for one on the bridge's own
    server; None where there is no server.
    """

    download: bool = True
    max_size: int = 25_000_000
    inline_below: int = 0
    base_url: str | None = ""

    def url(self, media_id: str) -> str | None:
        """Where the bytes are, or will be."""
        return None if self.base_url is None else f"{self.base_url}/media/{media_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    """What the owner may change while the bridge runs (reload)."""

    send: SendRules
    receive: ReceiveFilter
    media: MediaRules
    publish_plain_text: bool
    per_minute: float
    burst: int
    pins: Mapping[str, ContactPin]
    named_users: frozenset[str]  # who stays in a directory that is too large for the broker
    language: Language
    expected_account: ExpectedAccount
    home_assistant: HomeAssistantSettings
    public_settings: Mapping[str, Json]
    warnings: tuple[str, ...] = ()
    hold: HoldRules = field(default_factory=HoldRules)
    fallback: FallbackRules = field(default_factory=FallbackRules)

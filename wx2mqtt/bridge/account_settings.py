"""The settings of one account that a reload can change, as the bridge uses them. Values only.

They know nothing of the format of the configuration; `app/settings_mapping.py` creates them from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.model import FILEHELPER, ChatKind, Json, Message, Owner
from wx2mqtt.mqtt.topics import response_topic_allowed
from wx2mqtt.values import frozen


class WrongAccount(Wx2MqttError):
    """Another account than the owner's has logged in. `nickname` is its name; iLink sends none."""

    def __init__(self, message: str, nickname: str) -> None:
        super().__init__(message)
        self.nickname = nickname


@frozen
class ExpectedAccount:
    """The account that may log in (`expect`), so that no other account publishes on its topics.

    Empty fields are not checked. `uin` and `nickname` are of web WeChat, `ilink` is a handle of iLink. Only
    `uin` and `ilink` name an account: everybody can change their nickname.
    """

    uin: str = ""
    nickname: str = ""
    ilink: str = ""

    def names(self, owner: Owner) -> bool:
        """Returns whether this names `owner`, who then becomes the owner without any further question."""
        return (bool(self.uin) and self.uin == owner.uin) or (bool(self.ilink) and self.ilink == owner.handle)

    def mismatched_key(self, owner: Owner) -> str:
        """Returns the first key of `expect` that does not match, or an empty string.

        Only the key is for messages: its value identifies a person.
        """
        checks = (
            ("uin", self.uin, owner.uin),
            ("nickname", self.nickname, owner.nickname),
            ("ilink", self.ilink, owner.handle),
        )
        return next((key for key, expected, actual in checks if expected and expected != actual), "")


@frozen
class AttachmentSources:
    """Where commands may get files from: folders of this machine, and hosts in the local network."""

    send_from: tuple[Path, ...] = ()
    allow_hosts: tuple[str, ...] = ()


@frozen
class HomeAssistantSettings:
    """The Home Assistant discovery of one account.

    `expose` are the topic levels of the people; if the broker limits the payload, the last ones are left out.
    `url` is the address of the web page, empty without one. `expiry` is how many seconds a message to a
    person may wait at the broker.
    """

    enabled: bool = False
    prefix: str = "homeassistant"
    expose: tuple[str, ...] = ()
    url: str = ""
    expiry: int = 600


@frozen
class SendRules:
    """Which commands are accepted.

    `allow` are topic levels or globs. `ttl` is the default time to live of a command in seconds.
    `base_topics` are those of all accounts: a command must not name one of them for its result.
    `response_topics` are filters that the response topic of a command or request must match.
    """

    allow: tuple[str, ...]
    ttl: float
    base_topics: tuple[str, ...]
    discovery_prefix: str
    response_topics: tuple[str, ...] = ("#",)
    size_limit: str = ""
    attachment_sources: AttachmentSources = field(default_factory=AttachmentSources)

    def allows_response_topic(self, topic: str) -> bool:
        """Returns whether a result may be published on the response topic of a command or request."""
        return response_topic_allowed(topic, self.base_topics, self.discovery_prefix, self.response_topics)


@frozen
class FallbackRules:
    """Where a message goes that WeChat does not accept in time. The URLs are secrets."""

    after_seconds: float = 30.0
    urls: tuple[str, ...] = field(default=(), repr=False)


@frozen
class HoldRules:
    """How many commands may wait for the reply window of one person, and how many seconds by default."""

    max_commands: int = 100
    ttl: float = 86_400.0


@frozen
class ReminderRules:
    """When a person is reminded that their reply window closes; `before_seconds` None: never.

    `quiet_minutes` are begin and end of the hours without reminders, in minutes of the local day. `text`
    replaces the usual text; empty: the usual one.
    """

    before_seconds: float | None = None
    quiet_minutes: tuple[int, int] | None = None
    text: str = ""


@frozen
class ReplyWindowRules:
    """How the messages of a reply window are used.

    With `bundle` several texts share one message where the window takes fewer messages than wait. `reserve`
    messages of each window are kept for important commands, of which the reminder is one. A login that is
    older than `renew_after_seconds` is renewed; None: only on request.
    """

    bundle: bool = True
    reserve: int = 1
    reminder: ReminderRules = field(default_factory=ReminderRules)
    renew_after_seconds: float | None = None


@lru_cache(maxsize=256)  # each message asks for its chat
def matches_any(user: str, patterns: tuple[str, ...]) -> bool:
    """Whether a topic level is one of the patterns, or matches one as a glob.

    The first is checked because a topic level may itself contain `[` or `*`.
    """
    return user in patterns or any(fnmatchcase(user, pattern) for pattern in patterns)


@frozen
class ReceiveFilter:
    """Which received messages are published (`receive`).

    `groups` is `all`, `mentions` (messages that mention the owner), `listed` (groups that the configuration
    names) or `none`. `own` is whether messages are published that the owner writes on the phone.
    """

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()
    groups: str = "all"
    own: bool = False

    def allows_message(self, message: Message, user: str, *, listed: bool) -> bool:
        """Whether a message in the chat with `user` is published.

        Messages to the file helper always are: the owner controls the bridge with them.
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
        """Whether messages and events of the chat with `user` may be published."""
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


@frozen
class MediaRules:
    """Which files of received messages are fetched; sizes in bytes.

    `base_url` is the beginning of all URLs: an address, or empty for a URL relative to the bridge's own web
    server; None without a web server.
    """

    download: bool = True
    max_size: int = 25_000_000
    inline_below: int = 0
    base_url: str | None = ""

    def url(self, media_id: str) -> str | None:
        """Returns where the bytes are served once they are fetched; None without a web server."""
        return None if self.base_url is None else f"{self.base_url}/media/{media_id}"


@frozen
class AccountSettings:
    """The settings of one account.

    A bare text is published that is at most `plain_text_max_age` seconds old; None: none is.
    `per_minute` and `burst` limit the rate of sends. `pins` say which contact a topic level means.
    `named_users` stay in a directory that is too large for the broker. `public_settings` and `warnings` are
    published on `bridge/info`. `missing_safeguards` is the key of the sentence about an account that nothing
    helps while WeChat takes no message; empty where something does.
    """

    send: SendRules
    receive: ReceiveFilter
    media: MediaRules
    plain_text_max_age: float | None
    per_minute: float
    burst: int
    pins: Mapping[str, ContactPin]
    named_users: frozenset[str]
    language: Language
    expected_account: ExpectedAccount
    home_assistant: HomeAssistantSettings
    public_settings: Mapping[str, Json]
    warnings: tuple[str, ...] = ()
    hold: HoldRules = field(default_factory=HoldRules)
    fallback: FallbackRules = field(default_factory=FallbackRules)
    reply_window: ReplyWindowRules = field(default_factory=ReplyWindowRules)
    missing_safeguards: str = ""

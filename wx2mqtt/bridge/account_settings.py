"""The settings of one account as of now: the sections of the file, and the few questions that need several.

A value of the file is read where it is needed: `ctx.settings.account.send.ttl`. A reload replaces the whole
object. To add a setting, see `settings/schema.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.model import FILEHELPER, ChatKind, Json, Message
from wx2mqtt.mqtt.topics import response_topic_allowed
from wx2mqtt.settings.schema import Account, Settings
from wx2mqtt.values import frozen

# The settings of an account that `bridge/info` publishes. The folders and hosts from which files may be sent
# are not among them, since they reveal internals of the network.
_PUBLIC_KEYS = {"backend", "topic_names", "receive", "send", "hold", "history"}
_PUBLIC_MEDIA_KEYS = {"download", "max_size", "keep", "max_total", "inline_below"}


@frozen
class AccountSettings:
    """What the file says, and what the start of the process has decided."""

    #: The whole file.
    whole: Settings
    #: The account's name in the file, and its section.
    name: str
    account: Account
    #: The base topics of all accounts.
    base_topics: tuple[str, ...]
    #: The beginning of the URLs of media: an address, or empty for URLs that are relative to the bridge's own
    #: web server; None without a web server. A reload does not change it, since it does not move the server.
    media_base_url: str | None = ""
    #: The options of the account's backend by their names (`BackendOptions.section`), with secrets.
    backend_section: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: The password at the broker; a secret.
    broker_password: str | None = field(default=None, repr=False)
    #: The warnings about the file.
    warnings: tuple[str, ...] = ()
    #: The key of the sentence about settings without which alarms are lost; empty if none is missing.
    missing_safeguards: str = ""

    @property
    def exposed_users(self) -> tuple[str, ...]:
        """The people of this account whom Home Assistant shows: `user`, or `account/user`."""
        entries = (entry.rpartition("/") for entry in self.whole.homeassistant.expose)
        return tuple(dict.fromkeys(user for account, _, user in entries if account in ("", self.name)))

    @property
    def pins(self) -> Mapping[str, ContactPin]:
        """Whom the names below `contacts` mean, by topic name."""
        return {
            name: ContactPin(**{key: value for key, value in pin if value})
            for name, pin in self.account.contacts.items()
        }

    @property
    def named_users(self) -> frozenset[str]:
        """The people whom the file names. Only they are in a directory that is too large for the broker."""
        return frozenset(self.account.contacts) | frozenset(self.exposed_users)

    @property
    def page_url(self) -> str:
        """The address at which the web page is reached from outside; empty if there is none."""
        web = self.whole.web
        return (web.url or "") if web.enabled else ""

    @property
    def public(self) -> dict[str, Json]:
        """What `bridge/info` publishes: no secrets."""
        account = self.account
        public: dict[str, Json] = account.model_dump(mode="json", include=_PUBLIC_KEYS)
        max_age = account.plain.max_age
        public["plain"] = False if max_age is None else {"max_age": max_age}
        public["media"] = account.media.model_dump(mode="json", include=_PUBLIC_MEDIA_KEYS)
        return public

    def media_url(self, media_id: str) -> str | None:
        """Returns where the bytes are served once they are fetched; None without a web server."""
        return None if self.media_base_url is None else f"{self.media_base_url}/media/{media_id}"

    def allows_response_topic(self, topic: str) -> bool:
        """Returns whether a result may be published on the response topic of a command or request."""
        prefix, filters = self.whole.homeassistant.prefix, self.whole.mqtt.response_topics
        return response_topic_allowed(topic, self.base_topics, prefix, filters)

    def publishes_message(self, message: Message, user: str, *, listed: bool) -> bool:
        """Returns whether a message in the chat with `user` is published; `listed`: the file names the chat.

        Messages to the file helper always are: the owner controls the bridge with them.
        """
        receive = self.account.receive
        if user == FILEHELPER:
            return True
        if message.from_self and not receive.own:
            return False
        if message.chat_kind is ChatKind.GROUP and receive.groups == "mentions" and not message.mentioned:
            return False
        return self.publishes_chat(user, message.chat_kind, listed=listed)

    def publishes_chat(self, user: str, kind: ChatKind, *, listed: bool) -> bool:
        """Returns whether messages and events of the chat with `user` may be published."""
        receive = self.account.receive
        if user == FILEHELPER:
            return True
        if not matches_any(user, receive.allow) or matches_any(user, receive.deny):
            return False
        if kind is not ChatKind.GROUP:
            return True
        if receive.groups == "listed":
            return listed
        return receive.groups != "none"


@lru_cache(maxsize=256)  # each message asks for its chat
def matches_any(user: str, patterns: tuple[str, ...]) -> bool:
    """Returns whether a topic name equals one of the patterns, or matches one as a glob.

    It is also compared as it is, because a topic name may itself contain `[` or `*`.
    """
    return user in patterns or any(fnmatchcase(user, pattern) for pattern in patterns)

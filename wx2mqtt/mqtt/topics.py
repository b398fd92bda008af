"""The topics, as one table (README, "Topics"). Every topic string of the project is made or read here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain"
PNG_TYPE = "image/png"

MAX_LEVEL_BYTES = 1024  # bytes of a user's name in a request; topics hold 65,535 with all levels

RESERVED_LEVELS = frozenset(
    {"in", "out", "result", "event", "login", "contacts", "window", "last", "text", "bridge"}
)
"""First levels below a base; none of them can be the name of an account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic: who publishes, whether it is retained, what the payload is. All are QoS 1."""

    pattern: str
    by_bridge: bool
    retained: bool
    content_type: str
    meaning: str


TOPIC_TABLE: tuple[Topic, ...] = (
    Topic(
        pattern="in/<user>",
        by_bridge=True,
        retained=False,
        content_type=JSON_TYPE,
        meaning="a message that came in",
    ),
    Topic(
        pattern="out/<user>",
        by_bridge=False,
        retained=False,
        content_type=TEXT_TYPE,
        meaning="a text to send as it is, or a JSON object (a command)",
    ),
    Topic(
        pattern="result/<user>",
        by_bridge=True,
        retained=False,
        content_type=JSON_TYPE,
        meaning="the one result of each command",
    ),
    Topic(
        pattern="event/<kind>",
        by_bridge=True,
        retained=False,
        content_type=JSON_TYPE,
        meaning="what happened and is no message",
    ),
    Topic(
        pattern="text/<user>",
        by_bridge=True,
        retained=False,
        content_type=TEXT_TYPE,
        meaning="with plain: what somebody trusted wrote, as bare text",
    ),
    Topic(
        pattern="login/state",
        by_bridge=True,
        retained=True,
        content_type=JSON_TYPE,
        meaning="the login, and what a person must do",
    ),
    Topic(
        pattern="login/qr",
        by_bridge=True,
        retained=True,
        content_type=PNG_TYPE,
        meaning="the QR code to scan, else a placeholder",
    ),
    Topic(
        pattern="login/url",
        by_bridge=True,
        retained=True,
        content_type=TEXT_TYPE,
        meaning="the text in the QR code",
    ),
    Topic(
        pattern="contacts",
        by_bridge=True,
        retained=True,
        content_type=JSON_TYPE,
        meaning="the directory of topic names",
    ),
    Topic(
        pattern="window/<user>",
        by_bridge=True,
        retained=True,
        content_type=JSON_TYPE,
        meaning="iLink: whether WeChat would take a message to them now",
    ),
    Topic(
        pattern="last", by_bridge=True, retained=True, content_type=JSON_TYPE, meaning="the newest message"
    ),
    Topic(
        pattern="bridge/state",
        by_bridge=True,
        retained=True,
        content_type=TEXT_TYPE,
        meaning="online or offline (will)",
    ),
    Topic(
        pattern="bridge/info",
        by_bridge=True,
        retained=True,
        content_type=JSON_TYPE,
        meaning="versions, stream, settings without secrets",
    ),
    Topic(
        pattern="bridge/health",
        by_bridge=True,
        retained=True,
        content_type=JSON_TYPE,
        meaning="counters, queues, ages",
    ),
    Topic(
        pattern="bridge/request/<name>",
        by_bridge=False,
        retained=False,
        content_type=JSON_TYPE,
        meaning="a request to the bridge",
    ),
    Topic(
        pattern="bridge/response/<name>",
        by_bridge=True,
        retained=False,
        content_type=JSON_TYPE,
        meaning="its answer",
    ),
)


@dataclass(frozen=True, slots=True)
class TextTopic:
    """`out/<user>`: text or a command."""

    user: str


@dataclass(frozen=True, slots=True)
class FileTopic:
    """`out/<user>/image`, `/video`, `/file/<name>`: the bytes of a file. The name is literal."""

    user: str
    kind: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class UnknownTopic:
    """Something else below `out/<user>`."""

    user: str


@dataclass(frozen=True, slots=True)
class RequestTopic:
    """`bridge/request/<name>`."""

    name: str


ParsedTopic = TextTopic | FileTopic | UnknownTopic | RequestTopic


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one account, below its base."""

    base: str

    def message(self, user: str) -> str:
        return f"{self.base}/in/{user}"

    def out(self, user: str) -> str:
        return f"{self.base}/out/{user}"

    def result(self, user: str) -> str:
        return f"{self.base}/result/{user}"

    def event(self, kind: str) -> str:
        return f"{self.base}/event/{kind}"

    def text(self, user: str) -> str:
        return f"{self.base}/text/{user}"

    def request(self, name: str) -> str:
        return f"{self.base}/bridge/request/{name}"

    def response(self, name: str) -> str:
        return f"{self.base}/bridge/response/{name}"

    @property
    def login_state(self) -> str:
        return f"{self.base}/login/state"

    @property
    def login_qr(self) -> str:
        return f"{self.base}/login/qr"

    @property
    def login_url(self) -> str:
        return f"{self.base}/login/url"

    @property
    def contacts(self) -> str:
        return f"{self.base}/contacts"

    def window(self, user: str) -> str:
        return f"{self.base}/window/{user}"

    @property
    def last(self) -> str:
        return f"{self.base}/last"

    @property
    def state(self) -> str:
        return f"{self.base}/bridge/state"

    @property
    def info(self) -> str:
        return f"{self.base}/bridge/info"

    @property
    def health(self) -> str:
        return f"{self.base}/bridge/health"

    def retained(self, users: Iterable[str]) -> tuple[str, ...]:
        """Every topic that may be retained, where these are all users who ever were."""
        patterns = [f"{self.base}/{topic.pattern}" for topic in TOPIC_TABLE if topic.retained]
        of_users = [pattern for pattern in patterns if "<user>" in pattern]
        fixed = [pattern for pattern in patterns if "<" not in pattern]
        return (*fixed, *(pattern.replace("<user>", user) for user in users for pattern in of_users))

    @property
    def subscriptions(self) -> tuple[str, str]:
        """Filters for what people send to the bridge."""
        return f"{self.base}/out/#", f"{self.base}/bridge/request/#"

    def parse(self, topic: str) -> ParsedTopic | None:
        """What a topic asks for; None when it is none of ours."""
        if topic.startswith(f"{self.base}/bridge/request/"):
            return RequestTopic(topic[len(self.base) + 16 :])
        if not topic.startswith(f"{self.base}/out/"):
            return None
        user, *rest = topic[len(self.base) + 5 :].split("/")
        match rest:
            case []:
                return TextTopic(user)
            case ["image" | "video" as kind]:
                return FileTopic(user, kind)
            case ["file", name] if name:
                return FileTopic(user, "file", name)
            case _:
                return UnknownTopic(user)


def is_level(name: str) -> bool:
    """Whether a name can be one level of a topic that is published to."""
    size = len(name.encode("utf-8", "replace"))
    return 0 < size <= MAX_LEVEL_BYTES and not any(
        sign in "/+#\0" or "\ud800" <= sign <= "\udfff" for sign in name
    )


def response_topic_allowed(topic: str, bases: tuple[str, ...], discovery_prefix: str) -> bool:
    """Whether results may go there: concrete, no `$`, outside bases and the discovery prefix.

    Without this anybody who may publish to `out` could use the bridge's rights to write elsewhere.
    """
    if not topic or topic.startswith("$") or any(sign in topic for sign in "+#\0"):
        return False
    return not any(topic == base or topic.startswith(f"{base}/") for base in (*bases, discovery_prefix))

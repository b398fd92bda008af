"""The topics as one table (docs/en/reference/topics.md). Topics are built and parsed here only. Pure.

    Topics("wechat").message("wife")                      wechat/in/wife
    Topics("wechat").parse("wechat/out/wife/urgent")      TextTopic("wife", "urgent")

A *level* is what stands between two slashes; the base topic of an account may have several.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wx2mqtt.bounded_json import is_encodable
from wx2mqtt.limits import MAX_TOPIC_NAME_BYTES
from wx2mqtt.model import JSON_TYPE, Json
from wx2mqtt.values import frozen

# Of all that is published and subscribed to. At QoS 0 a message may get lost without anybody knowing. QoS 2
# would add two packets a message, and messages are distinguished by their ids (mqtt 7.1.8).
QOS = 1

TEXT_TYPE = "text/plain"
PNG_TYPE = "image/png"

# The program, for Home Assistant; the beginning of the id of each device.
ORIGIN_NAME = "wx2mqtt"


@frozen(kw_only=False)
class Topic:
    """One kind of topics below the base topic of an account."""

    pattern: str
    content_type: str
    meaning: str
    #: The bridge publishes it; else people do.
    by_bridge: bool = True
    retained: bool = False


TOPIC_TABLE: tuple[Topic, ...] = (
    Topic("in/<user>", JSON_TYPE, "a message that came in"),
    Topic("out/<user>", TEXT_TYPE, "a text to send as it is, or a JSON object (a command)", by_bridge=False),
    Topic(
        "out/<user>/urgent", TEXT_TYPE, "the same with urgent set, for who sends only text", by_bridge=False
    ),
    Topic("out/<user>/high", TEXT_TYPE, "the same with priority high", by_bridge=False),
    Topic("result/<user>", JSON_TYPE, "the one result of each command"),
    Topic("event/<kind>", JSON_TYPE, "what happened and is no message"),
    Topic("text/<user>", TEXT_TYPE, "with plain: what somebody trusted wrote just now, as bare text"),
    Topic("login/state", JSON_TYPE, "the login, and what a person must do", retained=True),
    Topic("login/qr", PNG_TYPE, "the QR code to scan, else a placeholder", retained=True),
    Topic("login/url", TEXT_TYPE, "the text in the QR code", retained=True),
    Topic("contacts", JSON_TYPE, "the directory of topic names", retained=True),
    Topic(
        "window/<user>",
        JSON_TYPE,
        "iLink: whether WeChat would take a message to them now",
        retained=True,
    ),
    Topic("last", JSON_TYPE, "the newest message", retained=True),
    Topic("bridge/state", TEXT_TYPE, "online or offline (will)", retained=True),
    Topic("bridge/info", JSON_TYPE, "versions, stream, settings without secrets", retained=True),
    Topic("bridge/health", JSON_TYPE, "counters, queues, ages", retained=True),
    Topic("bridge/request/<name>", JSON_TYPE, "a request to the bridge", by_bridge=False),
    Topic("bridge/response/<name>", JSON_TYPE, "its answer"),
)

# What stands directly below a base topic; an account cannot have such a name.
RESERVED_LEVELS = frozenset(topic.pattern.partition("/")[0] for topic in TOPIC_TABLE)

_PUBLISHED_PREFIXES = tuple(
    topic.pattern.partition("<")[0] for topic in TOPIC_TABLE if topic.by_bridge and not topic.retained
)


# The keys that a topic sets in its command, by its level behind the user.
KEYS_OF_LEVELS: Mapping[str, Mapping[str, Json]] = {
    "": {},
    "urgent": {"urgent": True},
    "high": {"priority": "high"},
}


@frozen(kw_only=False)
class TextTopic:
    """`out/<user>`, `/urgent`, `/high`: text or a command. `level` is one of `KEYS_OF_LEVELS`."""

    user: str
    level: str = ""


@frozen(kw_only=False)
class FileTopic:
    """`out/<user>/image`, `/video`, `/file/<name>`: the bytes of a file. The name is not decoded."""

    user: str
    kind: str
    name: str = ""


@frozen(kw_only=False)
class UnknownTopic:
    """`out`, and any other topic below `out/<user>`; `user` is empty where the topic names none."""

    user: str


@frozen(kw_only=False)
class RequestTopic:
    """`bridge/request/<name>`."""

    name: str


ParsedTopic = TextTopic | FileTopic | UnknownTopic | RequestTopic


class Topics:
    """The topics of one account, below its base."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.login_state = f"{base}/login/state"
        self.login_qr = f"{base}/login/qr"
        self.login_url = f"{base}/login/url"
        self.contacts = f"{base}/contacts"
        self.last = f"{base}/last"
        self.state = f"{base}/bridge/state"
        self.info = f"{base}/bridge/info"
        self.health = f"{base}/bridge/health"
        #: Filters for the topics on which people send to the bridge.
        self.subscriptions = (f"{base}/out/#", f"{base}/bridge/request/#")
        self._out_prefix = f"{base}/out/"
        self._request_prefix = f"{base}/bridge/request/"

    def message(self, user: str) -> str:
        return f"{self.base}/in/{user}"

    def out(self, user: str) -> str:
        return f"{self.base}/out/{user}"

    def commands_to(self, user: str) -> tuple[str, ...]:
        """Returns all topics that `parse` takes for a command to this user."""
        out = self.out(user)
        texts = [f"{out}/{level}" for level in KEYS_OF_LEVELS if level]
        return (out, *texts, *self.files_to(user))

    def files_to(self, user: str) -> tuple[str, str, str]:
        """Returns the topics for the bytes of pictures, of videos, and of any files."""
        out = self.out(user)
        return f"{out}/image", f"{out}/video", f"{out}/file/<name>"

    def result(self, user: str) -> str:
        return f"{self.base}/result/{user}"

    def event(self, kind: str) -> str:
        return f"{self.base}/event/{kind}"

    def text(self, user: str) -> str:
        return f"{self.base}/text/{user}"

    def window(self, user: str) -> str:
        return f"{self.base}/window/{user}"

    def request(self, name: str) -> str:
        return f"{self.base}/bridge/request/{name}"

    def response(self, name: str) -> str:
        return f"{self.base}/bridge/response/{name}"

    def retained(self, users: Iterable[str]) -> tuple[str, ...]:
        """Returns every topic that may be retained; `users` are all topic names that were ever in use."""
        retained = [topic.pattern for topic in TOPIC_TABLE if topic.retained]
        fixed = [f"{self.base}/{pattern}" for pattern in retained if "<" not in pattern]
        return (*fixed, *(self.window(user) for user in users))

    def may_publish(self, topic: str) -> bool:
        """Returns whether the topic is one of those that the bridge publishes, and that are not retained."""
        prefix = f"{self.base}/"
        is_below_base = topic.startswith(prefix) and is_publishable(topic)
        return is_below_base and topic.removeprefix(prefix).startswith(_PUBLISHED_PREFIXES)

    def parse(self, topic: str) -> ParsedTopic | None:
        """Parses a topic on which people send to the bridge; None for any other topic.

        The filters of `subscriptions` match `out` and `bridge/request` without a further level, too.
        """
        if f"{topic}/".startswith(self._request_prefix):
            return RequestTopic(topic[len(self._request_prefix) :])
        if not f"{topic}/".startswith(self._out_prefix):
            return None
        return _command_topic(topic[len(self._out_prefix) :].split("/"))


def _command_topic(levels: list[str]) -> ParsedTopic:
    """Returns what the levels below `out` ask for."""
    match levels:
        case [user] if user:
            return TextTopic(user)
        case [user, "urgent" | "high" as level] if user:
            return TextTopic(user, level)
        case [user, "image" | "video" as kind] if user:
            return FileTopic(user, kind)
        case [user, "file", name] if user and name:
            return FileTopic(user, "file", name)
        case _:
            return UnknownTopic(levels[0])


# Wildcards, and the end of a string in C.
_NEVER_PUBLISHED = frozenset("+#\0")


def is_publishable(topic: str) -> bool:
    """Returns whether a topic is not empty, and without wildcards and NUL (MQTT 5, 4.7.1 and 4.7.3)."""
    return bool(topic) and _NEVER_PUBLISHED.isdisjoint(topic)


def is_topic_name(name: str) -> bool:
    """Returns whether a name can be one level of a topic to publish to."""
    is_one_level = bool(name) and "/" not in name and is_encodable(name)
    return is_one_level and is_publishable(name) and len(name.encode()) <= MAX_TOPIC_NAME_BYTES


def matches_filter(topic: str, topic_filter: str) -> bool:
    """Returns whether a topic that does not begin with `$` matches a valid filter (MQTT 5, 4.7.1)."""
    levels, masks = topic.split("/"), topic_filter.split("/")
    if masks[-1] == "#":
        masks.pop()
        if len(levels) < len(masks):
            return False
        levels = levels[: len(masks)]
    return len(levels) == len(masks) and all(
        mask in ("+", level) for level, mask in zip(levels, masks, strict=True)
    )


def response_topic_allowed(
    topic: str, bases: tuple[str, ...], discovery_prefix: str, filters: tuple[str, ...] = ("#",)
) -> bool:
    """Whether a result may be published there: no wildcard, no `$`, outside bases and discovery prefix.

    It must also match one of `filters`. Otherwise whoever may publish to `out` could use the bridge's access
    rights to write elsewhere.
    """
    if topic.startswith("$") or not is_publishable(topic):
        return False
    if any(topic == base or topic.startswith(f"{base}/") for base in (*bases, discovery_prefix)):
        return False
    return any(matches_filter(topic, allowed) for allowed in filters)


# Home Assistant's (mqtt 2)


def device_id(account: str) -> str:
    return f"{ORIGIN_NAME}_{account}"


def config_topic(prefix: str, account: str) -> str:
    return f"{prefix}/device/{device_id(account)}/config"


def is_config_topic(account: str, topic: str) -> bool:
    """Returns whether an account announces itself on this topic, with whatever prefix."""
    end = config_topic("", account)
    return topic.endswith(end) and len(topic) > len(end) and is_publishable(topic)


def birth_topic(prefix: str) -> str:
    """The topic on which Home Assistant publishes `online` when it has started."""
    return f"{prefix}/status"

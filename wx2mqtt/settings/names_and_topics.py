"""Names of accounts and contacts, topics and topic filters, as the configuration may have them. Pure.

    topic_name_fault("anna/work")  ->  "a topic level cannot hold /; write 'anna_work'"
    validate_topic("home/wechat")  ->  the same

A `..._fault` function returns a sentence that says what is wrong and what to write, or the empty text.
`validate_...` returns the value, or raises ValueError with such a sentence.
"""

from __future__ import annotations

import re
import unicodedata

from wx2mqtt.limits import MAX_CHOSEN_TOPIC_NAME_BYTES
from wx2mqtt.model import FILEHELPER
from wx2mqtt.names import unprintable

RESERVED_ACCOUNTS = frozenset(
    {"in", "out", "result", "event", "login", "contacts", "window", "last", "text", "bridge"}
)
"""First levels below a base topic: the default base `wx/<account>` would collide with them."""
HAS_CONTROL_CHARACTERS = "holds control characters; take them out"
MAX_TOPIC_BYTES = 200
MAX_FILTER_BYTES = 1000

_ACCOUNT = re.compile(r"[a-z0-9_]{1,32}", re.ASCII)
_FORBIDDEN_IN_TOPIC_NAME = "/+#.*>$"


def account_fault(name: str) -> str:
    if not _ACCOUNT.fullmatch(name):
        return "an account's name has 1 to 32 characters of a-z, 0-9 and _"
    if name in RESERVED_ACCOUNTS:
        return f"'{name}' is the name of a topic and cannot be an account; choose another"
    return ""


def topic_name_fault(name: str) -> str:
    """Checks a name that the owner gives to a contact; it becomes one topic level."""
    composed = unicodedata.normalize("NFC", name)
    forbidden = [character for character in _FORBIDDEN_IN_TOPIC_NAME if character in name]
    unusual = [character for character in composed if character.isspace() or unprintable(character)]
    repaired = "".join("_" if character in (*forbidden, *unusual) else character for character in composed)
    if not name:
        return "the name is empty"
    if name == FILEHELPER:
        return "filehelper belongs to WeChat's file helper; choose another name"
    if forbidden:
        return f"a topic level cannot hold {' '.join(forbidden)}; write '{repaired}'"
    if unusual:
        return f"a topic level cannot hold white space or control characters; write '{repaired}'"
    if composed != name:
        return "write it in composed form (Unicode NFC)"
    return _length_fault(name, MAX_CHOSEN_TOPIC_NAME_BYTES)


def validate_topic(topic: str) -> str:
    """Checks a topic below which the bridge publishes."""
    if not topic:
        raise ValueError("is empty; leave the key out for the default")
    if topic.startswith("$"):
        raise ValueError("topics that begin with $ belong to the broker; choose another")
    if "+" in topic or "#" in topic:
        raise ValueError("holds a wildcard (+ or #); a topic for publishing must be concrete")
    if "" in topic.split("/"):
        raise ValueError(
            "has an empty level; remove the / at the start or at the end, or one of two in a row"
        )
    return _bounded_line(topic, MAX_TOPIC_BYTES)


def validate_topic_filter(topic_filter: str) -> str:
    """Checks a filter that a topic for publishing must match."""
    *parents, last = topic_filter.split("/")
    if not topic_filter:
        raise ValueError("is empty; write # for every topic, or an empty list [] for none")
    if topic_filter.startswith("$"):
        raise ValueError("matches nothing: no response may go to a topic that begins with $")
    if "#" in "".join(parents) or ("#" in last and last != "#"):
        raise ValueError("has a # that is not its last level; it stands alone after the last /")
    if any("+" in level and level != "+" for level in (*parents, last)):
        raise ValueError("has a + beside other characters; it is a whole level")
    return _bounded_line(topic_filter, MAX_FILTER_BYTES)


def bases_overlap(base: str, other: str) -> bool:
    """Returns whether two base topics are equal, or one is a topic that an account with the other uses."""
    if base == other:
        return True
    shorter, longer = sorted((base, other), key=len)
    below = longer.removeprefix(f"{shorter}/")
    return below != longer and below.split("/")[0] in RESERVED_ACCOUNTS


def _bounded_line(text: str, max_bytes: int) -> str:
    if any(map(unprintable, text)):
        raise ValueError(HAS_CONTROL_CHARACTERS)
    if fault := _length_fault(text, max_bytes):
        raise ValueError(fault)
    return text


def _length_fault(text: str, max_bytes: int) -> str:
    is_too_long = len(text.encode("utf-8", "surrogatepass")) > max_bytes
    return f"is longer than {max_bytes} bytes of UTF-8" if is_too_long else ""

"""What a topic, a topic level and an account's name may look like (DESIGN 3, 4, 4.1). Pure.

Each check returns a sentence that says what is wrong, or the empty text.
"""

from __future__ import annotations

import re
import unicodedata

RESERVED_ACCOUNTS = frozenset(
    {"in", "out", "result", "event", "login", "contacts", "window", "last", "text", "bridge"}
)
"""First levels below a base topic; an account of that name would meet them."""

FILEHELPER = "filehelper"
LEVEL_BYTES = 64
TOPIC_BYTES = 200

_ACCOUNT = re.compile(r"[a-z0-9_]{1,32}", re.ASCII)
_BAD_IN_LEVEL = "/+#.*>$"
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def account_fault(name: str) -> str:
    """What is wrong with the name of an account."""
    if not _ACCOUNT.fullmatch(name):
        return "an account's name has 1 to 32 characters of a-z, 0-9 and _"
    if name in RESERVED_ACCOUNTS:
        return f"'{name}' is the name of a topic and cannot be an account; choose another"
    return ""


def level_fault(name: str) -> str:
    """What is wrong with a name that the owner gives to a contact; it becomes one topic level."""
    if not name:
        return "the name is empty"
    if name == FILEHELPER:
        return "filehelper belongs to WeChat's file helper; choose another name"
    if found := [mark for mark in _BAD_IN_LEVEL if mark in name]:
        return f"a topic level cannot hold {' '.join(found)}; write '{_mended(name)}'"
    if any(unicodedata.category(mark) in _UNPRINTABLE or mark.isspace() for mark in name):
        return f"a topic level cannot hold white space or control characters; write '{_mended(name)}'"
    if unicodedata.normalize("NFC", name) != name:
        return "is written with separate accents; write it in composed form (NFC)"
    if len(name.encode()) > LEVEL_BYTES:
        return f"is longer than {LEVEL_BYTES} bytes of UTF-8"
    return ""


def topic_fault(topic: str) -> str:
    """What is wrong with a topic below which things are published."""
    if not topic:
        return "is empty; leave the key out for the default"
    if topic.startswith("$"):
        return "topics that begin with $ belong to the broker"
    if "+" in topic or "#" in topic:
        return "holds a wildcard (+ or #); a topic for publishing must be concrete"
    if any(not level for level in topic.split("/")):
        return "has an empty level; take the / at the start, at the end or the doubled one away"
    if any(unicodedata.category(mark) in _UNPRINTABLE for mark in topic):
        return "holds control characters"
    if len(topic.encode()) > TOPIC_BYTES:
        return f"is longer than {TOPIC_BYTES} bytes of UTF-8"
    return ""


def within(topic: str, base: str) -> bool:
    """Whether `topic` equals `base` or is one of the topics that an account with this base uses."""
    if topic == base:
        return True
    below = topic.removeprefix(f"{base}/")
    return below != topic and below.split("/")[0] in RESERVED_ACCOUNTS


def _mended(name: str) -> str:
    return "".join(
        "_"
        if mark in _BAD_IN_LEVEL or mark.isspace() or unicodedata.category(mark) in _UNPRINTABLE
        else mark
        for mark in unicodedata.normalize("NFC", name)
    )

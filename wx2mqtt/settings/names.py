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
    marks = " ".join(mark for mark in _BAD_IN_LEVEL if mark in name)
    return _first(
        (not name, "the name is empty"),
        (name == FILEHELPER, "filehelper belongs to WeChat's file helper; choose another name"),
        (bool(marks), f"a topic level cannot hold {marks}; write '{_mended(name)}'"),
        (
            any(mark.isspace() or unprintable(mark) for mark in name),
            f"a topic level cannot hold white space or control characters; write '{_mended(name)}'",
        ),
        (unicodedata.normalize("NFC", name) != name, "write it in composed form (Unicode NFC)"),
        (len(_utf8(name)) > LEVEL_BYTES, f"is longer than {LEVEL_BYTES} bytes of UTF-8"),
    )


def topic_fault(topic: str) -> str:
    """What is wrong with a topic below which things are published."""
    return _first(
        (not topic, "is empty; leave the key out for the default"),
        (topic.startswith("$"), "topics that begin with $ belong to the broker; choose another"),
        ("+" in topic or "#" in topic, "holds a wildcard (+ or #); a topic for publishing must be concrete"),
        (
            any(not level for level in topic.split("/")),
            "has an empty level; take the / at the start, at the end or the doubled one away",
        ),
        (any(unprintable(mark) for mark in topic), "holds control characters; take them out"),
        (len(_utf8(topic)) > TOPIC_BYTES, f"is longer than {TOPIC_BYTES} bytes of UTF-8"),
    )


def within(topic: str, base: str) -> bool:
    """Whether `topic` equals `base` or is one of the topics that an account with this base uses."""
    if topic == base:
        return True
    below = topic.removeprefix(f"{base}/")
    return below != topic and below.split("/")[0] in RESERVED_ACCOUNTS


def printable(text: str) -> str:
    """The same text on one line: what cannot be seen is written as its escape."""
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in text)


def _first(*checks: tuple[bool, str]) -> str:
    return next((words for wrong, words in checks if wrong), "")


def unprintable(mark: str) -> bool:
    """Whether one character controls something, breaks a line or is half of one."""
    return unicodedata.category(mark) in _UNPRINTABLE


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _mended(name: str) -> str:
    return "".join(
        "_" if mark in _BAD_IN_LEVEL or mark.isspace() or unprintable(mark) else mark
        for mark in unicodedata.normalize("NFC", name)
    )

"""Finds settings in which instances differ, although they must be the same: accounts and topics. Pure.

Each instance stores a digest of every such value. A digest is made with the key that encrypts the saved
logins, which no reader of the database has: so nobody can guess a password from it. A list counts as one
value.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence

from wx2mqtt.values import frozen

# Of a digest of one value, in hexadecimal.
_DIGEST_CHARACTERS = 12

# Keys that a warning names; the others are counted.
NAMED_KEYS = 5


@frozen
class ConfigurationDigest:
    """The digests of an instance: of each value by its key, and of all of them."""

    by_key: Mapping[str, str]

    @property
    def text(self) -> str:
        """The digests by key, as JSON."""
        return json.dumps(self.by_key, sort_keys=True, separators=(",", ":"))

    @property
    def whole(self) -> str:
        """One digest for all."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def digest_of(settings: Mapping[str, object], key: bytes) -> ConfigurationDigest:
    """Returns the digests of nested values; those that are None or empty are left out, as their defaults."""
    return ConfigurationDigest(by_key={path: _digest(value, key) for path, value in _leaves("", settings)})


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(f"{path}.{name}" if path else str(name), item)
    elif value not in (None, (), [], ""):
        yield path, value


def _digest(value: object, key: bytes) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str, sort_keys=True)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:_DIGEST_CHARACTERS]


def named_keys(keys: Sequence[str]) -> str:
    """Returns the first keys as a text for people, and how many more there are."""
    more = len(keys) - NAMED_KEYS
    return ", ".join(keys[:NAMED_KEYS]) + (f" and {more} more" if more > 0 else "")

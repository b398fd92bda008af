"""Digests of the settings that all instances must have in common: they show where these differ. Pure.

    {"accounts": {"home": {"backend": "ilink"}}}  ->  {"accounts.home.backend": "3f9a…"}, and a digest of that

They are made with the key that encrypts the saved logins. A reader of the database does not have it, and
cannot guess a password from its digest.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence

from wx2mqtt.values import frozen

# Of the digest of one value, in hexadecimal.
_DIGEST_CHARACTERS = 12

# A warning names so many keys, and counts the others.
NAMED_KEYS = 5


@frozen
class ConfigurationDigest:
    """The digests of the settings that must be the same in all instances."""

    #: A JSON object: the digest of each value, by its key such as `accounts.home.backend`.
    text: str
    #: The digest of `text`.
    whole: str


def digest_of(settings: Mapping[str, object], key: bytes) -> ConfigurationDigest:
    """Returns the digests of nested settings, without those that are None or empty, as by default."""
    by_key: dict[str, str] = {}
    for path, value in _leaves("", settings):
        data = json.dumps(value, ensure_ascii=False, default=str, sort_keys=True).encode()
        by_key[path] = hmac.new(key, data, hashlib.sha256).hexdigest()[:_DIGEST_CHARACTERS]
    text = json.dumps(by_key, sort_keys=True, separators=(",", ":"))
    return ConfigurationDigest(text=text, whole=hashlib.sha256(text.encode()).hexdigest())


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(f"{path}.{name}" if path else str(name), item)
    elif value not in (None, (), [], ""):
        yield path, value


def named_keys(keys: Sequence[str]) -> str:
    """Returns a text for people, such as "accounts.home.backend, mqtt.client_id and 2 more"."""
    more = len(keys) - NAMED_KEYS
    return ", ".join(keys[:NAMED_KEYS]) + (f" and {more} more" if more > 0 else "")

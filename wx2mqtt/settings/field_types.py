"""The types of the keys of the configuration.

    ttl: Duration       "10m"  ->  600.0
    base_topic: Topic   "a/#"  ->  ValueError: "holds a wildcard (+ or #); a topic for publishing must …"

A check takes one value alone and returns it, or raises `ValueError` with a sentence, which becomes a problem
of the key.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema

from wx2mqtt.names import unprintable
from wx2mqtt.settings import addresses, names_and_topics
from wx2mqtt.settings.names_and_topics import HAS_CONTROL_CHARACTERS
from wx2mqtt.settings.quiet_hours import parse_quiet_hours
from wx2mqtt.settings.sizes_and_durations import parse_duration, parse_size

MAX_CLIENT_ID_CHARACTERS = 200

T = TypeVar("T")

LIVE = "live"
Live = Annotated[T, LIVE]
"""A key, or a whole section, that a reload changes in the running program; any other key needs a restart."""


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


OneOrMany = Annotated[
    tuple[T, ...],
    BeforeValidator(_one_or_many),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""A list; one with a single item may be written as that item."""

# texts and files


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty; write a text, or leave the key out")
    if any(map(unprintable, value)):
        raise ValueError(HAS_CONTROL_CHARACTERS)
    return value


Text = Annotated[str, AfterValidator(_filled)]
Texts = OneOrMany[Text]


def _encodable(value: SecretStr) -> SecretStr:
    """Refuses a lone surrogate: it cannot be encoded in UTF-8, so it cannot be sent."""
    try:
        value.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a character (a surrogate); write the whole one") from None
    return value


Secret = Annotated[SecretStr, AfterValidator(_encodable)]
Secrets = OneOrMany[Secret]


LOGIN_KEY_BYTES = 32
# The key in use, and the one before it while it is being replaced.
MAX_LOGIN_KEYS = 2


def parse_login_keys(text: str) -> tuple[bytes, ...]:
    """Returns the keys of saved logins in a text, one a line: the newest first, then the one before it.

    Raises `ValueError` with a sentence.
    """
    cure = "make one with: wx2mqtt cluster new-key"
    keys: list[bytes] = []
    for line in [line for line in text.split("\n") if line.strip()] or [text]:
        try:
            key = base64.b64decode(line.strip(), validate=True)
        except ValueError:
            raise ValueError(f"is no key, which is base64 on one line; {cure}") from None
        if len(key) != LOGIN_KEY_BYTES:
            raise ValueError(f"has {len(key)} bytes, and a key has {LOGIN_KEY_BYTES}; {cure}")
        keys.append(key)
    if len(keys) > MAX_LOGIN_KEYS:
        raise ValueError("has more than two lines: write the new key, and on the next line the one before it")
    if len(set(keys)) < len(keys):
        raise ValueError("has the same key twice; write the new key, and on the next line the one before it")
    return tuple(keys)


def _login_keys(value: SecretStr) -> SecretStr:
    parse_login_keys(value.get_secret_value())
    return value


LoginKey = Annotated[SecretStr, AfterValidator(_login_keys)]


MIN_SENDER_TOKEN_CHARACTERS = 32


def _sender_token(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < MIN_SENDER_TOKEN_CHARACTERS:
        raise ValueError(
            f"is shorter than {MIN_SENDER_TOKEN_CHARACTERS} characters; make one with: openssl rand -hex 32"
        )
    if not value.get_secret_value().isascii() or not value.get_secret_value().isprintable():
        raise ValueError("must be printable ASCII, as it goes into a header; make one: openssl rand -hex 32")
    return value


SenderToken = Annotated[Secret, AfterValidator(_sender_token)]


def _sender_name(value: str) -> str:
    if not re.fullmatch("[a-z0-9_-]{1,32}", value, re.ASCII):
        raise ValueError("must be 1 to 32 characters of a-z, 0-9, _ and -")
    return value


SenderName = Annotated[str, AfterValidator(_sender_name)]


def _path(value: object) -> object:
    """Refuses an empty path: it would mean the working folder."""
    if value == "":
        raise ValueError("is empty; write a path, or leave the key out")
    return value


FilePath = Annotated[Path, BeforeValidator(_path)]
Folders = OneOrMany[Path]

# numbers, sizes and times


def _whole_number(value: object) -> object:
    """Parses plain decimal digits; refuses `010`, which is eight in YAML and ten for people."""
    if isinstance(value, str) and re.fullmatch(r"0|[1-9][0-9]{0,17}", value, re.ASCII):
        return int(value)
    if isinstance(value, (str, bool)):
        raise ValueError("is not a whole number (plain decimal digits, no leading zero)")  # noqa: TRY004
    return value


_WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
Count = Annotated[_WholeNumber, Field(ge=0)]
Positive = Annotated[_WholeNumber, Field(ge=1)]
Reserve = Annotated[_WholeNumber, Field(ge=0, le=9)]
"""Of the ten messages that a person's message allows at iLink."""
KeepaliveSeconds = Annotated[_WholeNumber, Field(ge=1, le=65535)]
"""Whole seconds that fit into the 16 bits of MQTT's keep-alive."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^[0-9.]+ ?[A-Za-z]*$"}]}
    ),
]
"""Bytes."""
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^[0-9.]+ ?[a-z]*$"}]}
    ),
]
"""Seconds."""


def _plain_age(seconds: float) -> float:
    """Refuses what is shorter than the seconds in which MQTT and web WeChat count."""
    if seconds < 1:
        raise ValueError("is shorter than 1s; write false to publish no bare text")
    return seconds


PlainAge = Annotated[Duration, AfterValidator(_plain_age)]


def _quiet_hours(value: str) -> str:
    parse_quiet_hours(value)
    return value


QuietHours = Annotated[str, AfterValidator(_quiet_hours)]

# names


def _client_id(value: str) -> str:
    if not 1 <= len(value) <= MAX_CLIENT_ID_CHARACTERS or not value.isprintable():
        raise ValueError(f"must have 1 to {MAX_CLIENT_ID_CHARACTERS} printable characters")
    return value


ClientId = Annotated[str, AfterValidator(_client_id)]


def _instance_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value):
        raise ValueError("must have 1 to 64 characters of A-Z, a-z, 0-9, dot, _ and -")
    return value


InstanceName = Annotated[str, AfterValidator(_instance_name)]


def _wechat_number(value: str) -> str:
    if not re.fullmatch(r"[0-9]{1,20}", value):
        raise ValueError("is a number that WeChat gives; write its digits")
    return value


Digits = Annotated[str, AfterValidator(_wechat_number), WithJsonSchema({"type": ["string", "integer"]})]


def _client_version(value: str) -> str:
    numbers = value.split(".")
    if len(numbers) != 3 or not all(re.fullmatch(r"0|[1-9][0-9]{0,2}", number) for number in numbers):
        raise ValueError("is not a version; write three numbers, such as 2.4.9")
    if max(map(int, numbers)) > 255:
        raise ValueError("has a number above 255; WeChat has no such version")
    return value


ClientVersion = Annotated[str, AfterValidator(_client_version)]

# topics and addresses

Topic = Annotated[str, AfterValidator(names_and_topics.validate_topic)]
TopicFilters = OneOrMany[Annotated[str, AfterValidator(names_and_topics.validate_topic_filter)]]
BaseUrl = Annotated[str, AfterValidator(addresses.validate_base_url)]
Listen = Annotated[str, AfterValidator(addresses.validate_listen_address)]
UrlPath = Annotated[str, AfterValidator(addresses.validate_url_path)]
Address = Annotated[str, AfterValidator(addresses.validate_address)]
DatabaseUrl = Annotated[str, AfterValidator(addresses.validate_database_url)]
Hosts = OneOrMany[Annotated[str, AfterValidator(addresses.validate_host_name)]]
Networks = OneOrMany[Annotated[str, AfterValidator(addresses.validate_network)]]
Brokers = Annotated[
    OneOrMany[Annotated[str, AfterValidator(addresses.validate_broker_url)]], Field(min_length=1)
]

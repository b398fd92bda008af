"""Types of the keys of the configuration: each checks one value alone.

A wrong value raises `ValueError` with a sentence, which pydantic turns into a problem of the key.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema

from wx2mqtt.settings import addresses, formats
from wx2mqtt.settings.formats import Duration

MAX_CLIENT_ID_CHARACTERS = 200

_WECHAT_NUMBER = re.compile(r"[0-9]{1,20}")
_MACHINE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")

T = TypeVar("T")

LIVE = "live"
Live = Annotated[T, LIVE]
"""A key, or a whole section, that a reload changes in the running program; any other key needs a restart."""


def _one_or_many(value: object) -> object:
    """Lets a list with one item be written as that item."""
    return (value,) if isinstance(value, str) else value


def _whole_number(value: object) -> object:
    """Parses plain decimal digits; refuses `010`, which is eight in YAML and ten for people."""
    if isinstance(value, str):
        if not re.fullmatch(r"0|[1-9][0-9]{0,17}", value, re.ASCII):
            raise ValueError("is not a whole number (plain decimal digits, no leading zero)")
        return int(value)
    if isinstance(value, bool):
        raise ValueError("is not a whole number (plain decimal digits, no leading zero)")  # noqa: TRY004
    return value


def _matching(pattern: re.Pattern[str], fault: str) -> AfterValidator:
    """Returns the check that a whole text matches a pattern; `fault` is the sentence about any other."""

    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(fault)
        return value

    return AfterValidator(check)


def _client_id(value: str) -> str:
    if not 1 <= len(value) <= MAX_CLIENT_ID_CHARACTERS or not value.isprintable():
        raise ValueError(f"must have 1 to {MAX_CLIENT_ID_CHARACTERS} printable characters")
    return value


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty; write a text, or leave the key out")
    if any(formats.unprintable(mark) for mark in value):
        raise ValueError(formats.HAS_CONTROL_CHARACTERS)
    return value


def _encodable(value: SecretStr) -> SecretStr:
    """Refuses a lone surrogate: it cannot be encoded in UTF-8, so it cannot be sent."""
    try:
        value.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a character (a surrogate); write the whole one") from None
    return value


def _quiet_hours(value: str) -> str:
    formats.parse_quiet_hours(value)
    return value


def _login_key(value: SecretStr) -> SecretStr:
    formats.parse_login_keys(value.get_secret_value())
    return value


def _plain_age(seconds: float) -> float:
    """Refuses what is shorter than the seconds in which MQTT and web WeChat count."""
    if seconds < 1:
        raise ValueError("is shorter than 1s; write false to publish no bare text")
    return seconds


def _path(value: object) -> object:
    """Refuses an empty path: it would mean the working folder."""
    if value == "":
        raise ValueError("is empty; write a path, or leave the key out")
    return value


# types of single values

_TEXTS = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})

Text = Annotated[str, AfterValidator(_filled)]
Secret = Annotated[SecretStr, AfterValidator(_encodable)]
Secrets = Annotated[tuple[Secret, ...], BeforeValidator(_one_or_many), _TEXTS]
FilePath = Annotated[Path, BeforeValidator(_path)]
Folders = Annotated[tuple[Path, ...], BeforeValidator(_one_or_many), _TEXTS]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_one_or_many), _TEXTS]
Count = Annotated[int, BeforeValidator(_whole_number), Field(ge=0)]
Positive = Annotated[int, BeforeValidator(_whole_number), Field(ge=1)]
Reserve = Annotated[int, BeforeValidator(_whole_number), Field(ge=0, le=9)]
"""Of the ten messages that a person's message allows at iLink."""
QuietHours = Annotated[str, AfterValidator(_quiet_hours)]
KeepaliveSeconds = Annotated[int, BeforeValidator(_whole_number), Field(ge=1, le=65535)]
"""Whole seconds that fit into the 16 bits of MQTT's keep-alive."""
Topic = Annotated[str, AfterValidator(formats.validate_topic)]
_TopicFilter = Annotated[str, AfterValidator(formats.validate_topic_filter)]
TopicFilters = Annotated[tuple[_TopicFilter, ...], BeforeValidator(_one_or_many), _TEXTS]
ClientId = Annotated[str, AfterValidator(_client_id)]
Digits = Annotated[
    str,
    _matching(_WECHAT_NUMBER, "is a number that WeChat gives; write its digits"),
    WithJsonSchema({"type": ["string", "integer"]}),
]
BaseUrl = Annotated[str, AfterValidator(addresses.validate_base_url)]
Listen = Annotated[str, AfterValidator(addresses.validate_listen_address)]
UrlPath = Annotated[str, AfterValidator(addresses.validate_url_path)]
Address = Annotated[str, AfterValidator(addresses.validate_address)]
DatabaseUrl = Annotated[str, AfterValidator(addresses.validate_database_url)]
LoginKey = Annotated[SecretStr, AfterValidator(_login_key)]
PlainAge = Annotated[Duration, AfterValidator(_plain_age)]
InstanceName = Annotated[
    str, _matching(_MACHINE_NAME, "must have 1 to 64 characters of A-Z, a-z, 0-9, dot, _ and -")
]
_Host = Annotated[str, AfterValidator(addresses.validate_host_name)]
_Network = Annotated[str, AfterValidator(addresses.validate_network)]
_Broker = Annotated[str, AfterValidator(addresses.validate_broker_url)]
Hosts = Annotated[tuple[_Host, ...], BeforeValidator(_one_or_many), _TEXTS]
Networks = Annotated[tuple[_Network, ...], BeforeValidator(_one_or_many), _TEXTS]
Brokers = Annotated[tuple[_Broker, ...], BeforeValidator(_one_or_many), Field(min_length=1), _TEXTS]

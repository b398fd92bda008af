"""The kinds of values that the configuration has besides sizes and durations; each checks one value alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema

from wx2mqtt.settings import addresses, names

CLIENT_ID_CHARACTERS = 200


def _one_or_many(value: object) -> object:
    """A list of one thing may be written as that thing."""
    return (value,) if isinstance(value, str) else value


def _count(value: object) -> object:
    """A whole number in plain decimal; `010` is eight for YAML and ten for people."""
    if isinstance(value, str):
        if not re.fullmatch(r"0|[1-9][0-9]{0,17}", value, re.ASCII):
            raise ValueError("is not a whole number (plain decimal digits, no leading zero)")
        return int(value)
    if isinstance(value, bool):
        raise ValueError("is not a whole number (plain decimal digits, no leading zero)")  # noqa: TRY004
    return value


def _topic(value: str) -> str:
    if fault := names.topic_fault(value):
        raise ValueError(fault)
    return value


def _client_id(value: str) -> str:
    if not 1 <= len(value) <= CLIENT_ID_CHARACTERS or not value.isprintable():
        raise ValueError(f"must have 1 to {CLIENT_ID_CHARACTERS} printable characters")
    return value


def _digits(value: str) -> str:
    if not re.fullmatch(r"[0-9]{1,20}", value, re.ASCII):
        raise ValueError("is a number that WeChat gives; write its digits")
    return value


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty; write a text, or leave the key out")
    if any(names.unprintable(mark) for mark in value):
        raise ValueError("holds control characters; take them out")
    return value


def _speakable(value: SecretStr) -> SecretStr:
    """A lone surrogate cannot be sent to anybody."""
    try:
        value.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a character (a surrogate); write the whole one") from None
    return value


def _path(value: object) -> object:
    """An empty path would mean the working folder."""
    if value == "":
        raise ValueError("is empty; write a path, or leave the key out")
    return value


_TEXTS = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})

Text = Annotated[str, AfterValidator(_filled)]
Secret = Annotated[SecretStr, AfterValidator(_speakable)]
Secrets = Annotated[tuple[Secret, ...], BeforeValidator(_one_or_many), _TEXTS]
FilePath = Annotated[Path, BeforeValidator(_path)]
Folders = Annotated[tuple[Path, ...], BeforeValidator(_one_or_many), _TEXTS]
Texts = Annotated[tuple[Text, ...], BeforeValidator(_one_or_many), _TEXTS]
Count = Annotated[int, BeforeValidator(_count), Field(ge=0)]
Positive = Annotated[int, BeforeValidator(_count), Field(ge=1)]
Seconds16 = Annotated[int, BeforeValidator(_count), Field(ge=1, le=65535)]
"""Whole seconds as MQTT's keep-alive holds them."""

Topic = Annotated[str, AfterValidator(_topic)]
ClientId = Annotated[str, AfterValidator(_client_id)]
Digits = Annotated[str, AfterValidator(_digits), WithJsonSchema({"type": ["string", "integer"]})]
BaseUrl = Annotated[str, AfterValidator(addresses.base_url)]
Listen = Annotated[str, AfterValidator(addresses.listen)]
UrlPath = Annotated[str, AfterValidator(addresses.url_path)]
_Host = Annotated[str, AfterValidator(addresses.host_name)]
_Network = Annotated[str, AfterValidator(addresses.network)]
_Broker = Annotated[str, AfterValidator(addresses.broker)]
Hosts = Annotated[tuple[_Host, ...], BeforeValidator(_one_or_many), _TEXTS]
Networks = Annotated[tuple[_Network, ...], BeforeValidator(_one_or_many), _TEXTS]
Brokers = Annotated[tuple[_Broker, ...], BeforeValidator(_one_or_many), Field(min_length=1), _TEXTS]

"""The kinds of values that the configuration has besides sizes and durations; each checks one value alone.

The configuration as values: every key, its default and the one line that says what it is for.

What a single value must look like is said by its kind; what several keys say together is checked in
`rules`. Sizes are bytes, durations seconds. No representation of these values shows a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, WithJsonSchema

from wx2mqtt.settings import addresses, formats
from wx2mqtt.settings.formats import Duration, Size

MAX_CLIENT_ID_CHARACTERS = 200


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
    if fault := formats.topic_fault(value):
        raise ValueError(fault)
    return value


def _client_id(value: str) -> str:
    if not 1 <= len(value) <= MAX_CLIENT_ID_CHARACTERS or not value.isprintable():
        raise ValueError(f"must have 1 to {MAX_CLIENT_ID_CHARACTERS} printable characters")
    return value


def _digits(value: str) -> str:
    if not re.fullmatch(r"[0-9]{1,20}", value, re.ASCII):
        raise ValueError("is a number that WeChat gives; write its digits")
    return value


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty; write a text, or leave the key out")
    if any(formats.unprintable(mark) for mark in value):
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


BaseUrl = Annotated[str, AfterValidator(addresses.validate_base_url)]


Listen = Annotated[str, AfterValidator(addresses.validate_listen_address)]


UrlPath = Annotated[str, AfterValidator(addresses.validate_url_path)]


_Host = Annotated[str, AfterValidator(addresses.validate_host_name)]


_Network = Annotated[str, AfterValidator(addresses.validate_network)]


_Broker = Annotated[str, AfterValidator(addresses.validate_broker_url)]


Hosts = Annotated[tuple[_Host, ...], BeforeValidator(_one_or_many), _TEXTS]


Networks = Annotated[tuple[_Network, ...], BeforeValidator(_one_or_many), _TEXTS]


Brokers = Annotated[tuple[_Broker, ...], BeforeValidator(_one_or_many), Field(min_length=1), _TEXTS]


DEFAULT_BASE_TOPIC = "wx"


DEFAULT_ACCOUNT = "home"


PROGRAM = "wx2mqtt"


_KB, _MB, _GB = 1000, 1000**2, 1000**3


_MINUTE, _DAY = 60.0, 86400.0


class Section(BaseModel):
    """Keys that belong together; unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)


class Tls(Section):
    """Certificates for mqtts and wss"""

    ca_file: FilePath | None = Field(
        None, description="who signs the broker's certificate; null: the system's list"
    )
    cert_file: FilePath | None = Field(None, description="our certificate, for brokers that ask for one")
    key_file: FilePath | None = Field(None, description="the key of our certificate")


class Mqtt(Section):
    """The broker"""

    url: Brokers = Field(
        ("mqtt://localhost:1883",),
        description='mqtt mqtts ws wss unix, or "embedded"; a list is one cluster, tried in turn',
    )
    username: Text | None = Field(None, description="who we are at the broker")
    password: Secret | None = Field(None, description="better in password_file")
    password_file: FilePath | None = Field(None, description="a file that holds the password")
    client_id: ClientId | None = Field(
        None, description="null: wx2mqtt-<account>; with several accounts <client_id>-<account>"
    )
    protocol: Literal["auto", "5", "3.1.1"] = Field(
        "auto",
        description="auto | 5 | 3.1.1; auto is 5, or 3.1.1 where the broker refuses it",
        json_schema_extra={"enum": ["auto", "5", 5, "3.1.1"], "type": ["string", "integer"]},
    )
    keepalive: Seconds16 = Field(
        30, description="seconds of silence after which the broker is asked whether it lives"
    )
    tls: Tls = Field(default_factory=Tls)


class Expect(Section):
    """Any other account that scans is refused"""

    uin: Digits | None = Field(None, description="web WeChat: the number of the account")
    nickname: Text | None = Field(None, description="web WeChat: the nickname of the account")
    ilink: Text | None = Field(None, description="iLink: the id of the person")


class Desktop(Section):
    """Parameters of a desktop client, the owner's own; nothing is shipped"""

    client_version: Text | None = Field(None, description="sent as client-version")
    extspam: Secret | None = Field(None, description="sent as extspam; better in extspam_file")
    extspam_file: FilePath | None = Field(None, description="a file that holds extspam")


class WebWx(Section):
    """Web WeChat"""

    desktop: Desktop = Field(default_factory=Desktop)


class ILink(Section):
    """Tencent's official bot API"""

    hosts: Hosts = Field((), description="further hosts that WeChat may send us to")
    typing: bool = Field(default=False, description="show 'typing' before a message")


class Pin(Section):
    """A name chosen by the owner and whom it means: exactly one of these"""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    remark: Text | None = Field(None, description="the remark that the owner gave them")
    alias: Text | None = Field(None, description="their WeChat ID")
    nickname: Text | None = Field(None, description="their own nickname; gives no trust")
    group: Text | None = Field(None, description="the name of a group; gives no trust")
    ilink: Text | None = Field(None, description="iLink: a person's id")
    owner: bool = Field(default=False, description="iLink: the person who scanned")

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """What is given, as (kind, value); one pair in a pin that is well formed."""
        written = {key: value for key, value in self if isinstance(value, str)}
        return (*written.items(), *([("owner", "")] if self.owner else []))


class Receive(Section):
    """What of WeChat is published"""

    allow: Texts = Field(("*",), description="names or globs")
    deny: Texts = Field((), description="names or globs; wins over allow")
    groups: Literal["all", "mentions", "listed", "none"] = Field(
        "all", description="all | mentions | listed (under contacts) | none"
    )
    own: bool = Field(default=False, description="also what the owner writes into chats on the phone")


class Send(Section):
    """What may be sent to WeChat, and how fast"""

    allow: Texts = Field(("*",), description="names or globs")
    per_minute: Count = Field(20, description="messages; 0 = no limit")
    burst: Positive = Field(5, description="messages that may go at once")
    ttl: Duration = Field(10 * _MINUTE, description="a command that waited longer expires")


class Hold(Section):
    """Commands that wait for a chance to be sent (iLink's window), per person"""

    max: Count = Field(100, description="commands; above it the oldest unimportant ones are displaced")
    ttl: Duration = Field(_DAY, description="how long one without a ttl of its own waits")


class Fallback(Section):
    """Another way for what must not wait"""

    after: Duration = Field(30.0, description="how long WeChat may take")
    urls: Secrets = Field((), description="apprise URLs; better in urls_file")
    urls_file: FilePath | None = Field(None, description="a file with one apprise URL a line")
    for_: Literal["urgent"] = Field("urgent", alias="for", description="which commands: urgent")


class Media(Section):
    """Pictures, voice, video and files"""

    download: bool = Field(default=True, description="fetch the bytes of what comes in")
    max_size: Size = Field(25 * _MB, description="larger ones are not fetched")
    keep: Duration = Field(7 * _DAY, description="how long they stay on disk")
    max_total: Size = Field(_GB, description="all together; the oldest go first")
    inline_below: Size = Field(0, description="smaller ones stand in the message itself; 0: none")
    send_from: Folders = Field(
        (), description="folders from which files may be sent by path; links are resolved first"
    )
    allow_hosts: Hosts = Field(
        (), description="hosts in the house, without port, from which files may be sent by url"
    )


class History(Section):
    """What is kept of messages"""

    keep: Duration = Field(7 * _DAY, description="how long a message can be asked for again")


BackendName = Literal["webwx", "ilink"]
"""Each has a section of its name, and an entry in the registry of backends."""


class Account(Section):
    """One WeChat account"""

    backend: BackendName = Field("webwx", description="webwx | ilink")
    base_topic: Topic | None = Field(
        None, description="null: the one it first had; wx for the first, else wx/<account>"
    )
    endpoint: BaseUrl | None = Field(
        None, description="one base URL for every WeChat host (simulator, test server, proxy)"
    )
    expect: Expect = Field(default_factory=Expect)
    webwx: WebWx = Field(default_factory=WebWx)
    ilink: ILink = Field(default_factory=ILink)
    contacts: Mapping[str, Pin] = Field(
        default_factory=dict, description="the name (a topic level), and whom it means"
    )
    topic_names: Literal["unicode", "pinyin"] = Field(
        "unicode", description="unicode | pinyin, for all other contacts"
    )
    receive: Receive = Field(default_factory=Receive)
    send: Send = Field(default_factory=Send)
    hold: Hold = Field(default_factory=Hold)
    fallback: Fallback = Field(default_factory=Fallback)
    media: Media = Field(default_factory=Media)
    history: History = Field(default_factory=History)
    plain: bool = Field(
        default=False, description="also <base>/text/<user>: the bare text, for small devices"
    )


class HomeAssistant(Section):
    """Discovery by Home Assistant"""

    enabled: bool = Field(default=False, description="announce the accounts to Home Assistant")
    prefix: Topic = Field("homeassistant", description="its discovery prefix")
    expose: Texts = Field(
        (), description="names that become notify targets; with several accounts account/name"
    )


class Web(Section):
    """Our web server: the page, the media of messages, /metrics, /livez and /healthz"""

    enabled: bool = Field(default=True, description="run it")
    listen: Listen = Field("127.0.0.1:8099", description="other addresses than loopback need a password")
    url: BaseUrl | None = Field(
        None, description="its whole address from outside; null: messages name only the path of their media"
    )
    hosts: Hosts = Field((), description="further names under which it is reached")
    base_path: UrlPath = Field("/", description="the path below which a reverse proxy shows it")
    password: Secret | None = Field(None, description="better in password_file")
    password_file: FilePath | None = Field(
        None, description="a file that holds the password that browsers are asked for"
    )
    token: Secret | None = Field(None, description="better in token_file")
    token_file: FilePath | None = Field(
        None, description="a file with the Bearer token for /media, /metrics and the reasons of /healthz"
    )
    trusted_proxies: Networks = Field((), description="addresses or networks whose X-Forwarded headers count")


class Storage(Section):
    """The store"""

    path: FilePath | None = Field(None, description="null: $STATE_DIRECTORY, else the user's data folder")
    max_size: Annotated[Size, Field(ge=100 * _KB)] = Field(2 * _GB, description="everything below path")


class Log(Section):
    """What is logged"""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug | info | warning | error"
    )
    format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto | console | json; auto is console at a terminal"
    )
    message_text: bool = Field(default=False, description="let the text of messages into the log")


class Settings(Section):
    """The whole configuration"""

    mqtt: Mqtt = Field(default_factory=Mqtt)
    accounts: Annotated[
        Mapping[str, Account],
        Field(min_length=1, json_schema_extra={"propertyNames": {"pattern": "^[a-z0-9_]{1,32}$"}}),
    ] = Field(
        default_factory=lambda: {DEFAULT_ACCOUNT: Account()},
        description="the name of an account: 1 to 32 characters of a-z, 0-9 and _",
    )
    homeassistant: HomeAssistant = Field(default_factory=HomeAssistant)
    web: Web = Field(default_factory=Web)
    language: Literal["en", "zh"] = Field("en", description="en | zh: the words for people")
    storage: Storage = Field(default_factory=Storage)
    log: Log = Field(default_factory=Log)

    def base_topics(self) -> dict[str, str]:
        """The base topic of each account: as written, else the default by its place in the file."""
        return {
            name: account.base_topic or (DEFAULT_BASE_TOPIC if place == 0 else f"{DEFAULT_BASE_TOPIC}/{name}")
            for place, (name, account) in enumerate(self.accounts.items())
        }

    def client_ids(self) -> dict[str, str]:
        """The MQTT client id of each account."""
        if self.mqtt.client_id and len(self.accounts) == 1:
            return dict.fromkeys(self.accounts, self.mqtt.client_id)
        return {name: f"{self.mqtt.client_id or PROGRAM}-{name}" for name in self.accounts}


def json_schema() -> dict[str, object]:
    """The configuration file as JSON Schema 2020-12."""
    schema = Settings.model_json_schema(by_alias=True)
    for section in (schema, *schema["$defs"].values()):
        section["properties"] = {name: _or_empty(key) for name, key in section["properties"].items()}
    accounts = schema["properties"]["accounts"]
    accounts["additionalProperties"] = _or_empty(accounts["additionalProperties"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "wx2mqtt configuration",
    }


def _or_empty(key: dict[str, Any]) -> dict[str, Any]:
    """A section whose keys are all taken away, or only comments, is null in YAML; it means the defaults."""
    if "$ref" in key:
        return {
            **{name: key[name] for name in key if name != "$ref"},
            "anyOf": [{"$ref": key["$ref"]}, {"type": "null"}],
        }
    return {**key, "type": ["object", "null"]} if key.get("type") == "object" else key

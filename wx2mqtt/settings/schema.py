"""The configuration as pydantic models: every key with its type, default and one-line description.

The program reads these objects themselves. To add a key, add a field here, its Chinese description in
`i18n/reference.py`, and read it where it counts; `Live` marks it if a reload changes it there.

`field_types` checks one value alone, `cross_key_rules` several. The descriptions are published, in the
JSON Schema and in the example file. Sizes are bytes, durations seconds. No `repr` shows a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)

from wx2mqtt import REPOSITORY
from wx2mqtt.errors import UnknownBackend
from wx2mqtt.names import printable
from wx2mqtt.settings.field_types import (
    Address,
    BaseUrl,
    Brokers,
    ClientId,
    ClientVersion,
    Count,
    DatabaseUrl,
    Digits,
    Duration,
    FilePath,
    Folders,
    Hosts,
    InstanceName,
    KeepaliveSeconds,
    Listen,
    Live,
    LoginKey,
    Networks,
    PlainAge,
    Positive,
    QuietHours,
    Reserve,
    Secret,
    Secrets,
    SenderName,
    SenderToken,
    Size,
    Text,
    Texts,
    Topic,
    TopicFilters,
    UrlPath,
)

DEFAULT_BASE_TOPIC = "wx"
DEFAULT_ACCOUNT = "home"
PROGRAM = "wx2mqtt"

_KB, _MB, _GB = 1000, 1000**2, 1000**3
_MINUTE, _DAY = 60.0, 86400.0


class Section(BaseModel):
    """Keys that belong together; unknown ones are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        hide_input_in_errors=True,
        defer_build=True,  # the root builds all of them at once, when a file is read
    )


class Tls(Section):
    """Certificates for mqtts and wss"""

    ca_file: FilePath | None = Field(
        None, description="CA of the broker's certificate; null: those of the system"
    )
    cert_file: FilePath | None = Field(None, description="client certificate, for brokers that ask for one")
    key_file: FilePath | None = Field(None, description="private key of the client certificate")


class Mqtt(Section):
    """The broker"""

    url: Brokers = Field(
        ("mqtt://localhost:1883",),
        description='mqtt mqtts ws wss unix, or "embedded"; a list is one cluster, tried in turn',
    )
    username: Text | None = Field(None, description="the user name at the broker")
    password: Live[Secret | None] = Field(None, description="better in password_file")
    password_file: Live[FilePath | None] = Field(None, description="a file that holds the password")
    client_id: ClientId | None = Field(
        None, description="null: wx2mqtt-<account>; with several accounts <client_id>-<account>"
    )
    protocol: Literal["auto", "5", "3.1.1"] = Field(
        "auto",
        description="auto | 5 | 3.1.1; auto is 5, or 3.1.1 where the broker refuses it",
        json_schema_extra={"enum": ["auto", "5", 5, "3.1.1"], "type": ["string", "integer"]},
    )
    keepalive: KeepaliveSeconds = Field(
        30, description="seconds without traffic after which the broker is pinged"
    )
    tls: Tls = Field(default_factory=Tls)
    response_topics: Live[TopicFilters] = Field(
        ("#",), description="filters that a response topic must match; topics of the bridge never do"
    )


class Expect(Section):
    """Any other account that scans is refused; uin and ilink replace the remembered owner"""

    uin: Digits | None = Field(None, description="web WeChat: the number of the account")
    nickname: Text | None = Field(None, description="web WeChat: the nickname of the account")
    ilink: Text | None = Field(None, description="iLink: the id of the person")
    wecom: Text | None = Field(
        None, description="WeCom: the userid of the owner, who need not be named otherwise"
    )


class Desktop(Section):
    """Parameters of your own desktop client; wx2mqtt ships none"""

    client_version: Text | None = Field(None, description="sent as client-version")
    extspam: Secret | None = Field(None, description="sent as extspam; better in extspam_file")
    extspam_file: FilePath | None = Field(None, description="a file that holds extspam")


class WebWx(Section):
    """Web WeChat"""

    desktop: Desktop = Field(default_factory=Desktop)


class Remind(Section):
    """iLink: one text before the window closes, so that alarms can still be sent"""

    before: Duration | None = Field(None, description="how long before, such as 2h; null: never")
    quiet: QuietHours | None = Field("22:00-07:00", description="local hours without reminders; null: none")
    text: Text | None = Field(None, description="the text of the reminder; null: the usual one")


class Renew(Section):
    """iLink: a code for the next login in the chat, before this one ends"""

    after: Duration | None = Field(None, description="the age of a login, such as 25d; null: only on request")


class ILink(Section):
    """Tencent's official bot API"""

    hosts: Hosts = Field((), description="further hosts to which WeChat may redirect the bridge")
    typing: bool = Field(default=False, description="show 'typing' before a message")
    client_version: ClientVersion | None = Field(
        None, description="of Tencent's client, where WeChat wants a newer one; null: the built-in one"
    )
    bundle: Live[bool] = Field(
        default=True, description="several texts in one message where WeChat takes fewer than wait"
    )
    reserve: Live[Reserve] = Field(1, description="messages of a window that are kept for urgent commands")
    remind: Live[Remind] = Field(default_factory=Remind)
    renew: Live[Renew] = Field(default_factory=Renew)


class WeCom(Section):
    """Tencent's official bot in WeCom; without bot_id and secret a scan makes one"""

    bot_id: Text | None = Field(None, description="the id of a bot of your own")
    secret: Live[Secret | None] = Field(None, description="better in secret_file")
    secret_file: Live[FilePath | None] = Field(None, description="a file that holds the secret of that bot")
    source: Text = Field("wx2mqtt", description="how a scan names this program to WeCom")
    receipt: Text | None = Field("✓", description="the answer to each message that is published; null: none")
    bot_name: Text | None = Field(
        None, description="the name of the bot in groups, where it has blanks: @name is no part of a text"
    )


class Pin(Section):
    """A name chosen by the owner and whom it means: exactly one of these"""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    remark: Text | None = Field(None, description="the remark that the owner gave them")
    alias: Text | None = Field(None, description="their WeChat ID")
    nickname: Text | None = Field(None, description="their own nickname; gives no trust")
    group: Text | None = Field(None, description="the name of a group; gives no trust")
    ilink: Text | None = Field(None, description="iLink: a person's id")
    wecom: Text | None = Field(None, description="WeCom: a person's userid, or a group's chatid")
    owner: bool = Field(default=False, description="iLink: the person who scanned; WeCom: the named owner")

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Returns the keys that are set, as (key, value) pairs; a valid pin has one."""
        texts = {key: value for key, value in self if isinstance(value, str)}
        return (*texts.items(), *([("owner", "")] if self.owner else []))


class Receive(Section):
    """Which messages of WeChat are published"""

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
    """Commands that wait for iLink's reply window, per person"""

    max: Count = Field(100, description="commands; above it the oldest unimportant ones are displaced")
    ttl: Duration = Field(_DAY, description="how long one without a ttl of its own waits")


class Fallback(Section):
    """Another channel for commands that WeChat does not deliver in time"""

    after: Duration = Field(30.0, description="how long WeChat may take before it is used")
    accounts: Texts = Field(
        (),
        description="others that send it instead, in turn, as account/user; before urls",
    )
    urls: Secrets = Field((), description="apprise URLs; better in urls_file")
    urls_file: FilePath | None = Field(None, description="a file with one apprise URL a line")
    for_: Literal["urgent"] = Field("urgent", alias="for", description="which commands: urgent")


class Media(Section):
    """Pictures, voice, video and files"""

    download: bool = Field(default=True, description="download the files of received messages")
    max_size: Size = Field(25 * _MB, description="larger ones are not downloaded")
    keep: Duration = Field(7 * _DAY, description="how long they stay on disk")
    max_total: Size = Field(_GB, description="all together; the oldest go first")
    inline_below: Size = Field(0, description="smaller ones are put into the message itself; 0: none")
    send_from: Folders = Field(
        (), description="folders from which files may be sent by path; links are resolved first"
    )
    allow_hosts: Hosts = Field(
        (), description="hosts of your own network, without port, from which files may be sent by url"
    )


class History(Section):
    """Messages that are kept in the store"""

    keep: Duration = Field(7 * _DAY, description="how long a message can be requested again")


PLAIN_MAX_AGE_SECONDS = 60.0
"""What `plain: true` means."""


def _plain(value: object) -> object:
    """Parses the short forms of the section `plain`: true and false."""
    if isinstance(value, Mapping | Plain):
        return value
    try:
        is_on = TypeAdapter(bool).validate_python(value)
    except ValidationError:
        raise ValueError("must be true or false, or a section such as {max_age: 60s}") from None
    return {"max_age": PLAIN_MAX_AGE_SECONDS} if is_on else {}


class Plain(Section):
    """Also <base>/text/<user>: the bare text, for small devices"""

    max_age: PlainAge | None = Field(
        None, description="no text that is older; plain: true is 60s, plain: false null (none)"
    )


BackendName = Literal["ilink", "webwx", "wecom"]
"""Those of this program. Each has a section of its name, and an entry in the registry of backends."""

BUILT_IN_BACKENDS: tuple[BackendName, ...] = get_args(BackendName)


def known_backend(name: str, info: ValidationInfo) -> str:
    """Returns the name of a backend of this program, or of one that an installed package brings.

    The context of the validation is the table of backends (`cross_key_rules.BackendRules`); without it only
    those of this program are known.
    """
    if name in BUILT_IN_BACKENDS:
        return name
    try:
        if info.context is None:
            raise UnknownBackend(BUILT_IN_BACKENDS)
        info.context[name]
    except UnknownBackend as why:
        raise ValueError(_unknown_backend_text(name, why)) from None
    return name


def _unknown_backend_text(name: str, why: UnknownBackend) -> str:
    if why.fault:
        fault = printable(why.fault)
        return f"comes from the package {why.package}, which cannot be used ({fault}); update or remove it"
    from difflib import get_close_matches  # noqa: PLC0415 - only for a file with a mistake in it

    similar = get_close_matches(name.lower(), why.names, n=1)
    hint = f", did you mean '{similar[0]}'?" if similar else ""
    return f"must be {', '.join(why.names[:-1])} or {why.names[-1]}{hint}"


AnyBackend = Annotated[str, AfterValidator(known_backend)]
"""The name of a backend of this program, or of an installed package."""

FIRST_BACKEND: Literal["ilink"] = "ilink"
"""With it a run without a file, the demo and `wx2mqtt setup` begin: WeChat offers its login to programs, and
nobody loses an account over it. A file that names no backend means web WeChat, as it always did."""


class Account(Section):
    """One WeChat account"""

    backend: AnyBackend = Field(
        "webwx",
        description="ilink | webwx | wecom; a file without it means webwx",
        json_schema_extra={"enum": list(BUILT_IN_BACKENDS)},
    )
    base_topic: Topic | None = Field(
        None, description="null: wx for the first account, else wx/<account>; it keeps what it first had"
    )
    endpoint: BaseUrl | None = Field(
        None, description="one base URL for every WeChat host (simulator, test server, proxy)"
    )
    expect: Expect = Field(default_factory=Expect)
    ilink: ILink = Field(default_factory=ILink)
    wecom: WeCom = Field(default_factory=WeCom)
    webwx: WebWx = Field(default_factory=WebWx)
    options: Secrets = Field((), description="name=value, for a backend of another package")
    options_file: FilePath | None = Field(None, description="a file with one such option a line")
    contacts: Live[Mapping[str, Pin]] = Field(
        default_factory=dict, description="the name (a topic level), and whom it means"
    )
    topic_names: Literal["unicode", "pinyin"] = Field(
        "unicode", description="unicode | pinyin, for all other contacts"
    )
    receive: Live[Receive] = Field(default_factory=Receive)
    send: Live[Send] = Field(default_factory=Send)
    hold: Live[Hold] = Field(default_factory=Hold)
    fallback: Live[Fallback] = Field(default_factory=Fallback)
    media: Live[Media] = Field(default_factory=Media)
    history: Live[History] = Field(default_factory=History)
    plain: Live[Annotated[Plain, BeforeValidator(_plain, json_schema_input_type=bool | Plain)]] = Field(
        default_factory=Plain
    )


class HomeAssistant(Section):
    """Discovery by Home Assistant"""

    enabled: bool = Field(default=False, description="announce the accounts to Home Assistant")
    prefix: Topic = Field("homeassistant", description="its discovery prefix")
    expose: Live[Texts] = Field(
        (), description="names that become notify targets; with several accounts account/name"
    )


class Sender(Section):
    """A program that may send over HTTP"""

    name: SenderName = Field(description="its name: 1 to 32 characters of a-z, 0-9, _ and -")
    token: SenderToken | None = Field(None, description="better in token_file")
    token_file: FilePath | None = Field(
        None, description="a file with its Bearer token: 32 characters or more"
    )
    to: Text | None = Field(None, description="whom it means where it names nobody, such as me or office/me")
    users: Texts = Field((), description="to whom it may send: names or globs (me, office/*); else only to")
    rate: Count = Field(60, description="commands a minute, 30 at once; 0 = no limit")


class Web(Section):
    """The web server: the page, the media of messages, /metrics, /livez and /healthz"""

    enabled: bool = Field(default=True, description="run the web server")
    listen: Listen = Field("127.0.0.1:8099", description="other addresses than loopback need a password")
    url: BaseUrl | None = Field(
        None, description="its URL as others reach it; null: messages hold only the path of their media"
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
    senders_listen: Live[Listen | None] = Field(
        None, description="an address of its own that serves only senders; null: web.listen"
    )
    ntfy_listen: Live[Listen | None] = Field(
        None, description="an address of its own where ntfy stands at the root, for clients that know no path"
    )
    senders: Live[tuple[Sender, ...]] = Field((), description="programs that may send over HTTP")
    ingress: Address | None = Field(
        None,
        description="Home Assistant add-on: address of the Supervisor; it alone is served, without password",
    )

    @property
    def listen_serves_senders(self) -> bool:
        """Whether senders use `listen`: not if they have an address, or if only the Supervisor is served."""
        return self.senders_listen is None and self.ingress is None


class Storage(Section):
    """The store"""

    path: FilePath | None = Field(None, description="null: $STATE_DIRECTORY, else the user's data folder")
    max_size: Live[Annotated[Size, Field(ge=100 * _KB)]] = Field(
        2 * _GB, description="limit for everything below path, or in the database"
    )
    url: DatabaseUrl | None = Field(
        None, description="a PostgreSQL database in place of a file, such as postgresql://wx2mqtt@db/wx2mqtt"
    )
    password: Secret | None = Field(None, description="better in password_file")
    password_file: FilePath | None = Field(None, description="a file that holds the password of the database")
    key: Live[LoginKey | None] = Field(None, description="better in key_file")
    key_file: Live[FilePath | None] = Field(
        None,
        description="a file with the key of saved logins (wx2mqtt cluster new-key); line 2 may have the one"
        " before it",
    )


class Cluster(Section):
    """Several instances that share the accounts of one database (storage.url)"""

    instance: InstanceName | None = Field(
        None, description="the name of this instance, unlike any other; null: the host name"
    )
    max_accounts: Positive | None = Field(
        None, description="accounts that this instance runs at most; null: no limit"
    )


class Log(Section):
    """The log"""

    level: Live[Literal["debug", "info", "warning", "error"]] = Field(
        "info", description="debug | info | warning | error"
    )
    format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto | console | json; auto is console at a terminal"
    )
    message_text: bool = Field(default=False, description="write the text of messages into the log")


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
    language: Live[Literal["en", "zh"]] = Field("en", description="en | zh: the language of texts for people")
    storage: Storage = Field(default_factory=Storage)
    cluster: Cluster = Field(default_factory=Cluster)
    log: Log = Field(default_factory=Log)

    def base_topics(self) -> dict[str, str]:
        """Returns the base topic of each account: as configured, else the default by its position."""
        return {
            name: account.base_topic or (DEFAULT_BASE_TOPIC if index == 0 else f"{DEFAULT_BASE_TOPIC}/{name}")
            for index, (name, account) in enumerate(self.accounts.items())
        }

    def joined_accounts(self) -> tuple[frozenset[str], ...]:
        """Returns the groups of accounts that `fallback.accounts` joins, directly or through others."""
        groups: list[frozenset[str]] = []
        for name, account in self.accounts.items():
            others = (recipient.partition("/")[0] for recipient in account.fallback.accounts)
            group = frozenset({name, *others})
            joined = group.union(*(known for known in groups if known & group))
            groups = [*(known for known in groups if not known & group), joined]
        return tuple(group for group in groups if len(group) > 1)

    def client_ids(self) -> dict[str, str]:
        if self.mqtt.client_id and len(self.accounts) == 1:
            return dict.fromkeys(self.accounts, self.mqtt.client_id)
        return {name: f"{self.mqtt.client_id or PROGRAM}-{name}" for name in self.accounts}


# Where editors find the schema of the newest version.
SCHEMA_URL = f"{REPOSITORY}/raw/main/config/wx2mqtt.schema.json"


def json_schema(backends: tuple[str, ...] = BUILT_IN_BACKENDS) -> dict[str, object]:
    """Returns the JSON Schema (2020-12) of the configuration file, which may name these backends."""
    schema = Settings.model_json_schema(by_alias=True)
    names = dict.fromkeys((*BUILT_IN_BACKENDS, *backends))
    schema["$defs"]["Account"]["properties"]["backend"]["enum"] = list(names)
    for section in (schema, *schema["$defs"].values()):
        section["properties"] = {name: _nullable_section(key) for name, key in section["properties"].items()}
    accounts = schema["properties"]["accounts"]
    accounts["additionalProperties"] = _nullable_section(accounts["additionalProperties"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_URL,
        **schema,
        "title": "wx2mqtt configuration",
        "examples": [
            {
                "mqtt": {"url": "mqtt://192.168.1.10:1883", "username": "wx2mqtt"},
                "accounts": {"home": {"backend": "ilink", "contacts": {"me": {"owner": True}}}},
                "homeassistant": {"enabled": True, "expose": ["me"]},
            }
        ],
    }


def _nullable_section(key: dict[str, Any]) -> dict[str, Any]:
    """Lets a section be null: that is what YAML makes of one whose keys are all commented out."""
    if "$ref" in key:
        return {
            **{name: key[name] for name in key if name != "$ref"},
            "anyOf": [{"$ref": key["$ref"]}, {"type": "null"}],
        }
    if any("$ref" in choice for choice in key.get("anyOf", ())):  # a section that has a short form
        return {**key, "anyOf": [*key["anyOf"], {"type": "null"}]}
    return {**key, "type": ["object", "null"]} if key.get("type") == "object" else key

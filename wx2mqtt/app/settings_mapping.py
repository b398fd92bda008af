"""Converts the settings to the options of bridge, MQTT client, backends and web server.

The only module that knows both. It starts nothing but the web server, which is imported only where it is
enabled.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, SecretStr

from wx2mqtt.app.configuration import missing_safeguards
from wx2mqtt.bridge.account_settings import (
    AccountSettings,
    AttachmentSources,
    ExpectedAccount,
    FallbackRules,
    HoldRules,
    HomeAssistantSettings,
    MediaRules,
    ReceiveFilter,
    ReminderRules,
    ReplyWindowRules,
    SendRules,
)
from wx2mqtt.bridge.media.library import MediaLibrary
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.clock import ENDLESS_LEASE, Clock, Lease
from wx2mqtt.model import Json
from wx2mqtt.mqtt.broker import Publication, Subscription
from wx2mqtt.mqtt.discovery import birth_topic, is_config_topic
from wx2mqtt.mqtt.embedded import PortInUse, available_port
from wx2mqtt.mqtt.options import MqttOptions, ProtocolChoice, TlsFiles
from wx2mqtt.mqtt.topics import TEXT_TYPE, Topics, response_topic_allowed
from wx2mqtt.settings.addresses import split_listen_address
from wx2mqtt.settings.formats import quiet_minutes
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import DEFAULT_BASE_TOPIC, Settings, Web
from wx2mqtt.settings.schema import Account as AccountConfig
from wx2mqtt.store.records import ANSWER_CATEGORIES
from wx2mqtt.store.restored import RestoreRules
from wx2mqtt.web.options import WebOptions, listen_problem
from wx2mqtt.wechat.backend import (
    Backend,
    BackendOptions,
    CallObserver,
    CredentialStore,
    MessageMarks,
    QuoteLookup,
)
from wx2mqtt.wechat.registry import backend_entry

if TYPE_CHECKING:
    from wx2mqtt.web.bridge_state import BridgeState
    from wx2mqtt.web.server import WebServer


def account_settings(
    loaded: LoadedSettings, name: str, bases: tuple[str, ...], web: Web | None = None
) -> AccountSettings:
    """Returns the settings of one account that a reload can change.

    `bases` are the base topics of all accounts. `web` are the settings with which the web server runs, if a
    reload has changed them in `loaded`.
    """
    settings = loaded.settings
    account = settings.accounts[name]
    return AccountSettings(
        send=send_rules(settings, account, bases),
        receive=ReceiveFilter(
            allow=account.receive.allow,
            deny=account.receive.deny,
            groups=account.receive.groups,
            own=account.receive.own,
        ),
        media=MediaRules(
            download=account.media.download,
            max_size=account.media.max_size,
            inline_below=account.media.inline_below,
            base_url=media_base_url(web or settings.web),
        ),
        plain_text_max_age=account.plain.max_age,
        per_minute=account.send.per_minute,
        burst=account.send.burst,
        pins=contact_pins(account),
        named_users=frozenset(account.contacts) | frozenset(exposed_users(settings, name)),
        language=settings.language,
        expected_account=ExpectedAccount(
            uin=account.expect.uin or "",
            nickname=account.expect.nickname or "",
            ilink=account.expect.ilink or "",
        ),
        home_assistant=home_assistant_settings(settings, name),
        public_settings=public_settings(account),
        warnings=tuple(map(str, loaded.warnings)),
        hold=HoldRules(max_commands=account.hold.max, ttl=account.hold.ttl),
        fallback=FallbackRules(
            after_seconds=account.fallback.after,
            urls=tuple(url.get_secret_value() for url in account.fallback.urls),
        ),
        reply_window=reply_window_rules(account),
        missing_safeguards=missing_safeguards(account),
    )


def reply_window_rules(account: AccountConfig) -> ReplyWindowRules:
    """Returns how the messages of a reply window are used."""
    ilink = account.ilink
    quiet = ilink.remind.quiet
    return ReplyWindowRules(
        bundle=ilink.bundle,
        reserve=ilink.reserve,
        reminder=ReminderRules(
            before_seconds=ilink.remind.before,
            quiet_minutes=None if quiet is None else quiet_minutes(quiet),
            text=ilink.remind.text or "",
        ),
        renew_after_seconds=ilink.renew.after,
    )


def send_rules(settings: Settings, account: AccountConfig, bases: tuple[str, ...]) -> SendRules:
    """Returns the rules for sending; `bases` are the base topics of all accounts."""
    return SendRules(
        allow=account.send.allow,
        ttl=account.send.ttl,
        base_topics=bases,
        discovery_prefix=settings.homeassistant.prefix,
        response_topics=settings.mqtt.response_topics,
        size_limit=f"{settings.storage.max_size / 1_000_000:g} MB",
        attachment_sources=AttachmentSources(
            send_from=account.media.send_from, allow_hosts=account.media.allow_hosts
        ),
    )


def restore_rules(settings: Settings) -> RestoreRules:
    """Returns what a restore may believe of a backup."""
    configured = {name: account.base_topic for name, account in settings.accounts.items()}
    bases = tuple(settings.base_topics().values())

    def may_publish(base: str, category: str, topic: str) -> bool:
        return Topics(base).may_publish(topic) or (
            category in ANSWER_CATEGORIES
            and response_topic_allowed(
                topic, (*bases, base), settings.homeassistant.prefix, settings.mqtt.response_topics
            )
        )

    return RestoreRules(
        default_base=DEFAULT_BASE_TOPIC,
        base_topics=configured,
        may_publish=may_publish,
        is_discovery_topic=is_config_topic,
    )


def home_assistant_settings(settings: Settings, name: str) -> HomeAssistantSettings:
    """Returns the settings of one account for Home Assistant.

    `url` of the web page is empty where it has no address from outside.
    """
    home_assistant = settings.homeassistant
    web = settings.web
    account = settings.accounts[name]
    # With a reply window a message may wait for the person, and not only for the login.
    has_window = backend_entry(account.backend).has_reply_window
    max_wait_seconds = account.hold.ttl if has_window else account.send.ttl
    return HomeAssistantSettings(
        enabled=home_assistant.enabled,
        prefix=home_assistant.prefix,
        expose=exposed_users(settings, name),
        url=web.url or "" if web.enabled else "",
        expiry=max(1, int(max_wait_seconds)),
    )


def exposed_users(settings: Settings, name: str) -> tuple[str, ...]:
    """Returns the names of the people of one account that are entities of Home Assistant.

    An entry `account/user` applies to that account only, `user` to every account.
    """
    entries = (entry.rpartition("/") for entry in settings.homeassistant.expose)
    return tuple(dict.fromkeys(user for account, _, user in entries if account in ("", name)))


def contact_pins(account: AccountConfig) -> dict[str, ContactPin]:
    """Returns the contacts in the configuration, by their topic level."""
    return {
        level: ContactPin(
            remark=pin.remark or "",
            alias=pin.alias or "",
            nickname=pin.nickname or "",
            group=pin.group or "",
            ilink=pin.ilink or "",
            owner=pin.owner,
        )
        for level, pin in account.contacts.items()
    }


PUBLIC_MEDIA_KEYS = {"download", "max_size", "keep", "max_total", "inline_below"}
"""Not the folders and hosts from which files may be sent: they reveal internals of the network."""


def public_settings(account: AccountConfig) -> dict[str, Json]:
    """Returns the settings that `bridge/info` publishes. They contain no secrets."""
    keys = {"backend", "topic_names", "receive", "send", "hold", "history"}
    public: dict[str, Json] = account.model_dump(mode="json", include=keys)
    max_age = account.plain.max_age
    return {
        **public,
        "plain": False if max_age is None else {"max_age": max_age},
        "media": account.media.model_dump(mode="json", include=PUBLIC_MEDIA_KEYS),
    }


def create_backend(
    settings: Settings,
    name: str,
    credentials: CredentialStore,
    observe: CallObserver,
    quote_lookup: QuoteLookup,
    marks: MessageMarks,
    *,
    lease: Lease = ENDLESS_LEASE,
) -> Backend:
    """Imports and creates the backend of one account. Raises `SettingsError` for an unknown one.

    Without a valid `lease` it sends nothing.
    """
    account = settings.accounts[name]
    entry = backend_entry(account.backend, key=f"accounts.{name}.backend")
    section: BaseModel = getattr(account, entry.name)
    return entry.create(
        BackendOptions(
            credentials=credentials,
            observe=observe,
            quote_lookup=quote_lookup,
            marks=marks,
            endpoint=account.endpoint,
            language=settings.language,
            section=_with_plain_secrets(section.model_dump()),
            clock=Clock(lease=lease),
        )
    )


def _with_plain_secrets(section: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a copy with its secrets as texts."""
    return {key: _plain_value(value) for key, value in section.items()}


def _plain_value(value: object) -> object:
    if isinstance(value, Mapping):
        return _with_plain_secrets(value)
    if isinstance(value, tuple):
        return tuple(map(_plain_value, value))
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def mqtt_options(
    settings: Settings,
    name: str,
    topics: Topics,
    embedded: tuple[str, ProtocolChoice] | None,
    lease: Lease = ENDLESS_LEASE,
) -> MqttOptions:
    """Returns the MQTT options of one account; `embedded` is URL and protocol of the embedded broker.

    Without a valid `lease` the client is offline.
    """
    mqtt = settings.mqtt
    tls = mqtt.tls
    home = settings.homeassistant
    birth_topics = (birth_topic(home.prefix),) if home.enabled else ()
    tls_files = (tls.ca_file, tls.cert_file, tls.key_file)
    ca, cert, key = (None if file is None else Path(file) for file in tls_files)
    return MqttOptions(
        urls=mqtt.url if embedded is None else (embedded[0],),
        client_id=settings.client_ids()[name],
        username=mqtt.username,
        password=secret_value(mqtt.password),
        protocol=mqtt.protocol if embedded is None else embedded[1],
        keepalive=mqtt.keepalive,
        tls=TlsFiles(ca_file=ca, cert_file=cert, key_file=key) if any(tls_files) else None,
        will=Publication(topic=topics.state, payload=b"offline", retain=True, content_type=TEXT_TYPE),
        subscriptions=tuple(
            Subscription(filter=topic_filter) for topic_filter in (*topics.subscriptions, *birth_topics)
        ),
        topics=topics,
        language=settings.language,
        lease=lease,
    )


def shared_settings(settings: Settings) -> dict[str, Any]:
    """Returns the settings that must be the same in all instances, without defaults, and with secrets."""
    shared = settings.model_dump(
        include={"accounts": True, "homeassistant": True, "mqtt": {"client_id", "response_topics"}},
        exclude_defaults=True,
    )
    return _with_plain_secrets(shared)


def media_base_url(web: Web) -> str | None:
    """Returns the beginning of the URL of media, or None without a web server.

    This is the address of the server from outside, or else only its base path.
    """
    if not web.enabled:
        return None
    return web.url or web.base_path.rstrip("/")


def secret_value(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


@asynccontextmanager
async def running_web_server(
    settings: Settings, media_sources: Sequence[MediaLibrary], bridge: BridgeState | None = None
) -> AsyncGenerator[WebServer | None, None]:
    """Runs the web server inside the block; yields None where it is disabled. Raises `CannotListen`."""
    if not settings.web.enabled:
        yield None
        return
    from wx2mqtt.web.server import WebServer  # noqa: PLC0415 - only where it is enabled

    async with WebServer(web_options(settings), media_sources, bridge) as server:
        yield server


def find_listen_problem(settings: Settings) -> str:
    """Returns why the web server cannot listen on its address; empty if it can, or is disabled."""
    if not settings.web.enabled:
        return ""
    options = web_options(settings)
    try:
        available_port(options.host, options.port)
    except PortInUse as error:
        return listen_problem(options, cast("OSError", error.__cause__))
    return ""


def web_options(settings: Settings) -> WebOptions:
    web = settings.web
    host, port = split_listen_address(web.listen)
    proxies = (*web.trusted_proxies, *([web.ingress] if web.ingress else []))
    return WebOptions(
        host=host,
        port=port,
        url=web.url or "",
        hosts=web.hosts,
        prefix=web.base_path.rstrip("/"),
        password=secret_value(web.password) or "",
        token=secret_value(web.token) or "",
        proxies=tuple(ip_network(proxy) for proxy in proxies),
        ingress=web.ingress or "",
        language=settings.language,
    )

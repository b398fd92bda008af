"""The configuration of a bridge: loads it, and makes the options of its parts.

    load_configuration             file, environment and secrets  ->  `Settings`
    mqtt_options, restore_rules …  `Settings`  ->  the options of the MQTT client, the rules of a restore, …

`web_servers.py` does this for the web server. The bridge itself needs no options: it reads the settings as
they are (`bridge.account_settings`).
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, SecretStr

from wx2mqtt.clock import ENDLESS_LEASE, Lease
from wx2mqtt.errors import StoreError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.mqtt.broker import Publication
from wx2mqtt.mqtt.options import MqttOptions, ProtocolChoice, TlsFiles
from wx2mqtt.mqtt.topics import (
    TEXT_TYPE,
    Topics,
    birth_topic,
    is_config_topic,
    response_topic_allowed,
)
from wx2mqtt.settings.loader import LoadedSettings, load, load_valid_settings
from wx2mqtt.settings.schema import (
    BUILT_IN_BACKENDS,
    DEFAULT_ACCOUNT,
    DEFAULT_BASE_TOPIC,
    Account,
    Mqtt,
    Settings,
    Web,
)
from wx2mqtt.store.folder import SESSIONS_FOLDER, resolve_store_path
from wx2mqtt.store.folder_owner import run_as_owner
from wx2mqtt.store.records import ANSWER_CATEGORIES
from wx2mqtt.store.restore_rules import RestoreRules
from wx2mqtt.store.saved_logins import read_saved_login
from wx2mqtt.wechat.registry import BACKENDS, backend_entry


def load_configuration(
    path: Path | None, env: Mapping[str, str], current: Settings | None = None
) -> LoadedSettings:
    """Loads the file at `path`; without one the backends are those of `current`, else of the saved login.

    `current` are the settings of the running bridge at a reload. A run without a file goes on with the
    backend whose login its store has, so that an update changes nobody's backend. Raises `SettingsError`.
    """
    if path is not None:
        return load(path, env, BACKENDS)
    if current is not None:
        backends = {name: account.backend for name, account in current.accounts.items()}
    else:
        saved_backend = _backend_of_saved_login(env)
        backends = {} if saved_backend is None else {DEFAULT_ACCOUNT: saved_backend}
    return load(None, env, BACKENDS, backends)


def _backend_of_saved_login(env: Mapping[str, str]) -> str | None:
    """Returns the backend whose login the store has for the account of a run without a file, or None."""
    storage = load_valid_settings(None, env, BACKENDS).settings.storage
    folder, _ = resolve_store_path(storage.path, env)

    def read_backend() -> str | None:
        saved_login = read_saved_login(folder / SESSIONS_FOLDER, DEFAULT_ACCOUNT)
        return next((name for name, entry in BACKENDS.items() if entry.is_saved_login(saved_login)), None)

    try:  # in another process, since this one stays root: it may still have to open files of its own
        return cast("str | None", run_as_owner(folder, read_backend, lambda _: 1))
    except (StoreError, SystemExit):  # the store is opened soon, and then the reason is shown
        return None


def missing_safeguards(account: Account) -> str:
    """Returns which safeguard of alarms an account lacks, as a key of `bridge_text`; empty if it has one.

    A safeguard helps while WeChat takes no message: `fallback`, and on iLink `ilink.remind` or `ilink.renew`.
    All are off by default.
    """
    if account.fallback.urls or account.fallback.accounts:
        return ""
    if not backend_entry(account.backend).has_reply_window:
        return "no_fallback"
    ilink = account.ilink
    is_guarded = ilink.remind.before is not None or ilink.renew.after is not None
    return "" if is_guarded else "no_safeguards"


def safeguards_line(account: Account, language: Language) -> str:
    """Returns the sentence about `missing_safeguards` that setup, login, start and page say, or empty."""
    message_key = missing_safeguards(account)
    return bridge_text(language, message_key) if message_key else ""


def instance_name(settings: Settings) -> str:
    """Returns the name of this instance: as configured, else the host name."""
    return settings.cluster.instance or socket.gethostname()


def restore_rules(settings: Settings) -> RestoreRules:
    """Returns which base topics and topics a restore accepts from a backup, whose content is not trusted."""
    configured = {name: account.base_topic for name, account in settings.accounts.items()}
    bases = tuple(settings.base_topics().values())

    def may_publish(base: str, category: str, topic: str) -> bool:
        if Topics(base).may_publish(topic):
            return True
        prefix, allowed = settings.homeassistant.prefix, settings.mqtt.response_topics
        is_answer = category in ANSWER_CATEGORIES
        return is_answer and response_topic_allowed(topic, (*bases, base), prefix, allowed)

    return RestoreRules(
        default_base=DEFAULT_BASE_TOPIC,
        base_topics=configured,
        may_publish=may_publish,
        is_discovery_topic=is_config_topic,
    )


def backend_section(account: Account) -> dict[str, Any]:
    """Returns the options of the account's backend by their names: plain values, secrets as texts.

    They are its section of the settings, such as `ilink`. A backend of another package has no section, and
    gets the list `options` of the account, such as `region=cn`.
    """
    if account.backend not in BUILT_IN_BACKENDS:
        pairs = (option.get_secret_value().partition("=") for option in account.options)
        return {name.strip(): value for name, _, value in pairs}
    section: BaseModel = getattr(account, account.backend)
    return {key: _plain_value(value) for key, value in section.model_dump().items()}


def _plain_value(value: object) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain_value(content) for key, content in value.items()}
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
    urls, protocol = mqtt.url, mqtt.protocol
    if embedded is not None:
        embedded_url, protocol = embedded
        urls = (embedded_url,)
    tls = mqtt.tls
    tls_files = TlsFiles(ca_file=tls.ca_file, cert_file=tls.cert_file, key_file=tls.key_file)
    home = settings.homeassistant
    birth_topics = (birth_topic(home.prefix),) if home.enabled else ()
    return MqttOptions(
        urls=urls,
        client_id=settings.client_ids()[name],
        username=mqtt.username,
        password=secret_value(mqtt.password),
        protocol=protocol,
        keepalive=mqtt.keepalive,
        tls=None if tls_files == TlsFiles() else tls_files,
        will=Publication(topic=topics.state, payload=b"offline", retain=True, content_type=TEXT_TYPE),
        subscriptions=(*topics.subscriptions, *birth_topics),
        language=settings.language,
        lease=lease,
    )


def shared_settings(settings: Settings) -> dict[str, Any]:
    """Returns the settings that must be the same in all instances, without defaults, and with secrets."""
    shared = settings.model_dump(
        include={"accounts": True, "homeassistant": True, "mqtt": {"client_id", "response_topics"}},
        exclude_defaults=True,
    )
    return {key: _plain_value(value) for key, value in shared.items()}


def media_base_url(web: Web) -> str | None:
    """Returns the beginning of the URL of media, or None without a web server.

    This is the address of the server from outside, or else only its base path.
    """
    if not web.enabled:
        return None
    return web.url or web.base_path.rstrip("/")


def broker_password(mqtt: Mqtt, at_start: Mqtt) -> str | None:
    """Returns the password at the broker in use: that of another broker, or of another user, counts later."""
    is_same_login = (mqtt.url, mqtt.username) == (at_start.url, at_start.username)
    return secret_value(mqtt.password if is_same_login else at_start.password)


def secret_value(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()

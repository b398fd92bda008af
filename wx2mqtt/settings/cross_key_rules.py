"""Rules that compare keys of the settings with each other. All findings are yielded, not only the first.

mqtt: {password: "…"}  ->  mqtt.password: a password needs mqtt.username
web: {token: "…"}      ->  a warning: web.token has no effect, since without a password nobody is asked for it
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Iterator, Mapping
from importlib.util import find_spec
from typing import Protocol
from urllib.parse import urlsplit

from wx2mqtt.model import FILEHELPER
from wx2mqtt.settings import names_and_topics
from wx2mqtt.settings.addresses import EMBEDDED, TLS_SCHEMES, is_loopback, split_listen_address
from wx2mqtt.settings.key_tree import KeyPath, SettingsFinding, warning
from wx2mqtt.settings.schema import (
    BUILT_IN_BACKENDS,
    Account,
    Cluster,
    Expect,
    Fallback,
    Hold,
    Mqtt,
    Pin,
    Settings,
    Web,
)
from wx2mqtt.settings.sender_rules import sender_findings

PIN_KIND_NAMES = ", ".join(Pin.model_fields)


class KnownKeys(Protocol):
    """Which of the keys that only some backends use a backend uses; `wechat.registry` has one for each.

    `foreign_pin` is the warning about a pin whose key is not among `pin_keys`; it may name the `{kind}`.
    """

    @property
    def title(self) -> str: ...
    @property
    def pin_keys(self) -> Collection[str]: ...
    @property
    def foreign_pin(self) -> str: ...
    @property
    def expect_keys(self) -> Collection[str]: ...
    @property
    def has_reply_window(self) -> bool: ...
    @property
    def option_names(self) -> Collection[str]: ...


BackendRules = Mapping[str, KnownKeys]
"""By the name of the backend. One of another package is loaded when it is asked for (`UnknownBackend`)."""


def rule_findings(settings: Settings, backends: BackendRules) -> Iterator[SettingsFinding]:
    """Yields every broken rule, and a warning for every key that has no effect."""
    yield from _broker_findings(settings.mqtt)
    for name, account in settings.accounts.items():
        yield from _account_findings(name, account, backends)
        yield from _fallback_findings(name, settings)
    yield from _base_topic_findings(settings)
    yield from _web_findings(settings.web)
    yield from sender_findings(settings)
    yield from _storage_findings(settings)
    if settings.homeassistant.enabled:
        yield from _exposed_findings(settings)


def _account_findings(name: str, account: Account, backends: BackendRules) -> Iterator[SettingsFinding]:
    """Checks one account: its name, its contacts, and keys that its backend does not use."""
    path = ("accounts", name)
    if fault := names_and_topics.account_fault(name):
        yield SettingsFinding(path, fault)
    yield from _foreign_keys(path, account, backends)
    yield from _contact_findings((*path, "contacts"), account, backends[account.backend])
    yield from _wecom_findings((*path, "wecom"), account)
    yield from _option_findings((*path, "options"), account, backends[account.backend])
    desktop = account.webwx.desktop
    if alone := _given_alone(client_version=desktop.client_version, extspam=desktop.extspam):
        message = "client_version and extspam belong together: give both or none"
        yield SettingsFinding((*path, "webwx", "desktop", alone), message)


def _given_alone(**pair: object) -> str:
    """Returns the key that has a value, where the other one of the pair has none; empty otherwise."""
    given = [key for key, value in pair.items() if value is not None]
    return given[0] if len(given) == 1 else ""


def _fallback_findings(name: str, settings: Settings) -> Iterator[SettingsFinding]:
    """Checks the other ways of one account. Whether a user exists, only the running bridge knows."""
    path, fallback = ("accounts", name, "fallback"), settings.accounts[name].fallback
    has_way = fallback.accounts or fallback.urls or fallback.urls_file
    if not has_way and fallback != Fallback():
        yield warning(path, "has no effect without accounts or urls: an urgent command has no other way")
    if fallback.urls and find_spec("apprise") is None:
        message = f"these need apprise, which is not installed: {install_command('fallback')}"
        yield warning((*path, "urls"), message)
    for index, recipient in enumerate(fallback.accounts):
        if fault := _recipient_fault(recipient, name, settings):
            yield SettingsFinding((*path, "accounts", index), fault)
        elif recipient in fallback.accounts[:index]:
            yield SettingsFinding((*path, "accounts", index), "names the same one twice; remove one")


def _recipient_fault(recipient: str, name: str, settings: Settings) -> str:
    """Returns what is wrong with `account/user` as a fallback of the account `name`; empty if nothing is."""
    account, slash, user = recipient.partition("/")
    if not slash:
        return "write the account and who it is there, as account/user, such as office/zhangsan"
    if account == name:
        return "is this account itself; name a user of another one"
    if account not in settings.accounts:
        return f"names nobody: there is no account '{account}', only {', '.join(settings.accounts)}"
    return "" if user == FILEHELPER else names_and_topics.topic_name_fault(user)


def _wecom_findings(path: KeyPath, account: Account) -> Iterator[SettingsFinding]:
    """Checks that id and secret of a bot stand together. A file of the secret is read before."""
    wecom = account.wecom
    secret = wecom.secret_file if wecom.secret is None else wecom.secret
    if alone := _given_alone(bot_id=wecom.bot_id, secret=secret):
        message = "bot_id and secret belong together: give both, or none to make a bot by a scan"
        yield SettingsFinding((*path, alone), message)


def _option_findings(path: KeyPath, account: Account, backend: KnownKeys) -> Iterator[SettingsFinding]:
    """Checks the names of the options; their values are the backend's, which may be secrets."""
    if account.options and account.backend in BUILT_IN_BACKENDS:
        yield warning(path, f"has no effect: {account.backend} has a section of its own")
        return
    names_before: set[str] = set()
    for index, option in enumerate(account.options):
        name, equals, _ = option.get_secret_value().partition("=")
        name = name.strip()
        if not equals:
            yield SettingsFinding((*path, index), "is no option; write it as name=value")
        elif name not in backend.option_names:
            known = ", ".join(sorted(backend.option_names)) or "none"
            yield SettingsFinding((*path, index), f"is no option of {backend.title}; it has {known}")
        elif name in names_before:
            yield SettingsFinding((*path, index), "names the same one twice; remove one")
        names_before.add(name)


def _base_topic_findings(settings: Settings) -> Iterator[SettingsFinding]:
    """Checks that the topics of no account overlap with another's or with Home Assistant's."""
    bases = settings.base_topics()
    prefix = settings.homeassistant.prefix
    for index, (name, base) in enumerate(bases.items()):
        path = ("accounts", name, "base_topic")
        for other, other_base in list(bases.items())[:index]:
            if names_and_topics.bases_overlap(base, other_base):
                yield SettingsFinding(
                    path, f"'{base}' meets the topics of account {other} ('{other_base}'); choose another"
                )
        if settings.homeassistant.enabled and f"{base}/".startswith(f"{prefix}/"):
            yield SettingsFinding(path, f"lies inside homeassistant.prefix ('{prefix}'); choose another")


def _contact_findings(path: KeyPath, account: Account, backend: KnownKeys) -> Iterator[SettingsFinding]:
    names_by_fact: dict[tuple[str, str], str] = {}
    for name, pin in account.contacts.items():
        pin_path = (*path, name)
        if fault := names_and_topics.topic_name_fault(name):
            yield SettingsFinding(pin_path, fault)
        if len(pin.facts) != 1:
            yield SettingsFinding(pin_path, f"needs exactly one of {PIN_KIND_NAMES}; it has {len(pin.facts)}")
            continue
        kind = pin.facts[0][0]
        first_name = names_by_fact.setdefault(pin.facts[0], name)
        if first_name != name:
            yield SettingsFinding(pin_path, f"names the same {kind} as '{first_name}'; keep one of the two")
        if kind not in backend.pin_keys:
            yield warning(pin_path, backend.foreign_pin.format(kind=kind))


def _foreign_keys(path: KeyPath, account: Account, backends: BackendRules) -> Iterator[SettingsFinding]:
    """Checks keys that only other backends use: they have no effect, or would refuse every login."""
    backend = backends[account.backend]
    for key in Expect.model_fields:
        if key not in backend.expect_keys and getattr(account.expect, key) is not None:
            message = f"{account.backend} does not tell it, so everybody would be refused; take it away"
            yield SettingsFinding((*path, "expect", key), message)
    if not backend.has_reply_window and account.hold != Hold():
        windowed = ", ".join(other.title for other in backends.values() if other.has_reply_window)
        yield warning((*path, "hold"), f"has no effect: only {windowed} has a window")
    for name in BUILT_IN_BACKENDS:
        section = getattr(account, name)
        if name != account.backend and section != type(section)():
            yield warning((*path, name), f"has no effect: the backend is {account.backend}")


def _broker_findings(mqtt: Mqtt) -> Iterator[SettingsFinding]:
    path = ("mqtt", "url")
    if EMBEDDED in mqtt.url and len(mqtt.url) > 1:
        yield SettingsFinding(path, "embedded cannot be one of several: it is no broker of a cluster")
    if len(set(mqtt.url)) < len(mqtt.url):
        yield SettingsFinding(path, "names the same broker twice; remove one")
    if mqtt.password is not None and mqtt.username is None:
        yield SettingsFinding(
            ("mqtt", "password"), "a password needs mqtt.username: MQTT 3.1.1 sends none without it"
        )
    if mqtt.username is not None and mqtt.url == (EMBEDDED,):
        yield warning(("mqtt", "username"), "has no effect: the embedded broker needs no login")
    tls, path = mqtt.tls, ("mqtt", "tls")
    if alone := _given_alone(cert_file=tls.cert_file, key_file=tls.key_file):
        missing = "key_file" if alone == "cert_file" else "cert_file"
        message = f"needs {missing} beside it: a certificate and its key belong together"
        yield SettingsFinding((*path, alone), message)
    encrypted = any(url.startswith(tuple(f"{scheme}:" for scheme in TLS_SCHEMES)) for url in mqtt.url)
    if not encrypted and any(file is not None for _, file in tls):
        yield warning(path, "has no effect: no mqtt.url is mqtts or wss")


def _web_findings(web: Web) -> Iterator[SettingsFinding]:
    if not web.enabled:
        return
    host, _ = split_listen_address(web.listen)
    has_typed_password = web.password is not None and bool(web.password.get_secret_value())
    has_password = has_typed_password or web.password_file is not None
    if not is_loopback(host) and not has_password and web.ingress is None:
        yield SettingsFinding(
            ("web", "listen"),
            "others can reach this address, so it needs web.password_file (or listen on 127.0.0.1)",
        )
    if web.token is not None and not has_password:
        yield warning(("web", "token"), "has no effect: without web.password_file nobody is asked for it")
    if web.url is None:
        return
    path = urlsplit(web.url).path or "/"
    if path != web.base_path:
        message = (
            f"is {web.base_path}, and web.url leads to {path}; unless your proxy sends X-Forwarded-Prefix,"
            f" write {path}"
        )
        yield warning(("web", "base_path"), message)


def _storage_findings(settings: Settings) -> Iterator[SettingsFinding]:
    storage = settings.storage
    if storage.url is None:
        for key in ("password", "key"):
            if getattr(storage, key) is not None:
                yield warning(("storage", key), "has no effect without storage.url")
        if settings.cluster != Cluster():
            message = "has no effect without storage.url: only a database is shared by several instances"
            yield warning(("cluster",), message)
        return
    most = settings.cluster.max_accounts
    joined = max(map(len, settings.joined_accounts()), default=0)
    if most is not None and joined > most:
        yield SettingsFinding(
            ("cluster", "max_accounts"),
            f"is less than the {joined} accounts that fallback.accounts joins, which only run together",
        )
    if find_spec("psycopg") is None:
        message = f"needs psycopg, which is not installed: {install_command('postgresql')}"
        yield SettingsFinding(("storage", "url"), message)
    if storage.key is None and storage.key_file is None:
        yield SettingsFinding(
            ("storage", "url"),
            "needs storage.key_file: logins are encrypted in the database; make a key once with"
            " (umask 077; wx2mqtt cluster new-key > storage.key), and give the same one to every instance",
        )


def _exposed_findings(settings: Settings) -> Iterator[SettingsFinding]:
    """Checks the accounts of exposed names. Whether a name exists, only the running bridge knows."""
    known = ", ".join(settings.accounts)
    for index, name in enumerate(settings.homeassistant.expose):
        path = ("homeassistant", "expose", index)
        account, slash, user = name.rpartition("/")
        if slash and account not in settings.accounts:
            message = f"names nobody: there is no account '{account}', only {known}"
            yield warning(path, message)
        elif not slash and len(settings.accounts) > 1:
            example = f"{next(iter(settings.accounts))}/{user}"
            message = (
                f"is ambiguous: write it with its account, such as {example}; until then each"
                " account exposes its own"
            )
            yield warning(path, message)


def install_command(extra: str) -> str:
    """Returns the command that installs the libraries of an extra as they are locked, from a clone.

    It installs into the environment of this program, whatever `pip` the shell would find.
    """
    python = shlex.quote(sys.executable)
    return f"{python} -m pip install --no-deps --only-binary=:all: --require-hashes -r deploy/{extra}.lock"

"""What the keys say together: checked on whole settings, all findings at once (DESIGN 3, 4.1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from wx2mqtt.settings.account_rules import account_findings, base_topic_findings
from wx2mqtt.settings.addresses import EMBEDDED, TLS_SCHEMES, is_loopback, listen_parts
from wx2mqtt.settings.files import check_readable
from wx2mqtt.settings.finding import Finding
from wx2mqtt.settings.schema import Mqtt, Settings, Web


def findings(settings: Settings) -> Iterator[Finding]:
    """Every rule that is broken, and every hint."""
    yield from _broker(settings.mqtt)
    yield from _tls(settings.mqtt)
    for name, account in settings.accounts.items():
        yield from account_findings(name, account)
    yield from base_topic_findings(settings)
    yield from _web(settings.web)
    if settings.homeassistant.enabled:
        yield from _exposed(settings)


def _broker(mqtt: Mqtt) -> Iterator[Finding]:
    path = ("mqtt", "url")
    if EMBEDDED in mqtt.url and len(mqtt.url) > 1:
        yield Finding(path, "embedded stands alone: it is a broker of its own, not one of a cluster")
    if len(set(mqtt.url)) < len(mqtt.url):
        yield Finding(path, "names the same broker twice; take one away")
    if mqtt.password is not None and mqtt.username is None:
        yield Finding(
            ("mqtt", "password"), "a password needs mqtt.username: MQTT 3.1.1 sends none without it"
        )
    if mqtt.username is not None and mqtt.url == (EMBEDDED,):
        yield Finding(("mqtt", "username"), "has no effect: the embedded broker asks nobody", warning=True)


def _tls(mqtt: Mqtt) -> Iterator[Finding]:
    tls, path = mqtt.tls, ("mqtt", "tls")
    if (tls.cert_file is None) != (tls.key_file is None):
        given, missing = ("key_file", "cert_file") if tls.cert_file is None else ("cert_file", "key_file")
        yield Finding((*path, given), f"needs {missing} beside it: a certificate and its key belong together")
    for name, file in tls:
        if isinstance(file, Path) and (fault := check_readable(file)):
            yield Finding((*path, name), fault)
    encrypted = any(url.startswith(tuple(f"{scheme}:" for scheme in TLS_SCHEMES)) for url in mqtt.url)
    if not encrypted and any(file is not None for _, file in tls):
        yield Finding(path, "has no effect: no mqtt.url is mqtts or wss", warning=True)


def _web(web: Web) -> Iterator[Finding]:
    host, _ = listen_parts(web.listen)
    asks = _given(web.password) or web.password_file is not None
    if not web.enabled:
        return
    if not is_loopback(host) and not asks:
        yield Finding(
            ("web", "listen"),
            "others can reach this address, so it needs web.password_file (or listen on 127.0.0.1)",
        )
    if web.token is not None and not asks:
        yield Finding(
            ("web", "token"), "has no effect: without web.password_file nobody is asked for it", warning=True
        )
    if web.url is not None and (path := urlsplit(web.url).path or "/") != web.base_path:
        yield Finding(
            ("web", "base_path"),
            f"is {web.base_path}, and web.url leads to {path}; unless your proxy sends X-Forwarded-Prefix,"
            f" write {path}",
            warning=True,
        )


def _exposed(settings: Settings) -> Iterator[Finding]:
    """Only which account is meant can be known here; who is called so, the running bridge knows."""
    known = ", ".join(settings.accounts)
    for place, name in enumerate(settings.homeassistant.expose):
        path = ("homeassistant", "expose", place)
        account, slash, user = name.rpartition("/")
        if slash and account not in settings.accounts:
            told = f"names nobody: there is no account '{account}', only {known}"
            yield Finding(path, told, warning=True)
        elif not slash and len(settings.accounts) > 1:
            example = f"{next(iter(settings.accounts))}/{user}"
            told = f"is ambiguous: write with the account, such as {example}; now each shows its own"
            yield Finding(path, told, warning=True)


def _given(secret: SecretStr | None) -> bool:
    return secret is not None and bool(secret.get_secret_value())

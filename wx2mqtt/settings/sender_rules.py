"""Rules for `web.senders`: names and tokens that are unlike, people who exist, addresses that are safe. Pure.

    two senders named grafana  ->  web.senders[1].name: is the name of another sender, too; choose another

They are part of `cross_key_rules.py`, which yields what they find.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import product

from pydantic import BaseModel, SecretStr

from wx2mqtt.settings.addresses import is_loopback, split_listen_address
from wx2mqtt.settings.findings import SettingsFinding, warning
from wx2mqtt.settings.schema import Sender, Settings, Web

_LISTEN_KEYS = ("senders_listen", "ntfy_listen")


def sender_findings(settings: Settings) -> Iterator[SettingsFinding]:
    """Yields what is wrong with the senders; one warning only where the web server does not run."""
    web = settings.web
    if not web.enabled:
        for key in ("senders", *_LISTEN_KEYS):
            if getattr(web, key):
                yield warning(("web", key), "has no effect: web.enabled is false, so nothing is served")
        return
    secret_counts = Counter(_secrets_in(settings))
    names: dict[str, int] = {}
    for index, sender in enumerate(web.senders):
        path = ("web", "senders", index)
        if names.setdefault(sender.name, index) != index:
            yield SettingsFinding((*path, "name"), "is the name of another sender, too; choose another")
        yield from _token_findings(path, sender, secret_counts)
        yield from _recipient_findings(path, sender, settings)
    yield from _address_findings(web)
    if web.senders:
        yield from _reachability_findings(web)


def _token_findings(
    path: tuple[str | int, ...], sender: Sender, secret_counts: Mapping[str, int]
) -> Iterator[SettingsFinding]:
    if sender.token is None:
        if sender.token_file is None:
            advice = "needs token_file: (umask 077; openssl rand -hex 32 > FILE) makes one"
            yield SettingsFinding(path, advice)
    elif secret_counts[sender.token.get_secret_value()] > 1:
        message = "is a secret that stands elsewhere in this configuration, too; make one of its own"
        yield SettingsFinding((*path, "token"), message)


def _secrets_in(value: object) -> Iterator[str]:
    """Yields every secret of the settings, as often as it is there."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for _, content in value:
            yield from _secrets_in(content)
    elif isinstance(value, Mapping):
        yield from _secrets_in(tuple(value.values()))
    elif isinstance(value, tuple):
        for item in value:
            yield from _secrets_in(item)


def _recipient_findings(
    path: tuple[str | int, ...], sender: Sender, settings: Settings
) -> Iterator[SettingsFinding]:
    if not sender.users and sender.to is None:
        yield SettingsFinding(path, "may send to nobody: give to, users, or both")
    known = ", ".join(settings.accounts)
    named: list[tuple[tuple[str | int, ...], str]] = [
        (("users", index), user) for index, user in enumerate(sender.users)
    ]
    if sender.to is not None:
        named.append((("to",), sender.to))
    for key, user in named:
        account, slash, _ = user.rpartition("/")
        is_glob = "*" in account  # any account that matches
        if slash and not is_glob and account not in settings.accounts:
            message = f"names nobody: there is no account '{account}', only {known}"
            yield warning((*path, *key), message)


def _address_findings(web: Web) -> Iterator[SettingsFinding]:
    """Checks that each address of its own serves somebody, and that no other server has it."""
    addresses = {"listen": web.listen}
    for key in _LISTEN_KEYS:
        address = getattr(web, key)
        if address is None:
            continue
        path = ("web", key)
        if not web.senders:
            yield SettingsFinding(path, "needs web.senders: without them it would serve nobody")
        other = next((name for name, listen in addresses.items() if _collide(listen, address)), None)
        if other is not None:
            yield SettingsFinding(path, f"is the address of web.{other} already; choose another port")
        addresses[key] = address


def _reachability_findings(web: Web) -> Iterator[SettingsFinding]:
    """Warns where the senders are served nowhere, and where others can read their tokens."""
    served: dict[str, str | None] = {}
    if web.senders_listen is not None:
        served["senders_listen"] = web.senders_listen
    elif web.ingress is None:
        served["listen"] = web.listen
    else:
        message = "are not served to Home Assistant's Ingress: give them an address with web.senders_listen"
        yield warning(("web", "senders"), message)
    served["ntfy_listen"] = web.ntfy_listen
    if web.trusted_proxies:
        return
    for key, address in served.items():
        if address is not None and not is_loopback(split_listen_address(address)[0]):
            message = (
                "others can reach this address, and the tokens of web.senders cross the network unencrypted:"
                " put a reverse proxy with TLS before it and name it in web.trusted_proxies"
            )
            yield warning(("web", key), message)


def _collide(first: str, second: str) -> bool:
    """Returns whether only one server can listen on these addresses.

    0.0.0.0 and :: mean each address of their own family.
    """
    (host, port), (other_host, other_port) = split_listen_address(first), split_listen_address(second)
    if port != other_port or port == 0:
        return False
    return any(
        ip.version == other_ip.version and (ip == other_ip or ip.is_unspecified or other_ip.is_unspecified)
        for ip, other_ip in product(_ip_addresses(host), _ip_addresses(other_host))
    )


def _ip_addresses(host: str) -> list[IPv4Address | IPv6Address]:
    return [ip_address(text) for text in (("127.0.0.1", "::1") if host == "localhost" else (host,))]

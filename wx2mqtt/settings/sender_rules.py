"""Rules for `web.senders`: names and tokens that are unlike, people who exist, addresses that are safe. Pure.

    two senders named grafana  ->  web.senders[1].name: is the name of another sender, too; choose another

They are part of `cross_key_rules.py`, which yields what they find.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import product

from pydantic import BaseModel, SecretStr

from wx2mqtt.settings.addresses import is_loopback, split_listen_address
from wx2mqtt.settings.key_tree import KeyPath, SettingsFinding, warning
from wx2mqtt.settings.schema import Sender, Settings, Web


def sender_findings(settings: Settings) -> Iterator[SettingsFinding]:
    """Yields what is wrong with the senders; one warning a key where the web server does not run."""
    web = settings.web
    if not web.enabled:
        for key in ("senders", "senders_listen", "ntfy_listen"):
            if getattr(web, key):
                yield warning(("web", key), "has no effect: web.enabled is false, so nothing is served")
        return
    secret_counts = Counter(_secrets_in(settings))
    names_before: set[str] = set()
    for index, sender in enumerate(web.senders):
        path = ("web", "senders", index)
        if sender.name in names_before:
            yield SettingsFinding((*path, "name"), "is the name of another sender, too; choose another")
        names_before.add(sender.name)
        yield from _token_findings(path, sender, secret_counts)
        yield from _recipient_findings(path, sender, settings.accounts)
    yield from _own_address_findings(web)
    if web.senders:
        yield from _reachability_findings(web)


def _token_findings(
    path: KeyPath, sender: Sender, secret_counts: Mapping[str, int]
) -> Iterator[SettingsFinding]:
    if sender.token is None and sender.token_file is None:
        yield SettingsFinding(path, "needs token_file: (umask 077; openssl rand -hex 32 > FILE) makes one")
    elif sender.token is not None and secret_counts[sender.token.get_secret_value()] > 1:
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
    path: KeyPath, sender: Sender, accounts: Collection[str]
) -> Iterator[SettingsFinding]:
    if not sender.users and sender.to is None:
        yield SettingsFinding(path, "may send to nobody: give to, users, or both")
    if fault := _account_fault(sender.to or "", accounts):
        yield warning((*path, "to"), fault)
    for index, user in enumerate(sender.users):
        if fault := _account_fault(user, accounts):
            yield warning((*path, "users", index), fault)


def _account_fault(user: str, accounts: Collection[str]) -> str:
    """Returns what is wrong with the account in `account/user`; empty for a glob, or where none is named."""
    account, slash, _ = user.rpartition("/")
    if not slash or "*" in account or account in accounts:
        return ""
    return f"names nobody: there is no account '{account}', only {', '.join(accounts)}"


def _own_addresses(web: Web) -> dict[str, str]:
    """Returns the addresses that serve nothing but senders, by their keys."""
    addresses = {"senders_listen": web.senders_listen, "ntfy_listen": web.ntfy_listen}
    return {key: address for key, address in addresses.items() if address is not None}


def _own_address_findings(web: Web) -> Iterator[SettingsFinding]:
    """Checks that each of these addresses serves somebody, and that no other server has it."""
    taken = {"listen": web.listen}
    for key, address in _own_addresses(web).items():
        path = ("web", key)
        if not web.senders:
            yield SettingsFinding(path, "needs web.senders: without them it would serve nobody")
        other = next((name for name, listen in taken.items() if _collide(listen, address)), None)
        if other is not None:
            yield SettingsFinding(path, f"is the address of web.{other} already; choose another port")
        taken[key] = address


def _reachability_findings(web: Web) -> Iterator[SettingsFinding]:
    """Warns where the senders are served nowhere, and where others can read their tokens."""
    if web.ingress is not None and web.senders_listen is None:
        message = "are not served to Home Assistant's Ingress: give them an address with web.senders_listen"
        yield warning(("web", "senders"), message)
    if web.trusted_proxies:
        return
    served = _own_addresses(web)
    if web.listen_serves_senders:
        served["listen"] = web.listen
    for key, address in served.items():
        if not is_loopback(split_listen_address(address)[0]):
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
    texts = ("127.0.0.1", "::1") if host == "localhost" else (host,)
    return [ip_address(text) for text in texts]

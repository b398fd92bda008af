"""Who asks: the client's address, its scheme and the path it knows us by. Pure.

What a header says of that counts only from a proxy that the owner trusts: anybody can write a header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from wx2mqtt.web.hosts import address_of
from wx2mqtt.web.options import Network, Options

_PREFIX = re.compile(r"(?:/[A-Za-z0-9_.~-]+){1,10}/?", re.ASCII)
_PREFIX_HEADERS = ("x-ingress-path", "x-forwarded-prefix")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """`address` is empty when unknown; `secure`: the client speaks https; `prefix` as in `Options`."""

    address: str
    secure: bool
    prefix: str


def visitor(peer: str, headers: Mapping[str, str], options: Options) -> Visitor:
    """Who stands behind a connection from `peer`. The names of `headers` are in small letters."""
    if not _trusted(peer, options.proxies):
        return Visitor(address=_plain(peer), secure=False, prefix=options.prefix)
    scheme = headers.get("x-forwarded-proto", "").rpartition(",")[2].strip().lower()
    return Visitor(
        address=_client(peer, headers.get("x-forwarded-for", ""), options.proxies),
        secure=scheme == "https",
        prefix=_prefix(headers, options.prefix),
    )


def _client(peer: str, chain: str, proxies: tuple[Network, ...]) -> str:
    """The last address that no trusted proxy has: what stands before it was written by the client itself."""
    nearest = _plain(peer)
    for written in reversed(chain.split(",")):
        address = _plain(written.strip())
        if not address:
            break
        nearest = address
        if not _trusted(address, proxies):
            break
    return nearest


def _prefix(headers: Mapping[str, str], usual: str) -> str:
    for name in _PREFIX_HEADERS:
        told = headers.get(name, "")
        if _PREFIX.fullmatch(told) and not {".", ".."} & {*told.split("/")}:
            return told.rstrip("/")
    return usual


def _trusted(address: str, proxies: tuple[Network, ...]) -> bool:
    known = address_of(address)
    return known is not None and any(known.version == net.version and known in net for net in proxies)


def _plain(address: str) -> str:
    known = address_of(address.partition("%")[0])
    return "" if known is None else str(known)

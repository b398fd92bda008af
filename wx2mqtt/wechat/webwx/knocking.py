"""Can WeChat's hosts be reached? One request to each, that asks for nothing and shows no key."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator, Mapping

import httpx

from wx2mqtt.wechat.gateway import Knock
from wx2mqtt.wechat.http import date_of, trust_for
from wx2mqtt.wechat.webwx.endpoints import START, Hosts, everything_at, hosts_of
from wx2mqtt.wechat.webwx.session import from_saved
from wx2mqtt.wechat.webwx.transport import HEADERS

PATIENCE = 10.0
"""Seconds for one host, its name and its certificate included."""
RESOLUTION = 0.5
"""Seconds by which a Date is behind on average: it counts whole ones."""


async def knock(endpoint: str | None, saved: Mapping[str, object] | None = None) -> tuple[Knock, ...]:
    """Ask each host of the cluster of a `saved` login, or of the one where logins begin, all at once.

    `endpoint` stands in the place of them all. Raises nothing for what the hosts do.
    """
    hosts = _hosts(endpoint, saved)
    origins = dict.fromkeys((hosts.login, hosts.base, hosts.push, hosts.file))
    # as `Transport`: the environment's proxies count, but for an address of one's own
    async with httpx.AsyncClient(
        verify=trust_for(endpoint), trust_env=endpoint is None, headers=HEADERS
    ) as door:
        return tuple(await asyncio.gather(*(_one(door, origin) for origin in origins)))


def _hosts(endpoint: str | None, saved: Mapping[str, object] | None) -> Hosts:
    if endpoint is not None:
        return everything_at(endpoint)
    known = from_saved(saved, None) if saved else None
    return START if known is None else hosts_of(known[0].base)


async def _one(door: httpx.AsyncClient, origin: str) -> Knock:
    host, began = httpx.URL(origin).netloc.decode("ascii"), time.monotonic()
    outcome, why, ahead = "ok", "", None
    try:
        async with asyncio.timeout(PATIENCE):
            ahead = await _ask(door, origin)
    except (httpx.HTTPError, TimeoutError) as error:
        outcome, why = _trouble(error)
    return Knock(host=host, outcome=outcome, seconds=time.monotonic() - began, why=why, ahead=ahead)


async def _ask(door: httpx.AsyncClient, origin: str) -> float | None:
    """Any answer will do; by how much our clock is ahead of the one in it."""
    request = door.build_request("GET", f"{origin}/", timeout=PATIENCE)
    before = time.time()
    response = await door.send(request, stream=True)
    after = time.time()
    await response.aclose()
    date = date_of(response.headers.get("date", ""))
    return None if date is None else (before + after) / 2 - (date + RESOLUTION)


def _trouble(error: Exception) -> tuple[str, str]:
    """What kept the host from answering: one word, and more of it where there is more."""
    for cause in _causes(error):
        match cause:
            case socket.gaierror():
                return "no_name", ""
            case ssl.SSLCertVerificationError():
                return "certificate", cause.verify_message
            case ssl.SSLError():
                return "no_tls", (cause.reason or "").replace("_", " ").lower()
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.ProxyError():
            return "no_connection", ""
        case httpx.TimeoutException() | TimeoutError():
            return "no_answer", ""
    return "broken_answer", ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

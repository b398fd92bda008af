"""Can hosts of WeChat's be reached? One request to each, that asks for nothing and shows no key."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping

import httpx

from wx2mqtt.wechat.gateway import Knock
from wx2mqtt.wechat.http import date_of, trust_for

PATIENCE = 10.0
"""Seconds for one host, its name and its certificate included."""
RESOLUTION = 0.5
"""Seconds by which a Date is behind on average: it counts whole ones."""


async def knock_at(
    origins: Iterable[str], *, endpoint: str | None, headers: Mapping[str, str]
) -> tuple[Knock, ...]:
    """Ask each of these once, all at once; `endpoint` is the owner's own address, if they stand for it.

    Raises nothing for what the hosts do.
    """
    # as `http.client`: the environment's proxies count, but for an address of one's own
    async with httpx.AsyncClient(
        verify=trust_for(endpoint), trust_env=endpoint is None, headers=headers
    ) as door:
        return tuple(await asyncio.gather(*(_one(door, origin) for origin in dict.fromkeys(origins))))


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

"""Whether WeChat's hosts can be reached, and whether our clock agrees with theirs.

One request to each host, without a key or a token.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import httpx

from wx2mqtt.diagnostics.report import CheckReport
from wx2mqtt.diagnostics.target import AccountTarget, DiagnosticTarget
from wx2mqtt.wechat.backend import HostCheck
from wx2mqtt.wechat.http import parse_date, trust_for
from wx2mqtt.wechat.registry import backend_entry

HOST_CHECK_TIMEOUT_SECONDS = 10.0
"""Seconds for one host, its name and its certificate included."""


DATE_OFFSET_SECONDS = 0.5
"""Seconds by which a Date is behind on average: it counts whole ones."""


async def check_hosts(
    origins: Iterable[str], *, endpoint: str | None, headers: Mapping[str, str]
) -> tuple[HostCheck, ...]:
    """Ask each of these once, all at once; `endpoint` is the owner's own address, if they stand for it.

    Raises nothing for what the hosts do.
    """
    # as `http.client`: the environment's proxies count, but for an address of one's own
    async with httpx.AsyncClient(
        verify=trust_for(endpoint), trust_env=endpoint is None, headers=headers
    ) as door:
        return tuple(await asyncio.gather(*(_one(door, origin) for origin in dict.fromkeys(origins))))


async def _one(transport: httpx.AsyncClient, origin: str) -> HostCheck:
    host, began = httpx.URL(origin).netloc.decode("ascii"), time.monotonic()
    outcome, why, ahead = "ok", "", None
    try:
        async with asyncio.timeout(HOST_CHECK_TIMEOUT_SECONDS):
            ahead = await _ask(transport, origin)
    except (httpx.HTTPError, TimeoutError) as error:
        outcome, why = _trouble(error)
    return HostCheck(
        host=host, outcome=outcome, seconds=time.monotonic() - began, detail=why, clock_ahead_seconds=ahead
    )


async def _ask(transport: httpx.AsyncClient, origin: str) -> float | None:
    """Any answer will do; by how much our clock is ahead of the one in it."""
    request = transport.build_request("GET", f"{origin}/", timeout=HOST_CHECK_TIMEOUT_SECONDS)
    before = time.time()
    response = await transport.send(request, stream=True)
    after = time.time()
    await response.aclose()
    date = parse_date(response.headers.get("date", ""))
    return None if date is None else (before + after) / 2 - (date + DATE_OFFSET_SECONDS)


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


CLOCK_TOLERANCE_SECONDS = 5.0
"""Seconds between two clocks that are taken for right."""


CLOCK_ERROR_SECONDS = 60.0
"""Seconds from which on things go wrong: how long commands count, certificates, times of messages."""


REMEDY_KEYS = {"certificate": "host_certificate_cure", "no_name": "name_cure"}


async def check_wechat(target: DiagnosticTarget, report: CheckReport) -> None:
    """A row for each host, each once however many accounts go there, and one for the clock."""
    found: dict[str, HostCheck] = {}
    for account in target.accounts:
        for one in await _check_account(account):
            found.setdefault(one.host, one)
    for one in found.values():
        _host(one, report)
    if found:
        _clock(found.values(), report)


async def _check_account(account: AccountTarget) -> Sequence[HostCheck]:
    backend = backend_entry(account.backend)
    origins = backend.host_origins(account.endpoint, account.saved_login or {})
    return await check_hosts(origins, endpoint=account.endpoint, headers=backend.http_headers)


def _host(host_check: HostCheck, report: CheckReport) -> None:
    if host_check.outcome == "ok":
        report.ok("wechat", host_check.host, "host_ok", ms=max(1, round(host_check.seconds * 1000)))
        return
    facts = {"why": f": {host_check.detail}" if host_check.detail else "", "host": host_check.host}
    report.failed(
        "wechat",
        host_check.host,
        f"host_{host_check.outcome}",
        REMEDY_KEYS.get(host_check.outcome, "host_cure"),
        **facts,
    )


def _clock(host_checks: Iterable[HostCheck], report: CheckReport) -> None:
    """By the host that is nearest to us: one whose own clock is wrong must not make ours wrong."""
    known = [
        (abs(one.clock_ahead_seconds), one) for one in host_checks if one.clock_ahead_seconds is not None
    ]
    if not known:
        report.not_known("clock", "", "clock_unknown", "clock_cure")
        return
    off, nearest = min(known, key=lambda pair: pair[0])
    facts = {"seconds": round(off), "host": nearest.host}
    word = "clock_ahead" if (nearest.clock_ahead_seconds or 0) > 0 else "clock_behind"
    if off <= CLOCK_TOLERANCE_SECONDS:
        report.ok("clock", nearest.host, "clock_ok")
    elif off < CLOCK_ERROR_SECONDS:
        report.warning("clock", nearest.host, word, "clock_cure", **facts)
    else:
        report.failed("clock", nearest.host, word, "clock_cure", **facts)

"""Checks whether WeChat's hosts can be reached, and this machine's clock by the time in their answers.

Sends one GET / to each host, which asks for nothing and holds no credentials.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from wx2mqtt.clock import Lease, parse_http_date
from wx2mqtt.diagnostics.check_report import CheckReport
from wx2mqtt.diagnostics.check_target import DiagnosticTarget
from wx2mqtt.i18n.diagnostics import diagnostics_text
from wx2mqtt.wechat.aiohttp_transport import (
    AiohttpTransport,
    ExchangeFailed,
    ExchangeFailure,
    HttpRequest,
    tls_context,
)
from wx2mqtt.wechat.backend import HostCheck
from wx2mqtt.wechat.registry import backend_entry

# Time for one host, with name resolution and TLS.
HOST_CHECK_TIMEOUT_SECONDS = 10.0

# By how much a Date header is behind on average: it has whole seconds.
DATE_OFFSET_SECONDS = 0.5

# A smaller difference counts as correct.
CLOCK_TOLERANCE_SECONDS = 5.0

# From this difference on expiry of commands, certificates and times of messages go wrong.
CLOCK_ERROR_SECONDS = 60.0
REMEDY_KEYS = {"certificate": "host_certificate_cure", "no_name": "name_cure"}


async def check_wechat(target: DiagnosticTarget, report: CheckReport) -> None:
    """Adds a result for the version that an account names, for each host once, and for the clock."""
    checks_by_host: dict[str, HostCheck] = {}
    for account in target.accounts:
        if account.client_version:
            report.ok("wechat", account.name, "client_version", version=account.client_version)
    for account in target.accounts:
        backend = backend_entry(account.backend)
        origins = backend.host_origins(account.endpoint, account.saved_login or {})
        for host_check in await check_hosts(origins, endpoint=account.endpoint, headers=backend.http_headers):
            checks_by_host.setdefault(host_check.host, host_check)
    for host_check in checks_by_host.values():
        _report_host(host_check, report)
    if checks_by_host:
        _report_best_clock(checks_by_host.values(), report)


def _report_host(host_check: HostCheck, report: CheckReport) -> None:
    if host_check.outcome == "ok":
        report.ok("wechat", host_check.host, "host_ok", ms=max(1, round(host_check.seconds * 1000)))
        return
    detail = host_check.detail
    why = diagnostics_text(report.language, "host_detail", why=detail) if detail else ""
    facts = {"why": why, "host": host_check.host}
    report.failed(
        "wechat",
        host_check.host,
        f"host_{host_check.outcome}",
        REMEDY_KEYS.get(host_check.outcome, "host_cure"),
        **facts,
    )


def _report_best_clock(host_checks: Iterable[HostCheck], report: CheckReport) -> None:
    """Uses the smallest difference: a host whose own clock is wrong must not count."""
    offsets = [
        (check.clock_ahead_seconds, check.host)
        for check in host_checks
        if check.clock_ahead_seconds is not None
    ]
    if offsets:
        ahead_seconds, host = min(offsets, key=lambda offset: abs(offset[0]))
        report_clock(report, host, ahead_seconds)
    else:
        report.not_known("clock", "", "clock_unknown", "clock_cure")


def report_clock(report: CheckReport, host: str, ahead_seconds: float) -> None:
    """Adds a result for the clock of this machine, which is ahead of that of the host."""
    facts = {"seconds": round(abs(ahead_seconds)), "host": host}
    message_key = "clock_ahead" if ahead_seconds > 0 else "clock_behind"
    if abs(ahead_seconds) <= CLOCK_TOLERANCE_SECONDS:
        report.ok("clock", host, "clock_ok")
    elif abs(ahead_seconds) < CLOCK_ERROR_SECONDS:
        report.warning("clock", host, message_key, "clock_cure", **facts)
    else:
        report.failed("clock", host, message_key, "clock_cure", **facts)


async def check_hosts(
    origins: Iterable[str], *, endpoint: str | None, headers: Mapping[str, str]
) -> tuple[HostCheck, ...]:
    """Sends one request to each origin, all at the same time. Failures are results: it raises nothing.

    `endpoint` is the owner's own server if the origins belong to it, else None.
    """
    # as the bridge does: the environment's proxies are used, but not for an endpoint of the owner
    transport = AiohttpTransport(tls_context(endpoint), Lease(), uses_proxies=endpoint is None)
    try:
        checks = (_check_host(transport, origin, headers) for origin in dict.fromkeys(origins))
        return tuple(await asyncio.gather(*checks))
    finally:
        await transport.close()


async def _check_host(transport: AiohttpTransport, origin: str, headers: Mapping[str, str]) -> HostCheck:
    host = urlsplit(origin).netloc
    start = time.monotonic()
    outcome, detail = "ok", ""
    clock_ahead_seconds = None
    try:
        async with asyncio.timeout(HOST_CHECK_TIMEOUT_SECONDS):
            clock_ahead_seconds = await _request_clock_offset(transport, origin, headers)
    except (ExchangeFailed, TimeoutError) as error:
        outcome, detail = _classify_failure(error)
    return HostCheck(
        host=host,
        outcome=outcome,
        seconds=time.monotonic() - start,
        detail=detail,
        clock_ahead_seconds=clock_ahead_seconds,
    )


async def _request_clock_offset(
    transport: AiohttpTransport, origin: str, headers: Mapping[str, str]
) -> float | None:
    """Sends the request; returns the seconds by which this machine's clock is ahead, None without a Date.

    Any HTTP answer is good, whatever its status.
    """
    request = HttpRequest(
        url=f"{origin}/", headers=headers, body=None, idle_seconds=HOST_CHECK_TIMEOUT_SECONDS
    )
    before = time.time()
    response = await transport.send(request)
    after = time.time()
    response.close()
    date = parse_http_date(next(iter(response.header_values("date")), ""))
    return None if date is None else (before + after) / 2 - (date + DATE_OFFSET_SECONDS)


def _classify_failure(error: Exception) -> tuple[str, str]:
    """Returns the outcome of a failed request, and a detail, which may be empty."""
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case socket.gaierror():
                return "no_name", ""
            case ssl.SSLCertVerificationError():
                return "certificate", cause.verify_message
            case ssl.SSLError():
                return "no_tls", (cause.reason or "").replace("_", " ").lower()
        cause = cause.__cause__ or cause.__context__
    match error:
        case TimeoutError() | ExchangeFailed(failure=ExchangeFailure.NO_ANSWER):
            return "no_answer", ""
        case ExchangeFailed(failure=ExchangeFailure.NO_CONNECTION):
            return "no_connection", ""
    return "broken_answer", ""

"""Connects to one broker step by step: name, TCP, TLS and its certificate, login, version, limits.

Each step below MQTT opens a connection of its own, and closes it without sending anything more.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from wx2mqtt.aio import run_in_daemon_thread
from wx2mqtt.diagnostics.broker_probe import ProbeClosed, ProbeConnection
from wx2mqtt.diagnostics.check_report import CheckReport
from wx2mqtt.diagnostics.check_target import DiagnosticTarget
from wx2mqtt.diagnostics.server_certificate import (
    Certificate,
    authority_error,
    parse_certificate,
    version_and_certificate,
)
from wx2mqtt.mqtt.broker import ProtocolVersion
from wx2mqtt.mqtt.options import BrokerAddress
from wx2mqtt.mqtt.packets import (
    BAD_AUTHENTICATION_METHOD,
    BAD_CREDENTIALS,
    BANNED,
    CLIENT_ID_NOT_VALID,
    NOT_AUTHORIZED,
)
from wx2mqtt.mqtt.paho_codec import ConnackLimits
from wx2mqtt.mqtt.reconnect import ConnectTarget, EndReason
from wx2mqtt.mqtt.sockets import open_socket
from wx2mqtt.values import frozen

T = TypeVar("T")

# For each step below MQTT: the name (the resolver itself waits longer if its server is away), TCP, and TLS.
STEP_TIMEOUT_SECONDS = 10.0

SECONDS_PER_DAY = 86400.0

# A certificate that expires sooner gives a warning.
EXPIRY_WARNING_SECONDS = 14 * SECONDS_PER_DAY

# With a smaller packet limit the contact directory of a large account is incomplete.
DIRECTORY_PACKET_BYTES = 256_000

# With fewer messages in flight the bridge is slow.
MIN_RECEIVE_MAXIMUM = 4

# By error code of OpenSSL's certificate verification.
AUTHORITY_MESSAGE_KEYS = {
    **dict.fromkeys((18, 19), "authority_self_signed"),
    **dict.fromkeys((2, 20, 21), "authority_unknown"),
}

# Reason codes of CONNACK that refuse the user or the password.
LOGIN_REFUSAL_CODES = frozenset({BAD_CREDENTIALS, NOT_AUTHORIZED, BAD_AUTHENTICATION_METHOD})

# By reason code of CONNACK.
LOGIN_REMEDY_KEYS = {CLIENT_ID_NOT_VALID: "login_client_id_cure", BANNED: "login_banned_cure"}

MAX_SHOWN_NAMES = 10

# The end of the year 9999, the last that can be formatted.
MAX_TIMESTAMP_SECONDS = 253402300799.0


@frozen
class ConnectedBroker:
    """A broker where the login worked: how to connect to it, and the limits of its CONNACK."""

    connect_target: ConnectTarget
    limits: ConnackLimits


class ConnectionCheck:
    """The check of one broker, whose steps are in the order of `run`."""

    def __init__(self, target: DiagnosticTarget, address: BrokerAddress, report: CheckReport) -> None:
        self._target = target
        self._address = address
        self._report = report
        self._subject = address.endpoint

    async def run(self) -> ConnectedBroker | None:
        """Runs all steps; returns None if one of them prevents the next."""
        if not await self._check_tcp():
            return None
        if self._address.tls and not await self._check_tls():
            return None
        try:
            return await self._check_login()
        except ProbeClosed as closed:
            self._report_login_failure(closed)
            return None

    # name and TCP

    async def _check_tcp(self) -> bool:
        try:
            if not self._address.unix:
                await self._check_name()
            seconds = await connect_tcp(self._address)
        except OSError as error:
            self._report_unreachable(error)
            return False
        self._report.ok("tcp", self._subject, "tcp_ok", ms=_milliseconds(seconds))
        return True

    async def _check_name(self) -> None:
        addresses = await resolve_host(self._address)
        if addresses != (self._address.host,):
            self._report.ok("name", self._subject, "name_ok", addresses=", ".join(addresses))
        is_local = all(ipaddress.ip_address(address.partition("%")[0]).is_private for address in addresses)
        if not is_local and not self._address.tls:
            self._report.warning("tls", self._subject, "tls_not_used")

    def _report_unreachable(self, error: OSError) -> None:
        facts = {"host": self._address.host, "port": self._address.port, "path": self._address.path}
        match error:
            case socket.gaierror():
                self._report.failed("name", self._subject, "name_unknown", "name_cure", **facts)
            case ConnectionRefusedError() | FileNotFoundError() if self._target.embedded:
                self._report.not_known("tcp", self._subject, "tcp_embedded_not_running", **facts)
            case ConnectionRefusedError() | FileNotFoundError():
                self._report.failed("tcp", self._subject, "tcp_refused", **facts)
            case TimeoutError():
                self._report.failed("tcp", self._subject, "tcp_timeout", **facts)
            case _:
                why = (error.strerror or type(error).__name__).lower()
                self._report.failed("tcp", self._subject, "tcp_other", "tcp_timeout_cure", why=why, **facts)

    # TLS

    async def _check_tls(self) -> bool:
        files = self._target.options.tls
        try:
            version, der = await _run_in_thread(partial(version_and_certificate, self._address, files))
            untrusted = await _run_in_thread(partial(authority_error, self._address, files))
            certificate = parse_certificate(der)
        except TimeoutError:
            self._report.failed("tls", self._subject, "tls_timeout")
            return False
        except (OSError, ValueError) as error:
            ssl_reason = getattr(error, "reason", None) if isinstance(error, ssl.SSLError) else None
            reason = ssl_reason or getattr(error, "strerror", None) or type(error).__name__
            why = reason.replace("_", " ").lower()
            self._report.failed("tls", self._subject, "tls_failed", why=why)
            return False
        self._report.ok("tls", self._subject, "tls_ok", version=version)
        self._check_dates(certificate)
        self._check_names(certificate)
        self._check_authority(untrusted)
        now = time.time()
        is_valid = certificate.not_before <= now < certificate.not_after
        return is_valid and certificate.matches(self._address.host) and untrusted is None

    def _check_dates(self, certificate: Certificate) -> None:
        now = time.time()
        facts = {"begins": _format_day(certificate.not_before), "ends": _format_day(certificate.not_after)}
        if now >= certificate.not_after:
            self._report.failed("dates", self._subject, "dates_expired", **facts)
        elif now < certificate.not_before:
            self._report.failed("dates", self._subject, "dates_not_yet", **facts)
        elif certificate.not_after - now < EXPIRY_WARNING_SECONDS:
            self._report.warning("dates", self._subject, "dates_expire_soon", "dates_expired_cure", **facts)
        else:
            self._report.ok("dates", self._subject, "dates_ok", **facts)

    def _check_names(self, certificate: Certificate) -> None:
        host, names = self._address.host, ", ".join(certificate.names[:MAX_SHOWN_NAMES]) or "-"
        if certificate.matches(host):
            self._report.ok("names", self._subject, "names_ok", host=host)
        else:
            self._report.failed("names", self._subject, "names_do_not_match", host=host, names=names)

    def _check_authority(self, untrusted: tuple[int, str] | None) -> None:
        if untrusted is None:
            self._report.ok("authority", self._subject, "authority_ok")
            return
        code, why = untrusted
        message_key = AUTHORITY_MESSAGE_KEYS.get(code, "authority_other")
        self._report.failed("authority", self._subject, message_key, "authority_cure", why=why)

    # MQTT

    async def _check_login(self) -> ConnectedBroker | None:
        """Connects with MQTT 5, or with 3.1.1 if the broker and the settings require it.

        Raises `ProbeClosed`.
        """
        configured_protocol = self._target.options.protocol
        if configured_protocol != "3.1.1":
            try:
                return await self._connect_once(ProtocolVersion.MQTT_5)
            except ProbeClosed as closed:
                if closed.end is not EndReason.VERSION:
                    raise
            if configured_protocol == "5":
                self._report.failed("version", self._subject, "version_only_3_1_1", "version_must_be_5_cure")
                return None
        return await self._connect_once(ProtocolVersion.MQTT_3_1_1)

    async def _connect_once(self, protocol: ProtocolVersion) -> ConnectedBroker | None:
        """Connects, reports login, version and limits; returns None if the broker has QoS 0 only."""
        target = ConnectTarget(address=self._address, protocol=protocol)
        options = replace(self._target.options, session_expiry=0)
        async with ProbeConnection(options, target) as connection:
            limits, seconds = connection.limits, connection.connect_seconds
        user = options.username or self._address.username
        message_key = "login_ok" if user else "login_anonymous"
        self._report.ok("login", self._subject, message_key, user=user, ms=_milliseconds(seconds))
        self._report_version(protocol)
        self._check_limits(limits, protocol)
        return ConnectedBroker(connect_target=target, limits=limits) if limits.maximum_qos else None

    def _report_login_failure(self, closed: ProbeClosed) -> None:
        report, subject, options = self._report, self._subject, self._target.options
        if closed.code in LOGIN_REFUSAL_CODES:
            has_user = options.username is not None
            report.failed("login", subject, "login_refused" if has_user else "login_needs_user")
            return
        remedy_key = LOGIN_REMEDY_KEYS.get(closed.code, "login_other_cure")
        facts = {"why": str(closed), "client": options.client_id}
        report.failed("login", subject, "login_other", remedy_key, **facts)

    def _report_version(self, protocol: ProtocolVersion) -> None:
        if protocol is ProtocolVersion.MQTT_5:
            self._report.ok("version", self._subject, "version_ok")
        elif self._target.options.protocol == "3.1.1":
            self._report.warning("version", self._subject, "version_set_to_3_1_1")
        else:
            self._report.warning("version", self._subject, "version_only_3_1_1")

    def _check_limits(self, limits: ConnackLimits, protocol: ProtocolVersion) -> None:
        report, subject = self._report, self._subject
        if protocol is not ProtocolVersion.MQTT_5:
            for check in ("in_flight", "packet"):
                report.not_known(check, subject, "limit_not_reported")
            return
        if limits.maximum_qos < 1:
            report.failed("qos", subject, "qos_only_0")
        if limits.receive_maximum < MIN_RECEIVE_MAXIMUM:
            report.warning(
                "in_flight", subject, "in_flight_few", "in_flight_cure", count=limits.receive_maximum
            )
        else:
            report.ok("in_flight", subject, "in_flight_ok", count=limits.receive_maximum)
        if limits.packet_limit is None:
            report.ok("packet", subject, "packet_unlimited")
        elif limits.packet_limit < DIRECTORY_PACKET_BYTES:
            report.warning("packet", subject, "packet_small", "packet_cure", size=limits.packet_limit)
        else:
            report.ok("packet", subject, "packet_ok", size=limits.packet_limit)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _format_day(timestamp: float) -> str:
    """Returns the UTC date of a Unix timestamp, which a certificate can put outside the valid range."""
    return time.strftime("%Y-%m-%d", time.gmtime(max(0.0, min(timestamp, MAX_TIMESTAMP_SECONDS))))


# the steps below MQTT


async def resolve_host(address: BrokerAddress) -> tuple[str, ...]:
    """Returns the addresses of the host, without duplicates. Raises OSError (`gaierror`, `TimeoutError`)."""
    resolve = partial(socket.getaddrinfo, address.host, address.port, type=socket.SOCK_STREAM)
    entries = await _run_in_thread(resolve)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in entries))


async def connect_tcp(address: BrokerAddress) -> float:
    """Connects and closes; returns the seconds that it took. Raises OSError."""
    start = time.monotonic()
    await _run_in_thread(lambda: open_socket(address, None).close())
    return time.monotonic() - start


async def _run_in_thread(work: Callable[[], T]) -> T:
    """Runs blocking work in a thread, for a limited time. Raises OSError."""
    try:
        return await asyncio.wait_for(run_in_daemon_thread(work), STEP_TIMEOUT_SECONDS)
    except ValueError as error:  # from idna and ssl; SSLCertVerificationError is an OSError first
        if isinstance(error, OSError):
            raise
        raise OSError(0, "the host name is not valid") from error

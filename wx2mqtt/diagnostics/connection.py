"""The way to one broker, stage by stage: name, TCP, TLS with its certificate, login, version, limits."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from wx2mqtt.diagnostics import tls
from wx2mqtt.diagnostics.probe import ProbeClosed, ProbeConnection
from wx2mqtt.diagnostics.report import CheckReport
from wx2mqtt.diagnostics.target import DiagnosticTarget
from wx2mqtt.diagnostics.tls import Certificate, parse_certificate
from wx2mqtt.mqtt.options import BrokerAddress
from wx2mqtt.mqtt.paho_codec import ConnackLimits
from wx2mqtt.mqtt.reconnect import ConnectTarget, EndReason

SECONDS_PER_DAY = 86400.0
EXPIRY_WARNING_SECONDS = 14 * SECONDS_PER_DAY
"""Seconds before the end of a certificate from which on it is told."""
DIRECTORY_PACKET_BYTES = 256_000
"""Bytes; below this packet limit the directory of a large account is not whole."""
MIN_RECEIVE_MAXIMUM = 4
"""Messages under way at once, below which the bridge is slow."""
SELF_SIGNED_CODES, UNKNOWN_AUTHORITY_CODES = frozenset({18, 19}), frozenset({2, 20, 21})
"""OpenSSL's codes for an authority that nobody vouches for, and for one that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedBroker:
    """A broker that let us in: how, and what it allows."""

    connect_target: ConnectTarget
    limits: ConnackLimits


class ConnectionCheck:
    """Goes to one broker and writes down how far it came."""

    def __init__(self, target: DiagnosticTarget, address: BrokerAddress, report: CheckReport) -> None:
        self._target = target
        self._address = address
        self._report = report
        self._subject = address.endpoint

    async def run(self) -> ConnectedBroker | None:
        """Every stage; None where one ends it."""
        if not await self._check_tcp():
            return None
        if self._address.tls and not await self._check_tls():
            return None
        return await self._check_login()

    # name and TCP

    async def _check_tcp(self) -> bool:
        try:
            if not self._address.unix:
                self._warn_if_public(await self._resolve())
            seconds = await tls.connect_tcp(self._address)
        except OSError as error:
            self._report_unreachable(error)
            return False
        self._report.ok("tcp", self._subject, "tcp_ok", ms=_ms(seconds))
        return True

    async def _resolve(self) -> tuple[str, ...]:
        found = await tls.resolve_host(self._address)
        if found != (self._address.host,):
            self._report.ok("name", self._subject, "name_ok", addresses=", ".join(found))
        return found

    def _warn_if_public(self, addresses: Iterable[str]) -> None:
        near = all(ipaddress.ip_address(one.partition("%")[0]).is_private for one in addresses)
        if not near and not self._address.tls:
            self._report.warning("tls", self._subject, "tls_none", "tls_none_cure")

    def _report_unreachable(self, error: OSError) -> None:
        facts = {"host": self._address.host, "port": self._address.port, "path": self._address.path}
        match error:
            case socket.gaierror():
                self._report.failed("name", self._subject, "name_unknown", "name_cure", **facts)
            case ConnectionRefusedError() | FileNotFoundError() if self._target.embedded:
                self._report.not_known("tcp", self._subject, "tcp_not_yet", "tcp_not_yet_cure", **facts)
            case ConnectionRefusedError() | FileNotFoundError():
                self._report.failed("tcp", self._subject, "tcp_nobody", "tcp_nobody_cure", **facts)
            case TimeoutError():
                self._report.failed("tcp", self._subject, "tcp_silent", "tcp_silent_cure", **facts)
            case _:
                why = (error.strerror or type(error).__name__).lower()
                self._report.failed("tcp", self._subject, "tcp_other", "tcp_silent_cure", why=why, **facts)

    # TLS

    async def _check_tls(self) -> bool:
        try:
            shown = await tls.tls_handshake(self._address, self._target.options.tls)
            certificate = parse_certificate(shown.certificate)
        except TimeoutError:
            self._report.failed("tls", self._subject, "tls_silent", "tls_silent_cure")
            return False
        except (OSError, ValueError) as error:
            self._report_tls_error(error)
            return False
        self._report.ok("tls", self._subject, "tls_ok", version=shown.version)
        self._check_dates(certificate)
        self._check_names(certificate)
        self._check_authority(shown.untrusted)
        now = time.time()
        is_valid = certificate.not_before <= now < certificate.not_after
        return is_valid and certificate.matches(self._address.host) and shown.untrusted is None

    def _report_tls_error(self, error: OSError | ValueError) -> None:
        reason = getattr(error, "reason", None) if isinstance(error, ssl.SSLError) else None
        why = (reason or getattr(error, "strerror", None) or type(error).__name__).replace("_", " ").lower()
        self._report.failed("tls", self._subject, "tls_not_there", "tls_not_there_cure", why=why)

    def _check_dates(self, certificate: Certificate) -> None:
        now, facts = (
            time.time(),
            {"begins": _day(certificate.not_before), "ends": _day(certificate.not_after)},
        )
        if now >= certificate.not_after:
            self._report.failed("dates", self._subject, "dates_over", "dates_over_cure", **facts)
        elif now < certificate.not_before:
            self._report.failed("dates", self._subject, "dates_not_yet", "dates_not_yet_cure", **facts)
        elif certificate.not_after - now < EXPIRY_WARNING_SECONDS:
            self._report.warning("dates", self._subject, "dates_soon", "dates_over_cure", **facts)
        else:
            self._report.ok("dates", self._subject, "dates_ok", **facts)

    def _check_names(self, certificate: Certificate) -> None:
        host, names = self._address.host, ", ".join(certificate.names[:10]) or "-"
        if certificate.matches(host):
            self._report.ok("names", self._subject, "names_ok", host=host)
        else:
            self._report.failed("names", self._subject, "names_other", "names_cure", host=host, names=names)

    def _check_authority(self, untrusted: tuple[int, str] | None) -> None:
        if untrusted is None:
            self._report.ok("authority", self._subject, "authority_ok")
            return
        code, why = untrusted
        word = next(
            (word for word, codes in _AUTHORITIES.items() if code in codes),
            "authority_other",
        )
        self._report.failed("authority", self._subject, word, "authority_cure", why=why)

    # MQTT

    async def _check_login(self) -> ConnectedBroker | None:
        try:
            return await self._connect_by_version()
        except ProbeClosed as gone:
            self._report_login_failure(gone)
            return None

    async def _connect_by_version(self) -> ConnectedBroker | None:
        """By MQTT 5, and by 3.1.1 where the broker knows no more and the owner allows it. Raises
        `ProbeClosed`.
        """
        wanted = self._target.options.protocol
        if wanted != "3.1.1":
            try:
                return await self._connect_once("5")
            except ProbeClosed as gone:
                if gone.end is not EndReason.VERSION:
                    raise
            if wanted == "5":
                self._report.failed("version", self._subject, "version_old", "version_set_cure")
                return None
        return await self._connect_once("3.1.1")

    async def _connect_once(self, protocol: str) -> ConnectedBroker | None:
        """Connected once, to hear what the broker allows."""
        attempt = ConnectTarget(address=self._address, protocol=protocol)
        options = replace(self._target.options, session_expiry=0)
        async with ProbeConnection(options, attempt) as enquiry:
            grant, seconds = enquiry.limits, enquiry.connect_seconds
        user = options.username or self._address.username
        word = "login_ok" if user else "login_anonymous"
        self._report.ok("login", self._subject, word, user=user, ms=_ms(seconds))
        self._report_version(protocol)
        self._check_limits(grant, protocol)
        return ConnectedBroker(connect_target=attempt, limits=grant) if grant.maximum_qos else None

    def _report_login_failure(self, closed: ProbeClosed) -> None:
        named = self._target.options.username is not None
        word, cure = "login_other", _LOGIN_CURES.get(closed.code, "login_other_cure")
        if closed.code in LOGIN_REFUSAL_CODES:
            word, cure = ("login_refused", "login_cure") if named else ("login_nobody", "login_nobody_cure")
        client = self._target.options.client_id
        self._report.failed("login", self._subject, word, cure, why=str(closed), client=client)

    def _report_version(self, protocol: str) -> None:
        if protocol == "5":
            self._report.ok("version", self._subject, "version_ok")
        elif self._target.options.protocol == "3.1.1":
            self._report.warning("version", self._subject, "version_chosen", "version_chosen_cure")
        else:
            self._report.warning("version", self._subject, "version_old", "version_old_cure")

    def _check_limits(self, limits: ConnackLimits, protocol: str) -> None:
        chart, at = self._report, self._subject
        if protocol != "5":
            for check in ("in_flight", "packet"):
                chart.not_known(check, at, "limit_not_told", "limit_not_told_cure")
            return
        if limits.maximum_qos < 1:
            chart.failed("qos", at, "qos_none", "qos_none_cure")
        if limits.receive_maximum < MIN_RECEIVE_MAXIMUM:
            chart.warning("in_flight", at, "in_flight_few", "in_flight_cure", count=limits.receive_maximum)
        else:
            chart.ok("in_flight", at, "in_flight_ok", count=limits.receive_maximum)
        if limits.packet_limit is None:
            chart.ok("packet", at, "packet_none")
        elif limits.packet_limit < DIRECTORY_PACKET_BYTES:
            chart.warning("packet", at, "packet_small", "packet_cure", size=limits.packet_limit)
        else:
            chart.ok("packet", at, "packet_ok", size=limits.packet_limit)


_AUTHORITIES = {"authority_self_signed": SELF_SIGNED_CODES, "authority_unknown": UNKNOWN_AUTHORITY_CODES}
LOGIN_REFUSAL_CODES = frozenset({0x86, 0x87, 0x8C})
"""Reason codes that say: not this user, or not with this password."""
_LOGIN_CURES = {0x85: "login_client_cure", 0x8A: "login_banned_cure"}


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(max(0.0, min(seconds, 253402300799.0))))

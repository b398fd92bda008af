"""The way to one broker, stage by stage: name, TCP, TLS with its certificate, login, version, limits."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from wx2mqtt.doctor.chart import Chart
from wx2mqtt.doctor.patient import Patient
from wx2mqtt.mqtt import stages
from wx2mqtt.mqtt.addresses import Address
from wx2mqtt.mqtt.attempts import Attempt, End
from wx2mqtt.mqtt.certificate import Certificate, read_certificate
from wx2mqtt.mqtt.enquiry import Enquiry, Gone
from wx2mqtt.mqtt.wire import Grant

DAY = 86400.0
SOON = 14 * DAY
"""Seconds before the end of a certificate from which on it is told."""
DIRECTORY = 256_000
"""Bytes; below this packet limit the directory of a large account is not whole (DESIGN 4.1)."""
FEW = 4
"""Messages under way at once, below which the bridge is slow."""
SELF_SIGNED, UNKNOWN = frozenset({18, 19}), frozenset({2, 20, 21})
"""OpenSSL's codes for an authority that nobody vouches for, and for one that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A broker that let us in: how, and what it allows."""

    attempt: Attempt
    grant: Grant


class Way:
    """Goes to one broker and writes down how far it came."""

    def __init__(self, patient: Patient, address: Address, chart: Chart) -> None:
        self._patient = patient
        self._address = address
        self._chart = chart
        self._subject = address.endpoint

    async def go(self) -> Arrived | None:
        """Every stage; None where one ends it."""
        if not await self._connects():
            return None
        if self._address.tls and not await self._is_trusted():
            return None
        return await self._log_in()

    # name and TCP

    async def _connects(self) -> bool:
        try:
            if not self._address.unix:
                self._private(await self._named())
            seconds = await stages.reach(self._address)
        except OSError as error:
            self._not_reached(error)
            return False
        self._chart.ok("tcp", self._subject, "tcp_ok", ms=_ms(seconds))
        return True

    async def _named(self) -> tuple[str, ...]:
        found = await stages.resolve(self._address)
        if found != (self._address.host,):
            self._chart.ok("name", self._subject, "name_ok", addresses=", ".join(found))
        return found

    def _private(self, addresses: Iterable[str]) -> None:
        near = all(ipaddress.ip_address(one.partition("%")[0]).is_private for one in addresses)
        if not near and not self._address.tls:
            self._chart.warning("tls", self._subject, "tls_none", "tls_none_cure")

    def _not_reached(self, error: OSError) -> None:
        facts = {"host": self._address.host, "port": self._address.port, "path": self._address.path}
        match error:
            case socket.gaierror():
                self._chart.failed("name", self._subject, "name_unknown", "name_cure", **facts)
            case ConnectionRefusedError() | FileNotFoundError() if self._patient.embedded:
                self._chart.not_known("tcp", self._subject, "tcp_not_yet", "tcp_not_yet_cure", **facts)
            case ConnectionRefusedError() | FileNotFoundError():
                self._chart.failed("tcp", self._subject, "tcp_nobody", "tcp_nobody_cure", **facts)
            case TimeoutError():
                self._chart.failed("tcp", self._subject, "tcp_silent", "tcp_silent_cure", **facts)
            case _:
                why = (error.strerror or type(error).__name__).lower()
                self._chart.failed("tcp", self._subject, "tcp_other", "tcp_silent_cure", why=why, **facts)

    # TLS

    async def _is_trusted(self) -> bool:
        try:
            shown = await stages.shake_hands(self._address, self._patient.options.tls)
            certificate = read_certificate(shown.certificate)
        except TimeoutError:
            self._chart.failed("tls", self._subject, "tls_silent", "tls_silent_cure")
            return False
        except (OSError, ValueError) as error:
            self._no_tls(error)
            return False
        self._chart.ok("tls", self._subject, "tls_ok", version=shown.version)
        self._dates(certificate)
        self._names(certificate)
        self._authority(shown.untrusted)
        now = time.time()
        is_valid = certificate.begins <= now < certificate.ends
        return is_valid and certificate.is_for(self._address.host) and shown.untrusted is None

    def _no_tls(self, error: OSError | ValueError) -> None:
        reason = getattr(error, "reason", None) if isinstance(error, ssl.SSLError) else None
        why = (reason or getattr(error, "strerror", None) or type(error).__name__).replace("_", " ").lower()
        self._chart.failed("tls", self._subject, "tls_not_there", "tls_not_there_cure", why=why)

    def _dates(self, certificate: Certificate) -> None:
        now, facts = time.time(), {"begins": _day(certificate.begins), "ends": _day(certificate.ends)}
        if now >= certificate.ends:
            self._chart.failed("dates", self._subject, "dates_over", "dates_over_cure", **facts)
        elif now < certificate.begins:
            self._chart.failed("dates", self._subject, "dates_not_yet", "dates_not_yet_cure", **facts)
        elif certificate.ends - now < SOON:
            self._chart.warning("dates", self._subject, "dates_soon", "dates_over_cure", **facts)
        else:
            self._chart.ok("dates", self._subject, "dates_ok", **facts)

    def _names(self, certificate: Certificate) -> None:
        host, names = self._address.host, ", ".join(certificate.names[:10]) or "-"
        if certificate.is_for(host):
            self._chart.ok("names", self._subject, "names_ok", host=host)
        else:
            self._chart.failed("names", self._subject, "names_other", "names_cure", host=host, names=names)

    def _authority(self, untrusted: tuple[int, str] | None) -> None:
        if untrusted is None:
            self._chart.ok("authority", self._subject, "authority_ok")
            return
        code, why = untrusted
        word = next(
            (word for word, codes in _AUTHORITIES.items() if code in codes),
            "authority_other",
        )
        self._chart.failed("authority", self._subject, word, "authority_cure", why=why)

    # MQTT

    async def _log_in(self) -> Arrived | None:
        try:
            return await self._greeted()
        except Gone as gone:
            self._not_let_in(gone)
            return None

    async def _greeted(self) -> Arrived | None:
        """By MQTT 5, and by 3.1.1 where the broker knows no more and the owner allows it. Raises `Gone`."""
        wanted = self._patient.options.protocol
        if wanted != "3.1.1":
            try:
                return await self._greet("5")
            except Gone as gone:
                if gone.end is not End.VERSION:
                    raise
            if wanted == "5":
                self._chart.failed("version", self._subject, "version_old", "version_set_cure")
                return None
        return await self._greet("3.1.1")

    async def _greet(self, protocol: str) -> Arrived | None:
        """Connected once, to hear what the broker allows."""
        attempt = Attempt(address=self._address, protocol=protocol)
        options = replace(self._patient.options, session_expiry=0)
        async with Enquiry(options, attempt) as enquiry:
            grant, seconds = enquiry.grant, enquiry.seconds
        user = options.username or self._address.username
        word = "login_ok" if user else "login_anonymous"
        self._chart.ok("login", self._subject, word, user=user, ms=_ms(seconds))
        self._version(protocol)
        self._limits(grant, protocol)
        return Arrived(attempt=attempt, grant=grant) if grant.maximum_qos else None

    def _not_let_in(self, gone: Gone) -> None:
        named = self._patient.options.username is not None
        word, cure = "login_other", _LOGIN_CURES.get(gone.code, "login_other_cure")
        if gone.code in REFUSALS:
            word, cure = ("login_refused", "login_cure") if named else ("login_nobody", "login_nobody_cure")
        client = self._patient.options.client_id
        self._chart.failed("login", self._subject, word, cure, why=str(gone), client=client)

    def _version(self, protocol: str) -> None:
        if protocol == "5":
            self._chart.ok("version", self._subject, "version_ok")
        elif self._patient.options.protocol == "3.1.1":
            self._chart.warning("version", self._subject, "version_chosen", "version_chosen_cure")
        else:
            self._chart.warning("version", self._subject, "version_old", "version_old_cure")

    def _limits(self, grant: Grant, protocol: str) -> None:
        chart, at = self._chart, self._subject
        if protocol != "5":
            for check in ("in_flight", "packet"):
                chart.not_known(check, at, "limit_not_told", "limit_not_told_cure")
            return
        if grant.maximum_qos < 1:
            chart.failed("qos", at, "qos_none", "qos_none_cure")
        if grant.receive_maximum < FEW:
            chart.warning("in_flight", at, "in_flight_few", "in_flight_cure", count=grant.receive_maximum)
        else:
            chart.ok("in_flight", at, "in_flight_ok", count=grant.receive_maximum)
        if grant.packet_limit is None:
            chart.ok("packet", at, "packet_none")
        elif grant.packet_limit < DIRECTORY:
            chart.warning("packet", at, "packet_small", "packet_cure", size=grant.packet_limit)
        else:
            chart.ok("packet", at, "packet_ok", size=grant.packet_limit)


_AUTHORITIES = {"authority_self_signed": SELF_SIGNED, "authority_unknown": UNKNOWN}
REFUSALS = frozenset({0x86, 0x87, 0x8C})
"""Reason codes that say: not this user, or not with this password."""
_LOGIN_CURES = {0x85: "login_client_cure", 0x8A: "login_banned_cure"}


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(max(0.0, min(seconds, 253402300799.0))))

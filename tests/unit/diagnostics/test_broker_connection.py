"""What the doctor concludes from each step of a connection to a broker; the steps themselves are replaced."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any, Self

import pytest

from wx2mqtt.diagnostics import broker_connection
from wx2mqtt.diagnostics.broker_connection import ConnectionCheck
from wx2mqtt.diagnostics.broker_probe import ProbeClosed
from wx2mqtt.diagnostics.check_report import CheckReport
from wx2mqtt.diagnostics.check_target import diagnostic_target
from wx2mqtt.diagnostics.server_certificate import Certificate
from wx2mqtt.mqtt.packets import BAD_CREDENTIALS, UNSUPPORTED_VERSION
from wx2mqtt.mqtt.paho_codec import ConnackLimits
from wx2mqtt.mqtt.reconnect import EndReason
from wx2mqtt.settings.schema import Mqtt, Settings

DAY = 86_400.0


class ConnectionHarness:
    """A check whose steps return or raise what a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: tuple[str, ...] | Exception = ("192.168.1.10",)
        self.tcp: Exception | None = None
        self.certificate = Certificate(names=("broker.lan",), not_before=0, not_after=time.time() + 365 * DAY)
        self.untrusted: tuple[int, str] | None = None
        #: What a CONNECT is answered, by the protocol.
        self.logins: dict[str, ConnackLimits | ProbeClosed] = {}
        monkeypatch.setattr(broker_connection, "resolve_host", self._resolve)
        monkeypatch.setattr(broker_connection, "connect_tcp", self._connect)
        monkeypatch.setattr(broker_connection, "version_and_certificate", lambda *_: ("TLSv1.3", b""))
        monkeypatch.setattr(broker_connection, "parse_certificate", lambda _der: self.certificate)
        monkeypatch.setattr(broker_connection, "authority_error", lambda *_: self.untrusted)
        monkeypatch.setattr(broker_connection, "ProbeConnection", self._probe)

    async def _resolve(self, _address: object) -> tuple[str, ...]:
        if isinstance(self.addresses, Exception):
            raise self.addresses
        return self.addresses

    async def _connect(self, _address: object) -> float:
        if self.tcp is not None:
            raise self.tcp
        return 0.003

    def _probe(self, _options: object, target: Any) -> Any:
        answer = self.logins.get(str(target.protocol), ConnackLimits(session_present=False))

        class FakeProbeConnection:
            limits = answer
            connect_seconds = 0.01

            async def __aenter__(self) -> Self:
                if isinstance(answer, ProbeClosed):
                    raise answer
                return self

            async def __aexit__(self, *_: object) -> None:
                """Closes nothing."""

        return FakeProbeConnection()

    async def run(self, **mqtt: Any) -> tuple[bool, dict[str, str]]:
        """Returns whether the login worked, and the status of each check."""
        target = diagnostic_target(Settings(mqtt=Mqtt(**{"url": ("mqtt://broker.lan",), **mqtt})), {})
        report = CheckReport("en")
        connected = await ConnectionCheck(target, target.addresses[0], report).run()
        return connected is not None, {result.check: str(result.status) for result in report.results}


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> ConnectionHarness:
    return ConnectionHarness(monkeypatch)


async def test_a_broker_that_answers_every_step_is_all_right(harness: ConnectionHarness) -> None:
    works, statuses = await harness.run()
    assert works
    assert set(statuses.values()) == {"ok"}


async def test_an_unknown_name_ends_the_check(harness: ConnectionHarness) -> None:
    harness.addresses = socket.gaierror(-2, "Name or service not known")
    assert await harness.run() == (False, {"name": "failed"})


async def test_a_refused_connection_is_a_failure_but_for_the_embedded_broker(
    harness: ConnectionHarness,
) -> None:
    harness.tcp = ConnectionRefusedError()
    works, statuses = await harness.run()
    assert (works, statuses["tcp"]) == (False, "failed")
    works, statuses = await harness.run(url=("embedded",))
    assert (works, statuses["tcp"]) == (False, "not_known")


@pytest.mark.parametrize(
    ("addresses", "url", "warned"),
    [
        (("192.168.1.10",), "mqtt://broker.lan", False),
        (("93.184.216.34",), "mqtt://broker.lan", True),
        (("192.168.1.10", "93.184.216.34"), "mqtt://broker.lan", True),
        (("93.184.216.34",), "mqtts://broker.lan", False),
    ],
)
async def test_a_password_over_the_internet_without_tls_is_warned_of(
    harness: ConnectionHarness, addresses: tuple[str, ...], url: str, warned: bool
) -> None:
    harness.addresses = addresses
    _, statuses = await harness.run(url=(url,))
    assert (statuses.get("tls") == "warning") is warned


@pytest.mark.parametrize(
    ("days", "status", "works"),
    [(365, "ok", True), (10, "warning", True), (-1, "failed", False)],
)
async def test_a_certificate_is_warned_of_before_it_expires_and_refused_afterwards(
    harness: ConnectionHarness, days: int, status: str, works: bool
) -> None:
    harness.certificate = Certificate(names=("broker.lan",), not_before=0, not_after=time.time() + days * DAY)
    connected, statuses = await harness.run(url=("mqtts://broker.lan",))
    assert (connected, statuses["dates"]) == (works, status)


async def test_a_certificate_of_another_host_or_an_unknown_authority_ends_the_check(
    harness: ConnectionHarness,
) -> None:
    harness.untrusted = (18, "self-signed certificate")
    works, statuses = await harness.run(url=("mqtts://broker.lan",))
    assert (works, statuses["authority"], "login" in statuses) == (False, "failed", False)
    harness.untrusted = None
    works, statuses = await harness.run(url=("mqtts://other.lan",))
    assert (works, statuses["names"], "login" in statuses) == (False, "failed", False)


async def test_a_handshake_that_fails_says_why(
    harness: ConnectionHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")

    monkeypatch.setattr(broker_connection, "version_and_certificate", fail)
    works, statuses = await harness.run(url=("mqtts://broker.lan",))
    assert (works, statuses["tls"]) == (False, "failed")


@pytest.mark.parametrize(
    ("protocol", "works", "version"),
    [("auto", True, "warning"), ("5", False, "failed"), ("3.1.1", True, "warning")],
)
async def test_a_broker_without_mqtt_5_is_used_with_3_1_1_unless_the_settings_want_5(
    harness: ConnectionHarness, protocol: str, works: bool, version: str
) -> None:
    harness.logins["5"] = ProbeClosed("no", EndReason.VERSION, UNSUPPORTED_VERSION)
    connected, statuses = await harness.run(protocol=protocol)
    assert (connected, statuses["version"]) == (works, version)


async def test_refused_credentials_are_a_failure_of_the_login(harness: ConnectionHarness) -> None:
    harness.logins["5"] = ProbeClosed("no", EndReason.CREDENTIALS, BAD_CREDENTIALS)
    works, statuses = await harness.run(username="me")
    assert (works, statuses["login"]) == (False, "failed")


async def test_a_broker_with_qos_0_only_is_of_no_use(harness: ConnectionHarness) -> None:
    harness.logins["5"] = ConnackLimits(session_present=False, maximum_qos=0)
    works, statuses = await harness.run()
    assert (works, statuses["qos"]) == (False, "failed")


async def test_narrow_limits_are_warned_of(harness: ConnectionHarness) -> None:
    harness.logins["5"] = ConnackLimits(session_present=False, receive_maximum=1, packet_limit=1000)
    works, statuses = await harness.run()
    assert (works, statuses["in_flight"], statuses["packet"]) == (True, "warning", "warning")

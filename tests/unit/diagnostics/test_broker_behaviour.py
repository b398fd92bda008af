"""What the doctor concludes from the behaviour of a broker, which is scripted here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import pytest

from wx2mqtt.diagnostics import broker_behaviour
from wx2mqtt.diagnostics.broker_behaviour import SLOW_DELAY_SECONDS, UNUSUAL_LEVEL, BehaviourCheck
from wx2mqtt.diagnostics.broker_connection import ConnectedBroker
from wx2mqtt.diagnostics.broker_probe import NO_CODE, TIMED_OUT_CODE, ProbeAnswer, ProbeClosed
from wx2mqtt.diagnostics.check_report import CheckReport
from wx2mqtt.diagnostics.check_target import diagnostic_target
from wx2mqtt.mqtt.broker import Delivery, ProtocolVersion
from wx2mqtt.mqtt.paho_codec import ConnackLimits
from wx2mqtt.mqtt.reconnect import ConnectTarget, EndReason
from wx2mqtt.settings.schema import Settings

OK = ProbeAnswer(0, "", 0.01)
REFUSED = ProbeAnswer(0x87, "not authorized", 0.01)
TIMED_OUT = ProbeAnswer(TIMED_OUT_CODE, "does not answer", 5.0)

CHECKS = ("delay", "rewriting", "retained", "wildcard", "session")


class ScriptedBroker:
    """A broker that delivers what is published to it; its attributes make it misbehave."""

    def __init__(self) -> None:
        self.publish_answer = OK
        self.retain_answer = OK
        self.subscribe_answer = OK
        #: Makes another topic of one that is published; None drops the message.
        self.delivered_topic: Callable[[str], str | None] = lambda topic: topic
        self.keeps_retained = True
        self.matches_wildcards = True
        self.keeps_session = True
        self.keeps_messages = True
        self.session_expiry: int | None = None
        self.closes_at_publish = False
        self.retained: dict[str, bytes] = {}
        self.queued: list[str] = []

    def connection(self, options: Any, _target: object) -> ScriptedConnection:
        return ScriptedConnection(self, is_resumed=not options.clean)

    def client(self, _options: object, _target: object) -> ScriptedConnection:
        return ScriptedConnection(self, is_resumed=False, is_other=True)


class ScriptedConnection:
    """A `ProbeConnection` or `ProbeClient` with a `ScriptedBroker`."""

    def __init__(self, broker: ScriptedBroker, *, is_resumed: bool, is_other: bool = False) -> None:
        self._broker = broker
        self._is_other = is_other
        is_present = is_resumed and broker.keeps_session
        self.limits = ConnackLimits(session_present=is_present, session_expiry=broker.session_expiry)
        self.received: list[Delivery] = []
        if is_present and broker.keeps_messages:
            for topic in broker.queued:
                self._deliver(topic)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes nothing."""

    def _deliver(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> None:
        self.received.append(Delivery(topic=topic, payload=payload, mid=0, qos=0, dup=False, retain=retain))

    async def subscribe(self, topic_filter: str) -> ProbeAnswer:
        for topic, payload in self._broker.retained.items():
            is_wildcard = topic_filter.endswith("/+")
            if topic_filter == topic or (is_wildcard and self._broker.matches_wildcards):
                self._deliver(topic, payload, retain=True)
        return self._broker.subscribe_answer

    async def publish(self, topic: str, payload: bytes = b"", *, retain: bool = False) -> ProbeAnswer:
        broker = self._broker
        if broker.closes_at_publish:
            raise ProbeClosed("the broker closed the connection", EndReason.LOST, NO_CODE)
        if retain:
            if not payload:
                broker.retained.pop(topic, None)
            elif broker.keeps_retained and broker.retain_answer.is_success:
                broker.retained[topic] = payload
            return broker.retain_answer
        if self._is_other:
            broker.queued.append(topic)
        elif (delivered := broker.delivered_topic(topic)) is not None and broker.publish_answer.is_success:
            self._deliver(delivered)
        return broker.publish_answer

    async def wait_for_message(self, matches: Callable[[Delivery], bool], since: int = 0) -> Delivery | None:
        return next((packet for packet in self.received[since:] if matches(packet)), None)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> ScriptedBroker:
    broker = ScriptedBroker()
    monkeypatch.setattr(broker_behaviour, "ProbeConnection", broker.connection)
    monkeypatch.setattr(broker_behaviour, "ProbeClient", broker.client)
    return broker


async def run(limits: ConnackLimits | None = None) -> tuple[dict[str, str], CheckReport, bool]:
    """Returns the status of each check, the report, and whether the broker answers nothing."""
    target = diagnostic_target(Settings(), {})
    connect_target = ConnectTarget(address=target.addresses[0], protocol=ProtocolVersion.MQTT_5)
    connected = ConnectedBroker(
        connect_target=connect_target, limits=limits or ConnackLimits(session_present=False)
    )
    report = CheckReport("en")
    check = BehaviourCheck(target, connected, report)
    await check.run_checks()
    statuses = {result.check: str(result.status) for result in report.results}
    return statuses, report, check.is_unresponsive


async def test_a_good_broker_passes_every_check_and_keeps_nothing(broker: ScriptedBroker) -> None:
    statuses, _, is_unresponsive = await run()
    assert statuses == dict.fromkeys(CHECKS, "ok")
    assert not is_unresponsive
    assert broker.retained == {}


async def test_a_broker_that_answers_nothing_is_not_asked_any_further(broker: ScriptedBroker) -> None:
    broker.subscribe_answer = TIMED_OUT
    statuses, _, is_unresponsive = await run()
    assert statuses == {"delay": "failed", "session": "not_known"}
    assert is_unresponsive


async def test_a_slow_answer_is_a_warning(broker: ScriptedBroker) -> None:
    broker.publish_answer = replace(OK, seconds=SLOW_DELAY_SECONDS + 0.1)
    statuses, _, _ = await run()
    assert statuses["delay"] == "warning"


async def test_where_own_messages_do_not_come_back_the_rest_is_not_known(broker: ScriptedBroker) -> None:
    broker.delivered_topic = lambda _topic: None
    statuses, _, _ = await run()
    assert {statuses[check] for check in ("rewriting", "retained", "wildcard")} == {"not_known"}
    assert statuses["session"] == "ok"


async def test_a_topic_that_the_broker_changes_or_drops_is_a_warning(broker: ScriptedBroker) -> None:
    broker.delivered_topic = lambda topic: topic.replace(UNUSUAL_LEVEL, "a/b#c")
    statuses, report, _ = await run()
    assert statuses["rewriting"] == "warning"
    assert any("a/b#c" in result.finding for result in report.results)
    broker.delivered_topic = lambda topic: None if topic.endswith(UNUSUAL_LEVEL) else topic
    statuses, _, _ = await run()
    assert statuses["rewriting"] == "warning"


async def test_a_broker_without_retained_messages_fails(broker: ScriptedBroker) -> None:
    statuses, _, _ = await run(ConnackLimits(session_present=False, retain_available=False))
    assert statuses["retained"] == "failed"
    broker.keeps_retained = False
    statuses, _, _ = await run()
    assert statuses["retained"] == "failed"
    broker.retain_answer = REFUSED
    statuses, _, _ = await run()
    assert statuses["retained"] == "failed"


async def test_retained_messages_that_a_wildcard_does_not_bring_are_a_warning(broker: ScriptedBroker) -> None:
    broker.matches_wildcards = False
    statuses, _, _ = await run()
    assert (statuses["retained"], statuses["wildcard"]) == ("ok", "warning")


@pytest.mark.parametrize(
    ("misbehaviour", "status"),
    [
        ({"keeps_session": False}, "failed"),
        ({"keeps_messages": False}, "failed"),
        ({"session_expiry": 3600}, "warning"),
        ({"session_expiry": 604_800}, "ok"),
    ],
)
async def test_a_session_must_be_kept_for_a_day_with_its_messages(
    broker: ScriptedBroker, misbehaviour: dict[str, Any], status: str
) -> None:
    for name, value in misbehaviour.items():
        setattr(broker, name, value)
    statuses, _, _ = await run()
    assert statuses["session"] == status


async def test_a_connection_that_ends_fails_the_check_that_was_under_way(broker: ScriptedBroker) -> None:
    broker.closes_at_publish = True
    statuses, _, _ = await run()
    assert statuses["delay"] == "failed"


async def test_a_retained_message_that_cannot_be_cleared_is_reported(
    broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_arguments: object, **_options: object) -> ProbeAnswer:
        return REFUSED

    class RefusingClient(ScriptedConnection):
        publish = refuse

    monkeypatch.setattr(
        broker_behaviour,
        "ProbeClient",
        lambda _options, _target: RefusingClient(broker, is_resumed=False, is_other=True),
    )
    _, report, _ = await run()
    warnings = [result for result in report.results if result.status == "warning"]
    assert [warning.check for warning in warnings] == ["retained"]
    assert warnings[0].remedy

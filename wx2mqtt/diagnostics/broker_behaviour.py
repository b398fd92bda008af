"""Tests how a broker behaves: delay, unchanged topics, retained messages, kept sessions.

Uses only topics that no other client has, below `in/`, and clears what it retains there.
"""

from __future__ import annotations

from dataclasses import replace

from wx2mqtt.diagnostics.broker_connection import ConnectedBroker
from wx2mqtt.diagnostics.broker_probe import ProbeClient, ProbeClosed, ProbeConnection
from wx2mqtt.diagnostics.check_report import CheckReport
from wx2mqtt.diagnostics.check_target import DiagnosticTarget
from wx2mqtt.mqtt.options import SECONDS_PER_WEEK, MqttOptions

# A longer delay gives a warning.
SLOW_DELAY_SECONDS = 0.5
SECONDS_PER_DAY = 86400

# Payload of probes that need one: subscribers of all topics expect JSON there.
PROBE_PAYLOAD = b"{}"

# A topic level that brokers which map topics to routing keys change (mqtt 5.2.4).
UNUSUAL_LEVEL = "a.b*c"


class BehaviourCheck:
    """Checks one broker with the topics of the first account.

    `is_unresponsive` is set if the broker answers nothing at all; then further checks are useless.
    """

    def __init__(self, target: DiagnosticTarget, broker: ConnectedBroker, report: CheckReport) -> None:
        self._target = target
        self._broker = broker
        self._report = report
        self._subject = broker.connect_target.address.endpoint
        self._parent_topic = target.accounts[0].topics.message("").rstrip("/")
        self._current_check = "delay"
        self.is_unresponsive = False

    async def run_checks(self) -> None:
        """Runs all checks; those that must receive what they publish are 'not known' without that right."""
        receives = False
        try:
            receives = await self._check_with_subscription()
        except ProbeClosed as closed:
            self._report_lost(closed)
        self._current_check = "session"
        if self.is_unresponsive:
            self._report.not_known("session", self._subject, "broker_stopped_answering")
            return
        try:
            await self._check_session(receives=receives)
        except ProbeClosed as closed:
            self._report_lost(closed)

    def _report_lost(self, closed: ProbeClosed) -> None:
        self._report.failed(self._current_check, self._subject, "connection_ended", why=str(closed))

    def _probe_topic(self, *levels: str) -> str:
        return self._target.probe_topic(self._parent_topic, *levels)

    async def _check_with_subscription(self) -> bool:
        """Runs the checks that publish and receive; returns whether published messages come back."""
        async with ProbeConnection(self._client_options(), self._broker.connect_target) as connection:
            receives = await self._check_delay(connection)
            if self.is_unresponsive:
                return False
            if not receives:
                topic = self._parent_topic
                for check in ("rewriting", "retained", "wildcard"):
                    self._report.not_known(check, self._subject, "probe_not_returned", topic=topic)
                return False
            self._current_check = "rewriting"
            await self._check_rewriting(connection)
            self._current_check = "retained"
            await self._check_retained(connection)
            return True

    def _client_options(
        self, *, is_second: bool = False, clean: bool = True, session_seconds: int = 0
    ) -> MqttOptions:
        """Returns options for one of two clients; the broker keeps its session for `session_seconds`."""
        options = self._target.options
        client_id = f"{options.client_id}-2" if is_second else options.client_id
        return replace(options, client_id=client_id, clean=clean, session_expiry=session_seconds)

    async def _check_delay(self, connection: ProbeConnection) -> bool:
        """Reports the delay of a PUBACK; returns whether the message comes back."""
        topic = self._probe_topic()
        suback = await connection.subscribe(f"{topic}/#")  # this matches `topic` itself, too
        self.is_unresponsive = suback.timed_out
        answer = suback if self.is_unresponsive else await connection.publish(topic)
        facts = {"ms": max(1, round(answer.seconds * 1000))}
        if answer.timed_out:
            self._report.failed("delay", self._subject, "delay_no_puback", "delay_cure")
        elif answer.seconds > SLOW_DELAY_SECONDS:
            self._report.warning("delay", self._subject, "delay_slow", "delay_cure", **facts)
        else:
            self._report.ok("delay", self._subject, "delay_ok", **facts)
        return answer.is_success and await _receives(connection, topic)

    async def _check_rewriting(self, connection: ProbeConnection) -> None:
        topic, since = self._probe_topic(UNUSUAL_LEVEL), len(connection.received)
        await connection.publish(topic)
        returned = await connection.wait_for_message(lambda _: True, since)
        facts = {"sent": topic, "came": "" if returned is None else returned.topic}
        if returned is None:
            self._report.warning("rewriting", self._subject, "rewriting_lost", "rewriting_cure", **facts)
        elif returned.topic != topic:
            self._report.warning(
                "rewriting", self._subject, "rewriting_changed_topic", "rewriting_cure", **facts
            )
        else:
            self._report.ok("rewriting", self._subject, "rewriting_ok")

    # retained messages

    async def _check_retained(self, connection: ProbeConnection) -> None:
        if not self._broker.limits.retain_available:
            self._report.failed("retained", self._subject, "retained_unsupported", "retained_cure")
            return
        is_refused = False
        try:
            answer = await connection.publish(self._probe_topic("retained"), PROBE_PAYLOAD, retain=True)
            is_refused = not answer.is_success and not answer.timed_out
            if answer.is_success:
                await self._check_retained_delivery(connection)
            else:
                self._report.failed(
                    "retained", self._subject, "retained_rejected", "retained_cure", why=answer.reason
                )
        finally:
            if not is_refused:
                await self._clear_retained()

    async def _check_retained_delivery(self, connection: ProbeConnection) -> None:
        if not await self._is_delivered(connection, self._probe_topic("retained")):
            self._report.failed("retained", self._subject, "retained_lost", "retained_cure")
            return
        self._report.ok("retained", self._subject, "retained_ok")
        if await self._is_delivered(connection, self._probe_topic("+")):
            self._report.ok("wildcard", self._subject, "wildcard_ok")
        else:
            self._report.warning("wildcard", self._subject, "wildcard_lost", "wildcard_cure")

    async def _is_delivered(self, connection: ProbeConnection, topic_filter: str) -> bool:
        """Returns whether a new subscription brings the retained message."""
        topic, since = self._probe_topic("retained"), len(connection.received)
        await connection.subscribe(topic_filter)
        copy = await connection.wait_for_message(
            lambda packet: packet.retain and packet.topic == topic and bool(packet.payload), since
        )
        return copy is not None

    async def _clear_retained(self) -> None:
        """Clears the retained message, on a connection of its own: the first may be closed."""
        topic = self._probe_topic("retained")
        async with ProbeClient(self._client_options(is_second=True), self._broker.connect_target) as client:
            answer = await client.publish(topic, b"", retain=True)
        if not answer.is_success:
            self._report.warning("retained", self._subject, "retained_not_cleared", topic=topic)

    # the session

    async def _check_session(self, *, receives: bool) -> None:
        """Disconnects and resumes a session; a message that was published meanwhile must be there."""
        broker, topic = self._broker.connect_target, self._probe_topic("session")
        is_mqtt_5 = broker.is_mqtt_5
        options = self._client_options(clean=is_mqtt_5, session_seconds=SECONDS_PER_WEEK)
        async with ProbeConnection(options, broker) as first:
            await first.subscribe(topic)
            session_expiry = first.limits.session_expiry
        try:
            if receives:
                async with ProbeClient(self._client_options(is_second=True), broker) as client:
                    await client.publish(topic, PROBE_PAYLOAD)
            async with ProbeConnection(self._client_options(clean=False), broker) as resumed:
                is_present = resumed.limits.session_present
                is_received = receives and await _receives(resumed, topic)
        finally:  # replaces the kept session with a clean one, which ends with its connection
            async with ProbeConnection(self._client_options(), broker):
                pass
        report, subject = self._report, self._subject
        if not is_present:
            report.failed("session", subject, "session_dropped", "session_cure")
        elif receives and not is_received:
            report.failed("session", subject, "session_without_messages", "session_cure")
        elif session_expiry is not None and session_expiry < SECONDS_PER_DAY:
            minutes = session_expiry // 60
            report.warning("session", subject, "session_short", minutes=minutes)
        elif receives:
            report.ok("session", subject, "session_ok")
        else:
            report.ok("session", subject, "session_kept_untested")


async def _receives(connection: ProbeConnection, topic: str) -> bool:
    return await connection.wait_for_message(lambda packet: packet.topic == topic) is not None

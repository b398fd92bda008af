"""What a broker keeps and how it hands it over: delay, topics as they are, retained messages, the session.

All of it on topics of the doctor's own, below `in/`, which are cleaned up.
"""

from __future__ import annotations

from dataclasses import replace

from wx2mqtt.diagnostics.connection import ConnectedBroker
from wx2mqtt.diagnostics.probe import ProbeClient, ProbeClosed, ProbeConnection
from wx2mqtt.diagnostics.report import CheckReport
from wx2mqtt.diagnostics.target import DiagnosticTarget
from wx2mqtt.mqtt.options import SECONDS_PER_WEEK, MqttOptions
from wx2mqtt.mqtt.packets import PublishPacket

MESSAGE_TIMEOUT_SECONDS = 2.0
"""Seconds for a message to come back to us."""
SLOW_DELAY_SECONDS = 0.5
"""Seconds for it, above which it is told."""
SECONDS_PER_DAY = 86400
PROBE_PAYLOAD = b"{}"
"""Of what is published with a payload: who listens to everything expects JSON there."""
UNUSUAL_LEVEL = "a.b*c"
"""A level that brokers with routing keys for topics change (mqtt 5.2.4)."""


class BehaviourCheck:
    """Examines the first broker that let us in, by the topics of the first account.

    Afterwards `silent` says whether it answers nothing at all: then nobody need ask on.
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
        """All rows; those that need to hear what we publish are 'not known' where we may not."""
        hears = False
        try:
            hears = await self._check_with_subscription()
        except ProbeClosed as gone:
            self._report.failed(self._current_check, self._subject, "lost", "lost_cure", why=str(gone))
        self._current_check = "session"
        if self.is_unresponsive:
            self._report.not_known("session", self._subject, "given_up", "given_up_cure")
            return
        try:
            await self._check_session(receives=hears)
        except ProbeClosed as gone:
            self._report.failed(self._current_check, self._subject, "lost", "lost_cure", why=str(gone))

    def _probe_topic(self, *levels: str) -> str:
        return self._target.probe_topic(self._parent_topic, *levels)

    async def _check_with_subscription(self) -> bool:
        """Whether what we publish below `in/` comes back, and what follows from that."""
        async with ProbeConnection(self._client_options(), self._broker.connect_target) as enquiry:
            hears = await self._check_delay(enquiry)
            if not hears and self.is_unresponsive:
                return False
            if not hears:
                for check in ("rewriting", "retained", "wildcard"):
                    self._report.not_known(
                        check, self._subject, "deaf", "deaf_cure", topic=self._parent_topic
                    )
                return False
            self._current_check = "rewriting"
            await self._check_rewriting(enquiry)
            self._current_check = "retained"
            await self._check_retained(enquiry)
            return True

    def _client_options(
        self, *, is_second: bool = False, clean: bool = True, session_seconds: int = 0
    ) -> MqttOptions:
        """A client of the doctor's; `keeps` is for how many seconds the broker is to keep its session."""
        options = self._target.options
        name = f"{options.client_id}-2" if is_second else options.client_id
        return replace(options, client_id=name, clean=clean, session_expiry=session_seconds)

    async def _check_delay(self, connection: ProbeConnection) -> bool:
        topic = self._probe_topic()
        subscribed = await connection.subscribe(f"{topic}/#")  # it matches the level above, too
        self.is_unresponsive = subscribed.timed_out
        answer = subscribed if self.is_unresponsive else await connection.publish(topic)
        facts = {"ms": max(1, round(answer.seconds * 1000))}
        if answer.timed_out:
            self._report.failed("delay", self._subject, "delay_none", "delay_cure")
        elif answer.seconds > SLOW_DELAY_SECONDS:
            self._report.warning("delay", self._subject, "delay_slow", "delay_cure", **facts)
        else:
            self._report.ok("delay", self._subject, "delay_ok", **facts)
        return (
            answer.is_success
            and await connection.wait_for_message(lambda one: one.topic == topic, MESSAGE_TIMEOUT_SECONDS)
            is not None
        )

    async def _check_rewriting(self, connection: ProbeConnection) -> None:
        topic, since = self._probe_topic(UNUSUAL_LEVEL), len(connection.received)
        await connection.publish(topic)
        back = await connection.wait_for_message(lambda _: True, MESSAGE_TIMEOUT_SECONDS, since)
        facts = {"sent": topic, "came": "" if back is None else back.topic or ""}
        if back is None:
            self._report.warning("rewriting", self._subject, "rewriting_lost", "rewriting_cure", **facts)
        elif back.topic != topic:
            self._report.warning("rewriting", self._subject, "rewriting_other", "rewriting_cure", **facts)
        else:
            self._report.ok("rewriting", self._subject, "rewriting_ok")

    # retained

    async def _check_retained(self, connection: ProbeConnection) -> None:
        if not self._broker.limits.retain_available:
            self._report.failed("retained", self._subject, "retained_refused", "retained_cure")
            return
        refused = False
        try:
            answer = await connection.publish(self._probe_topic("retained"), PROBE_PAYLOAD, retain=True)
            refused = not answer.is_success and not answer.timed_out
            if answer.is_success:
                await self._check_retained_delivery(connection)
            else:
                self._report.failed(
                    "retained", self._subject, "retained_not", "retained_cure", why=answer.reason
                )
        finally:
            if not refused:
                await self._clean_up()

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
        """Whether a new subscription brings what is retained."""
        kept, since = self._probe_topic("retained"), len(connection.received)
        await connection.subscribe(topic_filter)

        def fits(one: PublishPacket) -> bool:
            return one.retain and one.topic == kept and bool(one.payload)

        return await connection.wait_for_message(fits, MESSAGE_TIMEOUT_SECONDS, since) is not None

    async def _clean_up(self) -> None:
        """What is retained goes, on a connection of its own: the first may be gone."""
        topic = self._probe_topic("retained")
        async with ProbeClient(self._client_options(is_second=True), self._broker.connect_target) as line:
            answer = await line.publish(topic, b"", retain=True)
        if not answer.is_success:
            self._report.warning("retained", self._subject, "left_over", "left_over_cure", topic=topic)

    # the session

    async def _check_session(self, *, receives: bool) -> None:
        """A session that is left and taken up again; what was published meanwhile must be there."""
        attempt, topic = self._broker.connect_target, self._probe_topic("session")
        v5 = attempt.protocol == "5"
        async with ProbeConnection(
            self._client_options(clean=v5, session_seconds=SECONDS_PER_WEEK), attempt
        ) as enquiry:
            await enquiry.subscribe(topic)
            allowed = enquiry.limits.session_expiry
        try:
            if receives:
                async with ProbeClient(self._client_options(is_second=True), attempt) as line:
                    await line.publish(topic, PROBE_PAYLOAD)
            async with ProbeConnection(self._client_options(clean=False), attempt) as again:
                present = again.limits.session_present
                came = (
                    receives
                    and await again.wait_for_message(lambda one: one.topic == topic, MESSAGE_TIMEOUT_SECONDS)
                    is not None
                )
        finally:  # a clean session that ends with its connection takes the place of the one that was kept
            async with ProbeConnection(self._client_options(), attempt):
                pass
        self._report_session(
            session_present=present, message_received=came, receives=receives, session_expiry=allowed
        )

    def _report_session(
        self, *, session_present: bool, message_received: bool, receives: bool, session_expiry: int | None
    ) -> None:
        chart, at = self._report, self._subject
        if not session_present:
            chart.failed("session", at, "session_lost", "session_cure")
        elif receives and not message_received:
            chart.failed("session", at, "session_empty", "session_cure")
        elif session_expiry is not None and session_expiry < SECONDS_PER_DAY:
            chart.warning("session", at, "session_short", "session_short_cure", minutes=session_expiry // 60)
        elif receives:
            chart.ok("session", at, "session_ok")
        else:
            chart.ok("session", at, "session_present")

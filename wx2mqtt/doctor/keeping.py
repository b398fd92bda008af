"""What a broker keeps and how it hands it over: delay, topics as they are, retained messages, the session.

All of it on topics of the doctor's own, below `in/`, which are cleaned up.
"""

from __future__ import annotations

from dataclasses import replace

from wx2mqtt.doctor.chart import Chart
from wx2mqtt.doctor.line import Line
from wx2mqtt.doctor.patient import Patient
from wx2mqtt.doctor.way import Arrived
from wx2mqtt.mqtt.enquiry import Enquiry, Gone
from wx2mqtt.mqtt.options import WEEK, Options
from wx2mqtt.mqtt.packets import Incoming

PATIENCE = 2.0
"""Seconds for a message to come back to us."""
SLOW = 0.5
"""Seconds for it, above which it is told."""
DAY = 86400
PAYLOAD = b"{}"
"""Of what is published with a payload: who listens to everything expects JSON there."""
STRANGE = "a.b*c"
"""A level that brokers with routing keys for topics change (broker-clusters)."""


class Keeping:
    """Examines the first broker that let us in, by the topics of the first account.

    Afterwards `silent` says whether it answers nothing at all: then nobody need ask on.
    """

    def __init__(self, patient: Patient, arrived: Arrived, chart: Chart) -> None:
        self._patient = patient
        self._arrived = arrived
        self._chart = chart
        self._subject = arrived.attempt.address.endpoint
        self._above = patient.accounts[0].topics.message("").rstrip("/")
        self._looking_at = "delay"
        self.silent = False

    async def examine(self) -> None:
        """All rows; those that need to hear what we publish are 'not known' where we may not."""
        hears = False
        try:
            hears = await self._by_hearing()
        except Gone as gone:
            self._chart.failed(self._looking_at, self._subject, "lost", "lost_cure", why=str(gone))
        self._looking_at = "session"
        if self.silent:
            self._chart.not_known("session", self._subject, "given_up", "given_up_cure")
            return
        try:
            await self._session(hears=hears)
        except Gone as gone:
            self._chart.failed(self._looking_at, self._subject, "lost", "lost_cure", why=str(gone))

    def _topic(self, *below: str) -> str:
        return self._patient.probe(self._above, *below)

    async def _by_hearing(self) -> bool:
        """Whether what we publish below `in/` comes back, and what follows from that."""
        async with Enquiry(self._client(), self._arrived.attempt) as enquiry:
            hears = await self._delay(enquiry)
            if not hears and self.silent:
                return False
            if not hears:
                for check in ("rewriting", "retained", "wildcard"):
                    self._chart.not_known(check, self._subject, "deaf", "deaf_cure", topic=self._above)
                return False
            self._looking_at = "rewriting"
            await self._rewriting(enquiry)
            self._looking_at = "retained"
            await self._retained(enquiry)
            return True

    def _client(self, *, second: bool = False, clean: bool = True, keeps: int = 0) -> Options:
        """A client of the doctor's; `keeps` is for how many seconds the broker is to keep its session."""
        options = self._patient.options
        name = f"{options.client_id}-2" if second else options.client_id
        return replace(options, client_id=name, clean=clean, session_expiry=keeps)

    async def _delay(self, enquiry: Enquiry) -> bool:
        topic = self._topic()
        subscribed = await enquiry.subscribe(f"{topic}/#")  # it matches the level above, too
        self.silent = subscribed.silent
        answer = subscribed if self.silent else await enquiry.publish(topic)
        facts = {"ms": max(1, round(answer.seconds * 1000))}
        if answer.silent:
            self._chart.failed("delay", self._subject, "delay_none", "delay_cure")
        elif answer.seconds > SLOW:
            self._chart.warning("delay", self._subject, "delay_slow", "delay_cure", **facts)
        else:
            self._chart.ok("delay", self._subject, "delay_ok", **facts)
        return answer.yes and await enquiry.hear(lambda one: one.topic == topic, PATIENCE) is not None

    async def _rewriting(self, enquiry: Enquiry) -> None:
        topic, since = self._topic(STRANGE), len(enquiry.heard)
        await enquiry.publish(topic)
        back = await enquiry.hear(lambda _: True, PATIENCE, since)
        facts = {"sent": topic, "came": "" if back is None else back.topic or ""}
        if back is None:
            self._chart.warning("rewriting", self._subject, "rewriting_lost", "rewriting_cure", **facts)
        elif back.topic != topic:
            self._chart.warning("rewriting", self._subject, "rewriting_other", "rewriting_cure", **facts)
        else:
            self._chart.ok("rewriting", self._subject, "rewriting_ok")

    # retained

    async def _retained(self, enquiry: Enquiry) -> None:
        if not self._arrived.grant.retain_available:
            self._chart.failed("retained", self._subject, "retained_refused", "retained_cure")
            return
        refused = False
        try:
            answer = await enquiry.publish(self._topic("retained"), PAYLOAD, retain=True)
            refused = not answer.yes and not answer.silent
            if answer.yes:
                await self._handed_over(enquiry)
            else:
                self._chart.failed("retained", self._subject, "retained_not", "retained_cure", why=answer.why)
        finally:
            if not refused:
                await self._clean_up()

    async def _handed_over(self, enquiry: Enquiry) -> None:
        if not await self._is_delivered(enquiry, self._topic("retained")):
            self._chart.failed("retained", self._subject, "retained_lost", "retained_cure")
            return
        self._chart.ok("retained", self._subject, "retained_ok")
        if await self._is_delivered(enquiry, self._topic("+")):
            self._chart.ok("wildcard", self._subject, "wildcard_ok")
        else:
            self._chart.warning("wildcard", self._subject, "wildcard_lost", "wildcard_cure")

    async def _is_delivered(self, enquiry: Enquiry, topic_filter: str) -> bool:
        """Whether a new subscription brings what is retained."""
        kept, since = self._topic("retained"), len(enquiry.heard)
        await enquiry.subscribe(topic_filter)

        def fits(one: Incoming) -> bool:
            return one.retain and one.topic == kept and bool(one.payload)

        return await enquiry.hear(fits, PATIENCE, since) is not None

    async def _clean_up(self) -> None:
        """What is retained goes, on a connection of its own: the first may be gone."""
        topic = self._topic("retained")
        async with Line(self._client(second=True), self._arrived.attempt) as line:
            answer = await line.publish(topic, b"", retain=True)
        if not answer.yes:
            self._chart.warning("retained", self._subject, "left_over", "left_over_cure", topic=topic)

    # the session

    async def _session(self, *, hears: bool) -> None:
        """A session that is left and taken up again; what was published meanwhile must be there."""
        attempt, topic = self._arrived.attempt, self._topic("session")
        v5 = attempt.protocol == "5"
        async with Enquiry(self._client(clean=v5, keeps=WEEK), attempt) as enquiry:
            await enquiry.subscribe(topic)
            allowed = enquiry.grant.session_expiry
        try:
            if hears:
                async with Line(self._client(second=True), attempt) as line:
                    await line.publish(topic, PAYLOAD)
            async with Enquiry(self._client(clean=False), attempt) as again:
                present = again.grant.session_present
                came = hears and await again.hear(lambda one: one.topic == topic, PATIENCE) is not None
        finally:  # a clean session that ends with its connection takes the place of the one that was kept
            async with Enquiry(self._client(), attempt):
                pass
        self._kept(present=present, came=came, hears=hears, allowed=allowed)

    def _kept(self, *, present: bool, came: bool, hears: bool, allowed: int | None) -> None:
        chart, at = self._chart, self._subject
        if not present:
            chart.failed("session", at, "session_lost", "session_cure")
        elif hears and not came:
            chart.failed("session", at, "session_empty", "session_cure")
        elif allowed is not None and allowed < DAY:
            chart.warning("session", at, "session_short", "session_short_cure", minutes=allowed // 60)
        elif hears:
            chart.ok("session", at, "session_ok")
        else:
            chart.ok("session", at, "session_present")

"""What the user may publish and receive, class of topics by class, by really trying.

One empty publish each, not retained, at a level that is nobody's; never on `out/` nor on a topic that the
bridge retains. What the running bridge has done already needs no trying.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wx2mqtt.doctor.chart import Chart
from wx2mqtt.doctor.line import Line
from wx2mqtt.doctor.patient import Account, Patient
from wx2mqtt.doctor.standing import Standing
from wx2mqtt.mqtt.discovery import birth_topic, config_topic
from wx2mqtt.mqtt.enquiry import Answer
from wx2mqtt.mqtt.topics import TABLE

BACK = 2.0
"""Seconds for a probe to come back to us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Class:
    """Topics with one rule: `above` what stands the probe, `rule` as a broker's list of rights would say it.

    `exact` are the topics themselves where there are no levels below: a rule may name just them.
    """

    above: str
    rule: str
    exact: tuple[str, ...] = ()


def published(account: Account) -> Iterator[Class]:
    """What the bridge publishes, from the table of topics."""
    exact: dict[str, list[str]] = {}
    for topic in TABLE:
        above, _, last = topic.pattern.rpartition("/")
        if not topic.by_bridge or topic.pattern in account.unused:
            continue
        if last.startswith("<"):
            whole = f"{account.topics.base}/{above}"
            yield Class(above=whole, rule=f"{whole}/#")
        else:
            exact.setdefault(above or last, []).append(f"{account.topics.base}/{topic.pattern}")
    for above, topics in exact.items():
        whole = f"{account.topics.base}/{above}"
        rule = topics[0] if len(topics) == 1 else f"{whole}/#"
        yield Class(above=whole, rule=rule, exact=tuple(topics))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A class and what became of its probe; no answer where it was not tried."""

    of: Class
    topic: str
    answer: Answer | None


class Rights:
    """Tries the rights of one account. `standing` is what its running bridge says, None without one."""

    def __init__(
        self, patient: Patient, account: Account, standing: Standing | None, line: Line, chart: Chart
    ) -> None:
        self._patient = patient
        self._account = account
        self._standing = standing
        self._line = line
        self._chart = chart

    async def examine(self) -> None:
        """A row for each class that is published, and one for each filter that is subscribed."""
        tried = [await self._try(one) for one in published(self._account)]
        back = await self._come_back(tried)
        for one in tried:
            self._tell(one, back=one.topic in back)
        everything = all(one.topic in back for one in tried)
        judges = await self._judges_subscriptions()
        for topic_filter in self._account.topics.subscriptions:
            await self._receive(topic_filter, sure=everything or judges)
        if self._patient.discovery:
            await self._home_assistant(judges=judges)

    async def _home_assistant(self, *, judges: bool) -> None:
        tried = await self._try(discovery(self._patient, self._account))
        back = await self._come_back([tried])
        self._tell(tried, back=bool(back))
        await self._receive(birth_topic(self._patient.discovery), sure=bool(back) or judges)

    # publishing

    async def _try(self, one: Class) -> Tried:
        """One publish, after a subscription to just that topic: what comes back was allowed."""
        topic, answer = self._patient.probe(one.above), None
        if not self._line.given_up:
            await self._line.subscribe(topic)
            answer = await self._line.publish(topic)
        return Tried(of=one, topic=topic, answer=answer)

    async def _come_back(self, tried: Sequence[Tried]) -> set[str]:
        awaited = [one.topic for one in tried if one.answer is not None and one.answer.yes]
        return await self._line.hear(awaited, BACK)

    def _tell(self, tried: Tried, *, back: bool) -> None:
        chart, one, answer = self._chart, tried.of, tried.answer
        if back:
            chart.ok("publish", one.rule, "publish_back")
        elif one.exact and self._known_by_bridge(one):
            return
        elif answer is None:
            chart.not_known("publish", one.rule, "given_up", "given_up_cure")
        elif not answer.yes:
            self._refused(one, answer)
        elif self._line.speaks_5:
            chart.ok("publish", one.rule, "publish_ok")
        else:  # 3.1.1 never says no
            chart.not_known("publish", one.rule, "publish_not_told", "publish_not_told_cure", rule=one.rule)

    def _known_by_bridge(self, one: Class) -> bool:
        """The bridge says these again at every connection: it knows which of them the broker refused."""
        standing = self._standing
        if standing is None or not standing.connected or not self._line.speaks_5:
            return False
        refused = sorted(standing.refused.intersection(one.exact))
        for topic in refused:
            self._chart.failed("publish", topic, "publish_no_bridge", "publish_cure", rule=topic)
        if not refused:
            self._chart.ok("publish", one.rule, "publish_bridge")
        return True

    def _refused(self, one: Class, answer: Answer) -> None:
        facts = {"why": answer.why, "rule": one.rule}
        if answer.silent:
            self._chart.failed("publish", one.rule, "no_answer", "no_answer_cure", **facts)
        elif one.exact:  # the probe lies below: a rule for the topic itself would not let it pass
            self._chart.not_known("publish", one.rule, "publish_below", "publish_below_cure", **facts)
        else:
            self._chart.failed("publish", one.rule, "publish_no", "publish_cure", **facts)

    # receiving

    async def _judges_subscriptions(self) -> bool:
        """Whether the broker refuses subscriptions at all: mosquitto grants each and filters afterwards.

        Asked for what only somebody without any limits may receive.
        """
        if self._line.given_up:
            return False
        answer = await self._line.subscribe(self._patient.probe(self._patient.nonce))
        return answer.code >= 0 and not answer.yes

    async def _receive(self, topic_filter: str, *, sure: bool) -> None:
        """`sure`: this broker would have said no, or hands over everything else as well."""
        chart, subject = self._chart, topic_filter
        if self._line.given_up:
            chart.not_known("receive", subject, "given_up", "given_up_cure")
            return
        answer = await self._line.subscribe(topic_filter)
        if answer.silent:
            chart.failed("receive", subject, "no_answer", "no_answer_cure")
        elif not answer.yes:
            chart.failed("receive", subject, "receive_no", "receive_cure", why=answer.why, rule=subject)
        elif self._commands_came(topic_filter):
            chart.ok("receive", subject, "receive_bridge")
        elif sure:
            chart.ok("receive", subject, "receive_ok")
        else:
            chart.not_known("receive", subject, "receive_filtered", "receive_filtered_cure", rule=subject)

    def _commands_came(self, topic_filter: str) -> bool:
        standing = self._standing
        is_out = topic_filter == self._account.topics.out("#")
        return is_out and standing is not None and standing.commands > 0


def discovery(patient: Patient, account: Account) -> Class:
    """What is announced to Home Assistant."""
    topic = config_topic(patient.discovery, account.name)
    return Class(above=patient.discovery, rule=topic, exact=(topic,))

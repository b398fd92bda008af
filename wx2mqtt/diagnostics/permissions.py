"""What the user may publish and receive, class of topics by class, by really trying.

One empty publish each, not retained, at a level that is nobody's; never on `out/` nor on a topic that the
bridge retains. What the running bridge has done already needs no trying.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wx2mqtt.diagnostics.probe import ProbeAnswer, ProbeClient
from wx2mqtt.diagnostics.report import CheckReport
from wx2mqtt.diagnostics.target import AccountTarget, DiagnosticTarget, RunningBridgeStatus
from wx2mqtt.mqtt.discovery import birth_topic, config_topic
from wx2mqtt.mqtt.topics import TOPIC_TABLE

MESSAGE_RETURN_TIMEOUT_SECONDS = 2.0
"""Seconds for a probe to come back to us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicClass:
    """Topics with one rule: `above` what stands the probe, `rule` as a broker's list of rights would say it.

    `exact` are the topics themselves where there are no levels below: a rule may name just them.
    """

    parent_topic: str
    acl_topic: str
    exact_topics: tuple[str, ...] = ()


def published_classes(account: AccountTarget) -> Iterator[TopicClass]:
    """What the bridge publishes, from the table of topics."""
    exact: dict[str, list[str]] = {}
    for topic in TOPIC_TABLE:
        above, _, last = topic.pattern.rpartition("/")
        if not topic.by_bridge or topic.pattern in account.unused_topics:
            continue
        if last.startswith("<"):
            whole = f"{account.topics.base}/{above}"
            yield TopicClass(parent_topic=whole, acl_topic=f"{whole}/#")
        else:
            exact.setdefault(above or last, []).append(f"{account.topics.base}/{topic.pattern}")
    for above, topics in exact.items():
        whole = f"{account.topics.base}/{above}"
        rule = topics[0] if len(topics) == 1 else f"{whole}/#"
        yield TopicClass(parent_topic=whole, acl_topic=rule, exact_topics=tuple(topics))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """A class and what became of its probe; no answer where it was not tried."""

    topic_class: TopicClass
    topic: str
    answer: ProbeAnswer | None


class PermissionCheck:
    """Tries the rights of one account. `standing` is what its running bridge says, None without one."""

    def __init__(
        self,
        target: DiagnosticTarget,
        account: AccountTarget,
        bridge_status: RunningBridgeStatus | None,
        client: ProbeClient,
        report: CheckReport,
    ) -> None:
        self._target = target
        self._account = account
        self._bridge_status = bridge_status
        self._client = client
        self._report = report

    async def run_checks(self) -> None:
        """A row for each class that is published, and one for each filter that is subscribed."""
        tried = [await self._probe(one) for one in published_classes(self._account)]
        back = await self._wait_for_returns(tried)
        for one in tried:
            self._report_publish(one, is_returned=one.topic in back)
        everything = all(one.topic in back for one in tried)
        judges = await self._rejects_subscriptions()
        for topic_filter in self._account.topics.subscriptions:
            await self._check_subscription(topic_filter, is_conclusive=everything or judges)
        if self._target.discovery_prefix:
            await self._check_home_assistant(rejects_subscriptions=judges)

    async def _check_home_assistant(self, *, rejects_subscriptions: bool) -> None:
        tried = await self._probe(discovery_class(self._target, self._account))
        back = await self._wait_for_returns([tried])
        self._report_publish(tried, is_returned=bool(back))
        await self._check_subscription(
            birth_topic(self._target.discovery_prefix), is_conclusive=bool(back) or rejects_subscriptions
        )

    # publishing

    async def _probe(self, topic_class: TopicClass) -> ProbeResult:
        """One publish, after a subscription to just that topic: what comes back was allowed."""
        topic, answer = self._target.probe_topic(topic_class.parent_topic), None
        if not self._client.given_up:
            await self._client.subscribe(topic)
            answer = await self._client.publish(topic)
        return ProbeResult(topic_class=topic_class, topic=topic, answer=answer)

    async def _wait_for_returns(self, probes: Sequence[ProbeResult]) -> set[str]:
        awaited = [one.topic for one in probes if one.answer is not None and one.answer.is_success]
        return await self._client.wait_for_topics(awaited, MESSAGE_RETURN_TIMEOUT_SECONDS)

    def _report_publish(self, probe: ProbeResult, *, is_returned: bool) -> None:
        chart, one, answer = self._report, probe.topic_class, probe.answer
        if is_returned:
            chart.ok("publish", one.acl_topic, "publish_back")
        elif one.exact_topics and self._report_from_bridge(one):
            return
        elif answer is None:
            chart.not_known("publish", one.acl_topic, "given_up", "given_up_cure")
        elif not answer.is_success:
            self._report_refusal(one, answer)
        elif self._client.is_mqtt_5:
            chart.ok("publish", one.acl_topic, "publish_ok")
        else:  # 3.1.1 never says no
            chart.not_known(
                "publish", one.acl_topic, "publish_not_told", "publish_not_told_cure", rule=one.acl_topic
            )

    def _report_from_bridge(self, topic_class: TopicClass) -> bool:
        """The bridge says these again at every connection: it knows which of them the broker refused."""
        standing = self._bridge_status
        if standing is None or not standing.connected or not self._client.is_mqtt_5:
            return False
        refused = sorted(standing.refused_topics.intersection(topic_class.exact_topics))
        for topic in refused:
            self._report.failed("publish", topic, "publish_no_bridge", "publish_cure", rule=topic)
        if not refused:
            self._report.ok("publish", topic_class.acl_topic, "publish_bridge")
        return True

    def _report_refusal(self, topic_class: TopicClass, answer: ProbeAnswer) -> None:
        facts = {"why": answer.reason, "rule": topic_class.acl_topic}
        if answer.timed_out:
            self._report.failed("publish", topic_class.acl_topic, "no_answer", "no_answer_cure", **facts)
        elif (
            topic_class.exact_topics
        ):  # the probe lies below: a rule for the topic itself would not let it pass
            self._report.not_known(
                "publish", topic_class.acl_topic, "publish_below", "publish_below_cure", **facts
            )
        else:
            self._report.failed("publish", topic_class.acl_topic, "publish_no", "publish_cure", **facts)

    # receiving

    async def _rejects_subscriptions(self) -> bool:
        """Whether the broker refuses subscriptions at all: mosquitto grants each and filters afterwards.

        Asked for what only somebody without any limits may receive.
        """
        if self._client.given_up:
            return False
        answer = await self._client.subscribe(self._target.probe_topic(self._target.nonce_level))
        return answer.code >= 0 and not answer.is_success

    async def _check_subscription(self, topic_filter: str, *, is_conclusive: bool) -> None:
        """`sure`: this broker would have said no, or hands over everything else as well."""
        chart, subject = self._report, topic_filter
        if self._client.given_up:
            chart.not_known("receive", subject, "given_up", "given_up_cure")
            return
        answer = await self._client.subscribe(topic_filter)
        if answer.timed_out:
            chart.failed("receive", subject, "no_answer", "no_answer_cure")
        elif not answer.is_success:
            chart.failed("receive", subject, "receive_no", "receive_cure", why=answer.reason, rule=subject)
        elif self._commands_received(topic_filter):
            chart.ok("receive", subject, "receive_bridge")
        elif is_conclusive:
            chart.ok("receive", subject, "receive_ok")
        else:
            chart.not_known("receive", subject, "receive_filtered", "receive_filtered_cure", rule=subject)

    def _commands_received(self, topic_filter: str) -> bool:
        standing = self._bridge_status
        is_out = topic_filter == self._account.topics.out("#")
        return is_out and standing is not None and standing.command_count > 0


def discovery_class(target: DiagnosticTarget, account: AccountTarget) -> TopicClass:
    """What is announced to Home Assistant."""
    topic = config_topic(target.discovery_prefix, account.name)
    return TopicClass(parent_topic=target.discovery_prefix, acl_topic=topic, exact_topics=(topic,))

"""Tests what the broker's user may publish and receive, by one probe for each class of topics.

A class is all that one rule of the broker covers, such as `wx/in/#`. A probe is an empty publish, not
retained, at a topic level that nobody else uses; never on `out/` nor on a topic that the bridge retains. One
that returns to its sender was allowed. What a running bridge has done already is not tested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wx2mqtt.diagnostics.broker_probe import ProbeAnswer, ProbeClient
from wx2mqtt.diagnostics.check_report import CheckReport
from wx2mqtt.diagnostics.check_target import AccountTarget, DiagnosticTarget, RunningBridgeStatus
from wx2mqtt.mqtt.topics import TOPIC_TABLE, birth_topic, config_topic
from wx2mqtt.values import frozen


class PermissionCheck:
    """Tests the permissions for one account. `bridge_status` is None if no bridge runs."""

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
        """Reports each class that is published, and each filter that is subscribed."""
        probes = [await self._probe(topic_class) for topic_class in published_classes(self._account)]
        returned = await self._wait_for_returns(probes)
        for probe in probes:
            self._report_publish(probe, is_returned=probe.topic in returned)
        all_returned = all(probe.topic in returned for probe in probes)
        rejects_subscriptions = await self._subscribe_to_forbidden()
        for topic_filter in self._account.topics.subscriptions:
            await self._check_subscription(topic_filter, is_conclusive=all_returned or rejects_subscriptions)
        if self._target.discovery_prefix:
            probe = await self._probe(discovery_class(self._target, self._account))
            is_returned = bool(await self._wait_for_returns([probe]))
            self._report_publish(probe, is_returned=is_returned)
            topic = birth_topic(self._target.discovery_prefix)
            await self._check_subscription(topic, is_conclusive=is_returned or rejects_subscriptions)

    # publishing

    async def _probe(self, topic_class: TopicClass) -> ProbeResult:
        """Subscribes to one topic and publishes there: what comes back was allowed."""
        topic = self._target.probe_topic(topic_class.parent_topic)
        answer = None
        if not self._client.given_up:
            await self._client.subscribe(topic)
            answer = await self._client.publish(topic)
        return ProbeResult(topic_class=topic_class, topic=topic, answer=answer)

    async def _wait_for_returns(self, probes: Sequence[ProbeResult]) -> set[str]:
        topics = [probe.topic for probe in probes if probe.answer is not None and probe.answer.is_success]
        return await self._client.wait_for_topics(topics)

    def _report_publish(self, probe: ProbeResult, *, is_returned: bool) -> None:
        report, topic_class, answer = self._report, probe.topic_class, probe.answer
        acl_topic = topic_class.acl_topic
        if is_returned:
            report.ok("publish", acl_topic, "publish_returned")
        elif topic_class.exact_topics and self._report_from_bridge(topic_class):
            return
        elif answer is None:
            report.not_known("publish", acl_topic, "broker_stopped_answering")
        elif not answer.is_success:
            self._report_refusal(topic_class, answer)
        elif self._client.is_mqtt_5:
            report.ok("publish", acl_topic, "publish_ok")
        else:  # MQTT 3.1.1 acknowledges refused publishes, too
            report.not_known("publish", acl_topic, "publish_not_reported", rule=acl_topic)

    def _report_from_bridge(self, topic_class: TopicClass) -> bool:
        """Reports what the running bridge knows, and returns whether it knows it.

        The bridge publishes these topics at every connection: it knows which of them the broker refused.
        """
        status = self._bridge_status
        if status is None or not status.connected or not self._client.is_mqtt_5:
            return False
        refused = sorted(status.refused_topics.intersection(topic_class.exact_topics))
        for topic in refused:
            self._report.failed("publish", topic, "publish_refused_to_bridge", "publish_cure", rule=topic)
        if not refused:
            self._report.ok("publish", topic_class.acl_topic, "publish_done_by_bridge")
        return True

    def _report_refusal(self, topic_class: TopicClass, answer: ProbeAnswer) -> None:
        facts = {"why": answer.reason, "rule": topic_class.acl_topic}
        if answer.timed_out:
            self._report.failed("publish", topic_class.acl_topic, "broker_does_not_answer", **facts)
        elif topic_class.exact_topics:
            # The probe was a topic below, which a rule for the topic itself does not allow.
            self._report.not_known("publish", topic_class.acl_topic, "publish_refused_below", **facts)
        else:
            self._report.failed("publish", topic_class.acl_topic, "publish_refused", "publish_cure", **facts)

    # receiving

    async def _subscribe_to_forbidden(self) -> bool:
        """Returns whether the broker refuses a topic that only a user without any limits may receive.

        mosquitto grants every subscription, and filters the messages.
        """
        if self._client.given_up:
            return False
        answer = await self._client.subscribe(self._target.probe_topic(self._target.nonce_level))
        has_answered = answer.code >= 0
        return has_answered and not answer.is_success

    async def _check_subscription(self, topic_filter: str, *, is_conclusive: bool) -> None:
        """Subscribes and reports the answer.

        `is_conclusive`: a granted subscription means that messages come, as the broker is known to refuse
        subscriptions or to deliver everything else.
        """
        report, status = self._report, self._bridge_status
        has_received_commands = status is not None and status.command_count > 0
        has_bridge_received = has_received_commands and topic_filter == self._account.topics.out("#")
        if self._client.given_up:
            report.not_known("receive", topic_filter, "broker_stopped_answering")
            return
        answer = await self._client.subscribe(topic_filter)
        if answer.timed_out:
            report.failed("receive", topic_filter, "broker_does_not_answer")
        elif not answer.is_success:
            facts = {"why": answer.reason, "rule": topic_filter}
            report.failed("receive", topic_filter, "receive_refused", "receive_cure", **facts)
        elif has_bridge_received:
            report.ok("receive", topic_filter, "receive_done_by_bridge")
        elif is_conclusive:
            report.ok("receive", topic_filter, "receive_ok")
        else:
            self._report_perhaps_filtered(topic_filter)

    def _report_perhaps_filtered(self, topic_filter: str) -> None:
        """Says how to see whether messages come; Home Assistant publishes its state only when it starts."""
        topics = self._account.topics
        trials = {
            topics.out("#"): topics.out(self._account.trial_user),
            topics.request("#"): topics.request("health"),
        }
        trial = trials.get(topic_filter)
        remedy_key = "receive_perhaps_filtered_cure" if trial else "receive_cure"
        facts = {"rule": topic_filter, "trial": trial}
        self._report.not_known("receive", topic_filter, "receive_perhaps_filtered", remedy_key, **facts)


@frozen
class TopicClass:
    """Topics that one ACL rule covers. The probe goes below `parent_topic`; `acl_topic` is for the rule.

    `exact_topics` are the topics themselves if they have no levels below: a rule may name just them.
    """

    parent_topic: str
    acl_topic: str
    exact_topics: tuple[str, ...] = ()


def published_classes(account: AccountTarget) -> Iterator[TopicClass]:
    """Yields a class for all topics of the table that the bridge publishes."""
    exact_topics: dict[str, list[str]] = {}
    for topic in TOPIC_TABLE:
        parent, _, last = topic.pattern.rpartition("/")
        if not topic.by_bridge or topic.pattern in account.unused_topics:
            continue
        if last.startswith("<"):
            parent_topic = f"{account.topics.base}/{parent}"
            yield TopicClass(parent_topic=parent_topic, acl_topic=f"{parent_topic}/#")
        else:
            exact_topics.setdefault(parent or last, []).append(f"{account.topics.base}/{topic.pattern}")
    for parent, topics in exact_topics.items():
        parent_topic = f"{account.topics.base}/{parent}"
        acl_topic = topics[0] if len(topics) == 1 else f"{parent_topic}/#"
        yield TopicClass(parent_topic=parent_topic, acl_topic=acl_topic, exact_topics=tuple(topics))


def discovery_class(target: DiagnosticTarget, account: AccountTarget) -> TopicClass:
    """Returns the class of the topic that announces the account to Home Assistant."""
    topic = config_topic(target.discovery_prefix, account.name)
    return TopicClass(parent_topic=target.discovery_prefix, acl_topic=topic, exact_topics=(topic,))


@frozen
class ProbeResult:
    """A class of topics, the topic of its probe, and the answer; None if it was not published."""

    topic_class: TopicClass
    topic: str
    answer: ProbeAnswer | None

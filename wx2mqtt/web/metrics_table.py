"""THE table of metrics: name, type, help, labels, and how the values come from an account's health snapshot.

The exposition writes `wx2mqtt_` before each name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from wx2mqtt.bridge.health import HealthSnapshot, health_problems
from wx2mqtt.message_kinds import attachment_kinds
from wx2mqtt.model import Kind, LoginState, Needs
from wx2mqtt.store.records import MediaState
from wx2mqtt.values import frozen
from wx2mqtt.web.bridge_state import BridgeState, ClusterState

Labels = tuple[str, ...]
"""Names of labels, or their values in the same order."""

LabelledValues = Iterable[tuple[Labels, float]]
"""A value for each combination of label values."""


@frozen
class Metric:
    """One metric family. The name of a counter is without `_total`, which the exposition appends."""

    name: str
    type: Literal["counter", "gauge"]
    help: str
    labels: Labels = ()


@frozen
class HealthMetric(Metric):
    """A metric whose values come from the health snapshot of an account; `labels` are without `account`."""

    values: Callable[[HealthSnapshot], LabelledValues]


@frozen(kw_only=False)
class MetricSamples:
    """The values of one metric in one scrape; `labels` are those of the metric, perhaps after `account`."""

    metric: Metric
    labels: Labels
    values: Sequence[tuple[Labels, float]]


@frozen
class CallSamples:
    """The requests of one account to WeChat, copied from its `CallStatistics`.

    `outcome_counts` by endpoint and outcome. `latencies` by endpoint: count of each bucket, sum in seconds.
    """

    account: str
    outcome_counts: Mapping[tuple[str, str], int]
    latencies: Mapping[str, tuple[Sequence[int], float]]


@frozen
class MetricsSnapshot:
    """All values of one scrape. Nothing changes them any more, so another thread may read them."""

    samples: Sequence[MetricSamples]
    calls: Sequence[CallSamples]


EXCLUDED_COUNTERS = ("filtered", "repeated", "echoes", "unread", "unreadable")
SENDABLE_KINDS = ("text", *map(str, attachment_kinds()), "recall")


def _messages(health: HealthSnapshot) -> LabelledValues:
    """Includes kinds without a message yet: Prometheus sees no increase in a series that begins with 1."""
    zeros = [*(("in", str(kind)) for kind in Kind), *(("out", kind) for kind in SENDABLE_KINDS)]
    return {**dict.fromkeys(zeros, 0), **health.kinds}.items()


def _queues(health: HealthSnapshot) -> dict[str, tuple[int, int | None]]:
    """Returns the depth of each queue, and since when its oldest entry waits in milliseconds since 1970."""
    stats = health.stats
    return {
        "to_mqtt": (stats.waiting_publications, stats.oldest_publication),
        "to_wechat": (stats.waiting_commands, stats.oldest_command),
    }


def _queue_depths(health: HealthSnapshot) -> LabelledValues:
    yield from (((name,), depth) for name, (depth, _) in _queues(health).items())
    yield ("media",), health.stats.pending_media


def _queue_ages(health: HealthSnapshot) -> LabelledValues:
    for name, (_, since) in _queues(health).items():
        yield (name,), 0.0 if since is None else max(0, health.now - since) / 1000


def _unlabelled(value: Callable[[HealthSnapshot], float]) -> Callable[[HealthSnapshot], LabelledValues]:
    return lambda health: [((), value(health))]


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _if_known(value: float | None) -> LabelledValues:
    return [] if value is None else [((), value)]


ACCOUNT_METRICS: tuple[HealthMetric, ...] = (
    HealthMetric(
        name="login_state",
        type="gauge",
        help="1 for the state that the login is in",
        labels=("state",),
        values=lambda health: (((str(state),), state is health.login.state) for state in LoginState),
    ),
    HealthMetric(
        name="login_needs_person",
        type="gauge",
        help="1 while a person must do something, such as scan a code",
        values=_unlabelled(lambda health: health.login.needs is not Needs.NOTHING),
    ),
    HealthMetric(
        name="login_age_seconds",
        type="gauge",
        help="How old the login is, where it ends after some time (iLink)",
        values=lambda health: _if_known(health.login_age),
    ),
    HealthMetric(
        name="login_left_seconds",
        type="gauge",
        help="When the login probably ends, in seconds from now (iLink)",
        values=lambda health: _if_known(health.login_seconds_left),
    ),
    HealthMetric(
        name="reminders",
        type="counter",
        help="Reminders of windows that close, since the start",
        values=_unlabelled(lambda health: health.reminded),
    ),
    HealthMetric(
        name="problem",
        type="gauge",
        help="1 for what is wrong besides the login, as in bridge/health",
        labels=("problem",),
        values=lambda health: (((name,), is_present) for name, is_present in health_problems(health).items()),
    ),
    HealthMetric(
        name="messages",
        type="counter",
        help="Messages that came in, and that were sent, since the start",
        labels=("direction", "kind"),
        values=_messages,
    ),
    HealthMetric(
        name="messages_left_out",
        type="counter",
        help="Messages that were not published: filtered, repeated, our own echoes, not to be read",
        labels=("why",),
        values=lambda health: (((reason,), health.excluded.get(reason, 0)) for reason in EXCLUDED_COUNTERS),
    ),
    HealthMetric(
        name="results",
        type="counter",
        help="Results of commands since the start",
        labels=("status", "code"),
        values=lambda health: {("sent", "ok"): 0, **health.results}.items(),
    ),
    HealthMetric(
        name="commands",
        type="counter",
        help="Commands that were accepted since the start",
        values=_unlabelled(lambda health: health.commands),
    ),
    HealthMetric(
        name="published",
        type="counter",
        help="Messages, results, answers and events that the broker acknowledged since the start",
        values=_unlabelled(lambda health: health.published),
    ),
    HealthMetric(
        name="queue_depth",
        type="gauge",
        help="How much waits for the broker, for WeChat, and to be fetched",
        labels=("queue",),
        values=_queue_depths,
    ),
    HealthMetric(
        name="queue_oldest_seconds",
        type="gauge",
        help="For how long the oldest of them has been waiting",
        labels=("queue",),
        values=_queue_ages,
    ),
    HealthMetric(
        name="set_aside",
        type="gauge",
        help="Messages on which the broker hangs up, put aside for a person to look at",
        values=_unlabelled(lambda health: health.stats.set_aside),
    ),
    HealthMetric(
        name="dropped",
        type="counter",
        help="Messages that were given up since the broker refused their topic for 7 days, ever",
        values=_unlabelled(lambda health: health.stats.dropped),
    ),
    HealthMetric(
        name="failed_today",
        type="gauge",
        help="Commands of the last 24 hours that did not end in sent",
        values=_unlabelled(lambda health: health.stats.failed_today),
    ),
    HealthMetric(
        name="failing_users",
        type="gauge",
        help="Users whose last command of the last 24 hours was not sent",
        values=_unlabelled(lambda health: len(health.failing)),
    ),
    HealthMetric(
        name="broker_connected",
        type="gauge",
        help="1 while the broker is there",
        values=_unlabelled(lambda health: bool(health.broker)),
    ),
    HealthMetric(
        name="broker_connects",
        type="counter",
        help="Connections to the broker since the start",
        values=_unlabelled(lambda health: health.counters.connects),
    ),
    HealthMetric(
        name="broker_disconnects",
        type="counter",
        help="Connections to the broker that were lost since the start",
        values=_unlabelled(lambda health: health.counters.disconnects),
    ),
    HealthMetric(
        name="broker_sessions_lost",
        type="counter",
        help="Sessions that the broker forgot since the start",
        values=_unlabelled(lambda health: health.counters.sessions_lost),
    ),
    HealthMetric(
        name="wechat_last_answer_timestamp_seconds",
        type="gauge",
        help="When WeChat last answered; 0 before the first time",
        values=_unlabelled(lambda health: (health.last_answer or 0) / 1000),
    ),
    HealthMetric(
        name="wechat_throttled_seconds",
        type="gauge",
        help="For how long WeChat wants not to be asked",
        values=_unlabelled(lambda health: health.throttled),
    ),
    HealthMetric(
        name="unresolved_people",
        type="gauge",
        help="People of whom it is not certain who they are since the last login",
        values=_unlabelled(lambda health: health.unresolved),
    ),
    HealthMetric(
        name="media_fetched",
        type="counter",
        help="What became of the bytes of messages since the start",
        labels=("state",),
        values=lambda health: (
            ((str(state),), health.media.get(state, 0))
            for state in MediaState
            if state is not MediaState.PENDING
        ),
    ),
    HealthMetric(
        name="media_fetched_bytes",
        type="counter",
        help="Bytes of messages that were fetched since the start",
        values=_unlabelled(lambda health: health.media_bytes),
    ),
)

SHARED_METRICS: tuple[HealthMetric, ...] = (
    HealthMetric(
        name="store_bytes",
        type="gauge",
        help="Everything in the store",
        values=_unlabelled(lambda health: health.store_size),
    ),
    HealthMetric(
        name="store_limit_bytes",
        type="gauge",
        help="What the store may hold (storage.max_size)",
        values=_unlabelled(lambda health: health.store_limit),
    ),
    HealthMetric(
        name="media_stored_bytes",
        type="gauge",
        help="Bytes of messages and commands on the disk",
        values=_unlabelled(lambda health: health.media_stored),
    ),
    HealthMetric(
        name="last_backup_timestamp_seconds",
        type="gauge",
        help="When wx2mqtt backup last wrote the store into a file; absent before the first time",
        values=lambda health: _if_known(_seconds(health.stats.last_backup)),
    ),
    HealthMetric(
        name="start_timestamp_seconds",
        type="gauge",
        help="When the bridge was started",
        values=_unlabelled(lambda health: health.counters.started / 1000),
    ),
)
"""Values that all accounts share; they have no label `account`."""

INFO_METRIC = Metric(name="info", type="gauge", help="The version", labels=("version",))
STUCK_METRIC = Metric(name="loops_stuck", type="gauge", help="Loops of the bridge that do not move")
STORE_ANSWERS_METRIC = Metric(
    name="store_answers",
    type="gauge",
    help="1 where the store tells how an account does",
    labels=("account",),
)


@frozen
class ProcessMetric(Metric):
    """A metric whose values come from the state of the whole process, accounts or not."""

    values: Callable[[BridgeState], LabelledValues]


def _database_up(bridge: BridgeState) -> LabelledValues:
    """Returns 1 while the database answers; nothing without `storage.url`."""
    if bridge.outage() is not None:
        return [((), 0.0)]
    cluster = bridge.cluster()
    return [] if cluster is None else [((), float(cluster.has_lease))]


def _reload_accepted(bridge: BridgeState) -> LabelledValues:
    return [((), bridge.reload_accepted() / 1000)] if bridge.reload_accepted() else []


PROCESS_METRICS: tuple[ProcessMetric, ...] = (
    ProcessMetric(
        name="config_last_reload_successful",
        type="gauge",
        help="1 if the configuration file was accepted the last time that it was read",
        values=lambda bridge: [((), float(not bridge.problems()))],
    ),
    ProcessMetric(
        name="config_last_reload_success_timestamp_seconds",
        type="gauge",
        help="When the configuration file was accepted last",
        values=_reload_accepted,
    ),
    ProcessMetric(
        name="database_up",
        type="gauge",
        help="1 while the database answers (storage.url); while it is away no account runs here",
        values=_database_up,
    ),
)


@frozen
class ClusterMetric(Metric):
    """A metric whose values come from the state of the cluster."""

    values: Callable[[ClusterState], LabelledValues]


def _owned(state: ClusterState) -> Iterable[tuple[Labels, float]]:
    return (((account,), float(account in state.own_accounts)) for account in state.accounts)


CLUSTER_METRICS: tuple[ClusterMetric, ...] = (
    ClusterMetric(
        name="account_owned",
        type="gauge",
        help="1 where this instance runs the account (storage.url)",
        labels=("account",),
        values=_owned,
    ),
    ClusterMetric(
        name="cluster_instances",
        type="gauge",
        help="Live instances that share the database",
        values=lambda state: [((), len(state.instances))],
    ),
    ClusterMetric(
        name="cluster_accounts_waiting",
        type="gauge",
        help="Accounts that no instance runs",
        values=lambda state: [((), len(state.waiting))],
    ),
    ClusterMetric(
        name="database_commit_seconds",
        type="gauge",
        help="How long the last heartbeat took to be stored",
        values=lambda state: [((), state.heartbeat_seconds)],
    ),
    ClusterMetric(
        name="database_lock_seconds",
        type="gauge",
        help="How long the last look at the locks of all accounts took",
        values=lambda state: [((), state.look_seconds)],
    ),
    ClusterMetric(
        name="failovers",
        type="counter",
        help="Accounts taken from an instance that did not give them up in order, since the start",
        values=lambda state: [((), state.failovers)],
    ),
    ClusterMetric(
        name="database_connections_lost",
        type="counter",
        help="How often the connection that holds the locks was lost since the start",
        values=lambda state: [((), state.lost_connections)],
    ),
)


def process_samples(bridge: BridgeState) -> list[MetricSamples]:
    """Returns the metrics of the whole process."""
    return [MetricSamples(metric, metric.labels, list(metric.values(bridge))) for metric in PROCESS_METRICS]


def cluster_samples(state: ClusterState | None) -> list[MetricSamples]:
    """Returns the metrics of a cluster, none without one."""
    if state is None:
        return []
    return [MetricSamples(metric, metric.labels, list(metric.values(state))) for metric in CLUSTER_METRICS]

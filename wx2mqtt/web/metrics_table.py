"""THE table of metrics: name, type, help, labels, and how the values come from what the bridge knows.

    counter("commands", "Commands that …", lambda health: health.counters.commands)
    ->   wx2mqtt_commands_total{account="home"} 7

One row is a whole metric. `bridge/counters.py` has what is counted.

    ACCOUNT_METRICS         one value for each account, from its `HealthSnapshot`
    SHARED_METRICS          the store, from the `HealthSnapshot` of any account
    PROCESS_METRICS         the process, from `BridgeState`
    CLUSTER_METRICS         the instances that share a database
    INFO_METRICS, STORE_ANSWERS_METRIC, CALL_METRICS     also where the store does not answer
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

from wx2mqtt import __version__
from wx2mqtt.bridge.counters import CallStatistics, LatencyHistogram
from wx2mqtt.bridge.health import HealthSnapshot, health_problems
from wx2mqtt.external.alerts import AlertOutcome
from wx2mqtt.message_kinds import attachment_kinds
from wx2mqtt.model import Kind, LoginState, Needs
from wx2mqtt.store.records import MediaState
from wx2mqtt.values import frozen
from wx2mqtt.web.bridge_state import BridgeState, ClusterState

# The names of labels, or their values in the same order.
Labels = tuple[str, ...]

# A value for each combination of label values. A histogram is a copy.
LabelledValues = Iterable[tuple[Labels, float | LatencyHistogram]]

MetricType = Literal["counter", "gauge", "histogram"]

Source = TypeVar("Source")


@frozen
class Metric(Generic[Source]):
    """One metric family. The name of a counter is without `_total`, which the exposition appends."""

    name: str
    type: MetricType
    help: str
    labels: Labels = ()
    values: Callable[[Source], LabelledValues]


@frozen(kw_only=False)
class MetricSamples:
    """The values of one metric in one scrape. Nothing changes them any more: another thread may read them."""

    metric: Metric[Any]
    #: The labels of the metric, after `account` where it has a value for each account.
    labels: Labels
    values: Sequence[tuple[Labels, float | LatencyHistogram]]


def gauge(name: str, meaning: str, value: Callable[[Source], float | None]) -> Metric[Source]:
    """Returns a gauge without labels. It is absent while its value is None."""

    def values(source: Source) -> LabelledValues:
        current = value(source)
        return [] if current is None else [((), current)]

    return Metric(name=name, type="gauge", help=meaning, values=values)


def counter(name: str, meaning: str, value: Callable[[Source], float]) -> Metric[Source]:
    """Returns a counter without labels."""
    return Metric(name=name, type="counter", help=meaning, values=lambda source: [((), value(source))])


EXCLUDED_COUNTERS = ("filtered", "repeated", "echoes", "unread", "unreadable")
SENDABLE_KINDS = ("text", *map(str, attachment_kinds()), "recall")


def _messages(health: HealthSnapshot) -> LabelledValues:
    """Yields 0 for kinds without a message: Prometheus sees no increase in a series that begins with 1."""
    received: dict[str, int] = {**dict.fromkeys(map(str, Kind), 0), **health.counters.received}
    sent: dict[str, int] = {**dict.fromkeys(SENDABLE_KINDS, 0), **health.counters.sent}
    yield from ((("in", kind), count) for kind, count in received.items())
    yield from ((("out", kind), count) for kind, count in sent.items())


def _fallbacks(health: HealthSnapshot) -> LabelledValues:
    """Yields all combinations, as `_messages` yields all kinds."""
    for way in ("account", "services"):
        for outcome in AlertOutcome:
            yield (way, str(outcome)), health.counters.fallbacks[way, str(outcome)]


def _queue_depths(health: HealthSnapshot) -> LabelledValues:
    yield ("to_mqtt",), health.stats.waiting_publications
    yield ("to_wechat",), health.stats.waiting_commands
    yield ("media",), health.stats.pending_media


def _queue_ages(health: HealthSnapshot) -> LabelledValues:
    oldest = {"to_mqtt": health.stats.oldest_publication, "to_wechat": health.stats.oldest_command}
    for name, since in oldest.items():
        yield (name,), 0.0 if since is None else max(0, health.now - since) / 1000


def _database_up(bridge: BridgeState) -> float | None:
    """Returns 1 while the database answers; None without `storage.url`."""
    cluster = bridge.cluster()
    if bridge.outage() is not None:
        return 0.0
    return None if cluster is None else float(cluster.has_lease)


def _last_backup(health: HealthSnapshot) -> float | None:
    last_backup = health.stats.last_backup
    return None if last_backup is None else last_backup / 1000


# Metrics of each account, with the label `account` besides.
ACCOUNT_METRICS: tuple[Metric[HealthSnapshot], ...] = (
    Metric(
        name="login_state",
        type="gauge",
        help="1 for the state that the login is in",
        labels=("state",),
        values=lambda health: (((str(state),), state is health.login.state) for state in LoginState),
    ),
    gauge(
        "login_needs_person",
        "1 while a person must do something, such as scan a code",
        lambda health: health.login.needs is not Needs.NOTHING,
    ),
    gauge(
        "login_age_seconds",
        "How old the login is, where it ends after some time (iLink)",
        lambda health: health.login_age,
    ),
    gauge(
        "login_left_seconds",
        "When the login probably ends, in seconds from now (iLink)",
        lambda health: health.login_seconds_left,
    ),
    counter(
        "reminders",
        "Reminders of windows that close, since the start",
        lambda health: health.counters.reminders,
    ),
    Metric(
        name="problem",
        type="gauge",
        help="1 for what is wrong besides the login, as in bridge/health",
        labels=("problem",),
        values=lambda health: (((name,), is_present) for name, is_present in health_problems(health).items()),
    ),
    Metric(
        name="messages",
        type="counter",
        help="Messages that came in, and that were sent, since the start",
        labels=("direction", "kind"),
        values=_messages,
    ),
    Metric(
        name="messages_left_out",
        type="counter",
        help="Messages that were not published: filtered, repeated, our own echoes, not to be read",
        labels=("why",),
        values=lambda health: (
            ((reason,), health.counters.left_out.get(reason, 0)) for reason in EXCLUDED_COUNTERS
        ),
    ),
    Metric(
        name="results",
        type="counter",
        help="Results of commands since the start",
        labels=("status", "code"),
        values=lambda health: {("sent", "ok"): 0, **health.counters.results}.items(),
    ),
    Metric(
        name="fallbacks",
        type="counter",
        help="Alerts that were given to another account or to the services of the fallback since the start",
        labels=("way", "outcome"),
        values=_fallbacks,
    ),
    counter(
        "commands", "Commands that were accepted since the start", lambda health: health.counters.commands
    ),
    counter(
        "published",
        "Messages, results, answers and events that the broker acknowledged since the start",
        lambda health: health.counters.published,
    ),
    Metric(
        name="queue_depth",
        type="gauge",
        help="How much waits for the broker, for WeChat, and to be fetched",
        labels=("queue",),
        values=_queue_depths,
    ),
    Metric(
        name="queue_oldest_seconds",
        type="gauge",
        help="For how long the oldest of them has been waiting",
        labels=("queue",),
        values=_queue_ages,
    ),
    gauge(
        "set_aside",
        "Messages on which the broker hangs up, put aside for a person to look at",
        lambda health: health.stats.set_aside,
    ),
    counter(
        "dropped",
        "Messages that were given up since the broker refused their topic for 7 days, ever",
        lambda health: health.stats.dropped,
    ),
    gauge(
        "failed_today",
        "Commands of the last 24 hours that did not end in sent, also those that a fallback delivered",
        lambda health: health.stats.failed_today,
    ),
    gauge(
        "failing_users",
        "Users whose last command of the last 24 hours was not sent",
        lambda health: len(health.failing),
    ),
    gauge("broker_connected", "1 while the broker is there", lambda health: bool(health.broker)),
    counter(
        "broker_connects",
        "Connections to the broker since the start",
        lambda health: health.counters.connects,
    ),
    counter(
        "broker_disconnects",
        "Connections to the broker that were lost since the start",
        lambda health: health.counters.disconnects,
    ),
    counter(
        "broker_sessions_lost",
        "Sessions that the broker forgot since the start",
        lambda health: health.counters.sessions_lost,
    ),
    gauge(
        "wechat_last_answer_timestamp_seconds",
        "When WeChat last answered; 0 before the first time",
        lambda health: (health.last_answer or 0) / 1000,
    ),
    gauge(
        "wechat_throttled_seconds",
        "For how long WeChat wants not to be asked",
        lambda health: health.throttled,
    ),
    gauge(
        "unresolved_people",
        "People of whom it is not certain who they are since the last login",
        lambda health: health.unresolved,
    ),
    Metric(
        name="media_fetched",
        type="counter",
        help="What became of the bytes of messages since the start",
        labels=("state",),
        values=lambda health: (
            ((str(state),), health.counters.media.get(state, 0))
            for state in MediaState
            if state is not MediaState.PENDING
        ),
    ),
    counter(
        "media_fetched_bytes",
        "Bytes of messages that were fetched since the start",
        lambda health: health.counters.media_bytes,
    ),
)

# Metrics of the store and the process, read from the snapshot of any account: all accounts have the same.
SHARED_METRICS: tuple[Metric[HealthSnapshot], ...] = (
    gauge("store_bytes", "Everything in the store", lambda health: health.store_size),
    gauge(
        "store_limit_bytes", "What the store may hold (storage.max_size)", lambda health: health.store_limit
    ),
    gauge(
        "media_stored_bytes", "Bytes of messages and commands on the disk", lambda health: health.media_stored
    ),
    gauge(
        "last_backup_timestamp_seconds",
        "When wx2mqtt backup last wrote the store into a file; absent before the first time",
        _last_backup,
    ),
    gauge(
        "start_timestamp_seconds",
        "When the bridge was started",
        lambda health: health.counters.started / 1000,
    ),
)

# Metrics of the whole process, also where no account runs.
PROCESS_METRICS: tuple[Metric[BridgeState], ...] = (
    gauge(
        "config_last_reload_successful",
        "1 if the configuration file was accepted the last time that it was read",
        lambda bridge: float(not bridge.problems()),
    ),
    gauge(
        "config_last_reload_success_timestamp_seconds",
        "When the configuration file was accepted last",
        lambda bridge: bridge.reload_accepted() / 1000 if bridge.reload_accepted() else None,
    ),
    gauge(
        "database_up",
        "1 while the database answers (storage.url); while it is away no account runs here",
        _database_up,
    ),
    Metric(
        name="sender_calls",
        type="counter",
        help="Calls of web.senders by sender (empty: wrong or no token) and code: accepted, or why not",
        labels=("sender", "code"),
        values=lambda bridge: ((labels, float(count)) for labels, count in bridge.sender_calls().items()),
    ),
)

# Metrics of the instances that share a database.
CLUSTER_METRICS: tuple[Metric[ClusterState], ...] = (
    Metric(
        name="account_owned",
        type="gauge",
        help="1 where this instance runs the account (storage.url)",
        labels=("account",),
        values=lambda state: (
            ((account,), float(account in state.own_accounts)) for account in state.accounts
        ),
    ),
    gauge("cluster_instances", "Live instances that share the database", lambda state: len(state.instances)),
    gauge("cluster_accounts_waiting", "Accounts that no instance runs", lambda state: len(state.waiting)),
    gauge(
        "database_commit_seconds",
        "How long the last heartbeat took to be stored",
        lambda state: state.heartbeat_seconds,
    ),
    gauge(
        "database_lock_seconds",
        "How long the last look at the locks of all accounts took",
        lambda state: state.look_seconds,
    ),
    counter(
        "failovers",
        "Accounts taken from an instance that did not give them up in order, since the start",
        lambda state: state.failovers,
    ),
    counter(
        "database_connections_lost",
        "How often the connection that holds the locks was lost since the start",
        lambda state: state.lost_connections,
    ),
)

# Metrics of the process that are never absent.
INFO_METRICS: tuple[Metric[BridgeState], ...] = (
    Metric(
        name="info",
        type="gauge",
        help="The version",
        labels=("version",),
        values=lambda _bridge: [((__version__,), 1.0)],
    ),
    gauge("loops_stuck", "Loops of the bridge that do not move", lambda bridge: len(bridge.overdue())),
)

# Read from the snapshots of all accounts by name; None where the store does not answer.
STORE_ANSWERS_METRIC: Metric[Mapping[str, HealthSnapshot | None]] = Metric(
    name="store_answers",
    type="gauge",
    help="1 where the store tells how an account does",
    labels=("account",),
    values=lambda snapshots: (((name,), health is not None) for name, health in snapshots.items()),
)

# Metrics of each account, whether or not its store answers, with the label `account` besides.
CALL_METRICS: tuple[Metric[CallStatistics], ...] = (
    Metric(
        name="wechat_requests",
        type="counter",
        help="Requests to WeChat by how they ended: an HTTP status, or a word",
        labels=("endpoint", "outcome"),
        values=lambda calls: dict(calls.outcome_counts).items(),
    ),
    Metric(
        name="wechat_request_seconds",
        type="histogram",
        help="How long requests to WeChat took; synccheck and login wait for news",
        labels=("endpoint",),
        values=lambda calls: (((name,), latency.copy()) for name, latency in calls.latencies.items()),
    ),
)

"""THE table of metrics: name, type, help, labels, and what is counted. `wx2mqtt_` comes before each name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from wx2mqtt.bridge.health import HealthSnapshot, health_problems
from wx2mqtt.message_kinds import attachment_kinds
from wx2mqtt.model import Kind, LoginState, Needs
from wx2mqtt.store.records import MediaState

Labels = tuple[str, ...]
LabelledValues = Iterable[tuple[Labels, float]]
"""By the values of the labels, in their order, without the account's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One family of every account. A counter's name is without `_total`; `labels` without the account's."""

    name: str
    type: Literal["counter", "gauge"]
    help: str
    labels: Labels = ()
    values: Callable[[HealthSnapshot], LabelledValues]


EXCLUDED_COUNTERS = ("filtered", "repeated", "echoes", "unread", "unreadable")
SENDABLE_KINDS = ("text", *map(str, attachment_kinds()), "recall")


def _messages(health: HealthSnapshot) -> LabelledValues:
    """Also kinds that did not come yet: a series that begins with 1 has no increase."""
    none = [*(("in", str(kind)) for kind in Kind), *(("out", kind) for kind in SENDABLE_KINDS)]
    return {**dict.fromkeys(none, 0), **health.kinds}.items()


def _queues(health: HealthSnapshot) -> dict[str, tuple[int, int | None]]:
    stats = health.stats
    return {
        "to_mqtt": (stats.waiting_publications, stats.oldest_publication),
        "to_wechat": (stats.waiting_commands, stats.oldest_command),
    }


def _depths(health: HealthSnapshot) -> LabelledValues:
    yield from (((name,), depth) for name, (depth, _) in _queues(health).items())
    yield ("media",), health.stats.pending_media


def _oldest(health: HealthSnapshot) -> LabelledValues:
    for name, (_, since) in _queues(health).items():
        yield (name,), 0.0 if since is None else max(0, health.now - since) / 1000


def _alone(value: Callable[[HealthSnapshot], float]) -> Callable[[HealthSnapshot], LabelledValues]:
    return lambda seen: [((), value(seen))]


ACCOUNT_METRICS: tuple[Metric, ...] = (
    Metric(
        name="login_state",
        type="gauge",
        help="1 for the state that the login is in",
        labels=("state",),
        values=lambda seen: (((str(one),), one is seen.login.state) for one in LoginState),
    ),
    Metric(
        name="login_needs_person",
        type="gauge",
        help="1 while a person must do something, such as scan a code",
        values=_alone(lambda seen: seen.login.needs is not Needs.NOTHING),
    ),
    Metric(
        name="problem",
        type="gauge",
        help="1 for what is wrong besides the login, as in bridge/health",
        labels=("problem",),
        values=lambda seen: (((name,), wrong) for name, wrong in health_problems(seen).items()),
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
        values=lambda seen: (((why,), seen.received.get(why, 0)) for why in EXCLUDED_COUNTERS),
    ),
    Metric(
        name="results",
        type="counter",
        help="Results of commands since the start",
        labels=("status", "code"),
        values=lambda seen: {("sent", "ok"): 0, **seen.results}.items(),
    ),
    Metric(
        name="commands",
        type="counter",
        help="Commands that were accepted since the start",
        values=_alone(lambda seen: seen.commands),
    ),
    Metric(
        name="published",
        type="counter",
        help="Messages, results, answers and events that the broker acknowledged since the start",
        values=_alone(lambda seen: seen.published),
    ),
    Metric(
        name="queue_depth",
        type="gauge",
        help="How much waits for the broker, for WeChat, and to be fetched",
        labels=("queue",),
        values=_depths,
    ),
    Metric(
        name="queue_oldest_seconds",
        type="gauge",
        help="For how long the oldest of them has been waiting",
        labels=("queue",),
        values=_oldest,
    ),
    Metric(
        name="set_aside",
        type="gauge",
        help="Messages on which the broker hangs up, put aside for a person to look at",
        values=_alone(lambda seen: seen.stats.set_aside),
    ),
    Metric(
        name="dropped",
        type="counter",
        help="Messages that were given up since the broker refused their topic for 7 days, ever",
        values=_alone(lambda seen: seen.stats.dropped),
    ),
    Metric(
        name="failed_today",
        type="gauge",
        help="Commands of the last 24 hours that failed or are uncertain",
        values=_alone(lambda seen: seen.stats.failed_today),
    ),
    Metric(
        name="broker_connected",
        type="gauge",
        help="1 while the broker is there",
        values=_alone(lambda seen: bool(seen.broker)),
    ),
    Metric(
        name="broker_connects",
        type="counter",
        help="Connections to the broker since the start",
        values=_alone(lambda seen: seen.counters.connects),
    ),
    Metric(
        name="broker_disconnects",
        type="counter",
        help="Connections to the broker that were lost since the start",
        values=_alone(lambda seen: seen.counters.disconnects),
    ),
    Metric(
        name="broker_sessions_lost",
        type="counter",
        help="Sessions that the broker forgot since the start",
        values=_alone(lambda seen: seen.counters.sessions_lost),
    ),
    Metric(
        name="wechat_last_answer_timestamp_seconds",
        type="gauge",
        help="When WeChat last answered; 0 before the first time",
        values=_alone(lambda seen: (seen.last_answer or 0) / 1000),
    ),
    Metric(
        name="wechat_throttled_seconds",
        type="gauge",
        help="For how long WeChat wants not to be asked",
        values=_alone(lambda seen: seen.throttled),
    ),
    Metric(
        name="unresolved_people",
        type="gauge",
        help="People of whom it is not certain who they are since the last login",
        values=_alone(lambda seen: seen.unresolved),
    ),
    Metric(
        name="media_fetched",
        type="counter",
        help="What became of the bytes of messages since the start",
        labels=("state",),
        values=lambda seen: (
            ((str(state),), seen.media.get(state, 0))
            for state in MediaState
            if state is not MediaState.PENDING
        ),
    ),
    Metric(
        name="media_fetched_bytes",
        type="counter",
        help="Bytes of messages that were fetched since the start",
        values=_alone(lambda seen: seen.media_bytes),
    ),
)

SHARED_METRICS: tuple[Metric, ...] = (
    Metric(
        name="store_bytes",
        type="gauge",
        help="Everything in the store",
        values=_alone(lambda seen: seen.store_size),
    ),
    Metric(
        name="store_limit_bytes",
        type="gauge",
        help="What the store may hold (storage.max_size)",
        values=_alone(lambda seen: seen.store_limit),
    ),
    Metric(
        name="media_stored_bytes",
        type="gauge",
        help="Bytes of messages and commands on the disk",
        values=_alone(lambda seen: seen.media_stored),
    ),
    Metric(
        name="start_timestamp_seconds",
        type="gauge",
        help="When the bridge was started",
        values=_alone(lambda seen: seen.counters.started / 1000),
    ),
)
"""What all accounts have in common: without their label."""


def _of_no_account(_: HealthSnapshot) -> LabelledValues:
    raise NotImplementedError  # the process knows, see `reading`


INFO_METRIC = Metric(
    name="info", type="gauge", help="The version", labels=("version",), values=_of_no_account
)
STUCK_METRIC = Metric(
    name="loops_stuck", type="gauge", help="Loops of the bridge that do not move", values=_of_no_account
)
STORE_ANSWERS_METRIC = Metric(
    name="store_answers",
    type="gauge",
    help="1 where the store tells how an account does",
    labels=("account",),
    values=_of_no_account,
)

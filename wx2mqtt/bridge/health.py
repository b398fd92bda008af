"""The payloads of `bridge/health` and `bridge/info`.

    a snapshot without a connection to the broker  ->  {"healthy": false, "problems": ["broker_away"], …}

`AccountComponents.snapshot` collects the facts, `counters.py` has what is counted, and `schemas/status.py`
describes each key.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import field

from wx2mqtt import __version__
from wx2mqtt.bridge.counters import AccountCounters
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.clock import rfc3339
from wx2mqtt.model import Json, LoginState
from wx2mqtt.store.records import JournalStats
from wx2mqtt.values import frozen
from wx2mqtt.wechat.backend import Capabilities

# `bridge/health` is published this often. Its key `next_before` promises twice this time.
HEALTH_INTERVAL_SECONDS = 30.0

# The problem that a command was not sent, and that nothing was sent to the same user since.
COMMANDS_FAILED = "commands_failed"

# The problem that the configuration file was refused at the last reload.
RELOAD_REFUSED = "reload_refused"

# How many of these users `commands.failing` lists at most; `failed_today` counts all such commands.
SHOWN_FAILING_USERS = 20


@frozen
class HealthSnapshot:
    """All facts about the health of an account at one time, as `AccountComponents.snapshot` collects them.

    Times are in milliseconds, sizes in bytes.
    """

    now: int
    login: LoginStatus
    #: When WeChat last answered; None before the first time.
    last_answer: int | None
    stats: JournalStats
    counters: AccountCounters
    #: For how many seconds WeChat wants not to be asked.
    throttled: float
    #: Topics and filters that the broker refuses.
    refused: tuple[str, ...]
    #: The version of MQTT that is spoken; empty without a connection.
    broker: str = ""
    store_size: int = 0
    #: 0 for no limit.
    store_limit: int = 0
    #: Stored files of all accounts.
    media_stored: int = 0
    #: Loops past their deadline.
    stuck: tuple[str, ...] = ()
    #: People of whom it is not certain who they are.
    unresolved: int = 0
    #: Whether the discovery for Home Assistant was cut.
    discovery_cut: bool = False
    #: Whether WeChat accepts messages but may not deliver them.
    muted: bool = False
    #: Commands that wait for a reply window; None for a backend without windows.
    held: int | None = None
    #: Seconds since the login was made; None where that is not known.
    login_age: float | None = None
    #: Seconds until it probably ends; None where that is not known.
    login_seconds_left: float | None = None
    #: Users whose last command of this day was not sent, the latest last.
    failing: tuple[str, ...] = ()
    #: Whether the configuration file was refused at the last reload.
    reload_refused: bool = False
    #: Added to the payload as it is.
    extra: Mapping[str, Json] = field(default_factory=dict)


def active_problems(snapshot: HealthSnapshot) -> tuple[str, ...]:
    """Returns the keys of all present problems; empty for a healthy account."""
    problems = [key for key, is_present in health_problems(snapshot).items() if is_present]
    if snapshot.login.state is not LoginState.ONLINE:
        problems.insert(0, f"login_{snapshot.login.state}")
    return tuple(problems)


def health_problems(snapshot: HealthSnapshot) -> dict[str, bool]:
    """Returns every possible problem besides the login, by key, and whether it is present."""
    return {
        "account_failed": snapshot.counters.failed,
        "broker_away": not snapshot.broker,
        "broker_refuses_topics": bool(snapshot.refused),
        "standby": snapshot.counters.standby,
        "store_trouble": bool(snapshot.stats.trouble),
        "store_full": snapshot.store_size >= snapshot.store_limit > 0,
        "loops_stuck": bool(snapshot.stuck),
        RELOAD_REFUSED: snapshot.reload_refused,
        "messages_set_aside": snapshot.stats.set_aside > 0,
        "discovery_too_large": snapshot.discovery_cut,
        "muted_suspected": snapshot.muted,
        COMMANDS_FAILED: bool(snapshot.failing),
    }


def operational_problems(problems: Iterable[str]) -> list[str]:
    """Returns the problems without those for which nobody should restart the bridge.

    What supervises the process looks at the others only. A restart mends no command that failed, and any
    publisher can cause one. A bridge that has refused its file would not start with it.
    """
    return [problem for problem in problems if problem not in {COMMANDS_FAILED, RELOAD_REFUSED}]


def health_body(snapshot: HealthSnapshot, account: str) -> dict[str, Json]:
    """Returns the payload of `bridge/health`."""
    counters, stats = snapshot.counters, snapshot.stats
    problems = active_problems(snapshot)
    return {
        "schema": 1,
        "account": account,
        "time": rfc3339(snapshot.now),
        "next_before": rfc3339(snapshot.now + int(2 * HEALTH_INTERVAL_SECONDS * 1000)),
        "healthy": not problems,
        "problems": list(problems),
        "state": str(snapshot.login.state),
        "uptime": _age(snapshot.now, counters.started),
        "faults": counters.faults,
        "wechat": _known(
            {"last_answer_age": _age(snapshot.now, snapshot.last_answer), "throttled": snapshot.throttled}
        ),
        "broker": _broker(snapshot),
        "queues": _queues(snapshot),
        "messages": _counts(counters.left_out),
        "commands": {
            "accepted": counters.commands,
            "results": _results(counters.results),
            "failed_today": stats.failed_today,
            "failing": list(snapshot.failing[-SHOWN_FAILING_USERS:]),
        },
        "store": _known(
            {
                "size": snapshot.store_size,
                "limit": snapshot.store_limit,
                "trouble": stats.trouble or None,
            }
        ),
        "stuck": list(snapshot.stuck),
        "unresolved_people": snapshot.unresolved,
        **_login(snapshot),
        "media": {
            "pending": stats.pending_media,
            **{str(state): count for state, count in sorted(counters.media.items())},
            "size": snapshot.media_stored,
        },
        **snapshot.extra,
    }


def _broker(snapshot: HealthSnapshot) -> dict[str, Json]:
    counters = snapshot.counters
    return _known(
        {
            "connected": bool(snapshot.broker),
            "protocol": snapshot.broker or None,
            "connects": counters.connects,
            "disconnects": counters.disconnects,
            "sessions_lost": counters.sessions_lost,
            "published": counters.published,
            "standby": counters.standby,
            "reason": counters.broker_reason or None,
            "refused_topics": list(snapshot.refused),
        }
    )


def _login(snapshot: HealthSnapshot) -> dict[str, Json]:
    if snapshot.login_age is None or snapshot.login_seconds_left is None:
        return {}
    days_left = round(snapshot.login_seconds_left / 86_400, 1)
    return {
        "login": {"age": snapshot.login_age, "days_left": days_left, "reminded": snapshot.counters.reminders}
    }


def _queues(snapshot: HealthSnapshot) -> dict[str, Json]:
    stats = snapshot.stats
    return {
        "to_mqtt": _queue(stats.waiting_publications, snapshot.now, stats.oldest_publication),
        "to_wechat": _queue(stats.waiting_commands, snapshot.now, stats.oldest_command),
        "set_aside": stats.set_aside,
        "dropped": stats.dropped,
        **({} if snapshot.held is None else {"held": snapshot.held}),
    }


def _queue(depth: int, now: int, oldest: int | None) -> dict[str, Json]:
    return {"depth": depth, "oldest_age": _age(now, oldest) or 0.0}


def _results(results: Mapping[tuple[str, str], int]) -> dict[str, Json]:
    counts_by_status: Counter[str] = Counter()
    for (status, _), count in results.items():
        counts_by_status[status] += count
    return _counts(counts_by_status)


def _counts(counts: Mapping[str, int]) -> dict[str, Json]:
    return {name: count for name, count in sorted(counts.items()) if count}


def _known(body: dict[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in body.items() if value is not None}


def _age(now: int, then: int | None) -> float | None:
    """Returns the seconds between two times in milliseconds; not below 0, since clocks may be set."""
    return None if then is None else max(0, now - then) / 1000


def info_body(
    *,
    account: str,
    stream: str,
    capabilities: Capabilities,
    broker: str,
    started: int,
    settings: Mapping[str, Json],
    warnings: Iterable[str],
    instance: str = "",
) -> dict[str, Json]:
    """Returns the payload of `bridge/info`; `settings` must not have secrets."""
    return {
        **({"instance": instance} if instance else {}),
        "schema": 1,
        "version": __version__,
        "python": platform.python_version(),
        "account": account,
        "backend": capabilities.backend,
        "stream": stream,
        "started": rfc3339(started),
        "mqtt_protocol": broker,
        "capabilities": {
            "contacts": capabilities.has_contacts,
            "groups": capabilities.has_groups,
            "start_chat": capabilities.can_start_chat,
            "text_limit": capabilities.text_limit,
        },
        "settings": dict(settings),
        "warnings": list(warnings),
    }

"""`bridge/health` and `bridge/info`: how the bridge does, and what it is (DESIGN 4, 4.1). Pure."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from wx2mqtt import __version__
from wx2mqtt.bridge.state import Login
from wx2mqtt.clock import rfc3339
from wx2mqtt.model import Json, LoginState
from wx2mqtt.store.journal import MediaState, Stats
from wx2mqtt.wechat.gateway import Capabilities

EVERY = 30.0  # seconds between two healths; the contract says at least every 60


@dataclass(slots=True, kw_only=True)
class Counters:
    """What happened since the start; ages are counted from times in milliseconds."""

    started: int
    connects: int = 0
    disconnects: int = 0
    sessions_lost: int = 0
    broker_reason: str = ""
    standby: bool = False
    faults: int = 0  # of ours, each of which ended the account; it was begun again
    failed: bool = False  # such a one has just ended it


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Everything that a health is made of, as it stands now, and what else is counted since the start.

    `kinds` are messages by direction (`in`, `out`) and kind, `media` what became of bytes, by state;
    `media_bytes` came since the start, `media_stored` are on the disk, those of all accounts. `muted`:
    perhaps nobody sees what WeChat takes. `held` is how many commands wait for a chance; None where none
    ever does.
    """

    now: int
    login: Login
    last_answer: int | None
    stats: Stats
    counters: Counters
    received: Mapping[str, int]
    published: int
    results: Mapping[tuple[str, str], int]
    commands: int
    throttled: float
    refused: tuple[str, ...]
    broker: str = ""
    store_size: int = 0
    store_limit: int = 0
    stuck: tuple[str, ...] = ()
    unresolved: int = 0
    discovery_cut: bool = False
    kinds: Mapping[tuple[str, str], int] = field(default_factory=dict)
    media: Mapping[MediaState, int] = field(default_factory=dict)
    media_bytes: int = 0
    media_stored: int = 0
    muted: bool = False
    held: int | None = None
    extra: Mapping[str, Json] = field(default_factory=dict)


def well(seen: Seen) -> tuple[str, ...]:
    """What is not as it should be, as short words for machines; empty when all is well."""
    login = () if seen.login.state is LoginState.ONLINE else (f"login_{seen.login.state}",)
    return (*login, *(name for name, wrong in problems(seen).items() if wrong))


def problems(seen: Seen) -> dict[str, bool]:
    """What may be wrong besides the login, and whether it is."""
    return {
        "account_failed": seen.counters.failed,
        "broker_away": not seen.broker,
        "broker_refuses_topics": bool(seen.refused),
        "standby": seen.counters.standby,
        "store_trouble": bool(seen.stats.trouble),
        "store_full": seen.store_size >= seen.store_limit > 0,
        "loops_stuck": bool(seen.stuck),
        "messages_set_aside": seen.stats.set_aside > 0,
        "discovery_too_large": seen.discovery_cut,
        "muted_suspected": seen.muted,
    }


def health_body(seen: Seen, account: str) -> dict[str, Json]:
    """The payload of `bridge/health`."""
    wrong = well(seen)
    return {
        "schema": 1,
        "account": account,
        "time": rfc3339(seen.now),
        "next_before": rfc3339(seen.now + int(2 * EVERY * 1000)),
        "healthy": not wrong,
        "problems": list(wrong),
        "state": str(seen.login.state),
        "uptime": _age(seen.now, seen.counters.started),
        "faults": seen.counters.faults,
        "wechat": _known({"last_answer_age": _age(seen.now, seen.last_answer), "throttled": seen.throttled}),
        "broker": _broker(seen),
        "queues": _queues(seen),
        "messages": _counts(seen.received),
        "commands": {
            "accepted": seen.commands,
            "results": _results(seen.results),
            "failed_today": seen.stats.failed_today,
        },
        "store": _known(
            {"size": seen.store_size, "limit": seen.store_limit, "trouble": seen.stats.trouble or None}
        ),
        "stuck": list(seen.stuck),
        "unresolved_people": seen.unresolved,
        **seen.extra,
    }


def _broker(seen: Seen) -> dict[str, Json]:
    counters = seen.counters
    return _known(
        {
            "connected": bool(seen.broker),
            "protocol": seen.broker or None,
            "connects": counters.connects,
            "disconnects": counters.disconnects,
            "sessions_lost": counters.sessions_lost,
            "published": seen.published,
            "standby": counters.standby,
            "reason": counters.broker_reason or None,
            "refused_topics": list(seen.refused),
        }
    )


def _queues(seen: Seen) -> dict[str, Json]:
    stats = seen.stats
    return {
        "to_mqtt": _queue(stats.waiting_publications, seen.now, stats.oldest_publication),
        "to_wechat": _queue(stats.waiting_commands, seen.now, stats.oldest_command),
        "set_aside": stats.set_aside,
        "dropped": stats.dropped,
        **({} if seen.held is None else {"held": seen.held}),
    }


def _queue(depth: int, now: int, oldest: int | None) -> dict[str, Json]:
    return {"depth": depth, "oldest_age": _age(now, oldest) or 0.0}


def _results(results: Mapping[tuple[str, str], int]) -> dict[str, Json]:
    counted: dict[str, int] = {}
    for (status, _), count in results.items():
        counted[status] = counted.get(status, 0) + count
    return _counts(counted)


def _counts(counts: Mapping[str, int]) -> dict[str, Json]:
    return {name: count for name, count in sorted(counts.items()) if count}


def _known(body: dict[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in body.items() if value is not None}


def _age(now: int, then: int | None) -> float | None:
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
) -> dict[str, Json]:
    """The payload of `bridge/info`; `settings` must hold no secret."""
    return {
        "schema": 1,
        "version": __version__,
        "python": platform.python_version(),
        "account": account,
        "backend": capabilities.backend,
        "stream": stream,
        "started": rfc3339(started),
        "mqtt_protocol": broker,
        "capabilities": {
            "contacts": capabilities.contacts,
            "groups": capabilities.groups,
            "start_chat": capabilities.start_chat,
            "text_limit": capabilities.text_limit,
        },
        "settings": dict(settings),
        "warnings": list(warnings),
    }

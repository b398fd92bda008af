"""What was asked of WeChat, counted.

What `bridge/health` and `bridge/info` say: the truth, in words for machines.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import wx2mqtt
from tests.support.rows import every_row
from wx2mqtt.bridge.counters import BUCKET_BOUNDS_SECONDS, AccountCounters, CallStatistics
from wx2mqtt.bridge.health import (
    HealthSnapshot,
    active_problems,
    health_body,
    info_body,
    operational_problems,
)
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.model import LoginState
from wx2mqtt.mqtt.payloads import encode
from wx2mqtt.store.records import JournalStats, MediaState
from wx2mqtt.wechat.backend import Capabilities


def test_each_exchange_is_counted_by_how_it_ended_and_how_long_it_took():
    calls = CallStatistics()
    for outcome, seconds in (("200", 0.05), ("200", 0.051), ("no_answer", 35.0), ("200", 61.0)):
        calls.observe("synccheck", outcome, seconds)
    assert calls.outcome_counts == {("synccheck", "200"): 3, ("synccheck", "no_answer"): 1}
    took = calls.latencies["synccheck"]
    assert took.bucket_counts == [1, 1, *[0] * 7, 1, 1]
    assert took.total_seconds == 96.101


@given(st.lists(st.floats(min_value=0, max_value=1e6), max_size=50))
def test_nothing_is_lost_whatever_it_took(seconds):
    calls = CallStatistics()
    for one in seconds:
        calls.observe("login", "200", one)
    assert sum(calls.outcome_counts.values()) == len(seconds)
    counted = calls.latencies["login"].bucket_counts if seconds else []
    assert sum(counted) == len(seconds)
    for edge, count in zip(BUCKET_BOUNDS_SECONDS, counted, strict=False):
        assert sum(counted[: BUCKET_BOUNDS_SECONDS.index(edge) + 1]) >= count


def test_a_server_cannot_make_counters_without_end():
    calls = CallStatistics()
    for status in range(1000):
        calls.observe("login", str(status), 0.1)
    assert len(calls.outcome_counts) < 80
    assert calls.outcome_counts["login", "other_status"] > 900
    assert calls.outcome_counts["login", "404"] == 1


NOW = 1_795_600_000_000


STATS = JournalStats(
    waiting_publications=0,
    oldest_publication=None,
    waiting_commands=0,
    oldest_command=None,
    set_aside=0,
    dropped=0,
    messages=0,
    failed_today=0,
)


def seen(**more: Any) -> HealthSnapshot:
    values: dict[str, Any] = {
        "now": NOW,
        "login": LoginStatus(state=LoginState.ONLINE, since=1),
        "last_answer": NOW - 1500,
        "stats": STATS,
        "counters": AccountCounters(started=NOW - 60_000, connects=2, disconnects=1, published=7, commands=3),
        "throttled": 0.0,
        "refused": (),
        "broker": "5",
        "store_size": 10,
        "store_limit": 100,
    }
    return HealthSnapshot(**{**values, **more})


def test_when_all_is_well_it_says_so():
    body: dict[str, Any] = health_body(seen(), "home")
    assert (body["healthy"], body["problems"], body["state"]) == (True, [], "online")
    assert body["uptime"] == 60.0
    assert body["wechat"] == {"last_answer_age": 1.5, "throttled": 0.0}
    assert body["broker"] == {
        "connected": True,
        "protocol": "5",
        "connects": 2,
        "disconnects": 1,
        "sessions_lost": 0,
        "published": 7,
        "standby": False,
        "refused_topics": [],
    }
    assert json.loads(encode(body)) == body


@every_row("state", [one for one in LoginState if one is not LoginState.ONLINE])
def test_a_login_that_does_not_stand_is_a_problem(state: LoginState):
    assert active_problems(seen(login=LoginStatus(state=state, since=1))) == (f"login_{state}",)


@every_row(
    ("more", "problem"),
    [
        ({"broker": ""}, "broker_away"),
        ({"refused": ("wx/last",)}, "broker_refuses_topics"),
        ({"counters": AccountCounters(started=NOW, standby=True)}, "standby"),
        ({"store_size": 100}, "store_full"),
        ({"store_size": 1, "store_limit": 1}, "store_full"),
        ({"stats": replace(STATS, trouble="there is no room on the disk")}, "store_trouble"),
        ({"stuck": ("receive:home",)}, "loops_stuck"),
        ({"stats": replace(STATS, set_aside=1)}, "messages_set_aside"),
        ({"discovery_cut": True}, "discovery_too_large"),
        ({"failing": ("wife",)}, "commands_failed"),
    ],
)
def test_each_thing_that_is_wrong_has_its_word(more: dict[str, Any], problem: str):
    body = health_body(seen(**more), "home")
    assert (body["healthy"], body["problems"]) == (False, [problem])


def test_it_names_to_whom_nothing_was_sent_the_latest_of_many():
    body: dict[str, Any] = health_body(seen(failing=tuple(map(str, range(1000)))), "home")
    assert body["commands"]["failing"] == [f"{number}" for number in range(980, 1000)]


def test_what_a_publisher_can_cause_is_no_operational_problem():
    problems = ("login_logged_out", "commands_failed", "store_full")
    assert operational_problems(problems) == ["login_logged_out", "store_full"]


def test_a_store_without_a_limit_is_never_full():
    assert active_problems(seen(store_size=10**12, store_limit=0)) == ()


def test_the_next_one_comes_within_a_minute():
    body = health_body(seen(), "home")
    span = datetime.fromisoformat(str(body["next_before"])) - datetime.fromisoformat(str(body["time"]))
    assert span.total_seconds() == 60


def test_queues_say_how_much_waits_and_since_when():
    stats = replace(
        STATS, waiting_publications=3, oldest_publication=NOW - 2500, waiting_commands=1, dropped=4
    )
    body: dict[str, Any] = health_body(seen(stats=stats), "home")
    assert body["queues"] == {
        "to_mqtt": {"depth": 3, "oldest_age": 2.5},
        "to_wechat": {"depth": 1, "oldest_age": 0.0},
        "set_aside": 0,
        "dropped": 4,
    }


def test_what_became_of_files_stands_beside_what_is_still_to_be_fetched():
    counters = AccountCounters(started=NOW, media=Counter({MediaState.READY: 2, MediaState.GONE: 1}))
    body = health_body(
        seen(stats=replace(STATS, pending_media=3), counters=counters, media_stored=34), "home"
    )
    assert body["media"] == {"pending": 3, "gone": 1, "ready": 2, "size": 34}


def test_results_are_counted_by_status_and_what_never_happened_is_left_out():
    results = Counter(
        {("sent", "ok"): 5, ("sent", "unconfirmed"): 1, ("rejected", "empty"): 2, ("failed", "x"): 0}
    )
    left_out = Counter(echoes=3, filtered=0)
    counters = AccountCounters(started=NOW, commands=3, results=results, left_out=left_out)
    body: dict[str, Any] = health_body(seen(counters=counters), "home")
    assert body["commands"] == {
        "accepted": 3,
        "results": {"rejected": 2, "sent": 6},
        "failed_today": 0,
        "failing": [],
    }
    assert body["messages"] == {"echoes": 3}


def test_what_is_not_known_is_absent_and_no_age_is_below_nothing():
    body: dict[str, Any] = health_body(
        seen(broker="", last_answer=None, counters=AccountCounters(started=NOW + 5000)), "home"
    )
    assert "last_answer_age" not in body["wechat"]
    assert "protocol" not in body["broker"]
    assert "reason" not in body["broker"]
    assert body["uptime"] == 0.0
    reason = AccountCounters(started=NOW, broker_reason="connection refused")
    away: dict[str, Any] = health_body(seen(broker="", counters=reason), "home")
    assert away["broker"]["reason"] == "connection refused"


def test_the_info_says_what_the_bridge_is():
    body = info_body(
        account="home",
        stream="k3v9qa",
        capabilities=Capabilities(
            backend="webwx",
            has_contacts=True,
            has_groups=True,
            can_start_chat=True,
            handles_change_at_login=True,
            text_limit=100,
        ),
        broker="5",
        started=NOW,
        settings={"plain": False},
        warnings=["wx2mqtt.yaml:3: web: has no effect yet"],
    )
    assert (body["version"], body["stream"], body["backend"]) == (wx2mqtt.__version__, "k3v9qa", "webwx")
    assert (body["mqtt_protocol"], body["settings"]) == ("5", {"plain": False})
    assert body["warnings"] == ["wx2mqtt.yaml:3: web: has no effect yet"]
    assert json.loads(encode(body)) == body


def test_what_is_wrong_with_the_store_is_said_beside_its_size():
    body: dict[str, Any] = health_body(seen(stats=replace(STATS, trouble="disk full")), "home")
    assert body["store"] == {"size": 10, "limit": 100, "trouble": "disk full"}
    assert body["problems"] == ["store_trouble"]

"""The bodies of `bridge/health` and `bridge/info`."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

import wx2mqtt
from tests.support.rows import every_row
from wx2mqtt.bridge.counters import AccountCounters
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


def health_snapshot(**more: Any) -> HealthSnapshot:
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


def test_a_health_without_problems_is_healthy():
    body: dict[str, Any] = health_body(health_snapshot(), "home")
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


@every_row("state", [state for state in LoginState if state is not LoginState.ONLINE])
def test_a_login_that_does_not_stand_is_a_problem(state: LoginState):
    assert active_problems(health_snapshot(login=LoginStatus(state=state, since=1))) == (f"login_{state}",)


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
def test_each_problem_has_a_name_in_the_health(more: dict[str, Any], problem: str):
    body = health_body(health_snapshot(**more), "home")
    assert (body["healthy"], body["problems"]) == (False, [problem])


def test_the_health_names_the_latest_of_many_failing_users():
    body: dict[str, Any] = health_body(health_snapshot(failing=tuple(map(str, range(1000)))), "home")
    assert body["commands"]["failing"] == [f"{number}" for number in range(980, 1000)]


def test_what_a_publisher_can_cause_is_no_operational_problem():
    problems = ("login_logged_out", "commands_failed", "store_full")
    assert operational_problems(problems) == ["login_logged_out", "store_full"]


def test_a_store_without_a_limit_is_never_full():
    assert active_problems(health_snapshot(store_size=10**12, store_limit=0)) == ()


def test_the_health_says_that_the_next_one_comes_within_a_minute():
    body = health_body(health_snapshot(), "home")
    span = datetime.fromisoformat(str(body["next_before"])) - datetime.fromisoformat(str(body["time"]))
    assert span.total_seconds() == 60


def test_queues_say_how_much_waits_and_since_when():
    stats = replace(
        STATS, waiting_publications=3, oldest_publication=NOW - 2500, waiting_commands=1, dropped=4
    )
    body: dict[str, Any] = health_body(health_snapshot(stats=stats), "home")
    assert body["queues"] == {
        "to_mqtt": {"depth": 3, "oldest_age": 2.5},
        "to_wechat": {"depth": 1, "oldest_age": 0.0},
        "set_aside": 0,
        "dropped": 4,
    }


def test_what_became_of_files_stands_beside_what_is_still_to_be_fetched():
    counters = AccountCounters(started=NOW, media=Counter({MediaState.READY: 2, MediaState.GONE: 1}))
    body = health_body(
        health_snapshot(stats=replace(STATS, pending_media=3), counters=counters, media_stored=34), "home"
    )
    assert body["media"] == {"pending": 3, "gone": 1, "ready": 2, "size": 34}


def test_results_are_counted_by_status_and_what_never_happened_is_left_out():
    results = Counter(
        {("sent", "ok"): 5, ("sent", "unconfirmed"): 1, ("rejected", "empty"): 2, ("failed", "x"): 0}
    )
    left_out = Counter(echoes=3, filtered=0)
    counters = AccountCounters(started=NOW, commands=3, results=results, left_out=left_out)
    body: dict[str, Any] = health_body(health_snapshot(counters=counters), "home")
    assert body["commands"] == {
        "accepted": 3,
        "results": {"rejected": 2, "sent": 6},
        "failed_today": 0,
        "failing": [],
    }
    assert body["messages"] == {"echoes": 3}


def test_what_is_not_known_is_absent_and_no_age_is_below_nothing():
    body: dict[str, Any] = health_body(
        health_snapshot(broker="", last_answer=None, counters=AccountCounters(started=NOW + 5000)), "home"
    )
    assert "last_answer_age" not in body["wechat"]
    assert "protocol" not in body["broker"]
    assert "reason" not in body["broker"]
    assert body["uptime"] == 0.0
    reason = AccountCounters(started=NOW, broker_reason="connection refused")
    away: dict[str, Any] = health_body(health_snapshot(broker="", counters=reason), "home")
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
    body: dict[str, Any] = health_body(health_snapshot(stats=replace(STATS, trouble="disk full")), "home")
    assert body["store"] == {"size": 10, "limit": 100, "trouble": "disk full"}
    assert body["problems"] == ["store_trouble"]

"""What Prometheus is told: every number on its place, no name and no text of anybody."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections import Counter

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open
from prometheus_client.parser import text_string_to_metric_families as read_plain

from tests.support.deadlines import allowed
from tests.support.page import NOW, FakeAccountView, bridge, entry, health_snapshot, line, login, wait_forever
from tests.support.web import application_client
from wx2mqtt import __version__
from wx2mqtt.bridge.counters import AccountCounters
from wx2mqtt.model import Kind, LoginState
from wx2mqtt.store.records import MediaState
from wx2mqtt.web import metrics_endpoint as module
from wx2mqtt.web.metrics_endpoint import METRIC_PREFIX


async def scraped(*views, **more):
    """Returns all samples by name and labels."""
    async with application_client([], bridge=bridge(*views, **more)) as http:
        answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples = {}
    for family in read_plain(answer.text):
        for sample in family.samples:
            samples[sample.name.removeprefix(METRIC_PREFIX), *sorted(sample.labels.items())] = sample.value
    return samples


def sample_value(samples, name, **labels):
    return samples[name, *sorted({"account": "home", **labels}.items())]


async def test_the_login_is_one_of_its_states():
    view = FakeAccountView()
    view.login = login(LoginState.WAITING_FOR_SCAN)
    samples = await scraped(view)
    states = {state: sample_value(samples, "login_state", state=str(state)) for state in LoginState}
    assert [state for state, value in states.items() if value] == [LoginState.WAITING_FOR_SCAN]
    assert sample_value(samples, "login_needs_person") == 1


async def test_all_counts_are_in_the_exposition():
    view = FakeAccountView()
    view.health = health_snapshot(
        counters=AccountCounters(
            started=NOW,
            connects=4,
            disconnects=3,
            sessions_lost=1,
            left_out=Counter({"filtered": 5, "echoes": 2}),
            received=Counter({"image": 7}),
            sent=Counter({"text": 8}),
            results=Counter({("sent", "ok"): 8, ("rejected", "empty"): 1}),
            media=Counter({MediaState.READY: 6, MediaState.GONE: 1}),
            media_bytes=4711,
            commands=9,
            published=17,
        ),
        media_stored=4000,
        throttled=30.0,
        unresolved=2,
        stats={
            "waiting_publications": 3,
            "oldest_publication": NOW - 9000,
            "waiting_commands": 1,
            "oldest_command": NOW - 500,
            "set_aside": 1,
            "dropped": 2,
            "failed_today": 4,
            "pending_media": 5,
        },
    )
    samples = await scraped(view)
    assert sample_value(samples, "messages_total", direction="in", kind="image") == 7
    assert sample_value(samples, "messages_total", direction="in", kind="text") == 0
    assert sample_value(samples, "messages_total", direction="out", kind="text") == 8
    assert sample_value(samples, "messages_left_out_total", why="filtered") == 5
    assert sample_value(samples, "messages_left_out_total", why="unreadable") == 0
    assert sample_value(samples, "results_total", status="rejected", code="empty") == 1
    assert sample_value(samples, "queue_depth", queue="to_mqtt") == 3
    assert sample_value(samples, "queue_depth", queue="media") == 5
    assert sample_value(samples, "queue_oldest_seconds", queue="to_mqtt") == 9
    assert sample_value(samples, "queue_oldest_seconds", queue="to_wechat") == 0.5
    assert sample_value(samples, "media_fetched_total", state="gone") == 1
    assert sample_value(samples, "media_fetched_bytes_total") == 4711
    assert sample_value(samples, "broker_connects_total") == 4
    assert sample_value(samples, "broker_disconnects_total") == 3
    assert sample_value(samples, "broker_sessions_lost_total") == 1
    assert sample_value(samples, "wechat_last_answer_timestamp_seconds") == (NOW - 1500) / 1000
    assert sample_value(samples, "wechat_throttled_seconds") == 30
    assert sample_value(samples, "problem", problem="messages_set_aside") == 1
    assert sample_value(samples, "problem", problem="broker_away") == 0
    assert (sample_value(samples, "set_aside"), sample_value(samples, "dropped_total")) == (1, 2)
    assert (sample_value(samples, "failed_today"), sample_value(samples, "unresolved_people")) == (4, 2)
    assert (sample_value(samples, "commands_total"), sample_value(samples, "published_total")) == (9, 17)
    assert samples[("store_bytes",)] == 205_000
    assert samples[("media_stored_bytes",)] == 4000


async def test_requests_to_wechat_are_exposed_with_their_durations():
    view = FakeAccountView()
    for outcome, seconds in (("200", 0.2), ("200", 25.0), ("no_answer", 35.0)):
        view.calls.observe("synccheck", outcome, seconds)
    samples = await scraped(view)
    assert sample_value(samples, "wechat_requests_total", endpoint="synccheck", outcome="200") == 2
    assert sample_value(samples, "wechat_requests_total", endpoint="synccheck", outcome="no_answer") == 1
    assert sample_value(samples, "wechat_request_seconds_bucket", endpoint="synccheck", le="0.25") == 1
    assert sample_value(samples, "wechat_request_seconds_bucket", endpoint="synccheck", le="30.0") == 2
    assert sample_value(samples, "wechat_request_seconds_bucket", endpoint="synccheck", le="+Inf") == 3
    assert sample_value(samples, "wechat_request_seconds_count", endpoint="synccheck") == 3
    assert sample_value(samples, "wechat_request_seconds_sum", endpoint="synccheck") == 60.2


async def test_several_accounts_have_separate_samples():
    home, work = FakeAccountView("home"), FakeAccountView("work")
    work.health = health_snapshot(broker="")
    samples = await scraped(home, work)
    assert sample_value(samples, "broker_connected") == 1
    assert sample_value(samples, "broker_connected", account="work") == 0


async def test_an_account_whose_store_does_not_answer_takes_nothing_from_the_others(monkeypatch):
    monkeypatch.setattr(module, "READ_TIMEOUT_SECONDS", 0.01)
    home, work, club = FakeAccountView("home"), FakeAccountView("work"), FakeAccountView("club")
    work.break_store()
    club.before_read = wait_forever
    samples = await scraped(home, work, club, overdue=lambda: ("store:work",))
    answers = {
        name: sample_value(samples, "store_answers", account=name) for name in ("home", "work", "club")
    }
    assert answers == {"home": 1, "work": 0, "club": 0}
    assert sample_value(samples, "broker_connected") == 1
    assert ("broker_connected", ("account", "work")) not in samples
    assert samples[("loops_stuck",)] == 1


async def test_without_any_account_there_is_still_the_process():
    samples = await scraped()
    assert samples[("process_resident_memory_bytes",)] > 0
    assert samples["info", ("version", __version__)] == 1


async def test_it_is_openmetrics_where_that_is_wanted():
    async with application_client([], bridge=bridge(FakeAccountView())) as http:
        answer = await http.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert {family.name for family in read_open(answer.text)} >= {"wx2mqtt_messages", "wx2mqtt_login_state"}


@pytest.mark.parametrize(
    "accept", ["", "*/*", "text/html", "a" * 5000, "application/openmetrics-text;q=x", ";;,"]
)
async def test_every_accept_header_gets_an_exposition(accept):
    async with application_client([], bridge=bridge(FakeAccountView())) as http:
        assert (await http.get("/metrics", headers={"accept": accept})).status_code == 200


async def test_nobodys_name_and_text_is_in_it():
    view = FakeAccountView()
    view.messages = [line(text="geheimer Text")]
    view.people = [entry("wife", name="老婆", remark="老婆")]
    view.health = health_snapshot(
        refused=("wx/in/wife",), counters=AccountCounters(started=NOW, broker_reason="geheim")
    )
    async with application_client([], bridge=bridge(view)) as http:
        text = (await http.get("/metrics")).text
    assert not re.search("geheim|老婆|wife|王小明", text)


async def test_however_many_scrape_the_bridge_is_read_once(monkeypatch):
    view = FakeAccountView()
    async with application_client([], bridge=bridge(view)) as http:
        answers = await asyncio.gather(*(http.get("/metrics") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert view.reads == 1
        monkeypatch.setattr(module, "CACHE_SECONDS", 0.0)
        await http.get("/metrics")
        assert view.reads == 2


async def test_a_scrape_of_everything_takes_no_time(monkeypatch):
    """The aim is 20 ms; here it is the processor's time, since others share the machine."""
    monkeypatch.setattr(module, "CACHE_SECONDS", 0.0)
    view = FakeAccountView()
    endpoints = [f"endpoint{number}" for number in range(30)]
    for endpoint in endpoints:
        for outcome in ("200", "302", "no_answer", "no_connection"):
            view.calls.observe(endpoint, outcome, 0.3)
    view.health = health_snapshot(counters=AccountCounters(started=NOW, received=Counter(map(str, Kind))))
    async with application_client([], bridge=bridge(view)) as http:
        await http.get("/metrics")
        began = time.process_time()
        for _ in range(10):
            assert (await http.get("/metrics")).status_code == 200
        took = (time.process_time() - began) / 10
    assert took < allowed(0.02)


def test_without_a_scrape_prometheus_client_is_not_loaded():
    program = (
        "import sys, asyncio\n"
        "from wx2mqtt.web.options import WebOptions\n"
        "from wx2mqtt.web.routes import web_application\n"
        "web_application(WebOptions(host='127.0.0.1', port=0), [], asyncio.Event(), lambda: 0.0)\n"
        "sys.exit('prometheus_client' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

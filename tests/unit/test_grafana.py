"""The dashboard and the alerts ask for what the bridge counts, by the names under which it counts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.page import NOW, FakeAccountView, bridge, health_snapshot
from tests.support.rows import every_row
from tests.unit.web.test_cluster import STATE
from wx2mqtt import REPOSITORY
from wx2mqtt.bridge.counters import AccountCounters
from wx2mqtt.bridge.health import health_problems
from wx2mqtt.model import LoginState, Status
from wx2mqtt.web.metrics_endpoint import METRIC_PREFIX, encode_metrics, read_metrics

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "wx2mqtt.json").read_text())
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
PANEL_QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
QUERIES = [*PANEL_QUERIES, *(rule["expr"] for rule in RULES)]
ADDED_BY_PROMETHEUS = {"instance", "job"}
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (Debian: apt-get install promtool)"
)


async def exposition() -> str:
    """Returns the answer of `/metrics` for a bridge with a value in every metric."""
    view = FakeAccountView()
    view.calls.observe("webwxsync", "200", 0.1)
    view.health = health_snapshot(
        stats={"last_backup": 1},
        counters=AccountCounters(
            started=NOW, results=Counter([("sent", "ok")]), left_out=Counter(["echoes"])
        ),
        login_age=86_400.0,
        login_seconds_left=86_400.0,
    )
    shared = replace(bridge(view), cluster=lambda: STATE, reload_accepted=lambda: 1_795_600_000_000)
    return encode_metrics(await read_metrics(shared), "")[0].decode()


@pytest.fixture
async def labels_by_metric() -> dict[str, set[str]]:
    """Returns the labels of each sample by its name."""
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(await exposition()):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


def names(expression: str) -> set[str]:
    return set(re.findall(rf"\b(?:{METRIC_PREFIX}|process_)\w+", expression))


@pytest.mark.parametrize("expression", QUERIES)
async def test_every_metric_that_is_asked_for_exists(expression, labels_by_metric):
    asked = names(expression)
    assert asked or expression.startswith("up{")
    assert asked <= labels_by_metric.keys()


@pytest.mark.parametrize("expression", QUERIES)
async def test_the_labels_that_are_asked_for_exist(expression, labels_by_metric):
    known = ADDED_BY_PROMETHEUS.union(*(labels_by_metric[name] for name in names(expression)))
    for selector in re.findall(r"\{(.*?)\}", expression):
        assert {*re.findall(r"(\w+)\s*[=!]", selector)} <= known
    for grouped in re.findall(r"\b(?:by|on)\s*\((.*?)\)", expression):
        assert {*re.split(r",\s*", grouped)} <= known


async def test_the_legends_name_labels_that_there_are(labels_by_metric):
    for panel in PANELS:
        for target in panel["targets"]:
            known = ADDED_BY_PROMETHEUS.union(*(labels_by_metric[name] for name in names(target["expr"])))
            assert {*re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])} <= known, panel["title"]


async def test_nothing_of_ours_is_counted_that_nobody_can_see(labels_by_metric):
    shown = set().union(*map(names, QUERIES))
    hidden = {name for name in labels_by_metric if name.startswith(METRIC_PREFIX)} - shown
    ours = {name.removesuffix("_count").removesuffix("_sum") for name in hidden}
    assert ours - {"wx2mqtt_wechat_request_seconds"} == {
        "wx2mqtt_commands_total",
        "wx2mqtt_fallbacks_total",
        "wx2mqtt_config_last_reload_success_timestamp_seconds",
        "wx2mqtt_login_age_seconds",
        "wx2mqtt_published_total",
        "wx2mqtt_reminders_total",
        "wx2mqtt_store_answers",
        "wx2mqtt_unresolved_people",
        "wx2mqtt_wechat_throttled_seconds",
    }


def test_values_that_are_asked_for_exist():
    values = {
        "state": {str(state) for state in LoginState},
        "status": {str(status) for status in Status},
        "problem": set(health_problems(health_snapshot())),
        "direction": {"in", "out"},
    }
    for expression in QUERIES:
        for label, value in re.findall(r'(\w+)(?:=|!=|=~|!~)"([^"$]*)"', expression):
            assert label not in values or {*value.split("|")} <= values[label], expression


def test_no_panel_is_on_another_and_each_has_its_number():
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len({*ids}) == len(ids)
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_the_dashboard_can_be_imported_anywhere():
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables.keys() == {"datasource", "account"}
    for panel in PANELS:
        for place in (panel, *panel["targets"]):
            assert place["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert names(variables["account"]["query"]["query"]) == {"wx2mqtt_login_state"}


def test_people_can_read_it_in_both_languages():
    words = [panel["title"] for panel in DASHBOARD["panels"]] + [panel["description"] for panel in PANELS]
    for text in filter(None, words):
        assert re.search("[a-z]", text), text
        assert re.search("[\u4e00-\u9fff]", text), text
    for rule in RULES:
        assert re.search("[a-z]", rule["annotations"]["summary"])
        assert re.search("[\u4e00-\u9fff]", rule["annotations"]["summary_zh"])
        assert rule["labels"]["severity"] in {"warning", "critical"}


@every_row("rule", RULES)
def test_each_alert_leads_to_what_to_do(rule):
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == f"{REPOSITORY}/blob/main/deploy/grafana/README.md"
    assert anchor == rule["alert"].lower()
    for name in ("README.md", "README.zh.md"):
        sections = dict(re.findall(r"(?m)^## (\w+)\n\n(.+)$", (FOLDER / name).read_text()))
        assert sections.keys() == {other["alert"] for other in RULES}
        assert len(sections[rule["alert"]]) > 40


def promtool(*arguments: str | Path, text: str = "") -> None:
    assert PROMTOOL is not None
    process = subprocess.run([PROMTOOL, *arguments], input=text, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr


@needs_promtool
async def test_prometheus_own_tool_finds_nothing_wrong_with_the_metrics():
    promtool("check", "metrics", text=await exposition())


@needs_promtool
def test_prometheus_own_tool_finds_nothing_wrong_with_the_alerts_and_the_queries(tmp_path):
    promtool("check", "rules", "--lint=all", "--lint-fatal", FOLDER / "alerts.yaml")
    plain = [query.replace("$account", ".*").replace("$__rate_interval", "5m") for query in PANEL_QUERIES]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(plain)]
    (tmp_path / "asked.yaml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "asked.yaml")


HOME = 'account="home", instance="a", job="wx2mqtt"'
SERIES_BY_ALERT = {
    "Wx2mqttDown": {'up{instance="a", job="wx2mqtt"}': "1 0x20"},
    "Wx2mqttNeedsPerson": {f"wx2mqtt_login_needs_person{{{HOME}}}": "0 1x20"},
    "Wx2mqttLoginEndsSoon": {
        f"wx2mqtt_login_left_seconds{{{HOME}}}": "300000-7200x20",
        f'wx2mqtt_login_state{{{HOME}, state="online"}}': "1x20",
    },
    "Wx2mqttInterrupted": {f'wx2mqtt_login_state{{{HOME}, state="interrupted"}}': "0 1x20"},
    "Wx2mqttBrokerAway": {f"wx2mqtt_broker_connected{{{HOME}}}": "1 0x20"},
    "Wx2mqttProblem": {f'wx2mqtt_problem{{{HOME}, problem="standby"}}': "0 1x20"},
    "Wx2mqttWaitsTooLong": {
        f'wx2mqtt_queue_oldest_seconds{{{HOME}, queue="to_wechat"}}': "0+100x20",
        f'wx2mqtt_login_state{{{HOME}, state="online"}}': "1x20",
    },
    "Wx2mqttCommandsFailed": {f"wx2mqtt_failing_users{{{HOME}}}": "0 1x20"},
    "Wx2mqttFailing": {f'wx2mqtt_results_total{{{HOME}, code="x", status="failed"}}': "0+1x20"},
    "Wx2mqttReconnects": {f"wx2mqtt_broker_disconnects_total{{{HOME}}}": "0+1x20"},
    "Wx2mqttStoreNearlyFull": {
        'wx2mqtt_store_bytes{instance="a", job="wx2mqtt"}': "90x60",
        'wx2mqtt_store_limit_bytes{instance="a", job="wx2mqtt"}': "100x60",
    },
    "Wx2mqttReloadRefused": {'wx2mqtt_config_last_reload_successful{instance="a", job="wx2mqtt"}': "1 0x20"},
    "Wx2mqttBackupOld": {
        'wx2mqtt_last_backup_timestamp_seconds{instance="a", job="wx2mqtt"}': "-200000x20",  # time begins at 0
    },
    "Wx2mqttStuck": {'wx2mqtt_loops_stuck{instance="a", job="wx2mqtt"}': "0 1x20"},
    "Wx2mqttDatabaseAway": {'wx2mqtt_database_up{instance="a", job="wx2mqtt"}': "1 0x20"},
    "Wx2mqttAccountNotRun": {
        f"wx2mqtt_account_owned{{{HOME}}}": "1 0x20",
        'wx2mqtt_account_owned{account="home", instance="b", job="wx2mqtt"}': "0x20",
    },
    "Wx2mqttFailover": {'wx2mqtt_failovers_total{instance="a", job="wx2mqtt"}': "0+1x20"},
    "Wx2mqttDatabaseSlow": {'wx2mqtt_database_commit_seconds{instance="a", job="wx2mqtt"}': "0 3x20"},
}
"""The values, minute by minute, that make each alert fire; it does not fire at the first of them."""


def test_every_alert_has_a_time_series_that_makes_it_fire():
    assert [rule["alert"] for rule in RULES] == list(SERIES_BY_ALERT)
    assert all(before["alert"] != after["alert"] for before, after in pairwise(RULES))


@needs_promtool
@pytest.mark.parametrize("alert", SERIES_BY_ALERT)
def test_each_alert_fires_when_it_should_and_not_at_once(tmp_path, alert):
    """Only whether it fires is tested: its labels are made by Prometheus."""
    check_alert(tmp_path, alert, SERIES_BY_ALERT[alert], fires=True)


@needs_promtool
@pytest.mark.parametrize(
    ("last_backup", "start", "fires"),
    [(None, -200_000, True), (None, -100_000, False), (-1, -200_000, False), (-200_000, -1, True)],
)
def test_a_bridge_that_runs_for_two_days_without_any_backup_is_told(tmp_path, last_backup, start, fires):
    times = {"wx2mqtt_last_backup": last_backup, "wx2mqtt_start": start}  # in seconds; time begins at 0
    series = {
        f'{name}_timestamp_seconds{{instance="a", job="wx2mqtt"}}': f"{seconds}x20"
        for name, seconds in times.items()
        if seconds is not None
    }
    check_alert(tmp_path, "Wx2mqttBackupOld", series, fires=fires)


def check_alert(folder, alert, series, *, fires):
    """Has promtool evaluate these values, minute by minute, and check whether the alert fires at their end."""
    query = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})'
    tests = {
        "rule_files": [str(FOLDER / "alerts.yaml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {"expr": query, "eval_time": "0m", "exp_samples": []},
                    {"expr": query, "eval_time": "31m" if "Nearly" in alert else "18m",
                     "exp_samples": [{"labels": "{}", "value": 1}] if fires else []},
                ],
            }
        ],
    }  # fmt: skip
    (folder / "series.yaml").write_text(yaml.safe_dump(tests))
    promtool("test", "rules", folder / "series.yaml")

"""The rows of the table of metrics: names, labels and the values of each."""

from __future__ import annotations

import re
from collections import Counter

from tests.support.page import NOW, health_snapshot
from wx2mqtt.bridge.counters import AccountCounters
from wx2mqtt.web.metrics_table import ACCOUNT_METRICS, SHARED_METRICS


def test_every_metric_has_a_name_of_its_own_and_says_what_it_is():
    names = [metric.name for metric in (*ACCOUNT_METRICS, *SHARED_METRICS)]
    assert len({*names}) == len(names)
    for metric in (*ACCOUNT_METRICS, *SHARED_METRICS):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", metric.name)
        assert not metric.name.endswith("_total"), "prometheus-client adds it"
        assert metric.help


# The age of a login, which not every backend knows.
LOGIN = {"login_age": 86_400.0, "login_seconds_left": 2_505_600.0}


def test_the_age_of_a_login_is_shown_where_it_is_known():
    metrics = {metric.name: metric for metric in ACCOUNT_METRICS}
    for name, value in (("login_age_seconds", 86_400.0), ("login_left_seconds", 2_505_600.0)):
        assert list(metrics[name].values(health_snapshot(**LOGIN))) == [((), value)]
        assert list(metrics[name].values(health_snapshot())) == []


def test_the_labels_of_a_metric_are_as_many_as_its_values():
    whole = health_snapshot(
        counters=AccountCounters(started=NOW, results=Counter([("rejected", "empty")])),
        stats={"last_backup": 1},
        **LOGIN,
    )
    for metric in (*ACCOUNT_METRICS, *SHARED_METRICS):
        values = list(metric.values(whole))
        assert values, metric.name
        assert {len(labels) for labels, _ in values} == {len(metric.labels)}, metric.name
        assert len({labels for labels, _ in values}) == len(values), metric.name

"""The texts of alerts: short, the most important first, in both languages; and what is the same content."""

from __future__ import annotations

import json

import pytest

from tests.support.rows import every_row
from wx2mqtt.errors import BadCommand
from wx2mqtt.web.senders.alert_groups import MAX_LINE_CHARACTERS, MAX_NAMED_ALERTS
from wx2mqtt.web.senders.alert_webhooks import AlertmanagerInterface, GrafanaInterface
from wx2mqtt.web.senders.interface import RequestBody, RequestHead

ALERTMANAGER, GRAFANA = AlertmanagerInterface(), GrafanaInterface()


def make_alert(number=1, status="firing", severity="warning", name="HighLoad", **more):
    labels = {"alertname": name, "instance": f"db{number}", "severity": severity}
    return {
        "status": status,
        "labels": {key: value for key, value in labels.items() if value},
        "annotations": {"summary": f"load of db{number}"},
        "startsAt": "2026-11-30T10:00:00Z",
        "fingerprint": f"f{number}",
        "generatorURL": f"http://prometheus/graph?{number}",
        **more,
    }


def read(*alerts, interface=ALERTMANAGER, language="en", **more):
    body = {"version": "4", "alerts": alerts, "externalURL": "http://am:9093", "receiver": "me", **more}
    head = RequestHead(method="POST", language=language)
    return interface.read_command(head, RequestBody(data=json.dumps(body).encode()))


def text(*alerts, **options):
    return read(*alerts, **options).fields["text"]


@every_row(
    "status, language, title",
    [
        ("firing", "en", "FIRING: HighLoad (warning)"),
        ("resolved", "en", "RESOLVED: HighLoad (warning)"),
        ("firing", "zh", "告警：HighLoad（warning）"),
        ("resolved", "zh", "已恢复：HighLoad（warning）"),
    ],
)
def test_one_alert(status, language, title):
    assert (
        text(make_alert(status=status), language=language)
        == f"{title}\nload of db1\nhttp://prometheus/graph?1"
    )


def test_line_breaks_in_a_name_or_an_address_make_no_lines():
    broken = make_alert(name="High\n\nLoad", generatorURL="http://prometheus\n\n")
    assert text(broken, externalURL="http://am\n") == "FIRING: High Load (warning)\nload of db1"


def test_firing_and_resolved_ones_together():
    assert text(make_alert(1, "resolved"), make_alert(2, severity="critical"), make_alert(3)) == (
        "FIRING (2), RESOLVED (1): HighLoad\n"
        "load of db2 (critical)\n"
        "load of db3 (warning)\n"
        "resolved: load of db1 (warning)\n"
        "http://am:9093"
    )


def test_five_are_named_and_the_rest_is_counted():
    severities = ("info", "warning", "critical", "none", "page", "error", "warning")
    alerts = [make_alert(number, severity=severity) for number, severity in enumerate(severities)]
    lines = text(*alerts, truncatedAlerts=3).splitlines()
    assert lines[0] == "FIRING (7): HighLoad"
    assert lines[1 : 1 + MAX_NAMED_ALERTS] == [
        "load of db2 (critical)",
        "load of db5 (error)",
        "load of db1 (warning)",
        "load of db6 (warning)",
        "load of db4 (page)",
    ]
    assert lines[6:] == ["and 5 more", "http://am:9093"]


def test_alerts_of_several_names_say_theirs():
    assert text(make_alert(1, name="A"), make_alert(2, name="B")).splitlines()[:3] == [
        "FIRING (2): warning",
        "A: load of db1",
        "B: load of db2",
    ]


@every_row(
    "language, title, rest",
    [("en", "FIRING (398), RESOLVED (2)", "and 395 more"), ("zh", "告警（398），已恢复（2）", "另有 395 个")],
)
def test_of_many_alerts_with_names_of_their_own_five_are_named(language, title, rest):
    alerts = [make_alert(n, name=f"Alert{n}", status="resolved", severity="critical") for n in (1, 2)]
    alerts += [make_alert(n, name=f"Alert{n}", severity="info") for n in range(3, 400)]
    alerts.append(make_alert(400, name="Alert400"))
    lines = text(*alerts, language=language).splitlines()
    assert (lines[0], lines[-2]) == (title, rest)
    assert [line.partition(":")[0] for line in lines[1:-2]] == [f"Alert{n}" for n in (400, 3, 4, 5, 6)]


def test_without_a_summary_the_labels_say_which_it_is():
    alert = make_alert(annotations={}, labels={"alertname": "Up", "job": "node", "disk": "sda"})
    assert text(alert, commonLabels={"job": "node"}).splitlines()[1] == "disk: sda"
    assert text(make_alert(annotations={}, labels={})).splitlines()[0] == "FIRING"


def test_a_runbook_and_the_place_are_said():
    alert = make_alert(annotations={"description": "full", "runbook_url": "http://wiki/full"})
    assert text(alert).splitlines() == [
        "FIRING: HighLoad (warning)",
        "db1: full",
        "http://wiki/full",
        "http://prometheus/graph?1",
    ]


@every_row(
    "annotations, more, links",
    [
        ({}, {}, ["http://prometheus/graph?1"]),
        ({"runbook_url": "http://wiki"}, {"generatorURL": ""}, ["http://wiki", "http://am:9093"]),
        ({}, {"generatorURL": ""}, ["http://am:9093"]),
    ],
)
def test_a_single_alert_without_a_link_has_that_of_the_service(annotations, more, links):
    assert text(make_alert(annotations={"summary": "full", **annotations}, **more)).splitlines()[2:] == links


@every_row("generator_url", ["http://prometheus/graph?1", ""])
def test_a_group_says_the_runbook_of_its_first_alert_and_the_link_of_the_service(generator_url):
    annotations = {"summary": "full", "runbook_url": "http://wiki/full"}
    alerts = [make_alert(n, annotations=annotations, generatorURL=generator_url) for n in (1, 2)]
    assert text(*alerts).splitlines()[3:] == ["http://wiki/full", "http://am:9093"]


def test_a_long_summary_and_a_long_name_are_cut():
    long = "x y\n" * 10_000
    title, line, _ = text(make_alert(annotations={"summary": long}, name=long, severity="")).splitlines()
    assert (len(line), line[-1]) == (MAX_LINE_CHARACTERS, "…")
    assert (len(title), title[-1]) == (len("FIRING: ") + MAX_LINE_CHARACTERS, "…")


FIRST = read(make_alert(1), make_alert(2)).content


@every_row(
    "alerts, same",
    [
        ([make_alert(2), make_alert(1)], True),
        ([make_alert(1, annotations={"summary": "load 13"}), make_alert(2)], True),
        ([make_alert(1)], False),
        ([make_alert(1), make_alert(2), make_alert(3)], False),
        ([make_alert(1), make_alert(2, status="resolved")], False),
        ([make_alert(1), make_alert(2, startsAt="2026-11-30T10:05:00Z")], False),
        ([make_alert(1, fingerprint=""), make_alert(2)], False),
    ],
)
def test_the_same_alerts_in_the_same_states_are_the_same_content(alerts, same):
    assert (read(*alerts).content == FIRST) is same


def test_without_fingerprints_the_labels_tell_alerts_apart():
    first, second = make_alert(1, fingerprint=None), make_alert(2, fingerprint=None)
    assert read(first).content == read(first).content != read(second).content


@every_row(
    "body",
    [
        b"{}",
        b'{"alerts": []}',
        b'{"alerts": [1]}',
        b'{"alerts": {}}',
        b"[]",
        b"x",
        b'{"alerts": [{"labels": []}]}',
    ],
)
def test_what_is_no_group_of_alerts_is_refused(body):
    with pytest.raises(BadCommand) as caught:
        ALERTMANAGER.read_command(RequestHead(method="POST"), RequestBody(data=body))
    assert caught.value.code == "bad_command"

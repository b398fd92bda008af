"""The texts of alerts: short, the most important first, in both languages; and what is the same content."""

from __future__ import annotations

import json
from http import HTTPStatus

import pytest

from tests.support.rows import every_row
from wx2mqtt.errors import BadCommand
from wx2mqtt.web.senders.alert_groups import MAX_LINE_CHARACTERS, MAX_NAMED_ALERTS
from wx2mqtt.web.senders.alert_webhooks import AlertmanagerInterface, GrafanaInterface
from wx2mqtt.web.senders.interface import Refused, RequestBody, RequestHead

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
        "FIRING (2): A, B (warning)",
        "A: load of db1",
        "B: load of db2",
    ]


def test_without_a_summary_the_labels_say_which_it_is():
    alert = make_alert(annotations={}, labels={"alertname": "Up", "job": "node", "disk": "sda"})
    assert text(alert, commonLabels={"job": "node"}).splitlines()[1] == "disk: sda"
    assert text(make_alert(annotations={}, labels={})).splitlines()[0] == "FIRING: alert"


def test_a_runbook_and_the_place_are_said():
    alert = make_alert(annotations={"description": "full", "runbook_url": "http://wiki/full"})
    assert text(alert).splitlines() == [
        "FIRING: HighLoad (warning)",
        "db1: full",
        "http://wiki/full",
        "http://prometheus/graph?1",
    ]


def test_a_long_summary_is_cut():
    line = text(make_alert(annotations={"summary": "x y\n" * 10_000})).splitlines()[1]
    assert (len(line), line[-1]) == (MAX_LINE_CHARACTERS, "…")


def test_what_grafana_links_to_is_the_panel():
    alert = make_alert(panelURL="http://g/d/1?viewPanel=2", dashboardURL="http://g/d/1", values={"A": 1.5})
    assert text(alert, interface=GRAFANA).splitlines()[-1] == "http://g/d/1?viewPanel=2"
    assert text(make_alert(dashboardURL="", panelURL=""), interface=GRAFANA).endswith(
        "http://prometheus/graph?1"
    )


@every_row(
    "alerts, urgent",
    [
        ([make_alert(severity="critical")], True),
        ([make_alert(severity="Critical")], True),
        ([make_alert(severity="critical", status="resolved")], False),
        ([make_alert(severity="critical", status="resolved"), make_alert(2)], False),
        ([make_alert(number) for number in range(10)] + [make_alert(11, severity="critical")], True),
        ([make_alert(severity="warning")], False),
    ],
)
def test_a_critical_alert_that_fires_is_urgent(alerts, urgent):
    fields = read(*alerts).fields
    assert (fields.get("urgent", False), fields.get("priority", "")) == (urgent, "high" if urgent else "")


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


def test_what_others_answer_with_429_they_send_again_after_503():
    too_many = Refused(status=HTTPStatus(429), code="rate_limited", message="slow", retry_after=5)
    assert [interface.write_refusal(too_many).status for interface in (ALERTMANAGER, GRAFANA)] == [503, 503]
    refused = Refused(status=HTTPStatus(400), code="bad_command", message="no")
    assert ALERTMANAGER.write_refusal(refused).status == 400


# What Grafana writes, as its sources name the fields (github.com/grafana/alerting):
# `webhookMessage` of receivers/webhook/v1/webhook.go around `ExtendedData` of templates/template_data.go
GRAFANA_FIELDS = {
    *("receiver", "status", "alerts", "groupLabels", "commonLabels", "commonAnnotations", "externalURL"),
    *("version", "groupKey", "truncatedAlerts", "orgId", "title", "state", "message"),
}
# `ExtendedAlert` of templates/template_data.go; the last three are left out where they are empty
GRAFANA_ALERT_FIELDS = {
    *("status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"),
    *("silenceURL", "dashboardURL", "panelURL", "values", "valueString"),
    *("imageURL", "embeddedImage", "orgId"),
}


def grafana_body(*, seen_at: int, status="firing", truncated=0):
    """The body of one alert of a dashboard: its links end with the time of the notification while it fires."""
    shown = f"http://grafana/d/abc?from=1795600000000&orgId=1&to={seen_at}"
    alert = {
        "status": status,
        "labels": {"alertname": "Disk", "grafana_folder": "home", "instance": "nas", "severity": "critical"},
        "annotations": {"summary": "95 % full"},
        "startsAt": "2026-11-30T10:00:00+08:00",
        "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else "2026-11-30T10:05:00+08:00",
        "generatorURL": "http://grafana/alerting/grafana/abc/view?orgId=1",
        "fingerprint": "c6eadffa33fcdf37",
        "silenceURL": "http://grafana/alerting/silence/new?alertmanager=grafana&matcher=instance%3Dnas",
        "dashboardURL": shown,
        "panelURL": f"{shown}&viewPanel=2",
        "values": {"A": 95.5},
        "valueString": "[ var='A' labels={instance=nas} value=95.5 ]",
        "imageURL": "http://grafana/public/img/1.png",
        "embeddedImage": "",
        "orgId": 1,
    }
    return {
        "receiver": "wechat",
        "status": status,
        "alerts": [alert],
        "groupLabels": {"alertname": "Disk"},
        "commonLabels": alert["labels"],
        "commonAnnotations": alert["annotations"],
        "externalURL": "http://grafana/",
        "version": "1",
        "groupKey": '{}:{alertname="Disk"}',
        "truncatedAlerts": truncated,
        "orgId": 1,
        "title": "[FIRING:1] Disk (home nas critical)",
        "state": "alerting" if status == "firing" else "ok",
        "message": "**Firing**",
    }


def read_body(body, interface=GRAFANA):
    head = RequestHead(method="POST")
    return interface.read_command(head, RequestBody(data=json.dumps(body).encode()))


def test_a_body_with_the_fields_of_grafanas_sources():
    body = grafana_body(seen_at=1)
    assert body.keys() == GRAFANA_FIELDS
    assert body["alerts"][0].keys() == GRAFANA_ALERT_FIELDS
    command = read_body(body)
    assert command.fields == {
        "text": f"FIRING: Disk (critical)\nnas: 95 % full\n{body['alerts'][0]['panelURL']}",
        "priority": "high",
        "urgent": True,
    }
    resolved = read_body(grafana_body(seen_at=1, status="resolved"))
    assert resolved.fields["text"].startswith("RESOLVED: Disk (critical)\nnas: 95 % full")
    assert "urgent" not in resolved.fields
    assert read_body(grafana_body(seen_at=1, truncated=7)).fields["text"].startswith("FIRING (1): Disk")


def test_a_repetition_of_grafana_has_other_links_and_the_same_content():
    first, again = read_body(grafana_body(seen_at=1)), read_body(grafana_body(seen_at=2))
    assert first.fields != again.fields
    assert first.content == again.content != read_body(grafana_body(seen_at=1, status="resolved")).content


# github.com/prometheus/alertmanager: `Message` of notify/webhook/webhook.go around `Data` of template/template.go
ALERTMANAGER_FIELDS = {
    *("receiver", "status", "alerts", "groupLabels", "commonLabels", "commonAnnotations", "externalURL"),
    *("version", "groupKey", "truncatedAlerts"),
}
# `Alert` of template/template.go
ALERTMANAGER_ALERT_FIELDS = {
    *("status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"),
}


def test_alertmanagers_fields_are_among_those_of_grafana():
    assert ALERTMANAGER_FIELDS < GRAFANA_FIELDS
    assert ALERTMANAGER_ALERT_FIELDS < GRAFANA_ALERT_FIELDS
    body = grafana_body(seen_at=1)
    own = {key: body[key] for key in ALERTMANAGER_FIELDS}
    own["alerts"] = [{key: alert[key] for key in ALERTMANAGER_ALERT_FIELDS} for alert in body["alerts"]]
    text = read_body(own, ALERTMANAGER).fields["text"]
    assert text == f"FIRING: Disk (critical)\nnas: 95 % full\n{body['alerts'][0]['generatorURL']}"

"""The webhooks of Alertmanager and Grafana: their bodies as their sources name the fields, and what they are answered."""

from __future__ import annotations

import json
from http import HTTPStatus

from tests.support.rows import every_row
from tests.unit.web.senders.test_alert_groups import ALERTMANAGER, GRAFANA, make_alert, read, text
from wx2mqtt.web.senders.interface import Refused, RequestBody, RequestHead


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
    """Returns a body with one alert of a dashboard; its links end with the time of the notification."""
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

"""Makes one text of a group of alerts, as Alertmanager and Grafana send them. Pure.

    FIRING (2): HighLoad          the title: states with their counts, and what all alerts have in common
    db1: load 12 (critical)       up to five alerts: firing ones first, then by severity
    db2: load 9 (warning)
    https://wiki/high-load        the runbook of the first alert
    https://prometheus/…          a link to a single alert, or to the service for several ones

A name or severity that all alerts have stands in the title only, any other in the line of its alert.
The same alerts in the same states, each begun at the same time, are the same content (`AlertGroup.content`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.web import alert_text
from wx2mqtt.model import Json
from wx2mqtt.values import frozen
from wx2mqtt.web.senders.service_texts import joined_text, object_value, text_value

# Alerts that are named; the rest is counted.
MAX_NAMED_ALERTS = 5

# The line of one alert: two or three lines on a phone.
MAX_LINE_CHARACTERS = 200

# What `_links_of` returns at most: more links are neither useful nor short.
MAX_LINKS = 2


@frozen
class ReportedAlert:
    #: Whether it lasts; False for one that is resolved.
    is_firing: bool
    #: In lower case, such as `critical`; empty without one.
    severity: str
    name: str
    #: What is wrong, and where, in one line; empty where only the name says it.
    line: str
    #: Says what to do about such alerts; empty without one.
    runbook: str
    #: Leads to this alert only; empty without one.
    link: str
    #: The same in each report of this alert, as long as it lasts.
    identity: str


@frozen
class AlertGroup:
    """The alerts that a service reports together."""

    #: The most important alert comes first.
    alerts: tuple[ReportedAlert, ...]
    #: How many alerts the service left out.
    left_out_count: int
    #: The name that all alerts have; empty where they differ.
    common_name: str
    #: The severity that all alerts have; empty where they differ.
    common_severity: str
    #: The address of the service, for the whole group.
    link: str

    @property
    def is_firing(self) -> bool:
        return any(alert.is_firing for alert in self.alerts)

    @property
    def is_critical(self) -> bool:
        """Whether an alert is critical that has not been resolved."""
        return any(alert.is_firing and alert.severity == "critical" for alert in self.alerts)

    @property
    def content(self) -> str:
        """A hash that is equal for the same alerts in the same states."""
        states = sorted((alert.identity, alert.is_firing) for alert in self.alerts)
        return hashlib.sha256(json.dumps([states, self.left_out_count]).encode()).hexdigest()


# --- reading ---


def read_group(fields: Mapping[str, Json], link_keys: Sequence[str] = ("generatorURL",)) -> AlertGroup:
    """Returns the alerts of a webhook's body; `link_keys` are those of an alert. Raises `BadCommand`."""
    listed = fields.get("alerts")
    if not isinstance(listed, list) or not listed or not all(isinstance(alert, dict) for alert in listed):
        raise BadCommand("bad_command", "no_alerts")
    common = {**object_value(fields, "groupLabels"), **object_value(fields, "commonLabels")}
    alerts = [_read_alert(alert, common, link_keys) for alert in listed if isinstance(alert, dict)]
    alerts.sort(key=_rank)
    left_out = fields.get("truncatedAlerts")
    return AlertGroup(
        alerts=tuple(alerts),
        left_out_count=left_out if isinstance(left_out, int) and left_out > 0 else 0,
        common_name=_common_value([alert.name for alert in alerts]),
        common_severity=_common_value([alert.severity for alert in alerts]),
        link=_address(fields, "externalURL"),
    )


def _read_alert(
    fields: Mapping[str, Json], common: Mapping[str, Json], link_keys: Sequence[str]
) -> ReportedAlert:
    labels, annotations = object_value(fields, "labels"), object_value(fields, "annotations")
    # Both services send a fingerprint. Another program may not: its labels say which alert it is.
    fingerprint = text_value(fields, "fingerprint") or json.dumps(labels, sort_keys=True, default=str)
    return ReportedAlert(
        is_firing=text_value(fields, "status") != "resolved",
        severity=_in_one_line(text_value(labels, "severity")).lower(),
        name=_in_one_line(text_value(labels, "alertname")),
        line=_line_of(labels, annotations, common),
        runbook=_address(annotations, "runbook_url"),
        link=next(filter(None, (_address(fields, key) for key in link_keys)), ""),
        identity=f"{fingerprint} {text_value(fields, 'startsAt')}",
    )


# Annotations that say in one line what is wrong, the best first.
_SUMMARY_KEYS = ("summary", "message", "description")

# Labels that the text says elsewhere, or that are of no use to a person.
_HIDDEN_LABELS = frozenset({"alertname", "severity", "grafana_folder", "monitor"})


def _line_of(labels: Mapping[str, Json], annotations: Mapping[str, Json], common: Mapping[str, Json]) -> str:
    """Returns what is wrong, such as "db1: disk full"; without a summary the labels that are not `common`."""
    shown_labels = {key: text_value(labels, key) for key in labels if key not in _HIDDEN_LABELS}
    summaries = (text_value(annotations, key).strip() for key in _SUMMARY_KEYS)
    summary = next(filter(None, summaries), "")
    instance = shown_labels.get("instance", "")
    if summary:
        line = summary if instance in summary else f"{instance}: {summary}"
    else:
        own_labels = {key: value for key, value in shown_labels.items() if key not in common}
        line = ", ".join(f"{key}: {value}" for key, value in (own_labels or shown_labels).items())
    return _in_one_line(line)


def _in_one_line(text: str) -> str:
    """Returns a text without line breaks, cut to `MAX_LINE_CHARACTERS`."""
    line = " ".join(text[: 4 * MAX_LINE_CHARACTERS].split())
    return line if len(line) <= MAX_LINE_CHARACTERS else f"{line[: MAX_LINE_CHARACTERS - 1]}…"


def _address(fields: Mapping[str, Json], key: str) -> str:
    """Returns the address in a field; empty for anything else, and for one with blanks or line breaks."""
    value = fields.get(key)
    if not isinstance(value, str) or value.split() != [value]:
        return ""
    return value if value.startswith(("http://", "https://")) else ""


# A lower rank is worse. An unknown severity stands between a warning and an information.
_SEVERITY_RANKS = {"critical": 0, "error": 1, "high": 1, "warning": 2, "info": 4, "none": 5}
_OTHER_RANK = 3


def _rank(alert: ReportedAlert) -> tuple[bool, int]:
    return not alert.is_firing, _SEVERITY_RANKS.get(alert.severity, _OTHER_RANK)


def _common_value(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else ""


# --- writing ---


def text_of(group: AlertGroup, language: Language) -> str:
    lines = [_title_of(group, language)]
    lines += [_line_in_group(group, alert, language) for alert in group.alerts[:MAX_NAMED_ALERTS]]
    rest = len(group.alerts) - MAX_NAMED_ALERTS
    rest_count = max(0, rest) + group.left_out_count
    if rest_count:
        lines.append(alert_text(language, "rest", count=rest_count))
    return joined_text(*lines, links=_links_of(group))


def _title_of(group: AlertGroup, language: Language) -> str:
    """Returns the first line, such as "FIRING (2): HighLoad (critical)", or only "FIRING (2)"."""
    states, name, severity = _states_of(group, language), group.common_name, group.common_severity
    if name and severity:
        name += alert_text(language, "severity", severity=severity)
    common = name or severity
    return alert_text(language, "title", states=states, common=common) if common else states


def _states_of(group: AlertGroup, language: Language) -> str:
    """Returns the states of the alerts, each with its count where there are several alerts."""
    firing_count = sum(alert.is_firing for alert in group.alerts)
    counts = {"firing": firing_count, "resolved": len(group.alerts) - firing_count}
    is_single = len(group.alerts) + group.left_out_count == 1
    states = []
    for state, count in counts.items():
        word = alert_text(language, state)
        if count:
            states.append(word if is_single else alert_text(language, "counted", state=word, count=count))
    return alert_text(language, "between_states").join(states)


def _line_in_group(group: AlertGroup, alert: ReportedAlert, language: Language) -> str:
    """Returns the line of an alert, with its name, severity and state where the title does not say them."""
    line = alert.line
    if not group.common_name and alert.name and alert.name not in line:
        line = f"{alert.name}: {line}" if line else alert.name
    if not group.common_severity and alert.severity:
        line += alert_text(language, "severity", severity=alert.severity)
    if group.is_firing and not alert.is_firing:
        line = alert_text(language, "resolved_line", line=line)
    return line


def _links_of(group: AlertGroup) -> Sequence[str]:
    """Returns the runbook of the first alert, then the link to a single alert, else to the service."""
    first = group.alerts[0]
    is_single = len(group.alerts) == 1
    link = first.link if is_single and first.link else group.link
    return first.runbook, link

"""What Alertmanager and Grafana send to webhooks: `POST /hook/alertmanager`, `POST /hook/grafana`. Pure.

    {"status": "firing", "alerts": [{"labels": {…}, "annotations": {…}, …}, …], …}     one text for the group

`alert_groups.py` makes the text, and says what a repetition is.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

from typing_extensions import override

from wx2mqtt.limits import ALERTS_JSON
from wx2mqtt.model import Json
from wx2mqtt.web.senders.alert_groups import AlertGroup, read_group, text_of
from wx2mqtt.web.senders.interface import (
    BodyForm,
    BodyPlan,
    Refused,
    RequestBody,
    RequestHead,
    SenderCommand,
    SenderInterface,
    ServiceAnswer,
    basic_password,
    bearer_token,
    json_object,
)

# Where an alert of Grafana leads, the most useful first.
_GRAFANA_LINK_KEYS = ("panelURL", "dashboardURL", "generatorURL")


class AlertmanagerInterface(SenderInterface):
    """A webhook receiver of Alertmanager, version 4."""

    name = "alertmanager"
    paths = ("/hook/alertmanager",)

    @override
    def read_token(self, head: RequestHead) -> str:
        return bearer_token(head) or basic_password(head)

    @override
    def plan_body(self, head: RequestHead) -> BodyPlan:
        return BodyPlan(form=BodyForm.BYTES, max_bytes=ALERTS_JSON.max_bytes)

    @override
    def read_command(self, head: RequestHead, body: RequestBody) -> SenderCommand:
        group = self._read_group(body.data)
        fields: dict[str, Json] = {"text": text_of(group, head.language)}
        if group.is_critical:
            fields |= {"urgent": True, "priority": "high"}
        return SenderCommand(fields=fields, content=f"{self.name} {group.content}")

    def _read_group(self, data: bytes) -> AlertGroup:
        return read_group(json_object(data, ALERTS_JSON))

    @override
    def write_refusal(self, refused: Refused) -> ServiceAnswer:
        """Answers 429 as 503: Alertmanager and Grafana repeat only what was answered with 5xx."""
        if refused.status == HTTPStatus.TOO_MANY_REQUESTS:
            refused = replace(refused, status=HTTPStatus.SERVICE_UNAVAILABLE)
        return super().write_refusal(refused)


class GrafanaInterface(AlertmanagerInterface):
    """A contact point of Grafana: what Alertmanager sends, and links to dashboards and panels besides."""

    name = "grafana"
    paths = ("/hook/grafana",)

    @override
    def _read_group(self, data: bytes) -> AlertGroup:
        return read_group(json_object(data, ALERTS_JSON), _GRAFANA_LINK_KEYS)

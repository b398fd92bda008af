"""Requests of senders over HTTP: heads, queries, forms and JSON, before anybody judges the command in them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

from tests.fuzz.mutators import grown, grown_json, mutated, mutated_json
from tests.fuzz.oracles import JSON_MEMORY_FACTOR
from tests.fuzz.target import Target
from tests.fuzz.targets.mqtt import check_refusal
from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n import Language
from wx2mqtt.limits import ALERTS_JSON, COMMAND_JSON
from wx2mqtt.web.senders import alert_groups, interface, service_texts
from wx2mqtt.web.senders.endpoint import INTERFACES
from wx2mqtt.web.senders.interface import MAX_FORM_FIELDS, RequestBody, RequestHead
from wx2mqtt.web.senders.own_interface import MAX_WAIT_SECONDS, PlainInterface

_TYPES = ("", "text/plain", "application/json", "multipart/form-data", "image/png", "application/pdf")


def _run(data: bytes) -> None:
    """Reads a request: the first line is the query, the second a header, the rest the body."""
    query_line, _, rest = data.partition(b"\n")
    header, _, body = rest.partition(b"\n")
    text = header.decode("latin-1")
    try:
        query = interface.form_fields(query_line.decode("latin-1"))
    except BadCommand as bad:
        check_refusal(bad)
        query = {}
    assert len(query) <= MAX_FORM_FIELDS
    try:
        interface.json_object(body, COMMAND_JSON)
    except BadCommand as bad:
        check_refusal(bad)
    for media_type in (*_TYPES, text):
        headers = {"content-type": media_type, "authorization": text, "idempotency-key": text}
        head = RequestHead(method="POST", path_names={"user": "wife"}, query=query, headers=headers)
        _check(head, body)
    assert "\n" not in interface.bearer_token(head)
    interface.basic_password(head)


def _check(head: RequestHead, data: bytes) -> None:
    plain = PlainInterface()
    try:
        plain.plan_body(head)
        form = interface.form_fields(data.decode("latin-1"))
        read = plain.read_command(head, RequestBody(data=data, fields=form))
    except BadCommand as bad:
        check_refusal(bad)
        return
    assert read.user == "wife"
    assert 0 <= read.wait_seconds <= MAX_WAIT_SECONDS
    if head.media_type == "multipart/form-data":
        assert {*read.fields} - {"id"} == {*form} - {"id"}


def _run_services(data: bytes) -> None:
    """Reads a request to each service: the first line is a header, the second the query, the rest the body."""
    header, _, rest = data.partition(b"\n")
    query_line, _, body = rest.partition(b"\n")
    text = header.decode("latin-1")
    try:
        query = interface.form_fields(query_line.decode("latin-1"))
    except BadCommand:
        query = {}
    for service in INTERFACES:
        if isinstance(service, PlainInterface):
            continue
        for name, media_type in (
            ("title", "application/json"),
            ("tags", "application/x-www-form-urlencoded"),
        ):
            headers = {"content-type": media_type, name: text, "authorization": text}
            for method, names in (("POST", {}), ("POST", {"user": "wife"}), ("GET", {"user": "wife"})):
                head = RequestHead(method=method, path_names=names, query=query, headers=headers)
                _check_service(service, head, body)
    service_texts.plain_text_of(data.decode("utf-8", "replace"))


_ACCEPTED = interface.Accepted(id="c1", account="home", user="wife", sender="nas", row_id=1, time=1)


def _check_service(service: interface.SenderInterface, head: RequestHead, body: bytes) -> None:
    service.read_token(head)
    try:
        service.plan_body(head)
        read = service.read_command(head, RequestBody(data=body))
    except BadCommand as bad:
        check_refusal(bad)
        return
    assert read.fields.get("text") or "kind" in read.fields
    assert str(read.fields.get("text", "x")).strip()
    answer = service.write_answer(replace(_ACCEPTED, answer_fields=read.answer_fields))
    assert isinstance(json.loads(answer.content), dict)


def _run_alerts(data: bytes) -> None:
    try:
        group = alert_groups.read_group(interface.json_object(data, ALERTS_JSON))
    except BadCommand as bad:
        check_refusal(bad)
        return
    assert len(group.content) == 64
    for language in get_args(Language):
        lines = alert_groups.text_of(group, language).splitlines()
        assert 1 <= len(lines) <= 2 + alert_groups.MAX_NAMED_ALERTS + alert_groups.MAX_LINKS


_SERVICES = (
    (
        b'Basic dTpw\nkey=abc&token=abc&auth=QmFzaWM&p=5\n{"title": "a", "message": "**b**", "priority": 8, "topic": "me",'
        b' "extras": {"client::display": {"contentType": "text/markdown"}}, "tags": ["warning", "a"]}'
    ),
    b'=?UTF-8?B?5byA54Gv?=\na=https://x/a.jpg\n{"msgtype": "text", "text": {"content": "a", "mentioned_list": ["b"]}}',
    b'a\n\n{"msgtype": "news", "news": {"articles": [{"title": "a", "url": "http://x"}]}}',
    b'a\n\n{"msgtype": "image", "image": {"base64": "AAAA", "md5": "x"}}',
)
_ALERT_GROUPS = (
    (
        b'{"alerts": [{"status": "firing", "labels": {"alertname": "A", "severity": "critical", "instance": "i"},'
        b' "annotations": {"summary": "x", "runbook_url": "http://r"}, "startsAt": "2026-11-30T10:00:00Z",'
        b' "fingerprint": "f", "generatorURL": "http://p"}, {"status": "resolved"}], "externalURL": "http://a",'
        b' "commonLabels": {"alertname": "A"}, "truncatedAlerts": 3}'
    ),
)
_SERVICE_WORDS = (
    "=?",
    "?=",
    "[",
    "](",
    "**",
    "`",
    "#",
    "<font>",
    "\n",
    '"',
    "{",
    "}",
    "delay=1",
    "1e9",
    "null",
)

_SEEDS = (
    b'wait=3\n"k1"\n{"text": "home", "id": "k1"}',
    b"ttl=600&urgent=1&id=7\nBearer abc\nhome at six",
    b"name=plan.pdf\nBasic dTpw\nttl=1.5&mention=%5B%22a%22%5D&urgent=yes",
    b"\n\n",
)
_WORDS = (
    "&",
    "=",
    "%",
    "\n",
    '"',
    "{",
    "}",
    "[",
    "wait=",
    "id=",
    "ttl=",
    "urgent=",
    "name=",
    "Basic ",
    "1e9",
)

TARGETS = (
    Target(
        name="web.senders.services",
        run=_run_services,
        parsers=(
            *(f"web.senders.service_texts:{name}" for name in ("joined_text", "plain_text_of", "text_value")),
            *(f"web.senders.service_texts:{name}" for name in ("object_value", "required_text")),
            "web.senders.gotify:read_priority",
        ),
        seeds=_SERVICES,
        generate=mutated(_SERVICES, _SERVICE_WORDS),
        grow=grown(_SERVICES, _SERVICE_WORDS),
        cost_factor=20.0,
        memory_factor=20.0,  # each body is read by five services, in two types
    ),
    Target(
        name="web.senders.alerts",
        run=_run_alerts,
        parsers=("web.senders.alert_groups:read_group", "web.senders.alert_groups:text_of"),
        seeds=_ALERT_GROUPS,
        generate=mutated_json(_ALERT_GROUPS, ("alerts", "labels", "annotations", "status", "severity")),
        grow=grown_json(_ALERT_GROUPS, ("alerts", "labels", "annotations", "status", "severity")),
        cost_factor=4.0,
        memory_factor=JSON_MEMORY_FACTOR,
    ),
    Target(
        name="web.senders",
        run=_run,
        parsers=tuple(f"web.senders.interface:{name}" for name in ("form_fields", "json_object")),
        seeds=_SEEDS,
        generate=mutated(_SEEDS, _WORDS),
        grow=grown(_SEEDS, _WORDS),
        cost_factor=8.0,
        memory_factor=8.0,  # each body is read as six types
    ),
)

"""The interface of ntfy: which command each of its requests is, and what it is answered."""

from __future__ import annotations

import base64
import json
from http import HTTPStatus

from tests.support.rows import every_row
from tests.unit.web.senders.service_requests import (
    PICTURE,
    URGENT,
    answer_of,
    answer_to,
    decode_strictly,
    refused_by,
)
from wx2mqtt.web.senders.interface import (
    BodyForm,
    BodyPlan,
    Refused,
    RequestBody,
    RequestHead,
)
from wx2mqtt.web.senders.ntfy import DEFAULT_FILENAME, NtfyInterface

NTFY = NtfyInterface()


def ntfy(headers=None, query=None, data=b"", file=None, user="me"):
    names = {"user": user} if user else {}
    head = RequestHead(method="PUT", path_names=names, headers=headers or {}, query=query or {})
    return NTFY.read_command(head, RequestBody(data=data, file=file))


# `message` of ntfy (github.com/binwiederhier/ntfy, server/types.go)
NTFY_REQUIRED = {"id": str, "time": int, "event": str, "topic": str}
NTFY_OPTIONAL = {
    "expires": int,
    "title": str,
    "message": str,
    "priority": int,
    "tags": list,
    "click": str,
    "icon": str,
    "actions": list,
    "attachment": dict,
    "poll_id": str,
    "encoding": str,
}


@every_row(
    "headers, query, data, fields",
    [
        ({}, {}, b"hello \xe2\x98\x80\n", {"text": "hello ☀"}),
        ({}, {}, b"", {"text": "triggered"}),
        ({"message": "one\\ntwo"}, {}, b"", {"text": "one\ntwo"}),
        ({"m": "header"}, {}, b"body", {"text": "body"}),
        ({"title": "Door"}, {}, b"rang", {"text": "Door\nrang"}),
        ({}, {"t": "Door", "p": "urgent"}, b"rang", {"text": "Door\nrang", **URGENT}),
        ({"x-title": "é".encode().decode("latin-1")}, {}, b"x", {"text": "é\nx"}),
        ({"title": "=?UTF-8?B?5byA54Gv?="}, {}, b"x", {"text": "开灯\nx"}),
        ({"title": "=?nothing?B?x?="}, {}, b"x", {"text": "=?nothing?B?x?=\nx"}),
        ({"title": "=?é?B?eA==?="}, {}, b"x", {"text": "=?é?B?eA==?=\nx"}),
        ({"priority": "u=4, i"}, {}, b"x", {"text": "x"}),
        ({"priority": "u=4", "x-priority": "5"}, {}, b"x", {"text": "x", **URGENT}),
        ({"priority": "High"}, {}, b"x", {"text": "x", "priority": "high"}),
        ({"prio": "2"}, {}, b"x", {"text": "x", "priority": "low"}),
        ({"tags": "warning,disk"}, {}, b"full", {"text": "⚠️ full\n[disk]"}),
        (
            {"tags": "tada", "title": "Done", "click": "https://x/"},
            {},
            b"y",
            {"text": "🎉 Done\ny\nhttps://x/"},
        ),
        ({"markdown": "yes"}, {}, b"# **full**", {"text": "full"}),
        ({"icon": "https://x/i.png", "actions": "view, Open, https://x/"}, {}, b"y", {"text": "y"}),
        (
            {"attach": "https://cam/a.jpg?x=1"},
            {},
            b"rang",
            {"kind": "image", "url": "https://cam/a.jpg?x=1", "text": "rang"},
        ),
        (
            {"a": "https://cam/clip", "f": "clip.mp4"},
            {},
            b"",
            {"kind": "video", "url": "https://cam/clip", "name": "clip.mp4"},
        ),
        ({"attach": "t://["}, {}, b"rang", {"kind": "file", "url": "t://[", "text": "rang"}),
    ],
)
def test_a_message_of_ntfy(headers, query, data, fields):
    assert ntfy(headers, query, data).fields == fields


@every_row(
    "headers, fields",
    [
        ({"filename": "door.png"}, {"name": "door.png"}),
        ({"f": "door.png", "m": "rang", "t": "Door"}, {"name": "door.png", "text": "Door\nrang"}),
        ({}, {"name": DEFAULT_FILENAME}),
    ],
)
def test_a_body_that_is_a_file(headers, fields):
    command = ntfy(headers, file=PICTURE)
    assert (command.fields, command.file, command.user) == (fields, PICTURE, "me")


@every_row(
    "headers, form",
    [
        ({}, BodyForm.TEXT_OR_FILE),
        ({"filename": "a.txt"}, BodyForm.FILE),
        ({"filename": "a.txt", "attach": "https://x/"}, BodyForm.TEXT_OR_FILE),
    ],
)
def test_a_name_makes_the_body_a_file(headers, form):
    head = RequestHead(method="PUT", path_names={"user": "me"}, headers=headers)
    assert NTFY.plan_body(head).form is form


def test_ntfy_with_get_has_all_in_the_query_and_no_body():
    query = {
        "message": "rang",
        "title": "Door",
        "priority": "5",
        "filename": "a.txt",
        "auth": "x",
        "to": "+86",
    }
    head = RequestHead(method="GET", path_names={"user": "me"}, query=query)
    assert NTFY.plan_body(head) == BodyPlan(form=BodyForm.BYTES, max_bytes=0)
    command = NTFY.read_command(head, RequestBody())
    assert (command.user, command.fields) == ("me", {"text": "Door\nrang", **URGENT})


def test_ntfy_in_json_names_the_recipient_in_the_body():
    body = {
        "topic": "wife",
        "message": "low",
        "title": "Disk",
        "priority": 5,
        "tags": ["warning", "nas"],
        "markdown": False,
        "actions": [{"action": "view", "label": "Open", "url": "https://x/"}],
    }
    head = RequestHead(method="POST", headers={"content-type": "text/plain"})
    assert NTFY.read_recipient(head) is None
    assert NTFY.plan_body(head).form is BodyForm.BYTES
    command = ntfy(data=json.dumps(body).encode(), user="")
    assert command.user == "wife"
    assert command.fields == {"text": "⚠️ Disk\nlow\n[nas]", **URGENT}


# What Uptime Kuma 2 writes, by the event; github.com/louislam/uptime-kuma: server/notification-providers/ntfy.js
# (`data`, `ntfyTestData`) and gotify.js; `msg` is made in server/model/monitor.js
KUMA_FIELDS = {"topic", "message", "priority", "title", "tags", "actions", "icon"}


KUMA_TEST_FIELDS = {"topic", "title", "message", "priority", "tags"}


def kuma_body(name="Router", **more):
    return {
        "topic": "me",
        "title": f"{name} Down [Uptime-Kuma]",
        "message": "timeout of 48000ms exceeded",
        "priority": 5,
        "tags": ["red_circle"],
        **more,
    }


@every_row(
    "body, fields",
    [
        (kuma_body(), {"text": "🔴 Router Down [Uptime-Kuma]\ntimeout of 48000ms exceeded", **URGENT}),
        (
            kuma_body(
                tags=["red_circle", "site: home", "nas"],  # the monitor has tags, one with a value
                actions=[{"action": "view", "label": "Open Router", "url": "http://router/"}],
                icon="https://kuma/icon.svg",
            ),
            {
                "text": "🔴 Router Down [Uptime-Kuma]\ntimeout of 48000ms exceeded\n[site: home, nas]",
                **URGENT,
            },
        ),
        (
            kuma_body(title="Router Up [Uptime-Kuma]", message="200 - OK", priority=4, tags=["green_circle"]),
            {"text": "🟢 Router Up [Uptime-Kuma]\n200 - OK", "priority": "high"},
        ),
        (
            kuma_body(title="me [Uptime-Kuma]", message="My ntfy Alert Testing", tags=["test_tube"]),
            {"text": "me [Uptime-Kuma]\nMy ntfy Alert Testing\n[test_tube]", **URGENT},
        ),
    ],
)
def test_uptime_kuma_as_ntfy(body, fields):
    assert KUMA_TEST_FIELDS <= body.keys() <= KUMA_FIELDS
    assert ntfy(data=json.dumps(body).encode(), user="").fields == fields


def test_beside_json_headers_say_the_rest_as_apprise_sends_them():
    headers = {"x-priority": "max", "x-tags": "warning", "title": "of the header"}
    command = ntfy(headers, data=b'{"topic": "wife", "title": "Disk", "message": "full"}', user="")
    assert command.fields == {"text": "⚠️ Disk\nfull", **URGENT}


@every_row(
    "body, code",
    [
        ({"message": "x"}, "bad_command"),
        ({"topic": "me", "message": {}}, "bad_command"),
        ({"topic": "me", "message": "x", "priority": 9}, "bad_command"),
        ({"topic": "me", "message": "x", "delay": "1h"}, "unsupported"),
    ],
)
def test_what_ntfy_cannot_send_here_is_refused(body, code):
    assert refused_by(lambda: ntfy(data=json.dumps(body).encode(), user="")) == code


def _auth_of_query(header):
    return base64.urlsafe_b64encode(header.encode()).decode().rstrip("=")


@every_row(
    "headers, query",
    [
        ({"authorization": "Bearer t?>"}, {}),
        ({"authorization": "Basic " + base64.b64encode(b"any:t?>").decode()}, {}),
        ({}, {"auth": _auth_of_query("Bearer t?>")}),
        ({}, {"auth": _auth_of_query("Basic " + base64.b64encode(b":t?>").decode())}),
    ],
)
def test_ntfy_takes_the_token_in_three_ways(headers, query):
    assert NTFY.read_token(RequestHead(method="PUT", headers=headers, query=query)) == "t?>"


@every_row("auth", ["", "%", "é", "x", _auth_of_query("Digest x")])
def test_what_is_no_token_of_a_query_is_none(auth):
    assert NTFY.read_token(RequestHead(method="PUT", query={"auth": auth})) == ""


ALL_OPTIONS = {
    "message": "满了",
    "title": "磁盘",
    "priority": 4,
    "tags": ["warning", "disk"],
    "click": "http://nas/",
}


@every_row(
    "call, repeated",
    [
        ({"data": b"full\n"}, {"message": "full"}),
        ({"data": b""}, {"message": "triggered"}),
        (
            {"headers": {"p": "urgent", "ta": "warning"}},
            {"message": "triggered", "priority": 5, "tags": ["warning"]},
        ),
        ({"data": json.dumps({**ALL_OPTIONS, "topic": "me"}).encode(), "user": ""}, ALL_OPTIONS),
        (
            {"headers": {"filename": "a.png", "title": "Door"}, "file": PICTURE},
            {"message": "You received a file: a.png", "title": "Door"},
        ),
        ({"headers": {"message": "rang"}, "file": PICTURE}, {"message": "rang"}),
        ({"query": {"attach": "http://cam/a.jpg"}}, {"message": "You received a file: attachment"}),
    ],
)
def test_ntfys_answer_is_the_message_with_all_fields(call, repeated):
    status, body = answer_to(NTFY, ntfy(**call))
    decode_strictly(body, NTFY_REQUIRED, NTFY_OPTIONAL)
    expected = {"id": "c1", "time": 1_700_000_000, "event": "message", "topic": "me"}
    assert (status, body) == (200, {**expected, **repeated})


def test_ntfy_is_refused_as_ntfy_refuses():
    status, body = answer_of(
        NTFY.write_refusal(Refused(status=HTTPStatus(429), code="rate_limited", message="slow"))
    )
    assert (status, body) == (429, {"code": 42901, "http": 429, "error": "slow"})

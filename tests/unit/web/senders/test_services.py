"""The interfaces of other services: which command each of their requests is, and what they are answered."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from http import HTTPStatus

import pytest

from tests.support.rows import every_row
from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n.bridge import rejection_text
from wx2mqtt.model import Blob
from wx2mqtt.web.senders.endpoint import INTERFACES
from wx2mqtt.web.senders.gotify import GotifyInterface
from wx2mqtt.web.senders.interface import (
    Accepted,
    BodyForm,
    BodyPlan,
    Refused,
    RequestBody,
    RequestHead,
    UploadedFile,
)
from wx2mqtt.web.senders.ntfy import DEFAULT_FILENAME, NtfyInterface
from wx2mqtt.web.senders.service_texts import MAX_MARKDOWN_CHARACTERS, plain_text_of
from wx2mqtt.web.senders.wecom_robot import WeComRobotInterface

GOTIFY, NTFY, ROBOT = GotifyInterface(), NtfyInterface(), WeComRobotInterface()
URGENT = {"priority": "high", "urgent": True}
PICTURE = UploadedFile(name="", blob=Blob(sha256="ab", size=3, mime="image/png", path="ab.png"))
ACCEPTED = Accepted(id="c1", account="home", user="me", row_id=17, time=1_700_000_000_123)


def refused_by(work):
    with pytest.raises(BadCommand) as caught:
        work()
    assert rejection_text("en", caught.value)
    assert rejection_text("zh", caught.value)
    return caught.value.code


def answer_of(answer):
    return answer.status, json.loads(answer.content)


# Gotify


def gotify(message, content_type="application/json"):
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    head = RequestHead(method="POST", headers={"content-type": content_type})
    return GOTIFY.read_command(head, RequestBody(data=data)).fields


@every_row(
    "message, fields",
    [
        ({"message": "done"}, {"text": "done"}),
        ({"title": "Backup", "message": "done\n"}, {"text": "Backup\ndone"}),
        ({"message": "done", "priority": 5}, {"text": "done"}),
        ({"message": "done", "priority": 2}, {"text": "done", "priority": "low"}),
        ({"message": "done", "priority": 8}, {"text": "done", **URGENT}),
        ({"message": "done", "priority": 10}, {"text": "done", **URGENT}),
        (
            {
                "message": "**done** [log](http://nas/log)",
                "extras": {
                    "client::display": {"contentType": "text/markdown"},
                    "client::notification": {
                        "click": {"url": "http://nas/"},
                        "bigImageUrl": "http://nas/a.png",
                    },
                },
            },
            {"text": "done log http://nas/log\nhttp://nas/"},
        ),
    ],
)
def test_a_message_of_gotify(message, fields):
    assert gotify(message) == fields


def test_a_message_of_gotify_as_a_form():
    form = b"title=Backup&message=done+%E2%9C%85&priority=8"
    expected = {"text": "Backup\ndone ✅", **URGENT}
    assert gotify(form, "application/x-www-form-urlencoded") == expected
    head = RequestHead(method="POST", headers={"content-type": "multipart/form-data; boundary=x"})
    assert GOTIFY.plan_body(head).form is BodyForm.MULTIPART
    parts = RequestBody(fields={"title": "Backup", "message": "done", "priority": "1"})
    assert GOTIFY.read_command(head, parts).fields == {"text": "Backup\ndone", "priority": "low"}


@every_row(
    "message, code",
    [
        ({}, "empty"),
        ({"message": " "}, "empty"),
        ({"title": "x", "message": None}, "empty"),
        ({"message": ["x"]}, "bad_command"),
        ({"message": "x", "priority": "soon"}, "bad_command"),
        ({"message": "x", "priority": True}, "bad_command"),
        ({"message": "x", "priority": 1.5}, "bad_command"),
        ({"message": "x", "extras": []}, "bad_command"),
        (b"{", "bad_command"),
        (b"[1]", "bad_command"),
        (b'{"message": "\xff"}', "bad_command"),
    ],
)
def test_what_gotify_would_refuse_is_refused(message, code):
    assert refused_by(lambda: gotify(message)) == code


@every_row(
    "headers, query",
    [({"x-gotify-key": "t"}, {}), ({}, {"token": "t"}), ({"authorization": "Bearer t"}, {})],
)
def test_gotify_takes_the_token_in_three_ways(headers, query):
    assert GOTIFY.read_token(RequestHead(method="POST", headers=headers, query=query)) == "t"


def test_gotify_is_answered_with_a_number():
    status, body = answer_of(GOTIFY.write_answer(ACCEPTED))
    assert (status, body["id"], body["date"]) == (200, 17, "2023-11-14T22:13:20.123Z")
    status, body = answer_of(
        GOTIFY.write_refusal(Refused(status=HTTPStatus(401), code="unauthorized", message="no"))
    )
    assert (status, body["errorCode"], body["errorDescription"]) == (401, 401, "no")


# ntfy


def ntfy(headers=None, query=None, data=b"", file=None, user="me"):
    names = {"user": user} if user else {}
    head = RequestHead(method="PUT", path_names=names, headers=headers or {}, query=query or {})
    return NTFY.read_command(head, RequestBody(data=data, file=file))


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
KUMA_GOTIFY_FIELDS = {"message", "priority", "title"}


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


def test_uptime_kuma_as_gotify():
    body = {"message": "[Router] [🔴 Down] timeout", "priority": 8, "title": "Uptime-Kuma"}
    assert body.keys() == KUMA_GOTIFY_FIELDS
    assert gotify(body) == {"text": "Uptime-Kuma\n[Router] [🔴 Down] timeout", **URGENT}


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


def test_ntfy_is_answered_as_ntfy_answers():
    status, body = answer_of(NTFY.write_answer(ACCEPTED))
    expected = {"id": "c1", "time": 1_700_000_000, "event": "message", "topic": "me"}
    assert (status, body) == (200, expected)
    status, body = answer_of(
        NTFY.write_refusal(Refused(status=HTTPStatus(429), code="rate_limited", message="slow"))
    )
    assert (status, body) == (429, {"code": 42901, "http": 429, "error": "slow"})


# WeCom's robot


def robot(message):
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return ROBOT.read_command(RequestHead(method="POST"), RequestBody(data=data)).fields


PNG = b"\x89PNG\r\n\x1a\n..."
ENCODED, MD5 = base64.b64encode(PNG).decode(), hashlib.md5(PNG, usedforsecurity=False).hexdigest()


@every_row(
    "message, fields",
    [
        ({"msgtype": "text", "text": {"content": "done"}}, {"text": "done"}),
        (
            {"msgtype": "text", "text": {"content": "done @all", "mentioned_list": ["wangqing", "@all"]}},
            {"text": "done @all\n@wangqing"},
        ),
        (
            {
                "msgtype": "markdown",
                "markdown": {"content": '<font color="warning">132</font>\n>**type**: [a](http://x)'},
            },
            {"text": "132\n>type: a http://x"},
        ),
        (
            {"msgtype": "image", "image": {"base64": ENCODED, "md5": MD5}},
            {"kind": "image", "data": ENCODED},
        ),
        (
            {
                "msgtype": "news",
                "news": {
                    "articles": [
                        {"title": "A", "description": "b", "url": "http://x/a", "picurl": "http://x/a.png"},
                        {"title": "C", "url": "http://x/c"},
                    ]
                },
            },
            {"text": "A\nb\nhttp://x/a\n\nC\nhttp://x/c"},
        ),
    ],
)
def test_a_message_of_the_robot(message, fields):
    assert robot(message) == fields


@every_row(
    "message, code",
    [
        ({}, "unsupported"),
        ({"msgtype": "file", "file": {"media_id": "x"}}, "unsupported"),
        ({"msgtype": "text"}, "empty"),
        ({"msgtype": "text", "text": "x"}, "bad_command"),
        ({"msgtype": "news", "news": {"articles": []}}, "empty"),
        ({"msgtype": "image", "image": {"base64": ENCODED, "md5": "0" * 32}}, "bad_command"),
        ({"msgtype": "image", "image": {"base64": "é"}}, "bad_command"),
        (b"\0", "bad_command"),
    ],
)
def test_what_the_robot_would_refuse_is_refused(message, code):
    assert refused_by(lambda: robot(message)) == code


@every_row(
    "refused, status, errcode",
    [
        (Refused(status=HTTPStatus(401), code="unauthorized", message="no"), 401, 93000),
        (Refused(status=HTTPStatus(429), code="rate_limited", message="no"), 429, 45009),
        (Refused(status=HTTPStatus(400), code="bad_command", message="no"), 400, 40058),
    ],
)
def test_the_robot_is_refused_with_its_codes(refused, status, errcode):
    assert answer_of(ROBOT.write_refusal(refused)) == (status, {"errcode": errcode, "errmsg": "no"})
    assert answer_of(ROBOT.write_answer(ACCEPTED)) == (200, {"errcode": 0, "errmsg": "ok"})
    assert ROBOT.read_token(RequestHead(method="POST", query={"key": "t"})) == "t"


# All


def test_no_two_interfaces_have_a_path_or_a_name():
    paths = [path for interface in INTERFACES for path in interface.paths]
    assert len(paths) == len({*paths})
    assert len(INTERFACES) == len({interface.name for interface in INTERFACES})


@every_row(
    "markdown, text",
    [
        ("# Title\n**bold** __too__ `x=1`", "Title\nbold too x=1"),
        ("![](http://x/a.png)", "http://x/a.png"),
        ("[http://x](http://x)", "http://x"),
        ("2 * 3 * 4 a_b_c **", "2 * 3 * 4 a_b_c **"),
        ("#5 is no heading", "#5 is no heading"),
    ],
)
def test_markdown_as_text(markdown, text):
    assert plain_text_of(markdown) == text


def test_markdown_that_is_too_long_for_its_parser_keeps_its_marks():
    assert plain_text_of(f"*a*{'x' * (MAX_MARKDOWN_CHARACTERS - 3)}").startswith("ax")
    text = "[" * 3 * 1024 * 1024  # its parser would take hours
    started_at = time.thread_time()
    assert plain_text_of(text) == text
    assert time.thread_time() - started_at < 1

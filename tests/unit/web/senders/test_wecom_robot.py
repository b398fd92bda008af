"""The interface of WeCom's group robot: which command each of its messages is, and what it is answered."""

from __future__ import annotations

import base64
import hashlib
import json
from http import HTTPStatus

from tests.support.rows import every_row
from tests.unit.web.senders.service_requests import ACCEPTED, answer_of, refused_by
from wx2mqtt.web.senders.interface import (
    Refused,
    RequestBody,
    RequestHead,
)
from wx2mqtt.web.senders.wecom_robot import WeComRobotInterface

ROBOT = WeComRobotInterface()


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

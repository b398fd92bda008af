"""The interface of Gotify: which command each of its requests is, and what it is answered."""

from __future__ import annotations

import json
from http import HTTPStatus

from tests.support.rows import every_row
from tests.unit.web.senders.service_requests import (
    ACCEPTED,
    URGENT,
    answer_of,
    answer_to,
    decode_strictly,
    refused_by,
)
from wx2mqtt.web.senders.gotify import GotifyInterface
from wx2mqtt.web.senders.interface import (
    BodyForm,
    Refused,
    RequestBody,
    RequestHead,
)

GOTIFY = GotifyInterface()


def read(message, content_type="application/json"):
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    head = RequestHead(method="POST", headers={"content-type": content_type})
    return GOTIFY.read_command(head, RequestBody(data=data))


def gotify(message, content_type="application/json"):
    return read(message, content_type).fields


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


# `Message` of Gotify's API (github.com/gotify/server, model/message.go)
GOTIFY_REQUIRED = {
    "id": int,
    "appid": int,
    "date": str,
    "message": str,
    "title": str,
    "priority": int,
}
GOTIFY_OPTIONAL = {"extras": dict}

EXTRAS = {"home::appliances": {"temperature": 21.5, "on": True}}


@every_row(
    "message, content_type, repeated",
    [
        ({"message": "done"}, "", {"message": "done", "title": "nas", "priority": 0}),
        ({"message": "done", "title": " "}, "", {"message": "done", "title": "nas", "priority": 0}),
        (
            {"message": "**done**\n", "title": "备份", "priority": 9, "extras": EXTRAS},
            "",
            {"message": "**done**\n", "title": "备份", "priority": 9, "extras": EXTRAS},
        ),
        (
            b"message=done&title=Backup&priority=-1",
            "application/x-www-form-urlencoded",
            {"message": "done", "title": "Backup", "priority": -1},
        ),
    ],
)
def test_gotifys_answer_is_the_message_with_all_fields(message, content_type, repeated):
    status, body = answer_to(GOTIFY, read(message, content_type))
    decode_strictly(body, GOTIFY_REQUIRED, GOTIFY_OPTIONAL)
    assert (status, body) == (200, {"id": 17, "appid": 1, "date": "2023-11-14T22:13:20.123Z", **repeated})


# What Uptime Kuma 2 writes to Gotify: `test_ntfy.py` says where its sources are.
KUMA_GOTIFY_FIELDS = {"message", "priority", "title"}


def test_uptime_kuma_as_gotify():
    body = {"message": "[Router] [🔴 Down] timeout", "priority": 8, "title": "Uptime-Kuma"}
    assert body.keys() == KUMA_GOTIFY_FIELDS
    assert gotify(body) == {"text": "Uptime-Kuma\n[Router] [🔴 Down] timeout", **URGENT}

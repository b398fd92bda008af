"""The topics to which a result is published, and its form on each."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.support.rows import every_row
from tests.unit.bridge.rows import row_of
from wx2mqtt.bridge.commands.results import ResultPublications, final_result, with_remarks
from wx2mqtt.model import Command, Remark, Result, Status
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.command_records import ReplyTarget

RESULTS = ResultPublications("home", Topics("wx"))


def result(status=Status.SENT, **more):
    return Result(id="door-17", user="wife", status=status, code="ok", time=0, **more)


def reply(shape="result", topic="reply/here", **more):
    values = {"correlation": b"c", "name": "send" if shape == "response" else "", "transaction": None}
    return ReplyTarget(topic=topic, shape=shape, **{**values, **more})


def test_a_result_goes_to_the_level_exactly_as_it_was_received():
    for user in ("wife", "Wife", " 老婆 ", ""):
        assert RESULTS.result_topic_reply(user).topic == f"wx/result/{user}"


def test_each_place_gets_one_publication_with_its_correlation_data():
    publications = RESULTS.publications(
        result(), [RESULTS.result_topic_reply("wife"), reply(), reply("response")]
    )
    assert [
        (publication.topic, publication.correlation, publication.category) for publication in publications
    ] == [
        ("wx/result/wife", None, "result"),
        ("reply/here", b"c", "result"),
        ("reply/here", b"c", "response"),
    ]
    assert {publication.content_type for publication in publications} == {"application/json"}
    assert publications[0].payload == publications[1].payload
    assert json.loads(publications[0].payload)["account"] == "home"


@every_row("status", [Status.SENT, Status.FAILED, Status.EXPIRED, Status.UNCERTAIN])
def test_a_request_to_send_is_answered_with_the_result_however_it_ended(status):
    (publication,) = RESULTS.publications(result(status), [reply("response", transaction="t")])
    body = json.loads(publication.payload)
    assert (body["status"], body["transaction"]) == ("ok", "t")
    assert (body["data"]["status"], body["data"]["id"]) == (str(status), "door-17")


def test_a_request_that_was_refused_before_anything_was_sent_is_answered_with_an_error():
    refused = Result(
        id="a", user="x", status=Status.REJECTED, code="unknown_user", message="nobody is called 'x'", time=0
    )
    (publication,) = RESULTS.publications(refused, [reply("response", transaction=[1])])
    assert json.loads(publication.payload) == {
        "status": "error",
        "code": "unknown_user",
        "error": "nobody is called 'x'",
        "transaction": [1],
    }


def test_a_result_without_wechat_names_the_command():
    row = row_of(1, "wife", "hi")
    made = final_result(row, Status.FAILED, "refused", "why")
    assert (made.id, made.user, made.status, made.code, made.message) == (
        row.command_id, "wife", Status.FAILED, "refused", "why",
    )  # fmt: skip
    assert (made.message_id, made.retry_after, made.duplicate_possible) == (None, None, False)
    in_doubt = final_result(replace(row, unanswered=1), Status.FAILED, "refused", "why")
    assert in_doubt.duplicate_possible


@pytest.mark.parametrize(
    ("status", "code", "shown"),
    [
        (Status.SENT, "ok", "bad_response_topic"),
        (Status.SENT, "unconfirmed", "unconfirmed"),
        (Status.EXPIRED, "logged_out", "logged_out"),
    ],
)
def test_a_remark_is_in_the_message_of_a_result_and_its_code_only_in_a_result_without_another(
    status, code, shown
):
    ended = Result(id="a", user="wife", status=status, code=code, message="as it went", time=0)
    command = Command(user="wife", remarks=(Remark.BAD_RESPONSE_TOPIC,))
    shown_result = with_remarks(ended, command, "en")
    assert (shown_result.status, shown_result.code) == (status, shown)
    assert shown_result.message.startswith("as it went; the result comes on this topic only")
    assert "；结果只发布在这个主题上" in with_remarks(ended, command, "zh").message
    assert with_remarks(ended, Command(user="wife"), "en") == ended


@every_row("language", ["en", "zh"])
@every_row("remark", Remark)
def test_each_remark_has_a_text_in_each_language(remark, language):
    assert with_remarks(result(), Command(user="wife", remarks=(remark,)), language).message

"""`request/send`: a command whose result is an answer, too."""

from __future__ import annotations

import json

import pytest

from tests.unit.bridge.validation_harness import ValidationHarness
from wx2mqtt.model import PersonId


@pytest.fixture
def validation_harness() -> ValidationHarness:
    return ValidationHarness()


def test_a_request_to_send_is_a_command_whose_result_is_an_answer_too(validation_harness):
    new = validation_harness.ask(user="wife", text="hello", id="a", transaction={"n": 1})
    assert (new.result, new.person, new.command.text, new.command_id) == (None, PersonId(1), "hello", "a")
    own, answer = new.replies
    assert (own.topic, own.shape) == ("wx/result/wife", "result")
    assert (answer.topic, answer.shape, answer.transaction) == (
        "wx/bridge/response/send",
        "response",
        {"n": 1},
    )


def answers_of(new):
    return {publication.topic: json.loads(publication.payload) for publication in new.publications}


@pytest.mark.parametrize(
    "user", [None, "", 7, ["wife"], "a/b", "#", "+", "a+", "\0", "\ud800", "x" * 2000, "wife/image"]
)
def test_a_user_that_is_no_topic_level_is_answered_and_appears_on_no_topic(validation_harness, user):
    new = validation_harness.ask(**({} if user is None else {"user": user}), text="hello", transaction=1)
    assert list(answers_of(new)) == ["wx/bridge/response/send"]
    (answer,) = answers_of(new).values()
    assert (answer["status"], answer["code"], answer["transaction"]) == ("error", "bad_command", 1)
    assert "'user'" in answer["error"]


def test_what_is_refused_is_answered_as_an_error_and_as_a_result(validation_harness):
    new = validation_harness.ask(user="nobody", text="hello", id="a")
    found = answers_of(new)
    assert found["wx/bridge/response/send"]["code"] == "unknown_user"
    assert (found["wx/result/nobody"]["status"], found["wx/result/nobody"]["id"]) == ("rejected", "a")


@pytest.mark.parametrize("payload", ["", "x", "[]", b"\xff"])
def test_a_request_that_is_no_object_is_answered(validation_harness, payload):
    (answer,) = answers_of(validation_harness.new(payload, "wx/bridge/request/send")).values()
    assert answer["status"] == "error"
    assert answer["code"] in ("bad_request", "bad_command")


def test_a_request_is_answered_on_its_response_topic_too(validation_harness):
    new = validation_harness.new(
        '{"user": "wife", "text": ""}', "wx/bridge/request/send", response_topic="me/x", correlation=b"1"
    )
    assert answers_of(new)["me/x"] == answers_of(new)["wx/bridge/response/send"]

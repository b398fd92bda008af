"""The check of published payloads against their schemas finds each kind of fault."""

from __future__ import annotations

import json
from weakref import WeakSet

from tests.support.rows import every_row
from tests.support.schema_conformance import MAX_CHECKED, faults_since_last_time, topic_of
from tests.support.subscriber import ReceivedMessage, Subscriber
from wx2mqtt.model import Result, Status
from wx2mqtt.mqtt.payloads import answer_ok, event_body, result_body

RESULT = result_body(Result(id="1", user="wife", status=Status.SENT, code="ok", time=1), "home")


def received(topic, body, content_type="application/json") -> ReceivedMessage:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ReceivedMessage(topic, payload, False, 0.0, {"ContentType": content_type} if content_type else {})


def faults(*messages: ReceivedMessage) -> list[str]:
    subscriber = Subscriber.__new__(Subscriber)
    subscriber.received, subscriber.checked_count = list(messages), 0
    return faults_since_last_time(WeakSet([subscriber]))


def test_a_payload_that_fits_its_schema_passes():
    event = event_body("call", event_id="1", account="home", time=1, user=None, fields={"state": "rings"})
    assert faults(received("wx/result/wife", RESULT), received("家/微信/event/call", event)) == []
    assert faults(received("wx/bridge/state", b"online", "text/plain")) == []


@every_row(
    "message",
    [
        received("wx/result/wife", {**RESULT, "surprise": 1}),
        received("wx/result/wife", {**RESULT, "status": "perhaps"}),
        received("wx/result/wife", RESULT, "text/plain"),
        received("wx/in/wife", {"kind": "nothing"}),
        received("wx/event/surprise", {"event": "surprise"}),
        received("wx/login/qr", b"GIF89a", "image/png"),
        received("wx/bridge/state", b"perhaps", "text/plain"),
        received("wx/text/wife", b"\xff", "text/plain"),
        received("wx/bridge/response/health", json.loads(answer_ok({"healthy": True}, None))),
        received("wx/bridge/response/nothing", json.loads(answer_ok({}, None))),
    ],
)
def test_a_payload_that_does_not_fit_its_schema_is_found(message):
    assert faults(message)


def test_a_request_that_is_answered_well_must_be_one_that_is_described():
    answer = received("wx/bridge/response/log_level", json.loads(answer_ok({"level": "info"}, None)))
    assert faults(received("wx/bridge/request/log_level", {"level": "info"}, ""), answer) == []
    assert faults(received("wx/bridge/request/log_level", {"level": "loud"}, ""), answer)


def test_a_message_that_no_bridge_published_is_not_checked():
    assert topic_of(received("wx/in/wife", b"hi", "")) is None
    assert topic_of(received("wx/in/wx2mqtt-probe/1", b"", "application/json")) is None
    assert topic_of(received("wx/out/wife", b"hi", "text/plain")) is None


def test_each_payload_is_checked_once_and_only_the_first_ones_of_a_topic():
    subscriber = Subscriber.__new__(Subscriber)
    subscriber.received, subscriber.checked_count = [received("wx/result/wife", RESULT)] * MAX_CHECKED, 0
    subscribers = WeakSet([subscriber])
    assert faults_since_last_time(subscribers) == []
    subscriber.received += [received("wx/result/wife", {})]
    assert faults_since_last_time(subscribers)
    assert faults_since_last_time(subscribers) == []

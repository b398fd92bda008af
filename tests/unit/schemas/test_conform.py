"""The net under the scenarios has no holes: what is not as described is noticed."""

from __future__ import annotations

import json
from weakref import WeakSet

from tests.support.conform import MOST, faults_since_last_time, row
from tests.support.rows import every_row
from tests.support.subscriber import ReceivedMessage, Subscriber
from wx2mqtt.model import Result, Status
from wx2mqtt.mqtt.payloads import answer_ok, event_body, result_body

RESULT = result_body(Result(id="1", user="wife", status=Status.SENT, code="ok", time=1), "home")


def received(topic, body, content_type="application/json") -> ReceivedMessage:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ReceivedMessage(topic, payload, False, 0.0, {"ContentType": content_type} if content_type else {})


def faults(*said: ReceivedMessage) -> list[str]:
    subscriber = Subscriber.__new__(Subscriber)
    subscriber.received, subscriber.looked_at = list(said), 0
    return faults_since_last_time(WeakSet([subscriber]))


def test_what_is_as_described_passes():
    event = event_body("call", event_id="1", account="home", time=1, user=None, fields={"state": "rings"})
    assert faults(received("wx/result/wife", RESULT), received("家/微信/event/call", event)) == []
    assert faults(received("wx/bridge/state", b"online", "text/plain")) == []


@every_row(
    "said",
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
def test_what_is_not_is_noticed(said):
    assert faults(said)


def test_a_request_that_is_answered_well_must_be_one_that_is_described():
    answer = received("wx/bridge/response/log_level", json.loads(answer_ok({"level": "info"}, None)))
    assert faults(received("wx/bridge/request/log_level", {"level": "info"}, ""), answer) == []
    assert faults(received("wx/bridge/request/log_level", {"level": "loud"}, ""), answer)


def test_what_no_bridge_published_is_not_looked_at():
    assert row(received("wx/in/wife", b"hi", "")) is None
    assert row(received("wx/in/wx2mqtt-probe/1", b"", "application/json")) is None
    assert row(received("wx/out/wife", b"hi", "text/plain")) is None


def test_each_payload_is_looked_at_once_and_not_more_than_so_many_of_one_sort():
    subscriber = Subscriber.__new__(Subscriber)
    subscriber.received, subscriber.looked_at = [received("wx/result/wife", RESULT)] * MOST, 0
    subscribers = WeakSet([subscriber])
    assert faults_since_last_time(subscribers) == []
    subscriber.received += [received("wx/result/wife", {})]
    assert faults_since_last_time(subscribers)
    assert faults_since_last_time(subscribers) == []

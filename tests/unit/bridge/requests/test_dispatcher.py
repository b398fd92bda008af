"""`bridge/request/<name>`: always one answer, whatever was asked."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.bridge.contexts import context
from tests.unit.bridge.outgoing import running
from wx2mqtt.bridge.requests.dispatcher import RequestDispatcher, SizedHandler
from wx2mqtt.errors import BadCommand, StoreFull
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.mqtt.payloads import REQUEST_CODES
from wx2mqtt.store.records import NO_PUBLICATIONS


async def give_back(fields):
    return fields


async def cannot(_fields):
    raise BadCommand("bad_request", "assign_closed", user="wife")


async def fall_over(_fields):
    raise ZeroDivisionError


HANDLERS = {"echo": give_back, "cannot": cannot, "broken": fall_over}


@pytest.fixture
async def harness(tmp_path):
    async with running(tmp_path, handlers=HANDLERS) as harness:
        yield harness


async def ask(harness, name, payload="{}", **more):
    """The answer on the usual topic."""
    delivery = harness.deliver(payload, topic=f"wx/bridge/request/{name}", **more)
    await harness.acknowledged(delivery)
    return (await harness.in_thread(f"wx/bridge/response/{name}"))[-1]


async def test_what_is_asked_for_is_answered(harness):
    assert await ask(harness, "echo", '{"a": [1, "界"]}') == {"status": "ok", "data": {"a": [1, "界"]}}


async def test_an_empty_payload_is_an_empty_object(harness):
    assert await ask(harness, "echo", "") == {"status": "ok", "data": {}}


@pytest.mark.parametrize("transaction", [1, "a", 1.5, [1], {"n": None}, False, 0, ""])
async def test_a_transaction_is_given_back_and_is_no_field(harness, transaction):
    answer = await ask(harness, "echo", json.dumps({"transaction": transaction, "a": 1}))
    assert answer == {"status": "ok", "data": {"a": 1}, "transaction": transaction}


@pytest.mark.parametrize("name", ["echo", "cannot", "broken", "unknown"])
async def test_it_is_given_back_with_every_error_too(harness, name):
    assert (await ask(harness, name, '{"transaction": 7}'))["transaction"] == 7


async def test_what_cannot_be_done_says_why(harness):
    assert await ask(harness, "cannot") == {
        "status": "error",
        "code": "bad_request",
        "error": "'wife' is not waiting for a decision",
    }


async def test_a_fault_of_ours_is_answered_and_stops_nothing(harness):
    assert (await ask(harness, "broken"))["code"] == "internal"
    assert (await ask(harness, "echo"))["status"] == "ok"


@pytest.mark.parametrize("name", ["what", "", "echo/more", "ECHO", "微信"])
async def test_an_unknown_request_names_those_that_are_known(harness, name):
    answer = await ask(harness, name)
    assert (answer["status"], answer["code"]) == ("error", "unknown_request")
    assert "broken, cannot, echo, recall, send" in answer["error"]


@pytest.mark.parametrize("payload", ["[]", "x", "{", '"a"', b"\xff", "1"])
async def test_what_is_no_object_is_a_bad_request(harness, payload):
    answer = await ask(harness, "echo", payload)
    assert (answer["status"], answer["code"]) == ("error", "bad_request")


async def test_a_retained_request_is_refused_and_cleared(harness):
    answer = await ask(harness, "echo", '{"transaction": 1}', retain=True)
    assert (answer["status"], answer["code"]) == ("error", "retained")
    assert "transaction" not in answer
    cleared = [one for one in harness.broker.published if one.topic == "wx/bridge/request/echo"]
    assert [(one.payload, one.retain) for one in cleared] == [(b"", True)]


async def test_the_response_topic_is_answered_too_with_its_correlation_data(harness):
    answer = await ask(harness, "echo", response_topic="me/x", correlation=b"\0")
    assert await harness.in_thread("me/x") == [answer]
    found = [one for one in harness.broker.published if one.topic == "me/x"]
    assert [(one.correlation, one.content_type) for one in found] == [(b"\0", "application/json")]


@pytest.mark.parametrize("topic", ["wx/in/wife", "other/x", "homeassistant/x", "$SYS/x", "a/#"])
async def test_where_answers_must_not_go_they_do_not_go_and_nothing_is_done(harness, topic):
    answer = await ask(harness, "echo", '{"transaction": 1}', response_topic=topic)
    assert (answer["code"], answer["transaction"]) == ("bad_response_topic", 1)
    assert harness.received(topic) == []


async def test_a_send_is_answered_with_the_result_when_there_is_one(harness):
    harness.wechat.hold("hello")
    asked = {"user": "wife", "text": "hello", "id": "a", "transaction": 5}
    delivery = harness.deliver(
        json.dumps(asked), topic="wx/bridge/request/send", response_topic="me/x", correlation=b"1"
    )
    await harness.acknowledged(delivery)
    assert harness.received("wx/bridge/response/send") == []
    harness.wechat.release("hello")
    (answer,) = await harness.in_thread("wx/bridge/response/send")
    result = await harness.result("a")
    assert answer == {"status": "ok", "data": result, "transaction": 5}
    assert await harness.in_thread("me/x") == [answer]


async def test_a_send_that_is_refused_is_answered_with_the_code(harness):
    answer = await ask(harness, "send", '{"user": "nobody", "text": "x", "transaction": 5}')
    assert (answer["status"], answer["code"], answer["transaction"]) == ("error", "unknown_user", 5)


async def test_an_answer_that_cannot_be_stored_is_stored_again_before_the_puback(harness, monkeypatch):
    publish, tries = harness.journal.outbox.add, []

    async def full_at_first(publications):
        tries.append(list(harness.broker.acknowledged))
        if len(tries) == 1:
            raise StoreFull
        return await publish(publications)

    monkeypatch.setattr(harness.journal.outbox, "add", full_at_first)
    assert (await ask(harness, "echo"))["status"] == "ok"
    assert tries == [[], []]


@pytest.mark.parametrize(("limit", "room"), [(None, None), (3_000, 3_000)])
async def test_a_sized_handler_gets_the_limit_of_its_data(limit, room):
    pad, told = Pad(), []

    async def fill(_fields, space):
        told.append(space)
        return "x" * (100 if space is None else space - 2)

    requests = dispatcher(
        pad, {"history": SizedHandler(fill)}, lambda topic: None if limit is None else limit - len(topic)
    )
    asked = Delivery(
        topic="wx/bridge/request/history",
        payload=b'{"transaction": "t1"}',
        mid=1,
        dup=False,
        retain=False,
        connection_number=1,
        response_topic="answers/" + "x" * 100,
        correlation=b"12345678",
    )
    await requests.dispatch("history", asked, 1)
    assert json.loads(pad.taken[0].payload)["status"] == "ok"
    if room is None:
        assert told == [None]
    else:
        assert 0 <= limit - len(asked.response_topic) - 8 - len(pad.taken[1].payload) < 5, (
            "filled, and no more"
        )


def dispatcher(pad, handlers, payload_limit) -> RequestDispatcher:
    inflight: Any = SimpleNamespace(payload_limit=payload_limit)
    requests = RequestDispatcher(context(journal=pad), inflight)
    requests.register(handlers)
    return requests


class Pad:
    """A journal that only takes publications down."""

    def __init__(self):
        self.taken = []
        self.outbox = self

    async def add(self, publications):
        self.taken += publications
        return NO_PUBLICATIONS


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(st.characters(codec="utf-8", exclude_characters="\0+#"), max_size=8)
    | st.sampled_from([*HANDLERS]),
    payload=st.binary(max_size=30) | st.sampled_from([b"{}", b"", b'{"transaction": "\\ud800"}']),
    response_topic=st.text(max_size=5),
)
async def test_whatever_is_asked_there_is_one_answer_with_a_known_code(name, payload, response_topic):
    pad = Pad()
    requests = dispatcher(pad, HANDLERS, lambda _: None)
    delivery = Delivery(
        topic=f"wx/bridge/request/{name}",
        payload=payload,
        mid=1,
        dup=False,
        retain=False,
        connection_number=1,
        response_topic=response_topic,
    )
    await requests.dispatch(name, delivery, 1)
    assert pad.taken[0].topic == f"wx/bridge/response/{name}"
    answer = json.loads(pad.taken[0].payload)
    assert answer["status"] == "ok" or answer["code"] in REQUEST_CODES
    assert len(pad.taken) <= 2


@pytest.mark.parametrize(("transaction", "echoed"), [("t1", True), ("t" * 5_000, False)])
async def test_an_answer_that_the_broker_would_not_take_is_an_error_that_it_takes(transaction, echoed):
    """An unknown size must not end in silence; a transaction that is too large itself is left out."""
    pad = Pad()
    handlers = {"contacts": _much}
    requests = dispatcher(pad, handlers, lambda _topic: 3_000)
    payload = json.dumps({"transaction": transaction}).encode()
    asked = Delivery(
        topic="wx/bridge/request/contacts",
        payload=payload,
        mid=1,
        dup=False,
        retain=False,
        connection_number=1,
    )
    await requests.dispatch("contacts", asked, 1)
    answer = json.loads(pad.taken[0].payload)
    assert (answer["status"], answer["code"]) == ("error", "too_large")
    assert ("transaction" in answer) is echoed
    assert len(pad.taken[0].payload) <= 3_000


async def _much(_fields):
    return {"contacts": ["x" * 10_000]}

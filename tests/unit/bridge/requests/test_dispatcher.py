"""`bridge/request/<name>`: always one answer, whatever was asked."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.bridge.commands_harness import running
from tests.unit.bridge.contexts import context
from wx2mqtt.bridge.requests.dispatcher import RequestDispatcher, SizedHandler
from wx2mqtt.errors import BadCommand, StoreFull
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.mqtt.payloads import REQUEST_CODES
from wx2mqtt.store.records import NO_PUBLICATIONS


async def return_fields(fields):
    return fields


async def reject(_fields):
    raise BadCommand("bad_request", "assign_closed", user="wife")


async def raise_bug(_fields):
    raise ZeroDivisionError


HANDLERS = {"echo": return_fields, "cannot": reject, "broken": raise_bug}


@pytest.fixture
async def harness(tmp_path):
    async with running(tmp_path, handlers=HANDLERS) as harness:
        yield harness


async def ask(harness, name, payload="{}", **more):
    """Delivers a request and returns its answer on the response topic."""
    delivery = harness.deliver(payload, topic=f"wx/bridge/request/{name}", **more)
    await harness.wait_for_puback(delivery)
    return (await harness.wait_for_bodies(f"wx/bridge/response/{name}"))[-1]


async def test_what_is_asked_for_is_answered(harness):
    assert await ask(harness, "echo", '{"a": [1, "界"]}') == {"status": "ok", "data": {"a": [1, "界"]}}


async def test_an_empty_payload_is_an_empty_object(harness):
    assert await ask(harness, "echo", "") == {"status": "ok", "data": {}}


@pytest.mark.parametrize("transaction", [1, "a", 1.5, [1], {"n": None}, False, 0, ""])
async def test_a_transaction_is_given_back_and_is_no_field(harness, transaction):
    answer = await ask(harness, "echo", json.dumps({"transaction": transaction, "a": 1}))
    assert answer == {"status": "ok", "data": {"a": 1}, "transaction": transaction}


@pytest.mark.parametrize("name", ["echo", "cannot", "broken", "unknown"])
async def test_a_transaction_is_given_back_with_every_error_too(harness, name):
    assert (await ask(harness, name, '{"transaction": 7}'))["transaction"] == 7


async def test_what_cannot_be_done_says_why(harness):
    assert await ask(harness, "cannot") == {
        "status": "error",
        "code": "bad_request",
        "error": "'wife' is not waiting for a decision",
    }


async def test_a_bug_in_a_handler_is_answered_and_stops_nothing(harness):
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
    cleared = [
        publication
        for publication in harness.broker.published
        if publication.topic == "wx/bridge/request/echo"
    ]
    assert [(publication.payload, publication.retain) for publication in cleared] == [(b"", True)]


async def test_the_response_topic_is_answered_too_with_its_correlation_data(harness):
    answer = await ask(harness, "echo", response_topic="me/x", correlation=b"\0")
    assert await harness.wait_for_bodies("me/x") == [answer]
    found = [publication for publication in harness.broker.published if publication.topic == "me/x"]
    assert [(publication.correlation, publication.content_type) for publication in found] == [
        (b"\0", "application/json")
    ]


@pytest.mark.parametrize("topic", ["wx/in/wife", "other/x", "homeassistant/x", "$SYS/x", "a/#"])
async def test_where_answers_must_not_go_they_do_not_go_and_nothing_is_done(harness, topic):
    answer = await ask(harness, "echo", '{"transaction": 1}', response_topic=topic)
    assert (answer["code"], answer["transaction"]) == ("bad_response_topic", 1)
    assert harness.bodies_on(topic) == []


async def test_a_send_is_answered_with_the_result_when_there_is_one(harness):
    harness.wechat.hold("hello")
    asked = {"user": "wife", "text": "hello", "id": "a", "transaction": 5}
    delivery = harness.deliver(
        json.dumps(asked), topic="wx/bridge/request/send", response_topic="me/x", correlation=b"1"
    )
    await harness.wait_for_puback(delivery)
    assert harness.bodies_on("wx/bridge/response/send") == []
    harness.wechat.release("hello")
    (answer,) = await harness.wait_for_bodies("wx/bridge/response/send")
    result = await harness.result("a")
    assert answer == {"status": "ok", "data": result, "transaction": 5}
    assert await harness.wait_for_bodies("me/x") == [answer]


async def test_a_send_that_is_refused_is_answered_with_the_code(harness):
    answer = await ask(harness, "send", '{"user": "nobody", "text": "x", "transaction": 5}')
    assert (answer["status"], answer["code"], answer["transaction"]) == ("error", "unknown_user", 5)


async def test_an_answer_that_cannot_be_stored_is_stored_again_before_the_puback(harness, monkeypatch):
    publish, tries = harness.journal.outbox.add, []

    async def fail_once(publications):
        tries.append(list(harness.broker.acknowledged))
        if len(tries) == 1:
            raise StoreFull
        return await publish(publications)

    monkeypatch.setattr(harness.journal.outbox, "add", fail_once)
    assert (await ask(harness, "echo"))["status"] == "ok"
    assert tries == [[], []]


@pytest.mark.parametrize(("limit", "room"), [(None, None), (3_000, 3_000)])
async def test_a_sized_handler_gets_the_limit_of_its_data(limit, room):
    journal, limits = FakeJournal(), []

    async def fill_limit(_fields, limit):
        limits.append(limit)
        return "x" * (100 if limit is None else limit - 2)

    requests = dispatcher(
        journal,
        {"history": SizedHandler(fill_limit)},
        lambda topic: None if limit is None else limit - len(topic),
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
    assert json.loads(journal.added[0].payload)["status"] == "ok"
    if room is None:
        assert limits == [None]
    else:
        assert 0 <= limit - len(asked.response_topic) - 8 - len(journal.added[1].payload) < 5, (
            "filled, and no more"
        )


def dispatcher(journal, handlers, payload_limit) -> RequestDispatcher:
    inflight: Any = SimpleNamespace(payload_limit=payload_limit)
    requests = RequestDispatcher(context(journal=journal), inflight)
    requests.register(handlers)
    return requests


class FakeJournal:
    """A journal that keeps the publications in `added`."""

    def __init__(self):
        self.added = []
        self.outbox = self

    async def add(self, publications):
        self.added += publications
        return NO_PUBLICATIONS


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(st.characters(codec="utf-8", exclude_characters="\0+#"), max_size=8)
    | st.sampled_from([*HANDLERS]),
    payload=st.binary(max_size=30) | st.sampled_from([b"{}", b"", b'{"transaction": "\\ud800"}']),
    response_topic=st.text(max_size=5),
)
async def test_whatever_is_asked_there_is_one_answer_with_a_known_code(name, payload, response_topic):
    journal = FakeJournal()
    requests = dispatcher(journal, HANDLERS, lambda _: None)
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
    assert journal.added[0].topic == f"wx/bridge/response/{name}"
    answer = json.loads(journal.added[0].payload)
    assert answer["status"] == "ok" or answer["code"] in REQUEST_CODES
    assert len(journal.added) <= 2


@pytest.mark.parametrize(("transaction", "echoed"), [("t1", True), ("t" * 5_000, False)])
async def test_an_answer_that_the_broker_would_not_take_is_an_error_that_it_takes(transaction, echoed):
    """An answer must come also when it is too large; a transaction that is too large itself is left out."""
    journal = FakeJournal()
    handlers = {"contacts": _large_answer}
    requests = dispatcher(journal, handlers, lambda _topic: 3_000)
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
    answer = json.loads(journal.added[0].payload)
    assert (answer["status"], answer["code"]) == ("error", "too_large")
    assert ("transaction" in answer) is echoed
    assert len(journal.added[0].payload) <= 3_000


async def _large_answer(_fields):
    return {"contacts": ["x" * 10_000]}

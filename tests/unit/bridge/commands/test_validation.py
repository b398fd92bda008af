"""The validation of a delivery: for whom it is accepted and until when, or with which code it is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.support.cost import is_in_proportion, repeated
from tests.support.rows import every_row
from tests.unit.bridge.commands_harness import CAPABILITIES, PEOPLE, person
from tests.unit.bridge.contexts import NO_LIMITS
from tests.unit.bridge.validation_harness import ValidationHarness
from wx2mqtt.aio import MAX_BYTES_ON_LOOP
from wx2mqtt.bridge import wechat_calls
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.wechat_calls import new_key
from wx2mqtt.clock import now_ms
from wx2mqtt.model import ChatKind, PersonId, Remark, Status
from wx2mqtt.mqtt.payloads import RESULT_CODES


@pytest.fixture
def validation_harness():
    return ValidationHarness()


def outcome(result):
    return result.status, result.code


REJECTED = Status.REJECTED


# the recipient


def test_a_command_is_for_the_person_of_that_name(validation_harness):
    new = validation_harness.new("hello")
    assert (new.person, new.command.user, new.command.text) == (PersonId(1), "wife", "hello")
    assert new.result is None


@pytest.mark.parametrize(
    ("user", "code"),
    [("nobody", "unknown_user"), ("", "bad_command"), ("lost", "unresolved_user"), ("gone", "unknown_user")],
)
def test_who_is_not_there_gets_nothing_and_the_result_goes_to_the_level_as_received(
    validation_harness, user, code
):
    new = validation_harness.new("hello", f"wx/out/{user}")
    assert outcome(new.result) == (REJECTED, code)
    assert new.result.user == user
    assert [publication.topic for publication in new.publications] == [f"wx/result/{user}"]


def test_the_refusal_says_where_the_names_are(validation_harness):
    assert "wx/contacts" in validation_harness.refused("hello", "wx/out/nobody").message


def test_a_decomposed_name_is_the_same_name_and_the_result_keeps_its_form():
    validation_harness = ValidationHarness(people=(person(1, "\u00e9mile"),))
    new = validation_harness.new("hello", "wx/out/e\u0301mile")
    assert new.person == PersonId(1)
    assert new.replies[0].topic == "wx/result/e\u0301mile"


@pytest.mark.parametrize("user", ["Wife", "WIFE", "wife "])
def test_case_and_white_space_of_a_topic_name_count(validation_harness, user):
    assert validation_harness.refused("hello", f"wx/out/{user}").code == "unknown_user"


def test_before_the_first_login_only_pinned_names_are_accepted():
    validation_harness = ValidationHarness(people=(), pins={"wife": ContactPin(remark="老婆")})
    validation_harness.contacts_known = False
    for user in ("wife", "filehelper"):
        new = validation_harness.new("hello", f"wx/out/{user}")
        assert (new.result, new.person) == (None, None)
    assert validation_harness.refused("hello", "wx/out/mom").code == "unknown_user"
    validation_harness.contacts_known = True
    assert validation_harness.refused("hello", "wx/out/wife").code == "unknown_user"


# send.allow


@every_row(
    ("allow", "allowed"),
    [
        (("*",), True),
        (("wife",), True),
        (("w*",), True),
        (("mom", "wi?e"), True),
        ((), False),
        (("mom",), False),
    ],
)
def test_send_allow_limits_the_recipients(allow, allowed):
    validation_harness = ValidationHarness(NO_LIMITS.model_copy(update={"allow": allow}))
    assert (validation_harness.new("hello").result is None) is allowed
    if not allowed:
        refused = validation_harness.refused("hello")
        assert outcome(refused) == (REJECTED, "not_allowed")
        assert "send.allow" in refused.message


@pytest.mark.parametrize(("allow", "user"), [("wife", "老婆"), ("老婆", "老婆"), ("wife", "wife")])
def test_who_may_be_written_to_may_be_by_an_old_name(allow, user):
    validation_harness = ValidationHarness(NO_LIMITS.model_copy(update={"allow": (allow,)}))
    validation_harness.ctx.registry = PeopleRegistry(PEOPLE, {"wife": PEOPLE[0].id, "老婆": PEOPLE[0].id}, {})
    assert validation_harness.new("hello", f"wx/out/{user}").result is None


def test_a_decomposed_name_is_allowed_by_its_composed_one():
    validation_harness = ValidationHarness(
        NO_LIMITS.model_copy(update={"allow": ("\u00e9mile",)}), people=(person(1, "\u00e9mile"),)
    )
    assert validation_harness.new("hello", "wx/out/e\u0301mile").result is None


# the content


@pytest.mark.parametrize(
    ("sub", "payload", "code"),
    [
        ("image", b"", "empty"),
        ("video", b"", "empty"),
        ("file/a.txt", b"", "empty"),
        ("file/..", b"x", "bad_command"),
        ("file/a\\b", b"x", "bad_command"),
        ("file/a\u202eb", b"x", "bad_command"),
        ("file/" + "a" * 300, b"x", "bad_command"),
        ("file/+ # /..", b"x", "bad_command"),
        ("file", b"x", "bad_command"),
        ("file/", b"x", "bad_command"),
        ("picture", b"x", "bad_command"),
        ("image/", b"x", "bad_command"),
        ("", b"x", "bad_command"),
    ],
)
def test_what_lies_below_a_user_is_answered_on_the_users_result_topic(validation_harness, sub, payload, code):
    new = validation_harness.new(payload, f"wx/out/wife/{sub}")
    assert outcome(new.result) == (REJECTED, code)
    assert [publication.topic for publication in new.publications] == ["wx/result/wife"]


@every_row(
    "body",
    [
        {"kind": "image", "url": "https://h/x"},
        {"kind": "video", "path": "/x"},
        {"kind": "file", "data": "AA=="},
        {"kind": "recall", "message_id": "1"},
        {"kind": "recall", "also": "a key that no recall has"},
    ],
)
def test_a_kind_that_the_backend_cannot_send_is_unsupported(body):
    poor = ValidationHarness(capabilities=replace(CAPABILITIES, media={}, actions=frozenset()))
    result = poor.refused(json.dumps({**body, "id": "a"}))
    assert (result.id, *outcome(result)) == ("a", REJECTED, "unsupported")
    assert body["kind"] in result.message


@pytest.mark.parametrize(
    ("sub", "name"), [("image", ""), ("video", ""), ("file/Bericht 1.pdf", "Bericht 1.pdf")]
)
def test_bytes_are_a_command_with_the_name_of_the_topic(validation_harness, sub, name):
    new = validation_harness.new(b"{bytes}", f"wx/out/wife/{sub}")
    assert new.result is None
    assert (new.command.kind, new.command.name, new.command.text) == (sub.partition("/")[0], name, "")


@pytest.mark.parametrize(
    "name",
    [
        "a/b",
        "/etc/passwd",
        "..",
        ".",
        "a\\b",
        "a\0b",
        "a\nb",
        "\x1b[2J",
        "a\u202egpj.exe",
        "\u2066x",
        "\u200fx",
    ],
)
def test_a_name_that_is_no_plain_file_name_is_refused(validation_harness, name):
    result = validation_harness.refused(json.dumps({"kind": "file", "url": "https://h/x", "name": name}))
    assert outcome(result) == (REJECTED, "bad_command")
    assert "name" in result.message


def test_a_name_that_is_too_long_is_refused(validation_harness):
    result = validation_harness.refused(json.dumps({"kind": "file", "url": "https://h/x", "name": "x" * 300}))
    assert outcome(result) == (REJECTED, "bad_command")
    assert "240" in result.message


@pytest.mark.parametrize(
    "url", ["http://xn--)/", "http://[::%\x9f]/", "https://xn--a/x.jpg", "http://xn--ls8h=/"]
)
def test_a_host_that_is_no_name_is_a_bad_file(validation_harness, url):
    result = validation_harness.refused(json.dumps({"kind": "file", "url": url}))
    assert outcome(result) == (REJECTED, "bad_file")
    assert "the host in 'url' is no name" in result.message


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/x", "h/x", "http://"])
def test_only_http_addresses_are_accepted(validation_harness, url):
    result = validation_harness.refused(json.dumps({"kind": "file", "url": url}))
    assert outcome(result) == (REJECTED, "bad_command")
    assert "https" in result.message


def test_people_can_be_mentioned_in_groups_only():
    validation_harness = ValidationHarness(people=(*PEOPLE, person(9, "family", kind=ChatKind.GROUP)))
    asked = json.dumps({"text": "hi", "mention": ["mom"]})
    assert validation_harness.new(asked, "wx/out/family").command.mention == ("mom",)
    refused = validation_harness.refused(asked)
    assert outcome(refused) == (REJECTED, "bad_command")
    assert "mention" in refused.message


def test_the_checksum_of_a_large_delivery_is_left_to_those_who_do_not_hold_the_loop(validation_harness):
    assert validation_harness.new(bytes(MAX_BYTES_ON_LOOP), "wx/out/wife/file/a").delivery is not None
    assert validation_harness.new(bytes(MAX_BYTES_ON_LOOP + 1), "wx/out/wife/file/a").delivery is None


# recalls as requests


def test_a_request_to_recall_is_a_command_for_whoever_got_the_message(validation_harness):
    validation_harness.chat = "wife"
    new = validation_harness.ask("recall", message_id="1")
    assert (new.result, new.command.kind, new.command.user, new.command.message_id) == (
        None,
        "recall",
        "wife",
        "1",
    )
    assert [reply.topic for reply in new.replies] == ["wx/result/wife", "wx/bridge/response/recall"]


def test_the_user_in_a_request_to_recall_counts(validation_harness):
    validation_harness.chat = "wife"
    assert validation_harness.ask("recall", message_id="1", user="mom", kind="recall").command.user == "mom"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"message_id": "1"}, "unknown_message"),
        ({"message_id": ""}, "unknown_message"),
        ({}, "bad_command"),
        ({"message_id": 1}, "bad_command"),
        ({"message_id": "1", "user": "wife", "kind": "image"}, "bad_command"),
        ({"message_id": "1", "user": "wife", "text": "x"}, "bad_command"),
        ({"message_id": "1", "user": "a/b"}, "bad_command"),
        ({"user": "wife"}, "bad_command"),
        ({"user": "nobody", "message_id": "1"}, "unknown_user"),
    ],
)
def test_a_request_to_recall_that_names_no_sent_message_is_answered(validation_harness, body, code):
    new = validation_harness.ask("recall", **body)
    assert outcome(new.result) == (REJECTED, code)
    (answer,) = [
        publication for publication in new.publications if publication.topic == "wx/bridge/response/recall"
    ]
    assert json.loads(answer.payload)["code"] == code


def test_a_text_may_be_as_long_as_wechat_takes_in_bytes(validation_harness):
    assert validation_harness.new("x" * 100).result is None
    assert validation_harness.new("界" * 33).result is None
    result = validation_harness.refused(json.dumps({"text": "界" * 34, "id": "a"}))
    assert (result.id, *outcome(result)) == ("a", REJECTED, "too_long")
    assert "102" in result.message
    assert "100" in result.message


def test_a_full_store_takes_no_command(validation_harness):
    validation_harness.quota.size = validation_harness.quota.limit
    assert outcome(validation_harness.refused("hello")) == (REJECTED, "storage_full")


@pytest.mark.parametrize(
    ("payload", "code"),
    [("", "empty"), ("{", "bad_command"), ("{}", "bad_command"), (b"\xff", "bad_command")],
)
def test_what_cannot_be_read_is_refused_with_an_id_of_our_own(validation_harness, payload, code):
    result = validation_harness.refused(payload)
    assert outcome(result) == (REJECTED, code)
    assert len(result.id) == 16


def test_a_retained_command_is_not_even_read(validation_harness):
    result = validation_harness.refused('{"text": "x", "id": "a"}', retain=True)
    assert outcome(result) == (REJECTED, "retained")
    assert result.id != "a"


def test_refusals_are_in_the_language_of_the_settings():
    assert ValidationHarness(language="zh").refused("").message == "没有要发送的文字"


# the expiry


@pytest.mark.parametrize(
    ("body", "expiry", "seconds"),
    [
        ({"text": "x"}, None, 600),
        ({"text": "x", "ttl": 30}, None, 30),
        ({"text": "x", "ttl": 3600}, None, 3600),
        ({"text": "x"}, 40, 40),
        ({"text": "x"}, 3600, 3600),
        ({"text": "x", "ttl": 30}, 40, 30),
        ({"text": "x", "ttl": 50}, 40, 40),
        ({"text": "x", "ttl": 0.25}, None, 0.25),
        ({"text": "x", "ttl": 1e300}, None, 315_360_000),
        ({"text": "x"}, 4_294_967_295, 4_294_967_295),
    ],
)
def test_the_smaller_of_ttl_and_what_mqtt_5_has_left_counts_from_acceptance(
    validation_harness, body, expiry, seconds
):
    before = now_ms()
    new = validation_harness.new(json.dumps(body), expiry=expiry)
    assert before <= new.accepted <= now_ms()
    assert new.expires == new.accepted + seconds * 1000


def test_a_delivery_whose_expiry_is_over_is_expired_and_not_sent(validation_harness):
    result = validation_harness.refused('{"text": "x", "id": "a"}', expiry=0)
    assert (result.id, *outcome(result)) == ("a", Status.EXPIRED, "expired")
    assert result.message == "it had expired before it came"


def test_a_command_without_a_ttl_has_that_of_the_settings():
    new = ValidationHarness(NO_LIMITS.model_copy(update={"ttl": 7.5})).new("hello")
    assert new.expires == new.accepted + 7500


# where the result goes


def test_the_result_goes_to_the_response_topic_too_with_its_correlation_data(validation_harness):
    new = validation_harness.new("hello", response_topic="me/answers", correlation=b"\0\xff")
    own, asked = new.replies
    assert (own.topic, own.correlation, own.shape) == ("wx/result/wife", None, "result")
    assert (asked.topic, asked.correlation, asked.shape) == ("me/answers", b"\0\xff", "result")


def test_a_refusal_goes_to_the_response_topic_too(validation_harness):
    new = validation_harness.new("", response_topic="me/answers", correlation=b"7")
    assert [(publication.topic, publication.correlation) for publication in new.publications] == [
        ("wx/result/wife", None),
        ("me/answers", b"7"),
    ]


@pytest.mark.parametrize(
    "topic",
    [
        "wx",
        "wx/in/wife",
        "wx/out/mom",
        "other/x",
        "homeassistant/x",
        "homeassistant",
        "$SYS/x",
        "$share/g/t",
        "a/+",
        "#",
    ],
)
def test_a_command_with_a_forbidden_response_topic_is_answered_on_its_result_topic_only(
    validation_harness, topic
):
    new = validation_harness.new('{"text": "x", "id": "a"}', response_topic=topic, correlation=b"7")
    assert new.result is None
    assert [reply.topic for reply in new.replies] == ["wx/result/wife"]
    assert new.command.remarks == (Remark.BAD_RESPONSE_TOPIC,)
    bad = validation_harness.new('{"id": "a"}', response_topic=topic, correlation=b"7")
    assert outcome(bad.result) == (REJECTED, "bad_command"), "what is wrong with the command goes first"
    assert "the result comes on this topic only" in bad.result.message
    assert [publication.topic for publication in bad.publications] == ["wx/result/wife"]


@pytest.mark.parametrize("topic", ["wxx", "wx2/in", "me", "/wx/in", "homeassistant2/x", "a/$b", "微信"])
def test_any_other_response_topic_is_answered_too(validation_harness, topic):
    assert [reply.topic for reply in validation_harness.new("x", response_topic=topic).replies] == [
        "wx/result/wife",
        topic,
    ]


def test_a_key_is_digits_and_unlike_others(monkeypatch):
    monkeypatch.setattr(wechat_calls, "now_ms", lambda: 1_795_600_800_000)  # many are accepted in one moment
    keys = {new_key() for _ in range(5000)}
    assert all(key.isdigit() and 10 <= len(key) <= 20 for key in keys)
    assert len(keys) == 5000


# any input


@pytest.mark.parametrize("topic", ["wx/out/wife", "wx/bridge/request/send"])
def test_a_bug_in_the_bridge_rejects_this_command_and_is_logged(validation_harness, topic, monkeypatch):
    def raise_bug(_command):
        raise ZeroDivisionError

    monkeypatch.setattr(validation_harness.validator, "check", raise_bug)
    with capture_logs() as logs:
        result = validation_harness.refused(
            '{"user": "wife", "text": "x"}' if "request" in topic else "secret words", topic
        )
    assert outcome(result) == (REJECTED, "internal")
    assert [line["event"] for line in logs] == ["command cannot be judged"]
    assert "secret words" not in str({**logs[0], "exc_info": None})


@given(
    payload=st.binary(max_size=40)
    | st.sampled_from([b'{"text": "x"}', b"", b'{"user": "wife", "text": "x"}']),
    level=st.text(st.characters(codec="utf-8", exclude_characters="\0+#"), max_size=12),
    request=st.booleans(),
    response_topic=st.text(max_size=5),
    correlation=st.none() | st.binary(max_size=4),
    expiry=st.none() | st.integers(0, 4_294_967_295),
    content_type=st.sampled_from(["", "text/plain", "application/json", "\ud800"]),
    retain=st.booleans(),
)
def test_every_delivery_becomes_a_row_with_at_most_one_result(request, level, payload, **more):
    topic = "wx/bridge/request/send" if request else f"wx/out/{level}"
    new = ValidationHarness().new(payload, topic, **more)
    if new.result is None:
        assert new.person is not None
        assert new.expires is not None
    else:
        assert new.publications
        assert new.result.code in RESULT_CODES | {"bad_request"}
        for publication in new.publications:
            assert json.loads(publication.payload)


def test_a_topic_of_nothing_but_marks_costs_no_more_than_in_proportion():
    validation_harness = ValidationHarness()
    assert is_in_proportion(
        lambda size: validation_harness.new("hi", "wx/out/" + repeated("\u0301\u0327", size)), 20_000
    )


def test_of_a_command_that_came_too_late_the_bytes_are_not_kept(validation_harness):
    late = validation_harness.new('{"kind": "image", "data": "AAAA", "id": "a"}', expiry=0)
    assert (late.result.status, late.command.data) == (Status.EXPIRED, "")

"""What is published on `out/<user>` and to requests: every rule of form, and no payload that does harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n.bridge import rejection_text
from wx2mqtt.limits import MAX_TTL_SECONDS
from wx2mqtt.model import Command, Result, Status
from wx2mqtt.mqtt.commands import (
    COMMAND_KEYS,
    FILE_KINDS,
    read_command,
    read_digits,
    read_integer,
    read_request,
)
from wx2mqtt.mqtt.payloads import REQUEST_CODES, RESULT_CODES, answer_error, answer_ok, encode, result_body
from wx2mqtt.mqtt.topics import KEYS_OF_LEVELS

TYPES = ("", "text/plain", "application/json", "application/octet-stream", "text/plain; charset=utf-8")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
commands = st.dictionaries(st.sampled_from(COMMAND_KEYS) | st.text(max_size=6), json_values, max_size=5)
payloads = st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace"))
payloads |= commands.map(lambda body: json.dumps(body).encode())


def read(payload, content_type=""):
    return read_command("wife", payload if isinstance(payload, bytes) else payload.encode(), content_type)


def refused(payload, content_type=""):
    """Returns code, key and facts of the refusal."""
    with pytest.raises(BadCommand) as caught:
        read(payload, content_type)
    bad = caught.value
    assert rejection_text("en", bad)
    assert rejection_text("zh", bad)
    return bad.code, bad.message_key, bad.facts


def sentence(payload, content_type=""):
    with pytest.raises(BadCommand) as caught:
        read(payload, content_type)
    return rejection_text("en", caught.value)


# text


@every_row("text", ["开灯 ☀", " two\nlines \n", "[1]", '"{"', "a{", "&lt;br/&gt;", "0"])
def test_what_does_not_begin_with_a_brace_is_text_as_it_is(text):
    assert read(text) == Command(user="wife", text=text)


@pytest.mark.parametrize("content_type", ["text/plain", "text/plain; charset=utf-8", "Text/Plain"])
def test_text_plain_makes_anything_a_text(content_type):
    assert read('{"text": "x"}', content_type).text == '{"text": "x"}'
    assert read("{no json", content_type).text == "{no json"


@every_row("payload", ["", " ", "\n\t", "\u3000", '{"text": ""}', '{"text": " \\n"}', '{"kind": "text"}'])
def test_nothing_to_say_is_empty(payload):
    assert refused(payload)[0] == "empty"


@every_row("payload", [b"\xff", b"\xe4\xbd", b"{\xff}", b'{"text": "\xe4"}'])
def test_what_is_not_utf_8_is_a_bad_command(payload):
    assert refused(payload)[:2] == ("bad_command", "not_utf8")


# the byte order mark of PowerShell


def test_a_byte_order_mark_is_no_part_of_a_text_a_command_or_a_request():
    mark = b"\xef\xbb\xbf"
    assert read(mark + "你好".encode()).text == "你好"
    command = read(mark + b'{"text": "x", "id": "a"}')
    assert (command.text, command.id) == ("x", "a")
    assert read(mark + b'{"text": "x"}', "text/plain").text == '{"text": "x"}'
    assert read_request(mark + b'{"user": "wife"}') == {"user": "wife"}
    assert read_request(mark) == {}
    assert refused(mark)[:2] == ("empty", "empty")
    assert read("x\ufeffy").text == "x\ufeffy", "only at the beginning"


# commands


@every_row("payload", ['{"text": "x"}', ' \r\n\t{"text": "x"} \n'])
@every_row("content_type", ["", "application/json", "application/octet-stream"])
def test_what_begins_with_a_brace_is_a_command(payload, content_type):
    assert read(payload, content_type) == Command(user="wife", text="x")


def test_a_command_holds_what_was_asked():
    body = {
        "text": "x",
        "id": "a",
        "ttl": 1.5,
        "mention": ["mom"],
        "hold": False,
        "priority": "high",
        "urgent": True,
        "also_wechat": True,
    }
    assert read(json.dumps(body)) == Command(
        user="wife",
        text="x",
        id="a",
        ttl=1.5,
        mention=("mom",),
        hold=False,
        priority="high",
        urgent=True,
        also_wechat=True,
    )


@every_row("payload", ["{", "{no json", '{"text": "x"', '{"text": "x"} y', '{"a": NaN}', "{" * 9])
def test_a_brace_that_does_not_parse_gets_the_hint_how_to_send_it_as_text(payload):
    assert refused(payload)[:2] == ("bad_command", "bad_json")
    assert '{"text": "…"}' in sentence(payload)
    assert "text/plain" in sentence(payload)


@every_row("payload", ["[]", "1", '"text"', "null", "", "x"])
def test_application_json_must_be_an_object(payload):
    assert refused(payload, "application/json")[:2] == ("bad_command", "bad_json")


def test_an_object_without_text_or_kind_gets_the_hint_how_to_send_json_as_text():
    assert refused('{"ttl": 3}')[:2] == ("bad_command", "no_text_no_kind")
    assert refused('{"temperature": 21.5}')[:2] == ("bad_command", "no_text_no_kind")
    assert 'use {"text": "…"} or content type text/plain' in sentence("{}")


def test_an_unknown_key_is_named_with_those_that_are_known():
    code, word, facts = refused('{"text": "x", "tetx": 1}')
    assert (code, word, facts["key"]) == ("bad_command", "unknown_key", "tetx")
    assert "'tetx'" in sentence('{"text": "x", "tetx": 1}')
    assert "also_wechat" in sentence('{"text": "x", "tetx": 1}')


def test_an_unknown_kind_is_named_with_those_that_are_known():
    assert refused('{"kind": "voice"}')[:2] == ("bad_command", "unknown_kind")
    assert "'voice'" in sentence('{"kind": "voice"}')
    assert "recall" in sentence('{"kind": "voice"}')


WHOLE = [
    {"kind": "image", "path": "/a"},
    {"kind": "video", "url": "https://h/a"},
    {"kind": "file", "data": "AA==", "name": "a"},
    {"kind": "recall", "message_id": "1"},
    {"kind": "image", "path": "/a", "text": "", "mention": []},
]


@every_row("body", WHOLE)
def test_other_kinds_need_no_text(body):
    command = read(json.dumps({**body, "id": "a"}))
    assert (command.kind, command.text) == (body["kind"], "")


@every_row("kind", FILE_KINDS)
@every_row("given", [{}, {"path": "/a", "url": "b"}, {"data": "", "path": "/a"}, {"path": "", "url": ""}])
def test_a_file_comes_in_exactly_one_way(kind, given):
    assert refused(json.dumps({"kind": kind, **given}))[:2] == ("bad_command", "one_source")


@every_row(
    ("body", "code", "word"),
    [
        ({"kind": "image", "data": ""}, "empty", "no_bytes"),
        ({"kind": "image", "data": " \n"}, "empty", "no_bytes"),
        ({"kind": "image", "path": ""}, "bad_command", "bad_value"),
        ({"kind": "image", "url": ""}, "bad_command", "bad_value"),
        ({"kind": "recall"}, "bad_command", "bad_value"),
        ({"kind": "recall", "message_id": ""}, "bad_command", "bad_value"),
        ({"kind": "image", "path": "/a", "format": "markdown"}, "bad_command", "format_without_text"),
        (
            {"kind": "image", "path": "/a", "text": "x", "mention": ["a"]},
            "bad_command",
            "mention_without_text",
        ),
        ({"kind": "recall", "message_id": "1", "text": "x"}, "bad_command", "text_and_kind"),
        ({"kind": "file", "path": "/a", "mention": ["mom"]}, "bad_command", "mention_without_text"),
        ({"text": "look", "path": "/a"}, "bad_command", "text_with_file"),
        ({"text": "look", "kind": "text", "data": "AA=="}, "bad_command", "text_with_file"),
    ],
)
def test_what_would_be_left_out_in_silence_is_refused(body, code, word):
    assert refused(json.dumps({**body, "id": "a"}))[:2] == (code, word)


URGENT, HIGH = KEYS_OF_LEVELS["urgent"], KEYS_OF_LEVELS["high"]


@every_row(
    ("preset", "payload", "urgent", "priority"),
    [
        (URGENT, b"water", True, "normal"),
        (HIGH, b"water", False, "high"),
        (URGENT, b'{"text": "water"}', True, "normal"),
        (HIGH, b'{"text": "water"}', False, "high"),
        (URGENT, b'{"text": "water", "urgent": true, "priority": "low"}', True, "low"),
        (HIGH, b'{"text": "water", "urgent": true, "priority": "high"}', True, "high"),
    ],
)
def test_a_topic_sets_a_key(preset, payload, urgent, priority):
    command = read_command("wife", payload, "", preset=preset)
    assert (command.text, command.urgent, command.priority) == ("water", urgent, priority)


@every_row(
    ("preset", "payload", "key"),
    [
        (URGENT, b'{"text": "water", "id": "a", "urgent": false}', "urgent"),
        (URGENT, b'{"text": "water", "id": "a", "urgent": 1.5}', "urgent"),
        (HIGH, b'{"text": "water", "id": "a", "priority": "low"}', "priority"),
        (HIGH, b'{"text": "water", "id": "a", "priority": null}', "priority"),
    ],
)
def test_a_command_must_not_differ_from_its_topic(preset, payload, key):
    with pytest.raises(BadCommand) as caught:
        read_command("wife", payload, "", preset=preset)
    bad = caught.value
    assert (bad.code, bad.command_id, bad.facts["key"]) == ("bad_command", "a", key)
    assert "out/<user>" in rejection_text("en", bad)


def test_a_text_beside_a_file_is_its_caption():
    command = read('{"kind": "image", "path": "/a", "text": "look", "format": "markdown"}')
    assert (command.kind, command.path, command.text, command.markdown) == ("image", "/a", "look", True)
    assert "caption" in sentence('{"text": "look", "path": "/a"}')


BAD_VALUES: list[tuple[str, list[Any]]] = [
    ("text", [1, None, ["x"], "\ud800"]),
    ("kind", [1, None, [], {}]),
    ("id", ["", "x" * 129, None, True, [], {}, "\udfff"]),
    ("ttl", [0, -1, None, "60", True, [], 0.0]),
    ("mention", ["mom", [1], {"a": 1}, ["\ud800"], None]),
    ("hold", [1, "true", None]),
    ("priority", ["now", 1, None, [], {}]),
    ("urgent", [0, "no"]),
    ("format", ["html", 1, None, [], {}]),
    ("also_wechat", [1]),
    ("name", [1]),
    ("message_id", [7615282929538795099]),
]


@every_row(("key", "value"), [(key, value) for key, values in BAD_VALUES for value in values])
def test_a_value_that_does_not_fit_names_its_key(key, value):
    code, _, facts = refused(json.dumps({"text": "x", key: value}))
    assert code == "bad_command"
    assert facts.get("key", "kind") == key


def test_a_refusal_carries_the_id_wherever_there_is_one():
    with pytest.raises(BadCommand) as caught:
        read('{"id": "a", "text": "x", "ttl": -1}')
    assert caught.value.command_id == "a"


@every_row(
    ("written", "taken"),
    [
        ("7", "7"),
        ("-7", "-7"),
        ("7615282929538795099", "7615282929538795099"),
        ("1.50", "1.50"),
        ("1e2", "1e2"),
        ("12345678901234567890.12345678901234567890", "12345678901234567890.12345678901234567890"),
    ],
)
def test_a_number_as_id_is_taken_as_its_text(written, taken):
    assert read(f'{{"text": "x", "id": {written}}}').id == taken


@pytest.mark.parametrize("length", [1, 128])
def test_an_id_has_1_to_128_characters(length):
    assert read(json.dumps({"text": "x", "id": "界" * length})).id == "界" * length


@pytest.mark.parametrize("ttl", ["1e400", "-1e400", "1" * 5000])
def test_a_number_too_large_to_mean_anything_is_refused(ttl):
    assert refused(f'{{"text": "x", "ttl": {ttl}}}')[0] == "bad_command"


@pytest.mark.parametrize("ttl", ["1e308", "1" + "0" * 400, "1e10"])
def test_a_ttl_beyond_ten_years_is_ten_years(ttl):
    assert read(f'{{"text": "x", "ttl": {ttl}}}').ttl == MAX_TTL_SECONDS


# requests


@pytest.mark.parametrize("payload", [b"", b" \n"])
def test_an_empty_request_has_no_fields(payload):
    assert read_request(payload) == {}


@every_row("payload", [b"[]", b"x", b"\xff", b"{", b'"a"', b"{" * 3000, b'{"transaction": 1e999}'])
def test_a_request_must_be_a_json_object(payload):
    with pytest.raises(BadCommand) as caught:
        read_request(payload)
    assert caught.value.code == "bad_request"
    assert rejection_text("en", caught.value)


@every_row("depth", [50, 150, 400, 900, 2000, 100_000])
def test_what_is_nested_so_deep_that_it_could_not_be_written_again_is_refused(depth):
    payload = b'{"transaction": ' + b"[" * depth + b"]" * depth + b"}"
    if depth <= 50:
        assert read_request(payload)
        return
    with pytest.raises(BadCommand) as caught:
        read_request(payload)
    assert caught.value.code == "bad_request"


# whatever comes


@given(payload=payloads, content_type=st.sampled_from(TYPES))
@example(payload=b'{"text": "x", "ttl": 1e308}', content_type="")
@example(payload=b"[" * 100_000, content_type="application/json")
@example(payload=b'{"text": "\\ud800"}', content_type="")
@example(payload=b'{"\\ud800": 1}', content_type="")
@example(payload=b'{"kind": "\\ud800"}', content_type="")
def test_any_payload_is_a_command_or_a_bad_command_with_a_text(payload, content_type):
    try:
        command = read(payload, content_type)
    except BadCommand as bad:
        assert bad.code in RESULT_CODES
        for language in ("en", "zh"):
            result = Result(
                id=bad.command_id,
                user="wife",
                status=Status.REJECTED,
                code=bad.code,
                time=0,
                message=rejection_text(language, bad),
            )
            assert json.loads(encode(result_body(result, "home")))["message"]
    else:
        assert command.text.encode().strip() or command.kind != "text"
        assert len(command.id) <= 128


@given(payload=payloads)
@example(payload=b'{"transaction": Infinity}')
@example(payload=b'{"transaction": 1e400}')
@example(payload=b'{"transaction": "\\ud800"}')
def test_any_request_has_fields_that_can_be_echoed_or_is_a_bad_request_with_a_text(payload):
    def no_constant(name):
        raise AssertionError(name)

    try:
        fields = read_request(payload)
    except BadCommand as bad:
        assert bad.code in REQUEST_CODES
        answer = answer_error(bad.code, rejection_text("zh", bad), None)
    else:
        answer = answer_ok(fields, fields)
    assert json.loads(answer, parse_constant=no_constant)["status"] in ("ok", "error")


@pytest.mark.parametrize(
    ("minimum", "english", "chinese"),
    [
        (0, "'limit' must be a whole number, 0 or more", "“limit”必须是不小于 0 的整数"),
        (1, "'limit' must be a whole number, 1 or more", "“limit”必须是不小于 1 的整数"),
        (5, "'limit' must be a whole number, 5 or more", "“limit”必须是不小于 5 的整数"),
    ],
)
def test_the_refusal_of_a_number_names_the_smallest_that_is_accepted(minimum, english, chinese):
    with pytest.raises(BadCommand) as caught:
        read_integer({"limit": minimum - 1}, "limit", minimum=minimum)
    assert rejection_text("en", caught.value) == english
    assert rejection_text("zh", caught.value) == chinese
    assert read_integer({"limit": minimum}, "limit", minimum=minimum) == minimum


@every_row("code", ["", " ", "12a", "١٢", "1" * 13, -5, 1.5, True, None, [], {}])
def test_what_is_no_number_is_said_to_be_none(code):
    with pytest.raises(BadCommand, match="bad_value"):
        read_digits({"code": code}, "code")


@every_row(("code", "typed"), [("0", "0"), (" 123456\n", "123456"), (7, "7"), ("0" * 12, "0" * 12)])
def test_digits_are_taken_as_they_are_typed(code, typed):
    assert read_digits({"code": code}, "code") == typed

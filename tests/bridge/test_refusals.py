"""What is no command is refused with the code of its reason, and the result is on the level as it was received."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.bridge.conftest import OpenBridge, rename_wife
from tests.support.account_rig import BridgedAccount
from tests.support.cost import is_in_proportion, repeated
from tests.support.memory_backend import FAMILY, MOM, WIFE, MemoryBackend, with_capabilities
from tests.unit.bridge.validation_harness import ValidationHarness
from wx2mqtt.limits import MAX_FILENAME_BYTES
from wx2mqtt.model import ChatKind, Contact, Handle
from wx2mqtt.mqtt.payloads import RESULT_CODES

EMILE = Contact(handle=Handle("@emile"), kind=ChatKind.FRIEND, nickname="\u00e9mile")


async def code_of(bridge: BridgedAccount, user: str, command: Any, **more: Any) -> str:
    """Returns the code of the result: `ok` when it was sent."""
    return str((await bridge.send(user, command, **more))["code"])


# The recipient


async def test_who_is_not_there_gets_nothing_and_the_result_is_on_the_level_as_received(
    bridge: BridgedAccount,
):
    bridge.backend.deliver(removed=(MOM.handle,))
    await bridge.pass_time(5)
    for user, code in [
        ("nobody", "unknown_user"),
        ("", "bad_command"),
        ("妈妈", "unknown_user"),
        ("老婆 ", "unknown_user"),
        (" 老婆", "unknown_user"),
    ]:
        result = await bridge.send(user, "hello")
        assert (result["status"], result["code"], result["user"]) == ("rejected", code, user)
    assert "wx/contacts" in bridge.last("wx/result/老婆 ")["message"]
    assert bridge.backend.sent == []


async def test_who_is_no_longer_certain_gets_nothing(bridge: BridgedAccount):
    await rename_wife(bridge)
    assert await code_of(bridge, "老婆", "hello") == "unresolved_user"


async def test_a_decomposed_name_is_the_same_name_and_its_result_keeps_the_form(open_bridge: OpenBridge):
    bridge = await open_bridge(MemoryBackend(contacts=[EMILE]), send={"allow": ["\u00e9mile"]})
    assert (await bridge.send("e\u0301mile", "hello"))["status"] == "sent"
    assert await code_of(bridge, "\u00c9mile", "hello") == "unknown_user"


async def test_before_the_first_login_only_pinned_names_are_accepted(open_bridge: OpenBridge):
    backend = MemoryBackend()
    backend.log_in_after(600)
    bridge = await open_bridge(backend, start=False, contacts={"老婆": {"remark": "老婆"}})
    await bridge.start(online=False)
    for user in ("老婆", "filehelper"):
        bridge.deliver(f"wx/out/{user}", "hello")
    assert await code_of(bridge, "妈妈", "hello") == "unknown_user"
    assert [topic for topic in bridge.broker.topics if "result" in topic] == ["wx/result/妈妈"]
    assert (await bridge.result("老婆"))["status"] == "sent"
    assert len(bridge.backend.sent) == 1


@pytest.mark.parametrize(
    ("allow", "allowed"),
    [
        (["*"], True),
        (["老婆"], True),
        (["老*"], True),
        (["妈妈", "老?"], True),
        ([], False),
        (["妈妈"], False),
    ],
)
async def test_send_allow_limits_the_recipients(open_bridge: OpenBridge, allow: list[str], allowed: bool):
    bridge = await open_bridge(send={"per_minute": 0, "allow": allow})
    result = await bridge.send("老婆", "hello")
    assert (result["status"], result["code"]) == (("sent", "ok") if allowed else ("rejected", "not_allowed"))
    assert allowed or "send.allow" in result["message"]


@pytest.mark.parametrize(("allow", "codes"), [("老婆", ["ok", "ok"]), ("梅", ["not_allowed", "ok"])])
async def test_who_may_be_written_to_may_be_by_an_earlier_name(
    open_bridge: OpenBridge, allow: str, codes: list[str]
):
    bridge = await open_bridge(send={"per_minute": 0, "allow": [allow]})
    await rename_wife(bridge)
    await bridge.request("assign", user="老婆", to="梅")
    assert [await code_of(bridge, user, "hello") for user in ("老婆", "梅")] == codes


# The content


BAD_NAMES = ("a/b", "/etc/passwd", "..", ".", "a\\b", "a\0b", "a\nb", "\x1b[2J", "a\u202egpj.exe", "\u2066x")
BAD_HOSTS = ("http://xn--)/", "http://[::%\x9f]/", "https://xn--a/x.jpg", "http://xn--ls8h=/")
BAD_URLS = ("file:///etc/passwd", "ftp://h/x", "h/x", "http://")
FILE: dict[str, Any] = {"kind": "file", "url": "https://h/x"}
LEVELS = "wx/out/老婆, wx/out/老婆/urgent, wx/out/老婆/high, wx/out/老婆/image, wx/out/老婆/video, wx/out/老婆/file/<name>"

#: A level below the user, a payload, and the code and words of the refusal.
REFUSED: list[tuple[str, bytes | str | dict[str, Any], str, str]] = [
    ("", "", "empty", ""),
    ("", "{", "bad_command", ""),
    ("", "{}", "bad_command", ""),
    ("", b"\xff", "bad_command", "not valid UTF-8"),
    ("", b'{"text": "\xff"}', "bad_command", "not valid UTF-8"),
    ("", "你好".encode("gbk"), "bad_command", "not valid UTF-8"),
    ("", "你好".encode("utf-16"), "bad_command", "publish it as UTF-8"),
    ("", b"\x89PNG\r\n\x1a\n\xff", "bad_command", "publish them on wx/out/老婆/image"),
    (
        "",
        b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom\xff",
        "bad_command",
        "publish them on wx/out/老婆/video",
    ),
    ("", b"%PDF-1.7\xff", "bad_command", "publish them on wx/out/老婆/file/<name>"),
    *(("/" + sub, b"", "empty", "") for sub in ("image", "video", "file/a.txt")),
    *(
        (f"/file/{name}", b"x", "bad_command", "")
        for name in ("..", "a\\b", "a\u202eb", "a" * 300, "+ # /..")
    ),
    *(
        ("/" + sub, b"x", "bad_command", LEVELS)
        for sub in ("file", "file/", "file/a/b", "picture", "image/", "")
    ),
    ("/high", {"text": "x", "priority": "low"}, "bad_command", "priority"),
    *(("", {**FILE, "name": name}, "bad_command", "name") for name in BAD_NAMES),
    ("", {**FILE, "name": "x" * 300}, "bad_command", str(MAX_FILENAME_BYTES)),
    *(("", {**FILE, "url": url}, "bad_file", "the host in 'url' is no name") for url in BAD_HOSTS),
    *(("", {**FILE, "url": url}, "bad_command", "https") for url in BAD_URLS),
    ("", {"text": "hi", "mention": ["妈妈"]}, "bad_command", "mention"),
    ("", {"text": "界" * 34}, "too_long", "102"),
    ("", {"text": "x" * 101}, "too_long", "100"),
    ("", {"text": "x" * 100, "buttons": ["Yes"]}, "too_long", "100"),
    ("", {"kind": "voice", "data": "AA=="}, "bad_command", ""),
]


async def test_what_is_no_command_is_refused_with_its_code_and_leaves_nothing(open_bridge: OpenBridge):
    bridge = await open_bridge(with_capabilities(text_limit=100))
    for level, payload, code, words in REFUSED:
        command: Any = payload
        if isinstance(payload, dict):
            command = {**payload, "id": f"{len(bridge.broker.sent)}"}
        result = await bridge.send(f"老婆{level}", command)
        assert (result["status"], result["code"]) == ("rejected", code), (level, payload)
        assert words in result["message"], (level, payload)
        assert result["id"] == command["id"] if isinstance(command, dict) else len(result["id"]) == 16
        assert result["code"] in RESULT_CODES
    assert (bridge.backend.sent, bridge.stored_files) == ([], [])
    assert {row.command.text for row in await bridge.commands()} == {""}, "a refusal keeps no content"
    assert [await code_of(bridge, "老婆", text) for text in ("x" * 100, "界" * 33)] == ["ok", "ok"]


@pytest.mark.parametrize("topic", ["wx/out", "wx/out/", "wx/out//image"])
async def test_a_topic_without_a_user_is_answered_too(bridge: BridgedAccount, topic: str):
    bridge.deliver(topic, "x")
    assert "wx/out/<user>, wx/out/<user>/urgent" in (await bridge.result(""))["message"]


@pytest.mark.parametrize(
    ("level", "payload", "options"),
    [
        ("urgent", "water", (True, "normal")),
        ("high", "water", (False, "high")),
        ("high", '{"text": "water", "urgent": true}', (True, "high")),
    ],
)
async def test_a_topic_sets_what_a_text_cannot_say(
    bridge: BridgedAccount, level: str, payload: str, options: tuple[bool, str]
):
    assert await code_of(bridge, f"老婆/{level}", payload) == "ok"
    (row,) = await bridge.commands()
    assert (row.command.text, row.command.urgent, row.command.priority) == ("water", *options)


async def test_what_the_backend_cannot_do_is_unsupported(open_bridge: OpenBridge):
    bridge = await open_bridge(
        with_capabilities(media={}, actions=frozenset(), has_groups=False, has_mentions=False)
    )
    bodies: list[dict[str, Any]] = [
        {"kind": "image", "url": "https://h/x"},
        {"kind": "video", "path": "/x"},
        {"kind": "file", "data": "AA=="},
        {"kind": "recall", "message_id": "1"},
        {"kind": "recall", "also": "a key that no recall has"},
        {"text": "x", "format": "markdown"},
        {"text": "x", "mention": ["妈妈"]},
    ]
    for body in bodies:
        result = await bridge.send("老婆", {**body, "id": str(body)})
        assert (result["id"], result["code"]) == (str(body), "unsupported"), body
        assert body.get("kind", "") in result["message"]


async def test_people_are_mentioned_in_groups(bridge: BridgedAccount):
    assert await code_of(bridge, FAMILY.nickname, {"text": "hi", "mention": ["老婆"]}) == "ok"
    assert bridge.backend.sent[0].draft.mention == (WIFE.handle,)


async def test_a_full_store_takes_no_command(open_bridge: OpenBridge):
    bridge = await open_bridge()
    quota = bridge.account.ctx.shared.quota
    quota.limit = quota.size
    assert await code_of(bridge, "老婆", "hello") == "storage_full"


async def test_refusals_are_in_the_language_of_the_settings(open_bridge: OpenBridge):
    bridge = await open_bridge(language="zh")
    assert (await bridge.send("老婆", ""))["message"] == "没有要发送的文字"


# The expiry


@pytest.mark.parametrize(
    ("ttl", "expiry", "seconds"),
    [
        (None, None, 600),
        (30, None, 30),
        (3600, None, 3600),
        (None, 40, 40),
        (None, 3600, 3600),
        (30, 40, 30),
        (50, 40, 40),
        (0.25, None, 0.25),
        (1e300, None, 315_360_000),
        (None, 4_294_967_295, 4_294_967_295),
    ],
)
async def test_the_smaller_of_ttl_and_what_mqtt_5_has_left_counts_from_acceptance(
    bridge: BridgedAccount, ttl: float | None, expiry: int | None, seconds: float
):
    await bridge.send("老婆", {"text": "x", **({} if ttl is None else {"ttl": ttl})}, expiry=expiry)
    (row,) = await bridge.commands()
    assert row.expires == row.accepted + seconds * 1000


async def test_a_command_that_came_too_late_is_expired_and_its_bytes_are_not_kept(bridge: BridgedAccount):
    result = await bridge.send("老婆", {"kind": "image", "data": "AAAA", "id": "a"}, expiry=0)
    assert (result["id"], result["status"], result["code"]) == ("a", "expired", "expired")
    assert result["message"] == "it had expired before it came"
    (row,) = await bridge.commands()
    assert (row.command.data, bridge.backend.sent) == ("", [])


async def test_a_command_without_a_ttl_has_that_of_the_settings(open_bridge: OpenBridge):
    bridge = await open_bridge(send={"per_minute": 0, "ttl": 7.5})
    await bridge.send("老婆", "hello")
    (row,) = await bridge.commands()
    assert row.expires == row.accepted + 7500


# Where the result goes


@pytest.mark.parametrize(
    ("topic", "is_allowed"),
    [
        *((topic, True) for topic in ("wxx", "wx2/in", "me", "/wx/in", "homeassistant2/x", "a/$b", "微信")),
        *((topic, False) for topic in ("wx", "wx/in/老婆", "wx/out/妈妈", "other/x", "homeassistant/x")),
        *((topic, False) for topic in ("homeassistant", "$SYS/x", "$share/g/t", "a/+", "#")),
    ],
)
async def test_the_result_goes_to_the_response_topic_too_where_that_is_allowed(
    open_bridge: OpenBridge, topic: str, is_allowed: bool
):
    bridge = await open_bridge(base_topics=("wx", "other"))
    for body, code in [({"text": "x", "id": "a"}, "ok"), ({"id": "b"}, "bad_command")]:
        result = await bridge.send("老婆", body, response_topic=topic, correlation=b"\0\xff")
        if is_allowed:
            assert (result["code"], await bridge.next(topic)) == (code, result)
        else:
            assert result["code"] == ("bad_response_topic" if code == "ok" else code)
            assert "the result comes on this topic only" in result["message"]
    answers = bridge.sent(topic) if is_allowed else []
    assert [sent.publication.correlation for sent in answers] == [b"\0\xff"] * len(answers)
    assert [sent.publication.correlation for sent in bridge.sent("wx/result/老婆")] == [None, None]
    assert is_allowed or not bridge.sent("wx/out/妈妈")


# Requests


async def answer_to(bridge: BridgedAccount, name: str, payload: Any, **more: Any) -> Any:
    content = payload if isinstance(payload, bytes | str) else json.dumps(payload)
    bridge.deliver(f"wx/bridge/request/{name}", content, **more)
    return await bridge.next(f"wx/bridge/response/{name}")


async def test_a_request_to_send_is_a_command_whose_result_is_an_answer_too(bridge: BridgedAccount):
    answer = await answer_to(
        bridge, "send", {"user": "老婆", "text": "hello", "id": "a", "transaction": {"n": 1}}
    )
    result = await bridge.result("老婆")
    assert answer == {"status": "ok", "data": result, "transaction": {"n": 1}}
    assert (result["id"], result["status"]) == ("a", "sent")


async def test_a_user_that_is_no_topic_level_is_answered_and_appears_on_no_topic(bridge: BridgedAccount):
    for user in (None, "", 7, ["老婆"], "a/b", "#", "+", "a+", "\0", "\ud800", "x" * 2000, "老婆/image"):
        asked = {} if user is None else {"user": user}
        answer = await answer_to(bridge, "send", {**asked, "text": "hello", "transaction": 1})
        assert (answer["status"], answer["code"], answer["transaction"]) == ("error", "bad_command", 1), user
        assert "'user'" in answer["error"]
    assert not [topic for topic in bridge.broker.topics if topic.startswith("wx/result/")]


async def test_what_a_request_cannot_send_is_answered_as_an_error_and_as_a_result(bridge: BridgedAccount):
    answer = await answer_to(bridge, "send", {"user": "nobody", "text": "hello", "id": "a"})
    assert (answer["status"], answer["code"]) == ("error", "unknown_user")
    result = await bridge.result("nobody")
    assert (result["status"], result["id"]) == ("rejected", "a")
    for payload in ("", "x", "[]", b"\xff"):
        answer = await answer_to(bridge, "send", payload)
        assert (answer["status"], answer["code"] in ("bad_request", "bad_command")) == ("error", True)
    bad = {"user": "老婆", "text": ""}
    answer = await answer_to(bridge, "send", bad, response_topic="me/x", correlation=b"1")
    assert await bridge.next("me/x") == answer


# Any input


@pytest.mark.parametrize("topic", ["wx/out/老婆", "wx/bridge/request/send"])
async def test_a_bug_in_the_bridge_rejects_this_command_and_is_logged(
    bridge: BridgedAccount, topic: str, monkeypatch: pytest.MonkeyPatch
):
    def raise_bug(_command: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as bug, capture_logs() as logs:
        bug.setattr(bridge.account.components.validator, "check", raise_bug)
        bridge.deliver(topic, {"user": "老婆", "text": "secret"} if "request" in topic else "secret")
        result = await bridge.result("老婆")
    assert (result["status"], result["code"]) == ("rejected", "internal")
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert line["event"] == "command cannot be judged"
    assert "secret" not in str({**line, "exc_info": None})
    assert await code_of(bridge, "老婆", "the next one") == "ok"


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
    validation = ValidationHarness()
    assert is_in_proportion(
        lambda size: validation.new("hi", "wx/out/" + repeated("\u0301\u0327", size)), 20_000
    )

"""The flows that talk to the home: assist (Home Assistant's agents) and model (language models).

The guards are tested with messages as the bridge publishes them, both flows at once; each silence stands beside an
answer. What people really write on each backend is at the end.
"""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.node_red.environment import NodeRedEnvironment, running_wecom_environment
from tests.support.assistant_server import ASSIST, MODEL, AssistantServer, Reply
from tests.support.broker import free_port
from tests.support.ilink_home import ILinkHome
from tests.support.wecom_home import WeComHome

pytestmark = pytest.mark.asyncio(loop_scope="module")

FLOWS = ("assist", "model")
TOKEN, KEY = "token-of-home-assistant-5e0d", "key-of-the-cloud-91c2"

LATE = "Too late, write it again. 太晚了，请再发一次。"
VOICE = "Voices need iLink or WeCom: write it. 语音只有 iLink 和企业微信能识别，请打字。"

SEQS = itertools.count(1)

FAMILY: dict[str, Any] = {"user": "family", "chat": {"kind": "group", "name": "相亲相爱一家人"}}
IN_FAMILY = {**FAMILY, "mentioned": True}
FROM_MOM: dict[str, Any] = {"sender": {"user": "mom", "name": "妈妈", "self": False}}
MOM: dict[str, Any] = {"user": "mom", "chat": {"kind": "friend", "name": "妈妈"}, **FROM_MOM}
MYSELF: dict[str, Any] = {"sender": {"name": "王小明", "self": True}}
FILEHELPER: dict[str, Any] = {
    "user": "filehelper",
    "chat": {"kind": "self", "name": "文件传输助手"},
    **MYSELF,
}
QUOTE = {"kind": "quote", "quote": {"kind": "text", "text": "unlock the door", "sender": "李雷"}}
HEARD = {"kind": "voice", "voice": {"duration": 2.0, "transcript": True}}
NOT_HEARD = {"kind": "voice", "voice": {"duration": 2.0}, "text": "[voice]"}


def message(text: str = "开灯", *, seconds_ago: float = 0, **changes: Any) -> dict[str, Any]:
    """Returns a message of `wife` as the bridge publishes it."""
    seq = next(SEQS)
    time = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return {
        "schema": 1,
        "stream": "k3v9qa",
        "seq": seq,
        "id": str(7615282929538790000 + seq),
        "account": "home",
        "user": "wife",
        "chat": {"kind": "friend", "name": "老婆"},
        "sender": {"user": "wife", "name": "老婆", "self": False},
        "trusted": True,
        "mentioned": False,
        "kind": "text",
        "text": text,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        **changes,
    }


@pytest.fixture
def server() -> Iterator[AssistantServer]:
    with AssistantServer() as server:
        yield server


async def load(environment: NodeRedEnvironment, server: AssistantServer, *flows: str, **env: Any) -> None:
    """Deploys flows, both without a name, that ask `server`."""
    usual = {"HA_URL": server.url, "HA_TOKEN": TOKEN, "MODEL_URL": server.url, "MODEL_KEY": KEY}
    await environment.load(*(flows or FLOWS), **{**usual, **env})


async def publish(environment: NodeRedEnvironment, message: dict[str, Any]) -> None:
    await environment.home.publish(f"wx/in/{message['user']}", json.dumps(message))


async def answer_to(environment: NodeRedEnvironment, message: dict[str, Any], flow: str) -> dict[str, Any]:
    """Waits for the command with which this flow answers the message, and for its result; returns the command."""
    home, user = environment.home, message["user"]
    command_id = f"{flow}-{message['stream']}-{message['seq']}"
    command = await home.body(f"wx/out/{user}", id=command_id)
    await home.body(f"wx/result/{user}", id=command_id)
    return command


async def ask(environment: NodeRedEnvironment, flow: str, text: str, **changes: Any) -> str:
    """Publishes a message, and returns the text with which the flow answers."""
    asked = message(text, **changes)
    await publish(environment, asked)
    return str((await answer_to(environment, asked, flow))["text"])


def answers(environment: NodeRedEnvironment, message: dict[str, Any]) -> list[str]:
    """Returns the texts of all commands that answer the message so far."""
    ids = {f"{flow}-{message['stream']}-{message['seq']}" for flow in FLOWS}
    commands = [
        received.body
        for received in environment.home.subscriber.received
        if received.topic.startswith("wx/out/") and received.payload.startswith(b"{")
    ]
    return [command["text"] for command in commands if command.get("id") in ids]


# the guards


GUARDS: dict[str, tuple[dict[str, str], list[tuple[dict[str, Any], dict[str, Any], str]]]] = {
    "as shipped": (
        {},
        [
            ({"seconds_ago": -90}, {"seconds_ago": -30}, "开灯"),
            ({"trusted": False}, {}, "开灯"),
            ({"kind": "image", "image": {"state": "pending"}, "text": "[image]"}, QUOTE, "开灯"),
            ({"kind": "system", "text": "拍了拍你"}, HEARD, "开灯"),
            (IN_FAMILY, {}, "开灯"),
            (MYSELF, FILEHELPER, "开灯"),
            ({"chat": {"kind": "official", "name": "News"}}, {}, "开灯"),
            ({"button": {"command_id": "lock", "key": "yes"}}, {}, "开灯"),
        ],
    ),
    "groups": (
        {"GROUPS": "true"},
        [
            (FAMILY, IN_FAMILY, "开灯"),
            ({**IN_FAMILY, "trusted": False}, IN_FAMILY, "开灯"),
            ({**IN_FAMILY, **MYSELF}, IN_FAMILY, "开灯"),
        ],
    ),
    "two people": ({"PEOPLE": "wife， mom"}, [(FILEHELPER, MOM, "开灯")]),
    "one person": (
        {"PEOPLE": "wife", "GROUPS": "true"},
        [(MOM, {}, "开灯"), ({**IN_FAMILY, **FROM_MOM}, IN_FAMILY, "开灯")],
    ),
    "one group": (
        {"PEOPLE": "family", "GROUPS": "true"},
        [({}, {**IN_FAMILY, **FROM_MOM}, "开灯")],
    ),
    "excepted words": ({"EXCEPT_WORDS": "好, ok"}, [({"text": " ＯＫ "}, {"text": "ok!"}, "ok!")]),
    "prefix": (
        {"PREFIX": "小爱", "EXCEPT_WORDS": "小爱好"},
        [
            ({}, {"text": "小爱 \u3000开灯"}, "开灯"),
            (NOT_HEARD, {"text": "小爱开灯"}, "开灯"),
            ({"text": "小爱好"}, {"text": "小爱 好"}, "好"),
        ],
    ),
    "latin prefix": ({"PREFIX": "home"}, [({"text": "ｈｏｍe "}, {"text": "Ｈｏｍｅ light on"}, "light on")]),
}
"""Settings, and for each some that is left alone beside some that is answered, and what is asked for that."""


@pytest.mark.parametrize(("env", "rows"), GUARDS.values(), ids=GUARDS)
async def test_what_fails_a_guard_is_left_alone_and_what_passes_all_is_answered(
    environment: NodeRedEnvironment, server: AssistantServer, env, rows
):
    await load(environment, server, **env)
    for silent, answered, asked in rows:
        left, taken = message(**silent), message(**answered)
        await publish(environment, left)
        await publish(environment, taken)
        for flow in FLOWS:
            answer = await answer_to(environment, taken, flow)
            assert answer["text"] == f"You said: {asked}", (silent, answered)
        assert answers(environment, left) == [], silent
    assert [question.text for question in server.questions] == [
        asked for *_, asked in rows for _flow in FLOWS
    ]


async def test_what_is_late_and_a_voice_that_was_not_heard_is_answered_once_and_not_done(
    environment: NodeRedEnvironment, server: AssistantServer
):
    await load(environment, server)
    rows: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
        ({"seconds_ago": 90}, LATE, {"seconds_ago": 30}),
        (NOT_HEARD, VOICE, HEARD),
    ]
    for refused, sentence, taken in rows:
        bad, good = message(**refused), message(**taken)
        for published in (bad, bad, good):
            await publish(environment, published)
        for flow in FLOWS:
            assert (await answer_to(environment, bad, flow))["text"] == sentence
            assert (await answer_to(environment, good, flow))["text"] == "You said: 开灯"
        assert answers(environment, bad) == [sentence] * 2, "one of each flow"
    assert len(server.questions) == len(rows) * 2


async def test_what_is_late_and_fails_another_guard_is_left_alone(
    environment: NodeRedEnvironment, server: AssistantServer
):
    await load(environment, server)
    image = {"kind": "image", "image": {"state": "pending"}}
    button = {"button": {"command_id": "lock", "key": "yes"}}
    late = [
        message(seconds_ago=90, **more) for more in ({"trusted": False}, image, IN_FAMILY, button, NOT_HEARD)
    ]
    for left in late:
        await publish(environment, left)
    for flow in FLOWS:
        assert await ask(environment, flow, "开灯") == "You said: 开灯"
    assert [answers(environment, left) for left in late] == [[]] * len(late)


async def test_what_no_message_is_stops_nothing(environment: NodeRedEnvironment, server: AssistantServer):
    await load(environment, server)
    for payload in ("", "null", "hello", "[1]", '{"user": "wife"}', '{"chat": 1, "text": null}'):
        await environment.home.publish("wx/in/wife", payload)
    for flow in FLOWS:
        assert await ask(environment, flow, "开灯") == "You said: 开灯"


async def test_a_mention_is_no_part_of_what_is_asked(
    environment: NodeRedEnvironment, server: AssistantServer
):
    await load(environment, server, "assist", GROUPS="true")
    for text, asked in (
        ("@王小明 开灯", "开灯"),
        ("@Papa W\u2005开灯", "开灯"),
        ("开灯 @Papa W\u2005", "开灯"),
        ("关掉 a@b.c 的灯 @王小明", "关掉 a@b.c 的灯"),
    ):
        assert await ask(environment, "assist", text, **IN_FAMILY) == f"You said: {asked}"


async def test_the_answer_to_an_alarm_is_left_to_the_flow_alarm(
    environment: NodeRedEnvironment, server: AssistantServer
):
    home = environment.home
    await load(environment, server, "alarm", *FLOWS)
    since = home.subscriber.count
    await home.publish("home/water/alarm", "ON")
    await home.body("wx/result/wife", since=since, status="sent")
    await environment.wait_until_idle()
    answer = message("好")
    await publish(environment, answer)
    await environment.shown("answered", "老婆")
    await environment.wait_until_idle()
    await home.body("wx/result/wife", since=since, status="sent", id=_over_id(home, since))
    await environment.wait_until_idle()
    for flow in FLOWS:
        assert await ask(environment, flow, "好") == "You said: 好"
    assert answers(environment, answer) == []


def _over_id(home: Any, since: int) -> str:
    """Returns the id of the command that says that somebody sees to the alarm."""
    found = home.subscriber.wait(
        "wx/out/wife", lambda received: "-answered-" in received.body["id"], since=since
    )
    return str(found.body["id"])


# once, and in order


async def test_a_message_that_is_published_again_is_asked_and_answered_once_also_after_restarts(
    environment: NodeRedEnvironment, server: AssistantServer
):
    """Node-RED remembers what it has seen. Where it forgets that, the id lets the bridge send one answer."""
    home, before = environment.home, await environment.sent_count()
    await load(environment, server, "assist")
    asked = message("hello")
    result_id = f"assist-k3v9qa-{asked['seq']}"
    await publish(environment, asked)
    await home.body("wx/result/wife", id=result_id, status="sent")
    await publish(environment, asked)
    await environment.restart()
    await publish(environment, asked)
    assert await ask(environment, "assist", "between") == "You said: between"
    assert len(server.asked("hello")) == 1
    await home.in_thread(environment.red.stop)
    shutil.rmtree(environment.red.folder / "context")
    await environment.start()
    since = home.subscriber.count
    await publish(environment, asked)
    assert (await home.body("wx/result/wife", id=result_id, since=since))["status"] == "sent"
    await environment.assert_sent("You said: hello", "You said: between", since=before)


async def test_an_answer_outlives_a_kill_of_the_bridge_between_message_and_reply(
    environment: NodeRedEnvironment, server: AssistantServer
):
    home, before = environment.home, await environment.sent_count()
    await load(environment, server, "assist")
    release = server.hold("开灯")
    since = home.subscriber.count
    await home.control.say("wife", "开灯")
    await home.in_thread(server.wait, "开灯")
    await home.in_thread(home.bridge.kill)
    release()
    await home.in_thread(home.subscriber.wait, "wx/out/wife", since=since)
    published = await home.body("wx/in/wife", since=since, text="开灯")
    await home.restart()
    await publish(environment, published)  # as a bridge does that was killed before the PUBACK
    assert await ask(environment, "assist", "after") == "You said: after"
    await environment.assert_sent("You said: 开灯", "You said: after", since=before)


@pytest.mark.parametrize("flow", FLOWS)
async def test_a_message_that_waited_too_long_for_the_one_before_it_is_not_done(
    environment: NodeRedEnvironment, server: AssistantServer, flow
):
    await load(environment, server, flow)
    release = server.hold("slow")
    await publish(environment, message("slow"))
    await environment.home.in_thread(server.wait, "slow")
    aging = message("aging", seconds_ago=58)
    await publish(environment, aging)
    aged = time.time() + 3
    while time.time() < aged:
        await ask(environment, flow, "beside", **MOM)
    release()
    assert (await answer_to(environment, aging, flow))["text"] == LATE
    assert await ask(environment, flow, "next") == "You said: next"
    assert server.asked("aging") == []


@pytest.mark.parametrize("flow", FLOWS)
async def test_requests_of_one_chat_go_in_order_and_stop_no_other_chat(
    environment: NodeRedEnvironment, server: AssistantServer, flow
):
    await load(environment, server, flow)
    release = server.hold("slow")
    slow, second, third = message("slow"), message("second"), message("third")
    for asked in (slow, second, third):
        await publish(environment, asked)
    await environment.home.in_thread(server.wait, "slow")
    assert await ask(environment, flow, "beside", **MOM) == "You said: beside"
    assert [question.text for question in server.questions] == ["slow", "beside"]
    release()
    await answer_to(environment, third, flow)
    assert [question.text for question in server.questions] == ["slow", "beside", "second", "third"]


async def test_a_request_that_a_deploy_ended_stops_no_later_one(
    environment: NodeRedEnvironment, server: AssistantServer
):
    await load(environment, server, "assist")
    release = server.hold("lost")
    await publish(environment, message("lost"))
    await environment.home.in_thread(server.wait, "lost")
    await load(environment, server, "assist")
    assert await ask(environment, "assist", "next") == "You said: next"
    release()


# what goes wrong


NOT_ASSIST = "There is no Home Assistant with Assist at HA_URL"
NO_MODEL = "What answers at MODEL_URL speaks another protocol"
ERRORS = {
    "assist": [
        (Reply(status=500, body=b"<html>"), "Home Assistant failed (500): look into its log. "),
        (Reply(status=429), "Home Assistant failed (429): look into its log. "),
        (Reply(status=400, body=b"{}"), "Home Assistant does not know AGENT or LANGUAGE"),
        (Reply(status=401, body=b"401: Unauthorized"), "Home Assistant refuses HA_TOKEN"),
        (Reply(status=404, body=b"404"), NOT_ASSIST),
        (Reply(status=302, location="/elsewhere"), NOT_ASSIST),
        (Reply(body=b"{"), NOT_ASSIST),
        (Reply(body=b'{"response": []}'), NOT_ASSIST),
        (Reply(body=b"null"), NOT_ASSIST),
        (
            Reply("Unexpected error", response_type="error", error_code="unknown"),
            "Unexpected error\nHome Assistant failed (unknown): look into its log. ",
        ),
        (
            Reply("Sorry", response_type="error", error_code="failed_to_handle"),
            "Sorry\nHome Assistant failed (failed_to_handle): look into its log. ",
        ),
    ],
    "model": [
        (Reply(status=500, body=b"oops"), "The model failed (500): look into the log of its server. "),
        (Reply(status=429, body=b"{}"), "The server of the model takes no more now"),
        (Reply(status=401, body=KEY.encode()), "The server of the model refuses MODEL_KEY"),
        (Reply(status=404, body=b"{}"), "There is no such MODEL at MODEL_URL"),
        (Reply(status=307, location="/elsewhere"), NO_MODEL),
        (Reply(body=b"<html>"), NO_MODEL),
        (Reply(body=b'{"choices": []}'), NO_MODEL),
        (Reply(body=b'[{"choices": 1}]'), NO_MODEL),
    ],
}


@pytest.mark.parametrize("flow", FLOWS)
async def test_an_error_is_answered_with_where_to_look_and_the_next_message_works(
    environment: NodeRedEnvironment, server: AssistantServer, flow
):
    await load(environment, server, flow)
    begin = len(environment.red.output)
    for reply, sentence in ERRORS[flow]:
        since = len(environment.red.output)
        server.replies["broken"] = reply
        said = await ask(environment, flow, "broken")
        assert said.startswith(sentence), reply
        assert "请" in said
        await environment.shown("not answered", said.rpartition("\n")[2], since=since)
        assert await ask(environment, flow, "whole") == "You said: whole", reply
    assert len(server.questions) == 2 * len(ERRORS[flow])
    assert KEY not in str(environment.red.output[begin:]), "a server's words about a key are shown to nobody"


@pytest.mark.parametrize("flow", FLOWS)
async def test_an_empty_answer_sends_nothing_and_the_next_message_works(
    environment: NodeRedEnvironment, server: AssistantServer, flow
):
    await load(environment, server, flow)
    server.replies |= {"quiet": Reply("  "), "null": Reply(None)}
    quiet, null = message("quiet"), message("null")
    since = len(environment.red.output)
    await publish(environment, quiet)
    await publish(environment, null)
    assert await ask(environment, flow, "whole") == "You said: whole"
    assert answers(environment, quiet) + answers(environment, null) == []
    assert (
        environment.red.all_shown("not answered", since=since) == ["The answer was empty. 回答是空的。"] * 2
    )


@pytest.mark.parametrize(
    "url",
    [f"http://127.0.0.1:{free_port()}", "http://no.such.host.invalid", "http://[bad"],
    ids=["nobody listens", "no such host", "no address"],  # the same in each worker
)
async def test_a_server_that_is_not_there_is_named(
    environment: NodeRedEnvironment, server: AssistantServer, url
):
    await load(environment, server, HA_URL=url, MODEL_URL=url)
    asked = message("anybody?")
    await publish(environment, asked)
    for flow, name in (("assist", "HA_URL"), ("model", "MODEL_URL")):
        said = (await answer_to(environment, asked, flow))["text"]
        assert f"is not there: look at {name}" in said
        assert url not in said


@pytest.mark.parametrize(
    "empty", [{"HA_TOKEN": "", "MODEL": " "}, {"HA_URL": "homeassistant.local", "MODEL_URL": ""}]
)
async def test_a_setting_that_is_missing_is_named(
    environment: NodeRedEnvironment, server: AssistantServer, empty
):
    await load(environment, server, **empty)
    first, second = message("first"), message("second")
    await publish(environment, first)
    await publish(environment, second)
    for asked in (first, second):
        for flow, names in (("assist", "HA_URL and HA_TOKEN"), ("model", "MODEL_URL and MODEL")):
            sentence = f"Set {names} in the tab of this flow"
            assert (await answer_to(environment, asked, flow))["text"].startswith(sentence)
    assert server.questions == []


@pytest.mark.parametrize("flow", FLOWS)
async def test_who_takes_too_long_is_given_up_and_the_next_message_works(
    environment: NodeRedEnvironment, server: AssistantServer, flow
):
    await load(environment, server, flow, TIMEOUT=1)
    await environment.deploy([_impatient(node) for node in environment.flow])
    release = server.hold("slow")
    assert "look at" in (said := await ask(environment, flow, "slow"))
    assert said.startswith("No answer within ")
    release()
    assert await ask(environment, flow, "quick") == "You said: quick"


def _impatient(node: dict[str, Any]) -> dict[str, Any]:
    """Returns the node with the 60 seconds of the flow assist, which no setting changes, as one."""
    if node["type"] != "function":
        return node
    return {**node, "func": node["func"].replace("const seconds = 60\n", "const seconds = 1\n")}


async def test_an_answer_that_wechat_does_not_take_comes_out(
    environment: NodeRedEnvironment, server: AssistantServer
):
    await load(environment, server, "assist")
    since = len(environment.red.output)
    await publish(environment, message(user="nobody"))
    assert "unknown_user" in await environment.shown("not sent", since=since)


# what is asked, and what comes back


async def test_assist_gets_text_conversation_agent_and_language(
    environment: NodeRedEnvironment, server: AssistantServer
):
    await load(environment, server, "assist", HA_URL=f"{server.url}/")
    command = message("is the garage closed?")
    await publish(environment, command)
    answer = await answer_to(environment, command, "assist")
    assert answer == {
        "id": f"assist-k3v9qa-{command['seq']}",
        "text": "You said: is the garage closed?",
        "ttl": 300,
    }
    question = server.wait("is the garage closed?", ASSIST)
    assert question.body == {"text": "is the garage closed?", "conversation_id": "wx2mqtt-home-wife"}
    assert question.authorization == f"Bearer {TOKEN}"
    await load(
        environment, server, "assist", AGENT="conversation.ollama", LANGUAGE="zh-cn", HA_TOKEN=f"{TOKEN}\n"
    )
    await ask(environment, "assist", "车库关了吗", **MOM)
    question = server.wait("车库关了吗", ASSIST)
    assert question.body == {
        "text": "车库关了吗",
        "conversation_id": "wx2mqtt-home-mom",
        "agent_id": "conversation.ollama",
        "language": "zh-cn",
    }
    assert question.authorization == f"Bearer {TOKEN}"


async def test_a_conversation_is_never_named_as_home_assistant_names_its_own(
    environment: NodeRedEnvironment, server: AssistantServer
):
    """It takes 26 characters for an id that it has made, and makes another where it does not know that."""
    await load(environment, server, "assist", GROUPS="true")
    for user, conversation in (
        ("group-1a2b3", "wx2mqtt-home-group-1a2b3"),
        ("a" * 13, f"wx2mqtt-home-{'a' * 13} "),
    ):
        await publish(environment, message(user, user=user))
        body = (await environment.home.in_thread(server.wait, user)).body
        assert body["conversation_id"] == conversation


async def test_what_assist_does_not_understand_is_answered_in_its_own_words(
    environment: NodeRedEnvironment, server: AssistantServer
):
    await load(environment, server, "assist")
    server.replies["blah"] = Reply(
        "Sorry, I couldn't understand that", response_type="error", error_code="no_intent_match"
    )
    assert await ask(environment, "assist", "blah") == "Sorry, I couldn't understand that"


async def test_the_model_gets_the_prompt_and_the_last_turns_of_that_chat(
    environment: NodeRedEnvironment, server: AssistantServer
):
    prompt = {"role": "system", "content": "Be brief."}
    await load(environment, server, "model", SYSTEM_PROMPT="Be brief.", MODEL="qwen", TURNS=2)
    first = message("1", account="first")
    await publish(environment, first)
    await answer_to(environment, first, "model")
    question = server.wait("1", MODEL)
    assert question.body == {
        "model": "qwen",
        "messages": [prompt, {"role": "user", "content": "1"}],
        "stream": False,
    }
    assert question.authorization == f"Bearer {KEY}"
    server.replies["broken"] = Reply(status=500)
    for text in ("2", "broken", "3", "4"):
        await ask(environment, "model", text, account="first")
    turns = [
        {"role": role, "content": words + text}
        for text in ("2", "3")
        for role, words in (("user", ""), ("assistant", "You said: "))
    ]
    assert server.wait("4").body["messages"] == [prompt, *turns, {"role": "user", "content": "4"}]
    await ask(environment, "model", "5", account="first", **MOM)
    assert server.wait("5").body["messages"] == [prompt, {"role": "user", "content": "5"}]


async def test_ten_turns_are_told_unless_the_tab_says_otherwise(
    environment: NodeRedEnvironment, server: AssistantServer
):
    await load(environment, server, "model", SYSTEM_PROMPT="")
    for number in range(12):
        await ask(environment, "model", f"turn {number}", account="ten")
    told = [one["content"] for one in server.wait("turn 11").body["messages"] if one["role"] == "user"]
    assert told == [f"turn {number}" for number in range(1, 12)]
    await load(environment, server, "model", SYSTEM_PROMPT="", TURNS=0)
    await ask(environment, "model", "alone", account="ten")
    assert len(server.wait("alone").body["messages"]) == 1


async def test_an_answer_is_cut_and_has_no_thoughts(environment: NodeRedEnvironment, server: AssistantServer):
    await load(environment, server, "model")
    for answer, text in (
        ("灯" * 30_000, "灯" * 3999 + "…"),
        ("💡" * 4000, "💡" * 4000),
        ("<think>\nThey want light.\n</think>\n\nDone.", "Done."),
        (" Done.\n", "Done."),
        ('{"text": "no command"}', '{"text": "no command"}'),
    ):
        before = await environment.sent_count()
        server.replies["tell me"] = Reply(answer)
        assert await ask(environment, "model", "tell me") == text
        await environment.assert_sent(f"wife: {text}", since=before)
    await load(environment, server, "model", MAX_CHARACTERS=5)
    assert await ask(environment, "model", "short") == "You …"


async def test_an_answer_of_assist_is_never_longer_than_wechat_takes(
    environment: NodeRedEnvironment, server: AssistantServer
):
    before = await environment.sent_count()
    await load(environment, server, "assist")
    server.replies["tell me"] = Reply("💡" * 30_000)
    assert await ask(environment, "assist", "tell me") == "💡" * 3999 + "…"
    await environment.assert_sent("💡" * 3999 + "…", since=before)


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("/", MODEL),
        ("/v1/", MODEL),
        (MODEL, MODEL),
        ("/api/paas/v4", "/api/paas/v4/chat/completions"),
    ],
)
async def test_the_address_of_a_model_is_the_base_that_programs_take(
    environment: NodeRedEnvironment, server: AssistantServer, base, path
):
    await load(environment, server, "model", MODEL_URL=server.url + base)
    assert await ask(environment, "model", "where?") == "You said: where?"
    assert [question.path for question in server.questions] == [path]


async def test_a_model_without_a_key_gets_no_header(environment: NodeRedEnvironment, server: AssistantServer):
    await load(environment, server, "model", MODEL_KEY="")
    await ask(environment, "model", "hello")
    assert server.wait("hello").authorization is None


# the keys


def _watched(flow: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the flow with a debug node that shows all messages whole, and one that catches all errors."""
    catch = next(node for node in flow if node["type"] == "catch")
    debug = next(node for node in flow if node["type"] == "debug" and node["z"] == catch["z"])
    whole = {**debug, "id": "de" * 8, "name": "whole", "complete": "true"}
    all_errors = {**catch, "id": "ca" * 8, "scope": None, "wires": [[whole["id"]]]}
    watched = [
        {**node, "wires": [[*exit_, whole["id"]] for exit_ in node["wires"]]}
        if node.get("z") == catch["z"] and "wires" in node
        else node
        for node in flow
    ]
    return [*watched, whole, all_errors]


@pytest.mark.parametrize("flow", FLOWS)
async def test_a_key_is_in_no_message_no_debug_output_no_log_and_no_flow(
    environment: NodeRedEnvironment, server: AssistantServer, flow
):
    home, red, since = environment.home, environment.red, len(environment.red.output)
    secret = TOKEN if flow == "assist" else KEY
    server.replies |= {
        "refused": Reply(status=401),
        "moved": Reply(status=307, location=f"{server.url}/elsewhere"),
        "broken": Reply(body=b"{"),
    }
    for url in (server.url, f"http://127.0.0.1:{free_port()}", "http://[bad"):
        await load(environment, server, flow, HA_URL=url, MODEL_URL=url, TIMEOUT=1)
        await environment.deploy(_watched([_impatient(node) for node in environment.flow]))
        for text in ("whole", "refused", "moved", "broken"):
            await ask(environment, flow, text)
    release = server.hold("slow")
    await load(environment, server, flow, TIMEOUT=1)
    await environment.deploy(_watched([_impatient(node) for node in environment.flow]))
    await ask(environment, flow, "slow")
    release()
    await environment.wait_until_idle()
    assert [question.authorization for question in server.questions] == [f"Bearer {secret}"] * 5
    assert len(red.all_shown("whole", since=since)) > 30
    (tab,) = (node["id"] for node in environment.flow if node["type"] == "tab" and node["env"])
    read = {path: red.http.get(path).text for path in ("/flows", f"/flow/{tab}", f"/credentials/tab/{tab}")}
    stored = {
        path.name: path.read_bytes().decode(errors="replace")
        for path in red.folder.rglob("*")
        if path.is_file()
    }
    assert {"flows.json", "flows_cred.json", "flow.json"} <= stored.keys(), stored.keys()
    published = [
        f"{received.topic} {received.payload!r} {received.properties}"
        for received in home.subscriber.received
    ]
    output = "\n".join([*map(str, red.output[since:]), *published, *read.values(), *stored.values()])
    assert '"text":"slow"' in output
    for form in (secret, base64.b64encode(secret.encode()).decode().rstrip("=")):
        assert [line for line in output.splitlines() if form in line] == []


async def test_a_key_may_come_from_the_environment_of_the_process(
    environment: NodeRedEnvironment, server: AssistantServer
):
    await load(environment, server, "assist")
    for variable in next(node for node in environment.flow if node.get("label") == "WeChat: Home Assistant")[
        "env"
    ]:
        if variable["name"] == "HA_TOKEN":
            variable |= {"type": "env", "value": "WITH_EDITOR"}  # which these tests set to 0
    await environment.deploy(environment.flow)
    await ask(environment, "assist", "hello")
    assert server.wait("hello").authorization == "Bearer 0"


# what people really write


async def test_on_web_wechat(environment: NodeRedEnvironment, server: AssistantServer):
    home, before = environment.home, await environment.sent_count()
    await load(environment, server, "assist", GROUPS="true")
    await home.control.say("lilei", "a stranger")
    await home.control.say("wife", "not to the bot", to="family")
    await home.control.say("me", "开灯", to="filehelper")
    await environment.assert_sent("filehelper: You said: 开灯", since=before)
    await home.control.say("wife", "六点", kind="quote", detail={"content": "几点吃饭？"})
    await environment.assert_sent("wife: You said: 六点", since=before + 1)
    await home.control.say("wife", kind="voice")
    await environment.assert_sent(f"wife: {VOICE}", since=before + 2)
    nickname = home.simulator.wechat.world.owner.nickname
    await home.control.say("wife", f"@{nickname}\u2005关灯", to="family")
    await environment.assert_sent("You said: 关灯", since=before + 3)
    assert [question.text for question in server.questions] == ["开灯", "六点", "关灯"]


async def test_on_ilink(bot_environment: NodeRedEnvironment, home: ILinkHome, server: AssistantServer):
    await load(bot_environment, server, "assist")
    since = len(await home.bot.bot_sent(0))
    await home.bot.write("开灯")
    await home.bot.bot_sent(since + 1)
    await home.bot.write("关灯", kind="voice")
    await home.bot.bot_sent(since + 2)
    await home.bot.write("六点", kind="quote")
    await home.bot.bot_sent(since + 3)
    await home.bot.write("", kind="voice")
    lines = (await home.bot.bot_sent(since + 4))[since:]
    assert [line["text"] for line in lines] == ["You said: 开灯", "You said: 关灯", "You said: 六点", VOICE]
    assert [question.text for question in server.questions] == ["开灯", "关灯", "六点"]


async def test_on_wecom(node_red: None, tmp_path_factory: pytest.TempPathFactory, server: AssistantServer):
    async with running_wecom_environment(tmp_path_factory.mktemp("wecom")) as environment:
        home = environment.home
        assert isinstance(home, WeComHome)
        await load(environment, server, "assist", GROUPS="true")
        await home.bot.write("开灯")
        await home.bot.bot_sent(1)
        await home.bot.write("关灯", kind="voice")
        await home.bot.bot_sent(2)
        await home.bot.write("六点", kind="quote")
        await home.bot.bot_sent(3)
        await home.bot.write("车库关了吗", to="family")
        lines = await home.bot.bot_sent(4)
        assert [question.text for question in server.questions] == ["开灯", "关灯", "六点", "车库关了吗"]
        assert len(lines) == 4

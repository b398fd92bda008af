"""`assist.yaml` and `picture-on-request.yaml` in a real Home Assistant.

What a trusted person writes in WeChat is answered, once, by an agent or with a picture; all else is left to others.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.home.conftest import ASSIST, HomeAssistantEnvironment, automation, environment_in
from tests.support.broker import DURABLE, PROGRAM
from tests.support.home import at_home
from tests.support.ilink_home import at_ilink_home
from tests.support.wecom_home import at_wecom_home
from wx2mqtt.bridge.status_topics import placeholder_picture
from wx2mqtt.clock import rfc3339

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGE = "event.wechat_home_message"
TEST_AGENT = "conversation.test_agent"
LONG_NAME = "grandma_house"  # with it the id of the conversation has 26 characters
LIGHTS = {"客厅灯": "house/living_room", "Kitchen light": "house/kitchen"}
PEOPLE = {
    "wife": {"remark": "老婆"},
    "mom": {"remark": "妈妈"},
    "lilei": {"alias": "lilei_1986"},
    "family": {"group": "相亲相爱一家人"},
}

PICTURE = placeholder_picture("en", needed=False)

CAPTION = "现在的画面。 This is the picture now."
LATE = "Too late, write it again. 已过期，未执行；请重新发送。"
VOICE = "Voices need iLink or WeCom; write it. 语音需要 iLink 或企业微信，请改发文字。"
LOG = "See the log of Home Assistant (Settings → System → Logs). 请查看 Home Assistant 的日志（设置 → 系统 → 日志）。"

# Each answers some people, of whom all but those of the first exist on the broker only.
AUTOMATIONS = [
    automation(
        "assist",
        agent=TEST_AGENT,
        people=["wife", "family", "filehelper", "lilei"],
        groups=True,
        except_words=["好", "ＯＫ"],
    ),
    automation("assist", "twice", agent=TEST_AGENT, people=["lilei"]),
    automation("assist", "shipped", agent=TEST_AGENT, people=["shipped", LONG_NAME]),
    automation("assist", "prefixed", agent=TEST_AGENT, people=["prefixed"], prefix="Ha 小家"),
    automation("assist", "silent", agent=TEST_AGENT, people=["silent"], unknown="silent"),
    automation("assist", "markdown", agent=TEST_AGENT, people=["markdown"], markdown=True),
    automation("assist", "office", agent=TEST_AGENT, people=["office"], base="wx/office", max_age=600),
    automation("assist", "gone", agent="conversation.gone", people=["gone"]),
    automation("assist", "english", people=["english"]),
    automation("assist", "chinese", people=["chinese"], language="zh-Hans"),
    automation("picture-on-request", "no_picture", people=["blind"], words=["look"], camera="camera.no"),
]

# The automation of the page, by which a sentence of Assist brings a picture.
SENTENCE: dict[str, Any] = {
    "id": "sentence",
    "alias": "sentence",
    "triggers": [{"trigger": "conversation", "command": ["show me the [front] door", "看看门口"]}],
    "conditions": "{{ (trigger.user_input.conversation_id or '') is match('wx2mqtt-') }}",
    "actions": [
        {
            "action": "mqtt.publish",
            "data": {
                "topic": "wx/out/{{ trigger.user_input.conversation_id"
                " | regex_replace('^wx2mqtt-[a-z0-9_]+-', '') | trim }}",
                "qos": 1,
                "payload": "{{ {'kind': 'image', 'name': 'door.jpg', 'text': 'The door', 'ttl': 300, 'id': 'door-' ~ context.id,"
                " 'url': 'http://homeassistant.local:8123' ~ state_attr('camera.door', 'entity_picture')} | to_json }}",
            },
        },
        {"set_conversation_response": ""},
    ],
}


async def prepare(environment: HomeAssistantEnvironment, automations: list[dict[str, Any]]) -> None:
    """Announces the lights, loads the automations, and waits until all is ready."""
    for number, (name, topic) in enumerate(LIGHTS.items()):
        config = {"name": name, "command_topic": topic, "state_topic": topic, "qos": 1}
        await environment.publish(
            f"homeassistant/light/light{number}/config", {**config, "unique_id": f"light{number}"}
        )
        await environment.wait_for_subscription(topic)
        await environment.publish(topic, "OFF")
    await environment.do("automations", automations=automations)
    for config in automations:
        await environment.until(f"states('automation.{config['alias']}') == 'on'")
    await environment.until("states.light | selectattr('state', 'eq', 'off') | list | count == 2")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HomeAssistantEnvironment]:
    """Yields an environment on web WeChat, whose Home Assistant has Assist and all of `AUTOMATIONS`."""
    assert PROGRAM is not None, "mosquitto is not installed (Debian: apt-get install mosquitto)"
    async with (
        at_home(tmp_path_factory.mktemp("house"), DURABLE) as home,
        environment_in(home, "wife", configuration=ASSIST) as environment,
    ):
        home.bridge.configure(environment.settings("wife", account={"contacts": PEOPLE}))
        assert (await home.send_request("reload"))["status"] == "ok"
        config = {"name": "Door", "topic": "house/camera", "unique_id": "door", "qos": 1}
        await environment.publish("homeassistant/camera/door/config", config)
        shown = {"camera": "camera.door", "url": environment.home_assistant.url}
        picture = automation("picture-on-request", "picture", words=["门口", "Ｄoor"], **shown)
        await prepare(environment, [*AUTOMATIONS, picture, SENTENCE])
        await environment.wait_for_subscription("house/camera")
        await environment.publish("house/camera", PICTURE)
        yield environment


class Talk:
    """Writes messages to Home Assistant as the bridge publishes them, and reads the replies."""

    _seq = itertools.count(1)

    def __init__(self, environment: HomeAssistantEnvironment, answered_by: str = "assist") -> None:
        self.home = environment.home
        self._answered_by = answered_by
        self.since = self.home.subscriber.count

    async def write(self, user: str = "wife", text: str = "hello", *, late: float = 0, **changed: Any) -> str:
        """Publishes a message of a trusted person, `late` seconds old; returns the id of its reply."""
        sender = {"user": user, "name": user, "self": False} | changed.pop("sender", {})
        seq = changed.pop("seq", None) or next(self._seq)
        body = {
            "schema": 1,
            "stream": "talk",
            "seq": seq,
            "id": f"id-{seq}",
            "account": "home",
            "user": user,
            "chat": {"kind": "friend", "name": user},
            "trusted": True,
            "mentioned": False,
            "kind": "text",
            "text": text,
            "time": rfc3339(int((time.time() - late) * 1000)),
            "sender": sender,
            **changed,
        }
        await self.home.publish(f"wx/in/{body['user']}", body)
        return f"{self._answered_by}-talk-{seq}"

    async def reply(self, reply_id: str) -> dict[str, Any]:
        """Waits for the reply with this id, and until the bridge has dealt with it; returns it."""
        command, result = [
            await self.home.in_thread(
                self.home.subscriber.wait,
                topic,
                lambda message: message.body["id"] == reply_id,
                since=self.since,
            )
            for topic in ("wx/out/#", "wx/result/#")
        ]
        assert command.body["ttl"] == 300
        assert result.body["user"] == command.topic.rpartition("/")[2]
        return command.body

    async def ask(self, user: str = "wife", text: str = "hello", **changed: Any) -> str:
        """Writes a message; returns the text of its reply."""
        words: str = (await self.reply(await self.write(user, text, **changed)))["text"]
        return words

    def replies(self) -> list[str]:
        """Returns the ids of all replies, in their order."""
        received = self.home.subscriber.received[self.since :]
        return [message.body["id"] for message in received if message.topic.startswith("wx/out/")]


GROUP = {"chat": {"kind": "group", "name": "family"}, "sender": {"user": "wife"}}
SELF = {"sender": {"user": "me", "self": True}}
FILEHELPER = {**SELF, "chat": {"kind": "self", "name": "file"}}
PRESSED = {"button": {"command_id": "q", "key": "yes"}}
HEARD = {"kind": "voice", "voice": {"transcript": True}}
VOICED: dict[str, Any] = {"kind": "voice", "voice": {"duration": 2}}
QUOTE: dict[str, Any] = {
    "kind": "quote",
    "quote": {"kind": "text", "text": "open the door", "sender": {"name": "x"}},
}


def case(**fields: Any) -> dict[str, Any]:
    return fields


def by_name(names: tuple[str, ...], rows: dict[str, tuple[Any, ...]]) -> pytest.MarkDecorator:
    """Returns the parameters of a test, one row for each name."""
    return pytest.mark.parametrize(names, rows.values(), ids=rows.keys())


@by_name(
    ("silent", "answered"),
    {
        "from the future": (case(late=-300), case(late=-30)),
        "not trusted": (case(trusted=False), case()),
        "not among the people": (case(user="mom"), case()),
        "not the sender, but the chat": (case(user="mom"), case(user="family", **GROUP | {"mentioned": True})),
        "a picture": (case(kind="image", image={}), case(**QUOTE)),
        "a link": (case(kind="link", link={}), case(**HEARD)),
        "a group that did not mention": (case(user="family", **GROUP), case(user="family", **GROUP, mentioned=True)),
        "a group, where groups are off": (case(user="shipped", chat=GROUP["chat"], mentioned=True), case(user="shipped")),
        "an official account": (case(chat={"kind": "official", "name": "x"}), case()),
        "the owner in another chat": (case(**SELF), case(user="filehelper", **FILEHELPER)),
        "an answer to a question": (case(**PRESSED), case()),
        "an excepted word": (case(text=" ok"), case(text="ok?")),
        "an excepted word in another width": (case(text="ｏk"), case(text="okay")),
        "without the prefix": (case(user="prefixed", text="开灯"), case(user="prefixed", text="ｈａ 小家 开灯")),
        "nothing but the prefix": (case(user="prefixed", text="Ha 小家 "), case(user="prefixed", text="Ha 小家?")),
        "late, and not trusted": (case(late=300, trusted=False), case(late=300)),
        "late, and a voice without a transcript": (case(late=300, **VOICED), case(**VOICED)),
        "a voice without a transcript in a group": (case(user="family", **GROUP, **VOICED), case(**VOICED)),
    },
)  # fmt: skip
async def test_what_fails_one_guard_is_left_to_others(
    environment: HomeAssistantEnvironment, silent: dict[str, Any], answered: dict[str, Any]
) -> None:
    talk = Talk(environment)
    await talk.write(**silent)
    reply_id = await talk.write(**answered)
    assert await talk.reply(reply_id)
    assert talk.replies() == [reply_id]


async def test_a_message_that_is_published_again_is_not_asked_again(
    environment: HomeAssistantEnvironment,
) -> None:
    talk = Talk(environment)
    ids = [await talk.write("wife", "ask"), await talk.write("filehelper"), await talk.write("wife")]
    first = int(ids[0].rpartition("-")[2])
    for seq in range(first, first + 3):
        await talk.write("wife", "ask", seq=seq)
    ids.append(await talk.write("wife", "the next"))
    assert await talk.reply(ids[-1])
    assert talk.replies() == ids


async def test_after_a_restart_of_home_assistant_the_old_message_is_not_asked_again(
    environment: HomeAssistantEnvironment,
) -> None:
    talk = Talk(environment)
    first = await talk.write()
    assert await talk.reply(first)
    lines = len(environment.home.broker.log)
    await asyncio.to_thread(environment.home_assistant.restart)
    await environment.until(f"states('{MESSAGE}') not in ('unknown', 'unavailable')")
    await environment.wait_for_subscription("wx/in/+", since=lines)
    await talk.write(seq=int(first.rpartition("-")[2]))
    second = await talk.write()
    assert await talk.reply(second)
    assert talk.replies() == [first, second]


async def test_a_late_message_is_answered_once_with_what_to_do(environment: HomeAssistantEnvironment) -> None:
    talk = Talk(environment)
    assert await talk.ask(late=61) == LATE
    assert (await talk.ask(late=45)).startswith("hello | en")
    assert await talk.ask(**VOICED) == VOICE


async def test_another_account_is_answered_below_its_base(environment: HomeAssistantEnvironment) -> None:
    talk = Talk(environment)
    reply_id = await talk.write("office", "say:office", late=500)
    subscriber = environment.home.subscriber
    received = await environment.home.in_thread(subscriber.wait, "wx/office/out/office", since=talk.since)
    assert received.body == {"id": reply_id, "text": "office", "ttl": 300}


@by_name(
    ("text", "words"),
    {
        "what the agent says": ("say:是的。", "是的。"),
        "a number stays a text": ("say:0123", "0123"),
        "a list stays a text": ('say:["a", "b"]', '["a", "b"]'),
        "nothing in Python": ("None", "None | en | "),
        "a template stays a text": ("say:{{ 1 + 1 }}", "{{ 1 + 1 }}"),
        "lines and quotes": ("say:a 'b'\n\"c\"", "a 'b'\n\"c\""),
        "a failure": ("error:failed_to_handle", f"sorry: failed_to_handle\n{LOG}"),
        "an unknown error": ("error:unknown", f"sorry: unknown\n{LOG}"),
        "an exception of Home Assistant": ("fail", f"the model is away\n{LOG}"),
        "not understood": ("error:no_intent_match", "sorry: no_intent_match"),
        "no such device": ("error:no_valid_targets", "sorry: no_valid_targets"),
    },
)
async def test_the_words_of_the_agent_come_back(
    environment: HomeAssistantEnvironment, text: str, words: str
) -> None:
    answer = await Talk(environment).ask("shipped", text)
    assert answer.startswith(words) if words.endswith("| ") else answer == words


async def test_what_is_not_understood_can_be_left_without_an_answer(
    environment: HomeAssistantEnvironment,
) -> None:
    talk = Talk(environment)
    await talk.write("silent", "error:no_intent_match")
    await talk.write("silent", "say:")
    other = await talk.write("silent", "error:no_valid_targets")
    assert await talk.reply(other)
    assert talk.replies() == [other]


async def test_an_agent_that_is_not_there_is_named(environment: HomeAssistantEnvironment) -> None:
    assert await Talk(environment).ask("gone") == f"conversation.gone is not there. 此对话代理不可用。 {LOG}"


async def test_after_a_fault_of_the_agent_the_next_message_is_answered(
    environment: HomeAssistantEnvironment,
) -> None:
    talk = Talk(environment)
    await talk.write(text="break")
    second = await talk.write()
    assert await talk.reply(second)
    assert talk.replies() == [second]


async def test_messages_wait_for_a_slow_agent_in_their_order(environment: HomeAssistantEnvironment) -> None:
    await environment.do("set", entity="test.agent", state="wait")
    talk = Talk(environment)
    ids = [await talk.write(text="slow"), await talk.write(), await talk.write()]
    await environment.until("state_attr('automation.assist', 'current') == 3")
    assert talk.replies() == []
    await environment.do("set", entity="test.agent", state="go")
    assert (await talk.reply(ids[0]))["text"] == "slow, but done"
    await talk.reply(ids[2])
    assert talk.replies() == ids


async def test_each_chat_is_one_conversation(environment: HomeAssistantEnvironment) -> None:
    talk = Talk(environment)
    for user in ("shipped", LONG_NAME):
        assert await talk.ask(user, "ask") == "Which one?"
    for user in ("shipped", LONG_NAME):
        assert (await talk.ask(user, f"the lamp of {user}")).endswith(f"'ask', 'the lamp of {user}']")


async def test_a_quote_goes_as_what_was_written_now_and_a_mention_is_left_out(
    environment: HomeAssistantEnvironment,
) -> None:
    talk = Talk(environment)
    assert (await talk.ask(text="close it", **QUOTE)).startswith("close it | en")
    for text in ("@小明\u2005开灯", "@Wang Xiao Ming\u2005开灯", "@bot 开灯", "开灯 @小明"):
        assert (await talk.ask("family", text, **GROUP, mentioned=True)).startswith("开灯 | en")


async def test_markdown_is_sent_as_such_where_it_is_chosen(environment: HomeAssistantEnvironment) -> None:
    talk = Talk(environment)
    plain = await talk.reply(await talk.write("shipped", "say:**on**"))
    assert plain.keys() == {"id", "text", "ttl"}
    marked = await talk.reply(await talk.write("markdown", "say:**on**"))
    assert {**plain, "id": marked["id"], "format": "markdown"} == marked


@by_name(
    ("person", "text", "light", "answer"),
    {
        "English": ("english", "turn on the kitchen light", "Kitchen light", "Turned on the light"),
        "Chinese": ("chinese", "打开客厅灯", "客厅灯", "客厅灯已打开"),
        "Chinese, said": ("chinese", "关闭客厅灯。", "客厅灯", "客厅灯已关闭"),
    },
)
async def test_the_agent_of_home_assistant_switches_a_light(
    environment: HomeAssistantEnvironment, person: str, text: str, light: str, answer: str
) -> None:
    since = environment.home.subscriber.count
    assert await Talk(environment).ask(person, text) == answer
    switched = await environment.home.in_thread(environment.home.subscriber.wait, LIGHTS[light], since=since)
    assert switched.payload == (b"OFF" if "关闭" in text else b"ON")


async def test_what_the_agent_of_home_assistant_does_not_know_is_answered_in_its_words(
    environment: HomeAssistantEnvironment,
) -> None:
    talk = Talk(environment)
    assert await talk.ask("english", "foo bar") == "Sorry, I couldn't understand that"
    assert await talk.ask("chinese", "你好") == "抱歉，我无法理解您的意思，你可以尝试换个说法"


async def test_on_web_wechat_the_file_helper_a_person_and_a_group_are_answered(
    environment: HomeAssistantEnvironment,
) -> None:
    control = environment.home.control
    before = len(await control.get("sent"))
    nickname = environment.home.simulator.wechat.world.owner.nickname
    await control.say("wife", "not for the bot", to="family")
    await control.say("me", "say:file", to="filehelper")
    await control.say("wife", f"@{nickname}\u2005say:group", to="family")
    await control.say("wife", "", kind="voice")
    await control.say("wife", "say:wife", kind="quote")
    lines = (await control.sent(before + 4))[before:]
    assert [(line["to"], line["text"]) for line in lines] == [
        ("filehelper", "file"),
        ("family", "group"),
        ("wife", VOICE),
        ("wife", "wife"),
    ]


@by_name(
    ("silent", "answered", "text"),
    {
        "another word": (case(text="doors"), case(text="DOOR"), CAPTION),
        "not trusted": (case(trusted=False), case(text="ｄｏｏｒ"), CAPTION),
        "a group": (case(**GROUP, mentioned=True), case(text="Door!"), CAPTION),
        "the owner in another chat": (case(**SELF), case(user="filehelper", **FILEHELPER), CAPTION),
        "an answer to a question": (case(**PRESSED), case(**QUOTE), CAPTION),
        "a picture": (case(kind="image", image={}), case(**HEARD, text="Door。"), CAPTION),
        "late, and not trusted": (case(late=300, trusted=False), case(late=300), LATE),
        "from the future": (case(late=-300), case(user="blind", text="look"), "The camera has no picture. 摄像头没有图片。"),
    },
)  # fmt: skip
async def test_a_picture_comes_only_on_request(
    environment: HomeAssistantEnvironment, silent: dict[str, Any], answered: dict[str, Any], text: str
) -> None:
    talk = Talk(environment, "picture")
    await talk.write(**{"user": "stranger", "text": "door", **silent})
    reply_id = await talk.write(**{"user": "somebody", "text": "door", **answered})
    reply = await talk.reply(reply_id)
    assert (reply["text"], reply.get("kind")) == (text, "image" if text == CAPTION else None)
    assert [other for other in talk.replies() if other.startswith("picture-")] == [reply_id]


async def test_the_picture_comes_with_its_caption(environment: HomeAssistantEnvironment) -> None:
    control = environment.home.control
    before = len(await control.get("sent"))
    await control.say("mom", "门口")
    caption, image = (await control.sent(before + 2))[before:]
    assert (caption["to"], caption["text"]) == ("mom", CAPTION)
    assert (image["to"], image["kind"]) == ("mom", "image")
    assert await control.content(image["msg_id"]) == PICTURE


async def test_a_sentence_that_assist_understands_brings_the_picture(
    environment: HomeAssistantEnvironment,
) -> None:
    talk = Talk(environment)
    await talk.write("english", "show me the door")
    received = await environment.home.in_thread(
        environment.home.subscriber.wait, "wx/out/english", since=talk.since
    )
    assert (received.body["kind"], received.body["text"]) == ("image", "The door")
    second = await talk.write("english", "foo bar")
    await talk.reply(second)
    assert talk.replies() == [received.body["id"], second]


async def test_two_automations_answer_a_message_once(environment: HomeAssistantEnvironment) -> None:
    talk = Talk(environment)
    before = len(await environment.home.control.get("sent"))
    await environment.home.control.say("lilei", "say:once")
    await environment.until("state_attr('automation.twice', 'current') == 0")
    await environment.home.control.sent(before + 1)
    await environment.home.control.say("wife", "say:next")
    lines = (await environment.home.control.sent(before + 2))[before:]
    assert [line["text"] for line in lines] == ["once", "next"]
    assert len(talk.replies()) == 3


async def test_a_bridge_that_is_killed_before_the_reply_sends_it_once(
    environment: HomeAssistantEnvironment,
) -> None:
    home = environment.home
    await environment.do("set", entity="test.agent", state="wait")
    since = home.subscriber.count
    before = len(await home.control.get("sent"))
    await home.control.say("wife", "slow")
    await environment.until("state_attr('automation.assist', 'current') == 1")
    message = await home.in_thread(home.subscriber.wait, "wx/in/wife", since=since)
    await home.in_thread(home.bridge.kill)
    await environment.until(f"states('{MESSAGE}') == 'unavailable'")
    await environment.do("set", entity="test.agent", state="go")
    await home.in_thread(home.subscriber.wait, "wx/out/wife", since=since)
    await home.restart()
    await environment.until(f"states('{MESSAGE}') != 'unavailable'")
    await home.publish("wx/in/wife", message.payload)  # as a bridge does that missed the PUBACK
    await home.control.say("wife", "say:next")
    lines = (await home.control.sent(before + 2))[before:]
    assert [line["text"] for line in lines] == ["slow, but done", "next"]


async def test_on_ilink_a_text_and_a_voice_are_answered(tmp_path: Any) -> None:
    async with (
        at_ilink_home(tmp_path, DURABLE) as home,
        environment_in(home, "me", configuration=ASSIST) as environment,
    ):
        await prepare(environment, [automation("assist", language="zh-Hans")])
        await home.bot.write("打开客厅灯")
        await home.bot.write("关闭客厅灯。", kind="voice")
        await home.bot.write("", kind="voice")
        lines = await home.bot.bot_sent(3)
        assert [line["text"] for line in lines] == ["客厅灯已打开", "客厅灯已关闭", VOICE]


async def test_on_wecom_a_person_and_a_group_are_answered(tmp_path: Any) -> None:
    async with (
        at_wecom_home(tmp_path, DURABLE) as home,
        environment_in(home, "me", configuration=ASSIST) as environment,
    ):
        chosen: dict[str, Any] = {"agent": TEST_AGENT, "groups": True, "markdown": True}
        await prepare(environment, [automation("assist", **chosen)])
        await home.bot.write("say:text")
        await home.bot.write("say:voice", kind="voice")
        await home.bot.write("say:group", to="family")
        lines = await home.bot.bot_sent(3)
        assert sorted(line["text"] for line in lines) == ["group", "text", "voice"]

"""`receive`: a message that is not published is counted, not stored, and takes no seq."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.scenarios.login_helpers import calls
from tests.support.home import PEOPLE, Home

pytestmark = pytest.mark.asyncio(loop_scope="module")

GROUPS = {"family": {"group": "相亲相爱一家人"}}


@asynccontextmanager
async def receiving(home: Home, **receive: Any):
    """Runs the bridge with these filters, and afterwards with the usual ones."""
    home.bridge.configure(home.settings({"contacts": PEOPLE, "receive": receive}))
    assert (await home.send_request("reload"))["status"] == "ok"
    try:
        yield
    finally:
        home.bridge.configure(home.settings())
        await home.send_request("reload")


async def filtered(home: Home) -> int:
    """Returns how many messages and events were filtered so far."""
    health = (await home.send_request("health"))["data"]
    return int(health["messages"].get("filtered", 0))


async def published_texts(home: Home, *messages: tuple[str, str, str], **more: Any) -> list[str]:
    """Lets people write these messages (person, recipient, text); returns the published texts.

    Asserts that the others leave no trace but their number.
    """
    since, before = home.subscriber.count, await filtered(home)
    for person, to, text in (*messages, ("me", "filehelper", f"end {since}")):
        await home.control.say(person, text, to=to, **more)
    last = await home.body("wx/in/filehelper", text=f"end {since}", since=since)
    received = [
        message.body for message in home.subscriber.received[since:] if message.topic.startswith("wx/in/")
    ]
    texts = [body["text"] for body in received]
    assert [body["seq"] for body in received] == list(range(last["seq"] - len(received) + 1, last["seq"] + 1))
    assert await filtered(home) - before == len(messages) + 1 - len(received)
    history = (await home.send_request("history", {"since": last["seq"] - len(received)}))["data"]["messages"]
    assert [body["text"] for body in history] == texts
    return texts[:-1]


EVERYBODY = (
    ("wife", "me", "from wife"),
    ("mom", "me", "from mom"),
    ("lilei", "me", "from lilei"),
    ("news", "me", "from news"),
    ("mom", "family", "in family"),
    ("lilei", "work", "in work"),
)
FAMILY, WORK = "in family", "in work"


def texts(*excluded: str) -> list[str]:
    return [text for *_, text in EVERYBODY if text not in excluded]


async def test_all_messages_are_published_without_filters(shared_home: Home):
    assert await published_texts(shared_home, *EVERYBODY) == texts()


@pytest.mark.parametrize(
    ("receive", "received"),
    [
        ({"allow": ["wife"]}, ["from wife"]),
        ({"allow": ["wife", "family"]}, ["from wife", FAMILY]),
        ({"allow": ["妈*", "李?"]}, ["from mom", "from lilei"]),
        ({"allow": []}, []),
        ({"deny": ["wife"]}, texts("from wife")),
        ({"deny": ["中国*"]}, texts("from news")),
        ({"deny": ["*"]}, []),
        ({"allow": ["wife", "妈妈"], "deny": ["wife"]}, ["from mom"]),
        ({"groups": "none"}, texts(FAMILY, WORK)),
        ({"groups": "listed"}, texts(WORK)),
        ({"groups": "mentions"}, texts(FAMILY, WORK)),
        ({"groups": "listed", "allow": ["wife"]}, ["from wife"]),
    ],
    ids=str,
)
async def test_names_globs_and_groups_choose_what_is_published(
    shared_home: Home, receive: dict[str, Any], received: list[str]
):
    async with receiving(shared_home, **receive):
        assert await published_texts(shared_home, *EVERYBODY) == received


async def test_with_mentions_only_messages_that_mention_the_owner_are_published_in_groups(shared_home: Home):
    await shared_home.control.post("people", display={"group": "family", "id": "me", "name": "老王"})
    # After a change of the members WeChat sends their names.
    await shared_home.control.post("people", join={"group": "family", "id": "hanmeimei"})
    async with receiving(shared_home, groups="mentions"):
        messages = (
            ("mom", "family", "吃饭了"),
            ("mom", "family", "@老王\u2005吃饭了"),
            ("mom", "family", "@王小明\u2005吃饭了"),
            ("mom", "family", "@所有人\u2005吃饭了"),
            ("mom", "family", "@老王头\u2005吃饭了"),
            ("mom", "family", "老王 吃饭了"),
            ("lilei", "work", "@老王\u2005开会"),
            ("lilei", "work", "@王小明\u2005开会"),
            ("wife", "me", "no group"),
        )
        assert await published_texts(shared_home, *messages) == [
            messages[1][2],
            messages[2][2],
            messages[3][2],
            messages[7][2],
            messages[8][2],
        ]


async def test_what_the_owner_writes_on_the_phone_is_published_when_configured(shared_home: Home):
    own = (("me", "wife", "own to wife"), ("me", "family", "own to family"))
    assert await published_texts(shared_home, *own) == []
    async with receiving(shared_home, own=True):
        since = shared_home.subscriber.count
        assert await published_texts(shared_home, *own) == ["own to wife", "own to family"]
        body = await shared_home.body("wx/in/wife", since=since)
        assert (body["sender"]["self"], body["trusted"]) == (True, True)
    async with receiving(shared_home, own=True, deny=["wife"]):
        assert await published_texts(shared_home, *own) == ["own to family"]


async def test_messages_to_the_file_helper_are_published_whatever_the_filters(shared_home: Home):
    async with receiving(shared_home, allow=[], deny=["*"], groups="none", own=False):
        messages = (("me", "filehelper", "开灯"), ("wife", "me", "关灯"))
        assert await published_texts(shared_home, *messages) == ["开灯"]


async def test_media_of_filtered_messages_are_not_fetched(shared_home: Home):
    home = shared_home
    async with receiving(home, deny=["妈妈"]):
        before = await calls(home, "webwxgetmsgimg")
        since = home.subscriber.count
        await home.control.say("mom", kind="image")
        await home.control.say("mom", kind="link")
        await home.control.say("wife", kind="image")
        picture = await home.body("wx/in/wife", since=since, kind="image")
        await home.body("wx/event/media", since=since, message_id=picture["id"], state="ready")
        assert {
            message.body["user"]
            for message in home.subscriber.received[since:]
            if message.topic == "wx/event/media"
        } == {"wife"}
        assert 1 <= await calls(home, "webwxgetmsgimg") - before <= 2, "the picture and a small one of it"


async def test_events_are_filtered_too_but_never_those_about_topics(shared_home: Home):
    home = shared_home
    async with receiving(home, deny=["妈妈", "family", "李雷"]):
        since, before = home.subscriber.count, await filtered(home)
        await home.control.say("mom", kind="call")
        await home.control.post("people", join={"group": "family", "id": "uncle"})
        await home.control.post("people", remark={"id": "lilei", "remark": "李先生"})
        await home.control.say("wife", kind="call")
        call = await home.body("wx/event/call", since=since)
        assert call["user"] == "wife"
        topics = {
            message.topic
            for message in home.subscriber.received[since:]
            if message.topic.startswith("wx/event/")
        }
        assert topics == {"wx/event/call"}
        assert await filtered(home) - before >= 3
        contacts = {**PEOPLE, "lilei": {"remark": "李先生"}}
        home.bridge.configure(home.settings({"contacts": contacts, "receive": {"deny": ["李雷", "lilei"]}}))
        await home.send_request("reload")
        changed = await home.body("wx/event/topic_changed", since=since)
        assert (changed["user"], changed["from"]) == ("lilei", "李雷")


async def test_a_name_in_the_filters_is_the_present_topic(shared_home: Home):
    """A person with another topic is filtered by that topic."""
    home = shared_home
    contacts = {**PEOPLE, "mother": {"remark": "妈妈"}}
    home.bridge.configure(home.settings({"contacts": contacts, "receive": {"deny": ["mother"]}}))
    await home.send_request("reload")
    assert await published_texts(home, ("mom", "me", "not heard"), ("wife", "me", "heard")) == ["heard"]

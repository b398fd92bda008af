"""`receive`: which messages are published; it can be changed while the bridge runs."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

from tests.scenarios.login_helpers import ask
from tests.support.home import Home
from tests.support.process import BridgeProcess
from wx2mqtt.store.mapped_files import MAX_KILLS


async def texts_received(home: Home, *messages: tuple[str, str, str]) -> list[tuple[str, str]]:
    """Lets people write; returns user and text of what arrives, up to a last message to the file helper."""
    since = home.subscriber.count
    for sender, to, text in messages:
        await home.control.say(sender, text, to=to)
    (last_id,) = await home.control.say("me", "that is all", to="filehelper")
    await home.in_thread(home.subscriber.wait_body, "wx/in/filehelper", since=since, id=last_id)
    received = [
        message.body for message in home.subscriber.received[since:] if message.topic.startswith("wx/in/")
    ]
    return [(body["user"], body["text"]) for body in received[:-1]]


MESSAGES_OF_EVERYBODY = [
    ("wife", "me", "from the wife"),
    ("mom", "me", "from mom"),
    ("news", "me", "from an account"),
    ("wife", "family", "to the family"),
    ("mom", "family", "@王小明\u2005you"),
    ("lilei", "work", "to work"),
    ("me", "wife", "from me to her"),
    ("me", "family", "from me to all"),
]


async def texts_with_receive(home: Home, **receive: Any) -> list[str]:
    """Returns the texts that arrive with these settings, which a reload applies."""
    home.bridge.configure(home.settings({"receive": receive}))
    assert (await ask(home, "reload"))["status"] == "ok"
    return [text for _, text in await texts_received(home, *MESSAGES_OF_EVERYBODY)]


async def test_receive_selects_whose_messages_are_published(home: Home):
    await home.log_in()
    assert await texts_with_receive(home) == [
        text for sender, _, text in MESSAGES_OF_EVERYBODY if sender != "me"
    ]
    assert await texts_with_receive(home, own=True) == [text for _, _, text in MESSAGES_OF_EVERYBODY]
    assert await texts_with_receive(home, allow=["wife"]) == ["from the wife"]
    assert await texts_with_receive(home, deny=["中国*", "family", "项目组"]) == ["from the wife", "from mom"]
    assert await texts_with_receive(home, groups="mentions", deny=["中国*"]) == [
        *("from the wife", "from mom", "@王小明\u2005you"),
    ]
    assert await texts_with_receive(home, groups="listed", allow=["family", "项目组"]) == [
        *("to the family", "@王小明\u2005you"),
    ]
    assert await texts_with_receive(home, groups="none", own=True, allow=["wife"]) == [
        *("from the wife", "from me to her"),
    ]
    seqs = [message.body["seq"] for message in home.subscriber.on("wx/in/#")]
    assert seqs == list(range(1, len(seqs) + 1)), "what is not heard is not counted"


async def test_messages_of_the_owner_are_marked_as_own(home: Home):
    home.bridge.configure(home.settings({"receive": {"own": True}}))
    await home.log_in()
    await home.control.say("me", "see you", to="wife")
    own = await home.body("wx/in/wife", text="see you")
    assert own["sender"] == {"name": "王小明", "self": True}
    assert own["trusted"] is True
    await home.control.post("settings", echo=True)
    since = home.subscriber.count
    await home.in_thread(home.subscriber.publish, "wx/out/wife", "the bridge wrote this")
    await home.body("wx/result/wife", status="sent")
    await home.control.say("me", "and this I wrote", to="wife")
    received = await home.in_thread(home.subscriber.wait, "wx/in/wife", since=since)
    assert received.body["text"] == "and this I wrote", "what the bridge sent is never a message"


async def test_events_of_people_that_are_not_selected_are_not_published(home: Home):
    home.bridge.configure(home.settings({"receive": {"deny": ["妈妈"]}}))
    await home.log_in()
    (event_of_wife,) = await home.control.say("mom", "oops")
    await home.control.say("mom", kind="recall", detail={"msg_id": event_of_wife})
    await home.control.post(
        "people", rename={"id": "mom", "nickname": "平安"}, remark={"id": "mom", "remark": "妈"}
    )
    (event_of_other,) = await home.control.say("wife", "oops")
    await home.control.say("wife", kind="recall", detail={"msg_id": event_of_other})
    recall = await home.body("wx/event/recall")
    assert recall["message_id"] == event_of_other
    assert home.subscriber.on("wx/event/contact_renamed") == []


FATAL_SCRIPT = """
import os, signal, sys

from wx2mqtt.__main__ import main
from wx2mqtt.wechat.webwx import receiver

read_message = receiver.read_message


def killed(entry, *others):
    if "fatal" in entry["Content"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return read_message(entry, *others)


receiver.read_message = killed
main()
"""


async def test_a_message_that_kills_the_bridge_three_times_is_skipped_and_all_others_come(
    home: Home, tmp_path: Path
):
    script = tmp_path / "killed.py"
    script.write_text(FATAL_SCRIPT)
    home.bridge = BridgeProcess(
        tmp_path / "bridge", home.settings(), program=[sys.executable, str(script), "run"]
    )
    await home.log_in()
    (fatal,) = await home.control.say("wife", "fatal")
    assert await home.in_thread(home.bridge.wait) == -signal.SIGKILL
    await home.control.say("mom", "after")
    for _ in range(MAX_KILLS - 1):
        home.bridge.start()
        assert await home.in_thread(home.bridge.wait) == -signal.SIGKILL
    home.bridge.start()
    event = await home.body("wx/event/unreadable")
    assert event["message_id"] == fatal
    await home.body("wx/in/妈妈", text="after")
    assert (await home.send_request("health"))["data"]["messages"]["unreadable"] == 1
    await home.in_thread(home.bridge.stop)
    await home.restart()
    await home.control.say("wife", "the next")
    await home.body("wx/in/wife", text="the next")
    assert [
        message.body["text"] for message in home.subscriber.received if message.topic.startswith("wx/in/")
    ] == [
        "after",
        "the next",
    ]

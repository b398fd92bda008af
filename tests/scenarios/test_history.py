"""A client that was away requests what it missed, and gets each message once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from tests.support.broker import DURABLE
from tests.support.home import PEOPLE, Home, at_home


async def history(home: Home, **fields: Any) -> dict[str, Any]:
    """Requests `history`; returns the data of the answer."""
    answer = await home.send_request("history", fields)
    assert answer["status"] == "ok", answer
    return dict(answer["data"])


async def pages(home: Home, since: int, **fields: Any) -> AsyncIterator[list[dict[str, Any]]]:
    """Yields page after page, as a client requests them that remembers the last seq."""
    more = True
    while more:
        data = await history(home, since=since, **fields)
        more = data["more"]
        if data["messages"]:
            since = data["messages"][-1]["seq"]
        yield data["messages"]


async def test_a_client_that_remembers_its_last_seq_gets_what_it_missed_also_after_the_bridge_was_down(
    home: Home,
):
    await home.log_in()
    await home.control.say("wife", "first {n}", count=10)
    last = await home.body("wx/in/wife", text="first 10")
    await home.control.say("mom", "second {n}", count=10)
    await home.body("wx/in/妈妈", text="second 10")
    await home.in_thread(home.bridge.stop)
    await home.control.say("wife", "third {n}", count=700)
    await home.restart()
    await home.body("wx/in/wife", text="third 700")
    received = [
        message
        async for page in pages(home, last["seq"], stream=last["stream"], limit=500)
        for message in page
    ]
    wanted = [*(f"second {n}" for n in range(1, 11)), *(f"third {n}" for n in range(1, 701))]
    assert [message["text"] for message in received] == wanted
    assert [message["seq"] for message in received] == list(range(last["seq"] + 1, last["seq"] + 711))
    published = {message.body["seq"]: message.body for message in home.subscriber.on("wx/in/#")}
    assert all(published[message["seq"]] == message for message in received), "as they were published"


async def test_each_message_is_returned_once_though_the_bridge_was_killed(home: Home):
    await home.log_in()
    await home.control.say("wife", "a {n}", count=50)
    await home.body("wx/in/wife", text="a 5")
    home.bridge.kill()
    await home.restart()
    await home.control.say("wife", "b {n}", count=50)
    await home.body("wx/in/wife", text="b 50")
    received = [message async for page in pages(home, 0, limit=7) for message in page]
    assert [message["seq"] for message in received] == list(range(1, len(received) + 1))
    assert [message["text"] for message in received] == [f"{word} {n}" for word in "ab" for n in range(1, 51)]


async def test_messages_are_selected_by_person_kind_and_text_and_by_old_names(home: Home):
    await home.log_in()
    await home.control.say("mom", "早上好")
    await home.body("wx/in/妈妈", text="早上好")
    home.bridge.configure(home.settings({"contacts": {**PEOPLE, "mother": {"remark": "妈妈"}}}))
    await home.send_request("reload")
    await home.control.say("mom", "Good Night")
    await home.control.say("wife", "good morning")
    await home.control.say("mom", "到家了", to="family")
    await home.control.say("wife", kind="location")
    await home.body("wx/in/wife", kind="location")
    for name in ("妈妈", "mother"):
        found = (await history(home, user=name))["messages"]
        assert [(message["user"], message["text"]) for message in found] == [
            ("妈妈", "早上好"),
            ("mother", "Good Night"),
        ]
    assert [message["text"] for message in (await history(home, text="good"))["messages"]] == [
        "Good Night",
        "good morning",
    ]
    assert [message["user"] for message in (await history(home, user="family"))["messages"]] == ["family"]
    (location,) = (await history(home, kind="location"))["messages"]
    assert location["location"]["lat"]
    newest = await history(home, limit=2)
    assert ([message["seq"] for message in newest["messages"]], newest["more"]) == ([4, 5], True)
    older = await history(home, limit=2, before=4)
    assert ([message["seq"] for message in older["messages"]], older["more"]) == ([2, 3], True)
    assert (await home.send_request("history", {"user": "nobody"}))["code"] == "unknown_user"
    other_stream = await home.send_request("history", {"since": 1, "stream": "another"})
    assert other_stream["code"] == "stream_changed"
    assert newest["stream"] in other_stream["error"]
    misspelt = await home.send_request("history", {"sins": 1})
    assert misspelt["code"] == "bad_request"
    assert "'sins'" in misspelt["error"]


async def test_a_page_is_no_larger_than_the_packet_limit_of_the_broker(with_mosquitto: None, tmp_path):
    async with at_home(tmp_path, f"{DURABLE}max_packet_size 20000\n") as home:
        await home.log_in()
        await home.control.say("wife", f"{{n}} {'界' * 500}", count=60)
        await home.body("wx/in/wife", seq=60)
        sizes = [len(page) async for page in pages(home, 0, limit=500)]
        assert sum(sizes) == 60
        assert len(sizes) > 4
        assert (
            max(len(message.payload) for message in home.subscriber.on("wx/bridge/response/history"))
            <= 20_000
        )
        newest = await history(home, limit=500)
        assert newest["more"] is True
        assert newest["messages"][-1]["seq"] == 60


async def test_history_is_answered_while_wechat_is_away_and_while_nobody_is_logged_in(home: Home):
    await home.log_in()
    await home.control.say("wife", "kept")
    await home.body("wx/in/wife", text="kept")
    await home.send_request("logout")
    assert [message["text"] for message in (await history(home))["messages"]] == ["kept"]


async def test_the_state_of_media_in_the_history_is_the_present_one(home: Home):
    await home.log_in()
    await home.control.say("wife", kind="image")
    published = await home.body("wx/in/wife", kind="image")
    assert published["image"]["state"] == "pending"
    await home.body("wx/event/media", message_id=published["id"], state="ready")
    (stored,) = (await history(home, kind="image"))["messages"]
    assert stored["image"]["state"] == "ready"
    assert stored["image"]["size"] > 0
    assert stored["image"]["url"] == published["image"]["url"]
    assert {**stored, "image": None} == {**published, "image": None}

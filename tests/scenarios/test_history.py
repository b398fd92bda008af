"""Whoever was away asks for what they missed, and gets each message once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from tests.support.broker import DURABLE
from tests.support.home import PEOPLE, Home, at_home


async def history(home: Home, **fields: Any) -> dict[str, Any]:
    """The answer's data."""
    answer = await home.send_request("history", fields)
    assert answer["status"] == "ok", answer
    return dict(answer["data"])


async def pages(home: Home, since: int, **fields: Any) -> AsyncIterator[list[dict[str, Any]]]:
    """Page after page, as a client asks that remembers the last seq."""
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
        one async for page in pages(home, last["seq"], stream=last["stream"], limit=500) for one in page
    ]
    wanted = [*(f"second {n}" for n in range(1, 11)), *(f"third {n}" for n in range(1, 701))]
    assert [one["text"] for one in received] == wanted
    assert [one["seq"] for one in received] == list(range(last["seq"] + 1, last["seq"] + 711))
    published = {one.body["seq"]: one.body for one in home.subscriber.on("wx/in/#")}
    assert all(published[one["seq"]] == one for one in received), "as they were published"


async def test_killed_in_between_it_is_still_each_once(home: Home):
    await home.log_in()
    await home.control.say("wife", "a {n}", count=50)
    await home.body("wx/in/wife", text="a 5")
    home.bridge.kill()
    await home.restart()
    await home.control.say("wife", "b {n}", count=50)
    await home.body("wx/in/wife", text="b 50")
    received = [one async for page in pages(home, 0, limit=7) for one in page]
    assert [one["seq"] for one in received] == list(range(1, len(received) + 1))
    assert [one["text"] for one in received] == [f"{word} {n}" for word in "ab" for n in range(1, 51)]


async def test_people_kinds_and_texts_choose_and_old_names_still_find(home: Home):
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
        assert [(one["user"], one["text"]) for one in found] == [("妈妈", "早上好"), ("mother", "Good Night")]
    assert [one["text"] for one in (await history(home, text="good"))["messages"]] == [
        "Good Night",
        "good morning",
    ]
    assert [one["user"] for one in (await history(home, user="family"))["messages"]] == ["family"]
    (place,) = (await history(home, kind="location"))["messages"]
    assert place["location"]["lat"]
    newest = await history(home, limit=2)
    assert ([one["seq"] for one in newest["messages"]], newest["more"]) == ([4, 5], True)
    older = await history(home, limit=2, before=4)
    assert ([one["seq"] for one in older["messages"]], older["more"]) == ([2, 3], True)
    assert (await home.send_request("history", {"user": "nobody"}))["code"] == "unknown_user"
    strange = await home.send_request("history", {"since": 1, "stream": "another"})
    assert strange["code"] == "stream_changed"
    assert newest["stream"] in strange["error"]
    misspelt = await home.send_request("history", {"sins": 1})
    assert misspelt["code"] == "bad_request"
    assert "'sins'" in misspelt["error"]


async def test_no_more_than_the_broker_takes_in_one_packet(with_mosquitto: None, tmp_path):
    async with at_home(tmp_path, f"{DURABLE}max_packet_size 20000\n") as home:
        await home.log_in()
        await home.control.say("wife", f"{{n}} {'界' * 500}", count=60)
        await home.body("wx/in/wife", seq=60)
        sizes = [len(page) async for page in pages(home, 0, limit=500)]
        assert sum(sizes) == 60
        assert len(sizes) > 4
        assert max(len(one.payload) for one in home.subscriber.on("wx/bridge/response/history")) <= 20_000
        backwards = await history(home, limit=500)
        assert backwards["more"] is True
        assert backwards["messages"][-1]["seq"] == 60


async def test_it_is_answered_while_wechat_is_away_and_while_nobody_is_logged_in(home: Home):
    await home.log_in()
    await home.control.say("wife", "kept")
    await home.body("wx/in/wife", text="kept")
    await home.send_request("logout")
    assert [one["text"] for one in (await history(home))["messages"]] == ["kept"]


async def test_what_is_said_of_bytes_is_what_is_known_by_now(home: Home):
    await home.log_in()
    await home.control.say("wife", kind="image")
    published = await home.body("wx/in/wife", kind="image")
    assert published["image"]["state"] == "pending"
    await home.body("wx/event/media", message_id=published["id"], state="ready")
    (kept,) = (await history(home, kind="image"))["messages"]
    assert kept["image"]["state"] == "ready"
    assert kept["image"]["size"] > 0
    assert kept["image"]["url"] == published["image"]["url"]
    assert {**kept, "image": None} == {**published, "image": None}

"""An account on iLink through the whole bridge: login, messages, files, results, and the end of a login."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.broker import DURABLE
from tests.support.ilink_home import ILinkHome, at_ilink_home
from tests.support.scanner import codes_in

SAMPLES = Path(__file__).parents[2] / "wx2mqtt" / "simulator" / "samples"


@pytest_asyncio.fixture
async def home(with_mosquitto: None, tmp_path: Path) -> AsyncIterator[ILinkHome]:
    async with at_ilink_home(tmp_path, DURABLE) as home:
        yield home


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_home(
    with_mosquitto: None, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ILinkHome]:
    """Gives one home for the tests that leave it as it was; the person has written to the bot."""
    async with at_ilink_home(tmp_path_factory.mktemp("ilink"), DURABLE) as home:
        await home.log_in()
        await home.bot.write("hello")
        await home.body("wx/in/me", text="hello")
        yield home


uses_shared_home = pytest.mark.asyncio(loop_scope="module")


def wait_for_login_state(home: ILinkHome, **wanted: Any) -> Any:
    return home.body("wx/login/state", **wanted)


# login


async def test_a_login_from_the_code_to_the_first_message(home: ILinkHome):
    home.bridge.start()
    state = await wait_for_login_state(home, state="waiting_for_scan")
    assert state["needs"] == "scan"
    assert "qr_expires" in state
    received = await home.in_thread(
        home.subscriber.wait, "wx/login/url", lambda delivery: delivery.payload != b""
    )
    url = received.payload.decode()
    picture = await home.in_thread(
        home.subscriber.wait, "wx/login/qr", lambda message: codes_in(message.payload) == [url]
    )
    assert url.startswith("https://liteapp.weixin.qq.com/q/")
    assert picture
    await home.bot.wait("code")
    await home.bot.post("ilink/scan")
    assert (await wait_for_login_state(home, state="waiting_for_confirm"))["needs"] == "confirm"
    await home.bot.post("ilink/confirm")
    assert await wait_for_login_state(home, state="online", reason="logged in", needs="nothing")
    message_id = await home.bot.write("开灯 ☀")
    body = await home.body("wx/in/me", id=message_id)
    assert body["chat"] == {"kind": "friend", "name": "me"}
    assert body["sender"] == {"user": "me", "name": "", "self": False} or body["sender"]["self"] is False
    assert (body["trusted"], body["kind"], body["text"]) == (True, "text", "开灯 ☀")


async def test_an_owner_without_a_configured_name_is_called_owner(home: ILinkHome):
    home.bridge.configure(home.settings({"contacts": {}}))
    await home.log_in()
    await home.bot.write("hello")
    assert (await home.body("wx/in/owner", text="hello"))["trusted"] is True
    contacts = await home.body("wx/contacts", count=1)
    assert [contact["user"] for contact in contacts["contacts"]] == ["owner"]


async def test_the_number_on_the_phone_is_typed_by_request(home: ILinkHome):
    await home.control.post("ilink/settings", verify_code=True)
    home.bridge.start()
    await home.bot.wait("code")
    await home.bot.post("ilink/scan")
    state = await wait_for_login_state(home, state="waiting_for_confirm", needs="code")
    assert "number" in state["reason"]
    await home.bot.wait("number")
    number = (await home.control.get("ilink/state"))["codes"][-1]["number"]
    wrong_number = "000000" if number != "000000" else "111111"
    assert (await home.send_request("login", {"code": wrong_number}))["status"] == "ok"
    await wait_for_login_state(
        home, needs="code", reason="that was not the number; type the one that WeChat shows on the phone now"
    )
    assert (await home.send_request("login", {"code": number}))["status"] == "ok"
    await wait_for_login_state(home, state="waiting_for_confirm", needs="confirm")
    await home.bot.post("ilink/confirm")
    await wait_for_login_state(home, state="online")
    assert (await home.send_request("login", {"code": "123456"}))["code"] == "bad_request"
    assert (await home.send_request("login", {"code": "12x"}))["code"] == "bad_request"


async def test_another_person_than_expected_is_refused(home: ILinkHome):
    home.bridge.configure(home.settings({"expect": {"ilink": "o9cq80somebody@im.wechat"}}))
    home.bridge.start()
    await home.scan()
    state = await wait_for_login_state(home, state="refused")
    assert state["needs"] == "relogin"
    assert "expect.ilink" in state["reason"]
    assert "o9cq80" not in state["reason"]


async def test_a_restart_needs_no_scan_and_loses_nothing(home: ILinkHome):
    await home.log_in()
    await home.bot.write("before")
    await home.body("wx/in/me", text="before")
    await home.in_thread(home.bridge.kill)
    await home.bot.write("while away")
    await home.restart()
    assert (await home.body("wx/in/me", text="while away"))["seq"] == 2
    assert (await home.send_command("me", "welcome back"))["status"] == "sent"
    assert [message["token"] for message in await home.bot.bot_sent(1)] == ["newest"]


async def test_a_login_that_ends_says_why_and_a_new_one_keeps_the_topic(home: ILinkHome):
    await home.log_in()
    await home.bot.write("one")
    await home.body("wx/in/me", text="one")
    since = home.subscriber.count
    await home.bot.post("ilink/kill")
    state = await wait_for_login_state(home, state="logged_out", since=since)
    assert state["needs"] == "relogin"
    assert "somewhere else" in state["reason"]
    waiting = await wait_for_login_state(home, state="waiting_for_scan", since=since)
    assert "somewhere else" in waiting["reason"]
    await home.scan()
    await wait_for_login_state(home, state="online", since=since)
    await home.bot.write("two")
    assert (await home.body("wx/in/me", text="two"))["seq"] == 2


async def test_a_scan_after_a_logout_needs_no_new_bot(home: ILinkHome):
    await home.log_in()
    assert (await home.send_request("logout"))["status"] == "ok"
    await wait_for_login_state(home, state="logged_out")
    since = home.subscriber.count
    await home.send_request("login")
    await home.scan()
    await wait_for_login_state(home, state="online", since=since)  # the bot stayed bound to this account
    assert (await home.control.get("ilink/state"))["bindings"] == 1


async def test_a_message_that_comes_again_under_a_new_id_is_dropped(home: ILinkHome):
    await home.log_in()
    first = await home.bot.write("toggle")
    await home.body("wx/in/me", id=first)
    redelivered = await home.bot.post("ilink/redeliver")
    await home.bot.write("after")
    assert (await home.body("wx/in/me", text="after"))["seq"] == 2
    received = [
        json.loads(message.payload) for message in home.subscriber.received if message.topic == "wx/in/me"
    ]
    assert redelivered["msg_id"] not in {message["id"] for message in received}


# what comes in


@uses_shared_home
@pytest.mark.parametrize(
    ("kind", "mime"),
    [("image", "image/jpeg"), ("voice", "audio/silk"), ("file", "application/pdf"), ("video", "video/mp4")],
)
async def test_media_are_stored_as_they_were_sent(shared_home: ILinkHome, kind: str, mime: str):
    message_id = await shared_home.bot.write("a.pdf" if kind == "file" else "said", kind=kind)
    body = await shared_home.body("wx/in/me", id=message_id)
    event = await shared_home.body("wx/event/media", message_id=message_id)
    content = (await shared_home.bot._http.get(f"/sim/ilink/media/{message_id}")).content
    assert body["kind"] == kind
    assert (event["state"], event["size"], event["sha256"]) == (
        "ready",
        len(content),
        hashlib.sha256(content).hexdigest(),
    )
    assert (shared_home.bridge.store / event["path"]).read_bytes() == content
    assert event["mime"] == mime


@uses_shared_home
@pytest.mark.parametrize("key", ["hex", "24", "44", "both", "none"])
async def test_a_picture_opens_with_every_form_of_its_key(shared_home: ILinkHome, key: str):
    message_id = await shared_home.bot.write(kind="image", detail={"key": key})
    event = await shared_home.body("wx/event/media", message_id=message_id)
    assert event["state"] == "ready"


@uses_shared_home
async def test_a_picture_whose_key_is_none_is_gone(shared_home: ILinkHome):
    message_id = await shared_home.bot.write(kind="image", detail={"key": "bad"})
    assert (await shared_home.body("wx/in/me", id=message_id))["image"]["state"] == "gone"


@uses_shared_home
async def test_a_picture_that_does_not_decrypt_is_pending_and_fetched_again(shared_home: ILinkHome):
    """The file may have been cut off in transit, so it is given up after a day only."""
    downloads = (await shared_home.control.get("state"))["calls"].get("cdn_download", 0)
    message_id = await shared_home.bot.write(kind="image", detail={"key": "wrong"})
    await shared_home.body("wx/in/me", id=message_id)
    await shared_home.control.wait(f"calls:cdn_download:{downloads + 2}")
    answer = await shared_home.send_request("history", {"limit": 1})
    (body,) = answer["data"]["messages"]
    assert (body["id"], body["image"]["state"]) == (message_id, "pending")
    assert not [
        message
        for message in shared_home.subscriber.on("wx/event/media")
        if message.body["message_id"] == message_id
    ]


@uses_shared_home
async def test_the_transcript_of_a_voice_message_is_its_text(shared_home: ILinkHome):
    message_id = await shared_home.bot.write("开灯", kind="voice")
    body = await shared_home.body("wx/in/me", id=message_id)
    assert body["text"] == "开灯"
    assert body["voice"]["transcript"] is True


@uses_shared_home
async def test_a_quote_of_a_sent_message_names_the_command(shared_home: ILinkHome):
    result = await shared_home.send_command("me", {"text": "door open, window shut", "id": "alarm-7"})
    message_id = await shared_home.bot.write(
        "close it", kind="quote_id", detail={"msg_id": result["message_id"]}
    )
    body = await shared_home.body("wx/in/me", id=message_id)
    assert (body["kind"], body["text"]) == ("quote", "close it")
    assert body["quote"] == {
        "id": result["message_id"],
        "kind": "text",
        "text": "door open, window shut",
        "self": True,
        "command_id": "alarm-7",
    }


@uses_shared_home
async def test_an_unknown_kind_of_item_is_published_as_unsupported(shared_home: ILinkHome):
    await shared_home.bot.post("ilink/raw", messages=[_raw({"type": 99, "new_item": {}}), _raw({"type": 1})])
    body = await shared_home.body("wx/in/friend", kind="unsupported")
    assert (body["unsupported"], body["trusted"]) == ({"type": 99}, False)


@uses_shared_home
async def test_a_message_of_a_group_is_reported_as_unreadable_and_not_published(shared_home: ILinkHome):
    since = shared_home.subscriber.count
    group = {**_raw({"type": 1, "text_item": {"text": "of a group"}}), "group_id": "r1@im.group"}
    stranger = {**group, "message_id": 7_500_000_000_000_000_777, "from_user_id": "o9stranger@im.wechat"}
    await shared_home.bot.post("ilink/raw", messages=[stranger])
    event = await shared_home.body("wx/event/unreadable", reason="group", since=since)
    assert event["message_id"] == "7500000000000000777"
    await shared_home.bot.write("after it")
    await shared_home.body("wx/in/me", text="after it", since=since)
    later = shared_home.subscriber.received[since:]
    assert not [
        message
        for message in later
        if message.topic.startswith("wx/in/") and b"of a group" in message.payload
    ]
    assert not [
        message for message in later if message.topic == "wx/contacts" and b"o9stranger" in message.payload
    ]


def _raw(item: dict[str, Any]) -> dict[str, Any]:
    return {"message_type": 1, "message_state": 2, "item_list": [item], "from_user_id": "o9cq80x@im.wechat"}


# what goes out


@uses_shared_home
@pytest.mark.parametrize(("kind", "sample"), [("image", "image.jpg"), ("file", "file.pdf")])
async def test_files_are_sent_with_their_kind_and_content(shared_home: ILinkHome, kind: str, sample: str):
    content = next(SAMPLES.glob(f"{sample.partition('.')[0]}*")).read_bytes()
    before = len(await shared_home.bot.bot_sent(0))
    data = base64.b64encode(content).decode()
    await shared_home.bot.write("more")  # which opens the window for ten more
    result = await shared_home.send_command("me", {"kind": kind, "data": data, "name": sample})
    assert result["status"] == "sent"
    last = (await shared_home.bot.bot_sent(before + 1))[-1]
    assert (last["kind"], last["sha256"]) == (kind, hashlib.sha256(content).hexdigest())


@uses_shared_home
async def test_no_secret_gets_out(shared_home: ILinkHome):
    """No secret is on a topic, nor in the log of the bridge at its lowest level."""
    if "url" in shared_home.bridge.storage:
        pytest.skip("in a database the saved login is encrypted: tests/unit/store/test_encrypted_logins.py")
    saved = json.loads(next((shared_home.bridge.store / "sessions").glob("*.json")).read_text())
    (bot,) = saved["bots"]
    secrets = {
        bot["token"],
        bot["token"].partition(":")[2],
        *(chat["token"] for chat in bot["chats"].values()),
    }
    received = b"".join(
        message.topic.encode() + message.payload for message in shared_home.subscriber.received
    )
    log = "\n".join(shared_home.bridge.log)
    for secret in secrets - {""}:
        assert secret.encode() not in received
        assert secret not in log
    assert b"encrypted_query_param" not in received
    assert "encrypted_query_param=" not in log.replace("encrypted_query_param=***", "")

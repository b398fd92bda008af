"""Pictures, videos and files from MQTT to WeChat on the whole bridge: every way to give them, and every refusal."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.broker import DURABLE
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.file_server import Server, leads, ok, says, server
from tests.support.home import Home, at_home
from wx2mqtt.simulator.samples import sample

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG, JPEG, GIF, MP4, PDF = map(sample, ("image.png", "image.jpg", "sticker.gif", "video.mp4", "file.pdf"))
MEGABYTE = 1 << 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_home(with_mosquitto: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    """Yields a home whose bridge may send files below `<folder>/open`, and fetch from 127.0.0.1 but not localhost."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "open").mkdir()
    (folder / "closed").mkdir()
    async with at_home(folder, DURABLE) as home:
        media = {"send_from": [str(folder / "open")], "allow_hosts": ["127.0.0.1"], "download": False}
        home.bridge.configure(home.settings({"media": media, "receive": {"own": True}}))
        await home.log_in()
        await home.control.post("settings", echo=True)
        yield home


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def stored_files(home: Home) -> set[Path]:
    """Returns all media files in the store."""
    return {path for path in (home.bridge.store / "media").rglob("*") if path.is_file()}


async def sent_message_of(home: Home, result: dict[str, Any]) -> dict[str, Any]:
    """Returns what WeChat got with the message id of a result."""
    assert (result["status"], result["code"]) == ("sent", "ok"), result
    (line,) = [
        message for message in await home.control.get("sent") if message["msg_id"] == result["message_id"]
    ]
    return dict(line)


def recipient_and_media(line: dict[str, Any]) -> tuple[str, str, str, str]:
    return line["to"], line["kind"], line["media"]["name"], line["sha256"]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write_file(home: Home, name: str, data: bytes) -> str:
    file = home.folder / "open" / name
    file.write_bytes(data)
    return str(file)


# the ways


@pytest.mark.parametrize(
    ("sub", "data", "kind", "name"),
    [
        ("image", PNG, "image", "image.png"),
        ("image", JPEG, "image", "image.jpg"),
        ("image", GIF, "sticker", "image.gif"),
        ("video", MP4, "video", "video.mp4"),
        ("file/报告 1.pdf", PDF, "file", "报告 1.pdf"),
        ("file/picture", PNG, "file", "picture.png"),
        ("file/notes.txt", b'{"text": "no command"}', "file", "notes.txt"),
    ],
)
@pytest.mark.parametrize(
    ("user", "to"), [("wife", "wife"), ("family", "family"), ("filehelper", "filehelper")]
)
async def test_files_arrive_as_the_kind_that_their_bytes_are(shared_home, user, to, sub, data, kind, name):
    line = await sent_message_of(shared_home, await shared_home.send_command(f"{user}/{sub}", data))
    assert recipient_and_media(line) == (to, kind, name, sha256(data))


@pytest.mark.parametrize(
    ("kind", "data", "sent_as"),
    [("image", PNG, "image"), ("image", GIF, "sticker"), ("video", MP4, "video"), ("file", PDF, "file")],
)
@pytest.mark.parametrize("source", ["path", "url", "data", "request"])
async def test_a_command_says_where_the_bytes_are(shared_home, source, kind, data, sent_as):
    data += source.encode()  # other bytes: WeChat would send known ones under their first name
    command: dict[str, Any] = {"kind": kind, "id": f"{source}-{kind}-{sent_as}"}
    if source == "url":
        async with server(ok(data)) as file_server:
            line = await sent_message_of(
                shared_home,
                await shared_home.send_command("wife", {**command, "url": f"{file_server.url}/a%20b.x"}),
            )
        assert recipient_and_media(line) == ("wife", sent_as, line["media"]["name"], sha256(data))
        assert line["media"]["name"].startswith("a b.x")
    elif source == "path":
        line = await sent_message_of(
            shared_home,
            await shared_home.send_command("wife", {**command, "path": write_file(shared_home, "x y", data)}),
        )
        assert line["media"]["name"].startswith("x y.")
    elif source == "data":
        text = "\n".join(base64_of(data)[at : at + 76] for at in range(0, len(base64_of(data)), 76))
        line = await sent_message_of(
            shared_home, await shared_home.send_command("wife", {**command, "data": text, "name": "名 1"})
        )
        assert line["media"]["name"].startswith("名 1.")
    else:
        answer = await shared_home.send_request(
            "send", {**command, "user": "wife", "data": base64_of(data), "transaction": 7}
        )
        assert (answer["status"], answer["transaction"]) == ("ok", 7)
        line = await sent_message_of(shared_home, answer["data"])
    assert (line["kind"], line["sha256"]) == (sent_as, sha256(data))


async def test_a_caption_is_a_text_right_before_its_picture(shared_home):
    command = {"kind": "image", "data": base64_of(PNG + b"caption"), "text": "who is it", "id": "caption"}
    result = await shared_home.send_command("wife", command)
    picture = await sent_message_of(shared_home, result)
    assert (picture["kind"], result["parts"], result["parts_sent"]) == ("image", 2, 2)
    sent = [line for line in await shared_home.control.get("sent") if line["to"] == "wife"]
    index = [line["msg_id"] for line in sent].index(picture["msg_id"])
    assert (sent[index - 1]["kind"], sent[index - 1]["text"]) == ("text", "who is it")


async def test_ten_megabytes_and_the_text_behind_them_arrive_in_order(shared_home):
    data = os.urandom(10 * MEGABYTE)
    await shared_home.publish("wx/out/wife/file/large.bin", data)
    await shared_home.publish("wx/out/wife", {"text": "behind the large one", "id": "behind"})
    await shared_home.body("wx/result/wife", id="behind", status="sent")
    lines = [message for message in await shared_home.control.get("sent") if message["to"] == "wife"][-2:]
    assert [message["text"] for message in lines] == ["large.bin", "behind the large one"]
    assert lines[0]["sha256"] == sha256(data)


async def test_texts_to_other_chats_are_sent_during_a_long_upload(shared_home):
    uploads = (await shared_home.control.get("state"))["calls"].get("webwxuploadmedia", 0)
    await shared_home.control.post("fault", endpoint="webwxuploadmedia", kind="hold")
    data = base64_of(PDF + b"long")  # bytes that this login has not uploaded yet
    await shared_home.publish("wx/out/wife", {"kind": "file", "data": data, "id": "long"})
    await shared_home.control.wait(f"calls:webwxuploadmedia:{uploads + 1}")
    await shared_home.send_command("family", "quick")
    assert [
        message for message in shared_home.subscriber.on("wx/result/wife") if message.body["id"] == "long"
    ] == []
    await shared_home.control.post("fault/clear")
    assert (await shared_home.body("wx/result/wife", id="long"))["status"] == "sent"


async def test_the_same_id_and_bytes_are_sent_once_and_other_bytes_are_refused(shared_home):
    command = {"kind": "image", "data": base64_of(PNG), "id": "once"}
    first = await shared_home.send_command("wife", command)
    assert await shared_home.send_command("wife", {**command, "ttl": 5}) == first
    files = stored_files(shared_home)
    other = await shared_home.send_command("wife", {**command, "data": base64_of(JPEG[:-1] + b"x")})
    assert (other["status"], other["code"]) == ("rejected", "id_reused")
    assert (
        len(
            [
                message
                for message in await shared_home.control.get("sent")
                if message["msg_id"] == first["message_id"]
            ]
        )
        == 1
    )
    await wait_until_removed(shared_home, files)


async def wait_until_removed(home: Home, before: set[Path]) -> None:
    """Waits until every media file is removed that was not there before."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while stored_files(home) - before:  # noqa: ASYNC110 - nobody tells when a file goes
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("sub", ["image", "video", "file/a.pdf"])
async def test_a_sent_file_does_not_come_back_as_a_message(shared_home, sub):
    data = {"image": PNG, "video": MP4, "file/a.pdf": PDF}[sub]
    since = shared_home.subscriber.count
    await sent_message_of(shared_home, await shared_home.send_command(f"filehelper/{sub}", data))
    mark = f"mark {since}"
    await shared_home.control.say("me", mark, to="filehelper")
    await shared_home.body("wx/in/filehelper", text=mark, since=since)
    received = [
        message.body["text"]
        for message in shared_home.subscriber.received[since:]
        if message.topic == "wx/in/filehelper"
    ]
    assert received == [mark]


SENDS = {"image": "webwxsendmsgimg", "video": "webwxsendvideomsg", "file/a.pdf": "webwxsendappmsg"}


@pytest.mark.parametrize("sub", SENDS)
async def test_a_sent_file_whose_answer_was_lost_does_not_come_back_as_a_message(shared_home, sub):
    data = {"image": PNG, "video": MP4, "file/a.pdf": PDF}[sub]
    since = shared_home.subscriber.count
    await shared_home.control.post("fault", endpoint=SENDS[sub], kind="drop_answer")
    result = await shared_home.send_command(f"filehelper/{sub}", data)
    assert (result["status"], result["duplicate_possible"]) == ("sent", True)
    mark = f"mark {since}"
    await shared_home.control.say("me", mark, to="filehelper")
    await shared_home.body("wx/in/filehelper", text=mark, since=since)
    received = [
        message.body["text"]
        for message in shared_home.subscriber.received[since:]
        if message.topic == "wx/in/filehelper"
    ]
    assert received == [mark]


async def test_a_picture_that_the_owner_sends_from_the_phone_is_a_message(shared_home):
    await sent_message_of(shared_home, await shared_home.send_command("filehelper/image", PNG))
    since = shared_home.subscriber.count
    (message_id,) = await shared_home.control.say("me", to="filehelper", kind="image")
    received = await shared_home.body("wx/in/filehelper", id=message_id, since=since)
    assert (received["kind"], received["sender"]["self"]) == ("image", True)


# recall and mention


async def test_a_message_is_withdrawn_by_command_and_by_request(shared_home):
    for source in ("command", "request"):
        sent = await shared_home.send_command("wife", f"oops {source}")
        if source == "command":
            result = await shared_home.send_command(
                "wife", {"kind": "recall", "message_id": sent["message_id"], "id": "r1"}
            )
        else:
            answer = await shared_home.send_request(
                "recall", {"message_id": sent["message_id"], "transaction": "t"}
            )
            assert (answer["status"], answer["transaction"]) == ("ok", "t")
            result = answer["data"]
        assert (result["status"], result["code"]) == ("sent", "ok")
        assert sent["message_id"] in (await shared_home.control.get("feed"))["recalled"]


async def test_a_picture_can_be_withdrawn_too(shared_home):
    sent = await shared_home.send_command("wife/image", PNG)
    result = await shared_home.send_command(
        "wife", {"kind": "recall", "message_id": sent["message_id"], "id": "r2"}
    )
    assert result["status"] == "sent"


async def test_a_message_that_wechat_does_not_withdraw_any_more_is_failed(shared_home):
    await shared_home.control.post("settings", recall_within=0.0)
    sent = await shared_home.send_command("wife", "too late to take back")
    result = await shared_home.send_command(
        "wife", {"kind": "recall", "message_id": sent["message_id"], "id": "r3"}
    )
    await shared_home.control.post("settings", recall_within=120.0)
    assert (result["status"], result["code"]) == ("failed", "refused_by_wechat")


async def test_members_of_a_group_are_mentioned(shared_home):
    result = await shared_home.send_command("family", {"text": "dinner", "mention": ["wife"], "id": "m1"})
    assert result["status"] == "sent"
    (line,) = [
        message
        for message in await shared_home.control.get("sent")
        if message["msg_id"] == result["message_id"]
    ]
    assert line["text"].startswith("@")
    assert line["text"].endswith("\u2005dinner")


# refusals: each has a code and a cure, sends nothing and leaves no file

NAMES = [
    "a/b.png",
    "/etc/passwd",
    "..",
    "a\0b.png",
    "x" * 300 + ".png",
    "\u202egnp.exe",
    "\u2066a.png",
    "a\nb.png",
]

BAD: list[tuple[str, str, Any, str]] = [
    *[
        (
            f"name {name[:12]!r}",
            "wife",
            {"kind": "image", "data": base64_of(PNG), "name": name},
            "bad_command",
        )
        for name in NAMES
    ],
    ("name by topic", "wife/file/..", PNG, "bad_command"),
    ("name by topic, 300", f"wife/file/{'x' * 300}", PNG, "bad_command"),
    ("name by topic, bidi", "wife/file/\u202egnp.exe", PNG, "bad_command"),
    ("empty image", "wife/image", b"", "empty"),
    ("empty video", "wife/video", b"", "empty"),
    ("empty file", "wife/file/a", b"", "empty"),
    ("empty base64", "wife", {"kind": "image", "data": ""}, "empty"),
    ("blank base64", "wife", {"kind": "image", "data": " \n "}, "empty"),
    ("truncated base64", "wife", {"kind": "image", "data": base64_of(PNG)[:-3]}, "bad_command"),
    ("garbage as base64", "wife", {"kind": "file", "data": "no base64!"}, "bad_command"),
    ("base64 behind its end", "wife", {"kind": "file", "data": "AA==AA=="}, "bad_command"),
    ("a picture that is none", "wife/image", b"this is no picture", "bad_file"),
    ("a picture that only begins like one", "wife/image", PNG[:12], "bad_file"),
    ("a page as a picture", "wife/image", b"<html><body>404</body></html>", "bad_file"),
    ("a picture as a video", "wife/video", PNG, "bad_file"),
    ("a picture of another sort", "wife/image", b"RIFF$\0\0\0WEBPVP8 " + bytes(40), "unsupported"),
    ("20 MB as a picture", "wife/image", PNG + bytes(20 * MEGABYTE), "too_large"),
    ("5 MB as a sticker", "wife/image", GIF + bytes(5 * MEGABYTE), "too_large"),
    ("a caption without its kind", "wife", {"text": "look", "path": "/x"}, "bad_command"),
    ("two ways at once", "wife", {"kind": "image", "data": base64_of(PNG), "path": "/x"}, "bad_command"),
    ("no way at all", "wife", {"kind": "file", "name": "a"}, "bad_command"),
    ("nobody", "nobody/image", PNG, "unknown_user"),
    ("path outside", "wife", {"kind": "file", "path": "/etc/passwd"}, "not_allowed"),
    ("path outside by ..", "wife", {"kind": "file", "path": "{open}/../closed/secret"}, "not_allowed"),
    ("path by a link out", "wife", {"kind": "file", "path": "{open}/link"}, "not_allowed"),
    ("path by a linked folder out", "wife", {"kind": "file", "path": "{open}/linked/secret"}, "not_allowed"),
    ("path that is not there", "wife", {"kind": "file", "path": "{open}/nothing"}, "bad_file"),
    ("path of a folder", "wife", {"kind": "file", "path": "{open}"}, "bad_file"),
    ("path of a pipe", "wife", {"kind": "file", "path": "{open}/pipe"}, "bad_file"),
    ("path of a socket", "wife", {"kind": "file", "path": "{open}/socket"}, "bad_file"),
    ("path of a device", "wife", {"kind": "file", "path": "{open}/device"}, "not_allowed"),
    ("path of an empty file", "wife", {"kind": "file", "path": "{open}/empty"}, "empty"),
    ("path of 300 MB", "wife", {"kind": "file", "path": "{open}/huge"}, "too_large"),
    ("relative path", "wife", {"kind": "file", "path": "open/x"}, "bad_command"),
    ("file: url", "wife", {"kind": "file", "url": "file:///etc/passwd"}, "bad_command"),
    ("ftp: url", "wife", {"kind": "file", "url": "ftp://127.0.0.1/x"}, "bad_command"),
    ("no url", "wife", {"kind": "file", "url": "http://"}, "bad_command"),
    ("url to loopback", "wife", {"kind": "file", "url": "http://127.0.0.2/x"}, "not_allowed"),
    ("url to loopback by name", "wife", {"kind": "file", "url": "http://localhost:{port}/x"}, "not_allowed"),
    (
        "url to loopback as a number",
        "wife",
        {"kind": "file", "url": "http://2130706433:{port}/x"},
        "not_allowed",
    ),
    ("url to loopback, IPv6", "wife", {"kind": "file", "url": "http://[::1]:{port}/x"}, "not_allowed"),
    (
        "url to loopback, mapped",
        "wife",
        {"kind": "file", "url": "http://[::ffff:127.0.0.2]:{port}/x"},
        "not_allowed",
    ),
    ("url to the house", "wife", {"kind": "file", "url": "http://192.168.1.1/x"}, "not_allowed"),
    ("url to metadata", "wife", {"kind": "file", "url": "http://169.254.169.254/latest"}, "not_allowed"),
    ("url by redirect to loopback", "wife", {"kind": "file", "url": "{url}/to-loopback"}, "not_allowed"),
    ("url by redirect to file:", "wife", {"kind": "file", "url": "{url}/to-file"}, "fetch_failed"),
    ("url that redirects for ever", "wife", {"kind": "file", "url": "{url}/for-ever"}, "fetch_failed"),
    ("url that is not there", "wife", {"kind": "file", "url": "{url}/missing"}, "fetch_failed"),
    ("url without an end", "wife", {"kind": "image", "url": "{url}/endless"}, "too_large"),
    ("url that announces 300 MB", "wife", {"kind": "file", "url": "{url}/announced"}, "too_large"),
    ("url with a wrong length", "wife", {"kind": "file", "url": "{url}/short"}, "fetch_failed"),
    ("url that drips", "wife", {"kind": "file", "url": "{url}/drip"}, "fetch_failed"),
    ("url of nothing", "wife", {"kind": "file", "url": "{url}/empty"}, "empty"),
    ("url of a page", "wife", {"kind": "image", "url": "{url}/page"}, "bad_file"),
    (
        "recall of a stranger's message",
        "wife",
        {"kind": "recall", "message_id": "{theirs}"},
        "unknown_message",
    ),
    ("recall of nothing", "wife", {"kind": "recall", "message_id": "1"}, "unknown_message"),
    ("recall in another chat", "family", {"kind": "recall", "message_id": "{ours}"}, "unknown_message"),
    ("recall without an id", "wife", {"kind": "recall"}, "bad_command"),
    ("mention in no group", "wife", {"text": "x", "mention": ["mom"]}, "bad_command"),
    ("mention of nobody", "family", {"text": "x", "mention": ["nobody"]}, "bad_command"),
    ("mention by a file", "family", {"kind": "file", "data": "AAAA", "mention": ["wife"]}, "bad_command"),
]


async def serve_wrong_answers(head: bytes, writer: asyncio.StreamWriter) -> None:
    """Answers each path in another way that is wrong for a file."""
    path = head.split(b" ")[1].decode()
    port = writer.get_extra_info("sockname")[1]
    scripts = {
        "/to-loopback": leads(f"http://localhost:{port}/x"),
        "/to-file": leads("file:///etc/passwd"),
        "/for-ever": leads("/for-ever"),
        "/missing": says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        "/announced": says(b"HTTP/1.1 200 OK\r\nContent-Length: 314572800\r\n\r\n", bytes(1000)),
        "/short": says(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort"),
        "/empty": ok(b""),
        "/page": ok(b"<html><body>login</body></html>"),
    }
    if path in scripts:
        await scripts[path](head, writer)
        return
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + (PNG if path == "/endless" else b""))
    while True:
        writer.write(bytes(65536) if path == "/endless" else b"x")
        await writer.drain()
        if path == "/drip":
            await asyncio.sleep(0.1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bad_server(shared_home: Home) -> AsyncIterator[tuple[Server, dict[str, str]]]:
    """Yields the server, and the values for the placeholders in `BAD`."""
    opened, closed = shared_home.folder / "open", shared_home.folder / "closed"
    (closed / "secret").write_bytes(b"secret")
    (opened / "link").symlink_to(closed / "secret")
    (opened / "linked").symlink_to(closed)
    (opened / "device").symlink_to("/dev/zero")
    (opened / "empty").touch()
    os.mkfifo(opened / "pipe")
    os.mknod(opened / "socket", 0o140600)
    with (opened / "huge").open("wb") as huge:
        huge.truncate(300 * 1000**2)
    (received_id,) = await shared_home.control.say("wife", "mine")
    sent_id = (await shared_home.send_command("wife", "ours"))["message_id"]
    async with server(serve_wrong_answers) as file_server:
        port = file_server.url.rpartition(":")[2]
        yield (
            file_server,
            {
                "open": str(opened),
                "port": port,
                "url": file_server.url,
                "theirs": received_id,
                "ours": sent_id,
            },
        )


def fill_in(payload: Any, values: dict[str, str]) -> Any:
    if not isinstance(payload, dict):
        return payload
    text = json.dumps(payload)
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return json.loads(text)


@pytest.mark.parametrize(("to", "payload", "code"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
async def test_bad_input_gets_one_result_with_code_and_cure_and_nothing_is_sent_or_kept(
    shared_home, bad_server, to, payload, code
):
    _, values = bad_server
    sent, files = len(await shared_home.control.get("sent")), stored_files(shared_home)
    payload = fill_in(payload, values)
    if isinstance(payload, dict):
        payload["id"] = hashlib.sha256(json.dumps([to, payload]).encode()).hexdigest()[:16]
    since = shared_home.subscriber.count
    await shared_home.publish(f"wx/out/{to}", payload)
    user = to.partition("/")[0]
    result = await shared_home.in_thread(shared_home.subscriber.wait_body, f"wx/result/{user}", since=since)
    assert (result["status"], result["code"]) == ("rejected", code), result
    assert len(result["message"]) > 20
    assert any(sign in result["message"] for sign in (";", "must", "needs")) or code == "empty", result[
        "message"
    ]
    assert "secret" not in result["message"].replace("closed/secret", "").replace("linked/secret", "")
    assert len(await shared_home.control.get("sent")) == sent
    await wait_until_removed(shared_home, files)
    assert (
        len(
            [
                message
                for message in shared_home.subscriber.received[since:]
                if message.topic == f"wx/result/{user}"
            ]
        )
        == 1
    )


async def test_the_bridge_sends_on_after_all_bad_input(shared_home):
    line = await sent_message_of(shared_home, await shared_home.send_command("wife/image", JPEG))
    assert line["sha256"] == sha256(JPEG)


async def test_files_of_this_machine_are_sent_only_after_a_reload_that_allows_folder_and_host(
    shared_home,
):
    with_media = shared_home.settings({"media": {}, "receive": {"own": True}})
    shared_home.bridge.configure(with_media)
    assert (await shared_home.send_request("reload"))["status"] == "ok"
    path = write_file(shared_home, "picture.png", PNG)
    async with server(ok(PNG)) as file_server:
        for number, source in enumerate(({"path": path}, {"url": f"{file_server.url}/x.png"})):
            refused = await shared_home.send_command(
                "wife", {"kind": "image", "id": f"none-{number}", **source}
            )
            assert (refused["status"], refused["code"]) == ("rejected", "not_allowed")
        assert file_server.requests == []
        media = {"send_from": [str(shared_home.folder / "open")], "allow_hosts": ["127.0.0.1"]}
        shared_home.bridge.configure(shared_home.settings({"media": media, "receive": {"own": True}}))
        answer = await shared_home.send_request("reload")
        assert {"accounts.home.media.send_from", "accounts.home.media.allow_hosts"} <= set(
            answer["data"]["applied"]
        )
        for number, source in enumerate(({"path": path}, {"url": f"{file_server.url}/x.png"})):
            sent = await shared_home.send_command("wife", {"kind": "image", "id": f"some-{number}", **source})
            assert sent["status"] == "sent"

"""A Python client of WeCom's bots, as its readme shows it: subscribe, receive, answer, send, be replaced.

Arguments: the module of the client, the URL of the gateway, bot id, secret, a userid, the files that it sends.
Prints what it receives and does as lines of JSON. It sends once for each line of input.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import json
import os
import sys
from pathlib import Path

import certifi  # type: ignore[import-untyped, unused-ignore]

certifi.where = lambda: os.environ["SSL_CERT_FILE"]  # one of the clients trusts nothing else

module, url, bot_id, secret, userid = sys.argv[1:6]
files = {name: Path(name).read_bytes() for name in json.loads(sys.argv[6])}
sdk = importlib.import_module(module)
TYPES = {".jpg": "image", ".mp4": "video"}


def report(**values):
    sys.stdout.write(json.dumps(values, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def discard(*_):
    """Discards a log line, since the clients log to the output."""


class SilentLogger:
    debug = info = warn = error = staticmethod(discard)


if module == "aibot":
    client = sdk.WSClient(
        sdk.WSClientOptions(bot_id=bot_id, secret=secret, ws_url=url, logger=SilentLogger())
    )
else:
    client = sdk.WSClient(bot_id, secret, ws_url=url, logger=SilentLogger())


def card(task_id, **more):
    buttons = [{"text": "开", "style": 1, "key": "on"}, {"text": "关", "style": 2, "key": "off"}]
    return {
        "card_type": "button_interaction",
        "main_title": {"title": "开灯吗？"},
        "button_list": buttons,
        "task_id": task_id,
        **more,
    }


def message_parts(body):
    if body["msgtype"] == "mixed":
        return body["mixed"]["msg_item"]
    return [body]


async def on_message(frame):
    body = frame["body"]
    texts, hashes = [], []
    for part in message_parts(body):
        content = part[part["msgtype"]]
        if "url" not in content:
            texts.append(content["content"])
            continue
        fetched = await client.download_file(content["url"], content["aeskey"])
        data = fetched["buffer"] if isinstance(fetched, dict) else fetched[0]
        hashes.append(hashlib.sha256(data).hexdigest())
    quoted = body.get("quote", {}).get("text", {}).get("content", "")
    report(what="message", id=body["msgid"], kind=body["msgtype"], texts=texts, hashes=hashes, quoted=quoted)
    if texts:
        await client.reply_stream(frame, body["msgid"], "想一想", False)
        await client.reply_stream(frame, body["msgid"], f"**{texts[0]}** ✓", True)
        report(what="answered")


async def on_enter(frame):
    await client.reply_welcome(frame, {"msgtype": "text", "text": {"content": "你好"}})
    report(what="welcomed")


async def on_press(frame):
    event = frame["body"]["event"]["template_card_event"]
    action = {"type": 1, "url": "https://example.org"}
    await client.update_template_card(frame, card(event["task_id"], card_action=action))
    report(what="pressed", key=event["event_key"], task=event["task_id"])


def in_task(handler):
    def start(frame):
        tasks.append(asyncio.ensure_future(handler(frame)))

    return start


tasks: list[asyncio.Future[None]] = []


async def send():
    await client.send_message(userid, {"msgtype": "markdown", "markdown": {"content": "# 回家"}})
    await client.send_message(userid, {"msgtype": "template_card", "template_card": card("task-1")})
    for name, data in files.items():
        kind = TYPES.get(Path(name).suffix, "file")
        uploaded = await client.upload_media(data, type=kind, filename=Path(name).name)
        await client.send_media_message(userid, kind, uploaded["media_id"])
    report(what="sent")


async def main():
    client.on("authenticated", lambda *_: report(what="authenticated"))
    client.on("message", in_task(on_message))
    client.on("event.enter_chat", in_task(on_enter))
    client.on("event.template_card_event", in_task(on_press))
    client.on("event.disconnected_event", lambda *_: report(what="replaced"))
    client.on("disconnected", lambda *_: report(what="disconnected"))
    await client.connect()
    while await asyncio.to_thread(sys.stdin.readline):
        await send()


asyncio.run(main())

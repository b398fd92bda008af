"""A scripted run of each backend against its simulator: every kind of message, command, request and state."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from tests.golden.normal_form import recorded_topics
from tests.support.home import Home, at_home
from tests.support.ilink_home import at_ilink_home
from tests.support.wecom_home import at_wecom_home
from wx2mqtt.simulator.message_kinds import all_kinds
from wx2mqtt.simulator.samples import sample

# What every account is given, in this order; each has its result. `{}` is the topic name of the person.
COMMANDS: tuple[tuple[str, dict[str, Any] | str | bytes], ...] = (
    ("{}", "a text"),
    ("{}", {"text": "a text with an id", "id": "a", "ttl": 60}),
    ("{}", {"text": "a text with an id", "id": "a", "ttl": 60}),
    ("{}", {"text": "another text", "id": "a"}),
    ("{}", {"text": "markdown **bold**", "id": "md", "format": "markdown"}),
    ("{}", {"text": "Shall I open?", "id": "question", "buttons": ["Yes", {"text": "No", "key": "no"}]}),
    ("{}", {"text": "", "id": "empty"}),
    ("{}", {"id": "nothing"}),
    ("{}", {"text": "x", "id": "unknown key", "colour": "red"}),
    ("{}", {"text": "x", "id": "bad ttl", "ttl": -1}),
    ("{}", {"kind": "recall", "id": "recall", "message_id": "1"}),
    ("{}", {"kind": "file", "id": "path", "path": "/nowhere/file.txt"}),
    ("{}", {"kind": "image", "id": "no image", "data": "eA=="}),
    ("{}", '{"text": '),
    ("{}/urgent", "an urgent text"),
    ("{}/file/notes.txt", b"the content of a file"),
    ("{}/image", sample("image.png")),
    ("nobody", {"text": "x", "id": "nobody"}),
)

REQUESTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("contacts", {"transaction": "t"}),
    ("history", {"limit": 3}),
    ("health", {}),
    ("questions", {}),
    ("login", {}),
    ("log_level", {"level": "debug"}),
    ("assign", {"user": "nobody", "topic": "somebody"}),
    ("media", {"id": "nothing"}),
    ("mark_read", {"user": "nobody"}),
    ("set_remark", {"user": "nobody", "remark": "x"}),
    ("group", {"action": "create", "members": ["nobody"]}),
    ("recall", {"user": "nobody", "message_id": "1"}),
    ("accept_friend", {"id": "nothing"}),
    ("reload", {}),
    ("unknown", {}),
    ("history", {"colour": "red"}),
)

ILINK_KINDS = ("text", "image", "file", "video", "voice", "several", "quote", "quote_id", "unknown")
WECOM_KINDS = ("text", "image", "mixed", "voice", "file", "video", "quote", "unknown")

# A file is fetched only when it is asked for: else the speed of the machine decides what stands in its message.
ACCOUNT: dict[str, Any] = {"plain": True, "media": {"download": False}}

EXTRAS: dict[str, Any] = {
    "homeassistant": {"enabled": True, "expose": ["wife", "family", "me"]},
    "web": {"url": "https://bridge.example.org"},
}


async def record_webwx(folder: Path) -> str:
    async with at_home(folder) as home:
        home.bridge.configure(home.settings(ACCOUNT, **_extras("wife", "family")))
        await home.log_in()
        for kind in all_kinds():
            await home.control.say(
                "wife", "写在里面" if kind in {"text", "html", "system"} else "", kind=kind
            )
        await home.control.say("wife", "在群里", to="family")
        await home.control.say("me", "备忘", to="filehelper")
        await _write_last(home, lambda text: home.control.say("wife", text), "wife")
        return await _finish(home, "wife")


async def record_ilink(folder: Path) -> str:
    async with at_ilink_home(folder) as home:
        home.bridge.configure(home.settings(ACCOUNT, **_extras("me")))
        await home.log_in()
        await home.bot.write("the first message opens the window")
        discovery = "homeassistant/device/wx2mqtt_home/config"
        await home.in_thread(home.subscriber.wait, discovery, lambda message: b"window_me" in message.payload)
        await home.send_command("me", {"text": "a text that is quoted", "id": "quoted"})
        for kind in ILINK_KINDS:
            await home.bot.write("写在里面", kind=kind)
        await _write_last(home, home.bot.write, "me")
        return await _finish(
            home, "me", before_each=lambda: home.bot.write("a message opens the window again")
        )


async def record_wecom(folder: Path) -> str:
    async with at_wecom_home(folder) as home:
        home.bridge.configure(home.settings(ACCOUNT, **_extras("me", "family")))
        await home.log_in()
        await home.send_command("me", {"text": "a text that is quoted", "id": "quoted"})
        for kind in WECOM_KINDS:
            await home.bot.write("写在里面", kind=kind)
        await _write_last(home, home.bot.write, "me")
        return await _finish(home, "me")


def _extras(*exposed: str) -> dict[str, Any]:
    return {**EXTRAS, "homeassistant": {"enabled": True, "expose": list(exposed)}}


async def _write_last(home: Home, write: Callable[[str], Awaitable[Any]], user: str) -> None:
    """Lets a person write a last text and waits for it: all before it are published by then."""
    await write("the last one")
    await home.body(f"wx/in/{user}", text="the last one")


async def _finish(home: Home, user: str, before_each: Callable[[], Awaitable[Any]] | None = None) -> str:
    """Gives all commands and requests, logs out and stops the bridge; returns all that was published."""
    for topic, payload in COMMANDS:
        if before_each is not None:
            await before_each()
        await home.send_command(topic.format(user), payload)
    for name, fields in REQUESTS:
        await home.send_request(name, fields)
    metrics = await _metrics(home)
    await home.send_request("logout")
    await home.body("wx/login/state", state="logged_out")
    await asyncio.to_thread(home.bridge.stop)
    await home.in_thread(
        home.subscriber.wait, "wx/bridge/state", lambda message: message.payload == b"offline"
    )
    return recorded_topics(home.subscriber.received, metrics)


async def _metrics(home: Home) -> list[str]:
    """Returns the lines of `/metrics` without their values."""
    line = await home.in_thread(home.bridge.wait_for_log, "web server runs")
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(f"{json.loads(line)['url']}/metrics")
    return [line if line.startswith("#") else line.rpartition(" ")[0] for line in answer.text.splitlines()]

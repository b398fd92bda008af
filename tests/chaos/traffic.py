"""People who write and automations that send commands, at random times, until the run stops them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import random
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tests.chaos.evidence import PublishedCommand

if TYPE_CHECKING:
    from tests.chaos.account import AccountDriver

MESSAGE_SECONDS, REQUEST_SECONDS = 0.05, 0.6
"""Between two messages or requests of an account, on average."""

BURST_SHARE, BURST_SIZE = 0.03, 30
"""The share of writes that are a burst, and the number of messages in a burst."""
FILE_SHARE = 0.08
WITHOUT_ID_SHARE = 0.1
AS_REQUEST_SHARE = 0.05

MAX_OPEN_COMMANDS = 25
"""A publisher waits while so many of its commands have no result."""
TTL_SECONDS = 900
REQUESTS = ("health", "contacts", "history")
RECEIVED_FILES = {
    "webwx": ("image", "image", "voice", "video", "sticker", "file", "location"),
    "ilink": ("image", "image", "voice", "video", "file"),
    "wecom": ("image", "image", "video", "file"),
}
"""The kinds of messages with a file; a location has a map."""
SENT_FILES = {
    "webwx": ("png", "png", "gif", "mp4", "bin"),
    "ilink": ("png", "png", "mp4", "bin"),
    "wecom": ("png", "png", "mp4", "bin"),
}
HEADS = {
    "png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x10\x00\x00\x00\x10\x08\x02\x00\x00\x00",
    "gif": b"GIF89a\x10\x00\x10\x00\x80\x00\x00",
    "mp4": b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom",
    "bin": b"\x00\x01",
}
SENT_KINDS = {"png": "image", "gif": "image", "mp4": "video", "bin": "file"}

RECEIVED_THROUGH = {
    "webwxgetmsgimg": "image",
    "webwxgetvoice": "voice",
    "webwxgetvideo": "video",
    "webwxgetmedia": "file",
    "webwxgetpubliclinkimg": "location",
    "cdn_download": "video",
    "wecom_file": "video",
}
"""The kind of a message whose file is fetched by an endpoint."""
SENT_THROUGH = {
    "webwxcheckupload": "mp4",
    "webwxuploadmedia": "bin",
    "webwxsendmsgimg": "png",
    "webwxsendvideomsg": "mp4",
    "webwxsendappmsg": "bin",
    "webwxsendemoticon": "gif",
    "getuploadurl": "png",
    "cdn_upload": "mp4",
    "aibot_upload_media_init": "png",
    "aibot_upload_media_chunk": "mp4",
    "aibot_upload_media_finish": "bin",
}
"""The extension of a file that is sent by an endpoint."""
AVATARS_THROUGH = {"webwxgeticon": ("wife", "mom", "lilei"), "webwxgetheadimg": ("family", "work")}
"""Whose avatar is fetched by an endpoint."""


class TrafficEnvironment(Protocol):
    """The accounts of a run, and its version of MQTT."""

    protocol: str

    @property
    def accounts(self) -> Sequence[AccountDriver]: ...


class Traffic:
    """The traffic of one run: all its texts are different. `pace` 2 is half as much."""

    def __init__(self, environment: TrafficEnvironment, rng: random.Random, pace: float = 1.0) -> None:
        self._environment = environment
        self._rng = rng
        self._pace = pace
        self._number = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Produces traffic for as long as the block lasts; what was begun is finished."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for account in self._environment.accounts:
                for chat in account.writers:
                    tasks.create_task(self._write(account, chat, stop))
                tasks.create_task(self._command(account, stop))
                tasks.create_task(self._request(account, stop))
            try:
                yield
            finally:
                stop.set()

    async def _write(self, account: AccountDriver, chat: str, stop: asyncio.Event) -> None:
        while not await wait_or_stop(stop, self._pace * MESSAGE_SECONDS * len(account.writers), self._rng):
            # An own picture would count as the echo of an attempt with a picture that had no answer.
            if self._rng.random() < FILE_SHARE and chat != "filehelper":
                await self.say_file(account, chat, self._rng.choice(RECEIVED_FILES[account.backend]))
            else:
                count = BURST_SIZE if self._rng.random() < BURST_SHARE else 1
                await account.say(
                    chat, f"{chat} {self._next()}/{{n}}" if count > 1 else self._text(chat), count
                )

    async def say_file(self, account: AccountDriver, chat: str, kind: str) -> None:
        """Lets a person send a file of this kind."""
        size = {} if kind == "location" else {"bytes_of": self._rng.randrange(200, 40_000)}
        await account.say(chat, "", kind=kind, **size)

    async def _command(self, account: AccountDriver, stop: asyncio.Event) -> None:
        while not await wait_or_stop(stop, self._pace * account.command_seconds, self._rng):
            if len(account.unanswered()) < MAX_OPEN_COMMANDS:
                await self.command(account, self._rng.choice(account.users))

    async def command(self, account: AccountDriver, user: str, extension: str = "") -> PublishedCommand:
        """Publishes a command of a random form; returns when the broker has acknowledged it.

        With an `extension` it sends a file.
        """
        number, chance = self._next(), self._rng.random()
        if not extension and chance < FILE_SHARE:
            extension = self._rng.choice(SENT_FILES[account.backend])
        if extension:
            data = HEADS[extension] + self._rng.randbytes(self._rng.randrange(100, 20_000))
            content = hashlib.sha256(data).hexdigest()
            body: dict[str, Any] = {
                "kind": SENT_KINDS[extension],
                "data": base64.b64encode(data).decode(),
                "name": f"{number}.{extension}",
            }
        else:
            content = f"to {user} {number}"
            body = {"text": content}
        body["ttl"] = TTL_SECONDS
        command = PublishedCommand(
            id=f"c{number}", user=user, content=content, publisher=account.publisher_name
        )
        has_responses = self._environment.protocol != "3.1.1"
        if has_responses and FILE_SHARE <= chance < FILE_SHARE + WITHOUT_ID_SHARE:
            command.id, command.correlation = "", f"c{number}".encode()
            reply = {"ResponseTopic": f"reply/{account.name}", "CorrelationData": command.correlation}
            await account.publish_command(command, f"out/{user}", json.dumps(body), **reply)
        elif chance > 1 - AS_REQUEST_SHARE:
            request = {"user": user, "transaction": f"t{number}", "id": command.id, **body}
            command.transaction = f"t{number}"
            await account.publish_command(command, "bridge/request/send", json.dumps(request))
        else:
            await account.publish_command(command, f"out/{user}", json.dumps({"id": command.id, **body}))
        return command

    async def plain_command(self, account: AccountDriver) -> PublishedCommand:
        """Publishes a text with an id."""
        number, user = self._next(), account.users[0]
        command = PublishedCommand(
            id=f"c{number}", user=user, content=f"to {user} {number}", publisher=account.publisher_name
        )
        body = {"id": command.id, "text": command.content, "ttl": TTL_SECONDS}
        await account.publish_command(command, f"out/{user}", json.dumps(body))
        return command

    async def _request(self, account: AccountDriver, stop: asyncio.Event) -> None:
        while not await wait_or_stop(stop, self._pace * REQUEST_SECONDS, self._rng):
            await self._ask(account, self._rng.choice(REQUESTS))

    async def _ask(self, account: AccountDriver, name: str, **fields: Any) -> None:
        transaction = f"t{self._next()}"
        account.requests[transaction] = name
        await account.ask(name, {"transaction": transaction, **fields})

    async def provoke(self, account: AccountDriver, endpoint: str) -> None:
        """Makes the bridge call an endpoint that the usual traffic seldom needs."""
        if endpoint in RECEIVED_THROUGH:
            chats = [chat for chat in account.writers if chat != "filehelper"]
            await self.say_file(account, self._rng.choice(chats), RECEIVED_THROUGH[endpoint])
        elif endpoint in SENT_THROUGH:
            await self.command(account, self._rng.choice(account.users), SENT_THROUGH[endpoint])
        elif endpoint in AVATARS_THROUGH:
            await self._ask(account, "media", avatar=self._rng.choice(AVATARS_THROUGH[endpoint]))

    def _text(self, chat: str) -> str:
        return f"{chat} {self._next()} ☀ <&>"

    def _next(self) -> int:
        self._number += 1
        return self._number


async def wait_or_stop(stop: asyncio.Event, mean_seconds: float, rng: random.Random) -> bool:
    """Waits for a random time; returns whether `stop` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(rng.expovariate(1 / mean_seconds)):
            await stop.wait()
    return stop.is_set()

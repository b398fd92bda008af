"""Traffic at 50 times the usual rate, with lost logins, restarts of the broker and failing calls.

The usual day of one account (`USUAL_PER_DAY`) is the one of a busy household.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from functools import partial

import httpx

from tests.soak.environment import FRIENDS, SoakEnvironment
from tests.soak.figures import SPEED
from tests.soak.traffic_record import TrafficRecord, poll_until
from wx2mqtt.simulator import samples

USUAL_PER_DAY = {
    "message": 1900,
    "picture": 90,
    "video": 10,
    "command": 180,
    "file command": 20,
    "request": 50,
    "recall": 20,
    "contact change": 10,
}
PAGE_READS_PER_DAY = 1440  # once a minute, as a monitor does; of the whole bridge

PICTURE_BYTES = 100_000
VIDEO_BYTES = 1_000_000
COMMAND_FILE_BYTES = 50_000

LOGOUT_SECONDS = 240.0  # between two lost logins, of one account after the other
BROKER_SECONDS = 600.0  # between two restarts of the broker
FAULT_SECONDS = 300.0  # between two failures of WeChat's servers
PROBE_SECONDS = 2.0
VIEWER_SECONDS = 60.0  # how long a browser shows the page
LOGIN_SECONDS = 120.0
SECONDS_PER_DAY = 86_400

WEBWX_FAULTS = (("synccheck", "reset"), ("webwxsync", "drop_answer"), ("webwxsync", "html"))
WECOM_FAULTS = (("aibot_send_msg", "drop_answer"), ("aibot_respond_msg", "reset"), ("wecom_connect", "reset"))
ILINK_FAULTS = (("getupdates", "reset"), ("getupdates", "drop_answer"), ("getupdates", "html"))
REQUESTS: tuple[tuple[str, dict[str, object]], ...] = (
    ("history", {"limit": 100}),
    ("history", {"text": "m1", "limit": 50}),
    ("contacts", {"limit": 50}),
    ("health", {}),
)
PATHS = ("/", "/metrics", "/healthz", "/accounts/home/contacts")

Action = Callable[[], Awaitable[None]]


class Traffic:
    """Runs until it is cancelled. An action that fails is counted in the record."""

    def __init__(self, environment: SoakEnvironment, record: TrafficRecord, seed: int) -> None:
        self._environment = environment
        self._record = record
        self._rng = random.Random(seed)
        self._online = {name: asyncio.Event() for name in ("home", "bot", *environment.control.wecom_bots)}
        self._recent_ids: list[str] = []
        self._page = httpx.AsyncClient(trust_env=False, timeout=30)
        self._file = samples.sample("image.jpg").ljust(COMMAND_FILE_BYTES, b"\0")

    async def log_in(self) -> None:
        """Waits until all accounts are online for the first time."""
        for account in self._online:
            await self._wait_online(account)
        self._page.base_url = httpx.URL(self._environment.page)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for account, actions in self._actions().items():
                for name, action in actions.items():
                    rate = USUAL_PER_DAY[name] * SPEED / SECONDS_PER_DAY
                    group.create_task(self._repeat(name, rate, action, self._online[account]))
            group.create_task(
                self._repeat("page", PAGE_READS_PER_DAY * SPEED / SECONDS_PER_DAY, self._read_page)
            )
            group.create_task(self._repeat("viewer", 1 / VIEWER_SECONDS, self._view_page))
            group.create_task(self._repeat("probe", 1 / PROBE_SECONDS, self._publish_probe))
            group.create_task(self._every(LOGOUT_SECONDS, self._lose_login))
            group.create_task(self._every(BROKER_SECONDS, self._restart_broker))
            group.create_task(self._every(FAULT_SECONDS, self._break_wechat))
            group.create_task(self._watch_sent("sent"))
            group.create_task(self._watch_sent("ilink/sent"))
            group.create_task(self._watch_sent("wecom/sent"))

    def _actions(self) -> dict[str, dict[str, Action]]:
        return {
            "home": {
                "message": self._say,
                "picture": partial(self._say_file, "image", PICTURE_BYTES),
                "video": partial(self._say_file, "video", VIDEO_BYTES),
                "command": partial(self._command, "wx/out/wife"),
                "file command": partial(self._command_file, "wx/out/wife/image"),
                "request": partial(self._request, "wx"),
                "recall": self._recall,
                "contact change": self._change_contact,
            },
            "bot": {
                "message": self._write,
                "picture": partial(self._write_file, "image", PICTURE_BYTES),
                "video": partial(self._write_file, "video", VIDEO_BYTES),
                "command": partial(self._command, "wx/bot/out/me"),
                "file command": partial(self._command_file, "wx/bot/out/me/image"),
                "request": partial(self._request, "wx/bot"),
            },
            **{
                bot_account: {
                    "message": partial(self._write_to, bot_account),
                    "picture": partial(self._write_file_to, bot_account, "image", PICTURE_BYTES),
                    "video": partial(self._write_file_to, bot_account, "video", VIDEO_BYTES),
                    "command": partial(self._command, f"wx/{bot_account}/out/me"),
                    "file command": partial(self._command_file, f"wx/{bot_account}/out/me/image"),
                    "request": partial(self._request, f"wx/{bot_account}"),
                }
                for bot_account in self._environment.control.wecom_bots
            },
        }

    async def _repeat(
        self, name: str, per_second: float, action: Action, ready: asyncio.Event | None = None
    ) -> None:
        """Repeats an action at random times."""
        while True:
            await asyncio.sleep(self._rng.expovariate(per_second))
            if ready is not None:
                await ready.wait()
            await self._attempt(name, action)

    async def _every(self, seconds: float, action: Callable[[int], Awaitable[None]]) -> None:
        number = 0
        while True:
            await asyncio.sleep(seconds)
            await self._attempt(action.__name__.strip("_"), partial(action, number))
            number += 1

    async def _attempt(self, name: str, action: Action) -> None:
        """Does an action; counts one that fails, since an answer may be too late on a busy machine."""
        try:
            await action()
        except (httpx.HTTPError, AssertionError, TimeoutError) as error:
            self._record.counts[f"trouble with {name}: {type(error).__name__}"] += 1

    # What people and automations do

    def _friend(self) -> str:
        return f"friend{self._rng.randint(1, FRIENDS)}" if self._rng.random() < 0.5 else "wife"

    async def _say(self) -> None:
        text = self._record.new_message("home")
        sender, to = (self._friend(), "me") if self._rng.random() < 0.8 else ("wife", "family")
        try:
            ids = await self._environment.control.say(sender, text, to=to)
        except BaseException:
            self._record.drop_message(text)
            raise
        self._recent_ids = [*self._recent_ids[-20:], *ids]

    async def _say_file(self, kind: str, size: int) -> None:
        self._record.counts["files of people"] += 1
        await self._environment.control.say(self._friend(), kind=kind, bytes_of=size)

    async def _write(self) -> None:
        text = self._record.new_message("bot")
        try:
            await self._environment.control.write(text)
        except BaseException:
            self._record.drop_message(text)
            raise

    async def _write_file(self, kind: str, size: int) -> None:
        self._record.counts["files of people"] += 1
        await self._environment.control.write(kind=kind, bytes_of=size)

    async def _write_to(self, bot_account: str) -> None:
        text = self._record.new_message(bot_account)
        try:
            await self._environment.control.write_to(bot_account, text=text)
        except BaseException:
            self._record.drop_message(text)
            raise

    async def _write_file_to(self, bot_account: str, kind: str, size: int) -> None:
        self._record.counts["files of people"] += 1
        await self._environment.control.write_to(bot_account, kind=kind, bytes_of=size)

    async def _recall(self) -> None:
        if self._recent_ids:
            self._record.counts["recalls"] += 1
            detail = {"msg_id": self._rng.choice(self._recent_ids)}
            await self._environment.control.say("wife", kind="recall", detail=detail)

    async def _change_contact(self) -> None:
        self._record.counts["contact changes"] += 1
        number = self._rng.randint(1, FRIENDS)
        nickname = f"好友{number} {self._rng.randint(1, 3)}"
        await self._environment.control.post("people", rename={"id": f"friend{number}", "nickname": nickname})

    async def _command(self, topic: str) -> None:
        command_id, text = self._record.new_command()
        self._environment.client.publish(topic, json.dumps({"id": command_id, "text": text}))

    async def _command_file(self, topic: str) -> None:
        self._record.counts["files of commands"] += 1
        unique = str(self._record.counts["files of commands"]).encode()
        self._environment.client.publish(topic, self._file + unique)

    async def _request(self, base: str) -> None:
        self._record.counts["requests"] += 1
        name, fields = self._rng.choice(REQUESTS)
        self._environment.client.publish(f"{base}/bridge/request/{name}", json.dumps(fields))

    async def _read_page(self) -> None:
        path = self._rng.choice(PATHS)
        answer = await self._page.get(path)
        self._record.counts[f"page {answer.status_code}"] += 1

    async def _view_page(self) -> None:
        """Reads the updates of the page for a while, as a browser does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(VIEWER_SECONDS), self._page.stream("GET", "/events") as events:
                async for _ in events.aiter_bytes():
                    self._record.counts["updates of the page"] += 1

    async def _publish_probe(self) -> None:
        self._environment.client.publish("soak", self._record.probe_payload())

    # Disruptions

    async def _lose_login(self, number: int) -> None:
        accounts = ["home", "bot", *self._environment.control.wecom_bots]
        account = accounts[number % len(accounts)]
        before = self._record.session(account)
        if not self._online[account].is_set() or not before:
            return
        self._online[account].clear()
        if account == "home":
            await self._environment.control.post("logout", retcode=1100 if number % 4 else 1101)
        elif account in self._environment.control.wecom_bots:
            await self._take_over(account)
        else:
            await self._environment.control.post("ilink/kill")
        self._record.record_lost_login(account)
        await self._wait_online(account, before)

    async def _take_over(self, bot_account: str) -> None:
        """Lets another program take a bot of WeCom over, and requests a login."""
        control = self._environment.control
        await control.post("wecom/takeover", bot=control.wecom_bots[bot_account])
        await poll_until(lambda: not self._record.session(bot_account), LOGIN_SECONDS)
        await control.post("wecom/settings", takeover_pause=0)
        self._environment.client.publish(f"wx/{bot_account}/bridge/request/login", "")

    async def _wait_online(self, account: str, before: str = "") -> None:
        """Waits until the bridge is online by another login and polls; then the account's traffic goes on."""
        try:
            await poll_until(lambda: self._record.session(account) not in ("", before), LOGIN_SECONDS)
            await self._environment.control.wait_polling(account)
        finally:
            self._online[account].set()

    async def _restart_broker(self, _number: int) -> None:
        self._record.counts["restarts of the broker"] += 1
        await asyncio.to_thread(self._environment.broker.restart)

    async def _break_wechat(self, number: int) -> None:
        self._record.counts["failures of WeChat"] += 1
        endpoint, kind = (WEBWX_FAULTS + ILINK_FAULTS + WECOM_FAULTS)[number % 9]
        await self._environment.control.post("fault", endpoint=endpoint, kind=kind)

    async def _watch_sent(self, what: str) -> None:
        """Records all that WeChat receives."""
        after = 0
        while True:
            try:
                lines = await self._environment.control.get(what, after=after, wait=20)
            except (httpx.HTTPError, AssertionError) as error:
                self._record.counts[f"trouble with {what}: {type(error).__name__}"] += 1
                continue
            for line in lines:
                if line.get("command", "send") == "send":  # no receipt of a bot of WeCom
                    self._record.sent(line["text"])
            after += len(lines)

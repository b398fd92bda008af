"""Drives an account on WeCom, and records what happens.

WeCom keeps no messages and gets no acknowledgement: `unstored_messages.py` says which ones may be lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from typing_extensions import override

from tests.chaos.account import AccountDriver
from tests.chaos.evidence import AccountEvidence
from tests.chaos.unstored_messages import ConnectionLog, WrittenMessage, unexplained_losses
from tests.support.deadlines import allowed

PEOPLE = ("me", "wife", "mom", "lilei", "hanmeimei")
GROUP = "family"
MEMBER = "mom"
"""Who writes in the group."""

WRONG_SECRET = 40001
STATE_SECONDS = 10.0
"""In this time after a take-over or a refusal the state says that a person must request the next login."""
LOGIN_SECONDS = 20.0
AGAIN_SECONDS = 2.0
"""A person requests the login again after this time: a broker that has lost the session keeps no request."""


class WeComDriver(AccountDriver):
    """`scanned`: the bot is created by a scan; else it is configured."""

    def __init__(self, *arguments: Any, scanned: bool, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.scanned = scanned
        self.part = "wecom/"
        self.writers = ("me", "wife", "mom", "lilei", GROUP)
        self.users = ("wife", "mom", "me", GROUP)
        self.question_chats = ("lilei", "hanmeimei", GROUP)
        self.levels = {chat: chat for chat in (*PEOPLE, GROUP)}
        self.command_seconds = 0.8  # a chat takes 20 a minute
        self.drain_seconds = 80.0
        self.recovery_seconds = 60.0  # connections that end within 30 s are made anew after 1, 2, 4 … 30 s
        self._handles: dict[str, str] = {}
        self._credentials: tuple[str, str] = ("", "")
        self._bot_id = ""

    @override
    async def prepare(self) -> None:
        state = await self.control.get("wecom/state")
        self._handles = state["handles"]
        if not self.scanned:
            self._credentials = next(iter(state["secrets"].items()))
            self._bot_id = self._credentials[0]
        await self.control.post("wecom/settings", autoscan="me", needs_first_message=False)

    @property
    @override
    def settings(self) -> dict[str, Any]:
        bot_id, secret = self._credentials
        return {
            **super().settings,
            "contacts": {name: {"wecom": self._handles[name]} for name in (*PEOPLE, GROUP)},
            "wecom": {} if self.scanned else {"bot_id": bot_id, "secret": secret},
        }

    async def _bot(self) -> str:
        """Returns the id of the bot; empty before the first scan."""
        if not self._bot_id:
            bots = (await self.control.get("wecom/state"))["bots"]
            self._bot_id = next((bot_id for bot_id, bot in bots.items() if bot["person"]), "")
        return self._bot_id

    # People

    @override
    async def write(self, chat: str, text: str, count: int = 1, **more: Any) -> str | None:
        bot_id = await self._bot()
        who = {"from": MEMBER, "to": GROUP} if chat == GROUP else {"from": chat}
        order = {"bot": bot_id, "text": text, "count": count, **who, **more}
        answer = await self.control.answer_to("wecom/say", **order) if bot_id else None
        return str(answer["msg_ids"][-1]) if answer else None

    @override
    async def press(self, question: str, chat: str, key: str) -> bool | None:
        cards = [line["card"] for line in await self._sent_lines() if _first_line(line) == question]
        if not cards or not cards[-1]:
            return None
        order = {"bot": self._bot_id, "from": chat, "task_id": cards[-1]["task_id"], "key": key}
        answer = await self.control.answer_to("wecom/press", **order)
        return bool(answer and answer["delivered"])

    # Servers

    @override
    async def log_out(self, retcode: int) -> None:
        """Lets another program take the bot over. The bridge must not connect until a person requests it.

        The bridge must be connected before: else it would not learn of it, and would take the bot back.
        """
        query = {"for": "online", "bot": await self._bot(), "seconds": LOGIN_SECONDS}
        await self.control.get("wecom/wait", **query)
        await self.control.post("wecom/takeover", bot=await self._bot())
        await self._environment.wait(lambda: self.state == "logged_out", allowed(STATE_SECONDS))
        await self.ask_for_login()

    async def refuse(self) -> None:
        """Lets WeCom refuse the credentials for a moment; the bridge must not subscribe again by itself."""
        bot_id = await self._bot()
        await self.control.post("wecom/bot", bot=bot_id, refuses=WRONG_SECRET)
        await self.control.post("wecom/kick", bot=bot_id)
        await self._environment.wait(lambda: self.state == "refused", allowed(LOGIN_SECONDS))
        await self.control.post("wecom/bot", bot=bot_id, refuses=0)
        await self.ask_for_login()

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        return await self._environment.wait(condition, seconds)

    async def end_connection(self) -> None:
        await self.control.post("wecom/kick", bot=await self._bot())

    async def ask_for_login(self) -> None:
        """Requests the login as a person; meanwhile the simulator does not check for loops."""
        await self.control.post("wecom/settings", takeover_pause=0, refusal_pause=0)
        until = time.monotonic() + allowed(LOGIN_SECONDS)
        while self.state != "online" and time.monotonic() < until:
            if self.state in ("logged_out", "refused", "interrupted"):
                await self.ask("login", {"transaction": f"login {time.monotonic()}"})
            await self._environment.wait(lambda: self.state == "online", AGAIN_SECONDS)
        await self.control.post("wecom/settings", takeover_pause=60, refusal_pause=60)

    # The record

    async def written(self) -> list[WrittenMessage]:
        """Returns the messages that people wrote to the bot."""
        bot_id = await self._bot()
        lines = (await self.control.get("wecom/feed"))["lines"]
        return [
            WrittenMessage(id=line["msg_id"], at=line["time"], lost=line["lost"])
            for line in lines
            if line["bot_id"] == bot_id and line["sender"] != "bot"
        ]

    async def connection_logs(self) -> list[ConnectionLog]:
        bot_id = await self._bot()
        return [
            ConnectionLog(active=log["active"], messages=log["messages"], answered=log["answered"])
            for log in await self.control.get("wecom/logs")
            if log["bot"] == bot_id
        ]

    async def _sent_lines(self) -> list[dict[str, Any]]:
        bot_id = await self._bot()
        lines = await self.control.get("wecom/sent")
        return [line for line in lines if line["bot_id"] == bot_id and line["command"] == "send"]

    @override
    async def missing_message_ids(self) -> set[str]:
        """Returns the ids of the messages that must come and did not yet.

        It returns none when a broker has lost messages.
        """
        if self._environment.broker_forgot:
            return set()
        moved = self._environment.clock_moved
        logs, said = await self.connection_logs(), await self.written()
        return {
            message.id
            for message in unexplained_losses(said, logs, self.gaps, self.message_ids, clock_moved=moved)
        }

    @override
    async def messages_of_ended_logins(self) -> set[str]:
        """Returns none: a file can be fetched by its address in any login."""
        return set()

    @override
    async def evidence(self, files: dict[str, tuple[str, str]]) -> AccountEvidence:
        bot_id = await self._bot()
        lines = (await self.control.get("wecom/feed"))["lines"]
        logs = await self.connection_logs()
        return await self.evidence_of(
            files,
            logs=[{"active": log.active, "messages": log.messages, "confirmed": 0} for log in logs],
            lines=[line for line in lines if line["bot_id"] == bot_id],
            sent=[
                {
                    "msg_id": line["msg_id"],
                    "text": "" if line["sha256"] else line["shown"],
                    "sha256": line["sha256"],
                    "delivered": True,
                }
                for line in await self._sent_lines()
            ],
            connections=logs,
            written=await self.written(),
        )


def _first_line(line: dict[str, Any]) -> str:
    return str(line["shown"]).partition("\n")[0]

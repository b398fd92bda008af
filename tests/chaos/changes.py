"""What automations ask a web account to change at WeChat: groups, remarks, friends, recalls, what is read."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from tests.chaos.evidence import GivenChange
from tests.chaos.traffic import paused

if TYPE_CHECKING:
    from tests.chaos.account import AccountDriver

CHANGE_SECONDS = 0.5
"""Between two changes of an account, on average."""

FOUNDERS = ("wife", "mom")
"""Who is in each new group; `GUEST` comes and goes."""
GUEST = "lilei"


class Changes:
    """The changes of one run. Each has a transaction of its own; names of groups and people occur once."""

    def __init__(self, accounts: Sequence[AccountDriver], dice: random.Random) -> None:
        self._accounts = [account for account in accounts if account.backend == "webwx"]
        self._dice = dice
        self._number = 0
        self._strangers: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        self._kinds: dict[str, Callable[[AccountDriver], Awaitable[None]]] = {
            "webwxcreatechatroom": self._create_group,
            "webwxupdatechatroom": self._change_group,
            "webwxoplog": self._set_remark,
            "webwxverifyuser": self._accept_friend,
            "webwxrevokemsg": self._recall,
            "webwxstatusnotify": self._mark_read,
        }

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Changes for as long as the block lasts."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for account in self._accounts:
                tasks.create_task(self._change(account, stop))
            try:
                yield
            finally:
                stop.set()

    async def provoke(self, account: AccountDriver, endpoint: str) -> None:
        """Asks for the change that makes the bridge call an endpoint, if there is one."""
        if endpoint in self._kinds:
            await self._kinds[endpoint](account)

    async def _change(self, account: AccountDriver, stop: asyncio.Event) -> None:
        while not await paused(stop, CHANGE_SECONDS, self._dice):
            await self.provoke(account, self._dice.choice([*self._kinds]))

    async def _create_group(self, account: AccountDriver) -> None:
        name = f"G{self._next()}"
        body = {"action": "create", "members": list(FOUNDERS), "name": name}
        await self._ask(account, "group", body, group=name)

    async def _change_group(self, account: AccountDriver) -> None:
        """Changes a group that exists already; without one it is created."""
        groups = [
            (change.group, data["user"])
            for change in account.changes
            if change.group and (data := account.answers.get(change.transaction, {}).get("data"))
        ]
        if not groups:
            await self._create_group(account)
            return
        name, user = self._dice.choice(groups)
        body = self._dice.choice(
            (
                {"action": "add", "members": [GUEST]},
                {"action": "remove", "members": [GUEST]},
                {"action": "rename", "name": f"{name} {self._next()}"},
            )
        )
        await self._ask(account, "group", {"user": user, **body})

    async def _set_remark(self, account: AccountDriver) -> None:
        await self._ask(account, "set_remark", {"user": GUEST, "remark": f"R{self._next()}"})

    async def _accept_friend(self, account: AccountDriver) -> None:
        """Accepts a stranger who has asked to become a friend before; then another one asks."""
        if strangers := self._strangers[account.name]:
            stranger, request_id = strangers.pop(0)
            await self._ask(account, "accept_friend", {"id": request_id}, friend=stranger)
        stranger = f"S{self._next()}"
        await account.control.post("people", add={"id": stranger, "nickname": stranger, "kind": "stranger"})
        asked = await account.control.post("say", **{"from": stranger, "to": "me", "kind": "friend_request"})
        account.event_ids.update(asked["msg_ids"])
        strangers.append((stranger, asked["msg_ids"][0]))

    async def _recall(self, account: AccountDriver) -> None:
        sent = account.sent_messages()
        if sent:
            user, message_id = self._dice.choice(sent[-20:])
            body = {"id": f"r{self._next()}", "message_id": message_id, "user": user}
            await self._ask(account, "recall", body)

    async def _mark_read(self, account: AccountDriver) -> None:
        await self._ask(account, "mark_read", {"user": self._dice.choice(account.users)})

    async def _ask(
        self, account: AccountDriver, name: str, body: dict[str, Any], *, group: str = "", friend: str = ""
    ) -> None:
        change = GivenChange(transaction=f"x{self._next()}", name=name, group=group, friend=friend)
        await account.change(change, json.dumps({"transaction": change.transaction, **body}))

    def _next(self) -> int:
        self._number += 1
        return self._number

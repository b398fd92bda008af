"""Requests of automations that change something on web WeChat: groups, remarks, friends, recalls, read marks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from tests.chaos.evidence import PublishedChange
from tests.chaos.traffic import wait_or_stop

if TYPE_CHECKING:
    from tests.chaos.account import AccountDriver

CHANGE_SECONDS = 0.5
"""Between two changes of an account, on average."""

MEMBERS = ("wife", "mom")
"""The members of each new group; `EXTRA_MEMBER` is added and removed."""
EXTRA_MEMBER = "lilei"


class Changes:
    """The changes of one run. All transactions and all names of groups and people differ."""

    def __init__(self, accounts: Sequence[AccountDriver], rng: random.Random) -> None:
        self._accounts = [account for account in accounts if account.backend == "webwx"]
        self._rng = rng
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
        """Requests changes for as long as the block lasts."""
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
        while not await wait_or_stop(stop, CHANGE_SECONDS, self._rng):
            await self.provoke(account, self._rng.choice([*self._kinds]))

    async def _create_group(self, account: AccountDriver) -> None:
        name = f"G{self._next()}"
        body = {"action": "create", "members": list(MEMBERS), "name": name}
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
        name, user = self._rng.choice(groups)
        body = self._rng.choice(
            (
                {"action": "add", "members": [EXTRA_MEMBER]},
                {"action": "remove", "members": [EXTRA_MEMBER]},
                {"action": "rename", "name": f"{name} {self._next()}"},
            )
        )
        await self._ask(account, "group", {"user": user, **body})

    async def _set_remark(self, account: AccountDriver) -> None:
        await self._ask(account, "set_remark", {"user": EXTRA_MEMBER, "remark": f"R{self._next()}"})

    async def _accept_friend(self, account: AccountDriver) -> None:
        """Accepts a stranger who has sent a friend request, and lets another one send one."""
        if strangers := self._strangers[account.name]:
            stranger, request_id = strangers.pop(0)
            await self._ask(account, "accept_friend", {"id": request_id}, friend=stranger)
        stranger = f"S{self._next()}"
        await account.control.post("people", add={"id": stranger, "nickname": stranger, "kind": "stranger"})
        request = await account.control.post(
            "say", **{"from": stranger, "to": "me", "kind": "friend_request"}
        )
        account.event_ids.update(request["msg_ids"])
        strangers.append((stranger, request["msg_ids"][0]))

    async def _recall(self, account: AccountDriver) -> None:
        sent = account.sent_messages()
        if sent:
            user, message_id = self._rng.choice(sent[-20:])
            body = {"id": f"r{self._next()}", "message_id": message_id, "user": user}
            await self._ask(account, "recall", body)

    async def _mark_read(self, account: AccountDriver) -> None:
        await self._ask(account, "mark_read", {"user": self._rng.choice(account.users)})

    async def _ask(
        self, account: AccountDriver, name: str, body: dict[str, Any], *, group: str = "", friend: str = ""
    ) -> None:
        change = PublishedChange(transaction=f"x{self._next()}", name=name, group=group, friend=friend)
        await account.change(change, json.dumps({"transaction": change.transaction, **body}))

    def _next(self) -> int:
        self._number += 1
        return self._number

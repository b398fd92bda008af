"""Requests that do something to one chat or person: `mark_read`, `set_remark`, `accept_friend`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from wx2mqtt.bridge import fields as read
from wx2mqtt.bridge.attempt import Attempt
from wx2mqtt.bridge.deeds.doing import Doer
from wx2mqtt.bridge.deeds.whom import Whom
from wx2mqtt.bridge.inbound import LOGIN
from wx2mqtt.bridge.people.identity import Changes, Identity
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import AcceptFriend, Json, MarkRead, SetRemark
from wx2mqtt.store.journal import Journal


class Contacts:
    """Carries them out. `save` stores what changed among the people."""

    def __init__(
        self,
        *,
        doer: Doer,
        whom: Whom,
        identity: Identity,
        journal: Journal,
        save: Callable[[Changes], Awaitable[None]],
    ) -> None:
        self._doer = doer
        self._whom = whom
        self._identity = identity
        self._journal = journal
        self._save = save

    async def mark_read(self, fields: dict[str, Json], attempt: Attempt) -> Json:
        """The owner has read the chat with `user`."""
        read.only(fields, "user")
        target = self._whom.allowed(read.level(fields, "user"))
        await self._doer.do("mark_read", MarkRead(chat=target.handle), attempt, again=True)
        return {"user": target.level}

    async def set_remark(self, fields: dict[str, Json], attempt: Attempt) -> Json:
        """`user` has another remark; the directory follows at once, whether WeChat tells of it or not."""
        read.only(fields, "user", "remark")
        target = self._whom.contact(read.level(fields, "user"))
        remark = read.name(fields, "remark", empty=True)
        login = self._identity.login_id
        action = SetRemark(person=target.handle, remark=remark)
        await self._doer.do("set_remark", action, attempt, again=True)
        if self._identity.login_id == login:
            await self._save(self._identity.heard(target.person.id, now_ms(), remark=remark))
        person = self._identity.get(target.person.id)
        return {"user": target.level if person is None else person.level, "remark": remark}

    async def accept_friend(self, fields: dict[str, Json], attempt: Attempt) -> Json:
        """Whoever asked in the event `id` is a friend; the event `contact_added` tells their topic."""
        read.only(fields, "id")
        event = read.text(fields, "id")
        self._whom.must_allow_everybody()
        request = await self._journal.event_private("friend_request", event)
        if request is None:
            raise BadCommand("unknown_id", "unknown_request_id", id=event)
        if request.pop(LOGIN, "") != self._identity.login_id:
            raise BadCommand("unknown_id", "old_request_id", id=event)
        await self._doer.do("accept_friend", AcceptFriend(request=request), attempt, again=True)
        return {"id": event}

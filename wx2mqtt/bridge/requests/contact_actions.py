"""The requests `mark_read`, `set_remark` and `accept_friend`: actions on a chat or a person."""

from __future__ import annotations

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.inbound_rows import LOGIN_EVENT
from wx2mqtt.bridge.journaled import RequestAttempt
from wx2mqtt.bridge.requests.action_runner import ActionRunner
from wx2mqtt.bridge.requests.action_targets import TargetResolver
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import AcceptFriend, Json, MarkRead, SetRemark
from wx2mqtt.mqtt import commands as read


class ContactActions:
    """Carries out the actions on contacts of one account, and stores the changed names."""

    def __init__(
        self,
        ctx: AccountContext,
        runner: ActionRunner,
        target_resolver: TargetResolver,
        inbound: InboundMessages,
    ) -> None:
        self._registry = ctx.registry
        self._journal = ctx.journal
        self._runner = runner
        self._target_resolver = target_resolver
        self._inbound = inbound

    async def mark_read(self, fields: dict[str, Json], attempt: RequestAttempt) -> Json:
        """`mark_read`: marks the chat with `user` as read."""
        read.reject_unknown_fields(fields, "user")
        target = self._target_resolver.allowed_target(read.read_level(fields, "user"))
        await self._runner.run_action("mark_read", MarkRead(chat=target.handle), attempt, repeatable=True)
        return {"user": target.level}

    async def set_remark(self, fields: dict[str, Json], attempt: RequestAttempt) -> Json:
        """`set_remark`: sets the remark of `user`, here too: WeChat may not report the change."""
        read.reject_unknown_fields(fields, "user", "remark")
        target = self._target_resolver.contact_target(read.read_level(fields, "user"))
        remark = read.read_name(fields, "remark", allow_empty=True)
        login = self._registry.login_id
        action = SetRemark(person=target.handle, remark=remark)
        await self._runner.run_action("set_remark", action, attempt, repeatable=True)
        if self._registry.login_id == login:
            await self._inbound.apply_people(
                self._registry.apply_rename(target.person.id, now_ms(), remark=remark)
            )
        person = self._registry.get(target.person.id)
        return {"user": target.level if person is None else person.level, "remark": remark}

    async def accept_friend(self, fields: dict[str, Json], attempt: RequestAttempt) -> Json:
        """`accept_friend`: accepts the request of the event `id`; `event/contact_added` has the topic."""
        read.reject_unknown_fields(fields, "id")
        event_id = read.read_text(fields, "id")
        self._target_resolver.require_unrestricted()
        request = await self._journal.private_event_fields("friend_request", event_id)
        if request is None:
            raise BadCommand("unknown_id", "unknown_request_id", id=event_id)
        if request.pop(LOGIN_EVENT, "") != self._registry.login_id:
            raise BadCommand("unknown_id", "old_request_id", id=event_id)
        await self._runner.run_action(
            "accept_friend", AcceptFriend(request=request), attempt, repeatable=True
        )
        return {"id": event_id}

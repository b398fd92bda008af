"""The table of requests that change something at WeChat: `mark_read`, `set_remark`, `accept_friend`, `group`.

`action_runner.py` finds out who is meant and carries the actions out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.inbound_rows import LOGIN_EVENT
from wx2mqtt.bridge.journaled import RequestAttempt
from wx2mqtt.bridge.recipients import GroupMemberIndex, Recipients
from wx2mqtt.bridge.requests.action_runner import ActionRunner, ActionTarget, TargetResolver
from wx2mqtt.bridge.requests.dispatcher import ActionHandler
from wx2mqtt.bridge.session import LoginSession
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import (
    AcceptFriend,
    ActionResult,
    AddMembers,
    Contact,
    CreateGroup,
    Handle,
    Json,
    MarkRead,
    Member,
    RemoveMembers,
    RenameGroup,
    SetRemark,
)
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
        login = self._registry.login_id
        target = self._target_resolver.allowed_target(read.read_topic_name(fields, "user"))
        action = MarkRead(chat=target.handle)
        await self._runner.run_action("mark_read", action, attempt, login_id=login, repeatable=True)
        return {"user": target.level}

    async def set_remark(self, fields: dict[str, Json], attempt: RequestAttempt) -> Json:
        """`set_remark`: sets the remark of `user`, here too: WeChat may not report the change."""
        read.reject_unknown_fields(fields, "user", "remark")
        login = self._registry.login_id
        target = self._target_resolver.contact_target(read.read_topic_name(fields, "user"))
        remark = read.read_name(fields, "remark", allow_empty=True)
        action = SetRemark(person=target.handle, remark=remark)
        await self._runner.run_action("set_remark", action, attempt, login_id=login, repeatable=True)
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
        request = await self._journal.history.private_event_fields("friend_request", event_id)
        if request is None:
            raise BadCommand("unknown_id", "unknown_request_id", id=event_id)
        login = request.pop(LOGIN_EVENT, "")
        if login != self._registry.login_id:
            raise BadCommand("unknown_id", "old_request_id", id=event_id)
        action = AcceptFriend(request=request)
        await self._runner.run_action("accept_friend", action, attempt, login_id=login, repeatable=True)
        return {"id": event_id}


GROUP_REQUEST = "group"

NOT_REPEATABLE = frozenset({"create", "add", "remove"})
"""Group actions that may do harm when they are done twice."""

MIN_OTHER_MEMBERS = 2
"""WeChat creates no group with fewer members besides the owner."""

GroupActionHandler = Callable[[dict[str, Json], RequestAttempt], Awaitable[Json]]


class GroupActions:
    """Carries out the actions on groups of one account, and stores new groups and changed names."""

    def __init__(
        self,
        ctx: AccountContext,
        runner: ActionRunner,
        target_resolver: TargetResolver,
        inbound: InboundMessages,
    ) -> None:
        self._registry = ctx.registry
        self._backend = ctx.backend
        self._runner = runner
        self._target_resolver = target_resolver
        self._inbound = inbound
        self._actions: dict[str, GroupActionHandler] = {
            "members": self._members,
            "create": self._create,
            "add": self._add,
            "remove": self._remove,
            "rename": self._rename,
        }

    async def group(self, fields: dict[str, Json], attempt: RequestAttempt) -> Json:
        """`group`: carries out the `action` of the request; without one, lists the members."""
        name = read.read_text(fields, "action", "members")
        action = self._actions.get(name)
        if action is None:
            raise BadCommand("bad_request", "bad_value", key="action", expected="a group action")
        if name in NOT_REPEATABLE and attempt.in_doubt:
            # Before any other check: the group may have changed because the action was done.
            raise BadCommand("no_answer", "perhaps_done")
        return await action(fields, attempt)

    async def _members(self, fields: dict[str, Json], _attempt: RequestAttempt) -> Json:
        read.reject_unknown_fields(fields, "user", "action", "limit", "offset")
        user = read.read_topic_name(fields, "user")
        limit = read.read_integer(fields, "limit")
        offset = read.read_integer(fields, "offset", 0) or 0
        login = self._registry.login_id
        group = self._target_resolver.known_target(user)
        self._target_resolver.require_group(group, user)
        members = await self._members_of(group, login, self._runner.deadline())
        end = None if limit is None else offset + limit
        shown: list[Json] = [self._member_body(member) for member in members[offset:end]]
        return {"user": group.level, "count": len(members), "members": shown}

    async def _create(self, fields: dict[str, Json], attempt: RequestAttempt) -> Json:
        read.reject_unknown_fields(fields, "action", "members", "name")
        login = self._registry.login_id
        people = [self._target_resolver.contact_target(user) for user in read.read_names(fields, "members")]
        people = list({target.handle: target for target in people}.values())
        if len(people) < MIN_OTHER_MEMBERS:
            raise BadCommand("bad_request", "group_too_small", fewest=MIN_OTHER_MEMBERS)
        name = read.read_name(fields, "name", allow_empty=True) if "name" in fields else ""
        action = CreateGroup(members=tuple(target.handle for target in people), name=name)
        result = await self._runner.run_action(
            GROUP_REQUEST, action, attempt, login_id=login, repeatable=False
        )
        body: dict[str, Json] = {"name": name, "refused": self._refused_levels(result, people)}
        if result.group is not None and self._registry.login_id == login:
            body = {"user": await self._add_group(result.group), **body}
        return body

    async def _add(self, fields: dict[str, Json], attempt: RequestAttempt) -> Json:
        read.reject_unknown_fields(fields, "user", "action", "members")
        login = self._registry.login_id
        group = self._target_resolver.group_target(read.read_topic_name(fields, "user"))
        people = [self._target_resolver.contact_target(user) for user in read.read_names(fields, "members")]
        action = AddMembers(group=group.handle, members=tuple(target.handle for target in people))
        result = await self._runner.run_action(
            GROUP_REQUEST, action, attempt, login_id=login, repeatable=False
        )
        refused = self._refused_levels(result, people)
        added: list[Json] = [target.level for target in people if target.level not in refused]
        return {"user": group.level, "added": added, "refused": refused}

    async def _remove(self, fields: dict[str, Json], attempt: RequestAttempt) -> Json:
        read.reject_unknown_fields(fields, "user", "action", "members")
        login = self._registry.login_id
        group = self._target_resolver.group_target(read.read_topic_name(fields, "user"))
        names = read.read_names(fields, "members")
        deadline = self._runner.deadline()
        members = GroupMemberIndex(self._registry, await self._members_of(group, login, deadline))
        handles = dict.fromkeys(_only_member(name, members) for name in names)
        action = RemoveMembers(group=group.handle, members=tuple(handles))
        await self._runner.run_action(
            GROUP_REQUEST, action, attempt, login_id=login, repeatable=False, deadline=deadline
        )
        return {"user": group.level, "removed": list(names)}

    async def _rename(self, fields: dict[str, Json], attempt: RequestAttempt) -> Json:
        read.reject_unknown_fields(fields, "user", "action", "name")
        login = self._registry.login_id
        group = self._target_resolver.group_target(read.read_topic_name(fields, "user"))
        name = read.read_name(fields, "name")
        action = RenameGroup(group=group.handle, name=name)
        await self._runner.run_action(GROUP_REQUEST, action, attempt, login_id=login, repeatable=True)
        if self._registry.login_id == login:
            await self._inbound.apply_people(
                self._registry.apply_rename(group.person.id, now_ms(), nickname=name)
            )
        person = self._registry.get(group.person.id)
        return {"user": group.level if person is None else person.level, "name": name}

    async def _members_of(self, group: ActionTarget, login: str, deadline: float) -> tuple[Member, ...]:
        members = await self._runner.query(
            GROUP_REQUEST,
            lambda: self._backend.list_members(group.handle),
            login_id=login,
            deadline=deadline,
        )
        if not members:
            raise BadCommand("refused_by_wechat", "members_unknown", user=group.level)
        return members

    def _member_body(self, member: Member) -> Json:
        """Returns the JSON of a member, in the form of the sender of a message."""
        is_owner = member.handle == self._registry.owner_handle
        person = None if is_owner else self._registry.by_handle(member.handle)
        name = (person.remark if person else "") or member.shown_name
        return {**({"user": person.level} if person else {}), "name": name, "self": is_owner}

    def _refused_levels(self, result: ActionResult, people: Iterable[ActionTarget]) -> list[Json]:
        return [target.level for target in people if target.handle in result.refused_members]

    async def _add_group(self, group: Contact) -> str:
        """Stores a new group and returns its topic level."""
        await self._inbound.apply_people(self._registry.add_group(group, now_ms()))
        person = self._registry.by_handle(group.handle)
        return "" if person is None else person.level


def _only_member(name: str, members: GroupMemberIndex) -> Handle:
    """Returns the one member who is called so. Raises `BadCommand` for nobody and for several."""
    handles = members.find(name)
    if not handles:
        raise BadCommand("unknown_user", "no_member", user=name)
    if len(handles) > 1:
        raise BadCommand("unknown_user", "several_members", user=name)
    return handles[0]


class ActionRequests:
    """The requests of one account that change something at WeChat."""

    def __init__(
        self, ctx: AccountContext, session: LoginSession, recipients: Recipients, inbound: InboundMessages
    ) -> None:
        self._capabilities = ctx.backend.capabilities
        self.runner = ActionRunner(ctx, session)
        target_resolver = TargetResolver(ctx, recipients)
        self._contacts = ContactActions(ctx, self.runner, target_resolver, inbound)
        self._groups = GroupActions(ctx, self.runner, target_resolver, inbound)

    def handlers(self) -> dict[str, ActionHandler]:
        """Returns the handlers by the name of their request."""
        able = self._capabilities
        actions = {
            "mark_read": (self._contacts.mark_read, MarkRead in able.actions),
            "set_remark": (self._contacts.set_remark, SetRemark in able.actions),
            "accept_friend": (self._contacts.accept_friend, AcceptFriend in able.actions),
            GROUP_REQUEST: (self._groups.group, able.has_groups),
        }
        return {
            name: ActionHandler(work if offered else partial(_refuse, name))
            for name, (work, offered) in actions.items()
        }


async def _refuse(name: str, _fields: dict[str, Json], _attempt: RequestAttempt) -> Json:
    """Rejects a request that this backend does not support, before its fields are checked."""
    raise BadCommand("unsupported", "unsupported_action", name=name)

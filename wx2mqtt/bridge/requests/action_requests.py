"""The requests that change something at WeChat: `mark_read`, `set_remark`, `accept_friend`, `group`.

    set_remark {"user": "lily", "remark": "Lily"}
        ->  `recipients.py` finds the handle of `lily`  ->  `action_runner.py` sets the remark at WeChat
        ->  the new remark is stored here, since WeChat may not report it

A handle is valid in one login only. So each request takes the login before it looks up handles
(`_RequestLogin`). In another login its action is not carried out, and nothing of the outcome is stored here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.inbound_rows import LOGIN_EVENT
from wx2mqtt.bridge.login_session import LoginSession
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.recipients import ActionTarget, GroupMemberIndex, Recipients
from wx2mqtt.bridge.requests.action_runner import ActionRunner
from wx2mqtt.bridge.requests.dispatcher import ActionHandler, BridgeRequest
from wx2mqtt.bridge.wechat_calls import WeChatCalls
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import (
    AcceptFriend,
    Action,
    ActionResult,
    AddMembers,
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

# WeChat creates no group with fewer members besides the owner.
MIN_OTHER_MEMBERS = 2

T = TypeVar("T")


class _RequestLogin:
    """The login in which a request looks up handles; in another one they mean nobody."""

    def __init__(self, runner: ActionRunner, registry: PeopleRegistry, request: BridgeRequest) -> None:
        self._runner = runner
        self._registry = registry
        self._request = request
        self.id = registry.login_id

    @property
    def is_current(self) -> bool:
        return self._registry.login_id == self.id

    async def run(self, action: Action) -> ActionResult:
        return await self._runner.run(self._request, action, login_id=self.id)

    async def query(self, work: Callable[[], Awaitable[T]]) -> T:
        return await self._runner.query(self._request, work, login_id=self.id)


class ActionRequests:
    def __init__(
        self,
        ctx: AccountContext,
        calls: WeChatCalls,
        session: LoginSession,
        recipients: Recipients,
        inbound: InboundMessages,
    ) -> None:
        self._registry = ctx.registry
        self._journal = ctx.journal
        self._backend = ctx.backend
        self._recipients = recipients
        self._inbound = inbound
        self.runner = ActionRunner(ctx, calls, session)

    def handlers(self) -> dict[str, ActionHandler]:
        capabilities = self._backend.capabilities
        actions = capabilities.actions
        return {
            "mark_read": ActionHandler(self._mark_read, MarkRead in actions),
            "set_remark": ActionHandler(self._set_remark, SetRemark in actions),
            "accept_friend": ActionHandler(self._accept_friend, AcceptFriend in actions),
            "group": ActionHandler(self._group, capabilities.has_groups and AddMembers in actions),
        }

    # Contacts

    async def _mark_read(self, request: BridgeRequest) -> Json:
        read.reject_unknown_fields(request.fields, "user")
        login = self._current_login(request)
        target = self._recipients.target(read.read_topic_name(request.fields, "user"))
        await login.run(MarkRead(chat=target.handle))
        return {"user": target.topic_name}

    async def _set_remark(self, request: BridgeRequest) -> Json:
        read.reject_unknown_fields(request.fields, "user", "remark")
        login = self._current_login(request)
        target = self._recipients.contact_target(read.read_topic_name(request.fields, "user"))
        remark = read.read_name(request.fields, "remark", allow_empty=True)
        await login.run(SetRemark(person=target.handle, remark=remark))
        if login.is_current:
            renamed = self._registry.apply_rename(target.person.id, now_ms(), remark=remark)
            await self._inbound.apply_people(renamed)
        return {"user": self._current_topic_name(target), "remark": remark}

    async def _accept_friend(self, request: BridgeRequest) -> Json:
        """Accepts the friend request of the event `id`; `event/contact_added` follows with the topic name."""
        read.reject_unknown_fields(request.fields, "id")
        event_id = read.read_text(request.fields, "id")
        self._recipients.require_unrestricted()
        friend_request = await self._journal.history.private_event_fields("friend_request", event_id)
        if friend_request is None:
            raise BadCommand("unknown_id", "unknown_request_id", id=event_id)
        login = self._current_login(request)
        if friend_request.pop(LOGIN_EVENT, "") != login.id:  # the login in which it came
            raise BadCommand("unknown_id", "old_request_id", id=event_id)
        await login.run(AcceptFriend(request=friend_request))
        return {"id": event_id}

    # Groups

    async def _group(self, request: BridgeRequest) -> Json:
        """Carries out the `action` of the request; without one, lists the members."""
        match read.read_text(request.fields, "action", "members"):
            case "members":
                return await self._list_members(request)
            case "rename":
                return await self._rename(request)
            case "create":
                work = self._create
            case "add":
                work = self._add
            case "remove":
                work = self._remove
            case _:
                raise BadCommand("bad_request", "bad_value", key="action", expected="a group action")
        if request.in_doubt:
            # Before all other checks: they may fail only because the action was done (`NOT_REPEATABLE`).
            raise BadCommand("no_answer", "perhaps_done")
        return await work(request)

    async def _list_members(self, request: BridgeRequest) -> Json:
        fields = request.fields
        read.reject_unknown_fields(fields, "user", "action", "limit", "offset")
        user = read.read_topic_name(fields, "user")
        limit = read.read_integer(fields, "limit")
        offset = read.read_integer(fields, "offset", 0) or 0
        login = self._current_login(request)
        group = self._recipients.group_target(user, must_be_allowed=False)
        members = await self._members_of(group, login)
        end = None if limit is None else offset + limit
        shown: list[Json] = []
        for member in members[offset:end]:  # in the form of the sender of a message
            is_owner = member.handle == self._registry.owner_handle
            person = None if is_owner else self._registry.by_handle(member.handle)
            name = (person.remark if person else "") or member.shown_name
            known: dict[str, Json] = {} if person is None else {"user": person.topic_name}
            shown.append({**known, "name": name, "self": is_owner})
        return {"user": group.topic_name, "count": len(members), "members": shown}

    async def _create(self, request: BridgeRequest) -> Json:
        fields = request.fields
        read.reject_unknown_fields(fields, "action", "members", "name")
        login = self._current_login(request)
        people = _each_once(self._contacts_in(fields))
        if len(people) < MIN_OTHER_MEMBERS:
            raise BadCommand("bad_request", "group_too_small", fewest=MIN_OTHER_MEMBERS)
        name = read.read_name(fields, "name", allow_empty=True) if "name" in fields else ""
        action = CreateGroup(members=tuple(target.handle for target in people), name=name)
        result = await login.run(action)
        body: dict[str, Json] = {"name": name, "refused": _refused_topic_names(result, people)}
        if result.group is None or not login.is_current:
            return body
        await self._inbound.apply_people(self._registry.add_group(result.group, now_ms()))
        person = self._registry.by_handle(result.group.handle)
        return {"user": "" if person is None else person.topic_name, **body}

    async def _add(self, request: BridgeRequest) -> Json:
        read.reject_unknown_fields(request.fields, "user", "action", "members")
        login = self._current_login(request)
        group = self._recipients.group_target(read.read_topic_name(request.fields, "user"))
        people = self._contacts_in(request.fields)
        action = AddMembers(group=group.handle, members=tuple(target.handle for target in people))
        result = await login.run(action)
        refused = _refused_topic_names(result, people)
        added: list[Json] = [target.topic_name for target in people if target.topic_name not in refused]
        return {"user": group.topic_name, "added": added, "refused": refused}

    async def _remove(self, request: BridgeRequest) -> Json:
        read.reject_unknown_fields(request.fields, "user", "action", "members")
        login = self._current_login(request)
        group = self._recipients.group_target(read.read_topic_name(request.fields, "user"))
        names = read.read_names(request.fields, "members")
        members = GroupMemberIndex(self._registry, await self._members_of(group, login))
        handles = [_only_member(members, name) for name in names]
        each_once = tuple(dict.fromkeys(handles))
        await login.run(RemoveMembers(group=group.handle, members=each_once))
        return {"user": group.topic_name, "removed": list(names)}

    async def _rename(self, request: BridgeRequest) -> Json:
        read.reject_unknown_fields(request.fields, "user", "action", "name")
        login = self._current_login(request)
        group = self._recipients.group_target(read.read_topic_name(request.fields, "user"))
        name = read.read_name(request.fields, "name")
        await login.run(RenameGroup(group=group.handle, name=name))
        if login.is_current:
            renamed = self._registry.apply_rename(group.person.id, now_ms(), nickname=name)
            await self._inbound.apply_people(renamed)
        return {"user": self._current_topic_name(group), "name": name}

    # What several of them need

    def _current_login(self, request: BridgeRequest) -> _RequestLogin:
        return _RequestLogin(self.runner, self._registry, request)

    async def _members_of(self, group: ActionTarget, login: _RequestLogin) -> tuple[Member, ...]:
        members = await login.query(lambda: self._backend.list_members(group.handle))
        if not members:
            raise BadCommand("refused_by_wechat", "members_unknown", user=group.topic_name)
        return members

    def _contacts_in(self, fields: dict[str, Json]) -> list[ActionTarget]:
        return [self._recipients.contact_target(user) for user in read.read_names(fields, "members")]

    def _current_topic_name(self, target: ActionTarget) -> str:
        """Returns the topic name, which the rename may have changed."""
        person = self._registry.get(target.person.id)
        return target.topic_name if person is None else person.topic_name


def _refused_topic_names(result: ActionResult, people: Iterable[ActionTarget]) -> list[Json]:
    return [target.topic_name for target in people if target.handle in result.refused_members]


def _each_once(people: Iterable[ActionTarget]) -> list[ActionTarget]:
    """Returns the people in their order; two topic names may mean one person."""
    by_handle = {target.handle: target for target in people}
    return [*by_handle.values()]


def _only_member(members: GroupMemberIndex, name: str) -> Handle:
    """Returns the member of this name. Raises `BadCommand` where it is nobody, or several."""
    matches = members.find(name)
    if len(matches) != 1:
        raise BadCommand("unknown_user", "several_members" if matches else "no_member", user=name)
    return matches[0]

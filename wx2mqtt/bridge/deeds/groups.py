"""`request/group`: who is in a group, and what can be done to it (webwx 2.19)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from wx2mqtt.bridge import fields as read
from wx2mqtt.bridge.attempt import Attempt
from wx2mqtt.bridge.deeds.doing import Doer
from wx2mqtt.bridge.deeds.whom import Target, Whom
from wx2mqtt.bridge.people.identity import Changes, Identity
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import (
    AddMembers,
    Contact,
    CreateGroup,
    Done,
    Handle,
    Json,
    Member,
    RemoveMembers,
    RenameGroup,
)
from wx2mqtt.wechat.gateway import Gateway

GROUP = "group"
ONCE = frozenset({"create", "add", "remove"})  # what may do harm when it is done twice
FEWEST = 2  # others without whom WeChat makes no group

Action = Callable[[dict[str, Json], Attempt], Awaitable[Json]]


class Groups:
    """Carries it out. `save` stores what changed among the people."""

    def __init__(
        self,
        *,
        doer: Doer,
        whom: Whom,
        identity: Identity,
        gateway: Gateway,
        save: Callable[[Changes], Awaitable[None]],
    ) -> None:
        self._doer = doer
        self._whom = whom
        self._identity = identity
        self._gateway = gateway
        self._save = save
        self._actions: dict[str, Action] = {
            "members": self._members,
            "create": self._create,
            "add": self._add,
            "remove": self._remove,
            "rename": self._rename,
        }

    async def group(self, fields: dict[str, Json], attempt: Attempt) -> Json:
        """Do the `action`; without one, tell the members."""
        name = read.text(fields, "action", "members")
        action = self._actions.get(name)
        if action is None:
            raise BadCommand("bad_request", "bad_value", key="action", expected="a group action")
        if name in ONCE and attempt.in_doubt:  # before anything else: it may be done, whatever is so by now
            raise BadCommand("no_answer", "perhaps_done")
        return await action(fields, attempt)

    async def _members(self, fields: dict[str, Json], _attempt: Attempt) -> Json:
        read.only(fields, "user", "action", "limit", "offset")
        user = read.level(fields, "user")
        limit, offset = read.whole(fields, "limit"), read.whole(fields, "offset", 0) or 0
        group = self._whom.anybody(user)
        self._whom.must_be_group(group, user)
        members = await self._members_of(group, self._doer.deadline())
        end = None if limit is None else offset + limit
        shown: list[Json] = [self._described(one) for one in members[offset:end]]
        return {"user": group.level, "count": len(members), "members": shown}

    async def _create(self, fields: dict[str, Json], attempt: Attempt) -> Json:
        read.only(fields, "action", "members", "name")
        people = [self._whom.contact(user) for user in read.names(fields, "members")]
        people = list({one.handle: one for one in people}.values())
        if len(people) < FEWEST:
            raise BadCommand("bad_request", "group_too_small", fewest=FEWEST)
        name = read.name(fields, "name", empty=True) if "name" in fields else ""
        login = self._identity.login_id
        action = CreateGroup(members=tuple(one.handle for one in people), name=name)
        done = await self._doer.do(GROUP, action, attempt, again=False)
        body: dict[str, Json] = {"name": name, "refused": self._refused(done, people)}
        if done.group is not None and self._identity.login_id == login:
            body = {"user": await self._found(done.group), **body}
        return body

    async def _add(self, fields: dict[str, Json], attempt: Attempt) -> Json:
        read.only(fields, "user", "action", "members")
        group = self._whom.group(read.level(fields, "user"))
        people = [self._whom.contact(user) for user in read.names(fields, "members")]
        action = AddMembers(group=group.handle, members=tuple(one.handle for one in people))
        done = await self._doer.do(GROUP, action, attempt, again=False)
        refused = self._refused(done, people)
        added: list[Json] = [one.level for one in people if one.level not in refused]
        return {"user": group.level, "added": added, "refused": refused}

    async def _remove(self, fields: dict[str, Json], attempt: Attempt) -> Json:
        read.only(fields, "user", "action", "members")
        group = self._whom.group(read.level(fields, "user"))
        names, until = read.names(fields, "members"), self._doer.deadline()
        members = await self._members_of(group, until)
        handles = tuple(self._member(name, members) for name in names)
        action = RemoveMembers(group=group.handle, members=handles)
        await self._doer.do(GROUP, action, attempt, again=False, until=until)
        return {"user": group.level, "removed": list(names)}

    async def _rename(self, fields: dict[str, Json], attempt: Attempt) -> Json:
        read.only(fields, "user", "action", "name")
        group = self._whom.group(read.level(fields, "user"))
        name, login = read.name(fields, "name"), self._identity.login_id
        action = RenameGroup(group=group.handle, name=name)
        await self._doer.do(GROUP, action, attempt, again=True)
        if self._identity.login_id == login:
            await self._save(self._identity.heard(group.person.id, now_ms(), nickname=name))
        person = self._identity.get(group.person.id)
        return {"user": group.level if person is None else person.level, "name": name}

    async def _members_of(self, group: Target, until: float) -> tuple[Member, ...]:
        members = await self._doer.ask(GROUP, lambda: self._gateway.members(group.handle), until=until)
        if not members:
            raise BadCommand("refused_by_wechat", "members_unknown", user=group.level)
        return members

    def _described(self, member: Member) -> Json:
        """A member, as the sender of a message is described."""
        own = member.handle == self._identity.owner_handle
        person = None if own else self._identity.by_handle(member.handle)
        name = (person.remark if person else "") or member.shown
        return {**({"user": person.level} if person else {}), "name": name, "self": own}

    def _member(self, name: str, members: Iterable[Member]) -> Handle:
        """Whom of a group a name means: whose topic it is, else whom the group shows by it."""
        person = self._identity.by_level(name)
        if person is None:
            found = [one.handle for one in members if name in {one.display_name, one.nickname}]
        else:
            found = [one.handle for one in members if one.handle == person.handle]
        if not found:
            raise BadCommand("unknown_user", "no_member", user=name)
        if len(found) > 1:
            raise BadCommand("unknown_user", "several_members", user=name)
        return found[0]

    def _refused(self, done: Done, people: Iterable[Target]) -> list[Json]:
        return [one.level for one in people if one.handle in done.refused]

    async def _found(self, group: Contact) -> str:
        """The topic level of a new group."""
        await self._save(self._identity.founded(group, now_ms()))
        person = self._identity.by_handle(group.handle)
        return "" if person is None else person.level

"""The requests that change something at WeChat, with a real store and a fake backend."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.unit.bridge.commands_harness import (
    CAPABILITIES,
    OWNER,
    ChangeSignal,
    CommandsHarness,
    person,
    running,
)
from tests.unit.bridge.contexts import NO_LIMITS
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.bridge.recipients import Recipients
from wx2mqtt.bridge.requests.action_requests import ActionRequests
from wx2mqtt.bridge.requests.action_runner import ActionRunner
from wx2mqtt.errors import LoggedOut
from wx2mqtt.model import (
    AcceptFriend,
    Action,
    ActionResult,
    AddMembers,
    ChatKind,
    Contact,
    CreateGroup,
    Draft,
    Handle,
    LoginState,
    MarkRead,
    Member,
    Receipt,
    RemoveMembers,
    RenameGroup,
    SendKey,
    SetRemark,
)
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.mqtt.payloads import REQUEST_CODES
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.records import NewEvent

ALL = frozenset({MarkRead, SetRemark, AcceptFriend, CreateGroup, AddMembers, RemoveMembers, RenameGroup})
FAMILY = person(6, "family", kind=ChatKind.GROUP, handle=Handle("@@family"), remark="", nickname="一家人")
PEOPLE = (
    person(1, "wife", nickname="晓梅"),
    person(2, "mom", nickname="妈", remark="妈妈"),
    person(3, "filehelper"),
    person(4, "lost", handle=None, closed=True),
    person(5, "gone", removed=True),
    FAMILY,
    person(7, "news", kind=ChatKind.OFFICIAL),
    person(8, "lilei", remark="", nickname="李雷"),
    person(9, "stranger", remark="", stranger=True),
)
MEMBERS = (
    Member(handle=OWNER.handle, nickname="我"),
    Member(handle=Handle("@wife"), nickname="晓梅"),
    Member(handle=Handle("@aunt"), nickname="三姨"),
    Member(handle=Handle("@one"), nickname="小明", display_name="明明"),
    Member(handle=Handle("@two"), nickname="小明"),
)

Outcome = ActionResult | Exception


class FakeActionBackend:
    """A backend that does every action, unless `answer` has scripted something else for its type."""

    has_connection = True

    def __init__(self, changes: ChangeSignal) -> None:
        self.capabilities = replace(CAPABILITIES, actions=ALL)
        self.done: list[tuple[Action, SendKey]] = []
        self.sent: list[str] = []
        self.answers: dict[type[Action | Draft], deque[Outcome]] = {}
        self.members: tuple[Member, ...] | Exception = MEMBERS
        self.held: asyncio.Event | None = None
        self.at_once = self.at_most = 0
        self._changes = changes

    def answer(self, action: type[Action | Draft], *outcomes: Outcome) -> None:
        self.answers.setdefault(action, deque()).extend(outcomes)

    @property
    def actions(self) -> list[Action]:
        return [action for action, _ in self.done]

    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        self.done.append((action, key))
        self._changes.notify()
        self.at_once += 1
        self.at_most = max(self.at_most, self.at_once)
        try:
            if self.held is not None:
                await self.held.wait()
        finally:
            self.at_once -= 1
        script = self.answers.get(type(action))
        outcome = script.popleft() if script else ActionResult()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def send(self, draft: Draft, _key: SendKey) -> Receipt:
        self.sent.append(draft.text)
        self._changes.notify()
        script = self.answers.get(type(draft))
        if script and isinstance(outcome := script.popleft(), Exception):
            raise outcome
        return Receipt(message_id=f"m{len(self.sent)}")

    async def list_members(self, _group: Handle) -> tuple[Member, ...]:
        if isinstance(self.members, Exception):
            raise self.members
        return self.members


@dataclass
class RequestHarness:
    """The action requests of an account; `session` says whether it is logged in, `saved` has changes of people."""

    harness: CommandsHarness
    wechat: FakeActionBackend
    runner: ActionRunner
    session: Any
    saved: list[PeopleUpdate] = field(default_factory=list)

    @property
    def logged_out(self) -> list[LoggedOut]:
        return self.harness.logged_out

    async def save(self, changes: PeopleUpdate) -> None:
        self.saved.append(changes)

    async def ask(self, name: str, /, **fields: Any) -> dict[str, Any]:
        """Delivers a request and returns its answer."""
        return await self.answer(self.deliver(name, **fields))

    def deliver(self, name: str, /, **fields: Any) -> Delivery:
        """Delivers a request and does not wait for its answer."""
        payload = json.dumps({**fields, "transaction": len(self.harness.broker.published)})
        return self.harness.deliver(payload, topic=f"wx/bridge/request/{name}")

    async def answer(self, delivery: Delivery) -> dict[str, Any]:
        """Returns the answer to a delivered request, once it is acknowledged."""
        await self.harness.wait_for_puback(delivery)
        transaction = json.loads(delivery.payload)["transaction"]
        topic = delivery.topic.replace("/request/", "/response/")
        answers = await self.harness.changes.wait_until(
            lambda: [body for body in self.harness.bodies_on(topic) if body.pop("transaction") == transaction]
        )
        return dict(answers[-1])

    async def record_friend_request(self, key: str, login: str = "login") -> None:
        """Stores a friend request that was received in this login."""
        request = NewEvent(
            key=key,
            topic="wx/event/friend_request",
            user="",
            name="friend_request",
            time=1,
            body={},
            private={"ticket": "v2_x", "login": login},
        )
        await self.harness.journal.received.record([request], NO_CHANGES, None, "login")

    def topic_name_of(self, handle: str) -> str:
        """Returns the topic name of the person with this handle."""
        found = self.harness.registry.by_handle(Handle(handle))
        assert found is not None
        return found.topic_name

    def people_events(self) -> list[tuple[str, str]]:
        """Returns name and user of each event about changes of people."""
        return [(event.name, event.user) for changes in self.saved for event in changes.events]


@asynccontextmanager
async def open_request_harness(
    folder: Path, *, allow: tuple[str, ...] = ("*",), **how: Any
) -> AsyncIterator[RequestHarness]:
    """Runs the components and registers the action requests, on the store in `folder`."""
    rules = NO_LIMITS.model_copy(update={"allow": allow})
    async with running(folder, people=PEOPLE, rules=rules, **how) as harness:
        harness.registry.apply_directory((), "login", OWNER, 0, complete=False)
        wechat = FakeActionBackend(harness.changes)
        ctx = harness.ctx
        ctx.backend = wechat  # type: ignore[assignment]
        people: Any = SimpleNamespace()
        session: Any = SimpleNamespace(logged_in=True, login=SimpleNamespace(state=LoginState.ONLINE))
        actions = ActionRequests(ctx, harness.calls, session, Recipients(ctx), people)
        harness.requests.register(actions.handlers())
        request_harness = RequestHarness(harness, wechat, actions.runner, session)
        people.apply_people = request_harness.save
        yield request_harness


NewGroup = Callable[..., Contact]


def new_group(name: str = "新群") -> Contact:
    """Returns the contact of a group that was created just now."""
    return Contact(handle=Handle("@@new"), kind=ChatKind.GROUP, nickname=name, members=MEMBERS[:3])


async def refused(request_harness: RequestHarness, name: str, **fields: Any) -> str:
    """Returns the error code of a rejected request, which did nothing at WeChat."""
    answer = await request_harness.ask(name, **fields)
    assert answer["status"] == "error", answer
    assert answer["code"] in REQUEST_CODES
    assert answer["error"]
    assert request_harness.wechat.done == []
    return str(answer["code"])

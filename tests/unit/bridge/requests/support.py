"""The requests that change something at WeChat, with a real store and a scripted WeChat."""

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

from tests.unit.bridge.contexts import NO_LIMITS
from tests.unit.bridge.outgoing import CAPABILITIES, OWNER, CommandsHarness, News, person, running
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


class WeChat:
    """The gateway: answers are scripted by the name of the action, in order; without a script it is done."""

    def __init__(self, news: News) -> None:
        self.capabilities = replace(CAPABILITIES, actions=ALL)
        self.done: list[tuple[Action, SendKey]] = []
        self.sent: list[str] = []
        self.answers: dict[type[Action | Draft], deque[Outcome]] = {}
        self.who: tuple[Member, ...] | Exception = MEMBERS
        self.held: asyncio.Event | None = None
        self.at_once = self.at_most = 0
        self._news = news

    def answer(self, action: type[Action | Draft], *outcomes: Outcome) -> None:
        self.answers.setdefault(action, deque()).extend(outcomes)

    @property
    def actions(self) -> list[Action]:
        return [action for action, _ in self.done]

    async def perform(self, action: Action, key: SendKey) -> ActionResult:
        self.done.append((action, key))
        self._news.tell()
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
        self._news.tell()
        script = self.answers.get(type(draft))
        if script and isinstance(outcome := script.popleft(), Exception):
            raise outcome
        return Receipt(message_id=f"m{len(self.sent)}")

    async def list_members(self, _group: Handle) -> tuple[Member, ...]:
        if isinstance(self.who, Exception):
            raise self.who
        return self.who


@dataclass
class RequestHarness:
    """`session` is what it is told of the login; `saved` is what changed among the people."""

    harness: CommandsHarness
    wechat: WeChat
    doer: ActionRunner
    session: Any
    saved: list[PeopleUpdate] = field(default_factory=list)

    @property
    def logged_out(self) -> list[LoggedOut]:
        return self.harness.logged_out

    async def save(self, changes: PeopleUpdate) -> None:
        self.saved.append(changes)

    async def ask(self, name: str, /, **fields: Any) -> dict[str, Any]:
        """The answer to a request."""
        return await self.answer(self.deliver(name, **fields))

    def deliver(self, name: str, /, **fields: Any) -> Delivery:
        """The broker delivers a request; nobody waits."""
        payload = json.dumps({**fields, "transaction": len(self.harness.broker.published)})
        return self.harness.deliver(payload, topic=f"wx/bridge/request/{name}")

    async def answer(self, delivery: Delivery) -> dict[str, Any]:
        """The answer to what was delivered, once it is acknowledged."""
        await self.harness.acknowledged(delivery)
        transaction = json.loads(delivery.payload)["transaction"]
        topic = delivery.topic.replace("/request/", "/response/")
        answers = await self.harness.news.until(
            lambda: [one for one in self.harness.received(topic) if one.pop("transaction") == transaction]
        )
        return dict(answers[-1])

    async def befriend(self, key: str, login: str = "login") -> None:
        """Somebody asked to become a friend, in that login."""
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

    def level(self, handle: str) -> str:
        """How the bridge calls somebody."""
        found = self.harness.identity.by_handle(Handle(handle))
        assert found is not None
        return found.topic_name

    def happened(self) -> list[tuple[str, str]]:
        """What was told of the people: name of the event, and whom it means."""
        return [(event.name, event.user) for changes in self.saved for event in changes.events]


@asynccontextmanager
async def open_room(
    folder: Path, *, allow: tuple[str, ...] = ("*",), **how: Any
) -> AsyncIterator[RequestHarness]:
    """Everything runs, on the store in `folder`."""
    rules = NO_LIMITS.model_copy(update={"allow": allow})
    async with running(folder, people=PEOPLE, rules=rules, **how) as harness:
        harness.identity.apply_directory((), "login", OWNER, 0, complete=False)
        wechat = WeChat(harness.news)
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
    """What WeChat says of a group that was made just now."""
    return Contact(handle=Handle("@@new"), kind=ChatKind.GROUP, nickname=name, members=MEMBERS[:3])


async def refused(request_harness: RequestHarness, name: str, **fields: Any) -> str:
    """Returns the error code of a rejected request, which did nothing at WeChat."""
    answer = await request_harness.ask(name, **fields)
    assert answer["status"] == "error", answer
    assert answer["code"] in REQUEST_CODES
    assert answer["error"]
    assert request_harness.wechat.done == []
    return str(answer["code"])

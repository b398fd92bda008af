"""A fake of the bridge for the page: a test sets what the page shows, and reads what the page did."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from wx2mqtt.bridge.account_view import PeoplePage
from wx2mqtt.bridge.bot_owner import BotOwnerState
from wx2mqtt.bridge.counters import AccountCounters, CallStatistics
from wx2mqtt.bridge.health import HealthSnapshot
from wx2mqtt.bridge.login_state import NEEDS, LoginStatus
from wx2mqtt.bridge.message_lines import FoundMessages, MessageLine
from wx2mqtt.bridge.people.directory import DirectoryEntry
from wx2mqtt.bridge.window_topics import WindowForecast
from wx2mqtt.errors import BadCommand, StoreError
from wx2mqtt.model import Button, ChatKind, Command, LoginState, Needs, PersonId, Result, SendKey, Status
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.command_records import CommandRow, CommandState
from wx2mqtt.store.question_records import AskedQuestion
from wx2mqtt.store.records import JournalStats
from wx2mqtt.store.traffic import HourCounts
from wx2mqtt.web.bridge_state import BridgeState

NOW = 1_795_600_800_000  # 2026-11-25T10:00:00Z
STATS = JournalStats(
    waiting_publications=0,
    oldest_publication=None,
    waiting_commands=0,
    oldest_command=None,
    set_aside=0,
    dropped=0,
    messages=3,
    failed_today=0,
)


def health_snapshot(**more: Any) -> HealthSnapshot:
    """Returns the snapshot of a healthy account; `stats` is a mapping that replaces some counts."""
    values: dict[str, Any] = {
        "now": NOW,
        "login": login(),
        "last_answer": NOW - 1500,
        "counters": AccountCounters(started=NOW - 60_000, connects=1, published=7, commands=3),
        "throttled": 0.0,
        "refused": (),
        "broker": "5",
        "store_size": 205_000,
        "store_limit": 2_000_000_000,
        **more,
    }
    stats = values.pop("stats", {})
    return HealthSnapshot(stats=replace(STATS, **stats), **values)


def login(state: LoginState = LoginState.ONLINE, **more: Any) -> LoginStatus:
    """Returns a login in that state."""
    return LoginStatus(**{"state": state, "needs": NEEDS[state], "since": NOW - 60_000, **more})


def line(**more: Any) -> MessageLine:
    """Returns the line of a text from 老婆."""
    usual: dict[str, Any] = {
        "time": "2026-11-25T09:59:00.000Z", "user": "wife", "chat": "老婆", "group": False, "sender": "老婆",
        "own": False, "kind": "text", "text": "开灯 ☀", "media": "",
    }  # fmt: skip
    return MessageLine(**{**usual, **more})


def command(result: Result | None = None, text: str = "Dinner is ready", **more: Any) -> CommandRow:
    """Returns the row of a command for 老婆, with its result where it has one."""
    values: dict[str, Any] = {
        "id": 1, "command": Command(user="wife", text=text), "command_id": "c1", "fingerprint": "", "person": None,
        "key": SendKey("1"), "accepted": NOW - 5000, "expires": None, "replies": (), "attempt_open": False, "unanswered": 0,
        "attempts": 0, "duplicate_possible": False, "result": result,
        "state": CommandState.WAITING if result is None else CommandState.FINISHED,
    }  # fmt: skip
    return CommandRow(**{**values, **more})


def question(**more: Any) -> AskedQuestion:
    """Returns an open question to 老婆."""
    values: dict[str, Any] = {
        "id": 1, "account": "home", "command": 1, "command_id": "door-7", "user": "wife", "person": PersonId(1),
        "text": "Lock the <b>door</b>?", "buttons": (Button(text="Yes", key="yes"), Button(text="No", key="no")),
        "anyone": False, "asked": NOW - 5000, "until": NOW + 60_000, "closed": None, "answer": "",
    }  # fmt: skip
    return AskedQuestion(**{**values, **more})


def result(
    status: Status = Status.SENT, code: str = "ok", message: str = "WeChat took the message"
) -> Result:
    """Returns the result of a command."""
    return Result(id="c1", user="wife", status=status, code=code, message=message, time=NOW)


def entry(user: str = "wife", **more: Any) -> DirectoryEntry:
    """Returns the directory entry of a friend."""
    values: dict[str, Any] = {
        "user": user, "kind": ChatKind.FRIEND, "name": user, "remark": "", "nickname": user, "matched_by": "remark",
        "trusted": False, "removed": False, "closed": False,
    }  # fmt: skip
    return DirectoryEntry(**{**values, **more})


class FakeAccountView:
    """An `AccountView` with the values that a test sets; `done` has the actions that were requested."""

    def __init__(self, name: str = "home", base: str = "wx") -> None:
        self.name = name
        self.topics = Topics(base)
        self.calls = CallStatistics()
        self.login = login()
        self.login_name = "王小明"
        self.test_recipient = "filehelper"
        self.has_contacts = True
        self.missing_safeguards = ""
        self.matches: list[MessageLine] = []
        self.had_login = True
        self.is_login_postponed = False
        self.bot_owner: BotOwnerState | None = None
        self.refusal: BadCommand | None = None
        self.qr_image = b""
        self.forecasts: dict[str, WindowForecast] = {}
        self.health: HealthSnapshot | Exception = health_snapshot()
        self.messages: list[MessageLine] = []
        self.rows: list[CommandRow] = []
        self.questions: list[AskedQuestion] = []
        self.hours: list[HourCounts] = []
        self.people: list[DirectoryEntry] = []
        self.done: list[tuple[str, ...]] = []
        self.reads = 0
        self.before_read: Callable[[], Awaitable[object]] | None = None
        self.broken: Exception | None = None

    async def snapshot(self) -> HealthSnapshot:
        await self._read()
        if isinstance(self.health, Exception):
            raise self.health
        return replace(self.health, login=self.login)

    async def recent_messages(self, limit: int) -> list[MessageLine]:
        await self._read()
        return self.messages[:limit]

    async def search_messages(self, text: str, before: int | None, limit: int) -> FoundMessages:
        await self._read()
        fits = [
            match for match in self.matches if text in match.text and (before is None or match.seq < before)
        ]
        return FoundMessages(lines=fits[:limit], has_more=len(fits) > limit)

    async def recent_commands(self, limit: int) -> list[CommandRow]:
        await self._read()
        return self.rows[:limit]

    async def last_hours(self, count: int) -> list[HourCounts]:
        await self._read()
        return self.hours[-count:]

    async def open_questions(self, limit: int) -> list[AskedQuestion]:
        await self._read()
        return self.questions[:limit]

    async def close_question(self, command_id: str) -> bool:
        await self._read()
        self.done.append(("close", command_id))
        return any(asked.asker.command_id == command_id for asked in self.questions)

    async def search_people(self, query: str, offset: int, limit: int) -> PeoplePage:
        found = [person for person in self.people if query.casefold() in person.name.casefold()]
        return PeoplePage(count=len(found), entries=found[offset : offset + limit])

    async def send(self, user: str, text: str, command_id: str) -> None:
        await self._read()
        self.done.append(("send", user, text, command_id))

    def request_login(self, *, new_owner: bool = False) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.done.append(("new_owner",) if new_owner else ("login",))

    async def confirm_bot(self, bot_id: str) -> None:
        await self._record_choice("confirm", bot_id)

    async def name_owner(self, user: str) -> None:
        await self._record_choice("owner", user)

    async def _record_choice(self, *choice: str) -> None:
        await self._read()
        if self.refusal is not None:
            raise self.refusal
        self.done.append(choice)

    def enter_verification_code(self, code: str) -> bool:
        self.done.append(("number", code))
        return self.login.needs is Needs.CODE

    async def log_out(self) -> None:
        self.done.append(("logout",))
        if self.before_read is not None:
            await self.before_read()

    async def _read(self) -> None:
        self.reads += 1
        if self.broken is not None:
            raise self.broken
        if self.before_read is not None:
            await self.before_read()

    def break_store(self) -> None:
        """Lets each further read fail."""
        self.broken = StoreError("the disk is away")


def bridge(*views: FakeAccountView, **more: Any) -> BridgeState:
    """Returns the state of a bridge with these accounts."""
    accounts: Any = views
    return BridgeState(accounts=lambda: accounts, **more)


async def wait_forever() -> None:
    """Never returns."""
    await asyncio.Event().wait()


class PageElements(HTMLParser):
    """The elements of a page with name, attributes and text, in the order of their start tags."""

    VOID = frozenset({"meta", "link", "input", "img", "br", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[int] = []
        self.feed(text)
        assert not self._open, f"never closed: {[self.found[index][0] for index in self._open]}"

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs), []))
        if tag not in self.VOID:
            self._open.append(len(self.found) - 1)

    def handle_endtag(self, tag):
        opened = self.found[self._open.pop()][0]
        assert opened == tag, f"<{opened}> is closed by </{tag}>"

    def handle_data(self, data):
        for index in self._open:
            self.found[index][2].append(data)

    def all(self, tag: str, **wanted: str) -> list[tuple[dict[str, str | None], str]]:
        """Returns attributes and text of the elements with these attributes; `class_` for class, `_` for `-`."""
        asked = {name.removesuffix("_").replace("_", "-"): value for name, value in wanted.items()}
        return [
            (attributes, "".join(text))
            for name, attributes, text in self.found
            if name == tag and asked.items() <= attributes.items()
        ]

    def text(self, tag: str, **wanted: str) -> str:
        """Returns the text of the only such element."""
        ((_, text),) = self.all(tag, **wanted)
        return text

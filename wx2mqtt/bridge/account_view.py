"""The operations on one account that the web page needs, without MQTT.

    view.send("wife", "Dinner is ready", "page-7")  ->  the same as a command on `out/wife`

A command from the page is validated and stored before it is carried out, as one from the broker is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.bot_owner import BotOwnerState
from wx2mqtt.bridge.commands.http_commands import CommandCalls
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.message_lines import FoundMessages, MessageLine, message_line
from wx2mqtt.bridge.people.directory import DirectoryEntry, is_in_a_name
from wx2mqtt.bridge.requests.history_request import HistoryRequest
from wx2mqtt.bridge.window_topics import WindowForecast
from wx2mqtt.clock import now_ms
from wx2mqtt.model import FILEHELPER
from wx2mqtt.store.command_records import CommandRow
from wx2mqtt.store.person_records import Person
from wx2mqtt.store.question_records import AskedQuestion
from wx2mqtt.store.records import HistoryQuery
from wx2mqtt.store.traffic import HourCounts
from wx2mqtt.values import frozen

# A search compares so many people at a time, in about a millisecond.
PEOPLE_BETWEEN_PAUSES = 500


@frozen
class PeoplePage:
    """A part of a search result."""

    #: How many people the whole result has.
    count: int
    entries: Sequence[DirectoryEntry]


class AccountView:
    """One account for the web page: its login, the owner of a bot, messages, commands, and people."""

    def __init__(self, account: Account) -> None:
        ctx = account.ctx
        self.name = ctx.name
        self.topics = ctx.topics
        #: How many calls to WeChat were made, and how they ended.
        self.calls = ctx.counters.calls
        #: Whether the backend knows contacts. If not, only the owner of the account writes to it.
        self.has_contacts = ctx.backend.capabilities.has_contacts
        #: Returns all facts about the health of the account. Raises `StoreError`.
        self.snapshot = account.components.snapshot
        self._ctx = ctx
        self._components = account.components
        self._session = account.components.session
        self._history = HistoryRequest(ctx.journal, ctx.registry, ctx.topics.contacts)

    # The login

    @property
    def login(self) -> LoginStatus:
        return self._session.login

    @property
    def login_name(self) -> str:
        """The name of the account that is logged in, else a topic name or id; empty before a login."""
        account = self._components.inbound.owner
        if account is None:
            return ""
        if account.nickname:
            return account.nickname
        if self.bot_owner is not None:
            return account.handle  # the id of the bot
        return self.test_recipient  # on iLink no login has a name: that of the person's chat with the bot

    @property
    def had_login(self) -> bool:
        """Whether an account has logged in before, so that another one is refused."""
        return self._components.owner.is_known

    @property
    def qr_image(self) -> bytes:
        """The PNG of the QR code to scan; empty without one."""
        return self._components.status.qr_image

    @property
    def is_login_postponed(self) -> bool:
        """Whether WeChat does not let the account in now, and `request_login` tries it at once."""
        return self._ctx.login_requests.is_postponed

    def request_login(self, *, new_owner: bool = False) -> None:
        """Shows a new QR code or tries a postponed login, like `request/login`. Raises `BadCommand`.

        Without effect while logged in, unless `new_owner`.
        """
        with self._ctx.in_log():
            self._ctx.login_requests.request_login(new_owner=new_owner)

    def enter_verification_code(self, code: str) -> bool:
        """Passes on the number that the phone shows; returns False when WeChat has not asked for one."""
        with self._ctx.in_log():
            return self._session.enter_verification_code(code)

    async def log_out(self) -> None:
        """Ends the login, like `request/logout`; returns when that is done."""
        with self._ctx.in_log():
            await self._ctx.login_requests.request_logout()

    # The owner of a bot, on WeCom

    @property
    def bot_owner(self) -> BotOwnerState | None:
        """What the operator has said of the bot and its owner; None on other backends."""
        return self._components.bot_owner.state

    async def confirm_bot(self, bot_id: str) -> None:
        """Stores that this bot is the operator's. Raises `BadCommand`, `StoreError`."""
        with self._ctx.in_log():
            await self._components.bot_owner.confirm(bot_id)

    async def name_owner(self, user: str) -> None:
        """Makes the person with this topic name the owner. Raises `BadCommand`, `StoreError`."""
        with self._ctx.in_log():
            await self._components.bot_owner.name(user)

    # Messages and traffic

    async def recent_messages(self, limit: int) -> list[MessageLine]:
        """Returns the newest messages, the newest first. Raises `StoreError`."""
        newest = await self.search_messages("", None, limit)
        return list(newest.lines)

    async def search_messages(self, text: str, before: int | None, limit: int) -> FoundMessages:
        """Returns the newest messages with this text, of those before the seq. Raises `StoreError`."""
        query = HistoryQuery(text=text, before=before, limit=limit)
        bodies, has_more = await self._history.find(query)
        return FoundMessages(lines=[message_line(body) for body in reversed(bodies)], has_more=has_more)

    async def last_hours(self, count: int) -> Sequence[HourCounts]:
        """Returns what came and was sent in each of the last hours, the oldest first. Raises `StoreError`."""
        return await self._ctx.journal.traffic.last_hours(count)

    @property
    def forecasts(self) -> Mapping[str, WindowForecast]:
        """The reply windows and what can be sent in them, by topic name."""
        return self._components.windows.forecasts

    # Commands

    async def send(self, user: str, text: str, command_id: str) -> None:
        """Sends a text like a command on `out/<user>`, with the same result topics. Raises `StoreError`."""
        with self._ctx.in_log():
            await self._components.intake.accept(user, {"text": text, "id": command_id})

    @property
    def test_recipient(self) -> str:
        """The topic name for test messages: the file helper, else the owner; empty if not known yet."""
        if self.has_contacts:
            return FILEHELPER
        handle = self._ctx.registry.owner_handle
        person = None if handle is None else self._ctx.registry.by_handle(handle)
        return "" if person is None else person.topic_name

    @property
    def missing_safeguards(self) -> str:
        """The key of the sentence about settings without which alarms are lost; empty if none is missing."""
        return self._ctx.settings.missing_safeguards

    async def recent_commands(self, limit: int) -> list[CommandRow]:
        """Returns the newest commands, the newest first. Raises `StoreError`."""
        return await self._ctx.journal.commands.list_newest(limit=limit)

    @property
    def command_calls(self) -> CommandCalls:
        """Accepts commands from the programs of `web.senders`."""
        return self._components.command_calls

    async def open_questions(self, limit: int) -> list[AskedQuestion]:
        """Returns the open questions of its commands, those asked last first. Raises `StoreError`."""
        return await self._ctx.journal.questions.list_open(now_ms(), limit)

    async def close_question(self, command_id: str) -> bool:
        """Lets nobody answer a question any more; returns False if it is not open. Raises `StoreError`."""
        is_closed = await self._ctx.journal.questions.close(command_id, now_ms())
        self._ctx.shared.changes.notify()
        return is_closed

    # People

    async def search_people(self, query: str, offset: int, limit: int) -> PeoplePage:
        """Returns people who match a query: those who need a decision first, removed ones last.

        There may be thousands: other tasks run meanwhile, and only those returned get an entry.
        """
        folded_query = query.casefold()
        people, problems = self._ctx.registry.people(), self._ctx.registry.pin_problems()
        matches: list[tuple[int, str]] = []
        for start in range(0, len(people), PEOPLE_BETWEEN_PAUSES):
            matches += [
                (_rank(person, person.id in problems), person.topic_name)
                for person in people[start : start + PEOPLE_BETWEEN_PAUSES]
                if is_in_a_name(folded_query, (person.topic_name, person.remark, person.nickname))
            ]
            await asyncio.sleep(0)
        matches.sort()
        users = [user for _, user in matches[offset : offset + limit]]
        entries = {entry.user: entry for entry in self._components.windows.directory_entries(users)}
        # Who got another name during a pause is found by the next search.
        return PeoplePage(count=len(matches), entries=[entries[user] for user in users if user in entries])


def _rank(person: Person, has_problem: bool) -> int:
    """Returns the place in the list of people; the smallest is first."""
    if person.closed or has_problem:
        return 0
    if person.removed or person.stranger:
        return 3
    return 1 if person.trusted else 2

"""The handlers of the requests `login`, `logout`, `contacts`, `assign`, `health`, `history` and `questions`.

`action_requests.py` has the requests that change something at WeChat, `bridge/media/media_request.py` has
`media`, and `app/application.py` those of the whole program (`log_level`, `reload`). A new request also needs
its schema, a row of `REQUEST_SCHEMAS` in `schemas/requests.py`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.login_session import LoginSession
from wx2mqtt.bridge.media.media_payloads import with_current_media
from wx2mqtt.bridge.people.directory import search_payload
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.requests.dispatcher import Handler, SizedHandler
from wx2mqtt.bridge.status_topics import StatusReporter
from wx2mqtt.bridge.window_topics import ReplyWindowTopics
from wx2mqtt.clock import now_ms, rfc3339
from wx2mqtt.errors import BadCommand
from wx2mqtt.limits import MAX_HISTORY_ANSWER_BYTES, MAX_HISTORY_MESSAGES, MAX_LISTED_QUESTIONS
from wx2mqtt.model import Json, Kind
from wx2mqtt.mqtt import commands as read
from wx2mqtt.mqtt.payloads import cut_payload, encode
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.question_records import AskedQuestion, buttons_to_json
from wx2mqtt.store.records import HistoryQuery, HistoryRow, MediaRow

DEFAULT_HISTORY_MESSAGES = 100

# How many messages are read from the journal at a time; each may contain a file as base64.
READ_BATCH_ROWS = 50

MessageBody = dict[str, Json]


class AccountRequests:
    """Handles the requests that one account answers without changing anything at WeChat."""

    def __init__(
        self,
        ctx: AccountContext,
        session: LoginSession,
        inbound: InboundMessages,
        windows: ReplyWindowTopics,
        reporter: StatusReporter,
    ) -> None:
        self._account = ctx.name
        self._registry = ctx.registry
        self._session = session
        self._login_requests = ctx.login_requests
        self._can_renew = ctx.backend.capabilities.login_seconds is not None
        self._renewal_requested = ctx.signals.renewal_requested
        self._inbound = inbound
        self._windows = windows
        self._reporter = reporter
        self._history = HistoryRequest(ctx.journal, ctx.registry, ctx.topics.contacts)
        self._questions = QuestionsRequest(ctx)

    def handlers(self) -> dict[str, Handler]:
        return {
            "login": self._log_in,
            "logout": self._log_out,
            "contacts": self._search_contacts,
            "assign": self._assign,
            "health": self._report_health,
            "history": SizedHandler(self._history.answer),
            "questions": self._questions.answer,
        }

    async def _log_in(self, fields: dict[str, Json]) -> Json:
        """Starts a login with a QR code, enters the `code` that the phone shows, or begins a renewal."""
        read.reject_unknown_fields(fields, "code", "new_owner", "renew")
        new_owner = read.read_flag(fields, "new_owner")
        if read.read_flag(fields, "renew"):
            if new_owner or "code" in fields:
                raise BadCommand("bad_request", "renew_alone")
            if not self._can_renew:
                raise BadCommand("unsupported", "unsupported_action", name="renew")
            self._renewal_requested.emit()
        elif "code" not in fields:
            self._login_requests.request_login(new_owner=new_owner)
        elif new_owner:
            raise BadCommand("bad_request", "code_or_new_owner")
        elif not self._session.enter_verification_code(read.read_digits(fields, "code")):
            raise BadCommand("bad_request", "no_code_asked")
        return self._session.login.body(self._account)

    async def _log_out(self, fields: dict[str, Json]) -> Json:
        read.reject_unknown_fields(fields)
        await self._login_requests.request_logout()
        return self._session.login.body(self._account)

    async def _search_contacts(self, fields: dict[str, Json]) -> Json:
        """Returns the people of a search. Changed windows are published first: answer and topics agree."""
        self._windows.publish_changes()
        return search_payload(self._windows.directory_entries(), fields)

    async def _assign(self, fields: dict[str, Json]) -> Json:
        """Applies the owner's decision that the person `to` is the same as the closed `user`."""
        read.reject_unknown_fields(fields, "user", "to")
        user, to = read.read_text(fields, "user"), read.read_text(fields, "to")
        changes = self._registry.assign(user, to, now_ms())
        await self._inbound.apply_people(changes)
        return {"user": user, "changed": [person.topic_name for person in changes.people.persons]}

    async def _report_health(self, fields: dict[str, Json]) -> Json:
        read.reject_unknown_fields(fields)
        return await self._reporter.health()


class HistoryRequest:
    """The request `history`: published messages again, for clients that were not connected.

    An answer has at most `MAX_HISTORY_MESSAGES` messages and fits into one packet of the broker; `more` says
    that there are further ones.
    """

    def __init__(self, journal: Journal, registry: PeopleRegistry, contacts_topic: str) -> None:
        self._journal = journal
        self._registry = registry
        self._contacts_topic = contacts_topic

    async def answer(self, fields: dict[str, Json], max_bytes: int | None) -> Json:
        """Returns messages in the order of `seq`, in `max_bytes`. Raises `BadCommand` and `StoreError`."""
        stream = self._journal.stream
        limit = MAX_HISTORY_ANSWER_BYTES if max_bytes is None else min(MAX_HISTORY_ANSWER_BYTES, max_bytes)
        frame_bytes = len(encode({"messages": [], "more": False, "stream": stream}))
        page = _HistoryPage(limit - frame_bytes, is_exact=True)
        more = await self._fill(page, self._parse_query(fields))
        messages: list[Json] = list(page.bodies)
        return {"messages": messages, "more": more, "stream": stream}

    async def find(self, query: HistoryQuery) -> tuple[list[MessageBody], bool]:
        """Returns the same messages for the page, and whether there are further ones."""
        page = _HistoryPage(MAX_HISTORY_ANSWER_BYTES, is_exact=False)
        more = await self._fill(page, query)
        return page.bodies, more

    async def _fill(self, page: _HistoryPage, query: HistoryQuery) -> bool:
        """Adds messages up to the limits of query and page; returns whether there are further ones.

        With `since` the oldest are added first, else the newest, so that the oldest ones are left out. The
        page has them in the order of `seq`.
        """
        is_forward = query.since is not None
        missing = query.limit
        more = True
        while more and missing and not page.full:
            rows, more = await self._journal.history.find(replace(query, limit=min(READ_BATCH_ROWS, missing)))
            if not rows:
                more = False
                break
            await self._add_rows(page, rows if is_forward else rows[::-1])
            missing -= len(rows)
            query = replace(query, since=rows[-1].seq) if is_forward else replace(query, before=rows[0].seq)
        if not is_forward:
            page.bodies.reverse()
        return bool(page.bodies) and (more or page.full)

    async def _add_rows(self, page: _HistoryPage, rows: Sequence[HistoryRow]) -> None:
        """Adds messages with the current state of their files, until the page is full."""
        media: defaultdict[str, list[MediaRow]] = defaultdict(list)
        for media_row in await self._journal.media.of_messages([row.message_id for row in rows]):
            media[media_row.message_id].append(media_row)
        for row in rows:
            if not page.full:
                page.add(with_current_media(row.payload, media[row.message_id]), len(row.payload))

    def _parse_query(self, fields: dict[str, Json]) -> HistoryQuery:
        read.reject_unknown_fields(fields, "since", "before", "user", "kind", "text", "limit", "stream")
        since = read.read_integer(fields, "since")
        stream = read.read_text(fields, "stream", "")
        if stream and stream != self._journal.stream:
            raise BadCommand("stream_changed", "stream_changed", stream=self._journal.stream)
        kind = read.read_text(fields, "kind", "")
        if kind and kind not in list(Kind):
            raise BadCommand("bad_request", "unknown_kind", kind=kind, known=", ".join(Kind))
        users: tuple[str, ...] = ()
        if user := read.read_text(fields, "user", ""):
            person = self._registry.by_topic_name(user)
            if person is None:
                raise BadCommand("unknown_user", "unknown_user", user=user, contacts=self._contacts_topic)
            users = self._registry.topic_names_of(person.id)  # a message is stored with the name of its time
        return HistoryQuery(
            since=since,
            before=read.read_integer(fields, "before"),
            users=users,
            kind=kind,
            text=read.read_text(fields, "text", ""),
            limit=min(
                MAX_HISTORY_MESSAGES,
                read.read_integer(fields, "limit", DEFAULT_HISTORY_MESSAGES, minimum=1)
                or DEFAULT_HISTORY_MESSAGES,
            ),
        )


@dataclass(slots=True)
class _HistoryPage:
    """The messages of an answer."""

    free_bytes: int
    #: Whether a message counts with its bytes in the answer; else with those in the store, which is faster.
    is_exact: bool
    bodies: list[MessageBody] = field(default_factory=list)
    #: Whether a further message did not fit.
    full: bool = False

    def add(self, body: MessageBody, stored_bytes: int) -> None:
        """Adds a message if it fits.

        The first one is added in any case, cut if possible, else a client would never get past it.
        """
        size = self._size(body, stored_bytes)
        if size > self.free_bytes and self.bodies:
            self.full = True
            return
        if size > self.free_bytes and self.is_exact:
            shorter = cut_payload(encode(body), self.free_bytes - 1)
            if shorter is not None:
                body = json.loads(shorter)
                size = self._size(body, stored_bytes)
        self.bodies.append(body)
        self.free_bytes -= size

    def _size(self, body: MessageBody, stored_bytes: int) -> int:
        return len(encode(body)) + len(",") if self.is_exact else stored_bytes


class QuestionsRequest:
    """The request `questions`: lists the open questions of an account, or closes one.

    {}                   ->  {"questions": [{"command_id": "door-7", "text": "Lock the door?", …}], …}
    {"close": "door-7"}  ->  {"closed": "door-7"}; nobody can answer it any more
    """

    def __init__(self, ctx: AccountContext) -> None:
        self._ctx = ctx

    async def answer(self, fields: dict[str, Json]) -> Json:
        """Returns the open questions, the newest first, or closes one. Raises `BadCommand`, `StoreError`."""
        read.reject_unknown_fields(fields, "close")
        if "close" in fields:
            return await self._close(read.read_text(fields, "close"))
        newest = await self._ctx.journal.questions.list_open(now_ms(), MAX_LISTED_QUESTIONS + 1)
        listed: list[Json] = [_question_body(question) for question in newest[:MAX_LISTED_QUESTIONS]]
        return {"questions": listed, "more": len(newest) > MAX_LISTED_QUESTIONS}

    async def _close(self, command_id: str) -> Json:
        if not await self._ctx.journal.questions.close(command_id, now_ms()):
            raise BadCommand("unknown_id", "no_open_question", id=command_id)
        return {"closed": command_id}


def _question_body(question: AskedQuestion) -> dict[str, Json]:
    """Returns a question as it is listed; without `until` its message is still being sent."""
    body: dict[str, Json] = {
        "command_id": question.asking_id,
        "user": question.asked_user,
        "text": question.text,
        "buttons": buttons_to_json(question.buttons),
        "buttons_from": "anyone" if question.anyone else "trusted",
        "asked": rfc3339(question.asked),
    }
    if question.until is not None:
        body["until"] = rfc3339(question.until)
    if question.fallback_account:
        body["fallback_account"] = question.fallback_account
    return body

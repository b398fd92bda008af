"""Makes the results of commands and their publications, and counts how commands ended (`CommandOutcomes`).

A result goes to `result/<user>`, to the response topic of the command, and to `bridge/response/<name>` for a
`request/send` or `request/recall`. The QoS of a topic is in `mqtt/topics.py` (`TOPIC_TABLE`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field, replace

import structlog

from wx2mqtt.aio import Signal
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand, Rejected
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text, rejection_text
from wx2mqtt.limits import MAX_FACT_CHARACTERS
from wx2mqtt.model import JSON_TYPE, Command, Json, Remark, Result, Status, is_own_text
from wx2mqtt.mqtt.payloads import answer_error, answer_ok, encode, event_body, result_body
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.command_records import CommandRow, NewCommand, ReplyTarget
from wx2mqtt.store.journal_retention import DAY_MS
from wx2mqtt.store.records import NewPublication
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

# The texts of remarks on a command.
REMARK_TEXTS = {
    Remark.RETAINED: "remark_retained",
    Remark.BAD_RESPONSE_TOPIC: "remark_bad_response_topic",
}

# The code of the result of a message that WeChat took without giving it an id: perhaps nobody sees it.
UNCONFIRMED = "unconfirmed"

# Codes of a refusal by WeChat whose result is `rejected`: the command could not be carried out at all.
CODES_OF_REJECTIONS = frozenset({"no_chat"})

# Users that are remembered as failing; of more, those that failed last. Anybody may publish to any name.
MAX_FAILING_USERS = 1000

# A publisher must not fill the disk with the log: so many lines in a period, then one with the rest's number.
MAX_LOG_LINES = 30
LOG_PERIOD_SECONDS = 60.0


@frozen
class ExpiryCause:
    """Why a command was not sent in its time."""

    code: str
    #: With `facts` it makes the text of the result.
    message_key: str
    facts: Mapping[str, object] = field(default_factory=dict)
    #: In seconds.
    retry_after: float | None = None


class ResultPublications:
    def __init__(self, account: str, topics: Topics) -> None:
        self.account = account
        self._topics = topics

    def result_topic_reply(self, user: str) -> ReplyTarget:
        """Returns the reply target `result/<user>` with the topic name exactly as it was received."""
        return ReplyTarget(
            topic=self._topics.result(user), correlation=None, shape="result", name="", transaction=None
        )

    def publications(self, result: Result, replies: Iterable[ReplyTarget]) -> tuple[NewPublication, ...]:
        """Returns a publication for each reply target; to a request a rejected command is an error."""
        body = result_body(result, self.account)
        publications = []
        for reply in replies:
            if reply.shape != "response":
                payload = encode(body)
            elif result.status is Status.REJECTED:
                payload = answer_error(result.code, result.message, reply.transaction)
            else:
                payload = answer_ok(body, reply.transaction)
            publications.append(
                NewPublication(
                    topic=reply.topic,
                    payload=payload,
                    category=reply.shape,
                    content_type=JSON_TYPE,
                    correlation=reply.correlation,
                )
            )
        return tuple(publications)

    def event_publication(
        self, name: str, user: str, event_id: str, time: int, fields: Mapping[str, Json]
    ) -> NewPublication:
        """Returns an event about a command that has no result yet."""
        body = event_body(name, event_id=event_id, account=self.account, time=time, user=user, fields=fields)
        return NewPublication(
            topic=self._topics.event(name), payload=encode(body), category="event", content_type=JSON_TYPE
        )


def with_remarks(result: Result, command: Command, language: Language, *, has_window: bool = False) -> Result:
    """Returns the result with remarks in words; with `has_window` each message of a text counts."""
    if not command.remarks and result.parts is None:
        return result
    sentences = [bridge_text(language, REMARK_TEXTS[remark]) for remark in command.remarks]
    if result.parts is not None and result.status is Status.SENT:
        parts_key = _parts_remark(result, command, has_window=has_window)
        sentences.insert(0, bridge_text(language, parts_key, parts=result.parts))
    if Remark.BAD_RESPONSE_TOPIC in command.remarks and result.code == "ok":
        result = replace(result, code="bad_response_topic")
    separator = "；" if language == "zh" else "; "
    return replace(result, message=separator.join([result.message, *sentences]))


def _parts_remark(result: Result, command: Command, *, has_window: bool) -> str:
    """Returns the text that says in how many messages a command went out."""
    if result.parts_sent != result.parts:
        return "remark_caption_lost"
    if command.kind == "text":
        return "remark_parts_in_window" if has_window else "remark_parts"
    return "remark_caption_in_window" if has_window else "remark_caption"


def final_result(row: CommandRow | NewCommand, status: Status, code: str, message: str) -> Result:
    """Returns the result of a command; sets `duplicate_possible` if an attempt had no answer."""
    had_no_answer = isinstance(row, CommandRow) and row.unanswered > 0
    return Result(
        id=row.command_id,
        user=row.command.user,
        status=status,
        code=code,
        message=message,
        time=now_ms(),
        sender=row.command.sender,
        duplicate_possible=row.duplicate_possible or had_no_answer,
    )


def is_surely_sent(result: Result) -> bool:
    return result.status is Status.SENT and result.code != UNCONFIRMED


def uncertain_result(row: CommandRow, language: Language) -> Result:
    """Returns the result `uncertain` of a command whose attempts got no answer, or that was restored."""
    sentence = "uncertain_restored" if row.is_restored else "uncertain"
    result = final_result(row, Status.UNCERTAIN, "no_answer", bridge_text(language, sentence))
    return replace(result, duplicate_possible=True)


def rejected_result(row: CommandRow, error: BadCommand | Rejected, language: Language) -> Result:
    """Returns the result of a command that cannot be sent; an earlier attempt may have arrived."""
    if isinstance(error, Rejected):
        status = Status.REJECTED if error.code in CODES_OF_REJECTIONS else Status.FAILED
        return final_result(row, status, error.code, str(error))
    if row.unanswered:
        return uncertain_result(row, language)
    return final_result(row, Status.REJECTED, error.code, rejection_text(language, error))


def result_of_parts(row: CommandRow, result: Result, parts: int) -> Result:
    """Returns the result with the counts of parts; a text of which only some were sent is `failed`.

    With a caption the status stays that of the file.
    """
    sent = (parts if result.status is Status.SENT else row.parts_sent) - row.parts_lost
    status = result.status
    if sent and row.command.kind == "text" and status in (Status.EXPIRED, Status.REJECTED):
        status = Status.FAILED
    return replace(result, status=status, parts=parts, parts_sent=sent)


def results_of_members(members: Sequence[CommandRow], result: Result) -> list[tuple[CommandRow, Result]]:
    """Returns the members of an attempt with their results; `result` is that of the leading one."""
    if len(members) == 1:
        return [(members[0], result)]
    is_uncertain = result.status is Status.UNCERTAIN
    bundled = sum(not is_own_text(row.command_id) for row in members)
    return [
        (
            row,
            replace(
                result,
                id=row.command_id,
                user=row.command.user,
                sender=row.command.sender,
                duplicate_possible=is_uncertain or row.duplicate_possible or row.unanswered > 0,
                bundled=bundled,
            ),
        )
        for row in members
    ]


def expired_result(
    row: CommandRow, language: Language, cause: ExpiryCause, fallback_seconds: float | None = None
) -> Result:
    """Returns the result `expired`. `fallback_seconds` is `fallback.after` where that ended it, else None."""
    if fallback_seconds is None:
        ttl = ((row.expires or row.accepted) - row.accepted) / 1000
        limit = bridge_text(language, "limit_of_command", seconds=f"{ttl:g}")
    else:
        limit = bridge_text(language, "limit_of_fallback", seconds=f"{fallback_seconds:g}")
    text = bridge_text(language, cause.message_key, limit=limit, **cause.facts)
    result = final_result(row, Status.EXPIRED, cause.code, text)
    return result if cause.retry_after is None else replace(result, retry_after=round(cause.retry_after, 1))


class CommandOutcomes:
    """How the commands of one account ended: counts, the log, and to whom nothing was sent.

    `record` is called once for each command, after its result is stored. A user whose command was not sent is
    *failing* until a later command to the same user is sent, at most for a day: `failing_users` is the
    problem `COMMANDS_FAILED` of the health. Texts of the bridge's own and fallbacks of other accounts'
    commands are counted and logged, and make nobody failing. How many commands were not sent (`failed_today`)
    is counted from rows, by `store/journal_retention.py`.
    """

    def __init__(self, ctx: AccountContext) -> None:
        self._ctx = ctx
        #: Emitted for each result of another account's command, right after it was stored.
        self.ended: Signal[[Result]] = Signal()
        self._waiters: dict[str, list[asyncio.Future[Result]]] = {}  # by command id
        self._failure_log = FailureLog(ctx.name)
        self._failed_at: dict[str, int] = {}  # in ms, by user; who failed last is last
        self._sent_to: set[str] = set()  # users to whom something was sent before the journal was read
        self._is_loaded = False

    def record(self, kind: str, result: Result, *, is_fallback: bool = False) -> None:
        """Records that a command of this kind has ended, right after its result was stored.

        `is_fallback` says that it was the fallback of another account's command: it makes nobody failing.
        """
        is_sent = result.status is Status.SENT
        self._ctx.counters.results[str(result.status), result.code] += 1
        if is_sent:
            self._ctx.counters.sent[kind] += 1
        else:
            self._failure_log.write(result)
        for waiter in self._waiters.get(result.id, ()):
            if not waiter.done():
                waiter.set_result(result)
        if is_fallback:
            self.ended.emit(result)
            return
        if is_sent and self._is_loaded and not self._failed_at:
            return  # nobody is failing
        if is_own_text(result.id):
            return
        if is_sent:
            self._end_failing(shortened(result.user))
        else:
            self._begin_failing(shortened(result.user))

    @contextmanager
    def awaiting(self, command_id: str) -> Iterator[asyncio.Future[Result]]:
        """Yields what gets the result of a command; begin the block before the command is stored."""
        finished: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(command_id, [])
        waiters.append(finished)
        try:
            yield finished
        finally:
            waiters.remove(finished)
            if not waiters:
                self._waiters.pop(command_id, None)

    async def failing_users(self) -> tuple[str, ...]:
        """Returns those to whom the last command of this day was not sent. Raises `StoreError`, at first."""
        if not self._is_loaded:
            stored = await self._ctx.journal.commands.list_failing_users(now_ms() - DAY_MS, MAX_FAILING_USERS)
            loaded = {shortened(user): failed_at for user, failed_at in stored if user not in self._sent_to}
            self._failed_at = {**loaded, **self._failed_at}
            self._is_loaded = True
            self._sent_to.clear()
        day_ago = now_ms() - DAY_MS
        self._failed_at = {user: time for user, time in self._failed_at.items() if time > day_ago}
        return tuple(self._failed_at)

    def _begin_failing(self, user: str) -> None:
        is_first = not self._failed_at
        self._failed_at.pop(user, None)  # so that it is the last one when it is added
        self._failed_at[user] = now_ms()
        if len(self._failed_at) > MAX_FAILING_USERS:
            del self._failed_at[next(iter(self._failed_at))]
        if is_first:
            self._ctx.signals.health_changed.emit()

    def _end_failing(self, user: str) -> None:
        if not self._is_loaded:
            self._sent_to.add(user)
        was_failing = self._failed_at.pop(user, None) is not None
        if was_failing and not self._failed_at:
            self._ctx.signals.health_changed.emit()

    def close(self) -> None:
        """Writes to the log what it still has to say; nothing may be recorded afterwards."""
        self._failure_log.end_period()


class FailureLog:
    """Writes a line for each command that was not sent; of too many in a period only their number."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def write(self, result: Result) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOG_PERIOD_SECONDS, self.end_period)
        self._count += 1
        if self._count <= MAX_LOG_LINES:
            log.warning(
                "a command was not sent",
                account=self._account,
                id=result.id,
                user=shortened(result.user),
                status=str(result.status),
                code=result.code,
                reason=result.message,
                **({"sender": result.sender} if result.sender else {}),
            )

    def end_period(self) -> None:
        """Writes how many commands have no line, if any. The next command begins a period."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        left_out = self._count - MAX_LOG_LINES
        self._count = 0
        if left_out > 0:
            log.warning(
                "more commands were not sent; their lines are left out",
                account=self._account,
                count=left_out,
                see="wx2mqtt journal list",
            )


def shortened(user: str) -> str:
    """Returns a user; of one that no person can have the beginning: a topic may have 65,535 bytes."""
    return user if len(user) <= MAX_FACT_CHARACTERS else f"{user[:MAX_FACT_CHARACTERS]}…"

"""Makes the results of commands, and their publications.

    WeChat took "home at six" for wife  ->  {"id": …, "status": "sent", "code": "ok", …} on `result/wife`

A result goes to `result/<user>`, to the response topic of the command, and to `bridge/response/<name>` for a
`request/send` or `request/recall`. The QoS of a topic is in `mqtt/topics.py` (`TOPIC_TABLE`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BadCommand, Rejected
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text, rejection_text
from wx2mqtt.model import JSON_TYPE, Command, Json, Remark, Result, Status, is_own_text
from wx2mqtt.mqtt.payloads import answer_error, answer_ok, encode, event_body, result_body
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.command_records import CommandRow, NewCommand, ReplyTarget
from wx2mqtt.store.records import NewPublication
from wx2mqtt.values import frozen

# The texts of remarks on a command.
REMARK_TEXTS = {
    Remark.RETAINED: "remark_retained",
    Remark.BAD_RESPONSE_TOPIC: "remark_bad_response_topic",
}

# The code of the result of a message that WeChat took without giving it an id: perhaps nobody sees it.
UNCONFIRMED = "unconfirmed"

# Codes of a refusal by WeChat whose result is `rejected`: the command could not be carried out at all.
CODES_OF_REJECTIONS = frozenset({"no_chat"})


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

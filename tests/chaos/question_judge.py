"""Judges questions: each has exactly one `event/button`, for an answer to that question. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.chaos.evidence import AccountEvidence, JsonBody, PublishedQuestion


class QuestionJudge:
    """Judges the questions of one account; `sent_ids` are the ids of the commands that were sent."""

    def __init__(self, account: AccountEvidence, sent_ids: set[str]) -> None:
        self._account = account
        self._sent_ids = sent_ids
        self._questions = {question.command_id: question for question in account.questions}
        self._events: defaultdict[str, list[JsonBody]] = defaultdict(list)
        self._marked: dict[str, JsonBody] = {}
        self._published: set[str] = set()
        for publication in account.publications:
            body = publication.body
            if publication.topic == f"{account.base}/event/button":
                events = self._events[str(body["command_id"])]
                if body not in events:
                    events.append(body)
            elif publication.topic.startswith(f"{account.base}/in/"):
                self._published.add(str(body["id"]))
                if "button" in body:
                    self._marked[str(body["id"])] = body["button"]

    def problems(self) -> Iterator[str]:
        for command_id in self._events.keys() - self._questions.keys():
            yield f"an answer to {command_id}, which asked nothing"
        for question in self._account.questions:
            yield from self._wrong_question(question)
        yield from self._wrong_marks()

    def _wrong_question(self, question: PublishedQuestion) -> Iterator[str]:
        events = self._events[question.command_id]
        name = f"question {question.command_id}"
        if len(events) > 1:
            yield f"{name} has {len(events)} answers: {[(event['id'], event['key']) for event in events]}"
        for event in events:
            if not self._is_of(question, event):
                yield f"{name} has the answer of another: {event}"
            elif str(event["user"]) != question.user:
                yield f"{name} was asked of {question.user} and answered by {event['user']}"
        if not events and self._must_be_answered(question):
            yield f"{name} was answered, and there is no event"
        yield from self._later_answer(question, events)

    def _is_of(self, question: PublishedQuestion, event: JsonBody) -> bool:
        """Returns whether this answer was given to this question."""
        message_id = str(event.get("message_id", ""))
        return any(
            (answer.message_id, answer.key) == (message_id, event["key"]) for answer in question.answers
        )

    def _must_be_answered(self, question: PublishedQuestion) -> bool:
        """Returns whether an answer certainly counts: the question was asked, and the answer is stored.

        A press leaves no trace but its event: people press again until it counts. After the clock of the
        bridge was moved, an answer may seem to be older than its question. A broker may forget the event.
        """
        if (
            question.command_id not in self._sent_ids
            or self._account.broker_forgot
            or self._account.clock_moved
        ):
            return False
        return any(
            not answer.message_id or answer.message_id in self._published for answer in question.answers
        )

    def _later_answer(self, question: PublishedQuestion, events: list[JsonBody]) -> Iterator[str]:
        """Of several answers by message the first one that was published counts."""
        if (
            not events
            or "message_id" not in events[0]
            or self._account.broker_forgot
            or self._account.clock_moved
        ):
            return
        given = [answer.message_id for answer in question.answers if answer.message_id in self._published]
        if (
            given
            and str(events[0]["message_id"]) != given[0]
            and all(answer.message_id for answer in question.answers)
        ):
            yield f"question {question.command_id} has a later answer than {given[0]}: {events[0]}"

    def _wrong_marks(self) -> Iterator[str]:
        """The `button` of a message and the event about it have the same command and key."""
        events = {
            str(event.get("message_id", "")): event for found in self._events.values() for event in found
        }
        for message_id in self._published:
            mark, event = self._marked.get(message_id), events.get(message_id)
            expected = None if event is None else {"command_id": event["command_id"], "key": event["key"]}
            if mark != expected and not (event is None and self._account.broker_forgot):
                yield f"message {message_id} has the button {mark}, and its event says {expected}"

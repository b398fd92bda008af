"""Converts what is received to rows of the journal.

    a text from `wife`   ->  a row with the topic `in/wife`, with its JSON and who sent it
    a recall in `family` ->  a row with the topic `event/recall`, unless `receive` filters the chat

What a message is converted to is `MessageRows.row`, what an event is converted to `EventRows.row`. At the end
of the file: the changes of people that the next commit stores (`PeopleBatch`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import structlog

from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.media.media_payloads import media_in_message, media_jobs, waits_for_file
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.bridge.possible_answers import AnswerTarget, attempt_of_message, attempt_of_press, card_in
from wx2mqtt.clock import now_ms
from wx2mqtt.model import (
    ButtonPress,
    ChatKind,
    Event,
    Json,
    Kind,
    Message,
    Owner,
)
from wx2mqtt.mqtt.payloads import event_body, message_body, plain_text
from wx2mqtt.mqtt.topics import TEXT_TYPE
from wx2mqtt.store.person_records import NO_CHANGES, PeopleChanges, Person
from wx2mqtt.store.question_answers import BUTTON_EVENT
from wx2mqtt.store.question_records import AnswerAttempt, NewPress
from wx2mqtt.store.records import NewEvent, NewMedia, NewMessage, NewPublication
from wx2mqtt.values import frozen

log = structlog.get_logger(__name__)

# The key in `NewEvent.private` under which the id of the login stands in which the event was received.
LOGIN_EVENT = "login"

# Events about topic names. The `receive` filter does not apply to them, since senders need them, too.
TOPIC_EVENTS = frozenset({"topic_changed", "unresolved"})


class MessageRows:
    """Converts messages and presses of buttons to rows."""

    def __init__(self, ctx: AccountContext) -> None:
        self._ctx = ctx

    def row(self, message: Message, person: Person, owner: Owner | None) -> NewMessage:
        """Returns the row of a message of the chat with `person`; `owner` is that of the login."""
        settings = self._ctx.settings
        sender, trusted = self._sender(message, person, owner)
        jobs: tuple[NewMedia, ...] = ()
        media: dict[str, Json] = {}
        if message.kind is not Kind.TEXT:  # the JSON of a text has no object for the state of a file
            jobs = media_jobs(message, settings, now_ms())
            media = media_in_message(message, jobs, settings)
        answer: AnswerAttempt | None = None
        if self._ctx.journal.rows.may_have_questions:
            answer = attempt_of_message(self._answer_target(), message, person, sender, trusted=trusted)
        plain: NewPublication | None = None
        max_age = settings.account.plain.max_age
        if trusted and max_age is not None and message.text:
            plain = self._plain_publication(message, person, max_age)
        body = message_body(
            message,
            account=self._ctx.name,
            user=person.topic_name,
            chat_name=person.remark or person.nickname or person.topic_name,
            sender=sender,
            trusted=trusted,
            media=media,
        )
        return NewMessage(
            key=message.key,
            id=message.id,
            topic=self._ctx.topics.message(person.topic_name),
            user=person.topic_name,
            kind=str(message.kind),
            time=message.time,
            text=message.text,
            body=body,
            media=jobs,
            waits_for_file=bool(jobs) and waits_for_file(jobs, settings),
            plain=plain,
            answer=answer,
        )

    def press_row(self, press: ButtonPress, chat: Person) -> NewPress:
        """Returns the row of a press in the chat with `chat`."""
        person = self._ctx.registry.by_handle(press.sender)
        trusted = person is not None and person.trusted
        sender: dict[str, Json] = {"name": "", "self": False}
        if person is not None:
            name = person.remark or person.nickname or person.topic_name
            sender = {"user": person.topic_name, "name": name, "self": False}
        return NewPress(
            press=press,
            user=chat.topic_name,
            card=card_in(press.card_id),
            attempt=attempt_of_press(self._answer_target(), chat, sender, trusted=trusted, time=press.time),
        )

    def _answer_target(self) -> AnswerTarget:
        return AnswerTarget(account=self._ctx.name, topic=self._ctx.topics.event(BUTTON_EVENT))

    def _sender(
        self, message: Message, chat: Person, owner: Owner | None
    ) -> tuple[dict[str, Json] | None, bool]:
        """Returns the `sender` object of a message, None for system texts, and whether it is trusted."""
        if message.from_self:
            return {"name": owner.nickname if owner else "", "self": True}, True
        if message.sender is None:
            return None, False
        in_group = message.chat_kind is ChatKind.GROUP
        person = self._ctx.registry.by_handle(message.sender) if in_group else chat
        if person is None:
            known: dict[str, Json] = {"name": message.sender_name} if message.sender_name else {}
            return {**known, "self": False}, False
        name = person.remark or message.sender_name or person.nickname or person.topic_name  # (webwx 4.4.1)
        return {"user": person.topic_name, "name": name, "self": False}, person.trusted

    def _plain_publication(self, message: Message, person: Person, max_age: float) -> NewPublication | None:
        """Returns the publication of the bare text, for devices that read no JSON; None for an old text.

        Such a device can check neither `trusted` nor `time`. So the caller makes it for trusted senders only,
        and here a text must be younger than `max_age`, in seconds. A time far ahead shows that a clock is
        wrong, and that the age is not known.
        """
        age = (now_ms() - message.time) / 1000
        if age < -max_age:
            log.warning(
                "no bare text: this machine's clock is behind", user=person.topic_name, seconds=round(-age)
            )
            return None
        seconds_left = int(max_age - max(0.0, age))
        if seconds_left < 1:
            log.info("no bare text: it is too old", user=person.topic_name, seconds=round(age))
            return None
        return NewPublication(
            topic=self._ctx.topics.text(person.topic_name),
            payload=plain_text(message.text),
            category="plain",
            content_type=TEXT_TYPE,
            expiry=seconds_left,
        )


class EventRows:
    """Converts events to rows, and counts those that are filtered."""

    def __init__(self, ctx: AccountContext) -> None:
        self._ctx = ctx
        self._registry = ctx.registry

    async def actor(self, event: Event) -> str:
        """Returns the topic name of the person who caused an event, else their name, else an empty string.

        For a message withdrawn in a group WeChat gives only a name; the author of the message is looked up
        instead, since nobody else can withdraw it. Raises `StoreError`.
        """
        withdrawn_id = str(event.fields.get("message_id", "")) if event.name == "recall" else ""
        if event.actor is None and withdrawn_id:
            author_name = await self._ctx.journal.history.message_author(withdrawn_id)
            author = self._registry.by_topic_name(author_name)
            if author is not None:
                return author.topic_name
        return self._registry.topic_name_or(event.actor, str(event.fields.get("by", "")))

    def row(self, event: Event, by: str) -> NewEvent | None:
        """Returns the row of an event, or None if it is filtered.

        `by` is the topic name or name of the person who caused it, empty if not known.
        """
        person = None if event.chat is None else self._registry.by_handle(event.chat)
        user = None if person is None else person.topic_name
        if person is not None and self._is_filtered(person):
            return None
        fields = dict(event.fields)
        for key, members in event.people.items():
            fields[key] = [
                self._registry.topic_name_or(member.handle, member.shown_name) for member in members
            ]
        if by:
            fields["by"] = by
        private: Mapping[str, str] = {}
        if event.private:  # facts for the backend, as for accepting a friend; valid in this login only
            private = {**event.private, LOGIN_EVENT: self._registry.login_id}
        return self._new_event(event.name, event.key, user, event.time, fields, private)

    def people_rows(self, changes: PeopleUpdate) -> Iterable[NewEvent]:
        """Yields the rows of the events about changes of people."""
        now = now_ms()
        for index, event in enumerate(changes.events):
            person = self._registry.by_topic_name(event.user)
            if person is not None and event.name not in TOPIC_EVENTS and self._is_filtered(person):
                continue
            key = f"{event.name}:{event.user}:{now}:{index}"
            yield self._new_event(event.name, key, event.user, now, event.fields, {})

    def _is_filtered(self, person: Person) -> bool:
        if self._ctx.settings.publishes_chat(person.topic_name, person.kind, listed=bool(person.pin)):
            return False
        self._ctx.counters.left_out["filtered"] += 1
        return True

    def _new_event(
        self,
        name: str,
        key: str,
        user: str | None,
        time: int,
        fields: Mapping[str, Json],
        private: Mapping[str, str],
    ) -> NewEvent:
        event_id = str(fields.get("id", key))  # a friend request has an id of its own
        body = event_body(
            name, event_id=event_id, account=self._ctx.name, time=time, user=user, fields=fields
        )
        return NewEvent(
            key=key,
            topic=self._ctx.topics.event(name),
            user=user or "",
            name=name,
            time=time,
            body=body,
            private=private,
        )


@frozen(kw_only=False)
class PeopleBatch:
    """Changes of people that are not stored yet, and the events about them, in order."""

    changes: PeopleChanges = NO_CHANGES
    events: tuple[NewEvent, ...] = ()
    #: Whether the published directory looks different afterwards.
    is_visible: bool = False

    @classmethod
    def merged(cls, batches: Sequence[PeopleBatch]) -> PeopleBatch:
        """Returns several as one, in their order."""
        return cls(
            PeopleChanges.merged(batch.changes for batch in batches),
            tuple(event for batch in batches for event in batch.events),
            any(batch.is_visible for batch in batches),
        )


NO_PEOPLE = PeopleBatch()

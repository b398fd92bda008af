"""WeChat to MQTT: name who wrote, and put messages and cursor on disk in one commit.

What is on disk is published by the pump.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import structlog

from wx2mqtt.aio import ignore_trouble, retry_until_stored
from wx2mqtt.bridge.account_settings import MediaRules, ReceiveFilter
from wx2mqtt.bridge.echo import EchoFilter
from wx2mqtt.bridge.media.payloads import is_held, media_in_message, media_jobs
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import StoreError
from wx2mqtt.model import ChatKind, Cursor, Event, Json, Kind, Message, Owner
from wx2mqtt.mqtt.payloads import event_body, message_body, plain_text
from wx2mqtt.mqtt.topics import TEXT_TYPE, Topics
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.people import NO_CHANGES, Person
from wx2mqtt.store.records import NewEvent, NewMessage, NewPublication, RecordResult
from wx2mqtt.wechat.backend import Batch

log = structlog.get_logger(__name__)

LOGIN_EVENT = "login"
"""The key in the private facts of an event that names the login in which it came."""

TOPIC_EVENTS = frozenset({"topic_changed", "unresolved"})
"""Events about names, which count for `out` too: `receive` does not hide them."""


class InboundMessages:
    """Takes what one account's gateway received."""

    def __init__(
        self,
        *,
        account: str,
        topics: Topics,
        journal: Journal,
        registry: PeopleRegistry,
        echoes: EchoFilter,
        receive_filter: ReceiveFilter,
        media_rules: MediaRules,
        publish_plain_text: bool,
        stored: Callable[[RecordResult], None],
        to_fetch: Callable[[Sequence[NewMessage]], None],
        people_changed: Callable[[], None],
    ) -> None:
        self._account = account
        self._topics = topics
        self._journal = journal
        self._registry = registry
        self._echoes = echoes
        self._stored = stored
        self._to_fetch = to_fetch
        self._people_changed = people_changed
        self._unsaved_people = NO_CHANGES
        self._unsaved_events: list[NewEvent] = []
        self._commit_lock = asyncio.Lock()
        self.receive_filter, self.media_rules, self.publish_plain_text = (
            receive_filter,
            media_rules,
            publish_plain_text,
        )
        self.owner: Owner | None = None
        self.counts: Counter[str] = Counter()
        self.counts_by_kind: Counter[str] = Counter()  # of messages that were taken in

    async def apply_people(
        self, changes: PeopleUpdate, on_failure: Callable[[StoreError], None] = ignore_trouble
    ) -> None:
        """Store who is who after a login or an owner's decision, and tell what changed.

        Insists; `told` hears of each time that the store would not take it.
        """
        self._queue_changes(changes)
        await retry_until_stored(lambda: self._commit([], None, ""), on_failure)

    async def store(self, batch: Batch, login_id: str) -> None:
        """Store one batch and its cursor. Raises `StoreError`; then the same batch must be received again."""
        self.counts["unread"] += batch.unreadable_count
        self._queue_changes(self._registry.apply_update(batch.contacts, batch.removed, now_ms()))
        rows: list[NewMessage | NewEvent] = []
        for item in batch.items:
            row = await self._try_row(item)
            if row is not None:
                rows.append(row)
        await self._commit(rows, batch.cursor, login_id)

    def _queue_changes(self, changes: PeopleUpdate) -> None:
        """What the memory knows and the disk does not goes along until a commit succeeds.

        To be called as soon as there are changes: they must stay in their order.
        """
        self._unsaved_people = self._unsaved_people.merged(changes.people)
        self._unsaved_events += self._people_events(changes)

    async def _commit(self, rows: list[NewMessage | NewEvent], cursor: Cursor | None, login_id: str) -> None:
        async with self._commit_lock:
            people, untold = self._unsaved_people, self._unsaved_events
            self._unsaved_people, self._unsaved_events = NO_CHANGES, []
            if not rows and not untold and cursor is None and people == NO_CHANGES:
                return
            try:
                recorded = await self._journal.record([*untold, *rows], people, cursor, login_id)
            except BaseException:
                self._unsaved_people, self._unsaved_events = (
                    people.merged(self._unsaved_people),
                    [*untold, *self._unsaved_events],
                )
                raise
        self.counts["repeated"] += recorded.repeated
        self.counts_by_kind.update(recorded.kinds)
        if with_media := [row for row in rows if isinstance(row, NewMessage) and row.media]:
            self._to_fetch(with_media)
        self._stored(recorded)
        if people != NO_CHANGES:
            self._people_changed()

    async def _try_row(self, item: Message | Event) -> NewMessage | NewEvent | None:
        try:
            if isinstance(item, Event):
                return self._event_row(item, await self._actor(item))
            return await self._message_row(item)
        except StoreError:  # not the message's fault: it must be received again
            raise
        except Exception:  # one bad message never stops the others; the log and a counter tell
            self.counts["unreadable"] += 1
            log.exception("message skipped", kind=getattr(item, "kind", "event"))
            return None

    async def _message_row(self, message: Message) -> NewMessage | None:
        if message.from_self and await self._is_echo(message):
            self.counts["echoes"] += 1
            return None
        person = self._chat_person(message)
        if not self.receive_filter.allows_message(message, person.level, listed=bool(person.pin)):
            self.counts["filtered"] += 1
            return None
        if not person.wrote:
            self._queue_changes(self._registry.mark_wrote(person))
        message = await self._with_quoted_author(message)
        sender, trusted = self._sender(message, person)
        name = person.remark or person.nickname or person.level
        jobs = media_jobs(message, self.media_rules, now_ms())
        body = message_body(
            message,
            account=self._account,
            user=person.level,
            chat_name=name,
            sender=sender,
            trusted=trusted,
            media=media_in_message(message, jobs, self.media_rules),
        )
        return NewMessage(
            key=message.key,
            id=message.id,
            topic=self._topics.message(person.level),
            user=person.level,
            kind=str(message.kind),
            sender="" if sender is None else str(sender.get("user") or sender.get("name") or ""),
            time=message.time,
            text=message.text,
            body=body,
            media=jobs,
            held=is_held(jobs, self.media_rules),
            plain=self._plain_publication(person, message.text) if trusted else None,
        )

    def _plain_publication(self, person: Person, text: str) -> NewPublication | None:
        """For devices that cannot look for `trusted` in JSON: they hear nobody else."""
        if not self.publish_plain_text or not text:
            return None
        topic = self._topics.text(person.level)
        return NewPublication(topic=topic, payload=plain_text(text), sort="plain", content_type=TEXT_TYPE)

    async def _with_quoted_author(self, message: Message) -> Message:
        """A quote tells by topic too whom it answers, where their message is still known."""
        quoted = str(message.detail.get("id", "")) if message.kind is Kind.QUOTE else ""
        author = self._registry.by_level(await self._journal.message_author(quoted)) if quoted else None
        named = {} if author is None else {"user": author.level}
        return replace(message, detail={**message.detail, **named}) if named else message

    async def _is_echo(self, message: Message) -> bool:
        await self._echoes.wait_for_open_attempts(message)
        return self._echoes.is_echo(message) or await self._journal.is_sent_message(message.id)

    def _chat_person(self, message: Message) -> Person:
        known = self._registry.by_handle(message.chat)
        if known is not None:
            return known
        self._queue_changes(self._registry.add_unlisted(message.chat, message.chat_kind, "", now_ms()))
        placed = self._registry.by_handle(message.chat)
        assert placed is not None
        return placed

    def _sender(self, message: Message, chat: Person) -> tuple[dict[str, Json] | None, bool]:
        """Who wrote, and whether the owner trusts that person; system texts have no sender."""
        if message.from_self:
            return {"name": self.owner.nickname if self.owner else "", "self": True}, True
        if message.sender is None:
            return None, False
        in_group = message.chat_kind is ChatKind.GROUP
        person = self._registry.by_handle(message.sender) if in_group else chat
        if person is None:
            known: dict[str, Json] = {"name": message.sender_name} if message.sender_name else {}
            return {**known, "self": False}, False
        name = person.remark or message.sender_name or person.nickname or person.level  # (webwx 4.4.1)
        return {"user": person.level, "name": name, "self": False}, person.trusted

    async def _actor(self, event: Event) -> str:
        """A topic level where there is one, else the name that WeChat tells; empty where it tells none.

        In a group it tells a recall by name only; but who wrote a message is who can withdraw it.
        """
        told, withdrawn = str(event.fields.get("by", "")), str(event.fields.get("message_id", ""))
        if event.actor is None and event.name == "recall" and withdrawn:
            author = self._registry.by_level(await self._journal.message_author(withdrawn))
            if author is not None:
                return author.level
        return self._registry.level_or_name(event.actor, told)

    def _event_row(self, event: Event, by: str) -> NewEvent | None:
        person = None if event.chat is None else self._registry.by_handle(event.chat)
        user = None if person is None else person.level
        if person is not None and not self._allows(person):
            self.counts["filtered"] += 1
            return None
        fields = dict(event.fields)
        for key, members in event.people.items():
            fields[key] = [self._registry.level_or_name(one.handle, one.shown_name) for one in members]
        if by:
            fields["by"] = by
        return self._new_event(event.name, event.key, user, event.time, fields, self._private_facts(event))

    def _private_facts(self, event: Event) -> Mapping[str, str]:
        """With the login in which it came: handles and tickets are good within it only."""
        return {**event.private, LOGIN_EVENT: self._registry.login_id} if event.private else {}

    def _people_events(self, changes: PeopleUpdate) -> Iterable[NewEvent]:
        now = now_ms()
        for index, happened in enumerate(changes.events):
            person = self._registry.by_level(happened.user)
            if person is not None and happened.name not in TOPIC_EVENTS and not self._allows(person):
                self.counts["filtered"] += 1
                continue
            key = f"{happened.name}:{happened.user}:{now}:{index}"
            yield self._new_event(happened.name, key, happened.user, now, happened.fields, {})

    def _allows(self, person: Person) -> bool:
        return self.receive_filter.allows_chat(person.level, person.kind, listed=bool(person.pin))

    def _new_event(
        self,
        name: str,
        key: str,
        user: str | None,
        time: int,
        fields: Mapping[str, Json],
        private: Mapping[str, str],
    ) -> NewEvent:
        event_id = str(fields.get("id", key))  # of a recall the withdrawn message's, which came with an id
        body = event_body(name, event_id=event_id, account=self._account, time=time, user=user, fields=fields)
        return NewEvent(
            key=key,
            topic=self._topics.event(name),
            user=user or "",
            name=name,
            time=time,
            body=body,
            private=private,
        )

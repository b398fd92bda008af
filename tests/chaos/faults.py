"""Planted faults: bugs that the bridge does not have, switched on in a child process so that the judge must see them.

Each replaces methods of the bridge before it starts. Some wait a moment where the right order would not, so that
a kill meets the gap: the gap of a real bug is as wide as a commit.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wx2mqtt.store.database import Connection

GAP_SECONDS = 0.1

Plant = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedFault:
    """A bug: what it does, the kind of finding that it leads to, how it is planted.

    `disruptions` are those under which it shows, `accounts` those at which; empty: all.
    """

    text: str
    finding: str
    plant: Plant
    disruptions: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()


def plant(name: str) -> None:
    """Plants the fault of this name into the bridge of this process."""
    FAULTS[name].plant()


# MQTT to WeChat


def _early_puback() -> None:
    from wx2mqtt.bridge.commands.intake import CommandIntake

    on_delivery, acknowledge = CommandIntake.on_delivery, CommandIntake._acknowledge

    def acknowledge_first(self: CommandIntake, delivery: Any) -> None:
        self._broker.acknowledge(delivery)
        asyncio.get_running_loop().call_later(GAP_SECONDS, on_delivery, self, delivery)

    def acknowledged_already(self: CommandIntake, pending: Any) -> None:
        broker, self._broker = self._broker, _BrokerWithoutAcknowledgement()  # type: ignore[assignment]
        try:
            acknowledge(self, pending)
        finally:
            self._broker = broker

    _replace(CommandIntake, "on_delivery", acknowledge_first)
    _replace(CommandIntake, "_acknowledge", acknowledged_already)


class _BrokerWithoutAcknowledgement:
    """A broker that ignores acknowledgements."""

    def acknowledge(self, _: object) -> None:
        pass

    def set_paused(self, *, wait_or_stop: bool) -> None:
        pass


def _reused_key() -> None:
    from wx2mqtt.bridge.commands.resolver import CommandResolver
    from wx2mqtt.model import SendKey

    _replace(CommandResolver, "send_key", lambda self, row: SendKey(f"1795784000{row.id // 2:06d}"))


def _new_key_on_repeat() -> None:
    from wx2mqtt.bridge.commands.resolver import CommandResolver
    from wx2mqtt.model import SendKey

    _replace(
        CommandResolver, "send_key", lambda self, row: SendKey(str(int(row.key) + 1000 * row.unanswered))
    )


def _attempt_not_marked() -> None:
    from wx2mqtt.store.commands import JournaledCommands

    finish = JournaledCommands.finish

    async def nothing(*_: object, **__: object) -> None:
        pass

    async def finish_only(
        self: Any,
        row_id: int,
        result: Any,
        publications: Any,
        _next: Any = None,
        bundled: Any = (),
        **options: Any,
    ) -> Any:
        await asyncio.sleep(GAP_SECONDS)
        return await finish(self, row_id, result, publications, None, bundled, **options)

    _replace(JournaledCommands, "begin_attempt", nothing)
    _replace(JournaledCommands, "end_unanswered", nothing)
    _replace(JournaledCommands, "finish", finish_only)


def _repeat_without_flag() -> None:
    from wx2mqtt.bridge.commands import next_step, results, sender
    from wx2mqtt.model import Status

    final = results.final_result

    def unflagged(*arguments: Any) -> Any:
        return replace(final(*arguments), duplicate_possible=False)

    def certain(row: Any, *_: object) -> Any:
        return unflagged(row, Status.SENT, "ok", "")

    for module in (results, sender, next_step):
        for name, function in (("final_result", unflagged), ("uncertain_result", certain)):
            if hasattr(module, name):
                setattr(module, name, function)


def _early_result() -> None:
    from wx2mqtt.bridge.commands.send_attempts import SendAttempts
    from wx2mqtt.model import Receipt

    attempt = SendAttempts.attempt

    async def pretend(self: Any, request: Any, row: Any) -> Any:
        async def late() -> None:
            await asyncio.sleep(GAP_SECONDS)
            await attempt(self, request, row)

        pending.add(asyncio.create_task(late()))
        return Receipt(message_id="")

    pending: set[asyncio.Task[None]] = set()
    _replace(SendAttempts, "attempt", pretend)


def _second_result() -> None:
    from wx2mqtt.bridge.commands.send_attempts import CommandProgress
    from wx2mqtt.model import Status

    store = CommandProgress._store_results

    async def store_and_tell(self: Any, results: Any, next_row: Any) -> bool:
        stored = await store(self, results, next_row)
        row, result = results[0]
        if stored and row.id % 5 == 0:
            other = replace(result, status=Status.FAILED, code="internal")
            await self._ctx.publish(self._results.publications(other, row.replies))
        return stored

    _replace(CommandProgress, "_store_results", store_and_tell)


def _forgotten_result() -> None:
    from wx2mqtt.bridge.commands.results import ResultPublications

    publications = ResultPublications.publications

    def some(self: Any, result: Any, replies: Any) -> Any:
        return () if result.id.endswith("7") else publications(self, result, replies)

    _replace(ResultPublications, "publications", some)


def _repeat_after_answer() -> None:
    from wx2mqtt.bridge.commands.send_attempts import SendAttempts

    attempt = SendAttempts.attempt

    async def twice(self: Any, request: Any, row: Any) -> Any:
        if row.id % 5 == 0:
            await attempt(self, request, row)
        return await attempt(self, request, row)

    _replace(SendAttempts, "attempt", twice)


def _commands_swapped() -> None:
    from wx2mqtt.bridge.commands.sender import CommandSender

    add = CommandSender.add

    def add_some_later(self: Any, row: Any, *, is_begun: bool = False) -> None:
        if row.id % 4:
            add(self, row, is_begun=is_begun)
        else:
            asyncio.get_running_loop().call_later(5 * GAP_SECONDS, add, self, row)

    _replace(CommandSender, "add", add_some_later)


# WeChat to MQTT


def _cursor_first() -> None:
    from wx2mqtt.store.received_messages import ReceivedMessages

    record = ReceivedMessages.record

    async def cursor_then_items(
        self: Any, items: Sequence[Any], people: Any, cursor: Any, login_id: str
    ) -> Any:
        if items:
            await record(self, (), people, cursor, login_id)
            await asyncio.sleep(GAP_SECONDS)
        return await record(self, items, people, None if items else cursor, login_id)

    _replace(ReceivedMessages, "record", cursor_then_items)


def _lost_messages() -> None:
    from wx2mqtt.store.received_messages import ReceivedMessages

    record = ReceivedMessages._record

    def shortened(
        self: Any, items: Any, people: Any, cursor: Any, login_id: str, connection: Connection
    ) -> Any:
        kept = items[:-1] if len(items) > 3 else items
        return record(self, kept, people, cursor, login_id, connection)

    _replace(ReceivedMessages, "_record", shortened)


def _seq_reused() -> None:
    from wx2mqtt.store import received_messages
    from wx2mqtt.store.column_values import encode_payload

    def renumbered(body: Mapping[str, Any]) -> bytes:
        seq = body.get("seq", 1)
        return encode_payload({**body, "seq": seq - 1} if seq % 7 == 0 else body)

    _replace(received_messages, "encode_payload", renumbered)


def _other_seq_on_repeat() -> None:
    from wx2mqtt.store import outbox

    row_of = outbox._row

    def renumbered(*values: Any) -> Any:
        row = row_of(*values)
        if row.category != "message":
            return row
        body = json.loads(row.payload)
        return replace(row, payload=json.dumps({**body, "seq": body["seq"] + 1000}).encode())

    _replace(outbox, "_row", renumbered)


def _published_before_puback() -> None:
    from wx2mqtt.bridge.publisher import Publisher

    publish = Publisher._publish

    def mark_first(self: Any, row: Any, *more: Any) -> None:
        async def mark_and_publish() -> None:
            await self._rows._journal.mark_published([row.id])
            await asyncio.sleep(GAP_SECONDS)
            publish(self, row, *more)

        tasks.add(asyncio.ensure_future(mark_and_publish()))

    tasks: set[asyncio.Future[None]] = set()
    _replace(Publisher, "_publish", mark_first)


def _nothing_again_after_reconnect() -> None:
    from wx2mqtt.bridge.outbox_rows import OutboxReader

    _replace(OutboxReader, "restart", lambda _: None)


def _messages_swapped() -> None:
    from wx2mqtt.bridge.outbox_rows import OutboxReader

    add = OutboxReader.add

    def swapped(self: Any, batch: Any) -> None:
        rows = [*batch.rows]
        if len(rows) > 1:
            rows[0], rows[1] = rows[1], rows[0]
        add(self, replace(batch, rows=tuple(rows)))

    _replace(OutboxReader, "add", swapped)


def _no_window() -> None:
    """Everything is published again after a start."""
    from wx2mqtt.store.outbox import Outbox

    mark = Outbox.mark_published

    async def seldom(self: Any, ids: Sequence[int]) -> None:
        await mark(self, [row_id for row_id in ids if row_id % 4 == 0])

    _replace(Outbox, "mark_published", seldom)


def _echo_published() -> None:
    from wx2mqtt.bridge.inbound import InboundMessages

    async def never(*_: object) -> bool:
        return False

    _replace(InboundMessages, "_is_echo", never)


def _stale_names() -> None:
    """A new login keeps the names of the one before: handles are given to whoever comes next."""
    from wx2mqtt.bridge.people.registry import PeopleRegistry

    init = PeopleRegistry.__init__

    def confusing(self: Any, *arguments: Any, **more: Any) -> None:
        init(self, *arguments, **more)
        by_handle = self.by_handle

        def confused(handle: Any) -> Any:
            found = by_handle(handle)
            wrong = {"wife": "mom", "mom": "wife"}
            other = wrong.get(found.topic_name) if found is not None else None
            return self.by_topic_name(other) if other else found

        self.by_handle = confused

    _replace(PeopleRegistry, "__init__", confusing)


def _change_done_again() -> None:
    """What the broker delivers again after a kill is a new request; a second passes before its answer is stored."""
    from wx2mqtt.store.requests import JournaledRequest, JournaledRequests, RequestState

    finish = JournaledRequests.finish

    async def start(*_: object) -> JournaledRequest:
        return JournaledRequest(state=RequestState.FRESH)

    async def finish_late(self: JournaledRequests, *arguments: Any) -> Any:
        await asyncio.sleep(1.0)
        return await finish(self, *arguments)

    _replace(JournaledRequests, "start", start)
    _replace(JournaledRequests, "finish", finish_late)


def _refusal_kept() -> None:
    from wx2mqtt.bridge.context import ReloadStatus

    _replace(ReloadStatus, "record_accepted", lambda _: None)


# WeCom


def _gap_not_reported() -> None:
    """The event about a time without a connection says that there was none."""
    from wx2mqtt.wechat.wecom import receiver

    gap_event = receiver._gap_event
    receiver._gap_event = lambda since, until: gap_event(until + 60_000, until + 60_000)


def _receipt_first() -> None:
    from wx2mqtt.store.received_messages import ReceivedMessages
    from wx2mqtt.wechat.wecom.receiver import Receiver

    batch, record = Receiver._batch, ReceivedMessages.record

    def answered(self: Any, cursor: Any, read: Any) -> Any:
        self._receipts.send(read.answerable.values())
        return batch(self, cursor, read)

    async def record_late(self: Any, *arguments: Any) -> Any:
        await asyncio.sleep(GAP_SECONDS)
        return await record(self, *arguments)

    _replace(Receiver, "_batch", answered)
    _replace(ReceivedMessages, "record", record_late)


def _callback_left_out() -> None:
    """The last one of several callbacks at a time is not read."""
    from wx2mqtt.wechat.wecom.receiver import Receiver

    read = Receiver._read

    async def some(self: Any, callbacks: Any) -> Any:
        return await read(self, callbacks[:-1] if len(callbacks) > 3 else callbacks)

    _replace(Receiver, "_read", some)


# Questions


def _answered_twice() -> None:
    """A question stays open after its answer."""
    from wx2mqtt.store import questions
    from wx2mqtt.store.question_answers import is_in_time

    _replace(
        questions, "is_in_time", lambda question, attempt: is_in_time(replace(question, closed=None), attempt)
    )


def _answer_of_another() -> None:
    """A text in one chat answers the question of another chat."""
    from wx2mqtt.store.questions import _OPEN_QUESTIONS, AnswerMatching

    def newest(self: Any, attempt: Any) -> Any:
        found = self._find(_OPEN_QUESTIONS, 0, 1)
        return found[0] if found else None

    _replace(AnswerMatching, "_question_of", newest)


def _answer_without_event() -> None:
    """A question is closed without an event about its answer."""
    from wx2mqtt.store.questions import AnswerMatching

    match_message, match_press = AnswerMatching._match_message, AnswerMatching._match_press

    def message_alone(self: Any, message: Any, attempt: Any) -> Any:
        return match_message(self, message, attempt)[:1]

    def nothing(self: Any, item: Any) -> Any:
        match_press(self, item)
        return []

    _replace(AnswerMatching, "_match_message", message_alone)
    _replace(AnswerMatching, "_match_press", nothing)


def _replace(owner: object, name: str, function: Callable[..., Any] | Awaitable[Any]) -> None:
    assert hasattr(owner, name), f"{owner} has no {name} any more"
    setattr(owner, name, function)


KILLS = ("kill", "kill at a commit")

FAULTS: Mapping[str, PlantedFault] = {
    "early_puback": PlantedFault(
        text="a command is acknowledged before it is stored",
        finding="result",
        plant=_early_puback,
        disruptions=KILLS,
    ),
    "reused_key": PlantedFault(text="two commands have one client id", finding="identity", plant=_reused_key),
    "new_key_on_repeat": PlantedFault(
        text="a repeated attempt has another client id",
        finding="identity",
        plant=_new_key_on_repeat,
        disruptions=("WeChat fault", "kill"),
    ),
    "attempt_not_marked": PlantedFault(
        text="an attempt is not marked before its request",
        finding="repeat",
        plant=_attempt_not_marked,
        disruptions=KILLS,
    ),
    "repeat_without_flag": PlantedFault(
        text="a repeat does not say `duplicate_possible`",
        finding="repeat",
        plant=_repeat_without_flag,
        disruptions=("WeChat line cut", "kill"),
    ),
    "early_result": PlantedFault(
        text="a command is `sent` before it is", finding="result", plant=_early_result, disruptions=KILLS
    ),
    "second_result": PlantedFault(text="a command has two results", finding="result", plant=_second_result),
    "forgotten_result": PlantedFault(
        text="some results are not published", finding="result", plant=_forgotten_result
    ),
    "repeat_after_answer": PlantedFault(
        text="a command is sent again although WeChat has answered",
        finding="repeat",
        plant=_repeat_after_answer,
    ),
    "commands_swapped": PlantedFault(
        text="commands of a chat overtake each other",
        finding="order",
        plant=_commands_swapped,
    ),
    "cursor_first": PlantedFault(
        text="the cursor is stored before the messages",
        finding="lost",
        plant=_cursor_first,
        disruptions=KILLS,
    ),
    "lost_messages": PlantedFault(
        text="the last message of a long batch is left out", finding="lost", plant=_lost_messages
    ),
    "seq_reused": PlantedFault(text="two messages have one seq", finding="identity", plant=_seq_reused),
    "other_seq_on_repeat": PlantedFault(
        text="a message is published again with another seq",
        finding="identity",
        plant=_other_seq_on_repeat,
        disruptions=("broker restart", "kill"),
    ),
    "published_before_puback": PlantedFault(
        text="a message counts as published before its PUBACK",
        finding="lost",
        plant=_published_before_puback,
        disruptions=KILLS,
    ),
    "nothing_again_after_reconnect": PlantedFault(
        text="what was under way at a disconnect is not published again",
        finding="lost",
        plant=_nothing_again_after_reconnect,
        disruptions=("broker line cut",),
    ),
    "messages_swapped": PlantedFault(
        text="messages of a batch change places", finding="order", plant=_messages_swapped
    ),
    "never_marked": PlantedFault(
        text="published messages are not marked, and all come again after a start",
        finding="repeat",
        plant=_no_window,
        disruptions=("kill",),
    ),
    "echo_published": PlantedFault(
        text="what the bridge sent is published as a message", finding="own", plant=_echo_published
    ),
    "stale_names": PlantedFault(
        text="messages are published under somebody else's topic", finding="identity", plant=_stale_names
    ),
    "refusal_kept": PlantedFault(
        text="a refused file is still said after a good reload",
        finding="reload",
        plant=_refusal_kept,
        disruptions=("reload",),
    ),
    "change_done_again": PlantedFault(
        text="a group is created again after a kill",
        finding="change",
        plant=_change_done_again,
        disruptions=KILLS,
    ),
    "gap_not_reported": PlantedFault(
        text="WeCom: a time without a connection is not told",
        finding="lost",
        plant=_gap_not_reported,
        disruptions=("WeChat away", "gateway restart"),
        accounts=("team",),
    ),
    "receipt_first": PlantedFault(
        text="WeCom: a message is answered before it is stored",
        finding="receipt",
        plant=_receipt_first,
        disruptions=KILLS,
        accounts=("team",),
    ),
    "callback_left_out": PlantedFault(
        text="WeCom: one of several messages that come at once is left out",
        finding="lost",
        plant=_callback_left_out,
        disruptions=("WeChat fault", "SIGSTOP"),
        accounts=("team",),
    ),
    "answered_twice": PlantedFault(
        text="a question stays open after its answer",
        finding="button",
        plant=_answered_twice,
        disruptions=("kill", "WeChat fault"),
    ),
    "answer_of_another": PlantedFault(
        text="an answer in one chat counts for the question of another one",
        finding="button",
        plant=_answer_of_another,
        disruptions=("kill", "WeChat fault"),
        accounts=("home", "team"),
    ),
    "answer_without_event": PlantedFault(
        text="a question is closed without an event about its answer",
        finding="button",
        plant=_answer_without_event,
        disruptions=("kill", "WeChat fault"),
    ),
}

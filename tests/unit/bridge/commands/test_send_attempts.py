"""Single attempts: what the echo filter hears of them, and when messages look as if nobody saw them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.rows import every_row
from tests.unit.bridge.commands_harness import CAPABILITIES
from tests.unit.bridge.contexts import context
from tests.unit.bridge.rows import row_of
from wx2mqtt.bridge.commands.send_attempts import UNCONFIRMED_WARNING_COUNT, SendAttempts, is_unconfirmed
from wx2mqtt.bridge.wechat_calls import EchoFilter
from wx2mqtt.clock import now_ms
from wx2mqtt.errors import BackendError, OutcomeUnknown, Rejected, Unreachable
from wx2mqtt.model import ActionResult, ChatKind, Draft, Handle, Kind, Message, Recall, Receipt, SendKey
from wx2mqtt.store.command_records import CommandRow

CHAT = Handle("@wife")
ROW = row_of(1, "wife", "hi")
DRAFT = Draft(chat=CHAT, kind=Kind.TEXT, text="hi")

Outcome = Receipt | BackendError


class AttemptsHarness:
    """Attempts with scripted outcomes, and a journal with the commands and codes of the previous process."""

    def __init__(self, *, has_reply_window: bool = True) -> None:
        self.outcomes: list[Outcome] = []
        self.keys: list[SendKey] = []
        self.unanswered: list[CommandRow] = []
        self.codes: list[str] = []
        self.echoes = EchoFilter()
        self.echoes.recovered.set()
        backend = SimpleNamespace(capabilities=replace(CAPABILITIES, has_reply_window=has_reply_window))
        ctx = context(backend=backend, journal=SimpleNamespace(commands=self))
        resolver: Any = SimpleNamespace(
            send_key=lambda row: row.key,
            chat_of=lambda _row: CHAT,
            parts_of=lambda row: (row.command.text,),
            expected_echo=lambda row: (Kind.TEXT, row.command.text),
        )
        calls: Any = self
        self.attempts = SendAttempts(ctx, calls, resolver, self.echoes)

    async def send(self, _draft: Draft, key: SendKey) -> Outcome:
        self.keys.append(key)
        return self.outcomes.pop(0)

    async def perform(self, _action: Recall, key: SendKey) -> ActionResult:
        self.keys.append(key)
        return ActionResult()

    async def list_unanswered(self, _since: int) -> list[CommandRow]:
        return self.unanswered

    async def last_result_codes(self, count: int) -> list[str]:
        return self.codes[:count]

    async def attempt(self, *outcomes: Outcome) -> None:
        """Makes an attempt for each outcome."""
        self.outcomes += outcomes
        for outcome in outcomes:
            assert await self.attempts.attempt(DRAFT, ROW) is outcome

    def is_echo(self, message_id: str, text: str = "hi", time: int | None = None) -> bool:
        """Returns whether the owner's message with this id and text is taken for an echo."""
        message = Message(
            key=message_id,
            id=message_id,
            chat=CHAT,
            chat_kind=ChatKind.FRIEND,
            sender=None,
            from_self=True,
            kind=Kind.TEXT,
            text=text,
            time=now_ms() if time is None else time,
        )
        return self.echoes.is_echo(message)


async def test_the_echo_of_a_sent_message_is_known_by_its_id_and_by_nothing_else():
    harness = AttemptsHarness()
    await harness.attempt(Receipt(message_id="m1"))
    assert harness.is_echo("m1", "WeChat changed the text")
    assert not harness.is_echo("m2")


@pytest.mark.parametrize("outcome", [OutcomeUnknown(), Receipt(message_id="")])
async def test_the_echo_of_a_message_without_an_id_is_known_by_its_text_once(outcome: Outcome):
    harness = AttemptsHarness()
    await harness.attempt(outcome)
    assert [harness.is_echo(f"m{number}") for number in range(2)] == [True, False]


@pytest.mark.parametrize("outcome", [Rejected("no"), Unreachable(), Receipt(message_id=None)])
async def test_a_message_that_was_not_delivered_or_needs_no_id_has_no_echo(outcome: Outcome):
    harness = AttemptsHarness()
    await harness.attempt(outcome)
    assert not harness.is_echo("m1")


async def test_a_recall_has_the_key_of_its_command_and_no_echo():
    harness = AttemptsHarness()
    await harness.attempts.attempt(Recall(chat=CHAT, message_id="m1"), ROW)
    assert harness.keys == [ROW.key]
    assert not harness.is_echo("m1", "")


@every_row(
    ("outcome", "unconfirmed"),
    [
        (Receipt(message_id=""), True),
        (Receipt(message_id="m1"), False),
        (Receipt(message_id=None), False),
        (ActionResult(), False),
        (OutcomeUnknown(), False),
    ],
)
def test_a_message_is_unconfirmed_where_wechat_leaves_out_the_id_that_it_gives_otherwise(
    outcome: Receipt | ActionResult | BackendError, unconfirmed: bool
):
    assert is_unconfirmed(outcome) is unconfirmed


async def test_so_many_unconfirmed_messages_in_a_row_look_as_if_nobody_saw_them():
    harness = AttemptsHarness()
    unconfirmed = [Receipt(message_id="") for _ in range(UNCONFIRMED_WARNING_COUNT)]
    await harness.attempt(*unconfirmed[1:], Rejected("no"))
    assert not harness.attempts.is_muted
    await harness.attempt(unconfirmed[0])
    assert harness.attempts.is_muted
    await harness.attempt(Receipt(message_id="m1"))
    assert not harness.attempts.is_muted


async def test_without_a_reply_window_nobody_is_taken_for_muted():
    harness = AttemptsHarness(has_reply_window=False)
    await harness.attempt(*(Receipt(message_id="") for _ in range(UNCONFIRMED_WARNING_COUNT)))
    assert not harness.attempts.is_muted


@pytest.mark.parametrize(
    ("codes", "is_muted"),
    [(["unconfirmed"] * UNCONFIRMED_WARNING_COUNT, True), (["unconfirmed", "ok", "unconfirmed"], False)],
)
async def test_after_a_start_the_last_results_say_whether_messages_are_seen(codes: list[str], is_muted: bool):
    harness = AttemptsHarness()
    harness.codes = codes
    await harness.attempts.recover()
    assert harness.attempts.is_muted is is_muted


async def test_after_a_start_as_many_echoes_are_expected_as_the_previous_process_made_attempts():
    harness = AttemptsHarness()
    accepted = now_ms()
    harness.unanswered = [replace(ROW, accepted=accepted, attempts=2, unanswered=2)]
    await harness.attempts.recover()
    known = [harness.is_echo(f"m{number}", time=accepted) for number in range(3)]
    assert known == [True, True, False]

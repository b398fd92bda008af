"""A card shows the answer that was pressed; a card that fails does not stop the others."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.pauseless_loop import run_without_pauses
from tests.unit.bridge.contexts import context
from wx2mqtt.bridge.commands.questions import MAX_WAITING_UPDATES, UPDATE_SECONDS, CardUpdates
from wx2mqtt.errors import Rejected
from wx2mqtt.model import Button, ButtonPress, Handle, PersonId
from wx2mqtt.store.question_records import AskedQuestion, CardUpdate

QUESTION = AskedQuestion(
    id=1,
    account="home",
    command=1,
    command_id="lock",
    user="wife",
    person=PersonId(1),
    text="Lock?",
    buttons=(Button(text="Yes", key="yes"),),
    anyone=False,
    asked=0,
    until=None,
    closed=None,
    answer="",
)


def update(key: str, chosen: str = "Yes") -> CardUpdate:
    press = ButtonPress(
        key=key, chat=Handle("@wife"), sender=Handle("@wife"), card_id="card", button="yes", time=1
    )
    return CardUpdate(press=press, question=QUESTION, chosen=chosen)


class FakeCardBackend:
    """A backend whose cards fail as their key says; `last_shown` is set by the press with the key "last"."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str, str]] = []
        self.last_shown = asyncio.Event()

    async def update_card(
        self, press: ButtonPress, text: str, buttons: tuple[Button, ...], chosen: str
    ) -> None:
        assert buttons == QUESTION.buttons
        match press.key:
            case "refused":
                raise Rejected("too late", code="refused_by_wechat")
            case "bug":
                raise KeyError
            case "stuck":
                await asyncio.Event().wait()
        self.shown.append((press.key, text, chosen))
        if press.key == "last":
            self.last_shown.set()


async def _show_all(*updates: CardUpdate) -> tuple[FakeCardBackend, float]:
    backend: Any = FakeCardBackend()
    showing = CardUpdates(context(backend=backend))
    showing.add(updates)
    started_at = asyncio.get_running_loop().time()
    running = asyncio.create_task(showing.run())
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        await backend.last_shown.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return backend, asyncio.get_running_loop().time() - started_at


def test_each_card_shows_its_own_answer_whatever_happens_to_others() -> None:
    async def scenario() -> None:
        updates = (update("refused"), update("bug"), update("stuck"), update("late", ""), update("last"))
        backend, seconds = await _show_all(*updates)
        assert backend.shown == [("late", "Lock?", ""), ("last", "Lock?", "Yes")]
        assert seconds < UPDATE_SECONDS

    run_without_pauses(scenario())


def test_a_flood_of_presses_leaves_cards_as_they_are() -> None:
    async def scenario() -> None:
        most = MAX_WAITING_UPDATES
        keys = [*map(str, range(most - 1)), "last", "beyond"]
        backend, _ = await _show_all(*map(update, keys))
        assert [key for key, *_ in backend.shown] == keys[:most]

    run_without_pauses(scenario())

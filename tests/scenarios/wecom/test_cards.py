"""A question on WeCom's simulated gateway: the card, the press of a button, and the answer on the card."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from tests.scenarios.wecom.logins import SECTION, START, backend_at, logged_in
from tests.scenarios.wecom.sending import text_draft
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.wecom_home import BOT, WeComControl
from wx2mqtt.errors import Rejected, Unreachable
from wx2mqtt.model import Button, ButtonPress, Cursor, Handle, SendKey
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.wecom.people import userid_of

ME = Handle(f"user:{userid_of('me')}")
BUTTONS = (Button(text="Yes", key="yes"), Button(text="No", key="no"))
LONG_TEXT = "Shall I open the garage? " * 10
SEND_KEY = SendKey("1")


@asynccontextmanager
async def backend_with_chat() -> AsyncIterator[tuple[Any, WeComControl, Cursor]]:
    """Gives a backend to which `me` has written; asserts at the end that it kept to the protocol."""
    async with Simulator() as simulator:
        control = WeComControl(simulator.url)
        await control.post("settings", strict=True)
        gateway: Any = SimpleNamespace(endpoint=simulator.url)
        async with backend_at(gateway, section={**SECTION, **BOT}) as backend:
            await logged_in(backend)
            await control.write("hello")
            batch = await next_batch(backend, START)
            yield backend, control, batch.cursor
        violations = await control.get("violations")
        assert violations == [], violations
        await control.close()


async def next_batch(backend: Any, cursor: Cursor) -> Any:
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not (batch := await backend.receive(cursor)).items:
            cursor = batch.cursor
    return batch


async def press_button(backend: Any, control: WeComControl, cursor: Cursor, key: str) -> ButtonPress:
    await control.post("wecom/press", key=key)
    (press,) = (await next_batch(backend, cursor)).items
    assert isinstance(press, ButtonPress)
    return press


@pytest.mark.parametrize("text", ["Open the garage?", "Garage\nThe car stands before it. Open?", LONG_TEXT])
@pytest.mark.parametrize(("chosen", "shown"), [("Yes", "✓ Yes"), ("", "too late")])
async def test_a_press_is_received_and_its_answer_shown_on_the_card(text: str, chosen: str, shown: str):
    async with backend_with_chat() as (backend, control, cursor):
        await backend.send(text_draft(text, ME, buttons=BUTTONS, card_id="q1@home_1"), SEND_KEY)
        press = await press_button(backend, control, cursor, "yes")
        assert (press.chat, press.sender, press.card_id, press.button) == (ME, ME, "q1@home_1", "yes")
        await backend.update_card(press, text, BUTTONS, chosen)
        sent = await control.get("wecom/sent")
        assert [message["command"] for message in sent if message["command"] != "respond"][-1] == "update"
        assert shown in str(sent[-1]["card"])
        markdown_texts = " ".join(message["shown"] for message in sent if message["kind"] == "markdown")
        assert (text is LONG_TEXT) == ("Shall I open the garage?" in markdown_texts)


async def test_the_answer_to_a_press_of_an_ended_connection_is_an_error():
    async with backend_with_chat() as (backend, control, cursor):
        await backend.send(text_draft("Open?", ME, buttons=BUTTONS, card_id="q2"), SEND_KEY)
        press = await press_button(backend, control, cursor, "no")
        await backend._client.connection.close()
        with pytest.raises(Unreachable):
            await backend.update_card(press, "Open?", BUTTONS, "No")


async def test_a_card_id_that_was_used_is_refused():
    async with backend_with_chat() as (backend, control, _cursor):
        draft = text_draft("Open?", ME, buttons=BUTTONS, card_id="q3")
        await backend.send(draft, SEND_KEY)
        with pytest.raises(Rejected):
            await backend.send(draft, SEND_KEY)
        await control.post("violations/clear")

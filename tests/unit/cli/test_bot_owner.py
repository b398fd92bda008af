"""The questions about a bot at the terminal, with a channel that a test plays."""

from __future__ import annotations

import io
import sys

import pytest
from typing_extensions import override

from wx2mqtt.cli import bot_owner as module
from wx2mqtt.cli.bot_owner import OwnerByBridge, OwnerChannel, OwnerReport, ask_about_owner
from wx2mqtt.model import Json


class Played(OwnerChannel):
    """A bot; `arrivals` are who writes while somebody waits."""

    def __init__(self, need: str, *people: str, arrivals: tuple[str, ...] = ()) -> None:
        self.need = need
        self.people = list(people)
        self.arrivals = list(arrivals)
        self.said: list[tuple[str, str]] = []

    @override
    async def state(self) -> OwnerReport:
        return {"need": self.need, "bot": "aib1", "people": list(self.people)} if self.need != "none" else {}

    @override
    async def confirm(self, bot_id: str) -> None:
        self.said.append(("confirm", bot_id))
        self.need = "owner_unnamed"

    @override
    async def name(self, user: str) -> None:
        self.said.append(("name", user))
        self.need = ""

    @override
    async def wait_for_people(self) -> None:
        self.people.append(self.arrivals.pop(0))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is typed, in turn; there is a terminal."""
    typed: list[str] = []

    async def read_line() -> str:
        return typed.pop(0)

    monkeypatch.setattr(module, "read_line", read_line)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    return typed


async def asked(channel: Played) -> str:
    out = io.StringIO()
    await ask_about_owner(channel, out, "en")
    return out.getvalue()


async def test_a_scanned_bot_is_confirmed_and_the_next_who_writes_is_the_owner(answers: list[str]):
    answers += ["y", "yes"]
    channel = Played("owner_unconfirmed", arrivals=("li",))
    text = await asked(channel)
    assert channel.said == [("confirm", "aib1"), ("name", "li")]
    assert "The bot aib1 was made by a scan" in text
    assert "Write to the bot" in text
    assert text.endswith("li is the owner, and trusted.\n")


@pytest.mark.parametrize("typed", ["", "n", "nein", "yeah"])
async def test_anything_but_yes_confirms_nothing(answers: list[str], typed: str):
    answers.append(typed)
    channel = Played("owner_unconfirmed", "li")
    assert "nobody is trusted" in await asked(channel)
    assert channel.said == []


async def test_each_is_offered_once_until_one_is_the_operator(answers: list[str]):
    answers += ["n", "n", "是"]
    channel = Played("owner_unnamed", "li", "wang", arrivals=("zhao",))
    text = await asked(channel)
    assert channel.said == [("name", "zhao")]
    assert "Write to the bot" not in text
    assert text.count("Is that you?") == 3


@pytest.mark.parametrize("need", ["none", ""])
async def test_where_nothing_is_missing_nothing_is_asked(answers: list[str], need: str):
    channel = Played(need, "li")
    assert await asked(channel) == ""
    assert channel.said == []


async def test_without_a_terminal_nothing_is_confirmed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    channel = Played("owner_unconfirmed", "li")
    assert "nobody is trusted" in await asked(channel)
    assert await asked(Played("owner_unnamed", "li")) == ""
    assert channel.said == []


async def test_the_running_bridge_gets_the_answers():
    operations: list[tuple[str, dict[str, Json]]] = []

    async def ask(operation: str, **fields: Json) -> OwnerReport:
        operations.append((operation, fields))
        return {"need": ""}

    channel = OwnerByBridge(ask)
    assert await channel.state() == {"need": ""}
    await channel.confirm("aib1")
    await channel.name("li")
    assert operations == [
        ("owner.show", {}),
        ("owner.confirm", {"bot": "aib1"}),
        ("owner.name", {"user": "li"}),
    ]

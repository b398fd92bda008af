"""The questions at the terminal about the owner of a WeCom bot."""

from __future__ import annotations

import io
import sys

import pytest
from typing_extensions import override

from wx2mqtt.cli import bot_owner as module
from wx2mqtt.cli.bot_owner import OwnerByBridge, OwnerChannel, OwnerReport, ask_about_owner
from wx2mqtt.model import Json


class FakeOwnerChannel(OwnerChannel):
    """The owner of a bot as the bridge knows it; `arrivals` write to the bot one by one, when waited for."""

    def __init__(self, need: str, *people: str, arrivals: tuple[str, ...] = ()) -> None:
        self.need = need
        self.people = list(people)
        self.arrivals = list(arrivals)
        self.calls: list[tuple[str, str]] = []

    @override
    async def state(self) -> OwnerReport:
        return {"need": self.need, "bot": "aib1", "people": list(self.people)} if self.need != "none" else {}

    @override
    async def confirm(self, bot_id: str) -> None:
        self.calls.append(("confirm", bot_id))
        self.need = "owner_unnamed"

    @override
    async def name(self, user: str) -> None:
        self.calls.append(("name", user))
        self.need = ""

    @override
    async def wait_for_people(self) -> None:
        self.people.append(self.arrivals.pop(0))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The answers that are typed at a terminal, in turn."""
    typed: list[str] = []

    async def read_line() -> str:
        return typed.pop(0)

    monkeypatch.setattr(module, "read_line", read_line)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    return typed


async def run_questions(channel: FakeOwnerChannel) -> str:
    """Asks all questions; returns what was printed."""
    out = io.StringIO()
    await ask_about_owner(channel, out, "en")
    return out.getvalue()


async def test_a_scanned_bot_is_confirmed_and_the_next_who_writes_is_the_owner(answers: list[str]):
    answers += ["y", "yes"]
    channel = FakeOwnerChannel("owner_unconfirmed", arrivals=("li",))
    text = await run_questions(channel)
    assert channel.calls == [("confirm", "aib1"), ("name", "li")]
    assert "The bot aib1 was made by a scan" in text
    assert "Write to the bot" in text
    assert text.endswith("li is the owner, and trusted.\n")


@pytest.mark.parametrize("typed", ["", "n", "nein", "yeah"])
async def test_anything_but_yes_confirms_nothing(answers: list[str], typed: str):
    answers.append(typed)
    channel = FakeOwnerChannel("owner_unconfirmed", "li")
    assert "nobody is trusted" in await run_questions(channel)
    assert channel.calls == []


async def test_each_person_is_offered_once_until_one_is_the_operator(answers: list[str]):
    answers += ["n", "n", "是"]
    channel = FakeOwnerChannel("owner_unnamed", "li", "wang", arrivals=("zhao",))
    text = await run_questions(channel)
    assert channel.calls == [("name", "zhao")]
    assert "Write to the bot" not in text
    assert text.count("Is that you?") == 3


@pytest.mark.parametrize("need", ["none", ""])
async def test_nothing_is_asked_where_the_owner_is_known_or_none_is_needed(answers: list[str], need: str):
    channel = FakeOwnerChannel(need, "li")
    assert await run_questions(channel) == ""
    assert channel.calls == []


async def test_without_a_terminal_nothing_is_confirmed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    channel = FakeOwnerChannel("owner_unconfirmed", "li")
    assert "nobody is trusted" in await run_questions(channel)
    assert await run_questions(FakeOwnerChannel("owner_unnamed", "li")) == ""
    assert channel.calls == []


async def test_the_answers_are_passed_to_the_running_bridge():
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

"""`wx2mqtt people`: it lists the topics of people and assigns them, beside the running bridge and without it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.home import Home
from tests.support.terminal import Done, Terminal

Run = Callable[..., Awaitable[Done]]


@pytest.fixture
def run_people(home: Home, tmp_path: Path) -> Run:
    """Returns a function that runs `wx2mqtt people …` with the configuration of the bridge."""
    folder = tmp_path / "terminal"
    folder.mkdir()
    terminal = Terminal(folder)

    async def run_people(*arguments: str) -> Done:
        return await home.in_thread(terminal.run, "people", *arguments, "-c", str(home.bridge.config))

    return run_people


async def people_by_topic(run_people: Run) -> dict[str, dict[str, object]]:
    """Returns the people by their topics, from `people list --json`."""
    done = await run_people("list", "--json")
    assert (done.code, done.err) == (0, "")
    return {person["user"]: person for person in json.loads(done.out)["people"]}


@pytest.mark.parametrize("runs", [True, False], ids=["beside the bridge", "without it"])
async def test_everybody_is_listed_with_how_they_were_found(home: Home, run_people: Run, runs: bool):
    await home.log_in()
    if not runs:
        await home.in_thread(home.bridge.stop)
    people = await people_by_topic(run_people)
    assert people["wife"]["matched_by"] == "pin"
    assert people["wife"]["trusted"] is True
    assert people["family"]["kind"] == "group"
    assert "filehelper" in people
    head, *lines = (await run_people("list")).out.splitlines()
    assert head.split() == ["user", "kind", "name", "matched_by", "trusted", "removed", "unresolved"]
    assert len(lines) == len(people)
    (wife,) = [line for line in lines if line.startswith("wife ")]
    assert wife.split() == ["wife", "friend", "老婆", "pin", "yes"]


@pytest.mark.parametrize("command", ["assign", "merge"])
@pytest.mark.parametrize("runs", [True, False], ids=["beside the bridge", "without it"])
async def test_a_person_with_a_new_account_gets_the_old_topic_by_assign_and_both_names_work(
    home: Home, run_people: Run, runs: bool, command: str
):
    await home.log_in()
    await home.control.post("people", remove={"id": "lilei"})
    await home.body("wx/event/contact_removed", user="李雷")
    await home.control.post("people", add={"id": "lilei2", "nickname": "Li Lei, new phone"})
    newcomer = (await home.body("wx/event/contact_added", name="Li Lei, new phone"))["user"]
    if not runs:
        await home.in_thread(home.bridge.stop)
    done = await run_people(command, "李雷", newcomer)
    assert (done.code, done.err) == (0, "")
    people = await people_by_topic(run_people)
    assert newcomer not in people
    assert (people["李雷"]["removed"], people["李雷"]["matched_by"]) == (False, "owner_decided")
    if not runs:
        await home.restart()
    for topic in ("李雷", newcomer):
        home.subscriber.say(f"wx/out/{topic}", {"text": f"to {topic}"})
    sent = await home.control.sent(2)
    assert [(message["to"], message["text"]) for message in sent] == [
        ("lilei2", "to 李雷"),
        ("lilei2", f"to {newcomer}"),
    ]


@pytest.mark.parametrize(
    "line",
    [("assign", "wife", "family"), ("assign", "nobody", "wife"), ("merge", "wife", "nobody")],
    ids=" ".join,
)
@pytest.mark.parametrize("runs", [True, False], ids=["beside the bridge", "without it"])
async def test_an_impossible_decision_is_refused_in_one_line_and_changes_nothing(
    home: Home, run_people: Run, line: tuple[str, ...], runs: bool
):
    await home.log_in()
    before = await people_by_topic(run_people)
    if not runs:
        await home.in_thread(home.bridge.stop)
    done = await run_people(*line)
    assert (done.code, done.out) == (1, "")
    (complaint,) = done.complaints
    assert any(f"'{name}'" in complaint for name in line[1:])
    assert await people_by_topic(run_people) == before


async def test_an_account_that_is_not_there_is_named_with_those_that_are(home: Home, run_people: Run):
    await home.log_in()
    done = await run_people("list", "--account", "work")
    assert done.code == 1
    assert done.complaints == ["there is no account 'work'; the configuration has home"]

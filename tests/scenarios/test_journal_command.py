"""`wx2mqtt journal` and `healthcheck`, beside the running bridge and without it."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.broker import free_port
from tests.support.home import Home
from tests.support.terminal import Done, Terminal
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.records import NewPublication
from wx2mqtt.store.sqlite_database import SqliteDatabase


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    folder = tmp_path / "terminal"
    folder.mkdir()
    return Terminal(folder)


@pytest.fixture
def run(home: Home, terminal: Terminal):
    """Gives `await run("journal", "list")`, which runs a command on the configuration of the home."""

    async def run(*arguments: str, code: int = 0) -> Done:
        done: Done = await home.in_thread(terminal.run, *arguments, "-c", str(home.bridge.config))
        assert done.code == code, done
        assert "Traceback" not in done.err
        return done

    return run


async def listed_states(run: Any, *options: str) -> dict[str, str]:
    """Returns the states of the commands that `journal list` shows, by id."""
    shown = json.loads((await run("journal", "list", "--json", *options)).out)
    return {command["id"]: command["state"] for command in shown["commands"]}


async def send_one_of_each_outcome(home: Home) -> None:
    """Publishes commands that are sent, fail, stay uncertain, are rejected and wait."""
    await home.send_command("wife", {"text": "sent", "id": "sent"})
    await home.control.post("fault", endpoint="webwxsendmsg", kind="ret", value=1204)
    await home.send_command("wife", {"text": "failed", "id": "failed"})
    await home.control.post("fault", endpoint="webwxsendmsg", kind="drop_answer", times=2)
    await home.send_command("wife", {"text": "uncertain", "id": "uncertain"})
    await home.send_command("wife", {"text": "", "id": "rejected"})
    await home.control.post("fault", endpoint="webwxsendmsg", kind="ret", value=1205)
    calls = (await home.control.get("state"))["calls"]["webwxsendmsg"]
    await home.publish("wx/out/wife", {"text": "秘密 waiting", "id": "waiting"})
    await home.control.wait(f"calls:webwxsendmsg:{calls + 1}")


UNSENT = {"waiting": "waiting", "uncertain": "uncertain", "failed": "failed", "rejected": "rejected"}


@pytest.mark.parametrize("bridge_runs", [True, False])
async def test_commands_that_were_not_sent_are_listed_shown_dropped_and_sent_again(
    home: Home, run: Any, bridge_runs: bool
):
    await home.log_in()
    await send_one_of_each_outcome(home)
    if not bridge_runs:
        await home.in_thread(home.bridge.stop)

    assert await listed_states(run) == UNSENT
    assert await listed_states(run, "--all") == {**UNSENT, "sent": "sent"}
    table = (await run("journal", "list")).out.splitlines()
    assert table[0].split() == ["id", "user", "sender", "state", "code", "accepted", "attempts", "message"]
    assert "秘密" not in "\n".join(table), "texts are shown one at a time"

    shown = json.loads((await run("journal", "show", "waiting")).out)
    assert (shown["text"], shown["state"], shown["user"]) == ("秘密 waiting", "waiting", "wife")

    since = home.subscriber.count
    dropped = json.loads((await run("journal", "drop", "waiting")).out)
    assert dropped["code"] == "dropped"
    retried = json.loads((await run("journal", "retry", "failed")).out)
    assert (retried["id"], retried["state"]) == ("failed~1", "waiting")
    assert (await listed_states(run))["waiting"] == "rejected"

    if not bridge_runs:
        await home.restart()
    result = await home.body("wx/result/wife", id="waiting", since=since)
    assert (result["status"], result["code"]) == ("rejected", "dropped")
    if bridge_runs:  # The pause after the refusal of WeChat is long by now; a new start tries at once.
        await home.in_thread(home.bridge.stop)
        await home.restart()
    assert (await home.body("wx/result/wife", id="failed~1", since=since))["status"] == "sent"
    texts = [message["text"] for message in await home.control.get("sent")]
    assert (texts.count("failed"), texts.count("秘密 waiting")) == (1, 0)


async def test_an_operation_that_is_not_possible_ends_with_one_line(home: Home, run: Any):
    await home.log_in()
    await home.send_command("wife", {"text": "sent", "id": "sent"})
    await home.send_command("wife", {"text": "", "id": "empty"})
    beside_the_bridge = (
        ("show nobody", "no command has the id 'nobody'"),
        ("drop nobody", "no command has the id 'nobody'"),
        ("retry sent", "command 'sent' was sent"),
        ("retry empty", "its content is not kept; publish it again"),
        ("list --account office", "there is no account 'office'"),
    )
    without_a_bridge = (
        ("retry nobody", "no command has the id 'nobody'"),
        ("drop sent", "command 'sent' has its result already"),
        ("retry 7 --row", "no message 7 was set aside"),
    )
    for line, reason in beside_the_bridge:
        await assert_refused(run, line, reason)
    await home.in_thread(home.bridge.stop)
    for line, reason in without_a_bridge:
        await assert_refused(run, line, reason)


async def assert_refused(run: Any, line: str, reason: str) -> None:
    """Asserts that a command ends with 1 and one line that contains the reason."""
    (complaint,) = (await run("journal", *line.split(), code=1)).complaints
    assert reason in complaint


async def test_a_row_that_is_no_number_is_a_wrong_command_line(home: Home, run: Any):
    await home.log_in()
    done = await run("journal", "retry", "seven", "--row", code=2)
    assert "a row is a number" in done.err


@pytest.mark.in_folder
async def test_a_message_that_was_set_aside_is_listed_and_published_again(home: Home, run: Any):
    await home.log_in()
    await home.in_thread(home.bridge.stop)
    database = await SqliteDatabase.open(home.bridge.store / "wx2mqtt.db")
    journal = Journal(database, "home")
    await journal.open()
    await journal.outbox.add(
        [
            NewPublication(
                topic="wx/result/wife", payload=b'{"id": "aside"}', category="result", content_type=""
            )
        ]
    )
    (row,) = await journal.outbox.list_waiting(0, 10)
    await journal.outbox.mark_rejected([row.id], "larger than the broker takes")
    await database.close()
    await home.restart()
    (set_aside,) = json.loads((await run("journal", "list", "--json")).out)["set_aside"]
    assert (set_aside["row"], set_aside["topic"], set_aside["why"]) == (
        row.id,
        "wx/result/wife",
        "larger than the broker takes",
    )
    assert "messages_set_aside" in (await run("healthcheck", code=1)).out
    assert home.subscriber.on("wx/result/wife") == []
    await run("journal", "retry", str(row.id), "--row")
    await home.body("wx/result/wife", id="aside")
    assert (await run("healthcheck")).out.strip() == "well"


async def test_the_socket_is_for_its_owner_only_and_is_removed_with_the_bridge(home: Home):
    await home.log_in()
    socket = home.bridge.store / "control.sock"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    await home.in_thread(home.bridge.stop)
    assert not socket.exists()


async def test_a_socket_that_a_killed_bridge_left_is_not_taken_for_a_bridge(home: Home, run: Any):
    await home.log_in()
    await home.send_command("wife", {"text": "sent", "id": "sent"})
    await home.in_thread(home.bridge.kill)
    assert (home.bridge.store / "control.sock").exists()
    assert await listed_states(run, "--all") == {"sent": "sent"}
    await home.restart()
    assert await listed_states(run, "--all") == {"sent": "sent"}


async def test_the_reason_is_in_chinese_where_the_language_is_chinese(home: Home, run: Any):
    home.bridge.configure(home.settings(language="zh"))
    await home.log_in()
    (line,) = (await run("journal", "show", "nobody", code=1)).complaints
    assert "没有 id 为“nobody”的命令" in line


# healthcheck


async def test_the_health_of_a_bridge_is_an_exit_code(home: Home, run: Any):
    assert "No bridge runs" in (await run("healthcheck", code=1)).out
    assert "No bridge runs" in (await run("healthcheck", "--live", code=1)).out
    home.bridge.start()
    await home.control.wait("code")
    await home.body("wx/login/state", state="waiting_for_scan")
    assert (await run("healthcheck", code=1)).out.strip() == "home: login_waiting_for_scan"
    assert (await run("healthcheck", "--live")).out.strip() == "well"
    since = home.subscriber.count
    await home.control.post("scan")
    await home.control.post("confirm")
    await home.body("wx/login/state", state="online", since=since)
    assert (await run("healthcheck")).out.strip() == "well"
    assert (await run("healthcheck", "--live")).out.strip() == "well"


async def test_commands_that_were_not_sent_are_in_health_page_log_and_journal_and_stop_no_bridge(
    home: Home, run: Any
):
    port = free_port()
    home.bridge.configure(home.settings(web={"listen": f"127.0.0.1:{port}"}))
    await home.log_in()
    content = "the safe opens with 4711"
    await home.control.post("fault", endpoint="webwxsendmsg", kind="ret", value=1205)  # too often
    for number in range(5):
        await home.publish("wx/out/wife", {"text": content, "id": f"late-{number}", "ttl": 1})
    for number in range(5):
        assert (await home.body("wx/result/wife", id=f"late-{number}"))["status"] == "expired"
    for number in range(20):
        assert (await home.send_command("wife", {"txt": content, "id": f"bad-{number}"}))[
            "status"
        ] == "rejected"

    health = (await home.send_request("health"))["data"]
    assert (health["healthy"], health["problems"]) == (False, ["commands_failed"])
    assert (health["commands"]["failed_today"], health["commands"]["failing"]) == (25, ["wife"])
    await home.body("wx/bridge/health", problems=["commands_failed"])
    assert {*await listed_states(run)} == {f"late-{n}" for n in range(5)} | {f"bad-{n}" for n in range(20)}
    lines = [line for line in home.bridge.log if "a command was not sent" in line]
    assert len(lines) == 25
    assert content not in "\n".join(home.bridge.log)
    assert all(word in lines[0] for word in ("late-0", "wife", "expired", "not sent within its time"))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        assert "A command was not sent" in (await http.get("/")).text
        assert [(await http.get(path)).status_code for path in ("/livez", "/healthz")] == [200, 200]
    assert (await run("healthcheck")).out.strip() == "well"

    await home.in_thread(home.bridge.stop)
    await home.restart()
    health = (await home.send_request("health"))["data"]
    assert (health["problems"], health["commands"]["failed_today"]) == (["commands_failed"], 25)
    since = home.subscriber.count
    assert (await home.send_command("wife", {"text": "hello", "id": "good"}))["status"] == "sent"
    health = await home.body("wx/bridge/health", problems=[], since=since)
    assert (health["healthy"], health["commands"]["failed_today"]) == (True, 25)


async def test_without_its_broker_the_bridge_is_alive_and_not_healthy(home: Home, run: Any):
    await home.log_in()
    log_length = len(home.bridge.log)
    await home.in_thread(home.broker.kill)
    await home.in_thread(home.bridge.wait_for_log, "broker", since=log_length)
    assert "home: broker_away" in (await run("healthcheck", code=1)).out
    assert (await run("healthcheck", "--live")).out.strip() == "well"
    await home.in_thread(home.broker.start)

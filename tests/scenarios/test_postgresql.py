"""The whole bridge on PostgreSQL: the database has all that it needs, and it stops where the connection is lost."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from tests.scenarios.test_backup import wx2mqtt
from tests.support.broker import DURABLE
from tests.support.home import Home, at_home
from tests.support.postgresql import TESTED_STORE
from tests.support.process import BridgeProcess
from tests.support.wecom_home import BOT, WeComHome, at_wecom_home
from wx2mqtt.cli.operations import EXIT_TEMPORARY


@pytest_asyncio.fixture
async def home(with_mosquitto: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Home]:
    """Yields a home whose bridge has its store in a new database."""
    monkeypatch.setenv(TESTED_STORE, "postgresql")
    async with at_home(tmp_path, DURABLE) as home:
        yield home


@pytest_asyncio.fixture
async def bot_home(
    with_mosquitto: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[WeComHome]:
    """Yields a home on WeCom whose bridge has its store in a new database."""
    monkeypatch.setenv(TESTED_STORE, "postgresql")
    async with at_wecom_home(tmp_path, DURABLE) as home:
        yield home


def bridge_on_another_machine(home: Home, folder: Path) -> BridgeProcess:
    """Returns a bridge with another configuration of the same database, and a folder of its own."""
    other_bridge = BridgeProcess(folder, home.settings())
    other_bridge.storage = {**home.bridge.storage, "path": str(folder / "store")}
    other_bridge.configure(home.settings())
    return other_bridge


async def test_a_killed_bridge_goes_on_from_the_database_alone(home: Home) -> None:
    """The other machine has nothing but the configuration: the database has login, people, seq, commands and media."""
    await home.log_in()
    await home.control.say("wife", "早")
    first = await home.body("wx/in/wife", text="早")
    (picture,) = await home.control.say("wife", kind="image")
    await home.body("wx/event/media", message_id=picture, state="ready")
    result = await home.send_command("wife", {"id": "c1", "text": "hello"})
    assert result["status"] == "sent"
    home.bridge.kill()
    shutil.rmtree(home.bridge.store)

    await home.control.say("wife", "晚")
    await home.restart()
    later = await home.body("wx/in/wife", text="晚")
    assert (later["stream"], later["seq"]) == (first["stream"], first["seq"] + 2)
    media = await home.send_request("media", {"message_id": picture, "inline": True})
    assert base64.b64decode(media["data"]["data"]) == await home.control.content(picture)
    assert (await home.send_command("wife", {"id": "c2", "text": "again"}))["status"] == "sent"
    assert [line["text"] for line in await home.control.sent(2)] == ["hello", "again"]
    history = await home.send_request("history", {"text": "早"})
    assert [message["id"] for message in history["data"]["messages"]] == [first["id"]]
    assert home.bridge.stop() == 0


async def test_a_bridge_whose_connection_is_lost_stops_at_once(home: Home) -> None:
    """Another instance may own its accounts by now: it publishes nothing more, the will says offline, and it opens
    the database again.
    """
    await home.log_in()
    await home.in_thread(home.subscriber.wait, "wx/contacts", lambda contacts: contacts.body["count"] > 0)
    await home.send_request("health")  # what follows a login has been published
    with psycopg.connect(home.bridge.storage["url"], autocommit=True) as connection:
        since = home.subscriber.count
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await home.control.say("wife", "lost for now")
    await home.body("wx/in/wife", text="lost for now", since=since)
    await home.body("wx/login/state", state="online", since=since)
    states = [
        received.payload
        for received in home.subscriber.received[since:]
        if received.topic == "wx/bridge/state"
    ]
    assert states[:2] == [b"offline", b"online"]
    first = next(received.topic for received in home.subscriber.received[since:])
    assert first == "wx/bridge/state", "nothing goes out between the loss and the will"
    assert not [line for line in home.bridge.log if "Traceback" in line or '"exception"' in line]
    assert home.bridge.stop() == 0


async def test_a_store_moves_into_the_database_and_back_into_a_folder(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the configuration changes: no new scan, the same topics, and the media that were stored before."""
    monkeypatch.delenv(TESTED_STORE)
    home.bridge = BridgeProcess(tmp_path / "folder", home.settings())
    await home.log_in()
    await home.control.say("wife", "早")
    first = await home.body("wx/in/wife", text="早")
    (picture,) = await home.control.say("wife", kind="image")
    await home.body("wx/event/media", message_id=picture, state="ready")
    assert home.bridge.stop() == 0

    for number, kind in enumerate(("postgresql", "sqlite"), 1):
        backup = str(tmp_path / f"backup{number}")
        code, _, errors = await wx2mqtt(home.bridge, "backup", "--media", backup)
        assert code == 0, errors
        monkeypatch.setenv(TESTED_STORE, kind)
        home.bridge = BridgeProcess(tmp_path / f"to {kind}", home.settings())
        code, _, errors = await wx2mqtt(home.bridge, "restore", backup)
        assert (code, "uncertain" in errors) == (0, False), errors
        await home.restart()
        media = await home.send_request("media", {"message_id": picture, "inline": True})
        assert base64.b64decode(media["data"]["data"]) == await home.control.content(picture)
        await home.control.say("wife", f"晚 {number}")
        later = await home.body("wx/in/wife", text=f"晚 {number}")
        assert (later["seq"], later["stream"] != first["stream"]) == (first["seq"] + 1 + number, True)
        running = await wx2mqtt(home.bridge, "backup", str(tmp_path / f"running{number}"))
        refused = await wx2mqtt(home.bridge, "restore", "--force", backup)
        assert (running[0], refused[0]) == (0, EXIT_TEMPORARY), refused
        assert home.bridge.stop() == 0
        again = await wx2mqtt(home.bridge, "restore", backup)
        assert (again[0], "--force" in again[2]) == (1, True)


async def test_the_command_line_works_from_a_machine_that_runs_no_bridge(home: Home, tmp_path: Path) -> None:
    """Commands that concern an account are done by the running instance, which has the account in memory."""
    await home.log_in()
    await home.control.post("fault", endpoint="webwxsendmsg", kind="ret", value=1204)
    assert (await home.send_command("wife", {"id": "c1", "text": "hello"}))["status"] == "failed"
    other_bridge = bridge_on_another_machine(home, tmp_path / "elsewhere")
    code, listed, _ = await wx2mqtt(other_bridge, "journal", "list", "--json")
    assert (code, [row["id"] for row in json.loads(listed)["commands"]]) == (0, ["c1"])
    code, _, errors = await wx2mqtt(other_bridge, "journal", "retry", "c1")
    assert code == 0, errors
    assert (await home.body("wx/result/wife", id="c1~1"))["status"] == "sent"
    unknown = await wx2mqtt(other_bridge, "journal", "retry", "c9")
    assert (unknown[0], "c9" in unknown[2]) == (1, True)
    code, _, errors = await wx2mqtt(other_bridge, "people", "merge", "wife", "nobody")
    assert (code, "nobody" in errors) == (1, True)
    code, _, errors = await wx2mqtt(other_bridge, "login")
    assert (code, "another instance" in errors) == (1, True)

    assert home.bridge.stop() == 0
    code, listed, errors = await wx2mqtt(other_bridge, "journal", "list", "--all", "--json")
    assert code == 0, errors
    assert {row["id"] for row in json.loads(listed)["commands"]} == {"c1", "c1~1"}
    with_another = home.settings()
    with_another["accounts"] = {"work": with_another["accounts"]["home"]}
    other_bridge.configure(with_another)
    code, _, errors = await wx2mqtt(other_bridge, "purge", "home", "--yes")
    assert code == 0, errors
    assert (await wx2mqtt(other_bridge, "purge", "home", "--yes"))[0] == 1


async def test_a_bot_of_wecom_goes_on_from_the_database_alone(bot_home: WeComHome) -> None:
    """The database has the scanned bot with its credentials, people, an open question, files and commands; the
    folder has nothing.
    """
    home = bot_home
    await home.scan()
    await home.bot.write("早")
    first = await home.body("wx/in/me", text="早")
    file_id = await home.bot.write("账单.pdf", kind="file", bytes_of=70_001)
    event = await home.body("wx/event/media", message_id=file_id)
    assert (event["state"], event["name"]) == ("ready", "账单.pdf")
    question = {
        "text": "开门吗",
        "buttons": ["开", "不开"],
        "buttons_from": "anyone",
    }  # nobody is trusted yet
    asked = await home.send_command("me", {"id": "c1", **question})
    assert asked["status"] == "sent"
    home.bridge.kill()
    shutil.rmtree(home.bridge.store)

    since = home.subscriber.count
    home.bridge.start()
    await home.body("wx/login/state", state="online", since=since)
    await home.bot.wait("any_online")
    await home.bot.write("晚")
    later = await home.body("wx/in/me", text="晚")
    assert (later["stream"], later["seq"]) == (first["stream"], first["seq"] + 2)
    gap = await home.body("wx/event/gap")
    assert gap["since"] < gap["until"]
    await home.bot.press()
    assert (await home.body("wx/event/button"))["command_id"] == "c1"
    media = await home.send_request("media", {"message_id": file_id, "inline": True})
    digest = hashlib.sha256(base64.b64decode(media["data"]["data"])).hexdigest()
    assert (digest, media["data"]["name"]) == (event["sha256"], "账单.pdf")
    data = base64.b64encode(b"a file").decode()
    command = {"kind": "file", "data": data, "name": "a.txt", "text": "its caption", "id": "c2"}
    result = await home.send_command("me", command)
    assert (result["status"], result["parts_sent"]) == ("sent", 2)
    assert home.bridge.stop() == 0


async def test_the_doctor_leaves_a_bot_alone_that_another_instance_uses(
    bot_home: WeComHome, tmp_path: Path
) -> None:
    home = bot_home
    await home.log_in()
    other_bridge = bridge_on_another_machine(home, tmp_path / "elsewhere")

    async def doctor() -> list[tuple[str, str]]:
        _, output, _ = await wx2mqtt(other_bridge, "check", "--connect", "--json", "--take-over")
        return [(row["verdict"], row["found"]) for row in json.loads(output)["rows"] if row["check"] == "bot"]

    async def subscriptions() -> int:
        return int((await home.bot.get("wecom/state"))["bots"][BOT["bot_id"]]["subscriptions"])

    instance = (await home.body("wx/bridge/info"))["instance"]
    ((verdict, text),) = await doctor()
    assert (verdict, instance in text) == ("not_known", True), text
    assert await subscriptions() == 1
    assert (await home.send_command("me", "still here"))["status"] == "sent"
    assert home.bridge.stop() == 0
    ((verdict, text),) = await doctor()
    assert verdict == "ok", text
    assert await subscriptions() == 2

"""`wx2mqtt backup` and `restore` as people use them: beside the bridge, onto another machine, after a mishap."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from contextlib import closing
from typing import Any

import httpx
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.forks import run_program
from tests.support.home import Home, at_home
from tests.support.process import BridgeProcess


async def wx2mqtt(
    bridge: BridgeProcess, *arguments: str, data: bytes | None = None
) -> tuple[int, bytes, str]:
    """Runs the command line on the bridge's configuration; returns exit code, standard output and standard error."""
    command = [*arguments, "-c", str(bridge.config)]
    done = await asyncio.to_thread(
        run_program, command, env=os.environ, data=data or b"", timeout=MAX_WAIT_SECONDS
    )
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.fixture
async def home(tmp_path):
    async with at_home(tmp_path) as home:
        yield home


async def receive_text(home: Home, text: str) -> dict[str, Any]:
    await home.control.say("wife", text)
    return await home.body("wx/in/wife", text=text)


async def test_a_bridge_moves_to_another_machine_with_its_login_and_its_people(home, tmp_path):
    await home.log_in()
    before = await receive_text(home, "one")
    await home.send_command("wife", {"text": "hello", "id": "a"})
    assert home.bridge.stop() == 0
    code, _, errors = await wx2mqtt(home.bridge, "backup", str(tmp_path / "store.tar.gz"))
    assert code == 0
    assert "like a password" in errors
    counts = re.search(r"\d+ messages, \d+ files of media", errors)
    assert counts is not None
    assert (tmp_path / "store.tar.gz").stat().st_mode & 0o777 == 0o600

    home.bridge = BridgeProcess(tmp_path / "other machine", home.settings())
    code, _, errors = await wx2mqtt(home.bridge, "restore", str(tmp_path / "store.tar.gz"))
    assert (code, "uncertain" in errors, counts[0] in errors) == (0, False, True)
    await home.restart()  # online without another scan
    after = await receive_text(home, "two")
    assert (after["seq"], after["user"]) == (before["seq"] + 1, "wife")
    assert after["stream"] != before["stream"]
    again = await home.send_command("wife", {"text": "hello", "id": "a"})
    assert again["status"] == "sent"
    assert [message["text"] for message in await home.control.get("sent")] == ["hello"], (
        "its id is still known"
    )


@pytest.mark.in_folder
async def test_consumers_notice_a_restore_and_fetch_what_they_missed(home, tmp_path):
    await home.log_in()
    first = await receive_text(home, "one")
    code, *_ = await wx2mqtt(home.bridge, "backup", str(tmp_path / "b"))
    assert code == 0
    lost = await receive_text(home, "two, and lost")
    home.bridge.kill()
    code, _, errors = await wx2mqtt(home.bridge, "restore", "--force", str(tmp_path / "b"))
    assert code == 0
    assert "replaced-" in errors
    await home.restart()
    await receive_text(home, "three")
    answer = await home.send_request("history", {"since": lost["seq"], "stream": first["stream"]})
    assert answer["code"] == "stream_changed"
    history = await home.send_request("history", {})
    texts = [message["text"] for message in history["data"]["messages"]]
    assert (texts[0], texts[-1]) == ("one", "three")
    assert {message["stream"] for message in history["data"]["messages"]} == {
        first["stream"],
        history["data"]["stream"],
    }


async def test_a_command_that_was_sent_after_the_backup_is_not_sent_again(home, tmp_path):
    """WeChat is away while the backup is made, so that a command waits in it; then it is sent."""
    await home.log_in()
    await home.stop_wechat()
    await home.publish("wx/out/wife", {"text": "only once", "id": "x", "ttl": 600})
    await home.in_thread(home.bridge.wait_for_log, "interrupted")
    code, *_ = await wx2mqtt(home.bridge, "backup", str(tmp_path / "b"))
    assert code == 0
    await home.start_wechat()
    assert (await home.body("wx/result/wife", id="x"))["status"] == "sent"
    home.bridge.kill()
    code, _, errors = await wx2mqtt(home.bridge, "restore", "--force", str(tmp_path / "b"))
    assert code == 0
    assert "uncertain" in errors
    since = home.subscriber.count
    await home.restart()
    result = await home.body("wx/result/wife", id="x", since=since)
    assert (result["status"], result["duplicate_possible"]) == ("uncertain", True)
    assert "from a backup" in result["message"]
    assert [message["text"] for message in await home.control.get("sent")] == ["only once"]
    code, out, _ = await wx2mqtt(home.bridge, "journal", "retry", "x")  # a person may decide so
    assert (code, json.loads(out)["id"]) == (0, "x~1")
    await home.control.sent(2)


async def test_a_command_that_waits_when_a_stopped_bridge_moves_is_sent_once(home, tmp_path):
    await home.log_in()
    await home.stop_wechat()
    await home.publish("wx/out/wife", {"text": "later", "id": "y", "ttl": 600})
    await home.in_thread(home.bridge.wait_for_log, "interrupted")
    home.bridge.stop()
    await wx2mqtt(home.bridge, "backup", str(tmp_path / "b"))
    await home.start_wechat()
    home.bridge = BridgeProcess(tmp_path / "other", home.settings())
    code, *_ = await wx2mqtt(home.bridge, "restore", str(tmp_path / "b"))
    assert code == 0
    since = home.subscriber.count
    home.bridge.start()
    result = await home.body("wx/result/wife", id="y", since=since)
    assert (result["status"], result["duplicate_possible"]) == ("sent", False)
    assert [message["text"] for message in await home.control.get("sent")] == ["later"]


async def test_a_backup_goes_through_a_pipe_as_in_a_container(home, tmp_path):
    await home.log_in()
    await receive_text(home, "one")
    code, data, errors = await wx2mqtt(home.bridge, "backup", "-", "--media")
    assert code == 0
    assert "like a password" in errors
    assert data.startswith(b"\x1f\x8b"), "nothing but the backup is on standard output"
    home.bridge.stop()
    code, out, errors = await wx2mqtt(home.bridge, "restore", "-", "--force", data=data)
    assert (code, out) == (0, b"")
    await home.restart()


@pytest.mark.in_folder
@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGHUP])
async def test_an_interrupted_backup_leaves_no_copy_of_the_store_behind(home, tmp_path, stop_signal):
    await home.log_in()
    home.bridge.stop()
    data = random.Random(1).randbytes(4_000_000)  # more than a pipe holds
    name = hashlib.sha256(data).hexdigest()
    (media := home.bridge.store / "media" / name[:2]).mkdir(parents=True, exist_ok=True)
    (media / name).write_bytes(data)
    (temporary_folder := tmp_path / "work").mkdir()
    command = [sys.executable, "-m", "wx2mqtt", "backup", "-", "--media", "-c", str(home.bridge.config)]

    def interrupt_backup() -> int:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(temporary_folder)}
        ) as process:
            assert process.stdout is not None
            assert process.stdout.read(100)
            assert any(temporary_folder.iterdir())
            process.send_signal(stop_signal)
        return process.returncode

    assert await asyncio.to_thread(interrupt_backup) != 0
    assert not any(temporary_folder.iterdir())


async def test_the_bridge_counts_the_time_of_the_last_backup(home, tmp_path):
    await home.log_in()
    metric, started = "wx2mqtt_last_backup_timestamp_seconds", time.time() - 0.001
    assert f"\n{metric} " not in await metrics(home)
    (tmp_path / "backups").mkdir()
    code, _, errors = await wx2mqtt(home.bridge, "backup", "--keep", "2", str(tmp_path / "backups"))
    assert code == 0, errors
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while not (values := re.findall(rf"(?m)^{metric} (\S+)$", await metrics(home))):
            pass  # an answer is kept for a second
    assert started <= float(values[0]) <= time.time()
    for _ in range(2):
        code, _, errors = await wx2mqtt(home.bridge, "backup", "--keep", "2", str(tmp_path / "backups"))
        assert code == 0, errors
    assert len([*(tmp_path / "backups").iterdir()]) == 2


async def metrics(home: Home) -> str:
    line = await home.in_thread(home.bridge.wait_for_log, "web server runs")
    (url,) = re.findall(r"http://127\.0\.0\.1:\d+", line)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"{url}/metrics")
    assert answer.status_code == 200
    return answer.text


@pytest.mark.in_folder
async def test_a_forged_backup_publishes_nothing_in_the_name_of_the_bridge(home, tmp_path):
    """The rows of the backup are for other devices, or claim to come from somebody who is trusted."""
    await home.log_in()
    home.bridge.stop()
    foreign_topics = ["zigbee2mqtt/front_door/set", "homeassistant/lock/door/config", "wx/out/wife"]
    announced = {"topics": ["zigbee2mqtt/kept"], "components": {}, "ids": {}}
    with closing(sqlite3.connect(home.bridge.store / "wx2mqtt.db")) as database, database:
        for topic in [*foreign_topics, "wx/in/wife"]:
            database.execute(
                "INSERT INTO publication (account, state, sort, topic, created, payload)"
                " VALUES ('home', 0, 'message', ?, 1, ?)",
                (topic, b'{"text":"open","user":"wife","trusted":true}'),
            )
        database.execute("UPDATE account SET announced = ?", (json.dumps(announced),))
    await home.publish("zigbee2mqtt/kept", "precious", retain=True)
    code, *_ = await wx2mqtt(home.bridge, "backup", str(tmp_path / "b"))
    assert code == 0
    home.bridge = BridgeProcess(tmp_path / "other machine", home.settings())
    code, _, errors = await wx2mqtt(home.bridge, "restore", str(tmp_path / "b"))
    assert (code, "3 publications" in errors) == (0, True)
    since = home.subscriber.count
    await home.restart()
    message = await home.body("wx/in/wife", text="open", since=since)
    assert message["trusted"] is False
    await receive_text(home, "after it")
    topics = [received.topic for received in home.subscriber.received[since:]]
    assert [topic for topic in topics if topic in foreign_topics or topic == "zigbee2mqtt/kept"] == []


async def test_a_running_bridge_is_never_restored_over(home, tmp_path):
    await home.log_in()
    await wx2mqtt(home.bridge, "backup", str(tmp_path / "b"))
    for arguments in (["restore"], ["restore", "--force"]):
        code, _, errors = await wx2mqtt(home.bridge, *arguments, str(tmp_path / "b"))
        assert code == 75
        assert "in use by process" in errors
    await receive_text(home, "still here")


@pytest.mark.in_folder
async def test_mistakes_are_reported_and_change_nothing(home, tmp_path):
    home.bridge.configure({**home.settings(), "language": "zh"})
    code, _, errors = await wx2mqtt(home.bridge, "backup", str(tmp_path / "b"))
    assert (code, "还没有存储" in errors) == (1, True)
    await home.log_in()
    home.bridge.stop()
    (tmp_path / "b").write_text("precious")
    code, _, errors = await wx2mqtt(home.bridge, "backup", str(tmp_path / "b"))
    assert (code, (tmp_path / "b").read_text()) == (1, "precious")
    assert "已存在" in errors
    code, _, errors = await wx2mqtt(home.bridge, "backup", str(tmp_path / "nowhere" / "b"))
    assert (code, "无法写入" in errors) == (1, True)
    for name in ("b", "missing"):
        code, _, errors = await wx2mqtt(home.bridge, "restore", "--force", str(tmp_path / name))
        assert code == 1
        assert "Traceback" not in errors
    code, *_ = await wx2mqtt(home.bridge, "backup", "--force", str(tmp_path / "b"))
    assert code == 0
    await home.restart()


@pytest.mark.in_folder
async def test_no_secret_is_printed_and_all_secrets_are_in_the_backup(home, tmp_path):
    await home.log_in()
    session = json.loads((home.bridge.store / "sessions" / "home.json").read_text())
    code, out, errors = await wx2mqtt(home.bridge, "backup", str(tmp_path / "b"))
    assert code == 0
    with tarfile.open(tmp_path / "b") as tar:
        member = tar.extractfile("sessions/home.json")
        assert member is not None
        assert json.loads(member.read()) == session
    secrets = [value for value in session.values() if isinstance(value, str) and len(value) > 5]
    assert secrets
    assert not [secret for secret in secrets if secret in errors or secret.encode() in out]

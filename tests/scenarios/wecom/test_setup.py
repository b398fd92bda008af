"""`wx2mqtt setup --backend wecom`, both ways: with a scan at the same terminal, and with the id of a bot."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.scenarios.test_setup import terminal
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.screen import Screen
from wx2mqtt.simulator.server import Simulator
from wx2mqtt.simulator.wecom.simulated_wecom import HOME_BOT_ID

OPTIONS = "setup -c a.yaml --embedded --backend wecom --owner me --language en --no-home-assistant --no-unit"


def test_a_bot_by_options_passes_its_check_and_its_secret_is_a_credential(tmp_path: Path):
    machine = terminal(tmp_path)
    secret = machine.file("geheim\n", "bot.secret")
    secret.chmod(0o600)
    command = OPTIONS.replace("--no-unit", "--unit w.service")
    options = f"--bot-id aibK1 --secret-file {secret} --userid ZhangSan"
    done = machine.run(*command.split(), *options.split())
    assert (done.code, done.err) == (0, "")
    assert "scan" not in done.out
    text = (tmp_path / "a.yaml").read_text()
    assert "bot_id: aibK1" in text
    assert f"secret_file: {secret}" in text
    assert "wecom: ZhangSan" in text
    assert "me: {owner: true}" in text
    assert f"\nLoadCredential=accounts.home.wecom.secret:{secret}\n" in (tmp_path / "w.service").read_text()
    check = machine.run("check", "-c", "a.yaml")
    assert (check.code, check.err) == (0, "")


def test_without_an_id_the_setup_says_that_a_scan_makes_the_bot(tmp_path: Path):
    machine = terminal(tmp_path)
    done = machine.run(*OPTIONS.split(), "--yes")
    assert (done.code, done.err) == (0, "")
    assert "scan the QR code with the WeCom app" in done.out
    assert "This is me" in done.out
    assert machine.run("check", "-c", "a.yaml").code == 0


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ("--bot-id aibK1", "--secret-file"),
        ("--secret-file a.secret", "--bot-id"),
        ("--backend ilink --userid ZhangSan", "--backend wecom"),
    ],
)
def test_options_of_a_bot_that_do_not_go_together_end_with_2(tmp_path: Path, options: str, word: str):
    machine = terminal(tmp_path)
    machine.file("geheim\n", "a.secret")
    done = machine.run(*OPTIONS.split(), *options.split())
    assert done.code == 2
    assert word in done.err
    assert not (tmp_path / "a.yaml").exists()


async def test_a_person_makes_a_bot_by_a_scan_and_says_at_once_who_they_are(tmp_path: Path):
    machine = terminal(tmp_path)
    async with Simulator() as simulator, httpx.AsyncClient(timeout=MAX_WAIT_SECONDS) as phone:
        sim = f"{simulator.url}/sim/wecom"

        async def post(action: str, **fields: str) -> None:
            (await phone.post(f"{sim}/{action}", json=fields)).raise_for_status()

        def answer_questions() -> Screen:
            env = {**machine.env, "WX2MQTT_ACCOUNTS__HOME__ENDPOINT": simulator.url}
            config = str(tmp_path / "a.yaml")
            arguments = [
                "setup",
                "-c",
                config,
                *["--embedded", "--no-unit", "--language", "en", "--backend", "wecom"],
            ]
            screen = Screen([*machine.program, *arguments], env)
            screen.__enter__()
            for question, answer in [
                ("Home Assistant?", "n"),
                ("pictures may be sent", ""),
                ("Name for yourself", ""),
                ("Bot ID; empty", ""),
                ("Your userid in WeCom", ""),
                ("go another way", ""),
                ("Log in now", ""),
            ]:
                screen.next(question)
                screen.type(answer)
            screen.scan()
            return screen

        screen = await asyncio.to_thread(answer_questions)
        try:
            await post("scan")
            await post("confirm")
            await asyncio.to_thread(screen.next, "Is it yours?")
            screen.type("y")
            await asyncio.to_thread(screen.next, "Write to the bot")
            state = (await phone.get(f"{sim}/state")).json()
            (bot_id,) = [bot for bot in state["bots"] if bot != HOME_BOT_ID]
            await post("say", bot=bot_id, text="hello")
            await asyncio.to_thread(screen.next, "Is that you?")
            screen.type("y")
            assert await asyncio.to_thread(screen.wait) == 0
            assert "is the owner, and trusted" in screen.text
        finally:
            await asyncio.to_thread(screen.__exit__, None, None, None)


def test_the_backends_are_compared_in_a_table(tmp_path: Path):
    done = terminal(tmp_path).run("check", "--backends")
    assert (done.code, done.err) == (0, "")
    head, *rows = done.out.splitlines()
    assert head.split() == ["ilink", "wecom", "webwx"]
    assert [row.split("  ")[0] for row in rows] == [
        "who reads it",
        "window",
        "groups",
        "buttons",
        "risk of a ban",
        "you need",
    ]

"""A configuration that cannot be used is shown on the page until it can, for users without a terminal."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import httpx
import pytest

from tests.support.chromium import Chromium
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.service_manager import ServiceManager
from tests.support.terminal import Running, Terminal

GOOD_CONFIG = "mqtt: {url: 'mqtt://127.0.0.1:1'}\nstorage: {path: store}\n"
BAD_CONFIG = GOOD_CONFIG + "accounts: {home: {send: {per_minute: viele}, endpoint: nowhere}}\n"


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def page_url(running: Running) -> str:
    """Returns the URL of the page that the command prints."""
    found = re.search(r"shown on (http://\S+) until", running.until("shown on"))
    assert found
    return found[1]


def get(url: str, **more: str) -> httpx.Response:
    with httpx.Client(trust_env=False, timeout=MAX_WAIT_SECONDS) as http:
        return http.get(url, headers=more)


def test_check_shows_every_problem_until_the_file_has_none(terminal: Terminal):
    file = terminal.file(BAD_CONFIG)
    with terminal.running("check", "--explain") as running:
        running.until("accounts.home.send.per_minute: 'viele' is not a whole number")
        url = page_url(running)
        page = get(url, **{"accept-language": "zh"})
        assert page.status_code == 200
        for text in (
            "配置无法使用",
            "accounts.home.send.per_minute",
            "accounts.home.endpoint",
            "wx2mqtt.yaml:3",
        ):
            assert text in page.text
        health = get(f"{url}healthz")
        assert (health.status_code, health.json()["reasons"]) == (503, ["configuration"])
        assert get(f"{url}livez").status_code == 200
        file.write_text(GOOD_CONFIG)
        assert running.end() == 0
        assert running.said[-1].endswith("wx2mqtt.yaml: no problems")


def test_the_bridge_starts_as_soon_as_the_file_can_be_used(terminal: Terminal):
    file = terminal.file(BAD_CONFIG)
    with terminal.running("run", "--explain") as running:
        page_url(running)
        file.write_text(GOOD_CONFIG)
        running.until("web server runs")
        assert running.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_wait_that_is_stopped_ends_with_78(terminal: Terminal, command: str, stop_signal: signal.Signals):
    terminal.file(BAD_CONFIG)
    with terminal.running(command, "--explain") as running:
        page_url(running)
        assert running.end(stop_signal) == 78
        assert sum("per_minute" in line for line in running.said) == 1


def test_new_problems_replace_those_that_were_fixed(terminal: Terminal):
    file = terminal.file(BAD_CONFIG)
    with (
        terminal.running("check", "--explain") as running,
        httpx.Client(trust_env=False, timeout=MAX_WAIT_SECONDS) as http,
    ):
        url = page_url(running)
        with http.stream("GET", f"{url}events") as events:
            lines = events.iter_lines()
            next(line for line in lines if "per_minute" in line)
            file.write_text("mqtt: [\n")
            event_data = next(line for line in lines if line.startswith("data:"))
        assert "per_minute" not in event_data
        assert "wx2mqtt.yaml:" in event_data


@pytest.mark.parametrize(
    "web", ["{listen: nowhere}", "{enabled: false}", "{listen: '127.0.0.1:0', base_path: nowhere}"]
)
def test_without_a_page_to_show_the_problems_the_command_ends_as_usual(terminal: Terminal, web: str):
    del terminal.env["WX2MQTT_WEB__LISTEN"]
    terminal.file(f"{BAD_CONFIG}web: {web}\n")
    done = terminal.run("run", "--explain")
    assert (done.code, done.out) == (78, "")
    assert any("per_minute" in line for line in done.complaints)


def test_a_port_in_use_is_reported_and_the_command_ends_as_usual(terminal: Terminal):
    with socket.socket() as busy_socket:
        busy_socket.bind(("127.0.0.1", 0))
        busy_socket.listen()
        terminal.env["WX2MQTT_WEB__LISTEN"] = f"127.0.0.1:{busy_socket.getsockname()[1]}"
        terminal.file(BAD_CONFIG)
        done = terminal.run("run", "--explain")
    assert done.code == 78
    assert any("is in use" in line for line in done.complaints)
    assert any("per_minute" in line for line in done.complaints)


def test_the_problems_are_shown_after_a_login_only(terminal: Terminal):
    (password := terminal.folder / "password").write_text("geheim")
    password.chmod(0o600)
    terminal.env["WX2MQTT_WEB__LISTEN"] = "0.0.0.0:0"
    terminal.file(f"{BAD_CONFIG}web: {{password_file: password}}\n")
    with terminal.running("check", "--explain") as running:
        url = page_url(running).replace("0.0.0.0", "127.0.0.1")
        assert get(url).status_code == 401
        assert get(f"{url}healthz").json() == {"healthy": False}
        with httpx.Client(base_url=url, trust_env=False, timeout=MAX_WAIT_SECONDS) as http:
            http.post("/login", data={"password": "geheim"})
            assert "per_minute" in http.get("/").text


def test_a_service_manager_is_told_that_the_process_lives_and_no_bridge_runs(terminal: Terminal):
    file = terminal.file(BAD_CONFIG)
    with ServiceManager(terminal.folder, watchdog=1.0) as manager:
        terminal.env |= manager.env
        with terminal.running("run", "--explain") as running:
            manager.wait("READY")
            url = page_url(running)
            assert manager.wait("STATUS") == f"the file has 2 problems; no bridge runs: see {url}"
            for _ in range(2):
                manager.wait("WATCHDOG", since=len(manager.received))
            since = len(manager.received)
            file.write_text(GOOD_CONFIG)
            assert "home: " in manager.wait("STATUS", "home: ", since=since)
            assert running.end(signal.SIGTERM) == 0
            manager.wait("STOPPING")


def test_without_the_option_the_commands_do_not_wait(terminal: Terminal):
    terminal.file(BAD_CONFIG)
    for command in ("check", "run"):
        assert terminal.run(command).code == 78


@pytest.mark.browser
def test_a_browser_that_shows_the_problems_shows_the_bridge_once_it_runs(terminal: Terminal):
    with socket.socket() as free_socket:
        free_socket.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free_socket.getsockname()[1]}"
    terminal.env["WX2MQTT_WEB__LISTEN"] = listen
    file = terminal.file(BAD_CONFIG)
    with terminal.running("run", "--explain") as running, Chromium(360, 700) as browser:
        browser.open(page_url(running))
        browser.until("document.body.textContent.includes('per_minute')")
        assert browser.run("return document.documentElement.scrollWidth") <= 360
        file.write_text(GOOD_CONFIG)
        browser.until("document.querySelector('h2')?.textContent === 'home'", 20)


@pytest.mark.browser
def test_a_browser_shows_the_steps_from_no_file_to_the_bridge(terminal: Terminal):
    with socket.socket() as free_socket:
        free_socket.bind(("127.0.0.1", 0))
        terminal.env["WX2MQTT_WEB__LISTEN"] = f"127.0.0.1:{free_socket.getsockname()[1]}"
    file = terminal.folder / "my file.yaml"
    command = ("run", "--explain", "-c", str(file))
    with terminal.running(*command) as running, Chromium(360, 700) as browser:
        browser.open(page_url(running))
        shown_command = browser.until("document.querySelector('.steps [aria-current] code')?.textContent")
        assert shown_command == f"wx2mqtt setup -c '{file}'"
        file.write_text(BAD_CONFIG)
        browser.until("document.body.textContent.includes('per_minute')")
        assert not browser.run("return document.querySelector('.steps')")
        file.write_text(GOOD_CONFIG)
        browser.until("document.querySelector('h2')?.textContent === 'home'", 20)
        assert "The MQTT broker" in browser.until(
            "document.querySelector('.steps [aria-current]')?.textContent"
        )

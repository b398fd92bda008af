"""An open bridge: what a reload changes, and how long an orderly stop takes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from wx2mqtt.app import logs
from wx2mqtt.app.application import STOP_TIMEOUT_SECONDS, Application, RunEnvironment, open_application
from wx2mqtt.app.systemd import SystemdNotifier
from wx2mqtt.bridge.account import DRAIN_TIMEOUT_SECONDS, OFFLINE_PUBLISH_TIMEOUT_SECONDS
from wx2mqtt.bridge.login_requests import CredentialsChanged
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Json
from wx2mqtt.settings.loader import load
from wx2mqtt.settings.schema import Account as AccountSection
from wx2mqtt.store.journal import Journal
from wx2mqtt.wechat.ilink.protocol.endpoints import NOTIFY_STOP
from wx2mqtt.wechat.registry import BACKENDS

SETTINGS = """
storage: {{path: {folder}/store}}
mqtt: {{url: 'mqtt://{host}'}}
accounts: {{home: {{backend: ilink}}}}
log: {{level: {level}}}
"""


class FakeNotifier(SystemdNotifier):
    """Keeps the messages of a reload to systemd."""

    def __init__(self) -> None:
        super().__init__({})
        self.messages: list[str] = []

    def reloading(self) -> None:
        self.messages.append("reloading")

    def ready(self) -> None:
        self.messages.append("ready")


class ApplicationHarness:
    """A bridge with a file of its own, which tests change. It is open and does not run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "wx2mqtt.yaml"
        self.notifier = FakeNotifier()
        self.environment = RunEnvironment(env={}, notifier=self.notifier)
        self.app: Application

    def write(self, *, host: str = "broker.lan", level: str = "info", more: str = "") -> None:
        self.file.write_text(SETTINGS.format(folder=self.folder, host=host, level=level) + more)

    async def request(self, name: str, **fields: Json) -> Json:
        return await self.app.process_requests()[name](fields)


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The levels that were set for the log."""
    levels: list[str] = []
    monkeypatch.setattr(logs, "set_level", levels.append)
    return levels


@pytest.fixture
async def harness(tmp_path: Path, levels: list[str]) -> AsyncIterator[ApplicationHarness]:
    harness = ApplicationHarness(tmp_path)
    harness.write()
    loaded = load(harness.file, {}, BACKENDS)
    async with open_application(loaded, harness.environment, serve=False) as app:
        harness.app = app
        yield harness


async def test_a_reload_applies_what_it_can_and_names_what_needs_a_restart(
    harness: ApplicationHarness, levels: list[str]
) -> None:
    harness.write(host="other.lan", level="debug")
    assert await harness.request("reload") == {"applied": ["log.level"], "needs_restart": ["mqtt.url"]}
    assert levels == ["debug"]
    assert harness.app.loaded.settings.log.level == "debug"


async def test_a_change_that_needs_a_restart_is_named_again_at_each_reload(
    harness: ApplicationHarness,
) -> None:
    harness.write(host="other.lan")
    for _ in range(2):
        assert await harness.request("reload") == {"applied": [], "needs_restart": ["mqtt.url"]}
    harness.write()
    assert await harness.request("reload") == {"applied": [], "needs_restart": []}


@pytest.mark.parametrize("source", ["file", "environment", "credential"])
async def test_a_reload_reads_the_files_of_secrets_again_and_applies_them(
    tmp_path: Path, source: str
) -> None:
    secret, password = tmp_path / "accounts.home.wecom.secret", tmp_path / "mqtt.password"
    keys = {"file": (f", secret_file: {secret}", f", password_file: {password}")}
    of_bot, of_broker = keys.get(source, ("", ""))
    env = {
        "environment": {
            "WX2MQTT_MQTT__PASSWORD_FILE": str(password),
            "WX2MQTT_ACCOUNTS__HOME__WECOM__SECRET_FILE": str(secret),
        },
        "credential": {"CREDENTIALS_DIRECTORY": str(tmp_path)},
    }.get(source, {})
    file = tmp_path / "wx2mqtt.yaml"
    file.write_text(
        f"storage: {{path: {tmp_path}/store}}\nmqtt: {{username: bridge{of_broker}}}\n"
        f"accounts: {{home: {{backend: wecom, wecom: {{bot_id: aib1{of_bot}}}}}, other: {{backend: ilink}}}}\n"
    )

    def write_secrets(value: str) -> None:
        secret.write_text(value)
        password.write_text(value)

    def secrets_of(account: Any) -> tuple[str, str]:
        return account.ctx.backend._client.login.configured.secret, account.ctx.broker._options.password

    write_secrets("old")
    environment = RunEnvironment(env=env)
    async with open_application(load(file, env, BACKENDS), environment, serve=False) as app:
        write_secrets("new")
        applied = ["accounts.home.wecom.secret", "mqtt.password"]
        assert await app.process_requests()["reload"]({}) == {"applied": applied, "needs_restart": []}
        home, other = app.accounts
        assert secrets_of(home) == ("new", "new")
        assert isinstance(await home.ctx.login_requests.next_request(), CredentialsChanged)
        assert other.ctx.login_requests._queue.empty(), "other accounts are left alone"
        built_again = await app._factory.create("home")
        assert secrets_of(built_again) == ("new", "new")
        await built_again.close()


async def test_a_reload_of_a_bad_file_changes_nothing_and_names_its_problems(
    harness: ApplicationHarness, levels: list[str]
) -> None:
    harness.write(level="debug", more="languages: zh\n")
    with pytest.raises(BadCommand) as caught:
        await harness.request("reload")
    assert "languages" in str(caught.value.facts["problems"])
    assert levels == []
    assert harness.app.loaded.settings.log.level == "info"
    assert [problem.key for problem in harness.environment.reload_status.problems] == ["languages"]
    harness.write(level="debug")
    await harness.request("reload")
    assert not harness.environment.reload_status.problems


@pytest.mark.parametrize("more", ["", "languages: zh\n"], ids=["good", "bad"])
async def test_systemd_is_told_of_the_end_of_a_good_and_of_a_bad_reload(
    harness: ApplicationHarness, more: str
) -> None:
    harness.write(more=more)
    await harness.app.on_sighup()
    assert harness.notifier.messages == ["reloading", "ready"]


async def test_the_level_of_the_log_is_set_by_a_request(
    harness: ApplicationHarness, levels: list[str]
) -> None:
    assert await harness.request("log_level", level="debug") == {"level": "debug"}
    assert levels == ["debug"]


@pytest.mark.parametrize("fields", [{}, {"level": "loud"}, {"level": 10}, {"level": "info", "for": "1h"}])
async def test_a_request_for_an_unknown_level_is_refused(
    harness: ApplicationHarness, levels: list[str], fields: dict[str, Json]
) -> None:
    with pytest.raises(BadCommand):
        await harness.request("log_level", **fields)
    assert levels == []


async def test_a_reload_takes_no_fields(harness: ApplicationHarness) -> None:
    with pytest.raises(BadCommand):
        await harness.request("reload", account="home")
    assert harness.notifier.messages == []


async def test_an_account_that_a_reload_removed_is_not_pruned_any_more(
    harness: ApplicationHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruned: list[list[str]] = []

    def set_limits(limits: Mapping[Journal, AccountSection]) -> None:
        pruned.append([journal.account for journal in limits])

    monkeypatch.setattr(harness.app.maintenance, "set_limits", set_limits)
    await harness.request("reload")
    harness.file.write_text(harness.file.read_text().replace("home:", "office:"))
    await harness.request("reload")
    assert pruned == [["home"], []]


def test_a_stop_ends_in_time_though_neither_broker_nor_wechat_answers():
    """It waits for attempts under way, publishes `offline` twice, and notifies iLink."""
    assert (
        DRAIN_TIMEOUT_SECONDS + 2 * OFFLINE_PUBLISH_TIMEOUT_SECONDS + NOTIFY_STOP.timeout
        <= STOP_TIMEOUT_SECONDS
    )

"""`wx2mqtt setup` writes all files that the answers need, or none, and says what to do next."""

from __future__ import annotations

import dataclasses
import stat
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from wx2mqtt.i18n.setup import setup_text
from wx2mqtt.settings.loader import load
from wx2mqtt.setup import wizard as module
from wx2mqtt.setup.questions import Prompt, SetupOptions
from wx2mqtt.setup.wizard import SetupAborted, SetupPaths, SetupWizard
from wx2mqtt.setup.written_files import (
    BOT_SECRET_FILE_NAME,
    PASSWORD_FILE_NAME,
    PRIVATE_MODE,
    UNIT_PATH,
    SetupAnswers,
)
from wx2mqtt.wechat.registry import BACKENDS


class FakePrompt(Prompt):
    """Keeps all lines and questions, and answers them with their defaults.

    Where `is_confirmed` is set, it answers the questions about files in `folder`. Each secret that it is asked
    for is "bot secret".
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lines: list[str] = []
        super().__init__(self.lines.append)
        self.confirmations: list[str] = []
        self.is_confirmed: bool | None = None

    @override
    def confirm(self, question: str, *, default: bool) -> bool:
        self.confirmations.append(question)
        if self.is_confirmed is None or str(self._folder) not in question:
            return default
        return self.is_confirmed

    @override
    def ask_secret(self, question: str) -> str:
        return "bot secret"


class WizardHarness:
    """A wizard that writes into a folder of its own, with an embedded broker unless options say otherwise."""

    def __init__(self, folder: Path) -> None:
        self.prompt = FakePrompt(folder)
        self.paths = SetupPaths(
            config=folder / "wx2mqtt.yaml", overwrite=False, unit=None, ask_before_unit=False
        )

    def run(self, **options: Any) -> SetupAnswers:
        defaults = {"embedded": True, "language": "en", "home_assistant": False, "backend": "ilink"}
        if "host" in options:
            del defaults["embedded"]
        setup_options = SetupOptions(**{**defaults, **options})
        return SetupWizard(self.paths, self.prompt, "en").run(setup_options, [])

    def change_paths(self, **changes: Any) -> None:
        self.paths = dataclasses.replace(self.paths, **changes)

    def asks(self, message_key: str, **facts: object) -> bool:
        return setup_text("en", message_key, **facts) in self.prompt.confirmations

    def shows(self, message_key: str, **facts: object) -> bool:
        return setup_text("en", message_key, **facts) in self.prompt.lines


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WizardHarness:
    """Programs and folders of this machine count as visible for a service."""
    monkeypatch.setattr(module, "hidden_path", lambda *_: None)
    return WizardHarness(tmp_path)


def test_a_configuration_is_written_that_check_accepts(harness: WizardHarness) -> None:
    harness.run(owner="me")
    loaded = load(harness.paths.config, {}, BACKENDS)
    assert loaded.warnings == ()
    assert loaded.settings.mqtt.url == ("embedded",)
    assert harness.shows("wrote", path=harness.paths.config)
    assert harness.shows("passes")


def test_an_existing_file_is_kept_where_nobody_agrees(harness: WizardHarness) -> None:
    harness.paths.config.write_text("language: zh\n")
    with pytest.raises(SetupAborted, match=str(harness.paths.config)):
        harness.run()
    assert harness.paths.config.read_text() == "language: zh\n"
    assert harness.asks("overwrite", path=harness.paths.config)


def test_an_existing_file_that_may_be_replaced_is_kept_beside_the_new_one(harness: WizardHarness) -> None:
    harness.paths.config.write_text("language: zh\n")
    harness.prompt.is_confirmed = True
    harness.run()
    kept = [path for path in harness.paths.config.parent.iterdir() if path != harness.paths.config]
    assert [path.read_text() for path in kept] == ["language: zh\n"]


def test_with_overwrite_a_file_is_replaced_unasked(harness: WizardHarness) -> None:
    harness.paths.config.write_text("language: zh\n")
    harness.change_paths(overwrite=True)
    harness.run()
    assert not harness.asks("overwrite", path=harness.paths.config)
    assert harness.shows("passes")


def test_secrets_are_in_private_files_and_not_in_the_configuration(harness: WizardHarness) -> None:
    harness.run(
        host="broker.lan",
        username="me",
        password="geheim",
        try_broker=False,
        backend="wecom",
        bot_id="aib1",
        userid="",
        owner="me",
    )
    printed = harness.paths.config.read_text() + "".join(harness.prompt.lines)
    for file_name, secret in ((PASSWORD_FILE_NAME, "geheim"), (BOT_SECRET_FILE_NAME, "bot secret")):
        file = harness.paths.config.with_name(file_name)
        assert file.read_text() == f"{secret}\n"
        assert stat.S_IMODE(file.stat().st_mode) == PRIVATE_MODE
        assert secret not in printed


def test_a_secret_file_that_exists_is_not_replaced_where_nobody_agrees(harness: WizardHarness) -> None:
    password = harness.paths.config.with_name(PASSWORD_FILE_NAME)
    password.write_text("other\n")
    with pytest.raises(SetupAborted, match=str(password)):
        harness.run(host="broker.lan", username="me", password="geheim", try_broker=False)
    assert password.read_text() == "other\n"
    assert not harness.paths.config.exists()


def test_after_a_broker_that_cannot_be_used_nothing_is_written(
    harness: WizardHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check_broker(*_: object) -> bool:
        return False

    monkeypatch.setattr(module, "check_broker", check_broker)
    with pytest.raises(SetupAborted):
        harness.run(host="broker.lan", username="")
    assert harness.shows("trying", url="mqtt://broker.lan:1883")
    assert list(harness.paths.config.parent.iterdir()) == []


def test_the_unit_of_the_service_starts_with_the_configuration(harness: WizardHarness) -> None:
    harness.change_paths(unit=harness.paths.config.with_name("wx2mqtt.service"))
    harness.run()
    assert harness.paths.unit is not None
    assert f" run -c {harness.paths.config}\n" in harness.paths.unit.read_text()
    assert harness.shows("next_unit", unit="wx2mqtt")
    assert not harness.asks("write_unit", path=harness.paths.unit)


def test_a_unit_that_is_not_wanted_is_not_written(harness: WizardHarness) -> None:
    harness.change_paths(unit=harness.paths.config.with_name("wx2mqtt.service"), ask_before_unit=True)
    harness.prompt.is_confirmed = False
    harness.run()
    assert [path.name for path in harness.paths.config.parent.iterdir()] == ["wx2mqtt.yaml"]
    assert not harness.shows("next_unit", unit="wx2mqtt")


def test_a_unit_whose_files_the_sandbox_hides_is_not_written(
    harness: WizardHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "hidden_path", lambda *paths: paths[0] if len(paths) > 1 else None)
    harness.change_paths(unit=harness.paths.config.with_name("wx2mqtt.service"))
    harness.run()
    assert harness.shows("unit_hidden", path=harness.paths.config)
    assert [path.name for path in harness.paths.config.parent.iterdir()] == ["wx2mqtt.yaml"]


def test_without_systemd_the_unit_is_named_that_could_be_written(harness: WizardHarness) -> None:
    harness.change_paths(is_without_systemd=True)
    harness.run()
    assert harness.shows("unit_no_systemd", path=UNIT_PATH)

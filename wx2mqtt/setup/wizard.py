"""The steps of `wx2mqtt setup`: ask, test the broker, write and check the files, show what to do next."""

from __future__ import annotations

import asyncio
import os
import shlex
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from wx2mqtt.app.configuration import safeguards_line
from wx2mqtt.diagnostics.all_checks import check_broker
from wx2mqtt.diagnostics.check_report import CheckReport, CheckStatus, result_lines
from wx2mqtt.errors import SettingsError, Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.i18n.settings import problem_text
from wx2mqtt.i18n.setup import setup_text
from wx2mqtt.settings.loader import load
from wx2mqtt.settings.schema import DEFAULT_ACCOUNT, Settings
from wx2mqtt.setup.find_brokers import FoundBroker
from wx2mqtt.setup.questions import Prompt, Questions, SetupOptions
from wx2mqtt.setup.written_files import (
    BOT_SECRET_FILE_NAME,
    FALLBACK_FILE_NAME,
    PASSWORD_FILE_NAME,
    PRIVATE_MODE,
    PUBLIC_MODE,
    UNIT_PATH,
    SecretFiles,
    SetupAnswers,
    config_text,
    hidden_path,
    interpreter_path,
    printed_program,
    program_path,
    unit_text,
    write_file,
)
from wx2mqtt.values import frozen
from wx2mqtt.wechat.registry import BACKENDS


class SetupAborted(Wx2MqttError):
    """Nothing was written."""


@frozen
class SetupPaths:
    """The files to write. `unit` is None if no service is wanted; `overwrite` replaces files unasked."""

    config: Path
    overwrite: bool
    unit: Path | None
    ask_before_unit: bool
    #: Root may have a service, but systemd does not run: one is written only if it is asked for.
    is_without_systemd: bool = False


class SetupWizard:
    """Writes a configuration from answers. `run` raises `SetupAborted`, `CannotWrite` and `SettingsError`."""

    def __init__(self, paths: SetupPaths, prompt: Prompt, language: Language) -> None:
        self._paths = paths
        self._prompt = prompt
        self._language = language

    def run(self, options: SetupOptions, found_brokers: Iterable[FoundBroker]) -> SetupAnswers:
        """Asks all questions, writes the files and shows what to do next. Returns the answers."""
        self._language = options.language or self._language
        if not self._may_write(self._paths.config):
            raise SetupAborted(self._text("not_overwritten", path=self._paths.config))
        questions = Questions(options, self._prompt, self._language, [*found_brokers], self._try_broker)
        answers = questions.ask_all()
        if answers is None:
            raise SetupAborted(self._text("broker_bad"))
        self._language = answers.language
        self._write_files(answers)
        return answers

    def _text(self, message_key: str, /, **facts: object) -> str:
        return setup_text(self._language, message_key, **facts)

    def _show(self, message_key: str, /, **facts: object) -> None:
        self._prompt.show_line(self._text(message_key, **facts))

    def _may_write(self, path: Path, question: str = "overwrite") -> bool:
        """Returns whether the file is new, or may be replaced; asks unless `overwrite` is set."""
        # Path.exists raises where the folder may not be entered; then writing says so.
        if self._paths.overwrite or not os.path.exists(path):  # noqa: PTH110
            return True
        return self._prompt.confirm(self._text(question, path=path), default=False)

    # testing the broker

    def _try_broker(self, answers: SetupAnswers) -> bool:
        """Shows what the checks of `check --connect` find; returns whether the login at the broker works."""
        self._language = answers.language
        self._show("trying", url=answers.broker.url)
        settings = _settings(self._paths.config, answers)
        report = CheckReport(answers.language)
        is_usable = asyncio.run(check_broker(settings, report))  # no loop runs while a person is asked
        for result in report.results:
            if result.status is not CheckStatus.OK:
                for line in result_lines(result, answers.language):
                    self._prompt.show_line(line)
        if is_usable:
            self._show("broker_good" if report.is_passed else "broker_lacks")
        return is_usable

    # writing

    def _write_files(self, answers: SetupAnswers) -> None:
        config = self._paths.config
        _settings(config, answers)  # raises before anything is written
        password_file = self._write_secret(
            PASSWORD_FILE_NAME, answers.broker.password, given_file=answers.password_file
        )
        secrets = SecretFiles(
            password=password_file,
            fallback=self._write_secret(
                FALLBACK_FILE_NAME, answers.fallback_url, given_file=answers.fallback_file
            ),
            bot_secret=self._write_secret(
                BOT_SECRET_FILE_NAME, answers.bot_secret, given_file=answers.bot_secret_file
            ),
        )
        self._write_file(config, config_text(answers))
        loaded = load(config, {}, BACKENDS)  # raises what `check` would report
        for warning in loaded.warnings:
            problem = problem_text(warning, answers.language)
            self._prompt.show_line(bridge_text(answers.language, "warning_line", problem=problem))
        self._show("passes")
        has_unit = self._write_unit(secrets)
        command = {"program": printed_program(), "path": shlex.quote(str(config))}
        if has_unit and self._paths.unit is not None and not self._paths.is_without_systemd:
            self._show("next_unit", unit=shlex.quote(self._paths.unit.stem))
        else:
            self._show("next_run", **command)
        backend = BACKENDS[answers.backend]
        if not answers.bot_id:
            self._show("next_scan_wecom" if backend.capabilities.owner_is_named else "next_scan", **command)
        if backend.capabilities.owner_is_named:
            self._show("next_owner_known" if answers.userid else "next_owner", **command)
        if backend.has_reply_window:
            self._show("next_write")
        if line := safeguards_line(loaded.settings.accounts[DEFAULT_ACCOUNT], answers.language):
            self._prompt.show_line(line)

    def _write_file(self, path: Path, text: str) -> None:
        kept_file = write_file(path, text, PUBLIC_MODE)
        self._show("wrote", path=path)
        if kept_file is not None:
            self._show("kept", path=kept_file)

    def _write_secret(self, file_name: str, secret: str, *, given_file: Path | None) -> Path | None:
        """Writes a secret that was typed; returns its file, or the one that was given, or None."""
        if given_file is not None or not secret:
            return given_file
        path = self._paths.config.with_name(file_name)
        if not self._may_write(path, "overwrite_password"):
            raise SetupAborted(self._text("not_overwritten", path=path))
        write_file(path, f"{secret}\n", PRIVATE_MODE, keep_old=False)
        self._show("wrote", path=path)
        return path

    def _write_unit(self, secrets: SecretFiles) -> bool:
        """Writes the systemd unit if it is wanted and can work; returns whether it was written."""
        unit, config, command = self._paths.unit, self._paths.config, program_path()
        if unit is None:
            if self._paths.is_without_systemd:
                self._show("unit_no_systemd", path=UNIT_PATH)
            return False
        if python := hidden_path(interpreter_path()):
            self._show("unit_hidden_python", path=python)
            return False
        hidden = hidden_path(config, Path(command.split()[0]))
        if hidden is not None:
            self._show("unit_hidden", path=hidden)
            return False
        if self._paths.ask_before_unit:
            is_wanted = self._prompt.confirm(self._text("write_unit", path=unit), default=True)
            if not is_wanted:
                return False
        if not self._may_write(unit):
            self._show("not_overwritten", path=unit)
            return False
        self._write_file(unit, unit_text(config, secrets, command))
        return True


def _settings(config: Path, answers: SetupAnswers) -> Settings:
    """Returns the settings that the answers give; raises the `SettingsError` that `check` would report."""
    with tempfile.TemporaryDirectory(prefix="wx2mqtt-setup-") as folder:
        draft = Path(folder) / "wx2mqtt.yaml"
        write_file(draft.with_name(PASSWORD_FILE_NAME), answers.broker.password + "\n", PRIVATE_MODE)
        write_file(draft.with_name(FALLBACK_FILE_NAME), answers.fallback_url + "\n", PRIVATE_MODE)
        write_file(draft.with_name(BOT_SECRET_FILE_NAME), answers.bot_secret + "\n", PRIVATE_MODE)
        write_file(draft, config_text(answers), PUBLIC_MODE)
        try:
            return load(draft, {}, BACKENDS).settings
        except SettingsError as error:
            # the real file is not there yet, so it has no lines
            problems = (replace(problem, file=str(config), line=0) for problem in error.problems)
            raise SettingsError(tuple(problems)) from None

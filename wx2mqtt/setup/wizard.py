"""The whole of `wx2mqtt setup`: find, ask, try, write, check, and say what comes next."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from wx2mqtt.diagnostics.report import CheckReport, CheckStatus, result_lines
from wx2mqtt.diagnostics.runner import check_broker
from wx2mqtt.errors import SettingsError, Wx2MqttError
from wx2mqtt.i18n.bridge import Language
from wx2mqtt.i18n.setup import setup_text
from wx2mqtt.settings.loader import load
from wx2mqtt.settings.schema import Settings
from wx2mqtt.setup import output as service
from wx2mqtt.setup.config_text import PASSWORD_FILE_NAME, SetupAnswers, config_text
from wx2mqtt.setup.discover import FoundBroker
from wx2mqtt.setup.output import PRIVATE_MODE, PUBLIC_MODE, write_file
from wx2mqtt.setup.questions import Prompt, Questions, SetupOptions
from wx2mqtt.wechat.registry import BACKENDS


class SetupAborted(Wx2MqttError):
    """Nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupPaths:
    """Where things go. `unit` is None where no service is wanted, `asks` whether one is asked before."""

    config: Path
    overwrite: bool
    unit: Path | None
    ask_before_unit: bool


class SetupWizard:
    """Sets one up. Raises `SetupAborted`, and `CannotWrite`."""

    def __init__(self, paths: SetupPaths, prompt: Prompt, language: Language) -> None:
        self._paths = paths
        self._prompt = prompt
        self._language = language

    def run(self, options: SetupOptions, found_brokers: Iterable[FoundBroker]) -> None:
        """Everything, with what comes next told at the end."""
        self._language = options.language or self._language
        if not self._may_write(self._paths.config):
            raise SetupAborted(self._text("not_overwritten", path=self._paths.config))
        answers = Questions(
            options, self._prompt, self._language, [*found_brokers], self._try_broker
        ).ask_all()
        if answers is None:
            raise SetupAborted(self._text("broker_bad"))
        self._language = answers.language
        self._write_files(answers)

    def _text(self, message_key: str, /, **facts: object) -> str:
        return setup_text(self._language, message_key, **facts)

    def _show(self, message_key: str, /, **facts: object) -> None:
        self._prompt.show_line(self._text(message_key, **facts))

    def _may_write(self, path: Path) -> bool:
        """Nothing that is there is replaced unasked."""
        if self._paths.overwrite or not path.exists():
            return True
        return self._prompt.confirm(self._text("overwrite", path=path), default=False)

    # trying

    def _try_broker(self, answers: SetupAnswers) -> bool:
        """What the doctor says of the broker with these answers; whether it lets us in."""
        self._language = answers.language
        self._show("trying", url=answers.broker.url)
        settings = _settings(self._paths.config, answers)
        chart = CheckReport(answers.language)
        lets_us_in = asyncio.run(check_broker(settings, chart))  # none runs while a person is asked
        for row in chart.results:
            if row.status is not CheckStatus.OK:
                for line in result_lines(row, answers.language):
                    self._prompt.show_line(line)
        if lets_us_in:
            self._show("broker_good" if chart.is_passed else "broker_lacks")
        return lets_us_in

    # writing

    def _write_files(self, answers: SetupAnswers) -> None:
        _settings(self._paths.config, answers)  # before anything is there
        config, password = self._paths.config, self._write_password(answers)
        self._write_file(config, config_text(answers))
        load(config, {}, BACKENDS)  # raises what `check` would say
        self._show("passes")
        unit = self._write_unit(password)
        self._show("next_unit" if unit else "next_run", path=config)
        self._show("next_scan", path=config)
        if BACKENDS[answers.backend].has_reply_window:
            self._show("next_write")

    def _write_file(self, path: Path, text: str) -> None:
        aside = write_file(path, text, PUBLIC_MODE)
        self._show("wrote", path=path)
        if aside is not None:
            self._show("kept", path=aside)

    def _write_password(self, answers: SetupAnswers) -> Path | None:
        """The file with the password, written where it is ours."""
        if answers.password_file is not None or not answers.broker.password:
            return answers.password_file
        path = self._paths.config.with_name(PASSWORD_FILE_NAME)
        if not self._may_write(path):
            raise SetupAborted(self._text("not_overwritten", path=path))
        write_file(path, answers.broker.password + "\n", PRIVATE_MODE, keep_old=False)
        self._show("wrote", path=path)
        return path

    def _write_unit(self, password_file: Path | None) -> bool:
        """Write the service where it is wanted and can work."""
        place, command = self._paths, service.program_path()
        if place.unit is None:
            return False
        out_of_sight = service.hidden_path(place.config, Path(command.split()[0]))
        if out_of_sight is not None:
            self._show("unit_hidden", path=out_of_sight)
            return False
        if place.ask_before_unit and not self._prompt.confirm(
            self._text("write_unit", path=place.unit), default=True
        ):
            return False
        if not self._may_write(place.unit):
            self._show("not_overwritten", path=place.unit)
            return False
        self._write_file(place.unit, service.unit_text(place.config, password_file, command))
        return True


def _settings(config: Path, answers: SetupAnswers) -> Settings:
    """What would be read of these answers. Raises `SettingsError` with what `check` would say of `config`."""
    with tempfile.TemporaryDirectory(prefix="wx2mqtt-setup-") as folder:
        trial = Path(folder) / "wx2mqtt.yaml"
        write_file(trial.with_name(PASSWORD_FILE_NAME), answers.broker.password + "\n", PRIVATE_MODE)
        write_file(trial, config_text(answers), PUBLIC_MODE)
        try:
            return load(trial, {}, BACKENDS).settings
        except SettingsError as wrong:
            # it is not there yet, and has no lines
            problems = (replace(one, file=str(config), line=0) for one in wrong.problems)
            raise SettingsError(tuple(problems)) from None

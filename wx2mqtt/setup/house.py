"""The whole of `wx2mqtt setup`: find, ask, try, write, check, and say what comes next."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from wx2mqtt.doctor.chart import Chart, Verdict
from wx2mqtt.doctor.examination import examine_broker
from wx2mqtt.doctor.table import row_lines
from wx2mqtt.errors import SettingsError, Wx2MqttError
from wx2mqtt.settings.load import load
from wx2mqtt.settings.schema import Settings
from wx2mqtt.setup import unit as service
from wx2mqtt.setup.answers import PASSWORD, Answers, configuration
from wx2mqtt.setup.asking import Asker
from wx2mqtt.setup.files import OPEN, PRIVATE, put
from wx2mqtt.setup.finding import Found
from wx2mqtt.setup.talk import Given, Talk
from wx2mqtt.setup.words import say
from wx2mqtt.words import Language


class GaveUp(Wx2MqttError):
    """Nothing was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where things go. `unit` is None where no service is wanted, `asks` whether one is asked before."""

    config: Path
    overwrite: bool
    unit: Path | None
    asks: bool


class House:
    """Sets one up. Raises `GaveUp`, and `CannotWrite`."""

    def __init__(self, place: Place, asker: Asker, language: Language) -> None:
        self._place = place
        self._asker = asker
        self._language = language

    def set_up(self, given: Given, found: Iterable[Found]) -> None:
        """Everything, with what comes next told at the end."""
        self._language = given.language or self._language
        if not self._may_write(self._place.config):
            raise GaveUp(self._say("not_overwritten", path=self._place.config))
        answers = Talk(given, self._asker, self._language, [*found], self._tried).answers()
        if answers is None:
            raise GaveUp(self._say("broker_bad"))
        self._language = answers.language
        self._write(answers)

    def _say(self, word: str, /, **facts: object) -> str:
        return say(self._language, word, **facts)

    def _tell(self, word: str, /, **facts: object) -> None:
        self._asker.tell(self._say(word, **facts))

    def _may_write(self, path: Path) -> bool:
        """Nothing that is there is replaced unasked."""
        if self._place.overwrite or not path.exists():
            return True
        return self._asker.agrees(self._say("overwrite", path=path), proposal=False)

    # trying

    def _tried(self, answers: Answers) -> bool:
        """What the doctor says of the broker with these answers; whether it lets us in."""
        self._language = answers.language
        self._tell("trying", url=answers.broker.url)
        settings = _settings(self._place.config, answers)
        chart = Chart(answers.language)
        lets_us_in = asyncio.run(examine_broker(settings, chart))  # none runs while a person is asked
        for row in chart.rows:
            if row.verdict is not Verdict.OK:
                for line in row_lines(row, answers.language):
                    self._asker.tell(line)
        if lets_us_in:
            self._tell("broker_good" if chart.well else "broker_lacks")
        return lets_us_in

    # writing

    def _write(self, answers: Answers) -> None:
        _settings(self._place.config, answers)  # before anything is there
        config, password = self._place.config, self._password(answers)
        self._put(config, configuration(answers))
        load(config, {})  # raises what `check` would say
        self._tell("passes")
        unit = self._unit(password)
        self._tell("next_unit" if unit else "next_run", path=config)
        self._tell("next_scan", path=config)
        if answers.backend == "ilink":
            self._tell("next_write")

    def _put(self, path: Path, text: str) -> None:
        aside = put(path, text, OPEN)
        self._tell("wrote", path=path)
        if aside is not None:
            self._tell("kept", path=aside)

    def _password(self, answers: Answers) -> Path | None:
        """The file with the password, written where it is ours."""
        if answers.password_file is not None or not answers.broker.password:
            return answers.password_file
        path = self._place.config.with_name(PASSWORD)
        if not self._may_write(path):
            raise GaveUp(self._say("not_overwritten", path=path))
        put(path, answers.broker.password + "\n", PRIVATE, keep_old=False)
        self._tell("wrote", path=path)
        return path

    def _unit(self, password: Path | None) -> bool:
        """Write the service where it is wanted and can work."""
        place, command = self._place, service.program()
        if place.unit is None:
            return False
        out_of_sight = service.hidden(place.config, Path(command.split()[0]))
        if out_of_sight is not None:
            self._tell("unit_hidden", path=out_of_sight)
            return False
        if place.asks and not self._asker.agrees(self._say("write_unit", path=place.unit), proposal=True):
            return False
        if not self._may_write(place.unit):
            self._tell("not_overwritten", path=place.unit)
            return False
        self._put(place.unit, service.unit(place.config, password, command))
        return True


def _settings(config: Path, answers: Answers) -> Settings:
    """What would be read of these answers. Raises `SettingsError` with what `check` would say of `config`."""
    with tempfile.TemporaryDirectory(prefix="wx2mqtt-setup-") as folder:
        trial = Path(folder) / "wx2mqtt.yaml"
        put(trial.with_name(PASSWORD), answers.broker.password + "\n", PRIVATE)
        put(trial, configuration(answers), OPEN)
        try:
            return load(trial, {}).settings
        except SettingsError as wrong:
            # it is not there yet, and has no lines
            problems = (replace(one, file=str(config), line=0) for one in wrong.problems)
            raise SettingsError(tuple(problems)) from None

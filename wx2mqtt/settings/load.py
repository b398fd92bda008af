"""From the command line's `-c` and the environment to `Settings`, or to every problem at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wx2mqtt.errors import Problem, SettingsError
from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.files import UnreadableError, read_text
from wx2mqtt.settings.finding import Report
from wx2mqtt.settings.layers import add_credentials, add_environment, paths_of
from wx2mqtt.settings.rules import findings
from wx2mqtt.settings.schema import Settings
from wx2mqtt.settings.secret_files import read_secrets, warn_of_clear_text
from wx2mqtt.settings.shape import Kind
from wx2mqtt.settings.tree import Place, Tree, parse
from wx2mqtt.settings.validate import validate

HERE = Path("wx2mqtt.yaml")
SYSTEM = Path("/etc/wx2mqtt/wx2mqtt.yaml")
LARGEST_FILE = 1_000_000  # bytes; some twenty thousand contacts

_OF_THE_PAGE = re.compile(r"(?:^|\()(?:web|language)(?:\.|\)|$)")  # a key, or a variable with its key in ( )


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings, the file that they came from (None without any), and what the owner should know."""

    settings: Settings
    path: Path | None
    warnings: tuple[Problem, ...] = ()


def find(cwd: Path, system: Path = SYSTEM) -> Path | None:
    """The file that counts when none is named: in the working folder, else the system's, else none."""
    return next((path for path in (cwd / HERE, system) if path.exists()), None)


def load(path: Path | None, env: Mapping[str, str]) -> Loaded:
    """Read everything that makes the settings; raises `SettingsError` with all problems.

    Without a file: web WeChat for one account and the embedded broker, and what `env` says. Secrets are
    read from their files; relative paths count from the folder of the file that names them. `env` holds
    `WX2MQTT_…` variables and systemd's `CREDENTIALS_DIRECTORY`.
    """
    report = Report()
    settings = _gather(path, env, report)
    if report.problems:
        raise SettingsError(_in_order(report.problems))
    return Loaded(settings=settings, path=path, warnings=_in_order(report.warnings))


def page_of(path: Path | None, env: Mapping[str, str]) -> Settings | None:
    """Settings of which only `web` and `language` count: where to show what is wrong with the rest.

    None where nothing is to be shown: `web` itself has a problem. A file that cannot be read at all leaves
    the defaults, which are on loopback.
    """
    report = Report()
    try:
        settings = _gather(path, env, report)
    except SettingsError:
        settings = Settings()
    faulty = any(_OF_THE_PAGE.search(problem.key) for problem in report.problems)
    return None if faulty or not settings.web.enabled else settings


def _gather(path: Path | None, env: Mapping[str, str], report: Report) -> Settings:
    """Everything that the settings come from; what has a problem is left out of them."""
    tree = _defaults() if path is None else _read(path, report)
    if folder := env.get("CREDENTIALS_DIRECTORY"):
        add_credentials(tree, Path(folder))
    add_environment(tree, env, report)
    _anchor_paths(tree)
    read_secrets(tree, report)
    settings, faults = validate(tree)
    report.problems += faults
    for finding in findings(settings):
        found = report.warnings if finding.warning else report.problems
        found.append(tree.problem(finding.path, finding.message))
    return settings


def _defaults() -> Tree:
    tree = Tree("defaults", first_line=0)
    tree.put(("mqtt", "url"), EMBEDDED, Place("defaults", 0))
    return tree


def _read(path: Path, report: Report) -> Tree:
    try:
        text = read_text(path, LARGEST_FILE)
    except UnreadableError as fault:
        raise SettingsError((Problem(str(path), 1, "file", str(fault)),)) from None
    tree, faults = parse(text, str(path))
    report.problems += faults
    warn_of_clear_text(tree, path, report)
    return tree


def _anchor_paths(tree: Tree) -> None:
    """A relative path in a file counts from the file's folder, so that the working folder does not matter."""
    for path in paths_of(tree, Kind.PATH, Kind.PATHS):
        place, value = tree.place(path), tree.get(path)
        base = Path(place.file).absolute().parent if place.line else Path.cwd()
        if isinstance(value, str) and value and place.tag != "bool":
            tree.replace(path, _anchored(base, value))
        elif isinstance(value, list):
            tree.replace(
                path, [_anchored(base, one) if isinstance(one, str) and one else one for one in value]
            )


def _anchored(base: Path, written: str) -> str:
    return str(base / os.path.expanduser(written))  # noqa: PTH111  # the other one raises where there is no home


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By file and line, nothing twice."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line)))

"""What needs no run of the bridge: schemas, sentences, problems of configurations, answers of the command line."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from tests.golden.normal_form import normal_form
from wx2mqtt import i18n
from wx2mqtt.errors import Problem, SettingsError
from wx2mqtt.i18n.settings import problem_text
from wx2mqtt.settings.loader import load
from wx2mqtt.wechat.registry import BACKENDS

ROOT = Path(__file__).parents[2]

# A line of arguments each. They run in an empty folder, with no store and no bridge.
COMMAND_LINES = (
    "",
    "--help",
    "nonsense",
    "run -c nothing.yaml",
    "check -c nothing.yaml",
    "check -c bad.yaml",
    "check -c good.yaml",
    "login -c bad.yaml",
    "login -c good.yaml nobody",
    "healthcheck -c good.yaml",
    "healthcheck -c good.yaml --live",
    "journal list -c good.yaml",
    "journal show -c good.yaml nothing",
    "journal retry -c good.yaml nothing",
    "people list -c good.yaml",
    "people assign -c good.yaml nobody somebody",
    "purge -c good.yaml nobody",
    "backup -c good.yaml",
    "restore -c good.yaml nothing.tar",
    "ask -c good.yaml wife Question Yes No",
    "schema config",
    "schema messages",
    "schema topics",
    "schema nonsense",
    "cluster drain -c good.yaml",
)

FILES: Mapping[str, Any] = {
    "good.yaml": {
        "mqtt": {"url": "mqtt://127.0.0.1:1"},
        "storage": {"path": "store"},
        "accounts": {"home": {}},
    },
    "bad.yaml": {
        "mqtt": {"url": "http://x", "keepalive": "soon"},
        "acounts": {},
        "web": {"listen": "nowhere"},
    },
}

# What each key of the configuration is set to in turn.
WRONG_VALUES: tuple[Any, ...] = ("nonsense", -1, [[]], {"unknown": 1}, "")


def sentences() -> str:
    """Returns every sentence in English and Chinese, a pair each, in alphabetical order."""
    pairs: set[tuple[str, str]] = set()
    for module in pkgutil.iter_modules(i18n.__path__):
        names = vars(import_module(f"{i18n.__name__}.{module.name}"))
        for name, value in names.items():
            if name.strip("_").isupper():
                pairs.update(_pairs(value))
    return json.dumps(sorted(pairs), indent=0, ensure_ascii=False) + "\n"


def _pairs(value: object) -> Iterator[tuple[str, str]]:
    match value:
        case (str() as english, str() as chinese):
            yield english, chinese
        case Mapping():
            for key, item in value.items():
                if isinstance(key, str) and isinstance(item, str):
                    yield key, item
                else:
                    yield from _pairs(item)
        case tuple() | list():
            for item in value:
                yield from _pairs(item)
        case _ if hasattr(value, "__dataclass_fields__"):
            for name in value.__dataclass_fields__:
                yield from _pairs(getattr(value, name))


def configuration_problems(folder: Path) -> str:
    """Returns what is said of each wrong value of each key, in English and in Chinese."""
    schema = json.loads((ROOT / "config/wx2mqtt.schema.json").read_text(encoding="utf-8"))
    file = folder / "wx2mqtt.yaml"
    lines: list[str] = []
    for path in sorted(_keys(schema, schema, ())):
        for value in WRONG_VALUES:
            file.write_text(yaml.safe_dump(_nested(path, value), allow_unicode=True), encoding="utf-8")
            lines += [f"{'.'.join(path)} = {value!r}", *_problems(file)]
    return "\n".join(lines).replace(str(folder), "<folder>") + "\n"


def _keys(
    schema: Mapping[str, Any], root: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """Yields the path of each key that a schema describes; a key that people choose is `home`."""
    for part in (schema, *schema.get("anyOf", ()), *schema.get("allOf", ())):
        if "$ref" in part:
            name = part["$ref"].rpartition("/")[2]
            yield from _keys(root["$defs"][name], root, path)
        for key, value in part.get("properties", {}).items():
            yield (*path, key)
            yield from _keys(value, root, (*path, key))
        if isinstance(part.get("additionalProperties"), dict):
            yield from _keys(part["additionalProperties"], root, (*path, "home"))


def _nested(path: tuple[str, ...], value: object) -> object:
    for key in reversed(path):
        value = {key: value}
    return value


def _problems(file: Path) -> list[str]:
    try:
        load(file, {}, BACKENDS)
    except SettingsError as error:
        return [line for problem in error.problems for line in _in_both_languages(problem)]
    return ["  accepted"]


def _in_both_languages(problem: Problem) -> list[str]:
    return [f"  {problem}", f"  {problem_text(problem, 'zh')}"]


def command_lines(folder: Path) -> str:
    """Returns exit code and output of each command line."""
    for name, content in FILES.items():
        (folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    return "".join(_answer(line, folder) for line in COMMAND_LINES)


def _answer(line: str, folder: Path) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-m", "wx2mqtt", *line.split()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    output = (done.stdout + done.stderr).replace(str(folder), "<folder>")
    answer = f"$ wx2mqtt {line}\nexit code {done.returncode}\n{normal_form(output)}\n"
    return "".join(f"{row.rstrip()}\n" for row in answer.splitlines())

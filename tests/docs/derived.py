"""All files that are written from the code, and what the code lacks to write them. `make docs` writes them.

To write one more file, add it to `derived_files`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

import typer

from tests import limits_table
from tests.docs import tables
from tests.docs.code_help import CODE_HELP
from tests.docs.limit_texts import LIMIT_TEXTS
from tests.docs.manual import MANUAL, manual_text
from tests.docs.markdown import ROOT
from tests.docs.table_texts import TABLE_TEXTS
from tests.unit.test_limit_constants import limits_without_row
from wx2mqtt.cli.main import app
from wx2mqtt.i18n.reference import REFERENCE_TEXTS
from wx2mqtt.i18n.setup import HELP_TEXTS
from wx2mqtt.mqtt.payloads import REQUEST_CODES
from wx2mqtt.settings.key_tree import KeyPath, dotted, walk
from wx2mqtt.settings.schema import DEFAULT_ACCOUNT, FIRST_BACKEND, json_schema
from wx2mqtt.settings.writer import compose

EXAMPLE = ROOT / "config" / "wx2mqtt.yaml"
SCHEMA = ROOT / "config" / "wx2mqtt.schema.json"

EXAMPLE_HEADER = """\
#
# The configuration of wx2mqtt: every key with its default, and iLink as the backend, which a file must name.
# Keep that and what you change, and delete the rest.
# Without any file there is one account, home, and an embedded broker on 127.0.0.1:1883 (mqtt.url: embedded).
#
# Any key can also come from the environment: mqtt.url is WX2MQTT_MQTT__URL. A secret can stand in a file
# (password_file), in the environment, or be a systemd credential of its name (mqtt.password).
# Sizes: 256kB, 25MB, 1GiB. Durations: 30s, 10m, 24h, 7d. `wx2mqtt check` finds every problem at once.
"""


def derived_files() -> Mapping[Path, Callable[[], str]]:
    """Returns each file that is written, with the function that makes its content."""
    pages = {path: partial(tables.page_with_tables, path) for path in tables.pages()}
    return {**pages, MANUAL: manual_text, EXAMPLE: example_text, SCHEMA: schema_text}


def example_text() -> str:
    """Returns the example file with every key; loading it gives the defaults, and iLink as the backend."""
    paths = {tuple(name.replace("*", DEFAULT_ACCOUNT) for name in path): key for path, key in walk()}
    values: dict[KeyPath, object] = {
        path: key.default for path, key in paths.items() if "contacts" not in path[:-1]
    }
    values["accounts", DEFAULT_ACCOUNT, "backend"] = FIRST_BACKEND
    return compose(values, EXAMPLE_HEADER, "en")


def schema_text() -> str:
    """Returns what `wx2mqtt schema config` prints."""
    return json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n"


def missing_parts() -> Iterator[str]:
    """Yields for each thing that the code lacks a sentence that says where it belongs."""
    yield from _missing_texts()
    yield from _missing_descriptions()
    for name in sorted(limits_without_row()):
        yield f"no row for the limit {name}: tests/docs/limit_table.py, or exempt it in tests/unit/test_limit_constants.py"
    for code in sorted(REQUEST_CODES - CODE_HELP.keys()):
        yield f"no cause and cure of the code {code}: tests/docs/code_help.py"


def _missing_texts() -> Iterator[str]:
    """Makes all Chinese tables with the English texts, and yields those that have no Chinese."""
    needed: dict[str, set[str]] = {"tables": set(), "limits": set()}

    def record(file: str, english: str) -> str:
        needed[file].add(english)
        return english

    with (
        patch.object(tables, "translated", lambda english, _: record("tables", english)),
        patch.object(limits_table, "said", lambda english, _: record("limits", english)),
    ):
        for name, make_table in tables.TABLES.items():
            # A code without cause and cure is reported as such.
            if not name.endswith("-codes"):
                make_table("zh")
    for english in sorted(
        needed["tables"] - TABLE_TEXTS.keys() - REFERENCE_TEXTS.keys() - HELP_TEXTS.keys() - {""}
    ):
        yield f"no Chinese for {english!r}: wx2mqtt/i18n/reference.py or tests/docs/table_texts.py"
    for english in sorted(needed["limits"] - LIMIT_TEXTS.keys() - {""}):
        yield f"no Chinese for {english!r}: tests/docs/limit_texts.py"


def _missing_descriptions() -> Iterator[str]:
    for path, key in walk():
        if not key.description:
            yield f"no description of the key {dotted(path)}: wx2mqtt/settings/schema.py"
    for name, command in tables.leaf_commands(typer.main.get_command(app), "wx2mqtt"):
        if not command.help:
            yield f"no help of the command {name}: wx2mqtt/cli"
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.help:
                yield f"no help of {parameter.opts[0]} of {name}: wx2mqtt/cli"


@dataclass(frozen=True, slots=True)
class WriteReport:
    """Which files were written, and which could not be."""

    changed: list[Path]
    #: Files for which the code lacks something; they stay as they are.
    incomplete: list[Path]


def write_files(files: Mapping[Path, Callable[[], str]]) -> WriteReport:
    """Writes the files whose content has changed."""
    written = WriteReport([], [])
    for path, make_content in files.items():
        try:
            content = make_content()
        except KeyError:
            written.incomplete.append(path)
            continue
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            written.changed.append(path)
    return written

"""Every block of code in the documentation is run or parsed; one that cannot be says why.

A comment right above a block chooses: `<!-- run -->`, `<!-- parsed: why it is not run -->`,
`<!-- tested: NAME OF THE TEST -->`, `<!-- schema: NAME -->`, `<!-- excused: why it is not even parsed -->`. Without one, shell runs against the demo, YAML is
loaded as a configuration, and Python is compiled. Chinese pages and those beside the files of deploy are parsed: the
English ones, and tests of their own, run the same commands.
"""

from __future__ import annotations

import ast
import base64
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import get_args

import pytest
import typer
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from tests.docs.derived import EXAMPLE
from tests.docs.markdown import ROOT, SHOWN_ONLY, Block, block_counts, blocks, pages
from tests.docs.sandbox import Sandbox, sandbox
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.rows import every_row
from tests.unit.store.test_folder_backup import write_sample_store
from wx2mqtt.cli.main import app
from wx2mqtt.i18n import Language
from wx2mqtt.schemas.documents import messages_document
from wx2mqtt.settings.field_types import LOGIN_KEY_BYTES
from wx2mqtt.settings.loader import load
from wx2mqtt.settings.schema import SCHEMA_URL, BackendName, Settings
from wx2mqtt.setup.written_files import BrokerAnswers, SetupAnswers, config_text
from wx2mqtt.wechat.registry import BACKENDS

ALL_BLOCKS = [block for path in pages() for block in blocks(path)]
MIN_REASON_CHARACTERS = 8
LANGUAGES: tuple[Language, ...] = ("en", "zh")
TESTS = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))


RUN_BLOCKS = [block for block in ALL_BLOCKS if block.is_run]


def checked_blocks(*languages: str, run: bool = False) -> list[Block]:
    return [
        block
        for block in ALL_BLOCKS
        if block.language in languages and block.check != "excused" and block.is_run is run
    ]


def name_of(block: Block) -> str:
    return block.name


@pytest.fixture(scope="module")
def demo_sandbox(tmp_path_factory) -> Iterator[Sandbox]:
    with sandbox(tmp_path_factory.mktemp("programs")) as started_sandbox:
        yield started_sandbox


def test_blocks_are_run_and_parsed_and_few_are_excused():
    counts = block_counts(ALL_BLOCKS)
    assert counts["run"] > 20
    assert counts["excused"] < len(ALL_BLOCKS) / 5


def test_each_block_is_checked_or_says_why_not():
    for block in ALL_BLOCKS:
        if block.check in {"parsed", "excused"}:
            assert len(block.reason) >= MIN_REASON_CHARACTERS, name_of(block)
        if block.check == "tested":
            assert f"def {block.reason}(" in TESTS, name_of(block)
        elif block.check != "excused":
            assert block.language in {"sh", "yaml", "json", "python", "toml", *SHOWN_ONLY}, name_of(block)


@pytest.mark.parametrize("block", RUN_BLOCKS, ids=name_of)
def test_shell_runs(block, demo_sandbox, tmp_path):
    done = demo_sandbox.run(block.text, tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("script", ["false; true", "false | cat", "wx2mqtt check -c none.yaml"])
def test_shell_that_fails_is_noticed(script, demo_sandbox, tmp_path):
    assert demo_sandbox.run(script, tmp_path).returncode != 0


def test_shell_that_is_not_run_is_shell():
    for block in checked_blocks("sh"):
        done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
        assert done.returncode == 0, (name_of(block), done.stderr)


@pytest.mark.skipif(
    shutil.which("shellcheck") is None, reason="shellcheck is missing (Debian: apt-get install shellcheck)"
)
def test_shellcheck_warns_of_no_shell(tmp_path):
    for block in ALL_BLOCKS:
        if block.language == "sh":
            file = tmp_path / block.name.replace("/", "_")
            file.write_text(f"#!/bin/bash\n{block.text}", encoding="utf-8")
    scripts = [*tmp_path.iterdir(), *(ROOT / ".ci").iterdir(), *(ROOT / "deploy").rglob("*.sh")]
    command = ["shellcheck", "--severity=warning", "--format=gcc", *map(str, scripts)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_toml_is_toml():
    for block in checked_blocks("toml"):
        tomllib.loads(block.text)


def test_commands_and_options_of_wx2mqtt_exist():
    unknown = [
        f"{path}: {line}: {word}"
        for path in pages()
        for line in command_lines(path)
        if (word := unknown_word(line, commands())) != ""
    ]
    assert unknown == []


def command_lines(path: Path) -> Iterator[str]:
    """Yields each `wx2mqtt …` in the blocks and code spans of a page, up to the end of the command."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    code = [block.text for block in blocks(path) if block.language == "sh"]
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
    for part in [*code, *spans]:
        for match in re.finditer(r"(?:^|[\s/])wx2mqtt ([a-z][^|;&<>#\n')]*)", part, re.MULTILINE):
            yield match[1].strip()


@cache
def commands() -> dict[str, set[str]]:
    """Returns the options of each command and subcommand, by its words."""
    found: dict[str, set[str]] = {}
    root = getattr(typer.main.get_command(app), "commands", {})
    for name, command in root.items():
        inner = getattr(command, "commands", {})
        for words, inner_command in [
            (name, command),
            *((f"{name} {key}", value) for key, value in inner.items()),
        ]:
            options = {
                text
                for parameter in inner_command.params
                for text in (*parameter.opts, *parameter.secondary_opts)
            }
            found[words] = {*options, "--help"}
    return found


def unknown_word(line: str, known: dict[str, set[str]]) -> str:
    """Returns the first word of a command line that no command or option is called, or empty text."""
    words = shlex.split(line.replace("…", "").replace("[", "").replace("]", ""))
    if words[0] not in known:
        return words[0]
    subcommands = {name.partition(" ")[2] for name in known if name.startswith(f"{words[0]} ")}
    name = words[0]
    if subcommands and len(words) > 1 and not words[1].startswith("-"):
        if words[1] not in subcommands:
            return words[1]
        name = f"{words[0]} {words[1]}"
    options = (word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word))
    return next((option for option in options if option not in known[name]), "")


@every_row(
    ("line", "word"),
    [
        ("check --connect", ""),
        ("journal list --all", ""),
        ("start", "start"),
        ("check --conect", "--conect"),
        ("journal show", ""),
        ("cluster --json", ""),
        ("cluster --jason", "--jason"),
        ("journal forget", "forget"),
        ("backup --all", "--all"),
    ],
)
def test_an_unknown_command_or_option_is_recognized(line, word):
    assert unknown_word(line, commands()) == word


SHARED_ADDRESSES = {"web.senders_listen", "web.ntfy_listen"}
"""Of these `check` warns, and the page says so: others of the network send to them without TLS."""


class YamlLoader(yaml.SafeLoader):
    """Loads YAML with `!secret`, which files of Home Assistant may have."""


YamlLoader.add_multi_constructor("!secret", lambda loader, _tag, node: loader.construct_scalar(node))


def configuration_files() -> list[tuple[str, str]]:
    """Returns name and text of each configuration that is shipped or that setup writes."""
    shipped = [EXAMPLE, *(ROOT / "deploy").rglob("wx2mqtt.yaml")]
    return [
        *((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in shipped),
        *(
            (f"setup {backend} {language}", written_by_setup(backend, language))
            for backend in get_args(BackendName)
            for language in LANGUAGES
        ),
    ]


def configurations() -> list[tuple[str, str]]:
    """Returns name and text of each configuration that somebody may copy or be given."""
    shown = [block for block in ALL_BLOCKS if block.language == "yaml" and is_configuration(block.text)]
    typed = [
        (f"{path.relative_to(ROOT)}: {text[:40]}", text)
        for path in pages()
        for text in configurations_for_a_shell(path.read_text(encoding="utf-8"))
    ]
    return [*configuration_files(), *((block.name, block.text) for block in shown), *typed]


def configurations_for_a_shell(text: str) -> list[str]:
    """Returns what the commands of a page write into files of YAML, as far as it is a configuration."""
    here_documents = re.findall(r"> \S+\.yaml <<'?(\w+)'?\n(.*?\n) *\1$", text, re.DOTALL | re.MULTILINE)
    echoed = re.findall(r"echo '([^'\n]+)' > \S+\.yaml", text)
    written = [*(dedent(document) for _, document in here_documents), *echoed]
    return [document for document in written if is_configuration(document)]


def is_configuration(text: str) -> bool:
    content = yaml.load(text, YamlLoader)
    return isinstance(content, dict) and content.keys() <= Settings.model_fields.keys()


def written_by_setup(backend: BackendName, language: Language) -> str:
    answers = SetupAnswers(
        broker=BrokerAnswers(host="192.168.1.10", username="bridge", password="secret"),
        language=language,
        home_assistant=True,
        backend=backend,
    )
    return config_text(answers)


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in configurations()])
def test_check_accepts_a_configuration_with_no_change_but_its_secrets(text, tmp_path, monkeypatch):
    monkeypatch.setenv("WX2MQTT_STORAGE__PATH", str(tmp_path / "store"))
    (file := tmp_path / "wx2mqtt.yaml").write_text(with_secrets(text, tmp_path), encoding="utf-8")
    done = CliRunner().invoke(app, ["check", "-c", str(file)])
    assert done.exit_code == 0, done.output
    loaded = load(file, {}, BACKENDS)
    assert [warning for warning in loaded.warnings if warning.key not in SHARED_ADDRESSES] == []


@every_row(("name", "text"), configuration_files())
def test_a_configuration_file_names_the_schema_for_editors(name, text):
    assert text.startswith(f"# yaml-language-server: $schema={SCHEMA_URL}\n"), name


def test_yaml_that_is_no_configuration_says_so():
    for block in checked_blocks("yaml"):
        assert yaml.load(block.text, YamlLoader), name_of(block)
        if not is_configuration(block.text) and not block.path.is_relative_to(ROOT / "deploy"):
            assert block.check in {"parsed", "tested"}, name_of(block)


def with_secrets(text: str, folder: Path) -> str:
    """Returns the configuration with existing files in place of those that it names, no two of them equal."""

    def name_secret(match: re.Match[str]) -> str:
        (file := folder / f"secret{match.start()}").touch(0o600)
        file.write_text(f"mailto://user:secret-of-32-characters-{match.start()}@example.org\n")
        return f"{match[1]}{file}"

    (key := folder / "key").touch(0o600)
    key.write_text(base64.b64encode(bytes(LOGIN_KEY_BYTES)).decode())
    text = re.sub(r"(?m)(^ *key_file: *)(?! |null)[^\s,}]+", rf"\g<1>{key}", text)
    return re.sub(r"(\b(?!key_file)\w+_file: *)(?! |null)[^\s,}]+", name_secret, text)


@every_row("block", checked_blocks("json"))
def test_json_fits_its_schema(block):
    body = json.loads(block.text)
    if block.check == "parsed":
        return
    assert block.check == "schema", "name its schema: <!-- schema: NAME -->"
    document = messages_document()
    validator = Draft202012Validator({**document, "$ref": f"#/$defs/{block.reason}"})
    assert [error.message for error in validator.iter_errors(body)] == []


@every_row("block", checked_blocks("python"))
def test_python_is_python(block):
    assert ast.parse(block.text).body


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is missing (Debian: apt-get install systemd)",
)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_systemd_accepts_the_units_of_the_backup(language, tmp_path):
    units = [
        block for block in blocks(ROOT / f"docs/{language}/operation/backup.md") if block.language == "ini"
    ]
    names = ["wx2mqtt-backup-failed.service"]
    for name, unit in zip(names, units, strict=True):
        (tmp_path / name).write_text(unit.text)
    shipped = ROOT / "deploy/systemd/wx2mqtt-backup.service"
    assert f"\n#OnFailure={names[0]}\n" in shipped.read_text()
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_trial_restore_of_the_page_needs_nothing_else(language, demo_sandbox, tmp_path):
    (block,) = [
        block
        for block in blocks(ROOT / f"docs/{language}/operation/backup.md")
        if block.reason == "test_the_trial_restore_of_the_page_needs_nothing_else"
    ]
    write_sample_store(tmp_path / "store")
    done = demo_sandbox.run(block.text, tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "wife" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store", "wx2mqtt.yaml"]


def test_the_python_example_answers_a_trusted_message(demo_sandbox, tmp_path):
    (block,) = blocks(ROOT / "docs/en/examples/python.md")
    script = block.text.replace("1883", demo_sandbox.ports["broker"])
    with subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path) as example:
        try:
            after = 0
            while (
                True
            ):  # the sandbox writes repeatedly; the answer follows the first message that the script receives
                parameters = {"after": after, "wait": MAX_WAIT_SECONDS}
                sent = demo_sandbox.http.get("/sim/ilink/sent", params=parameters).json()
                assert sent
                if any("You wrote: hello" in json.dumps(message) for message in sent):
                    break
                after += len(sent)
        finally:
            example.terminate()

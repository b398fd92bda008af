"""Settings: YAML, whole files, the environment, and single values."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from datetime import UTC
from pathlib import Path

from tests.fuzz.mutators import (
    grown,
    mutated,
)
from tests.fuzz.target import Target
from wx2mqtt.errors import SettingsError
from wx2mqtt.i18n.settings import problem_text, sentence_text
from wx2mqtt.names import printable, unprintable
from wx2mqtt.settings import addresses, environment, names_and_topics, validation_errors, yaml_tree
from wx2mqtt.settings.field_types import parse_login_keys
from wx2mqtt.settings.loader import load, load_storage_settings, load_valid_settings, load_web_settings
from wx2mqtt.settings.quiet_hours import parse_quiet_hours, quiet_hours_around
from wx2mqtt.settings.sizes_and_durations import parse_duration, parse_size
from wx2mqtt.wechat.registry import BACKENDS

_YAML = (
    (Path(__file__).parents[3] / "config" / "wx2mqtt.yaml").read_bytes()[:3000],
    b"mqtt:\n  url: mqtt://localhost:1883\n  password: secret\naccounts:\n  home:\n    backend: webwx\n    contacts:\n      wife: {remark: x}\n",
    b"a: &x {b: c}\nd:\n  <<: *x\n  e: [1, 2, *x]\n",
    b"web:\n  listen: 127.0.0.1:8099\nlanguage: zh\nmedia:\n  keep: 7d\n  max_size: 25MB\n",
)
# PyYAML reads 50 kB a second; the file is the owner's.
_LARGE_FILE_BYTES = 20_000
_YAML_WORDS = (
    *(
        "\n",
        "  ",
        ": ",
        "- ",
        "&x ",
        "*x",
        "<<: ",
        "!!python/object:os.system ",
        "!x ",
        "|",
        ">",
        "? ",
        "---\n",
        "...\n",
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        "mqtt:",
        "accounts:",
        "home:",
        "backend: ilink",
        "web:",
        "null",
        "~",
        "yes",
        "0o7",
        "1e3",
    ),
)


def _run_yaml(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    tree = yaml_tree.parse(text, "x.yaml")
    assert isinstance(tree.data, dict)
    for problem in tree.problems:
        assert str(problem).isprintable()
    with suppress(ValueError):
        yaml_tree.parse_value(text)
    validation_errors.validate(tree, BACKENDS)


def _run_settings(data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        path = Path(name) / "wx2mqtt.yaml"
        path.touch(mode=0o600)
        path.write_bytes(data)
        try:
            load(path, {}, BACKENDS)
        except SettingsError as error:
            assert error.problems
            for problem in error.problems:
                assert str(problem).isprintable(), str(problem)
                assert problem_text(problem, "zh").isprintable()
                assert sentence_text(problem.message, "zh")
        load_web_settings(path, {}, BACKENDS)
        load_valid_settings(path, {}, BACKENDS)
        with suppress(SettingsError):
            load_storage_settings(path, {}, BACKENDS)


_VARIABLES = (
    b"WX2MQTT_MQTT__URL=mqtt://x\nWX2MQTT_WEB__LISTEN=127.0.0.1:1",
    b"WX2MQTT_ACCOUNTS__HOME__BACKEND=ilink\nWX2MQTT_LANGUAGE=zh",
    b"WX2MQTT_ACCOUNTS={home: {backend: webwx}}\nWX2MQTT_MEDIA__KEEP=7d",
)
_VARIABLE_WORDS = (
    "WX2MQTT_",
    "__",
    "=",
    "\n",
    "MQTT",
    "ACCOUNTS",
    "HOME",
    "URL",
    "[a, b]",
    "{a: 1}",
    "_FILE",
)


def _run_environment(data: bytes) -> None:
    lines = data.decode("utf-8", "surrogateescape").replace("\0", "").split("\n")[:50]
    env = dict(line.partition("=")[::2] for line in lines if "=" in line)
    tree = yaml_tree.YamlTree("x")
    environment.add_environment(tree, env)
    for problem in (*tree.problems, *tree.warnings):
        assert problem.message
    with suppress(SettingsError):
        load(None, {name: value for name, value in env.items() if not name.endswith("_FILE")}, BACKENDS)


_VALUES = (
    b"25MB",
    b"7d",
    b"1.5h",
    b"mqtt://localhost:1883",
    b"https://example.org/x",
    b"192.168.1.0/24",
    b"[::1]:8099",
    b"home",
    b"wx/base",
    b"wife",
    b"answers/+/#",
    b"22:00-07:00",
    b"postgresql://me@db:5432,[::1]/wx2mqtt?sslmode=verify-full&password=x",
    b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
)


def _run_values(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for check in (
        names_and_topics.account_fault,
        names_and_topics.topic_name_fault,
    ):
        assert isinstance(check(text), str)
    assert printable(text).isprintable() or not text
    names_and_topics.bases_overlap(text, "wx")
    assert not any(map(unprintable, printable(text)))
    for parse in (
        names_and_topics.validate_topic,
        names_and_topics.validate_topic_filter,
        parse_size,
        parse_duration,
        addresses.validate_broker_url,
        addresses.validate_base_url,
        addresses.validate_database_url,
        addresses.validate_host_name,
        addresses.validate_network,
        addresses.validate_listen_address,
        addresses.split_listen_address,
        addresses.validate_url_path,
        addresses.validate_address,
        parse_quiet_hours,
        parse_login_keys,
    ):
        with suppress(ValueError):
            parse(text)
    with suppress(ValueError):
        span = quiet_hours_around(1_790_000_000_000, text, UTC)
        assert span is None or span[0] <= 1_790_000_000_000 < span[1]
    addresses.is_loopback(text)
    if not names_and_topics.account_fault(text):
        assert len(text) <= 32


TARGETS = (
    Target(
        name="settings.yaml_text",
        run=_run_yaml,
        parsers=(
            "settings.yaml_tree:parse",
            "settings.yaml_tree:parse_value",
            "settings.yaml_tree:YamlTree.problem",
            "settings.yaml_tree:YamlTree.add_problem",
        ),
        seeds=_YAML,
        generate=mutated(_YAML, _YAML_WORDS),
        grow=grown(_YAML, _YAML_WORDS, size=_LARGE_FILE_BYTES),
        cost_factor=100.0,  # PyYAML, in Python; the file is the owner's
        memory_factor=40.0,
    ),
    Target(
        name="settings.files",
        run=_run_settings,
        parsers=(
            "settings.loader:load",
            "settings.loader:load_web_settings",
            "settings.loader:load_valid_settings",
            "settings.loader:load_storage_settings",
            "i18n.settings:chinese_sentence",
            "i18n.settings:sentence_text",
        ),
        seeds=_YAML,
        generate=mutated(_YAML, _YAML_WORDS),
        grow=grown(_YAML, _YAML_WORDS, size=_LARGE_FILE_BYTES),
        cost_factor=200.0,
        memory_factor=60.0,
        fixed_bytes=2 << 20,  # the schema of pydantic
        writes_files=True,
    ),
    Target(
        name="settings.environment",
        run=_run_environment,
        parsers=("settings.environment:add_environment", "settings.loader:load"),
        seeds=_VARIABLES,
        generate=mutated(_VARIABLES, _VARIABLE_WORDS),
        grow=grown(_VARIABLES, _VARIABLE_WORDS),
        cost_factor=200.0,
        memory_factor=60.0,
        fixed_bytes=2 << 20,  # the schema of pydantic
    ),
    Target(
        name="settings.values",
        run=_run_values,
        parsers=(
            *(
                f"settings.names_and_topics:{name}"
                for name in (
                    "account_fault",
                    "topic_name_fault",
                    "validate_topic",
                    "validate_topic_filter",
                    "bases_overlap",
                )
            ),
            *("settings.sizes_and_durations:parse_size", "settings.sizes_and_durations:parse_duration"),
            *("settings.quiet_hours:parse_quiet_hours", "settings.quiet_hours:quiet_hours_around"),
            *("names:printable", "names:unprintable", "settings.field_types:parse_login_keys"),
            *(
                f"settings.addresses:{name}"
                for name in (
                    *("validate_broker_url", "validate_base_url", "validate_host_name", "validate_network"),
                    *("validate_listen_address", "split_listen_address", "is_loopback", "validate_url_path"),
                    *("validate_address", "validate_database_url"),
                )
            ),
        ),
        seeds=_VALUES,
        generate=mutated(_VALUES, ("://", ":", "/", "MB", "d", "h", ".", "[", "]", "0", "9", "+", "#")),
        grow=grown(_VALUES, ("://", ":", "/", "0", "9", ".", "a", "+/")),
        cost_factor=4.0,
        memory_factor=12.0,  # the pattern of a host name remembers each label; the file is the owner's
    ),
)

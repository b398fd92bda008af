"""The text of a configuration file: loading it gives just the chosen values.

`tests/unit/setup/test_written_files_config.py` writes the files of whole setups.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.support.rows import every_row
from wx2mqtt.settings.key_tree import KeyPath, locate
from wx2mqtt.settings.loader import load
from wx2mqtt.settings.schema import Settings
from wx2mqtt.settings.writer import EDITOR_LINE, LINE_WIDTH, compose, default_text
from wx2mqtt.wechat.registry import BACKENDS

CHOSEN: dict[KeyPath, object] = {
    ("mqtt", "url"): ("mqtt://broker",),
    ("mqtt", "username"): "on",
    ("accounts", "home", "backend"): "ilink",
    ("accounts", "home", "send", "ttl"): 600.0,
    ("accounts", "home", "contacts", "me,too", "owner"): True,
    ("homeassistant", "expose"): ["me,too", "a:b"],
}


def read(tmp_path: Path, values: Mapping[KeyPath, object]) -> Settings:
    path = tmp_path / "wx2mqtt.yaml"
    path.touch(mode=0o600)
    path.write_text(compose(values, "# top\n", "en"), encoding="utf-8")
    return load(path, {}, BACKENDS).settings


def test_only_the_chosen_keys_count(tmp_path: Path) -> None:
    settings = read(tmp_path, CHOSEN)
    home = settings.accounts["home"]
    assert (settings.mqtt.url, settings.mqtt.username) == (("mqtt://broker",), "on")
    assert (home.backend, home.send.ttl) == ("ilink", 600.0)
    assert home.contacts["me,too"].owner is True
    assert settings.homeassistant.expose == ("me,too", "a:b")
    assert settings.web == Settings().web


def test_without_a_chosen_key_everything_is_a_comment() -> None:
    text = compose({}, "# top\n", "en")
    assert text.startswith(f"{EDITOR_LINE}# top\n")
    assert yaml.safe_load(text) is None
    assert re.search(r"(?m)^ *# max_size: 2GB ", text)  # as people write a size


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_long_line_has_its_comment_above_it(language: str) -> None:
    text = compose({("mqtt", "url"): "mqtt://" + "a" * 80}, "", language)  # type: ignore[arg-type]
    lines = text.splitlines()
    (index,) = (number for number, line in enumerate(lines) if line.startswith("  url: mqtt://aaa"))
    assert "#" not in lines[index]
    assert lines[index - 1].startswith("  # ")
    assert all(len(line) <= LINE_WIDTH for line in lines)


@every_row(
    ("path", "text"),
    [
        ("language", "en"),
        ("storage.path", "null"),
        ("storage.max_size", "2GB"),
        ("accounts.home.media.max_size", "25MB"),
        ("accounts.home.media.send_from", "[]"),
        ("accounts.home.receive.allow", '["*"]'),
        ("web.enabled", "true"),
    ],
)
def test_a_default_is_written_as_people_write_it(path: str, text: str) -> None:
    key = locate(tuple(path.split(".")))
    assert key is not None
    assert default_text(key) == text

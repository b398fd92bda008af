"""The settings of a backup: what is wrong outside of the store's own sections does not matter."""

from __future__ import annotations

from pathlib import Path

import pytest

from wx2mqtt.errors import SettingsError
from wx2mqtt.settings.loader import load, load_storage_settings
from wx2mqtt.wechat.registry import BACKENDS

FILE = """\
mqtt: {url: "mqtt://broker:1883", username: bridge, password_file: none}
web: {listen: "0.0.0.0:8099"}
language: zh
storage: {path: /srv/wx2mqtt}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "wx2mqtt.yaml"
    path.write_text(FILE)
    return path


def test_secrets_of_broker_and_page_are_not_needed(file: Path) -> None:
    with pytest.raises(SettingsError):
        load(file, {}, BACKENDS)
    loaded = load_storage_settings(file, {}, BACKENDS)
    assert (loaded.settings.storage.path, loaded.settings.language) == (Path("/srv/wx2mqtt"), "zh")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("storage: {path: 7, max_size: much}", "storage.max_size"),
        ("storage: {url: postgresql://db/x, password_file: none}", "storage.password_file"),
        ("stroage: {path: /srv/wx2mqtt}", "stroage"),
        ("log: {level: loud}", "log.level"),
    ],
)
def test_what_is_wrong_about_the_store_is_told_and_nothing_else(file: Path, line: str, key: str) -> None:
    file.write_text("\n".join([*FILE.splitlines()[:3], line]))
    with pytest.raises(SettingsError) as caught:
        load_storage_settings(file, {}, BACKENDS)
    keys = {problem.key for problem in caught.value.problems}
    assert key in keys
    assert not [key for key in keys if key.startswith(("mqtt", "web"))]


def test_a_file_that_cannot_be_read_does_not_become_the_defaults(file: Path) -> None:
    file.write_text("storage: [")
    with pytest.raises(SettingsError):
        load_storage_settings(file, {}, BACKENDS)
    with pytest.raises(SettingsError):
        load_storage_settings(file.with_name("none.yaml"), {}, BACKENDS)

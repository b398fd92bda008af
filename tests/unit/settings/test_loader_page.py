"""Where to show what is wrong with a file, when the rest of it cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from wx2mqtt.errors import SettingsError
from wx2mqtt.settings.loader import load, load_web_settings
from wx2mqtt.wechat.registry import BACKENDS


def written(folder: Path, text: str) -> Path:
    file = folder / "wx2mqtt.yaml"
    file.write_text(text)
    file.chmod(0o600)
    return file


def page(folder: Path, text: str, **env: str):
    file = written(folder, text)
    with pytest.raises(SettingsError):
        load(file, env, BACKENDS)
    return load_web_settings(file, env, BACKENDS)


def test_the_address_counts_whatever_else_is_wrong(tmp_path):
    text = "mqtt: {url: nonsense}\nweb: {listen: '127.0.0.1:9000', base_path: /wechat}\nlanguage: zh\naccounts: {A: {}}\n"
    settings = page(tmp_path, text)
    assert (settings.web.listen, settings.web.base_path, settings.language) == (
        "127.0.0.1:9000",
        "/wechat",
        "zh",
    )


def test_the_password_of_the_page_counts_whatever_else_is_wrong(tmp_path):
    (tmp_path / "password").write_text("geheim")
    (tmp_path / "password").chmod(0o600)
    text = "mqtt: {url: nonsense}\nweb: {listen: '0.0.0.0:9000', password_file: password}\n"
    settings = page(tmp_path, text)
    assert settings.web.password.get_secret_value() == "geheim"


@pytest.mark.parametrize(
    "web",
    [
        "{listen: nowhere}",
        "{listen: '0.0.0.0:9000'}",
        "{listen: '0.0.0.0:9000', password_file: missing}",
        "{lisen: '127.0.0.1:9000'}",
        "{enabled: false}",
        "7",
    ],
)
def test_where_the_page_itself_is_wrong_or_not_wanted_there_is_none(tmp_path, web):
    assert page(tmp_path, f"mqtt: {{url: nonsense}}\nweb: {web}\n") is None


def test_a_variable_that_is_wrong_counts_as_the_key_it_stands_for(tmp_path):
    assert page(tmp_path, "mqtt: {url: nonsense}\n", WX2MQTT_WEB__LISTEN="nowhere") is None
    settings = page(tmp_path, "mqtt: {url: nonsense}\n", WX2MQTT_WEB__LISTEN="127.0.0.1:9001")
    assert settings.web.listen == "127.0.0.1:9001"


@pytest.mark.parametrize("text", ["web: {listen: '0.0.0.0:1'\n", "a: [", "\x00", "- a list"])
def test_of_a_file_that_is_no_configuration_the_page_is_on_loopback(tmp_path, text):
    settings = page(tmp_path, text)
    assert settings.web.listen == "127.0.0.1:8099"


def test_without_a_file_the_page_is_on_loopback(tmp_path):
    settings = load_web_settings(tmp_path / "none.yaml", {}, BACKENDS)
    assert settings is not None
    assert settings.web.listen == "127.0.0.1:8099"


def test_other_keys_that_are_called_like_it_do_not_matter(tmp_path):
    settings = page(
        tmp_path,
        "accounts: {home: {webwx: {desktop: {extspam: x}}, wbwx: {}}}\nweb: {listen: '127.0.0.1:1'}\n",
    )
    assert settings.web.listen == "127.0.0.1:1"

"""The demo names the option that chooses another port, or a broker that has its port."""

from __future__ import annotations

from pathlib import Path

import pytest

from wx2mqtt.demo import environment
from wx2mqtt.demo.environment import DemoPortsInUse
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.i18n import Language


def test_a_broker_on_the_port_of_the_demo_is_proposed_for_the_demo():
    assert "--broker mqtt://127.0.0.1:1883 uses that" in str(DemoPortsInUse({"--mqtt-port": 1883}, "en"))
    assert "--broker" not in str(DemoPortsInUse({"--simulator-port": 8070}, "en"))


@pytest.mark.parametrize(("language", "option"), [("en", "(--web-port)"), ("zh", "(--web-port)")])
def test_ports_in_use_are_named_with_the_options_that_change_them(language: Language, option: str):
    text = str(DemoPortsInUse({"--simulator-port": 8070, "--web-port": 8099}, language))
    assert f"8099 {option}" in text
    assert "8070 (--simulator-port)" in text


def test_a_folder_to_keep_is_made_for_the_owner_only(tmp_path: Path):
    folder = environment._kept_folder(tmp_path / "a" / "demo")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert environment._kept_folder(folder) == folder


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Wx2MqttError, match=f"{tmp_path}/file/demo of --keep"):
        environment._kept_folder(tmp_path / "file" / "demo")

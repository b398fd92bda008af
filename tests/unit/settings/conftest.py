"""Fixtures that write, load and refuse a configuration given as a text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from wx2mqtt.errors import SettingsError
from wx2mqtt.settings.loader import LoadedSettings, load
from wx2mqtt.wechat.registry import BACKENDS

Load = Callable[..., LoadedSettings]
Faults = Callable[..., list[str]]


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a configuration that only its owner may read."""

    def write(text: str) -> Path:
        path = tmp_path / "wx2mqtt.yaml"
        path.touch(mode=0o600)
        path.write_text(dedent(text))
        return path

    return write


@pytest.fixture
def loaded(config: Callable[[str], Path]) -> Load:
    """Loads a text, with `WX2MQTT_` variables as keywords."""

    def run(text: str = "", **env: str) -> LoadedSettings:
        return load(config(text), env, BACKENDS)

    return run


@pytest.fixture
def faults(config: Callable[[str], Path]) -> Faults:
    """Returns the problems of a text that must not load, without the folder of the file."""

    def run(text: str = "", **env: str) -> list[str]:
        path = config(text)
        with pytest.raises(SettingsError) as caught:
            load(path, env, BACKENDS)
        return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]

    return run

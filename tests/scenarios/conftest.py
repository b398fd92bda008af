"""What scenarios share: a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.broker import PROGRAM, Mosquitto

StartMosquitto = Callable[..., Mosquitto]


@pytest.fixture
def start_mosquitto(tmp_path: Path) -> Iterator[StartMosquitto]:
    """`start_mosquitto(config="", port=0, listener=True)` gives a running broker; all end with the test."""
    if PROGRAM is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    brokers: list[Mosquitto] = []

    def start(config: str = "", *, port: int = 0, listener: bool = True) -> Mosquitto:
        folder = tmp_path / f"mosquitto{len(brokers)}"
        brokers.append(Mosquitto(folder, config, port=port, listener=listener))
        return brokers[-1].start()

    yield start
    for broker in brokers:
        broker.stop()


@pytest.fixture
def mosquitto(start_mosquitto: StartMosquitto) -> Mosquitto:
    """A running broker that keeps nothing."""
    return start_mosquitto()

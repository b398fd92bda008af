"""Unit tests open no socket: what needs one is a scenario."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from typing import NoReturn

import pytest
import structlog


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes a test fail that binds or connects a socket; an event loop's own pair of sockets needs neither."""

    def refuse(*_: object) -> NoReturn:
        pytest.fail("a unit test opened a socket; make it a scenario")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)
    yield


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Lets a test configure the log, and undoes that for those after it."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = before

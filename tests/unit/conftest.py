"""Unit tests open no socket: what needs one is a scenario."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import NoReturn

import pytest


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes a test fail that binds or connects a socket; an event loop's own pair of sockets needs neither."""

    def refuse(*_: object) -> NoReturn:
        pytest.fail("a unit test opened a socket; make it a scenario")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)
    yield

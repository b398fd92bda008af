"""Tests of one process open no socket."""

from __future__ import annotations

import socket
from typing import NoReturn

import pytest


def refuse_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a test fail that binds or connects a socket; an event loop's own pair of sockets needs neither."""

    def refuse(*_: object) -> NoReturn:
        pytest.fail("a unit test opened a socket; make it a scenario")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)

"""A connection attempt that fails leaves no open socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wx2mqtt.mqtt import transport
from wx2mqtt.mqtt.broker import Publication
from wx2mqtt.mqtt.options import MqttOptions, parse_broker_url
from wx2mqtt.mqtt.sockets import BufferedSocket


class Plain:
    """A socket whose peer has hung up already."""

    closed = False

    def close(self) -> None:
        self.closed = True


async def test_a_broker_that_hangs_up_before_we_look_who_it_is_leaves_no_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = Plain()

    def gone(_plain: object) -> bool:
        raise OSError(107, "Transport endpoint is not connected")

    monkeypatch.setattr(transport, "open_socket", lambda *_: plain)
    monkeypatch.setattr(transport, "is_local_peer", gone)
    options = MqttOptions(urls=("mqtt://broker",), client_id="c", will=Publication(topic="t", payload=b""))
    opening = transport.SocketTransport.__new__(transport.SocketTransport)
    opening._address, opening._options = parse_broker_url("mqtt://broker"), options
    opening._loop = asyncio.get_running_loop()

    with pytest.raises(OSError, match="not connected"):
        opening.open_socket()

    assert plain.closed


async def test_the_kernel_waits_for_acknowledgements_a_little_longer_than_a_keepalive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timeouts: list[float] = []

    def refuse(_address: object, _tls: object, timeout: float) -> None:
        timeouts.append(timeout)
        raise ConnectionRefusedError

    monkeypatch.setattr(transport, "open_socket", refuse)
    monkeypatch.setattr(transport, "is_local_address", lambda _address: True)
    opening = transport.SocketTransport.__new__(transport.SocketTransport)
    opening._address = parse_broker_url("mqtt://broker")
    opening._options = MqttOptions(urls=("mqtt://broker",), client_id="c", keepalive=60)

    with pytest.raises(ConnectionRefusedError):
        opening.open_socket()

    assert timeouts == [75.0]


class Silent:
    """A socket on which nothing arrives; `read_count` says how often it was read."""

    read_count = 0

    def recv(self, _size: int) -> bytes:
        self.read_count += 1
        raise BlockingIOError


async def test_a_socket_on_which_nothing_arrives_is_read_once_and_not_again_until_it_is_readable() -> None:
    silent: Any = Silent()
    reading = transport.SocketTransport.__new__(transport.SocketTransport)
    reading._socket, reading._reading = BufferedSocket(silent), True
    reading._loop = asyncio.get_running_loop()

    reading._on_readable()
    await asyncio.sleep(0)

    assert silent.read_count == 1

"""The notify protocol on real datagram sockets (sd_notify(3))."""

from __future__ import annotations

import socket
import time

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.app.systemd import SystemdNotifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A service manager's socket: (socket, what NOTIFY_SOCKET says)."""
    name = (
        str(tmp_path / "notify")
        if request.param == "path"
        else f"@wx2mqtt-test-{tmp_path.name}-{time.time_ns()}"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name.replace("@", "\0", 1))
        listening.settimeout(MAX_WAIT_SECONDS)
        yield listening, name


def received(listening):
    return dict(line.split("=", 1) for line in listening.recv(4096).decode().split("\n"))


def test_every_word_arrives_as_systemd_expects_it(manager):
    listening, name = manager
    notifier = SystemdNotifier({"NOTIFY_SOCKET": name})
    before = time.monotonic_ns() // 1000
    for say, expected in (
        (notifier.ready, {"READY": "1"}),
        (notifier.stopping, {"STOPPING": "1"}),
        (notifier.feed_watchdog, {"WATCHDOG": "1"}),
        (lambda: notifier.status("home: online; 等待扫码"), {"STATUS": "home: online; 等待扫码"}),
    ):
        say()
        assert received(listening) == expected
    notifier.reloading()
    said = received(listening)
    assert said.keys() == {"RELOADING", "MONOTONIC_USEC"}
    assert before <= int(said["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000


def test_a_status_of_several_lines_cannot_say_anything_else(manager):
    listening, name = manager
    SystemdNotifier({"NOTIFY_SOCKET": name}).status("a\nWATCHDOG=1\nREADY=1 " + "x" * 1000)
    said = received(listening)
    assert said.keys() == {"STATUS"}
    assert len(said["STATUS"]) == 300


def test_a_manager_that_does_not_listen_or_read_stops_nobody(manager):
    listening, name = manager
    notifier = SystemdNotifier({"NOTIFY_SOCKET": name})
    for _ in range(2000):
        notifier.feed_watchdog()  # more than any socket holds
    listening.close()
    notifier.ready()

"""The notify protocol on real datagram sockets (sd_notify(3))."""

from __future__ import annotations

import socket
import time

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.app.systemd import SystemdNotifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """Yields the socket of a service manager, and its name for NOTIFY_SOCKET."""
    socket_name = (
        str(tmp_path / "notify")
        if request.param == "path"
        else f"@wx2mqtt-test-{tmp_path.name}-{time.time_ns()}"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager_socket:
        manager_socket.bind(socket_name.replace("@", "\0", 1))
        manager_socket.settimeout(MAX_WAIT_SECONDS)
        yield manager_socket, socket_name


def received(manager_socket):
    return dict(line.split("=", 1) for line in manager_socket.recv(4096).decode().split("\n"))


def test_each_notification_arrives_in_the_format_of_systemd(manager):
    manager_socket, socket_name = manager
    notifier = SystemdNotifier({"NOTIFY_SOCKET": socket_name})
    before = time.monotonic_ns() // 1000
    for notify, expected in (
        (notifier.ready, {"READY": "1"}),
        (notifier.stopping, {"STOPPING": "1"}),
        (notifier.feed_watchdog, {"WATCHDOG": "1"}),
        (lambda: notifier.status("home: online; 等待扫码"), {"STATUS": "home: online; 等待扫码"}),
    ):
        notify()
        assert received(manager_socket) == expected
    notifier.reloading()
    received_values = received(manager_socket)
    assert received_values.keys() == {"RELOADING", "MONOTONIC_USEC"}
    assert before <= int(received_values["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000


def test_a_status_of_several_lines_cannot_contain_another_notification(manager):
    manager_socket, socket_name = manager
    SystemdNotifier({"NOTIFY_SOCKET": socket_name}).status("a\nWATCHDOG=1\nREADY=1 " + "x" * 1000)
    received_values = received(manager_socket)
    assert received_values.keys() == {"STATUS"}
    assert len(received_values["STATUS"]) == 300


def test_a_manager_that_does_not_listen_or_read_delays_nobody(manager):
    manager_socket, socket_name = manager
    notifier = SystemdNotifier({"NOTIFY_SOCKET": socket_name})
    for _ in range(2000):
        notifier.feed_watchdog()  # more than any socket holds
    manager_socket.close()
    notifier.ready()

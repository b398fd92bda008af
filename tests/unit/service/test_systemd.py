"""When systemd is spoken to, and how often the watchdog must be fed."""

from __future__ import annotations

import os

import pytest

from wx2mqtt.service.systemd import Notifier


@pytest.mark.parametrize(
    ("env", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_at_half_of_what_the_unit_allows(env, interval):
    assert Notifier(env).watchdog_interval == interval


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1234"])
def test_without_a_socket_nothing_is_said_and_nothing_fails(address):
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.ready()
    notifier.reloading()
    notifier.stopping()
    notifier.status("x")
    notifier.watchdog()

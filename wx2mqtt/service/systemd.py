"""What is said to systemd: ready, alive, in words how it goes (sd_notify(3)).

Our own sixty lines: on PyPI the pure packages (sdnotify 2017, systemd-watchdog, sd-notify) know neither
reloading nor the reload's clock and are not kept, and those that are kept need a C compiler and libsystemd.
Says nothing at all where NOTIFY_SOCKET is not set. When to feed the watchdog is the app's to know.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

import structlog

log = structlog.get_logger(__name__)

STATUS_CHARACTERS = 300


class Notifier:
    """One process's line to its service manager. Failing to speak never fails the caller."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._address = _address(env.get("NOTIFY_SOCKET", ""))
        self._interval = _interval(env)

    @property
    def watchdog_interval(self) -> float | None:
        """Seconds between two calls of `watchdog`: half of what the unit allows; None without a watchdog."""
        return self._interval

    def ready(self) -> None:
        """Start-up, or a reload, is over."""
        self._say("READY=1")

    def reloading(self) -> None:
        """The configuration is read anew; `ready` ends it. With the clock for Type=notify-reload."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """An orderly stop has begun."""
        self._say("STOPPING=1")

    def status(self, text: str) -> None:
        """One line of words for `systemctl status`."""
        self._say(f"STATUS={' '.join(text.split())[:STATUS_CHARACTERS]}")

    def watchdog(self) -> None:
        """Everything that should move has moved."""
        self._say("WATCHDOG=1")

    def _say(self, *assignments: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.setblocking(False)  # a manager that does not read must not stop us
                line.sendto("\n".join(assignments).encode("utf-8", "replace"), self._address)
        except OSError as error:
            log.warning("service manager not reached", error=error.strerror)


def _address(written: str) -> str:
    """The address of the socket: a path, or a name in Linux's abstract namespace, written with @."""
    if written.startswith("@"):
        return f"\0{written[1:]}"
    return written if written.startswith("/") else ""


def _interval(env: Mapping[str, str]) -> float | None:
    if env.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        allowed = int(env.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return allowed / 2_000_000 if allowed > 0 else None

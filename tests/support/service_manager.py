"""A service manager that receives what a process sends with sd_notify(3)."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.deadlines import MAX_WAIT_SECONDS


class ServiceManager:
    """Listens on a socket in `folder`; `env` is what a service is started with. Use as a context manager."""

    def __init__(self, folder: Path, *, watchdog: float | None = None) -> None:
        path = folder / "notify"
        self.env = {"NOTIFY_SOCKET": str(path)}
        if watchdog is not None:
            self.env["WATCHDOG_USEC"] = str(int(watchdog * 1_000_000))
        self.received: list[tuple[float, str, str]] = []  # when, name, value
        self._more = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(MAX_WAIT_SECONDS)
        self._socket.close()

    def wait(self, name: str, part: str = "", *, since: int = 0, timeout: float = MAX_WAIT_SECONDS) -> str:
        """Waits for the first value of `name` that contains `part`, at or after number `since`; returns it."""
        with self._more:
            found = self._more.wait_for(lambda: self._find(name, part, since), timeout)
        assert found, f"no {name} with {part!r}: {self.received[-10:]}"
        return found[0]

    def times(self, name: str) -> list[float]:
        """Returns the times at which `name` was received."""
        return [at for at, other, _ in self.received if other == name]

    @property
    def names(self) -> list[str]:
        """All names that were received, in order."""
        return [name for _, name, _ in self.received]

    def _find(self, name: str, part: str, since: int) -> list[str]:
        return [value for _, other, value in self.received[since:] if other == name and part in value][:1]

    def _read(self) -> None:
        while datagram := self._socket.recv(65536):
            assignments = [line.partition("=") for line in datagram.decode().split("\n")]
            with self._more:
                self.received += [(time.monotonic(), name, value) for name, _, value in assignments]
                self._more.notify_all()

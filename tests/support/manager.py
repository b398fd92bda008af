"""A service manager's subscriber: hears what a process says with sd_notify(3)."""

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
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._line.bind(str(path))
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.shutdown(socket.SHUT_RDWR)
        self._reader.join(MAX_WAIT_SECONDS)
        self._line.close()

    def wait(self, name: str, holds: str = "", *, since: int = 0, timeout: float = MAX_WAIT_SECONDS) -> str:
        """The first value of `name` with a text in it, at or after number `since`."""
        with self._more:
            found = self._more.wait_for(lambda: self._find(name, holds, since), timeout)
        assert found, f"no {name} with {holds!r}: {self.received[-10:]}"
        return found[0]

    def times(self, name: str) -> list[float]:
        """When `name` was said."""
        return [at for at, one, _ in self.received if one == name]

    @property
    def names(self) -> list[str]:
        """What was said, in order, without the values."""
        return [name for _, name, _ in self.received]

    def _find(self, name: str, holds: str, since: int) -> list[str]:
        return [value for _, one, value in self.received[since:] if one == name and holds in value][:1]

    def _read(self) -> None:
        while datagram := self._line.recv(65536):
            said = [line.partition("=") for line in datagram.decode().split("\n")]
            with self._more:
                self.received += [(time.monotonic(), name, value) for name, _, value in said]
                self._more.notify_all()

"""A real mosquitto on a free loopback port, for tests: start, stop, kill -9, and start again with its data."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.deadlines import MAX_WAIT_SECONDS

PROGRAM = shutil.which("mosquitto", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")

DURABLE = """
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes true
max_queued_messages 0
"""
"""With this configuration sessions, queues and retained messages survive `kill -9` (mqtt 0.6.1)."""

SIGTERM_REPEAT_SECONDS = 0.25
"""A SIGTERM is repeated after this time: mosquitto 2.0 forgets one that comes right after it has said `running`."""


def free_port() -> int:
    """Returns a free port on loopback. While its server is away, nothing else takes it."""
    while True:
        port = random.choice(_own_ports())
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


PORTS = range(12_000, 30_000)
"""The ports of all tests, below those that Linux uses for outgoing connections."""

MAX_WORKERS = 17
"""The most workers of pytest that have ports of their own; other programs use the rest."""


def _own_ports() -> range:
    """Returns the ports of this worker of pytest: two workers could find the same one free."""
    number = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    return PORTS[int(number or MAX_WORKERS) % (MAX_WORKERS + 1) :: MAX_WORKERS + 1]


def password_file(path: Path, user: str, password: str) -> Path:
    """Writes a password file as mosquitto_passwd does: PBKDF2 with SHA-512."""
    salt, rounds = b"salt-of-12-b", 101
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    path.write_text(f"{user}:$7${rounds}${_base64(salt)}${_base64(digest)}\n")
    path.chmod(0o600)
    return path


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Mosquitto:
    """One broker with a configuration text; `{folder}` and `{port}` in it are filled in.

    It listens on 127.0.0.1:`port` for anybody. With `listener=False` the text brings its own listeners.
    The port stays the same over `stop`, `kill` and `start`; `log` holds every line since the first start.
    `log="information"` leaves out the line for each packet, which costs time (benchmarks).
    """

    def __init__(
        self, folder: Path, config: str = "", *, port: int = 0, listener: bool = True, log: str = "all"
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.log: list[str] = []
        self._lines = threading.Condition()
        self._reader: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        head = f"listener {self.port} 127.0.0.1\nallow_anonymous true\n" if listener else ""
        text = config.replace("{folder}", str(folder)).replace("{port}", str(self.port))
        self._head = f"user {_user()}\nlog_type {log}\nlog_timestamp false\n{head}"
        self.configure(text)

    @property
    def url(self) -> str:
        """The address of the broker."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the broker."""
        assert self._process is not None
        return self._process.pid

    def configure(self, config: str) -> None:
        """Writes another configuration, which is used from the next `start` or `reload` on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "mosquitto.conf").write_text(f"{self._head}{config}\n")

    def start(self) -> Mosquitto:
        """Starts the broker; returns when it accepts connections."""
        assert PROGRAM is not None, "mosquitto is not installed (Debian: apt-get install mosquitto)"
        assert self._process is None, "it runs already"
        seen = len(self.log)
        command = [PROGRAM, "-c", str(self.folder / "mosquitto.conf")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace")
        self._process = process
        self._reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._reader.start()
        try:
            self.wait_for_log(" running", since=seen)
        except AssertionError:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """Stops the broker with SIGTERM; it saves its state."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kills the broker with SIGKILL."""
        self._end(signal.SIGKILL)

    def forget(self) -> None:
        """Kills the broker, deletes its state, and starts it again."""
        self.kill()
        (self.folder / "mosquitto.db").unlink(missing_ok=True)
        self.start()

    def restart(self) -> None:
        """Stops the broker with SIGTERM and starts it again."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stops the process (SIGSTOP): connections stay open and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Lets the process go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def reload(self) -> None:
        """Lets the broker read its configuration again (rights and passwords, not listeners)."""
        seen = len(self.log)
        os.kill(self.pid, signal.SIGHUP)
        self.wait_for_log("Reloading config", since=seen)

    def wait_for_log(self, text: str, *, since: int = 0, timeout: float = MAX_WAIT_SECONDS) -> str:
        """Waits for the first line of the log with `text`, at or after line number `since`; returns it."""
        with self._lines:
            if self._lines.wait_for(lambda: self._ended(text, since), timeout):
                found = self._find(text, since)
                if found is not None:
                    return found
        raise AssertionError(f"mosquitto did not say {text!r}:\n" + "\n".join(self.log[-20:]))

    async def logged(self, text: str, *, since: int = 0) -> str:
        """Waits like `wait_for_log` in a thread, so that the loop of the test goes on."""
        return await asyncio.to_thread(self.wait_for_log, text, since=since)

    def _find(self, text: str, since: int) -> str | None:
        return next((line for line in self.log[since:] if text in line), None)

    def _ended(self, text: str, since: int) -> bool:
        has_ended = self._process is None or self._process.poll() is not None
        return self._find(text, since) is not None or has_ended

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            with self._lines:
                self.log.append(line.rstrip())
                self._lines.notify_all()
        process.wait()
        with self._lines:
            self._lines.notify_all()

    def _end(self, how: signal.Signals) -> None:
        process, reader = self._process, self._reader
        if process is None or reader is None:
            return
        try:
            for _ in range(int(MAX_WAIT_SECONDS / SIGTERM_REPEAT_SECONDS)):
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(how)
                    process.send_signal(signal.SIGCONT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(SIGTERM_REPEAT_SECONDS)
                    break
            else:
                raise AssertionError("mosquitto does not end:\n" + "\n".join(self.log[-20:]))
        finally:
            if process.poll() is None:
                process.kill()
            reader.join(MAX_WAIT_SECONDS)
            assert process.stderr is not None
            process.stderr.close()
            self._process = None


def wait_until_saved(database: Path, content: bytes) -> None:
    """Waits until mosquitto has written its database with this content in it."""
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while not (database.exists() and content in database.read_bytes()):
        assert time.monotonic() < deadline, "mosquitto does not save"
        time.sleep(0.05)


def _user() -> str:
    """Returns the current user: as root, mosquitto would change to one who cannot write in the test's folder."""
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


@contextlib.contextmanager
def mosquitto(
    folder: Path, config: str = "", *, port: int = 0, listener: bool = True, log: str = "all"
) -> Iterator[Mosquitto]:
    """Runs a broker inside of the block; it is killed at the end, since its state is not needed."""
    broker = Mosquitto(folder, config, port=port, listener=listener, log=log)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()

"""The embedded broker, on loopback and without a password: mosquitto as a child process, else amqtt.

    async with EmbeddedBroker(folder, port=0) as broker:
        broker.url                        mqtt://127.0.0.1:41883

`EmbeddedBroker` chooses the implementation, `MosquittoProcess` runs mosquitto and restarts it when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import pwd
import random
import shutil
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from pathlib import Path
from typing import Literal, Self

import structlog

from wx2mqtt.clock import Backoff, loop_time
from wx2mqtt.errors import BrokerError

log = structlog.get_logger(__name__)


class EmbeddedBroker:
    """Runs the broker inside a block; port 0 means any free port. Raises PortInUse.

    amqtt speaks only MQTT 3.1.1, loses all at a restart and sends retained messages to every client
    (mqtt 7.3): it is for demonstrations.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 1883) -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError("the embedded broker asks nobody for a password and stays on loopback")
        #: "mosquitto" or "amqtt"; empty before the block.
        self.implementation = ""
        self.host = host
        self.port = port
        self._folder = folder
        #: Stops what runs; None before the block.
        self._stop: Callable[[], Awaitable[None]] | None = None

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt://{host}:{self.port}"

    @property
    def protocol(self) -> Literal["5", "3.1.1"]:
        """The newest version of MQTT that it speaks. amqtt does not answer MQTT 5, which costs a second."""
        return "3.1.1" if self.implementation == "amqtt" else "5"

    async def __aenter__(self) -> Self:
        self.port = available_port(self.host, self.port)
        if not await self._start_mosquitto():
            await self._start_amqtt()
        log.info("embedded broker runs", kind=self.implementation, url=self.url)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stop is not None:
            await self._stop()

    async def _start_mosquitto(self) -> bool:
        """Returns False where there is no mosquitto, or it does not start. Raises PortInUse."""
        program = find_mosquitto()
        if program is None:
            return False
        broker = MosquittoProcess(program, self._folder, self.host, self.port)
        try:
            await broker.start()
        except (BrokerNotStarted, OSError) as error:
            if isinstance(error, BrokerNotStarted) and error.fault is StartFault.PORT_IN_USE:
                raise PortInUse(self.host, self.port) from error
            log.warning("mosquitto does not start; amqtt takes its place", reason=str(error))
            return False
        self.implementation, self._stop = "mosquitto", broker.stop
        return True

    async def _start_amqtt(self) -> None:
        # Imported here: it takes 20 MB, which most installations never need. It has no annotations.
        from amqtt.broker import Broker  # type: ignore[import-untyped]  # noqa: PLC0415

        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # it logs whole messages
        broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{self.host}:{self.port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        await broker.start()
        self.implementation, self._stop = "amqtt", broker.shutdown


START_TIMEOUT_SECONDS = 10.0  # mosquitto takes a while to read a large database
STOP_TIMEOUT_SECONDS = 3.0
ACCEPT_POLL_SECONDS = 0.02
RESTART_BACKOFF = Backoff(first=0.2, cap=30.0)

CONFIG_TEMPLATE = """\
# written by wx2mqtt at each start; changes are lost
listener {port} {host}
allow_anonymous true
set_tcp_nodelay true
persistence true
persistence_location {folder}/
persistence_file broker.db
# the database is written every two seconds: the default is half an hour, each change is slow (mqtt 7.4.3)
autosave_interval 1
# by default only 1,000 messages are kept for a client that is away; more are dropped, although acknowledged
max_queued_messages 0
persistent_client_expiration 14d
log_dest stderr
log_type error
log_type warning
log_type notice
log_timestamp false
"""

# A small program that asks the kernel to end it when this process ends in whatever way (PR_SET_PDEATHSIG with
# SIGTERM), and then becomes mosquitto. `preexec_fn` could ask as well, but in a process with threads no
# Python should run between fork and exec.
PARENT_DEATH_WRAPPER = (
    "import ctypes, os, sys;"
    "ctypes.CDLL(None).prctl(1, 15);"
    "os.getppid() == int(sys.argv[1]) or sys.exit(1);"
    "os.execv(sys.argv[2], sys.argv[2:])"
)


class MosquittoProcess:
    """A mosquitto that is restarted when it ends; `folder` holds its configuration and its database."""

    def __init__(self, program: str, folder: Path, host: str, port: int) -> None:
        self._program = program
        self._folder = folder.resolve()
        self._config = self._folder / "broker.conf"
        self._database = self._folder / "broker.db"
        self._host = host
        self._port = port
        #: The process that was started last; it may have ended.
        self._process: asyncio.subprocess.Process | None = None
        #: Logs what that process writes to stderr until it ends, and returns its last error, or empty.
        self._last_error: asyncio.Task[str] | None = None
        self._restart_task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts mosquitto and waits until it accepts connections. Raises BrokerNotStarted and OSError.

        A database that it cannot read is renamed, and mosquitto begins with an empty one.
        """
        self._write_configuration()
        try:
            await self._start_process()
        except BrokerNotStarted as error:
            if error.fault is not StartFault.DAMAGED_DATABASE or not self._database.exists():
                raise
            self._rename_damaged_database()
            await self._start_process()
        self._restart_task = asyncio.create_task(self._restart_when_ended())

    async def stop(self) -> None:
        """Ends the process; it saves its database before."""
        if self._restart_task is not None:
            self._restart_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._restart_task
        await self._end_process()

    def _write_configuration(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = CONFIG_TEMPLATE.format(folder=self._folder, host=self._host, port=self._port)
        if os.geteuid() == 0:
            # Started as root, mosquitto becomes another user, who has no access to the folder (mqtt 7.4.2).
            text += f"user {pwd.getpwuid(0).pw_name}\n"
        self._config.write_text(text)

    async def _start_process(self) -> None:
        """Starts mosquitto once, and ends it if it accepts no connections. Raises as `start`."""
        command = [self._program, "-c", str(self._config)]
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", PARENT_DEATH_WRAPPER, str(os.getpid()), *command]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C must not end it before the bridge has published "offline"
        )
        self._process = process
        self._last_error = asyncio.create_task(_log_errors(process))
        is_accepting = False
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(START_TIMEOUT_SECONDS):
                    is_accepting = await self._wait_until_accepting(process)
        except BaseException:
            await self._end_process()
            raise
        if not is_accepting:
            await self._end_process()
            last_error = await self._last_error
            fault = _fault_of(last_error)
            raise BrokerNotStarted(last_error or "mosquitto does not accept connections", fault)

    async def _wait_until_accepting(self, process: asyncio.subprocess.Process) -> bool:
        """Returns True once mosquitto accepts a connection, and False if it ends before."""
        while process.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(self._host, self._port)
                writer.close()
                await writer.wait_closed()
                return True
            await asyncio.sleep(ACCEPT_POLL_SECONDS)
        return False

    async def _restart_when_ended(self) -> None:
        backoff = RESTART_BACKOFF
        while True:
            assert self._process is not None
            watched_since = loop_time()
            code = await self._process.wait()
            if loop_time() - watched_since > backoff.cap:
                backoff = backoff.reset()
            backoff = backoff.after_failure()
            log.warning("embedded broker died", code=code)
            await self._end_process()
            await asyncio.sleep(backoff.wait(random.random()))
            try:
                await self._start_process()
            except (BrokerNotStarted, OSError) as error:
                log.warning("embedded broker does not start", reason=str(error))

    async def _end_process(self) -> None:
        """Ends the process, if it has not ended, and waits until all that it wrote is logged."""
        if self._process is None or self._last_error is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        finally:
            await self._last_error

    def _rename_damaged_database(self) -> None:
        """Keeps the file under another name, since somebody may want to repair it."""
        aside = self._database.with_name(f"broker.db.damaged-{time.time_ns()}")
        self._database.rename(aside)
        log.error("database of the embedded broker is damaged; it begins with an empty one", aside=str(aside))


class StartFault(Enum):
    """Why mosquitto did not start, as far as it makes a difference to what is done next."""

    PORT_IN_USE = auto()
    DAMAGED_DATABASE = auto()
    OTHER = auto()


class BrokerNotStarted(BrokerError):
    def __init__(self, reason: str, fault: StartFault) -> None:
        super().__init__(reason)
        self.fault = fault


class PortInUse(BrokerError):
    def __init__(self, host: str, port: int, *, forbidden: bool = False) -> None:
        if forbidden:
            reason = "may be opened by root only: choose one from 1024 on"
        else:
            use_it = f"(mqtt.url: mqtt://localhost:{port})"
            reason = f"is in use, perhaps by a broker: stop that, or use it {use_it}"
        super().__init__(f"port {port} on {host} {reason}")
        self.port = port


async def _log_errors(process: asyncio.subprocess.Process) -> str:
    """Logs what mosquitto writes until it ends. Returns its last error, or empty."""
    assert process.stderr is not None
    last_error = ""
    async for raw in process.stderr:
        line = raw.decode(errors="replace").strip()
        if line.startswith("Error: "):
            last_error = line.removeprefix("Error: ")
            log.warning("embedded broker complains", line=line)
        else:
            log.debug("embedded broker", line=line)
    return last_error


def _fault_of(error: str) -> StartFault:
    """Returns what an error of mosquitto means; it says so in a sentence only.

    Examples are "Address already in use" and "Couldn't open database."
    """
    if "in use" in error:
        return StartFault.PORT_IN_USE
    if "database" in error:
        return StartFault.DAMAGED_DATABASE
    return StartFault.OTHER


def find_mosquitto() -> str | None:
    """Returns the program, also from /usr/sbin, where Debian installs it outside of a user's PATH."""
    return shutil.which("mosquitto", path=os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin")


def available_port(host: str, port: int) -> int:
    """Returns the port if it can be opened, or any free one for 0. Raises PortInUse."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUse(host, port, forbidden=isinstance(error, PermissionError)) from error
        free_port: int = probe.getsockname()[1]
        return free_port

"""A mosquitto of our own as a child process: started, watched, started again, and gone when we are gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import random
import sys
import time
from pathlib import Path

import structlog

from wx2mqtt.errors import LinkError
from wx2mqtt.retry import Backoff

log = structlog.get_logger(__name__)

STARTING = 10.0
"""Seconds until it accepts connections; a large database takes a while to read."""
STOPPING = 3.0

CONFIG = """\
# written by wx2mqtt at each start; changes are lost
listener {port} {host}
allow_anonymous true
set_tcp_nodelay true
persistence true
persistence_location {folder}/
persistence_file broker.db
# written with every change, some milliseconds after it was acknowledged; by default only every half hour
autosave_interval 1
autosave_on_changes true
# by default what a client that is away should get is dropped above 1,000 messages, although acknowledged
max_queued_messages 0
persistent_client_expiration 14d
log_dest stderr
log_type error
log_type warning
log_type notice
log_timestamp false
"""

# The kernel ends it when we end, however that comes about. Not with `preexec_fn`: between fork and exec of a
# process with threads no Python should run
GUARD = (
    "import ctypes, os, sys;"
    "ctypes.CDLL(None).prctl(1, 15);"
    "os.getppid() == int(sys.argv[1]) or sys.exit(1);"
    "os.execv(sys.argv[2], sys.argv[2:])"
)


class NotStarted(LinkError):
    """Our broker did not start."""


class Mosquitto:
    """One process on one loopback port, with its configuration and database in `folder`."""

    def __init__(self, program: str, folder: Path, host: str, port: int) -> None:
        self._program = program
        self._folder = folder.resolve()
        self._host = host
        self._port = port
        self._complaint = ""
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that runs, if one does."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Run it until it accepts connections. Raises NotStarted, with its own last complaint."""
        self._configure()
        try:
            await self._run()
        except NotStarted:
            if not self._set_database_aside():
                raise
            await self._run()
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """End it in order; it saves what it keeps."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        await self._end()

    def _configure(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = CONFIG.format(folder=self._folder, host=self._host, port=self._port)
        if os.geteuid() == 0:
            # started as root it would become another user, who has no right to our folder
            text += f"user {pwd.getpwuid(0).pw_name}\n"
        self._config.write_text(text)

    @property
    def _config(self) -> Path:
        return self._folder / "broker.conf"

    async def _run(self) -> None:
        self._complaint = ""
        self._process = await asyncio.create_subprocess_exec(
            *_guarded([self._program, "-c", str(self._config)]),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us: we have yet to say on it that we go offline
        )
        self._reading = asyncio.create_task(self._read(self._process))
        try:
            await asyncio.wait_for(self._accepting(self._process), STARTING)
        except (TimeoutError, NotStarted):
            await self._end()
            raise NotStarted(self._complaint or "mosquitto does not accept connections") from None
        except BaseException:
            await self._end()
            raise

    async def _accepting(self, process: asyncio.subprocess.Process) -> None:
        while True:
            if process.returncode is not None:
                raise NotStarted
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(self._host, self._port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.02)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for raw in process.stderr:
            line = raw.decode(errors="replace").strip()
            if line.startswith("Error: "):
                self._complaint = line.removeprefix("Error: ")
                log.warning("embedded broker complains", line=line)
            else:
                log.debug("embedded broker", line=line)

    async def _watch(self) -> None:
        """Start it again whenever it dies."""
        backoff = Backoff(first=0.2, cap=30.0)
        while True:
            assert self._process is not None
            began = time.monotonic()
            code = await self._process.wait()
            backoff = backoff.reset().failed() if time.monotonic() - began > backoff.cap else backoff.failed()
            log.warning("embedded broker died", code=code)
            await self._end()
            await asyncio.sleep(backoff.wait(random.random()))
            try:
                await self._run()
            except (NotStarted, OSError) as error:
                log.warning("embedded broker does not start", reason=str(error))

    async def _end(self) -> None:
        process, reading = self._process, self._reading
        if process is None or reading is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOPPING)
        except TimeoutError:
            process.kill()
            await process.wait()
        finally:
            await reading

    def _set_database_aside(self) -> bool:
        """A database that it cannot read keeps it from starting; one more try without it. Never deleted."""
        database = self._folder / "broker.db"
        if "database" not in self._complaint or not database.exists():
            return False
        aside = database.with_name(f"broker.db.damaged-{time.time_ns()}")
        database.rename(aside)
        log.error("database of the embedded broker is damaged; it begins with an empty one", aside=str(aside))
        return True


def _guarded(command: list[str]) -> list[str]:
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", "-c", GUARD, str(os.getpid()), *command]

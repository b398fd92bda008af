"""A PostgreSQL primary with a synchronous standby, in a temporary folder; the test promotes the standby itself."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg

from tests.support.broker import free_port
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.postgresql import INITDB_OPTIONS, SYSTEM_USER, USER, as_server, programs

NAME = "bridge"
POLL_SECONDS = 0.02
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "wal_keep_size": "64MB",
    "hot_standby": "on",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %a ",
    "tcp_keepalives_idle": "2",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "5000",
    "wal_sender_timeout": "5s",
}


class DatabaseServer:
    """One server. `port` is where it listens; `application` is its name as a standby."""

    def __init__(self, folder: Path, number: int, *, durable: bool) -> None:
        self.port = free_port()
        self.application = f"standby{number}"
        self.folder = folder / f"server{number}"
        self.folder.mkdir()
        self.data = self.folder / "data"
        if os.geteuid() == 0:
            os.chown(self.folder, pwd.getpwnam(SYSTEM_USER).pw_uid, pwd.getpwnam(SYSTEM_USER).pw_gid)
        self._settings = SETTINGS | {"fsync": "on" if durable else "off"}
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, program: str, *arguments: str | Path) -> None:
        """Runs one of PostgreSQL's programs to its end."""
        command = [*as_server(), self._program(program), *arguments]
        with (self.folder / "programs").open("ab") as output:
            subprocess.run(
                command, check=True, stdout=output, stderr=output, cwd="/", timeout=MAX_WAIT_SECONDS
            )

    def _program(self, name: str) -> Path:
        folder = programs()
        assert folder is not None, "PostgreSQL is missing: apt-get install postgresql"
        return folder / name

    def create(self) -> None:
        self.run("initdb", "-D", self.data, *INITDB_OPTIONS)
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 127.0.0.0/8 trust\n")  # each machine has an address of its own

    def copy(self, primary: DatabaseServer) -> None:
        """Makes this server a standby of another, from a fresh copy."""
        shutil.rmtree(self.data, ignore_errors=True)
        address = f"host=127.0.0.1 port={primary.port} user={USER} application_name={self.application}"
        self.run(
            "pg_basebackup", "-D", self.data, "-d", address, "-X", "stream", "-c", "fast", "-R", "--no-sync"
        )

    def start(self) -> None:
        program = self._program("postgres")
        settings = [f"--{name}={value}" for name, value in self._settings.items()]
        command: list[str | Path] = [
            *as_server(),
            program,
            "-D",
            self.data,
            "-k",
            self.folder,
            "-p",
            str(self.port),
        ]
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                [*command, *settings], cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self._wait()

    def kill(self) -> None:
        """Kills the server and all its processes; its connections end at once."""
        if self._process is None:
            return
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self._process.kill()
        for child in children:
            try:
                os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait(MAX_WAIT_SECONDS)
        self._process = None
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def stop(self) -> None:
        """Shuts the server down (fast shutdown)."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(MAX_WAIT_SECONDS)
            self._process = None

    def promote(self) -> None:
        """Makes a standby the primary; returns when it accepts writes."""
        with self.connect() as connection:
            assert connection.execute("SELECT pg_promote(true, 60)").fetchone() == (True,)

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """Connects directly, without a proxy."""
        address = f"host={self.folder} port={self.port} user={USER} dbname={database}"
        return psycopg.connect(address, autocommit=True)

    def execute(self, *statements: str) -> None:
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def _wait(self) -> None:
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                assert self._process is not None
                assert self._process.poll() is None, f"the server ended: {self._end_of_log()}"
                assert time.monotonic() < deadline, f"the server does not answer: {self._end_of_log()}"
                time.sleep(POLL_SECONDS)
            else:
                return

    def _end_of_log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-1500:]


class DatabasePair:
    """A primary and its synchronous standby. `durable`: what is committed also outlives a power cut (figures)."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        self.servers = [DatabaseServer(folder, number, durable=durable) for number in (1, 2)]
        self.primary, self.standby = self.servers

    def open(self) -> None:
        self.primary.create()
        self.primary.start()
        self.primary.execute(f"CREATE DATABASE {NAME}")
        self._add_standby()

    def close(self) -> None:
        for server in self.servers:
            server.kill()

    def stop_both(self) -> None:
        """Shuts both servers down: there is no database, and no standby to promote."""
        self.primary.stop()
        self.standby.stop()

    def start_both(self) -> None:
        self.primary.start()
        self.standby.start()

    def kill_primary(self) -> None:
        self.primary.kill()

    def promote(self) -> None:
        """Makes the standby the primary. Until `restore` there is no standby, and commits wait for none."""
        self.primary, self.standby = self.standby, self.primary
        self.primary.execute("ALTER SYSTEM RESET synchronous_standby_names")
        self.primary.promote()

    def restore(self) -> None:
        """Makes the server that was the primary a standby of the new one."""
        self.standby.kill()
        self._add_standby()

    def _add_standby(self) -> None:
        self.standby.copy(self.primary)
        self.standby.start()
        self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while not self.is_synchronous():
            assert time.monotonic() < deadline, "the standby is not synchronous"
            time.sleep(POLL_SECONDS)

    def is_synchronous(self) -> bool:
        with self.primary.connect() as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            ).fetchone()
        return row == (1,)

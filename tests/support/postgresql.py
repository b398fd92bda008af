"""A server of PostgreSQL for the tests: in a temporary folder, on a Unix socket, one for each test process."""

from __future__ import annotations

import atexit
import base64
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS

USER = "wx2mqtt"
INITDB_OPTIONS = (
    *("-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"),
    *("--no-sync", "--no-instructions"),
)
SYSTEM_USER = "postgres"  # who runs the server when root runs the tests: it refuses root
TESTED_STORE = "TESTED_STORE"  # in the environment: the database of all bridges, "postgresql" or SQLite
LOGIN_KEY = base64.b64encode(bytes(range(32))).decode()
POLL_SECONDS = 0.02
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "autovacuum": "off",
    "shared_buffers": "16MB",
    "max_wal_size": "64MB",
    "fsync": "off",  # no test cuts the power of this server
    "log_min_messages": "panic",
}
_numbers = count(1)


def programs() -> Path | None:
    """Returns the folder of the newest installed server."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return folders[-1].parent if folders else None


@cache
def server() -> str:
    """Starts the server at the first call; returns the folder of its socket."""
    bin_folder = programs()
    if bin_folder is None:
        message = "PostgreSQL is missing: apt-get install postgresql"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    folder = Path(tempfile.mkdtemp(prefix="wx2mqtt-pg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if os.geteuid() == 0:
        owner = pwd.getpwnam(SYSTEM_USER)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    subprocess.run(
        [
            *as_server(),
            bin_folder / "initdb",
            "-D",
            folder / "data",
            *INITDB_OPTIONS,
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
    )
    settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
    process = subprocess.Popen(
        [*as_server(), bin_folder / "postgres", "-D", folder / "data", "-k", folder, *settings], cwd="/"
    )
    atexit.register(_stop, process)
    _wait_for(f"postgresql:///postgres?host={folder}&user={USER}", process)
    return str(folder)


def new_database() -> str:
    """Creates an empty database; returns its address."""
    name = f"test{next(_numbers)}"
    with psycopg.connect(address("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return address(name)


def storage_settings(path: Path) -> dict[str, str]:
    """Returns `storage` for a bridge with its files in `path`; with `TESTED_STORE` it has a database of its own."""
    if os.environ.get(TESTED_STORE) != "postgresql":
        return {"path": str(path)}
    return {"path": str(path), "url": _database_of(path), "key": LOGIN_KEY}


@cache
def _database_of(_path: Path) -> str:
    return new_database()


def empty_database() -> str:
    """Returns the address of a database that no other test uses at the same time, without rows."""
    url = _shared_database()
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('meta')").fetchone() != (None,):
            connection.execute("DROP TABLE IF EXISTS note, child")  # of tests/unit/store/test_database.py
            connection.execute("DELETE FROM meta WHERE name <> 'schema_version'")
            connection.execute(
                "TRUNCATE account, publication, seen, command, person, level, media, question, deed, login, login_key, login_number, drained, operation, mark, media_file,"
                " media_piece, instance, ownership RESTART IDENTITY"
            )
    return url


@cache
def _shared_database() -> str:
    return new_database()


def wait_until_unused(url: str) -> None:
    """Waits until no process uses the database: a server process runs for a moment after its client was killed."""
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone():
            assert time.monotonic() < deadline, "the database is in use"
            time.sleep(POLL_SECONDS)


def address(name: str) -> str:
    return f"postgresql:///{name}?host={server()}&user={USER}"


@contextmanager
def pooled(url: str, mode: str) -> Iterator[str]:
    """Yields the address of a database behind PgBouncer, which lends its sessions as `mode` says."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        message = "PgBouncer is missing: apt-get install pgbouncer"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    name = url.partition(":///")[2].partition("?")[0]
    with tempfile.TemporaryDirectory(prefix="wx2mqtt-pooler-") as folder:
        users, file = Path(folder) / "users", Path(folder) / "pgbouncer.ini"
        users.write_text(f'"{USER}" ""\n')
        file.write_text(
            f"[databases]\n{name} = host={server()}\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = {folder}\n"
            f"auth_type = trust\nauth_file = {users}\npool_mode = {mode}\n"
        )
        if os.geteuid() == 0:
            owner = pwd.getpwnam(SYSTEM_USER)
            for path in (users, file, Path(folder)):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        process = subprocess.Popen(
            [*as_server(), program, "-q", file],
            cwd="/",
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        address = f"postgresql:///{name}?host={folder}&port=6432&user={USER}"
        try:
            _wait_for(address, process)
            yield address
        finally:
            _stop(process)


def as_server() -> list[str]:
    """Returns the command that runs a program as the server's user, and ends it with the tests."""
    user = [f"--reuid={SYSTEM_USER}", f"--regid={SYSTEM_USER}", "--clear-groups"]
    return ["setpriv", *(user if os.geteuid() == 0 else ()), "--pdeathsig=INT"]


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(POLL_SECONDS)
        else:
            return


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(2)  # a fast shutdown
    process.wait(MAX_WAIT_SECONDS)

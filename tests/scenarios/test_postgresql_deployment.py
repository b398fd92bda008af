"""deploy/postgresql without docker: the compose file in a linter, the role and the servers on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pytest
import yaml

from tests.scenarios.test_container import tool
from tests.scenarios.test_systemd_unit import analyze, values
from tests.support import postgresql
from tests.support.broker import free_port
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.process import BridgeProcess
from tests.support.rows import every_row
from wx2mqtt.errors import StoreError
from wx2mqtt.settings.key_tree import KeyKind, dotted, walk
from wx2mqtt.settings.loader import load
from wx2mqtt.store.postgresql_database import PostgresqlDatabase
from wx2mqtt.wechat.registry import BACKENDS

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "postgresql"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
BRIDGES = [name for name in SERVICES if name.startswith("bridge-")]
DATABASES = [name for name in SERVICES if name.startswith("db-")]
BROKERS = [name for name in SERVICES if name.startswith("rabbitmq-")]
PINNED = re.compile(r"[a-z]+:\d+\.\d+[\d.]*@sha256:[0-9a-f]{64}")
POLL_SECONDS = 0.05


# compose.yaml


def test_the_compose_file_keeps_the_compose_specification(tmp_path):
    schema = ("check-jsonschema", "--builtin-schema", "vendor.compose-spec")
    done = tool(*schema, str(FOLDER / "compose.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    text = (FOLDER / "compose.yaml").read_text().replace("cap_drop: [ALL]", "cap_dropped: [ALL]")
    (tmp_path / "compose.yaml").write_text(text)
    assert tool(*schema, str(tmp_path / "compose.yaml")).returncode != 0


def test_the_compose_file_has_two_bridges_two_databases_and_three_brokers():
    assert (len(BRIDGES), len(DATABASES), len(BROKERS), len(SERVICES)) == (2, 2, 3, 7)
    for name in DATABASES + BROKERS:
        assert PINNED.fullmatch(SERVICES[name]["image"])
    for name in DATABASES:
        environment = SERVICES[name]["environment"]
        assert {environment["NAME"], environment["OTHER"]} == set(DATABASES)
        assert environment["NAME"] == name
    text = (FOLDER / "postgresql.conf").read_text()
    assert all(f'"{name}"' in text for name in DATABASES)
    nodes = re.findall(r"(?m)^cluster_formation\S+ = rabbit@(\S+)$", (FOLDER / "rabbitmq.conf").read_text())
    assert nodes == BROKERS


@every_row("name", SERVICES)
def test_each_container_has_the_least_rights(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert name in BRIDGES or service["user"] == "999:999"
    assert name in BRIDGES or service["healthcheck"]["test"]
    assert "start_interval" not in service.get("healthcheck", {})
    assert service["hostname"] == name
    files = [volume for volume in service["volumes"] if volume.startswith(".")]
    assert all(volume.endswith(":ro") for volume in files)
    assert all((FOLDER / volume.partition(":")[0]).exists() for volume in files)
    volumes = [volume.partition(":")[0] for volume in service["volumes"] if not volume.startswith(".")]
    assert volumes == [name]


def test_the_scripts_find_the_files_that_they_use():
    for name, script in [("db-1", "database.sh"), ("rabbitmq-1", "broker.sh")]:
        text = (FOLDER / script).read_text()
        environment = " ".join(str(value) for value in SERVICES[name].get("environment", {}).values())
        conf = "".join(path.read_text() for path in FOLDER.glob("*.conf"))
        used = re.findall(r"/etc/wx2mqtt/[\w.]+", f"{text} {environment}")
        used += [
            path for path in re.findall(r"/etc/wx2mqtt/[\w.]+", conf) if "pg_hba" in path and name == "db-1"
        ]
        mounted = [volume.split(":")[1] for volume in SERVICES[name]["volumes"]]
        assert set(used) | {f"/etc/wx2mqtt/{script}"} == {path for path in mounted if "/etc/" in path}
        secrets = re.findall(r"/run/secrets/(\w+)", text) + re.findall(r"for user in (.*); do", text)
        assert sorted(" ".join(secrets).split()) == sorted(SERVICES[name]["secrets"])


def test_no_secret_stands_in_a_file_of_the_project():
    files = [secret["file"] for secret in COMPOSE["secrets"].values()]
    assert all(file.startswith("./secrets/") for file in files)
    command = ["git", "check-ignore", *(str(FOLDER / file) for file in files)]
    ignored = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert len(ignored.stdout.splitlines()) == len(files)


def test_the_pages_listen_on_this_machine_only_and_the_databases_on_no_port():
    assert all(port.startswith("127.0.0.1:") for name in BRIDGES for port in SERVICES[name]["ports"])
    assert not any("ports" in SERVICES[name] for name in DATABASES)


@pytest.fixture
def prepared(tmp_path):
    """Returns a copy of the folder after `prepare.sh`."""
    folder = shutil.copytree(FOLDER, tmp_path / "postgresql", ignore=shutil.ignore_patterns("secrets"))
    subprocess.run(["sh", str(folder / "prepare.sh")], check=True, capture_output=True, cwd=tmp_path)
    return folder


def test_prepare_makes_every_secret_once_and_readable_by_its_user_only(prepared):
    secrets = prepared / "secrets"
    made = {file.name: file.read_text() for file in secrets.iterdir()}
    assert made.keys() == COMPOSE["secrets"].keys()
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}\n", made[name]) for name in made if name != "key")
    assert secrets.stat().st_mode & 0o777 == 0o700
    subprocess.run(["sh", str(prepared / "prepare.sh")], check=True, capture_output=True)
    assert {file.name: file.read_text() for file in secrets.iterdir()} == made


@pytest.mark.parametrize("name", BRIDGES)
def test_the_configuration_passes_its_check_unchanged(prepared, tmp_path, name):
    (folder := tmp_path / "run").mkdir()
    for secret in SERVICES[name]["secrets"]:
        shutil.copy(prepared / "secrets" / secret["source"], folder / secret["target"])
    environment = {**SERVICES[name]["environment"], "CREDENTIALS_DIRECTORY": str(folder)}
    loaded = load(prepared / "wx2mqtt.yaml", environment, BACKENDS)
    settings = loaded.settings
    assert loaded.warnings == ()
    assert settings.mqtt.url == tuple(f"mqtt://{broker}:1883" for broker in BROKERS)
    assert settings.storage.url is not None
    assert f"@{','.join(DATABASES)}/" in settings.storage.url
    assert settings.storage.password is not None
    assert settings.storage.key is not None
    assert settings.web.url == f"http://localhost:{SERVICES[name]['ports'][0].split(':')[1]}"
    assert set(settings.web.hosts) == set(BRIDGES)


# systemd.conf, systemd-backup.conf

DROP_INS = {"systemd.conf": "wx2mqtt.service", "systemd-backup.conf": "wx2mqtt-backup.service"}


@pytest.mark.parametrize(("drop_in", "name"), DROP_INS.items())
def test_systemd_accepts_the_drop_in(tmp_path, drop_in, name):
    unit = tmp_path / name
    text = (ROOT / "deploy" / "systemd" / unit.name).read_text()
    unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))
    (folder := tmp_path / f"{name}.d").mkdir()
    shutil.copy(FOLDER / drop_in, folder / "postgresql.conf")
    done = analyze("verify", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    (folder / "postgresql.conf").write_text("[Service]\nTimeoutStopSec=soon\n")
    assert "TimeoutStopSec" in analyze("verify", unit).stderr


@pytest.mark.parametrize("drop_in", DROP_INS)
def test_the_credentials_of_the_drop_in_are_secrets_of_the_schema(drop_in):
    text = (FOLDER / drop_in).read_text()
    secrets = {dotted(path) for path, key in walk() if key.kind is KeyKind.SECRET}
    named = [credential.partition(":")[0] for credential in values(text, "LoadCredential")]
    assert named == ["storage.password", "storage.key"]
    assert set(named) <= secrets


# role.sql


@pytest.fixture(scope="module")
def role_url() -> str:
    """Returns the URL of a database that `role.sql` has created, for its role."""
    superuser = postgresql.address("postgres")
    folder = postgresql.programs()
    assert folder is not None
    command = [str(folder / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "role=bridge"]
    command += ["-v", "database=bridge", "-d", superuser, "-f", str(FOLDER / "role.sql")]
    environment = {**os.environ, "WX2MQTT_DATABASE_PASSWORD": 'it\'s "secret"'}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return f"postgresql:///bridge?host={postgresql.server()}&user=bridge"


@pytest.mark.parametrize("password", [{}, {"WX2MQTT_DATABASE_PASSWORD": ""}])
def test_no_role_is_made_without_a_password(password):
    """The password is empty, as when `cat` may not read its file."""
    folder = postgresql.programs()
    assert folder is not None
    command = [str(folder / "psql"), "-X", "-q", "-v", "role=empty", "-v", "database=empty"]
    command += ["-d", postgresql.address("postgres"), "-f", str(FOLDER / "role.sql")]
    environment = {key: value for key, value in os.environ.items() if key != "WX2MQTT_DATABASE_PASSWORD"}
    done = subprocess.run(command, env={**environment, **password}, capture_output=True, text=True)
    assert (done.returncode, "WX2MQTT_DATABASE_PASSWORD is empty" in done.stderr) == (3, True), done.stderr
    with as_superuser(postgresql.address("postgres")) as connection:
        assert not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'empty'").fetchall()


def as_superuser(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url.replace("user=bridge", f"user={postgresql.USER}"), autocommit=True)


async def test_the_role_migrates_writes_locks_and_notifies(role_url):
    for _ in range(2):
        database = await PostgresqlDatabase.open(role_url)
        await database.write("test", lambda connection: connection.execute("DELETE FROM seen"))
        await database.on_write_connection(
            lambda connection: connection.execute("SELECT pg_advisory_lock(1, 2), pg_notify('a', 'b')")
        )
        await database.close()
    with as_superuser(role_url) as connection:
        schemas = connection.execute(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE tableowner = 'bridge'"
        ).fetchall()
        assert schemas == [("bridge",)]


async def test_the_role_ends_a_session_of_its_own_and_of_nobody_else(role_url):
    hung = await PostgresqlDatabase.open(role_url)
    pid = await hung.on_write_connection(
        lambda connection: connection.execute("SELECT pg_backend_pid()").fetchone()
    )
    with psycopg.connect(role_url, autocommit=True) as other, as_superuser(role_url) as superuser:
        assert other.execute("SELECT pg_terminate_backend(%s, 5000)", pid).fetchone() == (True,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute("SELECT pg_terminate_backend(%s)", (superuser.info.backend_pid,))
    with pytest.raises(StoreError):
        await hung.write("test", lambda connection: connection.execute("DELETE FROM seen"))
    await hung.close()


def test_a_bridge_works_with_this_role(role_url, mosquitto, tmp_path):
    storage = {"path": str(tmp_path / "store"), "url": role_url, "key": postgresql.LOGIN_KEY}
    settings = {
        "mqtt": {"url": mosquitto.url},
        "accounts": {"home": {"backend": "ilink", "endpoint": "http://127.0.0.1:9"}},  # no WeChat here
        "storage": storage,
        "cluster": {"instance": "east"},
    }
    with BridgeProcess(tmp_path / "bridge", settings) as bridge:
        bridge.wait_for_log("connected to the broker")
        command = [sys.executable, "-m", "wx2mqtt", "cluster", "-c", str(bridge.config), "--json"]
        findings = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        assert findings["accounts"] == [{"account": "home", "instance": "east"}]
        problems = [line for line in bridge.log if "database cannot be used" in line.lower()]
        assert problems == []
        assert bridge.stop() == 0


def test_the_role_has_no_further_rights(role_url):
    with as_superuser(role_url) as connection:
        rights = connection.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles"
            " WHERE rolname = 'bridge'"
        ).fetchone()
        assert rights == (False,) * 5
        members = "SELECT 1 FROM pg_auth_members WHERE member = 'bridge'::regrole"
        assert connection.execute(members).fetchone() is None
        public = "SELECT has_database_privilege('public', 'bridge', 'CONNECT')"
        assert connection.execute(public).fetchone() == (False,)
        (password,) = connection.execute(
            "SELECT rolpassword FROM pg_authid WHERE rolname = 'bridge'"
        ).fetchone() or ("",)
        assert password.startswith("SCRAM-SHA-256$")
    with psycopg.connect(role_url, autocommit=True) as bridge:
        for statement in (
            "CREATE SCHEMA other",
            "CREATE TABLE public.other ()",
            "CREATE TEMPORARY TABLE other ()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                bridge.execute(statement)


async def test_without_the_right_to_create_tables_the_bridge_says_so(role_url):
    with as_superuser(role_url) as connection:
        connection.execute("CREATE DATABASE poor")
    with as_superuser(role_url.replace("///bridge?", "///poor?")) as connection:
        connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        connection.execute("CREATE SCHEMA bridge; GRANT USAGE ON SCHEMA bridge TO bridge")
    with pytest.raises(StoreError, match="lacks a right"):
        await PostgresqlDatabase.open(role_url.replace("///bridge?", "///poor?"))


# database.sh


class Servers:
    """Runs `database.sh` as its two containers do, with folders and addresses of this machine."""

    addresses: ClassVar = {"db-1": "127.0.0.2", "db-2": "127.0.0.3"}

    def __init__(self, folder: Path) -> None:
        programs = postgresql.programs()
        assert programs is not None
        self._folder = folder
        self._programs = programs
        self._port = str(free_port())
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for name, address in self.addresses.items():
            self._lay_out(name, address)
        if os.geteuid() == 0:
            shutil.chown(folder, postgresql.SYSTEM_USER)
            for path in folder.rglob("*"):
                shutil.chown(path, postgresql.SYSTEM_USER)

    def _lay_out(self, name: str, address: str) -> None:
        folder = self._folder / name
        (folder / "data").mkdir(parents=True)
        (folder / "run").mkdir()
        replacements = {"/etc/wx2mqtt/": f"{folder}/", "/run/secrets/": f"{self._folder}/secrets/"}
        for file in ("database.sh", "postgresql.conf", "pg_hba.conf", "role.sql"):
            text = (FOLDER / file).read_text()
            for container_path, path in replacements.items():
                text = text.replace(container_path, path)
            (folder / file).write_text(text)
        with (folder / "postgresql.conf").open("a") as conf:
            conf.write(f"listen_addresses = '{address}'\nunix_socket_directories = '{folder}/run'\n")
            conf.write("fsync = off\nshared_buffers = 16MB\nmax_connections = 20\n")
        if os.geteuid() != 0:  # the server then runs as a user that is not called postgres
            rules = (folder / "pg_hba.conf").read_text()
            (folder / "pg_hba.conf").write_text(rules.replace("peer", "trust"))

    @property
    def url(self) -> str:
        hosts = ",".join(self.addresses.values())
        password = (self._folder / "secrets" / "database").read_text().strip()
        where = f"postgresql://wx2mqtt:{password}@{hosts}/wx2mqtt"
        return f"{where}?target_session_attrs=read-write&port={self._port}"

    def run(self, name: str, order: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(name, order), env=self._environment(name), capture_output=True, text=True, cwd="/"
        )

    def start(self, name: str) -> None:
        self._processes[name] = subprocess.Popen(
            self._command(name, "start"), env=self._environment(name), stderr=subprocess.DEVNULL, cwd="/"
        )

    def stop(self, name: str, number: signal.Signals = signal.SIGINT) -> None:
        """Stops a server in order, or kills it."""
        process = self._processes.pop(name)
        process.send_signal(number)
        process.wait(MAX_WAIT_SECONDS)

    def empty_volume(self, name: str) -> None:
        """Empties the volume of a server that does not run."""
        shutil.rmtree(self._folder / name / "data" / "server")

    def wait_until_synchronous(self, name: str, standby: str) -> None:
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        question = "SELECT application_name FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')"
        while self._ask(name, question) != standby:
            assert time.monotonic() < deadline, f"{standby} is no standby of {name}"
            time.sleep(POLL_SECONDS)

    def wait_until_waiting(self, name: str) -> None:
        """Returns when a commit waits for the standby."""
        deadline = time.monotonic() + MAX_WAIT_SECONDS
        while self._ask(name, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") != "1":
            assert time.monotonic() < deadline, "nothing waits"
            time.sleep(POLL_SECONDS)

    def _ask(self, name: str, statement: str) -> str:
        client = [str(self._programs / "psql"), "-XAt", "-U", "postgres", "-c", statement]
        command = [*postgresql.as_server(), *client]
        environment = self._environment(name)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/")
        return done.stdout.strip()

    def _command(self, name: str, order: str) -> list[str]:
        return [*postgresql.as_server(), "sh", str(self._folder / name / "database.sh"), order]

    def _environment(self, name: str) -> dict[str, str]:
        (other,) = self.addresses.keys() - {name}
        folder = self._folder / name
        return {
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "PGDATA": str(folder / "data"),
            "PGHOST": str(folder / "run"),
            "PGPORT": self._port,
            "NAME": name,
            "OTHER": self.addresses[other],
        }

    def close(self) -> None:
        for name in list(self._processes):
            self.stop(name, signal.SIGKILL)


@pytest.fixture
def servers(prepared) -> Iterator[Servers]:
    if postgresql.programs() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "PostgreSQL is missing: apt-get install postgresql"
        )
    folder = Path(tempfile.mkdtemp(prefix="wx2mqtt-servers-"))  # pytest's own is closed to the server's user
    shutil.copytree(prepared / "secrets", folder / "secrets")
    started = Servers(folder)
    try:
        yield started
    finally:
        started.close()
        shutil.rmtree(folder)


async def store_key(url: str, key: str) -> list[str]:
    """Stores a row, which waits for the standby; returns the keys of all rows."""
    database = await PostgresqlDatabase.open(url)
    try:
        insert = "INSERT INTO seen (account, key, created) VALUES ('home', ?, 1)"
        await database.write("test", lambda connection: connection.execute(insert, (key,)))
        rows = await database.read(lambda connection: connection.execute("SELECT key FROM seen").fetchall())
        return sorted(stored_key for (stored_key,) in rows)
    finally:
        await database.close()


async def test_no_commit_ends_without_the_standby_which_becomes_the_primary(servers):
    made = servers.run("db-1", "create")
    assert made.returncode == 0, made.stderr
    assert "has a database already" in servers.run("db-1", "create").stderr
    servers.start("db-1")
    servers.start("db-2")
    servers.wait_until_synchronous("db-1", "db-2")

    servers.stop("db-2")
    storing = asyncio.ensure_future(store_key(servers.url, "one"))
    await asyncio.to_thread(servers.wait_until_waiting, "db-1")
    assert not storing.done()
    servers.start("db-2")
    servers.wait_until_synchronous("db-1", "db-2")
    assert await storing == ["one"]

    refused = servers.run("db-2", "promote")
    assert (refused.returncode, refused.stderr) == (1, "127.0.0.2 is the primary: stop it first\n")

    servers.stop("db-1", signal.SIGKILL)
    promoted = servers.run("db-2", "promote")
    assert promoted.returncode == 0, promoted.stderr
    assert await store_key(servers.url, "two") == ["one", "two"]

    again = servers.run("db-1", "start")
    assert again.returncode == 1
    assert again.stderr == (
        "127.0.0.3 is the primary now: remove the volume of db-1, and db-1 becomes its standby\n"
    )
    servers.empty_volume("db-1")
    assert "127.0.0.3 has a database already" in servers.run("db-1", "create").stderr
    servers.start("db-1")
    assert servers.run("db-2", "synchronous").returncode == 0
    servers.wait_until_synchronous("db-2", "db-1")
    assert await store_key(servers.url, "three") == ["one", "three", "two"]

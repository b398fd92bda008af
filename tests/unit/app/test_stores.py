"""A store in a database that cannot be opened is reported in one sentence, with its exit code."""

from __future__ import annotations

import base64
import shlex
import sys
import threading
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.postgresql import empty_database
from wx2mqtt.app import stores
from wx2mqtt.app.stores import open_stores
from wx2mqtt.cli.operations import EXIT_CONFIGURATION, EXIT_TEMPORARY, exit_code
from wx2mqtt.errors import StoreError, Wx2MqttError
from wx2mqtt.settings.loader import LoadedSettings, load
from wx2mqtt.store import encrypted_logins
from wx2mqtt.wechat.registry import BACKENDS

KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
def load_settings(tmp_path: Path):
    """Returns a function that loads settings with a `storage.url`."""

    def load_with(url: str) -> LoadedSettings:
        file = tmp_path / "wx2mqtt.yaml"
        file.touch(mode=0o600)
        file.write_text(f"storage: {{path: {tmp_path}/store, url: '{url}', key: {KEY}, password: geheim}}")
        return load(file, {}, BACKENDS)

    return load_with


async def open_failure(settings: LoadedSettings) -> tuple[int, str]:
    """Returns the exit code of a bridge whose store cannot be opened, and what it prints."""
    lines: list[str] = []
    with pytest.raises(Wx2MqttError) as caught:
        async with open_stores(settings, {}, lambda _: None):
            pass
    return exit_code(caught.value, lines.append, "en"), "\n".join(lines)


async def test_a_url_that_libpq_cannot_read_is_a_problem_of_the_file(load_settings, tmp_path):
    code, text = await open_failure(load_settings("postgresql://db/wx2mqtt?sslmod=require"))
    assert code == EXIT_CONFIGURATION
    assert text.startswith(f"{tmp_path}/wx2mqtt.yaml: storage.url: cannot be used: ")
    assert "sslmod" in text


async def test_psycopg_that_cannot_be_imported_is_named_with_the_command(load_settings, monkeypatch):
    settings = load_settings("postgresql://db/wx2mqtt")
    monkeypatch.delitem(sys.modules, "wx2mqtt.store.postgresql_database", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    code, text = await open_failure(settings)
    assert code == EXIT_CONFIGURATION
    command = f"{shlex.quote(sys.executable)} -m pip install --no-deps --only-binary=:all: --require-hashes"
    assert f"storage.url: psycopg cannot be used: {command} -r deploy/postgresql.lock" in text


async def test_a_server_that_is_not_there_is_tried_again_by_systemd(load_settings, tmp_path):
    code, text = await open_failure(load_settings(f"postgresql:///wx2mqtt?host={tmp_path}"))
    assert code == EXIT_TEMPORARY
    assert text.startswith("The database cannot be used: ")
    assert "geheim" not in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "call",
    [f"{encrypted_logins.__name__}.EncryptedLogins.check_keys", f"{stores.__name__}.SharedMarks.count"],
)
async def test_a_store_in_a_database_that_cannot_be_used_is_closed(load_settings, monkeypatch, call):
    monkeypatch.setattr(call, failing)
    settings = load_settings(empty_database())
    await check_that_nothing_stays_open(settings)


async def test_a_store_in_a_folder_that_cannot_be_used_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "SearchIndex", failing)
    file = tmp_path / "wx2mqtt.yaml"
    file.write_text(f"storage: {{path: {tmp_path}/store}}")
    await check_that_nothing_stays_open(load(file, {}, BACKENDS))


def failing(*_: object) -> NoReturn:
    raise StoreError("the store is full")


async def check_that_nothing_stays_open(settings: LoadedSettings) -> None:
    before = set(threading.enumerate())
    with pytest.raises(StoreError, match="full"):
        async with open_stores(settings, {}, lambda _: None):
            pass
    left = set(threading.enumerate()) - before
    assert not [thread.name for thread in left if thread.name.startswith("store-")]


async def test_without_a_url_the_library_of_the_database_is_not_loaded(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "wx2mqtt.store.postgresql_database", raising=False)
    file = tmp_path / "wx2mqtt.yaml"
    file.write_text(f"storage: {{path: {tmp_path}/store}}")
    async with open_stores(load(file, {}, BACKENDS), {}, lambda _: None) as opened:
        assert opened.people_file is not None
    assert "wx2mqtt.store.postgresql_database" not in sys.modules
    with pytest.raises(StoreError):
        await opened.database.read(lambda _: None)

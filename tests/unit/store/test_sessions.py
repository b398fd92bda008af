"""The saved login."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.store.conftest import unprivileged
from tests.unit.store.make import names
from wx2mqtt.errors import StoreError
from wx2mqtt.store.sessions import SessionFile

SESSION = {"skey": "@crypt", "cookies": [{"name": "wxsid", "value": "老"}], "keys": {"1": 2}, "none": None}


async def test_nothing_was_saved(tmp_path: Path) -> None:
    assert await SessionFile(tmp_path / "session.json").load() is None


async def test_what_was_saved_last_is_loaded(tmp_path: Path) -> None:
    vault = SessionFile(tmp_path / "session.json")
    await vault.save({"old": True})
    await vault.save(SESSION)
    assert await SessionFile(tmp_path / "session.json").load() == SESSION


async def test_it_is_for_its_owner_only(tmp_path: Path) -> None:
    await SessionFile(tmp_path / "session.json").save(SESSION)
    assert (tmp_path / "session.json").stat().st_mode & 0o777 == 0o600


async def test_a_cleared_login_is_gone(tmp_path: Path) -> None:
    vault = SessionFile(tmp_path / "session.json")
    await vault.save(SESSION)
    await vault.clear()
    await vault.clear()
    assert await vault.load() is None
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'"text"'])
async def test_a_damaged_file_counts_as_none_and_is_set_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "session.json").write_bytes(content)
    vault = SessionFile(tmp_path / "session.json")
    assert await vault.load() is None
    (aside,) = names(tmp_path)
    assert aside.startswith("session.json.damaged-")
    assert (tmp_path / aside).read_bytes() == content
    await vault.save(SESSION)
    assert await vault.load() == SESSION


async def test_half_a_surrogate_pair_can_be_saved(tmp_path: Path) -> None:
    vault = SessionFile(tmp_path / "session.json")
    await vault.save({"nickname": "a\ud83d"})
    assert await vault.load() == {"nickname": "a\ud83d"}


async def test_a_folder_without_write_right_is_a_store_error(guarded: Path) -> None:
    with unprivileged(), pytest.raises(StoreError, match="rights"):
        await SessionFile(guarded / "session.json").save(SESSION)


async def test_no_error_shows_what_was_to_be_saved(guarded: Path) -> None:
    with unprivileged(), pytest.raises(StoreError) as caught:
        await SessionFile(guarded / "session.json").save({"skey": "@crypt_geheim"})
    assert "geheim" not in repr(caught.value)

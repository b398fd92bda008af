"""A saved login in a file: the newest one is loaded, a damaged one counts as none, and nobody else may read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.store.conftest import unprivileged
from tests.unit.store.make import modes, names
from wx2mqtt.errors import StoreError
from wx2mqtt.store.saved_logins import SavedLoginFile, SavedLoginFolder, read_saved_login

SESSION = {"skey": "@crypt", "cookies": [{"name": "wxsid", "value": "老"}], "keys": {"1": 2}, "none": None}


async def test_the_login_that_was_saved_last_is_loaded_until_it_is_cleared(tmp_path: Path) -> None:
    login = SavedLoginFile(tmp_path / "session.json")
    assert await login.load() is None
    await login.save({"old": True})
    await login.save(SESSION)
    assert modes(tmp_path) == {"session.json": 0o600}
    assert await SavedLoginFile(tmp_path / "session.json").load() == SESSION
    await login.clear()
    await login.clear()
    assert await login.load() is None
    assert names(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'"text"', b"[" * 100_000])
async def test_a_damaged_file_counts_as_no_login_and_is_quarantined(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "session.json").write_bytes(content)
    login = SavedLoginFile(tmp_path / "session.json")
    assert await login.load() is None
    (quarantined,) = names(tmp_path)
    assert quarantined.startswith("session.json.damaged-")
    assert (tmp_path / quarantined).read_bytes() == content
    await login.save(SESSION)
    assert await login.load() == SESSION


async def test_half_a_surrogate_pair_can_be_saved(tmp_path: Path) -> None:
    login = SavedLoginFile(tmp_path / "session.json")
    await login.save({"nickname": "a\ud83d"})
    assert await login.load() == {"nickname": "a\ud83d"}


async def test_no_error_shows_the_login_that_was_to_be_saved(read_only_folder: Path) -> None:
    with unprivileged(), pytest.raises(StoreError, match="rights") as caught:
        await SavedLoginFile(read_only_folder / "session.json").save({"skey": "@crypt_geheim"})
    assert "geheim" not in repr(caught.value)


async def test_a_folder_lists_the_accounts_with_a_login_also_a_damaged_one(tmp_path: Path) -> None:
    logins = SavedLoginFolder(tmp_path / "sessions")
    await logins.of("home").save(SESSION)
    (tmp_path / "sessions" / "office.json.damaged-20261125T080000Z").write_text("{")
    assert await logins.accounts() == {"home", "office"}


async def test_a_deleted_account_leaves_no_login_and_other_accounts_keep_theirs(tmp_path: Path) -> None:
    logins = SavedLoginFolder(tmp_path / "sessions")
    for account in ("home", "home2"):
        await logins.of(account).save(SESSION)
    (tmp_path / "sessions" / "home.json.damaged-20261125T080000Z").write_text("secrets")
    await logins.delete("home")
    assert names(tmp_path / "sessions") == ["home2.json"]


def test_a_look_at_a_login_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "home.json").write_text('{"skey": "@crypt"}')
    (tmp_path / "office.json").write_text("{")
    assert read_saved_login(tmp_path, "home") == {"skey": "@crypt"}
    assert read_saved_login(tmp_path, "office") == {}
    assert read_saved_login(tmp_path, "club") == {}
    assert names(tmp_path) == ["home.json", "office.json"]

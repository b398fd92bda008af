"""A store belongs to the first user on the path who is not root."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from wx2mqtt.errors import StoreError
from wx2mqtt.store import folder_owner as owner_module
from wx2mqtt.store.folder_owner import become_owner, find_owner
from wx2mqtt.store.owner_access import User


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[Path, int]]:
    """The user ids of paths; all other paths are root's."""
    uids: dict[Path, int] = {}
    lstat = Path.lstat

    def lstat_with_owner(path: Path) -> os.stat_result:
        fields = list(lstat(path))
        fields[4] = fields[5] = uids.get(path, 0)
        return os.stat_result(fields)

    monkeypatch.setattr(Path, "lstat", lstat_with_owner)
    yield uids


UNLISTED = User(uid=61_234, gid=61_234, groups=(61_234,))


def test_the_owner_of_the_folder_counts_with_all_groups(tmp_path: Path, owners: dict[Path, int]) -> None:
    nobody = pwd.getpwnam("nobody")
    owners[tmp_path] = nobody.pw_uid
    user = find_owner(tmp_path)
    assert user is not None
    assert (user.uid, user.gid, user.name) == (nobody.pw_uid, nobody.pw_gid, "nobody")
    assert set(user.groups) == set(os.getgrouplist("nobody", nobody.pw_gid))


@pytest.mark.parametrize(
    ("owned", "opened", "owner"),
    [
        ("other", "a", None),
        ("other", "not/there", None),
        ("a/store", "a/store", UNLISTED),
        ("a", "a/store", UNLISTED),
        ("a", "a/missing", UNLISTED),
        ("link", "link/../link", UNLISTED),
        ("a/store/wx2mqtt.db", "a/store", UNLISTED),  # where the whole path is root's
    ],
)
def test_the_owner_of_a_folder_a_link_or_a_file_on_the_path_owns_the_store(
    tmp_path: Path, owners: dict[Path, int], owned: str, opened: str, owner: User | None
) -> None:
    (tmp_path / "a" / "store").mkdir(parents=True)
    (tmp_path / "a" / "store" / "wx2mqtt.db").touch()
    (tmp_path / "link").symlink_to("a")
    owners[tmp_path / owned] = UNLISTED.uid
    assert find_owner(tmp_path / opened) == owner


def test_a_path_with_two_owners_is_refused(tmp_path: Path, owners: dict[Path, int]) -> None:
    (tmp_path / "store").mkdir()
    owners[tmp_path], owners[tmp_path / "store"] = 61_234, 61_235
    with pytest.raises(StoreError, match="sudo -u"):
        find_owner(tmp_path / "store")


def test_a_loop_of_links_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StoreError, match="loop"):
        find_owner(tmp_path / "a")


def test_a_user_who_is_not_root_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(owner_module, "become", lambda _: pytest.fail("the user was changed"))
    assert become_owner(tmp_path) is None

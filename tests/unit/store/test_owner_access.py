"""A user reaches the folders that are not behind a folder which only others may enter."""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

import pytest

from wx2mqtt.store import owner_access
from wx2mqtt.store.owner_access import User, make_reachable, user_of

SERVICE = User(uid=61_234, gid=61_235, groups=(61_236,), name="wx2mqtt")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of a store in a folder that everybody may enter."""
    tmp_path.chmod(0o755)
    (tmp_path / "private" / "wx2mqtt").mkdir(parents=True)
    (tmp_path / "private").chmod(0o755)
    return tmp_path / "private" / "wx2mqtt"


@pytest.fixture
def open_parent_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lets everybody enter the folders above those of the test, which belong to whoever runs it."""
    may_enter = owner_access._may_enter
    monkeypatch.setattr(
        owner_access, "_may_enter", lambda user, folder: folder in tmp_path.parents or may_enter(user, folder)
    )


def closed_folders(store: Path) -> dict[Path, list[Path]]:
    return owner_access._behind_closed_folders(SERVICE, [store])


def test_a_listed_user_has_all_groups() -> None:
    user = user_of(pwd.getpwnam("nobody"))
    assert (user.uid, user.name) == (pwd.getpwnam("nobody").pw_uid, "nobody")
    assert set(user.groups) == set(os.getgrouplist("nobody", user.gid))


@pytest.mark.parametrize(("name", "text"), [("wx2mqtt", "wx2mqtt"), ("", "61234")])
def test_a_user_is_named_and_an_unlisted_one_is_a_number(name: str, text: str) -> None:
    assert str(User(uid=61_234, gid=1, groups=(), name=name)) == text


@pytest.mark.usefixtures("open_parent_folders")
def test_a_store_is_behind_the_folder_that_others_may_not_enter(store: Path) -> None:
    assert closed_folders(store) == {}
    store.parent.chmod(0o750)
    assert closed_folders(store) == {store.parent: [store]}
    assert closed_folders(store.parent / "missing") == {}


@pytest.mark.parametrize(
    ("uid", "gid", "mode", "is_allowed"),
    [
        (61_234, 0, 0o100, True),
        (61_234, 0, 0o077, False),  # of the owner only the rights of the owner count
        (0, 61_235, 0o010, True),
        (0, 61_236, 0o010, True),
        (0, 61_235, 0o701, False),
        (0, 0, 0o001, True),
        (0, 0, 0o770, False),
    ],
)
def test_the_rights_of_owner_group_or_others_decide(
    monkeypatch: pytest.MonkeyPatch, uid: int, gid: int, mode: int, is_allowed: bool
) -> None:
    monkeypatch.setattr(Path, "stat", lambda _: os.stat_result((mode, 0, 0, 0, uid, gid, 0, 0, 0, 0)))
    assert owner_access._may_enter(SERVICE, Path("/any")) is is_allowed


@pytest.mark.usefixtures("open_parent_folders")
def test_where_everything_is_reachable_nothing_is_mounted(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("prefix", "base_prefix"):
        monkeypatch.setattr(sys, name, str(store))
    monkeypatch.setattr(sys, "path", [str(store)])
    monkeypatch.setattr(owner_access, "_call", lambda *_: pytest.fail("the file system was changed"))
    make_reachable(SERVICE, store)

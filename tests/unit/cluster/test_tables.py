"""The locks of accounts in the database: each account has a key of its own."""

from __future__ import annotations

import hashlib

import pytest

from wx2mqtt.cluster import tables
from wx2mqtt.errors import SettingsError


def test_two_accounts_whose_locks_are_the_same_by_chance_are_refused(monkeypatch):
    monkeypatch.setattr(tables, "lock_key", len)
    assert tables.account_keys(("a", "bb"), "f") == {"a": 1, "bb": 2}
    with pytest.raises(SettingsError, match=r"accounts\.cc: its lock in the database is that of account bb"):
        tables.account_keys(("a", "bb", "cc"), "f")


def test_the_key_of_a_lock_is_documented_and_never_that_of_the_migrations():
    expected = int.from_bytes(hashlib.sha256(b"home").digest()[:4], "big") & 0x7FFFFFFF
    assert tables.lock_key("home") == expected
    assert 0 < expected < 2**31

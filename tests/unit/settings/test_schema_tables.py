"""The tables that name keys name keys that exist."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from tests.support.cost import is_in_proportion
from wx2mqtt.settings.key_tree import suggest, walk
from wx2mqtt.settings.reload import LIVE_KEYS

KEYS = [".".join(path) for path, _ in walk()]


@pytest.mark.parametrize("row", LIVE_KEYS)
def test_a_row_names_a_key_of_the_schema(row):
    assert any(fnmatchcase(key, row) for key in KEYS)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("mqtt.usrname", ["mqtt.username"]),
        ("mqtt.client-id", ["mqtt.client_id"]),
        ("mqttt.url", ["mqtt.url"]),
        ("accounts.home.recieve.alow", ["accounts.home.receive.allow"]),
        ("per_minute", ["accounts.*.send.per_minute"]),
        ("password", ["mqtt.password", "web.password", "storage.password"]),
        ("zzz", []),
    ],
)
def test_a_key_that_was_probably_meant_is_found(wrong, meant):
    assert [".".join(map(str, path)) for path in suggest(tuple(wrong.split(".")))] == meant


def test_a_path_with_thousands_of_names_costs_in_proportion_to_them():
    assert is_in_proportion(lambda count: suggest(("accounts", *["x"] * count)), 40_000)

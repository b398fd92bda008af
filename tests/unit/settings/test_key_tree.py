"""Suggesting the key that was meant."""

from __future__ import annotations

import pytest

from tests.support.cost import is_in_proportion
from wx2mqtt.settings.key_tree import suggest


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

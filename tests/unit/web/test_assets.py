"""The files of our pages."""

from __future__ import annotations

import hashlib
import re

import pytest

from tests.support.web import on_paper
from wx2mqtt.web.assets import TYPES, Assets

ASSETS = Assets()


@pytest.mark.parametrize("file", ["page.css", "page.js", "icon.svg"])
async def test_a_file_is_served_under_a_name_that_changes_with_it_and_kept_for_ever(file):
    name = ASSETS.name(file)
    async with on_paper([]) as http:
        answer = await http.get(f"/static/{name}")
    assert answer.status_code == 200
    assert hashlib.sha256(answer.content).hexdigest()[:12] in name
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == TYPES[f".{file.rpartition('.')[2]}"]


@pytest.mark.parametrize("name", ["page.css", "page.000000000000.css", "../page.css", "%2e%2e", "x/y"])
async def test_another_name_leads_nowhere(name):
    async with on_paper([]) as http:
        answer = await http.get(f"/static/{name}")
    assert answer.status_code == 404


def test_they_name_nobody_else():
    for asset in ASSETS.served.values():
        addresses = re.findall(rb"(?:https?:)?//[a-z0-9.-]+\.[a-z]+[^\s\"']*", asset.data)
        assert set(addresses) <= {b"http://www.w3.org/2000/svg"}


def test_they_are_small():
    assert sum(len(asset.data) for asset in ASSETS.served.values()) < 20_000

"""A run says at its start how long it will take."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from tests.fuzz import __main__ as command
from tests.fuzz.__main__ import announcement

DEFAULTS = {"cases": 2000, "seconds": None, "guided": False, "both": False}


@pytest.mark.parametrize(
    ("options", "duration"),
    [
        ({"cases": 1000}, "about 60 seconds"),
        ({"both": True}, "about 10 minutes"),
        ({"guided": True}, "about 8 minutes"),
        ({"cases": 1_000_000, "seconds": 1.0}, "about 60 seconds"),
    ],
)
def test_a_run_says_how_long_it_will_take(monkeypatch, options, duration):
    monkeypatch.setattr(command, "INSTALLED", Path())
    text = announcement(60, Namespace(**{**DEFAULTS, **options}), cpus=2)
    assert duration in text

"""What others read of the bridge is what was recorded; `python -m tests.golden` records it anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden.recorded_parts import PARTS, RECORDED


@pytest.mark.parametrize("name", PARTS)
def test_nothing_that_others_read_has_changed(name: str, tmp_path: Path):
    recorded = (RECORDED / name).read_text(encoding="utf-8").splitlines()
    assert PARTS[name](tmp_path).splitlines() == recorded

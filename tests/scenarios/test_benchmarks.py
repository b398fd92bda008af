"""Runs the benchmarks that compare ways and programs on small numbers, without judging their results."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import measures, posts, turns, wecom
from tests.benchmarks.turns import PRODUCT, compare
from tests.support.client_program import installed_client

SMALL_NUMBERS = {"BURST": 20, "ONE_BY_ONE": 3, "COMMANDS": 20, "CALM_COMMANDS": 3, "IDLE_SECONDS": 0.0}


@pytest.fixture(autouse=True)
def _use_small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (wecom, posts, measures, turns):
        for constant, value in SMALL_NUMBERS.items():
            if hasattr(module, constant):
                monkeypatch.setattr(module, constant, value)
    monkeypatch.setattr(posts, "TURNS", 1)


@pytest.mark.usefixtures("with_mosquitto")
async def test_posts_are_measured_beside_commands_over_mqtt(tmp_path: Path) -> None:
    rows = await posts.posts(tmp_path)
    assert [row.what.strip().partition(" ")[0] for row in rows] == ["20", "of", "one", "of"]


@pytest.mark.usefixtures("with_mosquitto")
async def test_the_bridge_is_measured_on_wecom(tmp_path: Path) -> None:
    async with wecom.running(PRODUCT, tmp_path) as runner:
        for name, measure in wecom.MEASURES.items():
            assert await measure(runner) > 0, name


@pytest.mark.client
@pytest.mark.usefixtures("with_mosquitto")
async def test_the_bridge_is_compared_in_turns_with_wecom_aibot_sdk(
    capsys: pytest.CaptureFixture[str],
) -> None:
    installed_client(wecom.PEER)
    await compare([wecom.PEER], 1, wecom.running, wecom.MEASURES)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(wecom.MEASURES)

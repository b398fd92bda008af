"""The words after `make bench-peers ARGS=`."""

from __future__ import annotations

import pytest

from tests.benchmarks.peers import PEERS, read_arguments


@pytest.mark.parametrize(
    ("arguments", "meaning"),
    [([], (PEERS, 3)), (["--turns", "5"], (PEERS, 5)), (["itchat"], (["itchat"], 3))],
)
def test_without_names_all_peers_take_turns(
    arguments: list[str], meaning: tuple[list[str] | tuple[str, ...], int]
) -> None:
    assert read_arguments(arguments) == meaning


def test_an_unknown_peer_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["wechaty"])
    assert "unknown peer: wechaty; there are itchat-uos, itchat, wecom-aibot-sdk" in capsys.readouterr().err

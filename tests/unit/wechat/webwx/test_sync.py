"""What polls mean, and how calmly they follow each other (webwx 2.10, 2.11)."""

from __future__ import annotations

import pytest

from wx2mqtt.wechat.webwx import responses
from wx2mqtt.wechat.webwx.position import Position
from wx2mqtt.wechat.webwx.responses import Check
from wx2mqtt.wechat.webwx.sync import LONGEST_PAUSE, STUCK, Pace, Verdict, judge, moved

BEFORE = Position(sync=((1, 1),), check=((1, 1),))
AFTER = Position(sync=((1, 2),), check=((1, 2),))


@pytest.mark.parametrize(
    ("retcode", "selector", "verdict"),
    [
        (0, 0, Verdict.QUIET),
        *[(0, selector, Verdict.NEWS) for selector in (1, 2, 3, 4, 5, 6, 7, 99)],
        *[(retcode, 0, Verdict.OVER) for retcode in (1100, 1101, 1102, 1103)],
        (1101, 2, Verdict.OVER),
        (1, 0, Verdict.LATER),
        (-1, 2, Verdict.LATER),
        (1205, 0, Verdict.LATER),
    ],
)
def test_every_answer_of_the_poll(retcode: int, selector: int, verdict: Verdict) -> None:
    assert judge(Check(retcode=retcode, selector=selector)) is verdict


def answer(**fields: object) -> responses.Synced:
    return responses.synced(fields)


def key(value: int) -> dict[str, object]:
    return {"Count": 1, "List": [{"Key": 1, "Val": value}]}


def test_both_keys_move() -> None:
    found = moved(BEFORE, answer(SyncKey=key(2), SyncCheckKey=key(3)))
    assert found == Position(sync=((1, 2),), check=((1, 3),))


def test_empty_keys_leave_the_old_ones() -> None:
    assert moved(BEFORE, answer(SyncKey={"Count": 0, "List": []})) == BEFORE


def test_more_counts_only_where_something_came_or_moved() -> None:
    assert moved(BEFORE, answer(ContinueFlag=1, SyncKey=key(2))).more
    assert moved(BEFORE, answer(ContinueFlag=1, AddMsgList=[{}])).more
    assert not moved(BEFORE, answer(ContinueFlag=1)).more
    assert not moved(Position(sync=((1, 1),), check=((1, 1),), more=True), answer(ContinueFlag=1)).more


def test_nothing_waits_while_messages_flow() -> None:
    pace = Pace().poll(10.0).synced(BEFORE, AFTER, fruitless=False)
    assert pace.pause(10.0) == 0


def test_the_first_poll_begins_at_once() -> None:
    assert Pace().pause(0.0) == 0


def test_polls_that_bring_nothing_begin_a_second_apart() -> None:
    pace = Pace().poll(10.0).nothing()
    assert pace.pause(10.25) == pytest.approx(0.75)
    assert pace.pause(35.0) == 0
    assert Pace().poll(10.0).synced(BEFORE, AFTER, fruitless=True).pause(10.0) == pytest.approx(1.0)


def test_a_server_that_is_stuck_is_asked_more_and_more_seldom() -> None:
    pace, pauses = Pace(), []
    for _ in range(STUCK + 8):
        pace = pace.poll(0.0).synced(BEFORE, BEFORE, fruitless=True)
        pauses.append(pace.pause(0.0))
    assert pauses[: STUCK - 1] == [1.0] * (STUCK - 1)
    assert pauses[STUCK - 1 : STUCK + 2] == [2.0, 4.0, 8.0]
    assert pauses[-1] == LONGEST_PAUSE


@pytest.mark.parametrize("change", ["message", "key", "quiet"])
def test_any_sign_of_life_ends_that(change: str) -> None:
    pace = Pace()
    for _ in range(STUCK + 3):
        pace = pace.poll(0.0).synced(BEFORE, BEFORE, fruitless=True)
    if change == "quiet":
        pace = pace.poll(0.0).nothing()
    else:
        pace = pace.poll(0.0).synced(BEFORE, AFTER if change == "key" else BEFORE, fruitless=change == "key")
    assert pace.pause(0.0) <= 1.0

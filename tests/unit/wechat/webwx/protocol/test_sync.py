"""Decisions after polls and syncs, and the pauses between polls (webwx 2.10, 2.11)."""

from __future__ import annotations

import pytest

from wx2mqtt.wechat.webwx.protocol import responses
from wx2mqtt.wechat.webwx.protocol.responses import SyncCheckAnswer
from wx2mqtt.wechat.webwx.protocol.session import SyncCursor
from wx2mqtt.wechat.webwx.protocol.sync import (
    LARGE_ANSWER_MESSAGES,
    MAX_EMPTY_SYNCS,
    MAX_POLL_PAUSE_SECONDS,
    PollPacing,
    SyncAction,
    action_after_check,
    advanced_cursor,
)

BEFORE = SyncCursor(sync=((1, 1),), check=((1, 1),))
AFTER = SyncCursor(sync=((1, 2),), check=((1, 2),))


@pytest.mark.parametrize(
    ("retcode", "selector", "verdict"),
    [
        (0, 0, SyncAction.QUIET),
        *[(0, selector, SyncAction.NEWS) for selector in (1, 2, 3, 4, 5, 6, 7, 99)],
        *[(retcode, 0, SyncAction.OVER) for retcode in (1100, 1101, 1102, 1103)],
        (1101, 2, SyncAction.OVER),
        (1, 0, SyncAction.LATER),
        (-1, 2, SyncAction.LATER),
        (1205, 0, SyncAction.LATER),
    ],
)
def test_every_answer_of_the_poll(retcode: int, selector: int, verdict: SyncAction) -> None:
    assert action_after_check(SyncCheckAnswer(ret=retcode, selector=selector)) is verdict


def answer(**fields: object) -> responses.SyncAnswer:
    return responses.read_sync(fields)


def key(value: int) -> dict[str, object]:
    return {"Count": 1, "List": [{"Key": 1, "Val": value}]}


def test_both_keys_move() -> None:
    found = advanced_cursor(BEFORE, answer(SyncKey=key(2), SyncCheckKey=key(3)))
    assert found == SyncCursor(sync=((1, 2),), check=((1, 3),))


def test_empty_keys_leave_the_old_ones() -> None:
    assert advanced_cursor(BEFORE, answer(SyncKey={"Count": 0, "List": []})) == BEFORE


def test_behind_a_large_answer_more_is_expected_if_the_keys_have_moved() -> None:
    messages: list[dict[str, object]] = [{}] * LARGE_ANSWER_MESSAGES
    assert advanced_cursor(BEFORE, answer(AddMsgList=messages, SyncKey=key(2))).more
    assert not advanced_cursor(BEFORE, answer(AddMsgList=messages[1:], SyncKey=key(2))).more
    assert not advanced_cursor(BEFORE, answer(AddMsgList=messages)).more


def test_more_counts_only_where_something_came_or_moved() -> None:
    assert advanced_cursor(BEFORE, answer(ContinueFlag=1, SyncKey=key(2))).more
    assert advanced_cursor(BEFORE, answer(ContinueFlag=1, AddMsgList=[{}])).more
    assert not advanced_cursor(BEFORE, answer(ContinueFlag=1)).more
    assert not advanced_cursor(
        SyncCursor(sync=((1, 1),), check=((1, 1),), more=True), answer(ContinueFlag=1)
    ).more


def test_nothing_waits_while_messages_flow() -> None:
    pace = PollPacing().after_poll(10.0).after_sync(BEFORE, AFTER, fruitless=False)
    assert pace.pause(10.0) == 0


def test_the_first_poll_begins_at_once() -> None:
    assert PollPacing().pause(0.0) == 0


def test_polls_that_bring_nothing_begin_a_second_apart() -> None:
    pace = PollPacing().after_poll(10.0).after_empty_poll()
    assert pace.pause(10.25) == pytest.approx(0.75)
    assert pace.pause(35.0) == 0
    assert PollPacing().after_poll(10.0).after_sync(BEFORE, AFTER, fruitless=True).pause(
        10.0
    ) == pytest.approx(1.0)


def test_a_server_that_is_stuck_is_asked_more_and_more_seldom() -> None:
    pace, pauses = PollPacing(), []
    for _ in range(MAX_EMPTY_SYNCS + 8):
        pace = pace.after_poll(0.0).after_sync(BEFORE, BEFORE, fruitless=True)
        pauses.append(pace.pause(0.0))
    assert pauses[: MAX_EMPTY_SYNCS - 1] == [1.0] * (MAX_EMPTY_SYNCS - 1)
    assert pauses[MAX_EMPTY_SYNCS - 1 : MAX_EMPTY_SYNCS + 2] == [2.0, 4.0, 8.0]
    assert pauses[-1] == MAX_POLL_PAUSE_SECONDS


@pytest.mark.parametrize("change", ["message", "key", "quiet"])
def test_any_sign_of_life_ends_that(change: str) -> None:
    pace = PollPacing()
    for _ in range(MAX_EMPTY_SYNCS + 3):
        pace = pace.after_poll(0.0).after_sync(BEFORE, BEFORE, fruitless=True)
    if change == "quiet":
        pace = pace.after_poll(0.0).after_empty_poll()
    else:
        pace = pace.after_poll(0.0).after_sync(
            BEFORE, AFTER if change == "key" else BEFORE, fruitless=change == "key"
        )
    assert pace.pause(0.0) <= 1.0

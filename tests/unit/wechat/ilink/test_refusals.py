"""One number, five meanings: the table of ilink 10.3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.wechat.ilink.refusals import Meaning, meaning
from wx2mqtt.wechat.ilink.window import OPEN_FOR, QUOTA, QUOTA_USED, TOO_LONG_AGO, Chat

T = 1_790_000_000_000
NEW = Chat().heard(T, "t")
USED = Chat(wrote=T, sent=tuple(range(T, T + QUOTA)))
STALE = Chat().heard(T - OPEN_FOR, "t")
QUIET = Chat().heard(T - OPEN_FOR + 3_600_000, "t")  # open, and nothing happened for long


def means(ret: int, words: str, chat: Chat, *, token: bool = True, file: bool = False) -> Meaning:
    return meaning(ret, words, chat, T, with_token=token, has_file=file)


@pytest.mark.parametrize(
    ("ret", "words", "chat", "found"),
    [
        (-14, "session timeout", NEW, Meaning.LOGGED_OUT),
        (-1, "", NEW, Meaning.LATER),
        (-2, "", NEW, Meaning.QUOTA),
        (-2, "", USED, Meaning.QUOTA),
        (-2, "", STALE, Meaning.WINDOW),
        (-2, "", Chat(), Meaning.WINDOW),
        (-2, "rate limited", NEW, Meaning.OFTEN),
        (-2, "Freq Limit", NEW, Meaning.OFTEN),
        (-2, "freq limit", STALE, Meaning.WINDOW),
        (-12, "", NEW, Meaning.OFTEN),
        (-2, "prepare failed", NEW, Meaning.AGAIN),
        (-2, "unknown error", NEW, Meaning.AGAIN),
        (-2, "prepare failed", STALE, Meaning.WINDOW),
        (-2, "prepare failed", USED, Meaning.QUOTA),
        (-2, "prepare failed", NEW.refused(TOO_LONG_AGO), Meaning.WINDOW),
        (-2, "prepare failed", NEW.refused(QUOTA_USED), Meaning.WINDOW),
        (-2, "prepare failed", Chat(), Meaning.WINDOW),
        (-2, "invalid arguments", NEW, Meaning.REJECTED),
        (-2, "content not allowed", NEW, Meaning.REJECTED),
        (-2, "content not allowed", USED, Meaning.QUOTA),
        (-3, "", NEW, Meaning.REJECTED),
        (1, "prepare failed", NEW, Meaning.REJECTED),
    ],
)
def test_the_table(ret: int, words: str, chat: Chat, found: Meaning) -> None:
    assert means(ret, words, chat) is found


def test_without_the_token_it_is_not_tried_a_third_time() -> None:
    assert means(-2, "prepare failed", NEW, token=False) is Meaning.WINDOW


def test_a_file_is_at_fault_itself_where_the_window_is_surely_open() -> None:
    assert means(-2, "prepare failed", NEW, token=False, file=True) is Meaning.REJECTED
    assert means(-2, "prepare failed", QUIET, token=False, file=True) is Meaning.WINDOW
    assert means(-2, "prepare failed", NEW, file=True) is Meaning.AGAIN


@given(
    st.integers(-20, 20),
    st.text(max_size=30),
    st.booleans(),
    st.booleans(),
    st.sampled_from([NEW, USED, STALE, QUIET, Chat()]),
)
def test_every_refusal_means_something(ret: int, words: str, token: bool, file: bool, chat: Chat) -> None:
    found = means(ret, words, chat, token=token, file=file)
    assert found is not Meaning.AGAIN or token

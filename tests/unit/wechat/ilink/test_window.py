"""Whether WeChat would take a message now: who wrote when, how many went out, and the server's word (ilink 10.1)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.model import Window
from wx2mqtt.wechat.ilink.window import OPEN_FOR, QUOTA, QUOTA_USED, TOO_LONG_AGO, Chat, anew

T = 1_790_000_000_000
HEARD = Chat().heard(T, "one")


def shut(why: str) -> Window:
    return Window(open=False, left=0, why=why)


def test_nothing_goes_out_before_they_have_written() -> None:
    assert Chat().window(T) == shut("never_wrote")


def test_a_message_opens_it_for_a_day_and_ten() -> None:
    assert HEARD.window(T) == Window(open=True, until=T + OPEN_FOR, left=10)
    assert HEARD.window(T + OPEN_FOR - 1).open
    assert HEARD.window(T + OPEN_FOR) == shut("too_long_ago")


def test_each_of_ours_counts_until_they_write_again() -> None:
    chat = HEARD
    for sent in range(QUOTA):
        assert chat.window(T).left == QUOTA - sent
        chat = chat.took(T + sent + 1)
    assert chat.window(T + 20) == shut("quota_used")
    assert chat.heard(T + 30, "two").window(T + 30) == Window(open=True, until=T + 30 + OPEN_FOR, left=10)


def test_what_went_out_after_they_wrote_counts_though_we_hear_of_it_later() -> None:
    chat = HEARD.took(T + 5).took(T + 15)
    assert chat.heard(T + 10, "two").window(T + 20).left == 9


def test_the_same_message_again_opens_nothing_and_may_bring_a_newer_token() -> None:
    chat = HEARD.took(T + 1).refused(QUOTA_USED)
    again = chat.heard(T, "two")
    assert again.window(T + 2) == shut("quota_used")
    assert again.token == "two"


def test_an_older_message_brings_no_token() -> None:
    assert HEARD.heard(T - 1, "old") == HEARD
    assert HEARD.heard(T + 1, "").token == "one"


def test_the_server_s_word_counts_until_they_write() -> None:
    for why in (TOO_LONG_AGO, QUOTA_USED):
        chat = HEARD.refused(why)
        assert chat.window(T + 1) == shut(why)
        assert chat.heard(T + 2, "two").window(T + 2).open


def test_a_message_that_was_taken_proves_it_open() -> None:
    assert HEARD.refused(TOO_LONG_AGO).took(T + 1).window(T + 1).open


def test_too_often_is_a_pause_that_grows() -> None:
    chat, pauses = HEARD, []
    for _ in range(7):
        chat = chat.slowed(T)
        pauses.append((chat.pause - T) // 1000)
        assert chat.window(T) == Window(open=False, until=chat.pause, left=10, why="rate_limited")
    assert pauses == [30, 60, 90, 300, 600, 600, 600]
    assert chat.window(chat.pause).open
    assert chat.took(T).window(T).open
    assert chat.heard(T + 1, "").window(T + 1).open


def test_a_new_bot_waits_until_they_write_to_it() -> None:
    assert anew(HEARD).window(T) == shut("new_binding")
    assert anew(anew(HEARD)).window(T) == shut("new_binding")
    assert anew(Chat()).window(T) == shut("never_wrote")
    assert anew(HEARD).heard(T + 5, "new").window(T + 5).open


def test_a_token_that_is_refused_is_forgotten() -> None:
    assert HEARD.without_token().token == ""


def test_it_is_fresh_for_a_while_after_something_went_well() -> None:
    assert HEARD.is_fresh(T + 599_999)
    assert not HEARD.is_fresh(T + 600_000)
    assert HEARD.took(T + 500_000).is_fresh(T + 1_000_000)
    assert not HEARD.refused(QUOTA_USED).is_fresh(T)


STEPS = st.lists(
    st.tuples(st.sampled_from(["heard", "took", "slowed", "refused"]), st.integers(T, T + 3 * OPEN_FOR)),
    max_size=30,
)


@given(STEPS, st.integers(T, T + 4 * OPEN_FOR))
def test_whatever_happens_it_says_something_sensible(steps: list[tuple[str, int]], now: int) -> None:
    chat = Chat()
    for what, time in steps:
        match what:
            case "heard":
                chat = chat.heard(time, "t")
            case "took":
                chat = chat.took(time)
            case "slowed":
                chat = chat.slowed(time)
            case _:
                chat = chat.refused(TOO_LONG_AGO)
    window = chat.window(now)
    assert window.open is (window.why == "")
    assert window.left is not None
    assert 0 <= window.left <= QUOTA
    if window.open:
        assert window.left > 0
        assert window.until is not None
        assert window.until > now
    assert window.open or window.left == 0 or window.why == "rate_limited"

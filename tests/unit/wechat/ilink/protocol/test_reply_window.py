"""The reply window after messages, replies and refusals (ilink 10.1), and the meaning of refusals (ilink 10.3)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.model import ReplyWindow
from wx2mqtt.wechat.ilink.protocol.endpoints import MAX_REPLIES_PER_MESSAGE
from wx2mqtt.wechat.ilink.protocol.reply_window import (
    QUOTA_USED,
    TOO_LONG_AGO,
    WINDOW_OPEN_MS,
    ChatWindow,
    RefusalMeaning,
    chat_after_rebinding,
    meaning_of_refusal,
)

NOW = 1_790_000_000_000


NEW = ChatWindow().with_message(NOW, "t")


USED = ChatWindow(last_wrote=NOW, sent=tuple(range(NOW, NOW + MAX_REPLIES_PER_MESSAGE)))


STALE = ChatWindow().with_message(NOW - WINDOW_OPEN_MS, "t")


LONG_UNUSED = ChatWindow().with_message(
    NOW - WINDOW_OPEN_MS + 3_600_000, "t"
)  # open, and nothing happened for long


def meaning_of(
    ret: int, words: str, chat: ChatWindow, *, token: bool = True, file: bool = False
) -> RefusalMeaning:
    return meaning_of_refusal(ret, words, chat, NOW, with_token=token, has_file=file)


@every_row(
    ("ret", "words", "chat", "found"),
    [
        (-14, "session timeout", NEW, RefusalMeaning.LOGGED_OUT),
        (-1, "", NEW, RefusalMeaning.LATER),
        (-2, "", NEW, RefusalMeaning.QUOTA),
        (-2, "", USED, RefusalMeaning.QUOTA),
        (-2, "", STALE, RefusalMeaning.WINDOW),
        (-2, "", ChatWindow(), RefusalMeaning.WINDOW),
        (-2, "rate limited", NEW, RefusalMeaning.OFTEN),
        (-2, "Freq Limit", NEW, RefusalMeaning.OFTEN),
        (-2, "freq limit", STALE, RefusalMeaning.WINDOW),
        (-12, "", NEW, RefusalMeaning.OFTEN),
        (-2, "prepare failed", NEW, RefusalMeaning.AGAIN),
        (-2, "unknown error", NEW, RefusalMeaning.AGAIN),
        (-2, "prepare failed", STALE, RefusalMeaning.WINDOW),
        (-2, "prepare failed", USED, RefusalMeaning.QUOTA),
        (-2, "prepare failed", NEW.with_refusal(TOO_LONG_AGO), RefusalMeaning.WINDOW),
        (-2, "prepare failed", NEW.with_refusal(QUOTA_USED), RefusalMeaning.WINDOW),
        (-2, "prepare failed", ChatWindow(), RefusalMeaning.WINDOW),
        (-2, "invalid arguments", NEW, RefusalMeaning.REJECTED),
        (-2, "content not allowed", NEW, RefusalMeaning.REJECTED),
        (-2, "content not allowed", USED, RefusalMeaning.QUOTA),
        (-3, "", NEW, RefusalMeaning.REJECTED),
        (1, "prepare failed", NEW, RefusalMeaning.REJECTED),
    ],
)
def test_the_table(ret: int, words: str, chat: ChatWindow, found: RefusalMeaning) -> None:
    assert meaning_of(ret, words, chat) is found


def test_without_the_token_it_is_not_tried_a_third_time() -> None:
    assert meaning_of(-2, "prepare failed", NEW, token=False) is RefusalMeaning.WINDOW


def test_a_file_is_at_fault_itself_where_the_window_is_surely_open() -> None:
    assert meaning_of(-2, "prepare failed", NEW, token=False, file=True) is RefusalMeaning.REJECTED
    assert meaning_of(-2, "prepare failed", LONG_UNUSED, token=False, file=True) is RefusalMeaning.WINDOW
    assert meaning_of(-2, "prepare failed", NEW, file=True) is RefusalMeaning.AGAIN


@given(
    st.integers(-20, 20),
    st.text(max_size=30),
    st.booleans(),
    st.booleans(),
    st.sampled_from([NEW, USED, STALE, LONG_UNUSED, ChatWindow()]),
)
def test_every_refusal_means_something(
    ret: int, words: str, token: bool, file: bool, chat: ChatWindow
) -> None:
    found = meaning_of(ret, words, chat, token=token, file=file)
    assert found is not RefusalMeaning.AGAIN or token


AFTER_MESSAGE = ChatWindow().with_message(NOW, "one")


def closed_window(why: str) -> ReplyWindow:
    return ReplyWindow(open=False, remaining=0, reason=why)


def test_nothing_goes_out_before_they_have_written() -> None:
    assert ChatWindow().reply_window(NOW) == closed_window("never_wrote")


def test_a_message_opens_it_for_a_day_and_ten() -> None:
    assert AFTER_MESSAGE.reply_window(NOW) == ReplyWindow(open=True, until=NOW + WINDOW_OPEN_MS, remaining=10)
    assert AFTER_MESSAGE.reply_window(NOW).limit == MAX_REPLIES_PER_MESSAGE
    assert ChatWindow().reply_window(NOW).limit == MAX_REPLIES_PER_MESSAGE
    assert AFTER_MESSAGE.with_throttling(NOW).reply_window(NOW).limit == MAX_REPLIES_PER_MESSAGE
    assert AFTER_MESSAGE.reply_window(NOW + WINDOW_OPEN_MS - 1).open
    assert AFTER_MESSAGE.reply_window(NOW + WINDOW_OPEN_MS) == closed_window("too_long_ago")


def test_each_of_ours_counts_until_they_write_again() -> None:
    chat = AFTER_MESSAGE
    for sent in range(MAX_REPLIES_PER_MESSAGE):
        assert chat.reply_window(NOW).remaining == MAX_REPLIES_PER_MESSAGE - sent
        chat = chat.with_sent(NOW + sent + 1)
    assert chat.reply_window(NOW + 20) == closed_window("quota_used")
    assert chat.with_message(NOW + 30, "two").reply_window(NOW + 30) == ReplyWindow(
        open=True, until=NOW + 30 + WINDOW_OPEN_MS, remaining=10
    )


def test_what_went_out_after_they_wrote_counts_though_we_hear_of_it_later() -> None:
    chat = AFTER_MESSAGE.with_sent(NOW + 5).with_sent(NOW + 15)
    assert chat.with_message(NOW + 10, "two").reply_window(NOW + 20).remaining == 9


def test_what_they_wrote_while_ours_was_under_way_finds_it_not_counted() -> None:
    chat = AFTER_MESSAGE.with_message(NOW + 10, "").with_sent(NOW + 5)
    assert chat.reply_window(NOW + 10).remaining == 10


def test_the_same_message_again_opens_nothing_and_may_bring_a_newer_token() -> None:
    chat = AFTER_MESSAGE.with_sent(NOW + 1).with_refusal(QUOTA_USED)
    again = chat.with_message(NOW, "two")
    assert again.reply_window(NOW + 2) == closed_window("quota_used")
    assert again.context_token == "two"


def test_an_older_message_brings_no_token() -> None:
    assert AFTER_MESSAGE.with_message(NOW - 1, "old") == AFTER_MESSAGE
    assert AFTER_MESSAGE.with_message(NOW + 1, "").context_token == "one"


def test_the_server_s_word_counts_until_they_write() -> None:
    for why in (TOO_LONG_AGO, QUOTA_USED):
        chat = AFTER_MESSAGE.with_refusal(why)
        assert chat.reply_window(NOW + 1) == closed_window(why)
        assert chat.with_message(NOW + 2, "two").reply_window(NOW + 2).open


def test_a_message_that_was_taken_proves_it_open() -> None:
    assert AFTER_MESSAGE.with_refusal(TOO_LONG_AGO).with_sent(NOW + 1).reply_window(NOW + 1).open


def test_too_often_is_a_pause_that_grows() -> None:
    chat, pauses = AFTER_MESSAGE, []
    for _ in range(7):
        chat = chat.with_throttling(NOW)
        pauses.append((chat.throttled_until - NOW) // 1000)
        assert chat.reply_window(NOW) == ReplyWindow(
            open=False, until=chat.throttled_until, remaining=10, reason="rate_limited"
        )
    assert pauses == [30, 60, 90, 300, 600, 600, 600]
    assert chat.reply_window(chat.throttled_until).open
    assert chat.with_sent(NOW).reply_window(NOW).open
    assert chat.with_message(NOW + 1, "").reply_window(NOW + 1).open


def test_a_new_bot_waits_until_they_write_to_it() -> None:
    assert chat_after_rebinding(AFTER_MESSAGE).reply_window(NOW) == closed_window("new_binding")
    assert chat_after_rebinding(chat_after_rebinding(AFTER_MESSAGE)).reply_window(NOW) == closed_window(
        "new_binding"
    )
    assert chat_after_rebinding(ChatWindow()).reply_window(NOW) == closed_window("never_wrote")
    assert chat_after_rebinding(AFTER_MESSAGE).with_message(NOW + 5, "new").reply_window(NOW + 5).open


def test_it_is_fresh_for_a_while_after_something_went_well() -> None:
    assert AFTER_MESSAGE.is_fresh(NOW + 599_999)
    assert not AFTER_MESSAGE.is_fresh(NOW + 600_000)
    assert AFTER_MESSAGE.with_sent(NOW + 500_000).is_fresh(NOW + 1_000_000)
    assert not AFTER_MESSAGE.with_refusal(QUOTA_USED).is_fresh(NOW)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["received", "accepted", "throttled", "refused"]),
        st.integers(NOW, NOW + 3 * WINDOW_OPEN_MS),
    ),
    max_size=30,
)


@given(STEPS, st.integers(NOW, NOW + 4 * WINDOW_OPEN_MS))
def test_whatever_happens_it_says_something_sensible(steps: list[tuple[str, int]], now: int) -> None:
    chat = ChatWindow()
    for step, time in steps:
        match step:
            case "received":
                chat = chat.with_message(time, "t")
            case "accepted":
                chat = chat.with_sent(time)
            case "throttled":
                chat = chat.with_throttling(time)
            case _:
                chat = chat.with_refusal(TOO_LONG_AGO)
    window = chat.reply_window(now)
    assert window.open is (window.reason == "")
    assert window.remaining is not None
    assert 0 <= window.remaining <= MAX_REPLIES_PER_MESSAGE
    if window.open:
        assert window.remaining > 0
        assert window.until is not None
        assert window.until > now
    assert window.open or window.remaining == 0 or window.reason == "rate_limited"

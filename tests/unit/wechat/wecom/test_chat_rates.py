"""No chat gets more than WeCom takes, texts may take all of it, and a restart forgets nothing."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cost import is_in_proportion
from tests.unit.wechat.rig import ManualClock
from wx2mqtt.errors import Unreachable
from wx2mqtt.model import Handle
from wx2mqtt.wechat.wecom.chat_rates import KEPT_PLACE_SECONDS, MIN_CHATS_TO_FORGET, ChatRates
from wx2mqtt.wechat.wecom.protocol.endpoints import MAX_RECEIPTS_PER_HOUR
from wx2mqtt.wechat.wecom.protocol.session import SavedBot, SentTimes, read_saved_bot

LI, WANG = Handle("user:li"), Handle("user:wang")


class RatesHarness:
    """Rates on a manual clock, and when each message and receipt went out."""

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.rates = ChatRates(self.clock.as_clock(), lambda key, **_facts: key)
        self.messages: list[float] = []
        self.receipts: list[float] = []

    def send_all(self, count: int) -> int:
        """Sends messages while the chat takes them; returns how many."""
        for sent in range(count):
            if self.rates.seconds_until_sendable(LI) > 0:
                return sent
            with self.rates.sending(LI):
                self.messages.append(self.clock.time)
        return count

    def answer(self) -> bool:
        """Sends a receipt if there is a place, as `Receipts` does."""
        if self.rates.seconds_until_receipt(LI) > 0:
            self.rates.keep_place(LI)
            return False
        with self.rates.answering(LI):
            self.receipts.append(self.clock.time)
        return True

    def answer_all(self, count: int) -> int:
        return sum([self.answer() for _ in range(count)])

    def restarted(self, sent: Mapping[Handle, SentTimes] | None = None) -> RatesHarness:
        """Returns the next process, after an orderly stop or with what the journal shows."""
        following = RatesHarness(self.clock)
        following.rates.restore(saved(self.rates) if sent is None else sent)
        return following


def saved(rates: ChatRates) -> Mapping[Handle, SentTimes]:
    """Returns what a login saves of the rates, and reads again."""
    bot = read_saved_bot(SavedBot(bot_id="aib1", sent=rates.to_saved()).to_saved())
    assert bot is not None
    assert bot.sent is not None
    return bot.sent


STEPS = st.lists(
    st.tuples(st.floats(0, 90), st.integers(0, 40), st.integers(0, 15), st.booleans()), max_size=60
)


@given(STEPS, st.booleans())
def test_no_window_has_more_than_wecom_takes(steps, restarts):
    harness = RatesHarness()
    harness.rates.restore({})
    messages, receipts = harness.messages, harness.receipts
    for pause, texts, callbacks, is_restart in steps:
        harness.clock.time += pause
        harness.send_all(texts)
        harness.answer_all(callbacks)
        if restarts and is_restart:
            harness = harness.restarted()
            harness.messages, harness.receipts = messages, receipts
    for most, most_receipts, seconds in ((30, 10, 60.0), (1000, 300, 3600.0)):
        for start in {*messages, *receipts}:
            in_window = [time for time in messages if start <= time < start + seconds - 0.01]
            receipts_in_window = [time for time in receipts if start <= time < start + seconds - 0.01]
            assert len(receipts_in_window) <= most_receipts
            assert len(in_window) + len(receipts_in_window) <= most


def test_texts_take_all_of_a_minute_and_of_an_hour_where_no_receipt_is_due():
    harness = RatesHarness()
    assert harness.send_all(50) == 30
    assert harness.rates.seconds_until_sendable(LI) == 60
    assert harness.rates.seconds_until_sendable(WANG) == 0
    while harness.clock.time < 1000 + 3599:
        harness.send_all(30)
        harness.clock.time += 60
    assert len(harness.messages) == 1000


def test_receipts_take_ten_of_the_minute_and_texts_the_rest():
    harness = RatesHarness()
    assert harness.answer_all(15) == 10
    assert harness.send_all(50) == 20
    harness.clock.time += 60
    assert harness.send_all(50) == 30  # what ten had already keeps no place


def test_receipts_take_300_of_the_hour():
    harness = RatesHarness()
    for _ in range(MAX_RECEIPTS_PER_HOUR + 20):
        harness.answer()
        harness.clock.time += 10
    assert len(harness.receipts) == MAX_RECEIPTS_PER_HOUR


def test_a_receipt_for_which_texts_left_no_place_has_one_in_the_next_minute():
    harness = RatesHarness()
    harness.send_all(30)
    harness.clock.time += 10
    assert harness.answer_all(2) == 0
    harness.clock.time += 50
    assert harness.send_all(50) == 28
    harness.clock.time += 5
    assert harness.answer_all(2) == 2
    assert harness.send_all(1) == 0


def test_no_more_places_are_kept_than_receipts_may_take():
    harness = RatesHarness()
    harness.send_all(30)
    harness.answer_all(100)
    harness.clock.time += 60
    assert harness.send_all(50) == 20
    assert harness.answer_all(100) == 10
    harness.clock.time += 60
    assert harness.send_all(50) == 30


def test_a_place_that_no_receipt_takes_is_free_again_after_the_next_minute():
    harness = RatesHarness()
    harness.send_all(30)
    assert not harness.answer()
    harness.clock.time += 60
    harness.send_all(29)
    assert harness.rates.seconds_until_sendable(LI) == KEPT_PLACE_SECONDS - 60
    harness.clock.time += KEPT_PLACE_SECONDS - 60
    assert harness.send_all(50) == 30


def test_a_message_that_finds_its_place_taken_is_not_written():
    harness = RatesHarness()
    harness.send_all(29)
    assert harness.rates.seconds_until_sendable(LI) == 0
    assert harness.answer()
    with pytest.raises(Unreachable, match="chat_is_full"), harness.rates.sending(LI):
        raise AssertionError


def test_a_message_counts_from_its_end_on_and_one_that_was_never_written_does_not():
    harness = RatesHarness()
    harness.send_all(29)
    with pytest.raises(Unreachable), harness.rates.sending(LI):
        raise Unreachable
    with pytest.raises(TimeoutError), harness.rates.sending(LI):
        assert harness.rates.seconds_until_sendable(LI) > 0
        harness.clock.time += 5
        raise TimeoutError
    harness.clock.time += 55
    assert harness.send_all(50) == 29


@pytest.mark.parametrize(
    ("answered", "seconds", "answered_then"), [(3, 0, 7), (10, 0, 0), (10, 59, 0), (10, 60, 10)]
)
def test_after_an_orderly_stop_the_counts_go_on(answered: int, seconds: float, answered_then: int):
    harness = RatesHarness()
    harness.rates.restore({})
    harness.answer_all(answered)
    harness.clock.time += seconds
    following = harness.restarted()
    assert following.answer_all(15) == answered_then
    assert following.send_all(50) == 30 - answered_then - (answered if seconds < 60 else 0)


def test_of_the_received_messages_of_the_journal_ten_a_minute_count():
    now = int(ManualClock().wall() * 1000)
    following = RatesHarness().restarted({LI: SentTimes(receipts=(now,) * 25, messages=(now,) * 3)})
    assert following.answer_all(1) == 0
    assert following.send_all(50) == 17


def test_what_is_not_known_or_too_much_is_not_saved(monkeypatch: pytest.MonkeyPatch):
    harness = RatesHarness()
    assert harness.rates.to_saved() is None
    harness.rates.restore({})
    assert harness.rates.to_saved() == {}
    harness.send_all(2)
    monkeypatch.setattr("wx2mqtt.wechat.wecom.chat_rates.MAX_SAVED_TIMES", 1)
    assert harness.rates.to_saved() is None


def test_chats_that_got_nothing_for_an_hour_are_forgotten():
    harness = RatesHarness()
    for number in range(1000):
        with harness.rates.sending(Handle(f"user:{number}")):
            pass
        harness.clock.time += 1000
    assert len(harness.rates._chats) <= MIN_CHATS_TO_FORGET


def restore_chats(count: int) -> None:
    harness = RatesHarness()
    times = SentTimes(messages=(harness.clock.as_clock().now,), receipts=())
    harness.rates.restore({Handle(f"user:{number}"): times for number in range(count)})


def test_the_cost_of_a_start_is_in_proportion_to_the_chats():
    assert is_in_proportion(restore_chats, 2000)


@pytest.mark.parametrize(
    "unreadable", [7, [], {"user:li": None}, {"user:li": [[1]]}, {"user:li": ["1", "2"]}]
)
def test_what_cannot_be_read_of_a_saved_login_is_not_known(unreadable: object):
    bot = read_saved_bot({**SavedBot(bot_id="aib1").to_saved(), "sent": unreadable})
    assert bot is not None
    assert bot.sent is None

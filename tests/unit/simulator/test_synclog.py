"""Keys name places in what happened (webwx 2.10, 2.11)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.simulator.synclog import Entry, SyncLog, key_json, key_text

KINDS = st.lists(st.sampled_from([*Entry]), max_size=60)


def filled(kinds: list[Entry]) -> SyncLog:
    log = SyncLog(born=1_700_000_000)
    for number, kind in enumerate(kinds):
        log.append(kind, b"%d" % number)
    return log


def test_keys_are_written_in_both_forms():
    log = SyncLog(born=1_700_000_000)
    assert key_text(log.sync_key(0)) == "1_840000000|2_840000000|3_839999956|1000_1700000000"
    assert key_json(((1, 2),)) == b'{"Count": 1, "List": [{"Key": 1, "Val": 2}]}'


def test_only_keys_that_were_issued_are_known():
    log = filled([Entry.MESSAGE] * 3)
    text = key_text(log.sync_key(2))
    assert log.position(text) == 2
    assert log.position(key_text(SyncLog(born=1_700_000_000).sync_key(1))) is None
    assert log.position("") is None


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_no_two_places_share_a_key_and_the_two_kinds_of_key_differ(one: int, other: int):
    log = SyncLog(born=1_700_000_000)
    keys = {log.sync_key(one), log.check_key(one), log.sync_key(other), log.check_key(other)}
    assert len(keys) == (2 if one == other else 4)


@given(KINDS, st.integers(1, 20))
def test_following_the_keys_brings_everything_once_and_in_order(kinds: list[Entry], most: int):
    log = filled(kinds)
    place, seen = 0, []
    while True:
        found = log.after(place, most)
        assert found.start == place
        assert found.more is (found.end < log.head)
        seen += [*found.messages, *found.changed, *found.deleted]
        place = found.end
        if not found.more:
            break
    assert sorted(seen, key=int) == [b"%d" % number for number in range(len(kinds))]
    assert log.selector(place) == 0


@given(KINDS, st.integers(0, 60), st.integers(1, 20))
def test_the_same_key_brings_the_same_again(kinds: list[Entry], place: int, most: int):
    log = filled(kinds)
    before = log.after(place, most)
    again = log.after(place, most)
    assert before == again


def test_the_selector_says_what_is_waiting():
    assert filled([Entry.PHONE]).selector(0) == 7
    assert filled([Entry.PHONE, Entry.CHANGED]).selector(0) == 4
    assert filled([Entry.CHANGED, Entry.MESSAGE]).selector(0) == 2
    assert filled([Entry.DELETED]).selector(0) == 6
    assert filled([]).selector(0) == 0

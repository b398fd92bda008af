"""The user names and secrets of a login, and the keys that name positions in its log (webwx 2.10, 2.11)."""

from __future__ import annotations

import random
import re

from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.simulator.session import EntryKind, SimulatedSession, SyncLog, sync_key_json, sync_key_text
from wx2mqtt.simulator.world import fresh_world


def a_session(seed: int = 1) -> SimulatedSession:
    return SimulatedSession(random.Random(seed), uin=7, desktop=False, base_host="wx.qq.com")


def test_names_have_wechats_forms_and_stay_within_the_login():
    session, world = a_session(), fresh_world()
    for contact in world:
        name = session.user_name(contact)
        assert name == session.user_name(contact)
        assert session.id_of(name) == contact.id
    assert session.user_name(world.find("filehelper")) == "filehelper"
    assert re.fullmatch("@@[0-9a-f]{64}", session.user_name(world.find("family")))
    assert re.fullmatch("@([0-9a-f]{32}|[0-9a-f]{64})", session.user_name(world.find("wife")))


def test_names_of_another_login_are_unknown():
    world = fresh_world()
    assert a_session(2).id_of(a_session(1).user_name(world.find("wife"))) is None


def test_both_names_of_a_group_lead_to_its_members():
    session, family = a_session(), fresh_world().group("family")
    assert session.is_known_room(session.room_id(family))
    assert session.room_id(family) == session.room_id(family)
    assert session.is_known_room(session.user_name(family))
    assert not session.is_known_room("@none")


def test_the_pass_ticket_needs_encoding_and_is_encoded_in_the_xml():
    session = a_session()
    assert "+" in session.pass_ticket
    assert "%2B" in session.pass_ticket_in_xml


def test_new_secrets_do_not_make_the_old_ones_unknown():
    session = a_session()
    skey, ticket = session.skey, session.data_ticket
    assert session.new_skey() != skey
    assert session.new_data_ticket() != ticket
    assert session.skeys == [skey, session.skey]
    assert [*session.data_tickets] == [ticket, session.data_ticket]


def test_a_login_ends_once_and_for_the_first_reason():
    session = a_session()
    session.end_with(1101)
    session.end_with(1100)
    assert session.ended_with == 1101


KINDS = st.lists(st.sampled_from([*EntryKind]), max_size=60)


def filled(kinds: list[EntryKind]) -> SyncLog:
    log = SyncLog(login_time=1_700_000_000)
    for number, kind in enumerate(kinds):
        log.append(kind, b"%d" % number)
    return log


def test_keys_are_written_in_both_forms():
    log = SyncLog(login_time=1_700_000_000)
    assert sync_key_text(log.sync_key(0)) == "1_840000000|2_840000000|3_839999956|1000_1700000000"
    assert sync_key_json(((1, 2),)) == b'{"Count": 1, "List": [{"Key": 1, "Val": 2}]}'


def test_only_keys_that_were_issued_are_known():
    log = filled([EntryKind.MESSAGE] * 3)
    text = sync_key_text(log.sync_key(2))
    assert log.position(text) == 2
    assert log.position(sync_key_text(SyncLog(login_time=1_700_000_000).sync_key(1))) is None
    assert log.position("") is None


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_no_two_places_share_a_key_and_the_two_kinds_of_key_differ(first: int, second: int):
    log = SyncLog(login_time=1_700_000_000)
    keys = {log.sync_key(first), log.check_key(first), log.sync_key(second), log.check_key(second)}
    assert len(keys) == (2 if first == second else 4)


@given(KINDS, st.integers(1, 20))
def test_following_the_keys_brings_everything_once_and_in_order(kinds: list[EntryKind], most: int):
    log = filled(kinds)
    place, seen = 0, []
    while True:
        found = log.slice_after(place, most)
        assert found.start == place
        assert found.more is (found.end < log.head)
        seen += [*found.messages, *found.changed, *found.deleted]
        place = found.end
        if not found.more:
            break
    assert sorted(seen, key=int) == [b"%d" % number for number in range(len(kinds))]
    assert log.selector(place) == 0


@given(KINDS, st.integers(0, 60), st.integers(1, 20))
def test_the_same_key_brings_the_same_again(kinds: list[EntryKind], place: int, most: int):
    log = filled(kinds)
    before = log.slice_after(place, most)
    again = log.slice_after(place, most)
    assert before == again


def test_the_selector_says_what_is_waiting():
    assert filled([EntryKind.PHONE]).selector(0) == 7
    assert filled([EntryKind.PHONE, EntryKind.CHANGED]).selector(0) == 4
    assert filled([EntryKind.CHANGED, EntryKind.MESSAGE]).selector(0) == 2
    assert filled([EntryKind.DELETED]).selector(0) == 6
    assert filled([]).selector(0) == 0

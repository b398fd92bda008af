"""The names and secrets of one login."""

from __future__ import annotations

import random
import re

from wx2mqtt.simulator.cast import fresh_world
from wx2mqtt.simulator.session import Session


def a_session(seed: int = 1) -> Session:
    return Session(random.Random(seed), uin=7, desktop=False, base="wx.qq.com")


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
    assert session.is_room(session.room_id(family))
    assert session.room_id(family) == session.room_id(family)
    assert session.is_room(session.user_name(family))
    assert not session.is_room("@none")


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
    session.end(1101)
    session.end(1100)
    assert session.over == 1101

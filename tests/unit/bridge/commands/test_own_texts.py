"""The bridge's own texts are commands with recognizable ids, and are published nowhere."""

from __future__ import annotations

import pytest

from wx2mqtt.bridge.commands.own_texts import OwnText, own_id, own_picture, own_text
from wx2mqtt.model import OWN_TEXT_ID_PREFIX, PersonId, is_own_text


def test_an_own_text_is_a_command_to_a_person_that_expires_and_has_no_reply_target():
    new = own_text(OwnText.REMINDER, "wife", PersonId(1), "write!", ttl=90.0)
    assert (new.command.user, new.command.text, new.person) == ("wife", "write!", PersonId(1))
    assert new.expires == new.accepted + 90_000
    assert new.replies == ()
    assert new.command.priority == "high", "it may use the reserved messages of a reply window"
    assert new.command_id.startswith(f"{OWN_TEXT_ID_PREFIX}reminder-")
    assert is_own_text(new.command_id)


def test_two_own_texts_have_different_ids_and_keys():
    first, second = (own_text(OwnText.DIGEST, "wife", None, "x", ttl=1.0) for _ in range(2))
    assert first.command_id != second.command_id
    assert first.fingerprint != second.fingerprint
    assert first.key != second.key


@pytest.mark.parametrize("purpose", OwnText)
def test_the_id_of_an_occasion_is_the_same_each_time_so_that_it_is_sent_once(purpose: OwnText):
    command_id = own_id(purpose, "17")
    assert command_id == own_id(purpose, "17") != own_id(purpose, "18")
    new = own_text(purpose, "wife", None, "x", ttl=1.0, command_id=command_id)
    assert (new.command_id, new.command.id, new.fingerprint) == (command_id,) * 3


def test_an_own_picture_has_a_file_name_and_no_text():
    new = own_picture(OwnText.RENEWAL, "wife", None, ttl=1.0)
    assert (new.command.kind, new.command.name, new.command.text) == ("image", "renewal.png", "")

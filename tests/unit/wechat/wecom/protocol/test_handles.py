"""People and groups by their ids, which stay the same in each login."""

from __future__ import annotations

import pytest

from wx2mqtt.model import ChatKind, Handle
from wx2mqtt.wechat.wecom.protocol.handles import contact_of, group_handle, is_group, person_handle


def test_a_person_is_called_by_their_userid_and_keeps_the_handle():
    contact = contact_of(person_handle("ZhangSan"))
    assert (contact.handle, contact.permanent_id) == (Handle("user:ZhangSan"), "user:ZhangSan")
    assert (contact.kind, contact.nickname) == (ChatKind.FRIEND, "ZhangSan")


def test_a_group_is_called_by_the_digest_of_its_chatid():
    contact = contact_of(group_handle("wrkSFfCgAAxyz"))
    assert (contact.kind, contact.permanent_id) == (ChatKind.GROUP, "group:wrkSFfCgAAxyz")
    assert contact.nickname == "group-ec18ac06"


@pytest.mark.parametrize("chat_id", ["x", "user:x", "group:x"])
def test_a_person_and_a_group_of_one_id_are_two(chat_id: str):
    person, group = contact_of(person_handle(chat_id)), contact_of(group_handle(chat_id))
    assert person.permanent_id != group.permanent_id
    assert (is_group(person.handle), is_group(group.handle)) == (False, True)

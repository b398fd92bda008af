"""The ids of the items of a message, and one key for a message under any id (ilink 4.5)."""

from __future__ import annotations

from typing import Any

from tests.support.cost import is_in_proportion
from tests.support.rows import every_row
from tests.unit.wechat.ilink.entries import (
    KEY24,
    WROTE,
    entry,
    file,
    image,
    media,
    text,
    video,
    voice,
)
from tests.unit.wechat.ilink.protocol.test_messages import messages_of, only, read
from wx2mqtt.model import Kind
from wx2mqtt.wechat.ilink.protocol.message_ids import read_id


@every_row(
    ("value", "message_id"),
    [(7_500_000_000_000_000_201, "7500000000000000201"), ("5", "5"), (0, ""), (None, ""), ([], "")],
)
def test_an_id_is_read_as_text_and_0_is_none(value: object, message_id: str) -> None:
    assert read_id({"message_id": value}, "message_id") == message_id


def test_every_item_of_a_message_is_one() -> None:
    result = messages_of(read(entry(text("one"), image(), text("one"))))
    assert [message.id for message in result] == [
        "7500000000000000101",
        "7500000000000000101.2",
        "7500000000000000101.3",
    ]
    assert [message.kind for message in result] == [Kind.TEXT, Kind.IMAGE, Kind.TEXT]
    assert len({message.key for message in result}) == 3


def test_numbers_above_two_to_the_53_stay_exact() -> None:
    for number in (2**53 + 1, 2**64 - 1, str(2**64 - 1)):
        assert only(entry(message_id=number)).id == str(number)


def test_without_a_number_of_its_own_it_has_that_of_its_item_or_its_key() -> None:
    assert only(entry(text(msg_id="77"), message_id=0)).id == "77"
    message = only(entry(message_id=None))
    assert message.id == message.key


def key(raw: dict[str, Any]) -> str:
    return only(raw).key


REDELIVERED: dict[str, Any] = {
    "message_id": 1,
    "seq": 99,
    "context_token": "AARzSECRET2",
    "update_time_ms": 5,
    "session_id": "x",
}


@every_row("item", [text(), image(), voice(), file(), video()])
def test_a_message_that_comes_again_under_a_new_id_has_its_old_key(item: dict[str, Any]) -> None:
    assert key(entry(item)) == key(entry(item, **REDELIVERED))


def test_the_address_of_bytes_may_be_another_when_it_comes_again() -> None:
    again = media(full_url="https://novac2c.cdn.weixin.qq.com/c2c/download?other", encrypt_query_param="P2")
    assert key(entry(image())) == key(entry(image(media=again), **REDELIVERED))


@every_row(
    "changes",
    [
        {"create_time_ms": WROTE + 1},
        {"from_user_id": "o9cq80other@im.wechat"},
        {"item_list": [text("heating off")]},
        {"item_list": [text("heating on", ref_msg={"svr_id": 5})]},
        {"item_list": [text(), text()]},
    ],
)
def test_another_message_has_another_key(changes: dict[str, Any]) -> None:
    assert key(entry()) not in {message.key for message in messages_of(read(entry(**changes)))}


def test_keys_are_the_same_in_every_version() -> None:
    assert [message.key for message in messages_of(read(entry(text("one"), image(), text("一"))))] == [
        "15c7629fea7d711e409994ae6eaf3cfc2bcc3420",
        "6a7791511b28fb1c0b09c6f809a49f42472590ab",
        "b0959cd48405853b07672e02ed4405e08a5a646e",
    ]


def test_many_items_in_a_message_cost_in_proportion() -> None:
    assert is_in_proportion(lambda size: read(entry(*[text("")] * size)), 4000)


def test_two_pictures_at_once_have_two_keys() -> None:
    other = media(aes_key=KEY24)
    assert key(entry(image())) != key(entry(image(media=other)))


def test_without_a_time_the_id_distinguishes_messages() -> None:
    assert key(entry(create_time_ms=0)) != key(entry(create_time_ms=0, number=5))
    assert key(entry(create_time_ms=0)) == key(entry(create_time_ms=0))

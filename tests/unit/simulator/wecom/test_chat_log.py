"""What people see of a chat, and what bots sent."""

from __future__ import annotations

from dataclasses import replace

from wx2mqtt.simulator.wecom.cards import Card, CardButton
from wx2mqtt.simulator.wecom.chat_log import ChatLine, ChatLog

LINE = ChatLine(n=0, bot_id="b", chat="me", sender="bot", kind="text", text="hi", msg_id="1", time=0.0)
CARD = Card(
    card_type="button_interaction", task_id="t", title="T", body="", buttons=(CardButton(text="Y", key="y"),)
)


def test_a_line_that_changes_gets_the_next_number_and_stays_one():
    log = ChatLog()
    log.show(LINE)
    log.show(replace(LINE, msg_id="2"))
    log.show(replace(LINE, text="hi there"))
    assert [(line.n, line.msg_id, line.text) for line in log.lines] == [(2, "2", "hi"), (3, "1", "hi there")]


def test_the_newest_card_of_a_chat_is_found():
    log = ChatLog()
    log.show(replace(LINE, card=CARD))
    log.show(replace(LINE, msg_id="2", chat="family", card=replace(CARD, task_id="u")))
    log.show(replace(LINE, msg_id="3"))
    found = [
        log.find_card("b", task_id, chat) for task_id, chat in (("", ""), ("t", ""), ("", "me"), ("u", "me"))
    ]
    assert [line and line.msg_id for line in found] == ["2", "1", "1", None]
    assert log.find_card("another", "") is None

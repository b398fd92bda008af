"""Answers to callbacks: to a message, to the opening of a chat, to a press (wecom 5.5, 5.6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wx2mqtt.simulator.wecom import codes
from wx2mqtt.simulator.wecom.bot import Bot, Callback, Expects
from wx2mqtt.simulator.wecom.cards import read_card
from wx2mqtt.simulator.wecom.codes import BAD_PARAMETER, BAD_REQ_ID, STREAM_EXPIRED, Refused
from wx2mqtt.simulator.wecom.commands import Call, Fields
from wx2mqtt.simulator.wecom.content import Content, card_text, check_text, read_content
from wx2mqtt.simulator.wecom.send import require_rate, show
from wx2mqtt.simulator.wecom.shown_text import shown_text

_DAY = 86_400.0


def _callback(call: Call, bot: Bot, expects: Expects) -> Callback:
    """Returns the callback of the `req_id`; raises `Refused` where it is not this command's to answer."""
    callback = bot.callbacks.get(call.req_id)
    if callback is None:
        raise Refused(BAD_REQ_ID, "req_id is that of no callback")
    if callback.connection is not call.connection:
        raise Refused(BAD_REQ_ID, "req_id is that of an older connection")
    if callback.expects is not expects:
        raise Refused(BAD_REQ_ID, f"req_id is that of a callback which {expects} does not answer")
    return callback


# To a message


async def respond_msg(call: Call) -> None:
    """Answers a message: at once, or by frames of a stream that replace each other until one is the last."""
    bot = call.bot
    callback = _callback(call, bot, Expects.RESPOND)
    if callback.finished or callback.msgid in bot.answered:
        raise Refused(BAD_REQ_ID, "a second finished answer to one message")
    if call.wecom.clock.now() - callback.sent_at > _DAY:
        raise Refused(BAD_REQ_ID)
    with _one_at_a_time(call, callback):
        if call.body.get("msgtype") == "stream":
            _stream(call, bot, callback)
        else:
            content = read_content(call, bot)
            require_rate(call, bot, callback.chat)
            _finish(bot, callback)
            show(call, bot, callback.chat, content, command="respond", callback=callback)


@contextmanager
def _one_at_a_time(call: Call, callback: Callback) -> Iterator[None]:
    if callback.sending:
        call.record_oddity("an answer before the one before it was acknowledged")
    callback.sending += 1
    try:
        yield
    finally:
        callback.sending -= 1


def _finish(bot: Bot, callback: Callback) -> None:
    callback.finished = True
    bot.answered.add(callback.msgid)


def _stream(call: Call, bot: Bot, callback: Callback) -> None:
    part = call.body.get("stream")
    if not isinstance(part, dict):
        raise Refused(BAD_PARAMETER, "stream is no object")
    if "msg_item" in part or "template_card" in call.body:
        raise Refused(
            BAD_PARAMETER, "a stream with pictures or a card, which the long connection does not take"
        )
    stream_id, finish = call.text("id", of=part), part.get("finish")
    if type(finish) is not bool:
        raise Refused(BAD_PARAMETER, "stream.finish is not true or false")
    _require_stream_time(call, callback, stream_id)
    content = _stream_content(call, part)
    if content is None:
        return
    if not callback.line_id:
        require_rate(call, bot, callback.chat)
    callback.line_id = show(
        call,
        bot,
        callback.chat,
        content,
        command="respond",
        callback=callback,
        msg_id=callback.line_id,
        finished=finish,
    )
    if finish:
        _finish(bot, callback)


def _require_stream_time(call: Call, callback: Callback, stream_id: str) -> None:
    now = call.wecom.clock.now()
    if not callback.stream_id:
        callback.stream_id, callback.stream_began_at = stream_id, now
    if callback.stream_id != stream_id:
        raise Refused(BAD_REQ_ID, "another stream.id than the first frame of this answer")
    if now - callback.stream_began_at > call.wecom.settings.stream_seconds:
        raise Refused(STREAM_EXPIRED)


def _stream_content(call: Call, part: Fields) -> Content | None:
    """Returns the text of a frame; None for a blank one, which is ignored."""
    text = call.text("content", of=part, required=False)
    if not text.strip():
        call.record_violation("the content of a stream is blank")
        return None
    check_text(call, text)
    return Content(kind="markdown", text=text, shown=shown_text(text))


# To an event


def _require_event_time(call: Call, callback: Callback) -> None:
    """Raises `Refused` where the answer is the second one, or comes after five seconds."""
    if callback.finished:
        raise Refused(BAD_REQ_ID, "a second answer to one event")
    if call.wecom.clock.now() - callback.sent_at > call.wecom.settings.event_seconds:
        raise Refused(BAD_REQ_ID)


async def respond_welcome(call: Call) -> None:
    """Greets a person who has opened the chat: with a text or a card."""
    bot = call.bot
    callback = _callback(call, bot, Expects.WELCOME)
    _require_event_time(call, callback)
    content = _greeting(call) if call.body.get("msgtype") == "text" else read_content(call, bot)
    if content.kind not in ("text", "template_card"):
        raise Refused(codes.BAD_MESSAGE_TYPE, "a welcome is a text or a card")
    require_rate(call, bot, callback.chat)
    callback.finished = True
    show(call, bot, callback.chat, content, command="welcome", callback=callback)


def _greeting(call: Call) -> Content:
    part = call.body.get("text")
    if not isinstance(part, dict):
        raise Refused(BAD_PARAMETER, "text is no object")
    text = call.text("content", of=part, required=False)
    check_text(call, text)
    return Content(kind="text", text=text, shown=text)


async def respond_update(call: Call) -> None:
    """Replaces the card on which somebody has pressed."""
    bot = call.bot
    callback = _callback(call, bot, Expects.UPDATE)
    _require_event_time(call, callback)
    if call.body.get("response_type") != "update_template_card":
        raise Refused(BAD_PARAMETER, "response_type is not update_template_card")
    card = read_card(call.body.get("template_card"), is_update=True)
    if card.task_id != callback.task_id:
        raise Refused(BAD_PARAMETER, "task_id is not that of the pressed card")
    for oddity in card.oddities:
        call.record_oddity(oddity)
    callback.finished = True
    line = call.wecom.chats.find_card(bot.bot_id, card.task_id)
    text = card_text(card)
    content = Content(kind="template_card", text=text, shown=text, card=card)
    show(
        call,
        bot,
        callback.chat,
        content,
        command="update",
        callback=callback,
        msg_id=line.msg_id if line else "",
    )

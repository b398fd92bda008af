"""Sending: sendmessage, with the checks of the servers in their sequence (ilink 6, 10, 12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wx2mqtt.simulator.http_messages import SimulatedAnswer
from wx2mqtt.simulator.ilink import answers, checks, sent_items
from wx2mqtt.simulator.ilink.bot import Bot
from wx2mqtt.simulator.ilink.chat_log import BotMessage
from wx2mqtt.simulator.ilink.checks import Call, Fields
from wx2mqtt.simulator.ilink.sent_items import BadItem, SentItem

PREPARE_FAILED = "prepare failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """A message whose fields are valid."""

    client_id: str
    context_token: str
    item: SentItem


async def sendmessage(call: Call) -> SimulatedAnswer:
    """Accepts or refuses a message of a bot."""
    bot, fields = checks.authenticated(call)
    message = _read_message(call, bot, fields)
    _require_text_limit(call, message.item)
    if bot.person in call.ilink.muted:
        return _record_message(call, bot, message, delivered=False, confirmed=False)
    first = bot.client_ids.get(message.client_id)
    if first is not None and call.ilink.settings.drop_repeats:
        return _repeat_answer(call, bot, message, first)
    errmsg = _refusal_message(call, bot, message)
    if errmsg is not None:
        return _refusal_answer(call, errmsg)
    bot.replies += 1
    return _record_message(call, bot, message, delivered=message.item.visible, confirmed=True)


# Reading the message


def _read_message(call: Call, bot: Bot, fields: Fields) -> _Message:
    msg = fields.get("msg")
    if not isinstance(msg, dict):
        raise call.invalid_argument("msg is missing")
    checks.require_person(call, bot, msg.get("to_user_id"))
    if msg.get("from_user_id") != "":
        call.record_oddity("from_user_id is not the empty text")
    if msg.get("message_type") != 2:
        raise call.invalid_argument("message_type is not 2")
    if msg.get("message_state") != 2:
        call.record_oddity("message_state is not 2")
    for name in sorted(msg.keys() - _KNOWN_FIELDS):
        call.record_oddity(f"msg.{name} is not known")
    return _Message(
        client_id=_text_field(call, msg, "client_id"),
        context_token=_text_field(call, msg, "context_token", required=False),
        item=_read_item(call, bot, msg),
    )


_KNOWN_FIELDS = {
    *("from_user_id", "to_user_id", "client_id", "message_type", "message_state"),
    *("item_list", "context_token", "run_id"),
}


def _text_field(call: Call, msg: Fields, name: str, *, required: bool = True) -> str:
    value = msg.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or not value:
        raise call.invalid_argument(f"{name} is no text")
    return value


def _read_item(call: Call, bot: Bot, msg: Fields) -> SentItem:
    item_list = msg.get("item_list")
    if not isinstance(item_list, list) or len(item_list) != 1:
        raise call.invalid_argument("item_list has not exactly one item")
    try:
        return sent_items.read_item(item_list[0], call.ilink.storage, bot.person)
    except BadItem as error:
        raise call.invalid_argument(str(error)) from None


def _require_text_limit(call: Call, item: SentItem) -> None:
    if item.kind == "text" and len(item.text.encode()) > call.ilink.settings.text_limit:
        raise call.refusal(_refusal_answer(call, ""), "the text is longer than the servers take")


# Reasons for a refusal


def _refusal_message(call: Call, bot: Bot, message: _Message) -> str | None:
    """Returns the `errmsg` of a refusal; None when the message is accepted."""
    ilink = call.ilink
    settings = call.ilink.settings
    if not bot.is_window_open(ilink.clock.now(), settings.window_hours):
        return PREPARE_FAILED
    if bot.replies >= settings.quota:
        return ""
    if ilink.sends.is_exhausted(settings.rate_limit):
        return settings.rate_words
    if (errmsg := _token_refusal_message(call, bot, message)) is not None:
        return errmsg
    if message.item.failure:
        call.record_violation(message.item.failure)
        return PREPARE_FAILED
    if message.item.violation:
        call.record_violation(message.item.violation)
    for oddity in message.item.oddities:
        call.record_oddity(oddity)
    return None


def _token_refusal_message(call: Call, bot: Bot, message: _Message) -> str | None:
    settings = call.ilink.settings
    token = message.context_token
    if not token:
        call.record_oddity("no context_token")
        return PREPARE_FAILED if settings.need_token else None
    if token not in bot.context_tokens:
        call.record_violation("context_token is none of this bot")
        return "unknown error"
    if token != bot.context_tokens[-1]:
        call.record_oddity("context_token is not the newest")
    return settings.refuse_tokens or None


def _refusal_answer(call: Call, errmsg: str) -> SimulatedAnswer:
    code = answers.error_code_fields(-2, call.ilink.settings.code_in)
    return answers.json(**code, **({"errmsg": errmsg} if errmsg else {}))


# The accepted message


def _repeat_answer(call: Call, bot: Bot, message: _Message, first: BotMessage) -> SimulatedAnswer:
    if (first.kind, first.text, first.sha256) != (message.item.kind, message.item.text, message.item.sha256):
        call.record_violation("client_id is that of another message")
    return _record_message(call, bot, message, delivered=False, confirmed=first.confirmed, first=first)


def _record_message(
    call: Call,
    bot: Bot,
    message: _Message,
    *,
    delivered: bool,
    confirmed: bool,
    first: BotMessage | None = None,
) -> SimulatedAnswer:
    ilink = call.ilink
    answer = ilink.settings.answer if confirmed else "ret"
    repeat = message.client_id in bot.client_ids
    msg_id = first.msg_id if first else str(ilink.ids.next())
    sent = BotMessage(
        n=len(ilink.chats.sent) + 1,
        person=bot.person,
        bot_id=bot.bot_id,
        kind=message.item.kind,
        text=message.item.text,
        client_id=message.client_id,
        msg_id=msg_id,
        token=_token_age(bot, message.context_token),
        time=ilink.clock.now(),
        repeat=repeat,
        delivered=delivered,
        confirmed=answer in ("id", "only_id"),
        media=message.item.media,
        sha256=message.item.sha256,
    )
    bot.record_client_id(message.client_id, sent)
    if delivered:
        _show_on_phone(call, bot, message.item, sent)
    ilink.chats.record_sent(sent)
    ilink.notify_changed()
    return _success_answer(answer, msg_id)


def _token_age(bot: Bot, token: str) -> Literal["newest", "older", "none"]:
    if not token:
        return "none"
    return "newest" if bot.context_tokens[-1:] == [token] else "older"


def _show_on_phone(call: Call, bot: Bot, item: SentItem, sent: BotMessage) -> None:
    bot.typing = False
    call.ilink.chats.show(
        person=bot.person,
        by="bot",
        kind=item.kind,
        text=item.text,
        msg_id=sent.msg_id,
        time=sent.time,
        media=item.media,
    )
    call.ilink.attachments.record_sent_item(sent.msg_id, item.raw)
    if item.content is not None:
        call.ilink.attachments.put(sent.msg_id, item.content)


def _success_answer(answer: str, msg_id: str) -> SimulatedAnswer:
    if answer == "empty":
        return answers.empty_body()
    if answer == "object":
        return answers.json()
    fields: Fields = {} if answer == "only_id" else {"ret": 0}
    if answer != "ret":
        fields["message_id"] = int(msg_id)
    return answers.json(**fields)

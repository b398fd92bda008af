"""`aibot_send_msg`: a bot writes to a person or a group unasked (wecom 5.1 to 5.3)."""

from __future__ import annotations

from wx2mqtt.simulator.wecom import codes, people
from wx2mqtt.simulator.wecom.bot import Bot, Callback
from wx2mqtt.simulator.wecom.chat_log import ChatLine, Command, SentMessage
from wx2mqtt.simulator.wecom.codes import Refused
from wx2mqtt.simulator.wecom.commands import Call
from wx2mqtt.simulator.wecom.content import Content, read_content
from wx2mqtt.simulator.world import WorldContact, WorldGroup

_PERSON, _GROUP = 1, 2
_FIELDS = {"chatid", "chat_type", "msgtype", "markdown", "template_card", "image", "voice", "file", "video"}


async def send_msg(call: Call) -> None:
    """Checks form, chat and rate, in this order, and shows the message to people."""
    bot = call.bot
    chat = _chat(call, bot)
    content = read_content(call, bot)
    for name in sorted(call.body.keys() - _FIELDS):
        call.record_oddity(f"body.{name} is not known")
    if content.card and isinstance(chat, WorldGroup):
        call.record_oddity("a card to a group")
    require_rate(call, bot, chat.id)
    show(call, bot, chat.id, content, command="send")


def _chat(call: Call, bot: Bot) -> WorldContact:
    """Returns the person or the group that is meant.

    A userid or chatid that does not exist, or belongs to somebody whom the bot cannot reach, is no violation:
    a program gets them from people.
    """
    handle = call.text("chatid")
    chat_type = call.body.get("chat_type", 0)
    if chat_type not in (0, _PERSON, _GROUP) or isinstance(chat_type, bool):
        raise Refused(codes.BAD_PARAMETER, "chat_type is not 1 or 2")
    if not chat_type:
        call.record_oddity("no chat_type, so that the gateway must guess")
    group = people.find_group(call.wecom.world, handle) if chat_type != _PERSON else None
    person = people.find_person(call.wecom.world, handle) if chat_type != _GROUP else None
    chat = group or person
    if chat is None:
        raise Refused(codes.BAD_CHATID)
    if group is not None and group.id not in bot.groups:
        raise Refused(codes.NOT_IN_GROUP)
    if call.wecom.settings.needs_first_message and chat.id not in bot.written:
        raise Refused(codes.PUSH_NOT_ALLOWED)
    return chat


def require_rate(call: Call, bot: Bot, chat: str) -> None:
    """Counts a message to a chat; raises `Refused` when there were too many."""
    wecom = call.wecom
    limits = (wecom.settings.minute_limit, wecom.settings.hour_limit)
    if not bot.chat_rates[chat].take(wecom.clock.now(), *limits):
        raise Refused(codes.TOO_OFTEN)


def show(
    call: Call,
    bot: Bot,
    chat: str,
    content: Content,
    *,
    command: Command,
    callback: Callback | None = None,
    msg_id: str = "",
    finished: bool = True,
) -> str:
    """Records a message and shows it on the phones; returns its id, which is new without `msg_id`."""
    wecom = call.wecom
    msg_id = msg_id or wecom.chats.new_id()
    now = wecom.clock.now()
    wecom.chats.record_sent(
        SentMessage(
            n=0,
            bot_id=bot.bot_id,
            chat=chat,
            command=command,
            kind=content.kind,
            text=content.text,
            shown=content.shown,
            msg_id=msg_id,
            time=now,
            answers=callback.msgid if callback else "",
            finished=finished,
            media=content.media,
            sha256=content.file.sha256 if content.file else "",
            card=content.card,
        )
    )
    if content.file:
        wecom.files.keep(msg_id, content.file, [])
    wecom.chats.show(
        ChatLine(
            n=0,
            bot_id=bot.bot_id,
            chat=chat,
            sender="bot",
            kind="text" if content.kind == "markdown" else content.kind,
            text=content.shown,
            msg_id=msg_id,
            time=now,
            media=content.media,
            card=content.card,
        )
    )
    wecom.notify_changed()
    return msg_id

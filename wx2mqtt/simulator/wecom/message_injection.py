"""What people do in a chat with a bot: they write, open the chat, press a button, rate an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wx2mqtt.simulator.media import ByteSource, FileDescription
from wx2mqtt.simulator.wecom import callbacks, message_kinds
from wx2mqtt.simulator.wecom.bot import Bot, Expects
from wx2mqtt.simulator.wecom.cards import Card
from wx2mqtt.simulator.wecom.chat_log import ChatLine
from wx2mqtt.simulator.wecom.message_kinds import BadDetail, BuiltMessage, MessageRequest
from wx2mqtt.simulator.wecom.people import is_staff
from wx2mqtt.simulator.wecom.simulated_wecom import SimulatedWeCom
from wx2mqtt.simulator.world import WorldContact

Fields = dict[str, object]


class CannotSend(ValueError):
    """The person cannot do this in that chat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageOrder:
    """Messages to inject. `sender` and `group` are ids of the world; without a group it is their own chat.

    - `count`: when it is above 1, `{n}` in the text is the number of the message, from 1
    - `detail`: values for the kind
    - `raw`: overrides fields of the finished body, and with null removes them
    - `data`: the bytes of a file; `bytes_of` generates that many, different for each message
    """

    sender: str
    group: str = ""
    text: str = ""
    kind: str = "text"
    count: int = 1
    detail: Mapping[str, object] = field(default_factory=dict)
    raw: Fields = field(default_factory=dict)
    data: ByteSource | None = None
    bytes_of: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """The ids of the messages, and how many of them went to a program."""

    msg_ids: list[str]
    delivered: int


def inject(wecom: SimulatedWeCom, bot: Bot, order: MessageOrder) -> Injected:
    """Writes messages to a bot; raises `CannotSend`, `UnknownKind`, `BadDetail` and `UnknownPerson`."""
    chat = find_chat(wecom, bot, order.sender, order.group)
    if order.group and order.kind in message_kinds.SINGLE_ONLY:
        raise CannotSend(f"a group brings no {order.kind} to a bot")
    ids: list[str] = []
    delivered = 0
    for number in range(1, order.count + 1):
        msg_id, was_delivered = _inject_one(wecom, bot, chat, order, number)
        ids.append(msg_id)
        delivered += was_delivered
    wecom.notify_changed()
    return Injected(msg_ids=ids, delivered=delivered)


def find_chat(wecom: SimulatedWeCom, bot: Bot, sender: str, group: str) -> WorldContact:
    """Returns the group, or the person for their own chat; raises `CannotSend` and `UnknownPerson`."""
    person = wecom.world.person(sender)
    if not is_staff(person):
        raise CannotSend(f"{sender} is not in the enterprise")
    if not group:
        return person
    found = wecom.world.group(group)
    if sender not in found.members:
        raise CannotSend(f"{sender} is not in {group}")
    if group not in bot.groups:
        raise CannotSend(f"the bot is not in {group}")
    return found


def _inject_one(
    wecom: SimulatedWeCom, bot: Bot, chat: WorldContact, order: MessageOrder, number: int
) -> tuple[str, bool]:
    body = callbacks.message_body(wecom, bot, chat, order.sender)
    msg_id = str(body["msgid"])
    request = MessageRequest(
        wecom=wecom,
        bot=bot,
        chat=chat,
        kind=order.kind,
        text=order.text.replace("{n}", str(number)) if order.count > 1 else order.text,
        seed=msg_id,
        address=bot.address,
        detail=order.detail,
        content=_content(order, msg_id),
    )
    built = message_kinds.build(request)
    body |= built.fields | order.raw
    body = {name: value for name, value in body.items() if order.raw.get(name, value) is not None}
    delivered = False
    if not callbacks.is_blocked(wecom, bot, chat.id):
        delivered = callbacks.deliver(wecom, bot, body, chat=chat.id, expects=Expects.RESPOND)
    bot.written.add(chat.id)
    _show(wecom, bot, chat, order, request, built, is_lost=not delivered)
    return msg_id, delivered


def _content(order: MessageOrder, seed: str) -> ByteSource | None:
    has_bytes = order.kind in message_kinds.FILE_KINDS or order.kind == "mixed"
    if not has_bytes and (order.data is not None or order.bytes_of is not None):
        raise BadDetail(f"a message of kind {order.kind} brings no bytes")
    if order.bytes_of is None:
        return order.data
    kind = "image" if order.kind == "mixed" else order.kind
    return message_kinds.sample_file(kind, seed, order.bytes_of)


def _show(
    wecom: SimulatedWeCom,
    bot: Bot,
    chat: WorldContact,
    order: MessageOrder,
    request: MessageRequest,
    built: BuiltMessage,
    *,
    is_lost: bool,
) -> None:
    media = None
    if built.file is not None:
        media = FileDescription(name=built.name, size=built.file.size, mime=built.file.mime)
        wecom.files.keep(request.seed, built.file, [*built.paths])
    line = ChatLine(
        n=0,
        bot_id=bot.bot_id,
        chat=chat.id,
        sender=order.sender,
        kind="text" if order.kind == "quote" else order.kind,
        text=built.text,
        msg_id=request.seed,
        time=wecom.clock.now(),
        quoted=built.quoted,
        lost=is_lost and wecom.settings.offline == "lost",
        media=media,
    )
    wecom.chats.show(line)


# Events


def enter(wecom: SimulatedWeCom, bot: Bot, person: str) -> bool:
    """A person opens their chat for the first time that day; returns whether a program was told."""
    chat = find_chat(wecom, bot, person, "")
    bot.entered.add(chat.id)
    body = callbacks.event_body(wecom, bot, {"eventtype": "enter_chat"}, chat=chat, sender=person)
    return callbacks.deliver(wecom, bot, body, chat=chat.id, expects=Expects.WELCOME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A press: who, on which card (empty: the newest), which key (empty: the first button), what is chosen.

    `chosen` has the keys of options.
    """

    person: str
    group: str = ""
    task_id: str = ""
    key: str = ""
    chosen: tuple[str, ...] = ()


def press(wecom: SimulatedWeCom, bot: Bot, order: Press) -> bool:
    """Presses a button of a card; returns whether a program was told. Raises `CannotSend`."""
    chat = find_chat(wecom, bot, order.person, order.group)
    line = wecom.chats.find_card(bot.bot_id, order.task_id, chat.id)
    if line is None or line.card is None or not line.card.buttons:
        raise CannotSend("there is no such card in that chat")
    card = line.card
    button = next((one for one in card.buttons if order.key in ("", one.key)), None)
    if button is None:
        raise CannotSend(f"the card has no button {order.key!r}; it has {[one.key for one in card.buttons]}")
    details = {
        "card_type": card.card_type,
        "event_key": button.key,
        "task_id": card.task_id,
        **_selected(card, order.chosen),
    }
    event: Fields = {"eventtype": "template_card_event", "template_card_event": details}
    body = callbacks.event_body(wecom, bot, event, chat=chat, sender=order.person)
    return callbacks.deliver(wecom, bot, body, chat=chat.id, expects=Expects.UPDATE, task_id=card.task_id)


def _selected(card: Card, chosen: tuple[str, ...]) -> Fields:
    known = {option.key: option.question for option in card.options}
    if unknown := [key for key in chosen if key not in known]:
        raise CannotSend(f"the card has no option {unknown[0]!r}")
    by_question: dict[str, list[str]] = {}
    for key in chosen:
        by_question.setdefault(known[key], []).append(key)
    if not by_question:
        return {}
    items = [
        {"question_key": question, "option_ids": {"option_id": keys}}
        for question, keys in by_question.items()
    ]
    return {"selected_items": {"selected_item": items}}


def feedback(wecom: SimulatedWeCom, bot: Bot, person: str, values: Fields) -> bool:
    """A person rates an answer; returns whether a program was told."""
    chat = find_chat(wecom, bot, person, "")
    details: Fields = {"id": "feedback-1", "type": 1, "content": "", "inaccurate_reason_list": [], **values}
    event: Fields = {"eventtype": "feedback_event", "feedback_event": details}
    body = callbacks.event_body(wecom, bot, event, chat=chat, sender=person)
    return callbacks.deliver(wecom, bot, body, chat=chat.id, expects=Expects.NOTHING)


def other_event(wecom: SimulatedWeCom, bot: Bot, person: str, event: Fields) -> bool:
    """Sends an event as it is given; returns whether a program was told."""
    chat = find_chat(wecom, bot, person, "")
    body = callbacks.event_body(wecom, bot, event, chat=chat, sender=person)
    return callbacks.deliver(wecom, bot, body, chat=chat.id, expects=Expects.NOTHING)


def redeliver(wecom: SimulatedWeCom, bot: Bot, msg_id: str) -> bool:
    """Sends a callback again under another `req_id`, the newest one if `msg_id` is empty."""
    body = bot.bodies.get(msg_id) if msg_id else next(reversed(bot.bodies.values()), None)
    if body is None:
        raise CannotSend("there is no such message")
    first = next(one for one in reversed(bot.callbacks.values()) if one.msgid == body["msgid"])
    return callbacks.deliver(wecom, bot, body, chat=first.chat, expects=first.expects, task_id=first.task_id)

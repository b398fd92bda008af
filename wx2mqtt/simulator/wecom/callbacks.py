"""What the gateway sends to a program unasked: callbacks of messages and events (wecom 4)."""

from __future__ import annotations

from wx2mqtt.simulator.wecom import events
from wx2mqtt.simulator.wecom.bot import Bot, Callback, Expects
from wx2mqtt.simulator.wecom.people import chatid_of, userid_of
from wx2mqtt.simulator.wecom.simulated_wecom import SimulatedWeCom
from wx2mqtt.simulator.world import WorldContact, WorldGroup

Fields = dict[str, object]

UNANSWERED_SECONDS = 360.0
"""For so long a message without a finished answer counts for the setting `unanswered_limit` (wecom 4.7)."""


def message_body(wecom: SimulatedWeCom, bot: Bot, chat: WorldContact, sender: str) -> Fields:
    """Returns the fields that every message has (wecom 4.1); some have two more."""
    body: Fields = {"msgid": events.new_msgid(wecom.rng), "aibotid": bot.bot_id, **_chat_fields(chat)}
    body["from"] = {"userid": userid_of(sender)}
    if wecom.rng.random() < 0.5:
        body["create_time"] = int(wecom.clock.now())
        body["response_url"] = "https://qyapi.weixin.qq.com/cgi-bin/aibot/response?response_code=SIMULATED"
    return body


def _chat_fields(chat: WorldContact) -> Fields:
    if isinstance(chat, WorldGroup):
        return {"chatid": chatid_of(chat.id), "chattype": "group"}
    return {"chattype": "single"}


def event_body(wecom: SimulatedWeCom, bot: Bot, event: Fields, *, chat: WorldContact, sender: str) -> Fields:
    """Returns the body of an event (wecom 4.5); `event` has its `eventtype`."""
    body = events.event_fields(wecom.rng, bot.bot_id, event, wecom.clock.now())
    body["from"] = {"corpid": "wwSimulated", "userid": userid_of(sender)}
    return body | _chat_fields(chat)


def deliver(
    wecom: SimulatedWeCom, bot: Bot, body: Fields, *, chat: str, expects: Expects, task_id: str = ""
) -> bool:
    """Sends a callback to the program of a bot; returns whether one was connected.

    Else it is lost, or kept until one subscribes, as the setting `offline` says.
    """
    parts: Fields = {"body": body, "chat": chat, "expects": expects, "task_id": task_id}
    if not bot.is_online:
        if wecom.settings.offline == "kept":
            bot.waiting.append(parts)
        return False
    for _ in range(2 if wecom.settings.repeat_callbacks else 1):
        _send(wecom, bot, parts)
    return True


def deliver_waiting(wecom: SimulatedWeCom, bot: Bot) -> None:
    """Sends what was kept for a program."""
    waiting, bot.waiting = bot.waiting, []
    for parts in waiting:
        _send(wecom, bot, parts)


def _send(wecom: SimulatedWeCom, bot: Bot, parts: Fields) -> None:
    connection = bot.connection
    assert connection is not None
    body, expects = parts["body"], Expects(str(parts["expects"]))
    assert isinstance(body, dict)
    callback = Callback(
        req_id=events.new_req_id(wecom.rng),
        msgid=str(body.get("msgid", "")),
        expects=expects,
        connection=connection,
        chat=str(parts["chat"]),
        sent_at=wecom.clock.now(),
        task_id=str(parts["task_id"]),
    )
    bot.add_callback(callback, body)
    connection.post(events.callback_frame(callback.req_id, body))


def is_blocked(wecom: SimulatedWeCom, bot: Bot, chat: str) -> bool:
    """Returns whether a person has too many messages without an answer, if the settings limit them."""
    limit = wecom.settings.unanswered_limit
    return bool(limit) and bot.unanswered(chat, wecom.clock.now() - UNANSWERED_SECONDS) >= limit

"""Receiving (getupdates, notifystart, notifystop; ilink 4) and typing (getconfig, sendtyping; ilink 7)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from wx2mqtt.simulator import messages
from wx2mqtt.simulator.http_messages import SimulatedAnswer
from wx2mqtt.simulator.ilink import answers, checks, message_injection
from wx2mqtt.simulator.ilink.answers import JSON, Refusal
from wx2mqtt.simulator.ilink.bot import Bot
from wx2mqtt.simulator.ilink.checks import Call
from wx2mqtt.simulator.ilink.settings import Frequency

_TYPING, _NOT_TYPING = 1, 2
_BUSY_LOOP_SECONDS = 1.0


async def getconfig(call: Call) -> SimulatedAnswer:
    """Returns the typing ticket; it exists only after the person has written."""
    bot, fields = checks.authenticated(call)
    checks.require_person(call, bot, fields.get("ilink_user_id"))
    token = fields.get("context_token")
    if token is not None and token not in bot.context_tokens:
        call.record_oddity("context_token is none of this bot")
    if bot.last_message_at is None:
        return answers.json(ret=-4, errmsg="GetTypingTicket rpc failed")
    return answers.json(ret=0, typing_ticket=bot.typing_ticket)


async def sendtyping(call: Call) -> SimulatedAnswer:
    """Shows or hides the typing indicator on the phone."""
    bot, fields = checks.authenticated(call)
    checks.require_person(call, bot, fields.get("ilink_user_id"))
    if fields.get("typing_ticket") != bot.typing_ticket:
        raise call.invalid_argument("typing_ticket is not this bot's")
    if fields.get("status") not in (_TYPING, _NOT_TYPING):
        raise call.invalid_argument("status is not 1 or 2")
    bot.typing = fields["status"] == _TYPING
    call.ilink.notify_changed()
    return answers.json(ret=0)


async def notifystart(call: Call) -> SimulatedAnswer:
    """The program reports that it runs (ilink 4.7)."""
    bot, _ = checks.authenticated(call)
    bot.started = True
    call.ilink.notify_changed()
    return answers.json(ret=0)


async def notifystop(call: Call) -> SimulatedAnswer:
    """The program reports that it stops."""
    bot, _ = checks.authenticated(call)
    bot.started = False
    call.ilink.notify_changed()
    return answers.json(ret=0)


async def getupdates(call: Call) -> SimulatedAnswer:
    """Long poll: waits for messages after the cursor (ilink 4.2 to 4.4)."""
    bot, fields = checks.authenticated(call)
    if call.ilink.settings.refuse_polls:
        return checks.session_timeout(call)
    _require_poll_rate(call, bot)
    position = _position(call, bot, fields)
    settings = call.ilink.settings
    with _single_poll(call, bot):
        bot.acknowledge(position)
        call.ilink.notify_changed()
        has_news = await bot.changes.wait_for(
            lambda: not bot.alive or settings.refuse_polls or bot.head > position, settings.hold_updates
        )
    if not bot.alive or settings.refuse_polls:
        return checks.session_timeout(call)
    if call.request.transport.is_closing():
        bot.empty_poll_times.append(time.monotonic())
        call.ilink.notify_changed()
        return answers.json()
    if not has_news and not settings.hold_updates:
        bot.empty_poll_times.append(time.monotonic())
    news = bot.slice_after(position, settings.updates_batch)
    message_injection.schedule_redelivery(call.ilink, bot, news.messages)
    return _answer(call, bot, news.messages, str(fields["get_updates_buf"]), news.end)


async def stuck(call: Call) -> SimulatedAnswer:
    """The fault `stuck`: no news, and the cursor stays."""
    _, fields = checks.authenticated(call)
    return answers.json(ret=0, msgs=[], get_updates_buf=fields.get("get_updates_buf"))


def _position(call: Call, bot: Bot, fields: checks.Fields) -> int:
    if "sync_buf" in fields:
        call.record_oddity("sync_buf, which is dead")
    cursor = fields.get("get_updates_buf")
    if not isinstance(cursor, str):
        raise call.invalid_argument("get_updates_buf is no text")
    position = bot.position(cursor)
    if position is None:
        raise call.invalid_argument("get_updates_buf is none that this bot was given")
    if cursor == "" and call.ilink.settings.empty_cursor == "all":
        return 0
    return max(position, bot.acknowledged_position)  # acknowledged messages are not sent again


@contextmanager
def _single_poll(call: Call, bot: Bot) -> Iterator[None]:
    """Allows one open poll for each token (ilink 4.3.3)."""
    if bot.polling:
        call.record_violation("another getupdates of this bot is still open")
        if call.ilink.settings.second_poll == "refuse":
            raise Refusal(answers.html_page(403))
    transport = call.request.transport
    bot.open_polls.add(transport)
    try:
        yield
    finally:
        bot.open_polls.discard(transport)


def _answer(call: Call, bot: Bot, entries: Sequence[bytes], cursor: str, end: int) -> SimulatedAnswer:
    settings = call.ilink.settings
    bot.answer_count += 1
    if not entries and _applies(settings.empty_answer, bot.answer_count):
        return answers.json()
    fields: dict[str, object] = {"ret": 0} if _applies(settings.tell_ret, bot.answer_count) else {}
    fields["get_updates_buf"] = bot.new_cursor(end) if entries else cursor
    if settings.told_hold and _applies(settings.tell_hold, bot.answer_count):
        fields["longpolling_timeout_ms"] = settings.told_hold
    head = messages.dump_json(fields)[:-1]
    return SimulatedAnswer(body=head + b', "msgs": [' + b", ".join(entries) + b"]}", content_type=JSON)


def _applies(frequency: Frequency, count: int) -> bool:
    return frequency == "always" or (frequency == "sometimes" and count % 2 == 1)


def _require_poll_rate(call: Call, bot: Bot) -> None:
    """Refuses a busy loop: polls that the program aborted, or that were answered at once without news."""
    limit = call.ilink.settings.poll_limit
    since = time.monotonic() - _BUSY_LOOP_SECONDS
    if limit and sum(poll_time > since for poll_time in bot.empty_poll_times) >= limit:
        raise call.refusal(answers.html_page(503), "a busy loop of getupdates")

"""`aibot_subscribe` and `ping`: a program logs in with a bot, and shows that it is there (wecom 2)."""

from __future__ import annotations

import asyncio
import time

from wx2mqtt.simulator.wecom import callbacks
from wx2mqtt.simulator.wecom.bot import Bot
from wx2mqtt.simulator.wecom.codes import TOO_OFTEN, Refused
from wx2mqtt.simulator.wecom.commands import Call, Fields
from wx2mqtt.simulator.wecom.connection import Connection
from wx2mqtt.simulator.wecom.limits import SLACK_SECONDS
from wx2mqtt.simulator.wecom.simulated_wecom import Refusal, SimulatedWeCom

_KNOWN_FIELDS = {"bot_id", "secret", "scene", "plug_version"}
_GOING_AWAY = 1001


async def subscribe(call: Call) -> None:
    """Takes the connection as that of a bot.

    A refusal is remembered until a subscription is accepted: the same credentials again within
    `refusal_pause` seconds are a violation. So is a second take-over within `takeover_pause`, by which two
    programs would replace each other for ever.
    """
    connection, wecom = call.connection, call.wecom
    if connection.asked_to_subscribe:
        raise Refused(TOO_OFTEN, "a second subscription on one connection")
    connection.asked_to_subscribe = True
    credentials = (call.text("bot_id"), call.text("secret"))
    for name in sorted(call.body.keys() - _KNOWN_FIELDS):
        call.record_oddity(f"body.{name} is not known")
    _note_hurry(call, credentials)
    try:
        bot = _admitted(wecom, credentials)
    except Refused:
        note_refusal(call)
        raise
    if bot.connection is not None or bot.elsewhere:
        _note_fight(call, bot)
    wecom.refusals.pop(bot.bot_id, None)
    wecom.attach(bot, connection)
    connection.last_ping = time.monotonic()
    _watch_heartbeat(wecom, connection)
    asyncio.get_running_loop().call_soon(callbacks.deliver_waiting, wecom, bot)


def note_refusal(call: Call) -> None:
    """Remembers that these credentials were refused."""
    credentials = (str(call.body.get("bot_id")), str(call.body.get("secret")))
    call.wecom.refusals[credentials[0]] = Refusal(credentials=credentials, time=call.wecom.clock.now())


def _note_hurry(call: Call, credentials: tuple[str, str]) -> None:
    refusal = call.wecom.refusals.get(credentials[0])
    if refusal is None or refusal.credentials != credentials:
        return
    seconds = call.wecom.clock.now() - refusal.time
    if seconds < call.wecom.settings.refusal_pause - SLACK_SECONDS:
        call.record_violation(f"subscribed again {seconds:.1f} s after a refusal")


def _admitted(wecom: SimulatedWeCom, credentials: tuple[str, str]) -> Bot:
    bot_id, secret = credentials
    bot = wecom.bots.get(bot_id)
    if bot is None or bot.secret != secret:
        raise Refused(wecom.settings.credentials_code)
    if bot.refuses:
        raise Refused(bot.refuses)
    if not bot.subscribe_rate.take(wecom.clock.now(), wecom.settings.subscribe_limit, 0):
        raise Refused(TOO_OFTEN, f"more than {wecom.settings.subscribe_limit} subscriptions in a minute")
    return bot


def _note_fight(call: Call, bot: Bot) -> None:
    """Notes a take-over soon after another one of the same bot."""
    if bot.taken_over_at is None:
        return
    seconds = call.wecom.clock.now() - bot.taken_over_at
    if seconds < call.wecom.settings.takeover_pause - SLACK_SECONDS:
        call.record_violation(f"took the bot over {seconds:.1f} s after it was taken over")


def _watch_heartbeat(wecom: SimulatedWeCom, connection: Connection) -> None:
    """Closes the connection when no ping has come for the seconds of the setting `heartbeat`."""
    if not connection.is_open:
        return
    silent = time.monotonic() - connection.last_ping
    left = wecom.settings.heartbeat - silent
    if left > 0:
        asyncio.get_running_loop().call_later(left, _watch_heartbeat, wecom, connection)
        return
    wecom.violations.record("ping", f"no ping for {silent:.0f} s")
    connection.close(_GOING_AWAY, "no heartbeat")


async def ping(call: Call) -> Fields | None:
    """Answers a heartbeat, also of a connection whose subscription has died."""
    if call.body:
        call.record_oddity("a ping with a body")
    if not call.connection.bot_id:
        call.record_oddity("a ping before a subscription")
    call.connection.last_ping = time.monotonic()
    call.connection.pings += 1
    call.wecom.notify_changed()
    return None

"""The typing indicator: getconfig, sendtyping (ilink 7)."""

from __future__ import annotations

from wx2mqtt.simulator.exchange import Answer
from wx2mqtt.simulator.ilink import answers, checks
from wx2mqtt.simulator.ilink.checks import Call

_TYPING, _STOP = 1, 2


async def getconfig(call: Call) -> Answer:
    """The ticket for the indicator; there is none before the person has written."""
    bot, fields = checks.signed(call)
    checks.person(call, bot, fields.get("ilink_user_id"))
    token = fields.get("context_token")
    if token is not None and token not in bot.context_tokens:
        call.oddity("context_token is none of this bot")
    if bot.last_in is None:
        return answers.json(ret=-4, errmsg="GetTypingTicket rpc failed")
    return answers.json(ret=0, typing_ticket=bot.typing_ticket)


async def sendtyping(call: Call) -> Answer:
    """The phone shows that the bot types, or no more."""
    bot, fields = checks.signed(call)
    checks.person(call, bot, fields.get("ilink_user_id"))
    if fields.get("typing_ticket") != bot.typing_ticket:
        raise call.invalid("typing_ticket is not this bot's")
    if fields.get("status") not in (_TYPING, _STOP):
        raise call.invalid("status is not 1 or 2")
    bot.typing = fields["status"] == _TYPING
    call.network.changed()
    return answers.json(ret=0)

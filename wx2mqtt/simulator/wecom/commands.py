"""How a command is carried out: its answer, and what is noted of a wrong one (wecom 2.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from wx2mqtt.simulator.wecom import codes
from wx2mqtt.simulator.wecom.bot import Bot
from wx2mqtt.simulator.wecom.codes import BAD_PARAMETER, NOT_SUBSCRIBED, OK, Refused
from wx2mqtt.simulator.wecom.connection import Connection
from wx2mqtt.simulator.wecom.simulated_wecom import SimulatedWeCom

Fields = dict[str, object]


@dataclass(slots=True, kw_only=True)
class Call:
    """One command of a program: the frame, and the simulated WeCom that judges it."""

    wecom: SimulatedWeCom
    connection: Connection
    name: str
    req_id: str
    body: Fields = field(default_factory=dict)

    def record_violation(self, problem: str) -> None:
        self.wecom.violations.record(self.name, problem)

    def record_oddity(self, problem: str) -> None:
        """In strict mode, records a mistake that WeCom tolerates, because public clients depend on it."""
        if self.wecom.shared_settings.strict:
            self.record_violation(f"tolerated, but: {problem}")

    @property
    def bot(self) -> Bot:
        """The bot of the subscribed connection; raises `Refused` where there is none."""
        bot = self.wecom.bots.get(self.connection.bot_id)
        if bot is None:
            raise Refused(NOT_SUBSCRIBED, "a command before an accepted subscription")
        if bot.connection is not self.connection or not bot.subscribed:
            raise Refused(NOT_SUBSCRIBED)
        return bot

    def text(self, name: str, *, of: Fields | None = None, required: bool = True) -> str:
        """Returns a field of the body that is text; raises `Refused`."""
        value = (self.body if of is None else of).get(name)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or (required and not value):
            raise Refused(BAD_PARAMETER, f"{name} is no text")
        return value

    def number(self, name: str, at_least: int, at_most: int | None = None) -> int:
        """Returns a field of the body that is a whole number in these bounds; raises `Refused`."""
        value = self.body.get(name)
        if type(value) is not int or value < at_least or (at_most is not None and value > at_most):
            limits = f"from {at_least}" + ("" if at_most is None else f" to {at_most}")
            raise Refused(BAD_PARAMETER, f"{name} is no whole number {limits}")
        return value


Handler = Callable[[Call], Awaitable[Fields | None]]
"""Carries a command out and returns the `body` of its answer, None where it has none; raises `Refused`."""


async def carry_out(handler: Handler, call: Call) -> Fields:
    """Returns the frame that answers a command; notes what is wrong with the command."""
    try:
        body = await handler(call)
    except Refused as refusal:
        return refuse(call, refusal)
    frame = answer(call.req_id, OK)
    return frame if body is None else {**frame, "body": body}


def refuse(call: Call, refusal: Refused) -> Fields:
    """Notes a refusal and returns the frame that tells it."""
    if refusal.problem:
        call.record_violation(refusal.problem)
    call.wecom.record_refusal(refusal.errcode)
    return answer(call.req_id, refusal.errcode)


def answer(req_id: str, errcode: int) -> Fields:
    """Returns an answer without a body."""
    return {"headers": {"req_id": req_id}, "errcode": errcode, "errmsg": codes.words(errcode)}

"""What the orders of WeCom's control have in common: their errors, and how values are read."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable

from wx2mqtt.simulator.http_messages import Request
from wx2mqtt.simulator.wecom.bot import Bot
from wx2mqtt.simulator.wecom.message_kinds import BadDetail
from wx2mqtt.simulator.wecom.simulated_wecom import SimulatedWeCom

Fields = dict[str, object]
Handler = Callable[[SimulatedWeCom, Request, Fields], Awaitable[object]]


class BadOrder(ValueError):
    """The order is malformed."""


class UnknownMessage(KeyError):
    """No message with that id has a file."""

    def __str__(self) -> str:
        return f"no message {self.args[0]!r} has a file"


class UnknownBot(KeyError):
    """No bot has that id."""

    def __str__(self) -> str:
        return f"no bot is {self.args[0]!r}"


def number_of(request: Request, name: str, default: float) -> float:
    """Returns a number in the query; raises `BadOrder`."""
    try:
        return float(request.query.get(name, default))
    except ValueError:
        raise BadOrder(f"{name} must be a number") from None


def text_of(order: Fields, name: str, default: str) -> str:
    """Returns a text of the order; raises `BadOrder`."""
    value = order.get(name, default)
    if not isinstance(value, str):
        raise BadOrder(f"{name} must be text")
    return value


def bot_of(wecom: SimulatedWeCom, order: Fields) -> Bot:
    """Returns the bot that the order names by `bot`, else the default one; raises `UnknownBot`."""
    bot_id = text_of(order, "bot", "")
    if not bot_id:
        return wecom.default_bot()
    if bot_id not in wecom.bots:
        raise UnknownBot(bot_id)
    return wecom.bots[bot_id]


def decode_base64(data: str) -> bytes:
    """Returns the bytes of an order; raises `BadDetail`."""
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise BadDetail(f"data is no base64: {error}") from None

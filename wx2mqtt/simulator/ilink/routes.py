"""The table of iLink's calls: path, name and handler of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from wx2mqtt.simulator.http_messages import SimulatedAnswer
from wx2mqtt.simulator.ilink import cdn, login, send, updates
from wx2mqtt.simulator.ilink.answers import Refusal
from wx2mqtt.simulator.ilink.checks import Call

Handler = Callable[[Call], Awaitable[SimulatedAnswer]]

_BOT = "/ilink/bot/"

PATHS: dict[str, tuple[str, Handler]] = {
    f"{_BOT}get_bot_qrcode": ("get_bot_qrcode", login.get_bot_qrcode),
    f"{_BOT}get_qrcode_status": ("get_qrcode_status", login.get_qrcode_status),
    f"{_BOT}msg/notifystart": ("notifystart", updates.notifystart),
    f"{_BOT}msg/notifystop": ("notifystop", updates.notifystop),
    f"{_BOT}getupdates": ("getupdates", updates.getupdates),
    f"{_BOT}sendmessage": ("sendmessage", send.sendmessage),
    f"{_BOT}getconfig": ("getconfig", updates.getconfig),
    f"{_BOT}sendtyping": ("sendtyping", updates.sendtyping),
    f"{_BOT}getuploadurl": ("getuploadurl", cdn.getuploadurl),
    "/c2c/upload": ("cdn_upload", cdn.cdn_upload),
    "/c2c/download": ("cdn_download", cdn.cdn_download),
}
"""Name and handler by path."""

STUCK_HANDLERS: dict[str, Handler] = {"getupdates": updates.stuck}
"""The handlers that the fault `stuck` uses instead."""


async def run_handler(handler: Handler, call: Call) -> SimulatedAnswer:
    """Answers a call; a refusal becomes its answer."""
    try:
        return await handler(call)
    except Refusal as refusal:
        return refusal.answer

"""Control over the files of messages: `/sim/ilink/media`."""

from __future__ import annotations

from wx2mqtt.simulator.exchange import Answer, Request
from wx2mqtt.simulator.ilink.network import Network
from wx2mqtt.simulator.showing import shown_bytes

PREFIX = "/sim/ilink/media/"

Fields = dict[str, object]


class UnknownMessage(KeyError):
    """No message of that id brought anything."""

    def __str__(self) -> str:
        return f"no message {self.args[0]!r} has a file"


async def fetch(network: Network, request: Request, _: Fields) -> Answer:
    """The file of a message, in plain."""
    msg_id = request.path.removeprefix(PREFIX)
    content = network.attachments.plain.get(msg_id)
    if content is None:
        raise UnknownMessage(msg_id)
    line = network.chats.find(msg_id)
    return shown_bytes(content, line.media.name if line and line.media else "")


async def change(network: Network, _: Request, order: Fields) -> Fields:
    """The CDN does not have the files of a message any more, or with `gone` false has them again."""
    msg_id = str(order.get("msg_id"))
    files = network.attachments.files.get(msg_id)
    if files is None:
        raise UnknownMessage(msg_id)
    for file in files:
        file.gone = order.get("gone", True) is True
    return {}

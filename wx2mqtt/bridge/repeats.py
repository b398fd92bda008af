"""Tells what came before: a command that is published again, and a delivery that the broker repeats.

    {"id": "door", "text": "open"}  ->  accepted
    the same again                  ->  equal *fingerprints*: a repeat, which gets the result of the first one
    {"id": "door", "text": "shut"}  ->  another fingerprint: rejected, since the id is used

    the same delivery again         ->  equal *marks* (`delivery_mark`): acknowledged, and nothing else

The journal compares them when it accepts a command (`store/command_acceptance.py`); a request that is no
command has a mark, too (`requests/dispatcher.py`).
"""

from __future__ import annotations

import hashlib
import json
from operator import attrgetter

from wx2mqtt.aio import MAX_BYTES_ON_LOOP
from wx2mqtt.model import Command
from wx2mqtt.mqtt.broker import Delivery
from wx2mqtt.names import composed
from wx2mqtt.store.command_records import DeliveryMark


def fingerprint(command: Command, content: str = "") -> str:
    """Returns a hash that is equal for commands that ask for the same.

    `content` is a checksum of the bytes of the file. Options such as ttl and priority do not count.
    """
    user = composed(command.user)
    fields = (command.kind, command.text, command.path, command.url, content, command.name)
    markdown = ["markdown", True] if command.markdown else []
    # An id belongs to its caller: the same command of another one has another hash.
    caller = [{"sender": command.sender}] if command.sender else []
    buttons = map(attrgetter("text", "key"), command.buttons)
    text = json.dumps([user, *fields, command.message_id, *command.mention, *markdown, *buttons, *caller])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def payload_fingerprint(payload: bytes) -> str:
    """Returns the fingerprint of a command that could not be parsed: all its bytes count."""
    return hashlib.sha256(payload).hexdigest()


def checksum_of_content(command: Command, payload: bytes) -> str:
    """Returns the checksum of the bytes that a command brings, as it sends them; empty for a `path`."""
    if command.path and not command.data:
        return ""
    content = command.data.encode() or payload
    return hashlib.sha256(content).hexdigest() if content else ""


def is_large(payload: bytes) -> bool:
    """Returns whether its checksums would hold up the loop: `AttachmentIntake` makes them in a thread."""
    return len(payload) > MAX_BYTES_ON_LOOP


def delivery_mark(delivery: Delivery, session: int) -> DeliveryMark:
    """Returns what identifies a repeated delivery. `session` is the bridge's number of the broker session."""
    return DeliveryMark(
        broker_session=session,
        packet_id=delivery.mid,
        topic=delivery.topic,
        digest=hashlib.sha256(delivery.payload + b"\0" + (delivery.correlation or b"")).digest(),
        dup=delivery.dup,
    )

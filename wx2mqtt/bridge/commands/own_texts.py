"""Makes the bridge's own texts: commands that no person gave.

They are stored, sent, repeated and settled like every other command, and survive a crash like one. Their
ids begin with `OWN_TEXT_ID_PREFIX`, and their results are published nowhere. `CommandIntake.accept_own_text`
accepts one that is a message of its own; the heading of a digest is stored together with its bundle.
"""

from __future__ import annotations

import secrets
from enum import StrEnum

from wx2mqtt.bridge.journaled import new_key
from wx2mqtt.clock import now_ms
from wx2mqtt.model import OWN_TEXT_ID_PREFIX, Command, PersonId
from wx2mqtt.store.records import NewCommand

# Random bytes of the id of an own text.
_ID_BYTES = 8


class OwnText(StrEnum):
    """What an own text is for: the second part of its id."""

    DIGEST = "digest"


def own_text(
    purpose: OwnText,
    user: str,
    person: PersonId | None,
    text: str,
    *,
    ttl: float,
    priority: str = "high",
) -> NewCommand:
    """Returns a text of the bridge's own to a person; `ttl` is in seconds.

    With the priority `high` it may use the messages of a reply window that are reserved.
    """
    now = now_ms()
    command_id = f"{OWN_TEXT_ID_PREFIX}{purpose}-{secrets.token_hex(_ID_BYTES)}"
    return NewCommand(
        command=Command(user=user, id=command_id, text=text, ttl=ttl, priority=priority),
        command_id=command_id,
        fingerprint=command_id,
        person=person,
        key=new_key(),
        accepted=now,
        expires=now + int(ttl * 1000),
        replies=(),
    )

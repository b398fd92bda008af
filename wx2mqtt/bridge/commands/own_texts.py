"""Makes the bridge's own texts: commands that no person gave.

    own_text(OwnText.REMINDER, "wife", …, "Please write something …")  ->  `CommandIntake.accept_own_text`

They are stored, sent, repeated and finished like every other command. Their ids begin with
`OWN_TEXT_ID_PREFIX`, and their results are published nowhere. The heading of a digest is no message of its
own: it is stored together with the message that it is in.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from enum import StrEnum

from wx2mqtt.bridge.wechat_calls import new_key
from wx2mqtt.clock import now_ms
from wx2mqtt.model import OWN_TEXT_ID_PREFIX, Command, Kind, PersonId
from wx2mqtt.store.command_records import NewCommand

# The random bytes in the id of an own text.
_ID_BYTES = 8


class OwnText(StrEnum):
    """What an own text is for: the second part of its id."""

    DIGEST = "digest"
    RENEWAL = "renewal"
    REMINDER = "reminder"


def own_text(
    purpose: OwnText,
    user: str,
    person: PersonId | None,
    text: str,
    *,
    ttl: float,
    priority: str = "high",
    command_id: str = "",
) -> NewCommand:
    """Returns a text of the bridge's own to a person; `ttl` is in seconds.

    With the priority `high` it may use the messages of a reply window that are reserved. `command_id` is an
    id that `own_id` returned; without one the text gets a random id.
    """
    command_id = command_id or own_id(purpose, secrets.token_hex(_ID_BYTES))
    now = now_ms()
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


def own_picture(purpose: OwnText, user: str, person: PersonId | None, *, ttl: float) -> NewCommand:
    """Returns a picture to a person; its bytes come with `accept_own_text`."""
    new = own_text(purpose, user, person, "", ttl=ttl)
    return replace(new, command=replace(new.command, kind=str(Kind.IMAGE), name=f"{purpose}.png"))


def own_id(purpose: OwnText, occasion: str) -> str:
    """Returns the id of an own text. One with the id of a stored one is not sent again."""
    return f"{OWN_TEXT_ID_PREFIX}{purpose}-{occasion}"

"""What the tests of all interfaces of services share: an accepted call, a file, and readers of answers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n.bridge import rejection_text
from wx2mqtt.model import Blob
from wx2mqtt.web.senders.interface import Accepted, SenderCommand, SenderInterface, UploadedFile

URGENT = {"priority": "high", "urgent": True}
PICTURE = UploadedFile(name="", blob=Blob(sha256="ab", size=3, mime="image/png", path="ab.png"))
ACCEPTED = Accepted(id="c1", account="home", user="me", sender="nas", row_id=17, time=1_700_000_000_123)


def refused_by(work):
    with pytest.raises(BadCommand) as caught:
        work()
    assert rejection_text("en", caught.value)
    assert rejection_text("zh", caught.value)
    return caught.value.code


def answer_of(answer):
    return answer.status, json.loads(answer.content)


def answer_to(interface: SenderInterface, command: SenderCommand):
    """Returns what the call of a command is answered."""
    return answer_of(interface.write_answer(replace(ACCEPTED, answer_fields=command.answer_fields)))


def decode_strictly(body, required, optional):
    """Fails as a typed client does: for a field that is missing, unknown, or of another type."""
    assert required.keys() <= body.keys() <= {*required, *optional}
    types = {**required, **optional}
    assert {name: type(value) for name, value in body.items()} == {name: types[name] for name in body}

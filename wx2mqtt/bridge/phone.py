"""What a login asks of the person with the phone. Pure."""

from __future__ import annotations

from wx2mqtt.model import Needs
from wx2mqtt.wechat.gateway import AskCode, AskPhone, Scanned

PhoneStep = AskPhone | Scanned | AskCode


def asked_by(step: PhoneStep) -> tuple[str, Needs]:
    """The word for what is to be done, and what that is."""
    match step:
        case AskPhone():
            return "ask_phone", Needs.CONFIRM
        case Scanned():
            return "confirm", Needs.CONFIRM
        case AskCode(wrong=wrong):
            return ("wrong_code" if wrong else "type_code"), Needs.CODE

"""The one field that goes by two names in web WeChat."""

from __future__ import annotations

from wx2mqtt.wechat.fields import Entry, text


def message_id(entry: Entry) -> str:
    """The id as text: MsgId, else the same number from NewMsgId; empty when there is none (webwx 3.1)."""
    found = text(entry, "MsgId")
    if not found.strip("0"):
        found = text(entry, "NewMsgId")
    return found if found.strip("0") else ""

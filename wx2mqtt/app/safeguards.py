"""Tells whether an account has something that helps alarms while WeChat takes no message.

`ilink.remind`, `ilink.renew` and `fallback` do, and all are off by default. Whatever finishes a set-up says
in one line what that means: setup, `wx2mqtt login`, the log at the start, the page.
"""

from __future__ import annotations

from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.settings.schema import Account
from wx2mqtt.wechat.registry import backend_entry


def missing_safeguards(account: Account) -> str:
    """Returns the key of the line about an account that has none of them; empty if it has one."""
    if account.fallback.urls:
        return ""
    if not backend_entry(account.backend).has_reply_window:
        return "no_fallback"
    ilink = account.ilink
    is_guarded = ilink.remind.before is not None or ilink.renew.after is not None
    return "" if is_guarded else "no_safeguards"


def safeguards_line(account: Account, language: Language) -> str:
    """Returns what it means that the account has none of them; empty if it has one."""
    message_key = missing_safeguards(account)
    return bridge_text(language, message_key) if message_key else ""

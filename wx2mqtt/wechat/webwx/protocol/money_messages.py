"""Reads transfers and red packets, from app messages and from system texts (webwx 3.6.7, 3.10).

The web client gets no red packet itself, and of a transfer little more than its existence. System texts about
money are matched loosely, in simplified Chinese, traditional Chinese and English.
"""

from __future__ import annotations

import re

from wx2mqtt.i18n.wechat import webwx_placeholder
from wx2mqtt.model import Json, Kind
from wx2mqtt.wechat.webwx.protocol.app_entry import AppMessage
from wx2mqtt.wechat.webwx.protocol.content import Content, content_facts
from wx2mqtt.wechat.webwx.protocol.markup import clean_line

# `paysubtype` as far as clients agree; no complete list is known (webwx 3.6.7). Other values give no state.
_TRANSFER_STATES = {"1": "pending", "3": "accepted", "4": "returned", "8": "accepted", "9": "returned"}

# Ordered by certainty, since a sentence may hold other numbers, such as a date.
_AMOUNTS = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        r"(?P<sign>HK\$|[¥￥$]|\b[A-Z]{3}\b)\s?(?P<amount>\d{1,12}(?:\.\d{1,4})?)",
        r"(?P<amount>\d{1,12}(?:\.\d{1,4})?)\s?(?P<sign>[元圆圓])",
        r"(?P<amount>\d{1,12}\.\d{1,4})",
        r"(?P<amount>\d{1,12})",
    )
)

_CURRENCIES = {
    "": "CNY",
    "元": "CNY",
    "圆": "CNY",
    "圓": "CNY",
    "¥": "CNY",
    "￥": "CNY",
    "RMB": "CNY",
    "HK$": "HKD",
    "$": "USD",
}

# Longer texts are no notices about money, and matching them would take long.
MAX_SENTENCE_CHARACTERS = 200

# Sent or received packets only. A text about their fate, such as "领取了你的红包", stays a system text.
_RED_PACKET = re.compile(
    r"[收发發][到出]?了?(?:一?[个個])?[红紅]包"
    r"|\b(?:red (?:packet|envelope)|lucky money)\b.{0,40}\b(?:received|sent|phone|view)\b"
    r"|\b(?:received|sent) (?:an? )?(?:red (?:packet|envelope)|lucky money)\b",
    re.IGNORECASE,
)

_TRANSFER = re.compile(
    r"(?:[收发發][到出]|向.{1,40}发起)了?(?:一?[笔筆])?(?:转账|轉[賬帳])"
    r"|\btransfer\b.{0,20}\b(?:received|sent)\b|\b(?:received|sent)\b.{0,20}\btransfer\b",
    re.IGNORECASE,
)


def transfer_message(app: AppMessage) -> Content:
    """Returns a transfer. Without `feedesc` the amount is searched in description and title (webwx 3.6.7)."""
    pay_info = app.xml.find("wcpayinfo")
    fee = pay_info.text("feedesc")
    state = _TRANSFER_STATES.get(pay_info.text("paysubtype"), "")
    amount = _amount(fee) or _transferred_amount(app.description) or _transferred_amount(app.title)
    detail = amount | content_facts(note=pay_info.text("pay_memo"), state=state)
    return _money_content(app, Kind.TRANSFER, fee or app.title or app.description, detail)


def red_packet_message(app: AppMessage) -> Content:
    """Returns a red packet. Its amount is in no field."""
    pay_info = app.xml.find("wcpayinfo")
    note = pay_info.text("sendertitle") or pay_info.text("receivertitle") or app.title
    return _money_content(app, Kind.RED_PACKET, note, content_facts(note=note))


def money_notice(text: str) -> Content | None:
    """Returns the red packet or transfer that a system text announces, or None when it announces neither."""
    if len(text) > MAX_SENTENCE_CHARACTERS:
        return None
    if _RED_PACKET.search(text):
        return Content(kind=Kind.RED_PACKET, text=text)
    if _TRANSFER.search(text):
        return Content(kind=Kind.TRANSFER, text=text, detail=_amount(text))
    return None


def _money_content(app: AppMessage, kind: Kind, label: str, detail: dict[str, Json]) -> Content:
    # Without thumbnail, which is the same picture of an envelope or a coin in every message.
    return Content(kind=kind, text=webwx_placeholder(app.language, kind, clean_line(label)), detail=detail)


def _amount(text: str) -> dict[str, Json]:
    """Returns `amount` as a decimal string and `currency`; empty when the text holds no number."""
    text = text[:MAX_SENTENCE_CHARACTERS].replace(",", "")
    for pattern in _AMOUNTS:
        if match := pattern.search(text):
            sign = match.groupdict().get("sign") or ""
            return {"amount": match["amount"], "currency": _CURRENCIES.get(sign, sign)}
    return {}


def _transferred_amount(text: str) -> dict[str, Json]:
    """Returns the amount in a sentence such as `收到转账1.00元`; empty for any other text."""
    return _amount(text) if _TRANSFER.search(text[:MAX_SENTENCE_CHARACTERS]) else {}

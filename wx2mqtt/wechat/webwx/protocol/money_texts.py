"""Reads transfers, red packets and amounts from sentences such as `收到转账1.00元` (webwx 3.6.7, 3.10).

Known in simplified Chinese, traditional Chinese and English.
"""

from __future__ import annotations

import re

from wx2mqtt.model import Json, Kind
from wx2mqtt.wechat.webwx.protocol.content import Content

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

_AMOUNT = re.compile(
    r"""
    (?P<sign> HK\$ | [¥￥$] | [A-Z]{3}\b )?  \s?
    (?P<amount> \d{1,12} (?:,\d{3}){0,3} (?:\.\d{1,4})? )
    (?: \s? (?P<sign_behind> [元圆圓] ) )?
    """,
    re.ASCII | re.VERBOSE,
)

# A sentence counts only as a whole. A part of it may be a name: anybody can be called 收到转账9999元.
_RED_PACKET = re.compile(
    r"""
    (?:\d{1,2}月\d{1,2}日)?  [你您]?  [收发發][到出]?了?  (?:一?[个個])?  [红紅]包
        (?: [，,。] [请請]在手[机機]上查看 )?  。?
    |
    (?: (?:you\ )? (?:have\ )? (?:received|sent)\ (?:an?\ )? (?:red\ (?:packet|envelope)|lucky\ money)
    | (?:red\ (?:packet|envelope)|lucky\ money)\ (?:received|sent) )
        (?: [.,]\ view\ on\ (?:your\ )?phone )?  \.?
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TRANSFER = re.compile(
    r"""
    (?:\d{1,2}月\d{1,2}日)?  [你您]?  [收发發][到出]了?  (?:一?[笔筆])?  (?:转账|轉[賬帳])
        (?P<chinese_amount>[^，。]*?)
        (?: [，,。] (?: [请請]在手[机機]上查看 | 如需收[钱錢]，[请請][点點]此升[级級]至最新版本 ) )?  。?
    |
    (?: (?:you\ )? (?:have\ )? (?:received|sent)\ (?:a\ )? transfer | transfer\ (?:received|sent) )
        (?: \ (?:of\ )? (?P<english_amount>[^ ]+?) )?  (?: [.,]\ view\ on\ (?:your\ )?phone )?  \.?
    """,
    re.IGNORECASE | re.VERBOSE,
)


def money_notice(text: str) -> Content | None:
    """Returns the red packet or transfer that a system text announces, or None when it announces neither."""
    if len(text) > MAX_SENTENCE_CHARACTERS:
        return None
    if _RED_PACKET.fullmatch(text.strip()):
        return Content(kind=Kind.RED_PACKET, text=text)
    detail = transfer_detail(text)
    return None if detail is None else Content(kind=Kind.TRANSFER, text=text, detail=detail)


def transfer_detail(text: str) -> dict[str, Json] | None:
    """Returns the amount in a sentence such as `收到转账1.00元`; empty without one, None for another text."""
    match = _TRANSFER.fullmatch(text.strip()) if len(text) <= MAX_SENTENCE_CHARACTERS else None
    if match is None:
        return None
    amount_text = match["chinese_amount"] or match["english_amount"] or ""
    return read_amount(amount_text) or (None if amount_text else {})


def read_amount(text: str) -> dict[str, Json]:
    """Returns `amount` as a decimal string and `currency`; empty when the text is no amount."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        return {}
    # A number without a sign is in the currency of China.
    sign = match["sign"] or match["sign_behind"] or ""
    return {"amount": match["amount"].replace(",", ""), "currency": _CURRENCIES.get(sign, sign)}

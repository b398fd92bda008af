"""Transfers and red packets: as app messages, and as what WeChat says of them (webwx 3.6, 3.10)."""

from __future__ import annotations

import re

from wx2mqtt.model import Json, Kind
from wx2mqtt.wechat.webwx.app import App
from wx2mqtt.wechat.webwx.content import Content, facts
from wx2mqtt.wechat.webwx.text import line
from wx2mqtt.wechat.webwx.words import placeholder

# `paysubtype`, as far as clients agree; the reference has no list (webwx 3.6). Others say nothing.
_STATES = {"1": "pending", "3": "accepted", "4": "returned", "8": "accepted", "9": "returned"}
_AMOUNT = re.compile(r"(HK\$|[¥￥$]|\b[A-Z]{3}\b)?\s?(\d{1,12}(?:\.\d{1,4})?)", re.ASCII)
_CURRENCIES = {"": "CNY", "¥": "CNY", "￥": "CNY", "RMB": "CNY", "HK$": "HKD", "$": "USD"}

# The web shows no red packet, and of a transfer hardly more than that there is one: matched loosely, in three
# scripts. What became of them ("领取了你的红包") is news and not money.
_TOLD = 200  # characters; the sentences are short, and a longer one is none of them
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


def transfer(app: App) -> Content:
    """Money for one person."""
    pay = app.xml.at("wcpayinfo")
    told = pay.text("feedesc")
    state = _STATES.get(pay.text("paysubtype"), "")
    detail = _money(told) | facts(note=pay.text("pay_memo"), state=state)
    return _money_of(app, Kind.TRANSFER, told or app.title, detail)


def red_packet(app: App) -> Content:
    """Money in an envelope; how much is in it nobody is told."""
    pay = app.xml.at("wcpayinfo")
    note = pay.text("sendertitle") or pay.text("receivertitle") or app.title
    return _money_of(app, Kind.RED_PACKET, note, facts(note=note))


def money_told(said: str) -> Content | None:
    """What a system text says of money; None when it says nothing of the kind."""
    if len(said) > _TOLD:
        return None
    if _RED_PACKET.search(said):
        return Content(kind=Kind.RED_PACKET, text=said)
    if _TRANSFER.search(said):
        return Content(kind=Kind.TRANSFER, text=said, detail=_money(said))
    return None


def _money_of(app: App, kind: Kind, what: str, detail: dict[str, Json]) -> Content:
    """Its thumbnail would be the same picture of an envelope or a coin each time."""
    return Content(kind=kind, text=placeholder(app.language, kind, line(what)), detail=detail)


def _money(told: str) -> dict[str, Json]:
    """Amount as a decimal string, and its currency where the sign tells it."""
    found = _AMOUNT.search(told[:_TOLD].replace(",", ""))
    if not found:
        return {}
    sign = found[1] or ""
    return {"amount": found[2], "currency": _CURRENCIES.get(sign, sign)}

"""Transfers and red packets, as app messages and as told by WeChat in three scripts (webwx 3.6, 3.10)."""

from __future__ import annotations

import time

import pytest

from tests.unit.wechat.webwx.entries import app
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx.content import Content
from wx2mqtt.wechat.webwx.money import money_told


@pytest.mark.parametrize(
    ("fee", "sub", "detail"),
    [
        ("￥0.10", "1", {"amount": "0.10", "currency": "CNY", "state": "pending"}),
        ("¥1,234.50", "3", {"amount": "1234.50", "currency": "CNY", "state": "accepted"}),
        ("HK$5", "4", {"amount": "5", "currency": "HKD", "state": "returned"}),
        ("8.00", "5", {"amount": "8.00", "currency": "CNY"}),
        ("8.00", "8", {"amount": "8.00", "currency": "CNY", "state": "accepted"}),
        ("RMB 8", "9", {"amount": "8", "currency": "CNY", "state": "returned"}),
        ("EUR 3", "", {"amount": "3", "currency": "EUR"}),
        ("much", "", {}),
        ("", "1", {"state": "pending"}),
    ],
)
def test_a_transfer(fee: str, sub: str, detail: dict[str, str]) -> None:
    more = f"<wcpayinfo><paysubtype>{sub}</paysubtype><feedesc>{fee}</feedesc><pay_memo>rent</pay_memo></wcpayinfo>"
    found = app(f"<title>微信转账</title><type>2000</type>{more}")
    assert (found.kind, found.text) == (Kind.TRANSFER, f"[transfer] {fee or '微信转账'}")
    assert found.detail == {**detail, "note": "rent"}


def test_a_red_packet() -> None:
    found = app(
        "<title>红包</title><type>2001</type><wcpayinfo><sendertitle>恭喜发财</sendertitle></wcpayinfo>"
    )
    assert (found.kind, found.text) == (Kind.RED_PACKET, "[red packet] 恭喜发财")
    assert found.detail == {"note": "恭喜发财"}


@pytest.mark.parametrize(
    "words",
    [
        "收到红包，请在手机上查看",
        "发出红包，请在手机上查看",
        "收到紅包，請在手機上查看",
        "發出紅包，請在手機上查看",
        "收到一个红包",
        "Red packet received. View on phone.",
        "Red packet sent. View on phone.",
        "You sent a red packet",
        "Lucky Money received. View on phone.",
    ],
)
def test_red_packets_that_are_told(words: str) -> None:
    assert money_told(words) == Content(kind=Kind.RED_PACKET, text=words)


@pytest.mark.parametrize(
    ("words", "detail"),
    [
        ("收到转账0.01元，请在手机上查看", {"amount": "0.01", "currency": "CNY"}),
        ("收到轉帳1,200.50元，請在手機上查看", {"amount": "1200.50", "currency": "CNY"}),
        ("收到轉賬¥5，請在手機上查看", {"amount": "5", "currency": "CNY"}),
        ("发出转账，请在手机上查看", {}),
        ("收到一笔转账", {}),
        ("Received transfer 0.01. View on phone.", {"amount": "0.01", "currency": "CNY"}),
        ("You received a transfer of HK$20", {"amount": "20", "currency": "HKD"}),
        ("Transfer received. View on phone.", {}),
    ],
)
def test_transfers_that_are_told(words: str, detail: dict[str, str]) -> None:
    assert money_told(words) == Content(kind=Kind.TRANSFER, text=words, detail=detail)


@pytest.mark.parametrize(
    "words",
    [
        '"A"领取了你的红包',
        '"A" opened your red packet',
        "你发的红包已超过24小时未被领取",
        "群收款消息，请在手机上查看",
        "位置共享已经结束",
        "The message is successfully sent but rejected by the receiver.",
        "",
    ],
)
def test_what_is_no_money(words: str) -> None:
    assert money_told(words) is None


@pytest.mark.parametrize(
    "words", ["red packet " * 100_000, "收" * 1_000_000, "sent " * 200_000, "向" * 1_000_000]
)
def test_texts_without_end_cost_no_time(words: str) -> None:
    began = time.process_time()
    assert money_told(words) is None
    assert money_told(words[:200]) is None or "red packet" in words
    assert time.process_time() - began < 0.1

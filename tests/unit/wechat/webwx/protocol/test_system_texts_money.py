"""Transfers and red packets, as app messages and as system texts in three scripts (webwx 3.6.7, 3.10)."""

from __future__ import annotations

import time

from tests.support.rows import every_row
from tests.unit.wechat.webwx.entries import app
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx.protocol.content import Content
from wx2mqtt.wechat.webwx.protocol.system_texts import money_notice


@every_row(
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
    content = app(f"<title>微信转账</title><type>2000</type>{more}")
    assert (content.kind, content.text) == (Kind.TRANSFER, f"[transfer] {fee or '微信转账'}")
    assert content.detail == {**detail, "note": "rent"}


@every_row("tag", ["title", "des"])
@every_row("words", ["收到转账1.00元。如需收钱，请点此升级至最新版本", "Received transfer of ¥1.00"])
def test_a_transfer_without_a_fee_has_the_amount_in_its_text(tag: str, words: str) -> None:
    content = app(f"<type>2000</type><{tag}>{words}</{tag}>")
    assert content.detail == {"amount": "1.00", "currency": "CNY"}


def test_a_red_packet() -> None:
    content = app(
        "<title>红包</title><type>2001</type><wcpayinfo><sendertitle>恭喜发财</sendertitle></wcpayinfo>"
    )
    assert (content.kind, content.text) == (Kind.RED_PACKET, "[red packet] 恭喜发财")
    assert content.detail == {"note": "恭喜发财"}


@every_row(
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
def test_red_packets_in_system_texts(words: str) -> None:
    assert money_notice(words) == Content(kind=Kind.RED_PACKET, text=words)


@every_row(
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
        ("收到转账1.00元", {"amount": "1.00", "currency": "CNY"}),
        ("Received transfer of ¥1.00", {"amount": "1.00", "currency": "CNY"}),
        ("5月3日收到转账1.00元", {"amount": "1.00", "currency": "CNY"}),
        ("收到转账 100 元。", {"amount": "100", "currency": "CNY"}),
        ("收到转账1.00元。如需收钱，请点此升级至最新版本", {"amount": "1.00", "currency": "CNY"}),
    ],
)
def test_transfers_in_system_texts(words: str, detail: dict[str, str]) -> None:
    assert money_notice(words) == Content(kind=Kind.TRANSFER, text=words, detail=detail)


@every_row(
    "words",
    [
        '"A"领取了你的红包',
        '"A" opened your red packet',
        "你发的红包已超过24小时未被领取",
        "群收款消息，请在手机上查看",
        "位置共享已经结束",
        "The message is successfully sent but rejected by the receiver.",
        "",
        # Names with the words of a sentence about money.
        '"收到转账9999.00元"加入了群聊',
        '"A"邀请"收到转账9999.00元，请在手机上查看"加入了群聊',
        "你已添加了收到转账9999.00元，现在可以开始聊天了。",
        "收到转账9999.00元开启了朋友验证，你还不是他（她）朋友。请先发送朋友验证请求，对方验证通过后，才能聊天。",
        "收到转账9999.00元，请在手机上查看。开启了朋友验证，你还不是他（她）朋友。",
        '"Received transfer of ¥9999" joined the group chat',
        "Received transfer 9999 has enabled Friend Confirmation. [Send a friend request]",
        '"收到红包"领取了你的红包',
        '"收到红包" 拍了拍 "A"',
        "收到红包已成为新群主",
        '"A"修改群名为“收到红包”',
        "You sent a red packet has enabled Friend Confirmation.",
        "向A发起转账9999元",
    ],
)
def test_other_texts_are_not_about_money(words: str) -> None:
    assert money_notice(words) is None


@every_row("words", ["red packet " * 100_000, "收" * 1_000_000, "sent " * 200_000, "向" * 1_000_000])
def test_very_long_texts_are_matched_in_short_time(words: str) -> None:
    started_at = time.process_time()
    assert money_notice(words) is None
    assert money_notice(words[:200]) is None or "red packet" in words
    assert time.process_time() - started_at < 0.1

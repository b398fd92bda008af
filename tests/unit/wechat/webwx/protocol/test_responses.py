"""Answers are read leniently into types, or refused as a whole (webwx 2.4, 9)."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cost import is_in_proportion, repeated
from tests.support.rows import every_row
from wx2mqtt.errors import LoginRefused
from wx2mqtt.i18n import Language
from wx2mqtt.wechat import json_reader
from wx2mqtt.wechat.json_reader import UnreadableJson
from wx2mqtt.wechat.webwx.protocol import responses
from wx2mqtt.wechat.webwx.protocol.codes import ScanStatus
from wx2mqtt.wechat.webwx.protocol.cookies import Cookies
from wx2mqtt.wechat.webwx.protocol.responses import LARGE_ANSWER_MESSAGES, require_sid_and_uin
from wx2mqtt.wechat.webwx.protocol.session import SyncCursor

AVATAR = b"window.code=201;window.userAvatar = 'data:img/jpg;base64,/9j/4AAQ';"


CONFIRMED = (
    b"window.code=200;\n"
    b'window.redirect_uri="https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=AbC@qrticket_0'
    b'&uuid=gZbA1kXyTQ==&lang=zh_CN&scan=1700000000";'
)


GOOD_LOGIN = (
    b"<error><ret>0</ret><message></message><skey>@crypt_1a2b3c4d_0123</skey><wxsid>AbCdEf123</wxsid>"
    b"<wxuin>123456789</wxuin><pass_ticket>aB%2Bc%3D</pass_ticket><isgrayscale>1</isgrayscale></error>"
)


def test_qr_code() -> None:
    code = responses.read_qr_code(b'window.QRLogin.code = 200; window.QRLogin.uuid = "gZbA1kXyTQ==";')
    assert (code.code, code.uuid) == (200, "gZbA1kXyTQ==")


@every_row("body", [b"", b"<html>", b"window.QRLogin.uuid = 'a b'", b"\xff\xfe"])
def test_no_qr_code(body: bytes) -> None:
    assert responses.read_qr_code(body).uuid == ""


@every_row(
    ("body", "scan"),
    [
        (b"window.code=408;", ScanStatus.WAITING),
        (b"window.code = '408' ;", ScanStatus.WAITING),
        (AVATAR, ScanStatus.SCANNED),
        (CONFIRMED, ScanStatus.CONFIRMED),
        (b"window.code=202;", ScanStatus.OVER),
        (b"window.code=400;", ScanStatus.OVER),
        (b"window.code=402;", ScanStatus.OVER),
        (b"window.code=500;", ScanStatus.OVER),
        (b"window.code=0;", ScanStatus.OVER),
        (b"window.code=777;", ScanStatus.OVER),
        (b"", None),
        (b"<html>busy</html>", None),
        (b"window.code=;", None),
    ],
)
def test_every_code_of_the_poll(body: bytes, scan: ScanStatus | None) -> None:
    assert responses.read_scan_answer(body).scan is scan


def test_extras_of_the_poll() -> None:
    assert responses.read_scan_answer(AVATAR).avatar == b"\xff\xd8\xff\xe0\x00\x10"
    assert responses.read_scan_answer(CONFIRMED).redirect == (
        "https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage"
        "?ticket=AbC@qrticket_0&uuid=gZbA1kXyTQ==&lang=zh_CN&scan=1700000000"
    )
    assert responses.read_scan_answer(
        b'window.code=200;window.redirect_uri="https://x/?a=1&amp;b=2"'
    ).redirect == ("https://x/?a=1&b=2")


@every_row("picture", [b"****", b"A", b"A" * (responses.MAX_AVATAR_CHARACTERS + 1), b"abc=def"])
def test_a_strange_avatar_is_none(picture: bytes) -> None:
    answer = responses.read_scan_answer(
        b"window.code=201;window.userAvatar = 'data:img/jpg;base64," + picture + b"'"
    )
    assert answer.scan is ScanStatus.SCANNED
    assert len(answer.avatar) < 10


def test_new_login() -> None:
    login = responses.read_new_login(GOOD_LOGIN)
    assert (login.ret, login.skey, login.sid, login.uin) == (
        0,
        "@crypt_1a2b3c4d_0123",
        "AbCdEf123",
        "123456789",
    )
    assert login.pass_ticket == "aB%2Bc%3D"
    assert not login.is_page


def test_new_login_refused() -> None:
    login = responses.read_new_login(
        "<error><ret>1203</ret><message><![CDATA[为了你的<b>帐号安全</b>&amp;]]></message></error>".encode()
    )
    assert (login.ret, login.skey) == (1203, "")
    assert login.message == "为了你的 帐号安全 &"


def test_a_page_instead_of_a_login() -> None:
    login = responses.read_new_login(b"<!DOCTYPE html><HTML><head></head>\xff</html>")
    assert login.is_page
    assert (login.skey, login.ret) == ("", 0)


def test_a_login_that_goes_on_elsewhere() -> None:
    body = b"<error><ret>0</ret><redirecturl>https://wx8.qq.com/x?a=1&amp;b=2</redirecturl></error>"
    assert responses.read_new_login(body).redirect == "https://wx8.qq.com/x?a=1&b=2"


@every_row(
    ("body", "uuid"),
    [
        (b'{"ret":"0","msg":"all ok","uuid":"gZbA1kXyTQ=="}', "gZbA1kXyTQ=="),
        (b'{"ret":0,"uuid":"gZbA1kXyTQ=="}', "gZbA1kXyTQ=="),
        (b'{"ret":"1","msg":"args error"}', ""),
        (b'{"ret":"2","uuid":"x"}', ""),
        (b'{"uuid":"x"}', ""),
    ],
)
def test_push_login(body: bytes, uuid: str) -> None:
    assert responses.read_push_login(body) == uuid


@every_row(
    ("body", "retcode", "selector"),
    [
        (b'window.synccheck={retcode:"0",selector:"2"}', 0, 2),
        (b"window.synccheck = { retcode : 1101 , selector : 0 }", 1101, 0),
        (b"window.synccheck={\"retcode\":\"0\",'selector':'7'}", 0, 7),
        (b'window.synccheck={retcode:"1102"}', 1102, 0),
        (b'window.synccheck={selector:"2",retcode:"-1"}', -1, 2),
    ],
)
def test_check(body: bytes, retcode: int, selector: int) -> None:
    assert responses.read_sync_check(body) == (retcode, selector)


@every_row(
    "body",
    [b"", b"HTTP status 0", b"<html>", b"window.synccheck={}", b'window.synccheck={retcode:"' + b"9" * 40],
)
def test_check_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(UnreadableJson):
        responses.read_sync_check(body)


@pytest.mark.parametrize(("ret", "value"), [(0, 0), ("1101", 1101), (-1, -1)])
def test_ret(ret: object, value: int) -> None:
    assert responses.read_ret({"BaseResponse": {"Ret": ret}}) == value


@every_row("answer", [{}, {"BaseResponse": 5}, {"BaseResponse": {}}, {"BaseResponse": {"Ret": None}}])
def test_without_ret_it_is_no_answer(answer: dict[str, object]) -> None:
    with pytest.raises(UnreadableJson):
        responses.read_ret(answer)


def test_the_servers_words() -> None:
    assert (
        responses.read_error_message({"BaseResponse": {"Ret": 1, "ErrMsg": "no <b>way</b> &amp;"}})
        == "no way &"
    )
    assert responses.read_error_message({"BaseResponse": {"Ret": 1, "ErrMsg": {"Str": "no"}}}) == "no"
    assert responses.read_error_message({}) == ""


def test_init() -> None:
    answer = {
        "User": {"UserName": "@me"},
        "SKey": "@crypt_new",
        "SyncKey": {"Count": 1, "List": [{"Key": 1, "Val": 2}]},
        "ChatSet": "filehelper,@@a,",
        "ContactList": [{"UserName": "weixin"}, 5],
    }
    init = responses.read_init(answer)
    assert init.user == {"UserName": "@me"}
    assert (init.skey, init.keys, init.chats) == ("@crypt_new", ((1, 2),), ("filehelper", "@@a"))
    assert init.contacts == [{"UserName": "weixin"}]


def test_synced() -> None:
    key = {"Count": 1, "List": [{"Key": 1, "Val": 2}]}
    check = {"Count": 1, "List": [{"Key": 1, "Val": 3}]}
    answer = responses.read_sync(
        {
            "AddMsgList": [{"MsgId": "1"}, 7],
            "ModContactList": [{"UserName": "a"}],
            "DelContactList": [{"UserName": "b"}],
            "Profile": {"BitFlag": 0},
            "SyncKey": key,
            "SyncCheckKey": check,
            "SKey": "new",
            "ContinueFlag": 1,
        }
    )
    assert (len(answer.messages), len(answer.changed), len(answer.deleted), answer.unreadable_count) == (
        1,
        1,
        1,
        1,
    )
    assert (answer.sync, answer.check, answer.skey, answer.more) == (((1, 2),), ((1, 3),), "new", True)
    assert not answer.is_empty


def test_synced_without_a_check_key_falls_back_to_the_sync_key() -> None:
    answer = responses.read_sync({"SyncKey": {"Count": 1, "List": [{"Key": 1, "Val": 2}]}})
    assert answer.check == ((1, 2),)
    assert answer.is_empty


BEFORE = SyncCursor(sync=((1, 1),), check=((1, 1),))


def synced(**fields: object) -> responses.SyncAnswer:
    return responses.read_sync(fields)


def key(value: int) -> dict[str, object]:
    return {"Count": 1, "List": [{"Key": 1, "Val": value}]}


def test_both_keys_move() -> None:
    found = synced(SyncKey=key(2), SyncCheckKey=key(3)).position_after(BEFORE)
    assert found == SyncCursor(sync=((1, 2),), check=((1, 3),))


def test_empty_keys_leave_the_old_ones() -> None:
    assert synced(SyncKey={"Count": 0, "List": []}).position_after(BEFORE) == BEFORE


def test_behind_a_large_answer_more_is_expected_if_the_keys_have_moved() -> None:
    messages: list[dict[str, object]] = [{}] * LARGE_ANSWER_MESSAGES
    assert synced(AddMsgList=messages, SyncKey=key(2)).position_after(BEFORE).more
    assert not synced(AddMsgList=messages[1:], SyncKey=key(2)).position_after(BEFORE).more
    assert not synced(AddMsgList=messages).position_after(BEFORE).more


def test_more_counts_only_where_something_came_or_moved() -> None:
    assert synced(ContinueFlag=1, SyncKey=key(2)).position_after(BEFORE).more
    assert synced(ContinueFlag=1, AddMsgList=[{}]).position_after(BEFORE).more
    assert not synced(ContinueFlag=1).position_after(BEFORE).more
    assert not synced(ContinueFlag=1).position_after(replace(BEFORE, more=True)).more


def test_no_secret_shows_in_a_repr() -> None:
    shown = [
        responses.read_qr_code(b'window.QRLogin.code = 200; window.QRLogin.uuid = "SECRET";'),
        responses.read_scan_answer(b'window.code=200;window.redirect_uri="https://SECRET"'),
        responses.read_new_login(b"<skey>SECRET</skey><wxsid>SECRET</wxsid><wxuin>SECRET</wxuin>"),
        responses.read_init({"SKey": "SECRET"}),
        responses.read_sync({"SKey": "SECRET"}),
    ]
    assert "SECRET" not in repr(shown)


@given(st.binary(max_size=200))
def test_no_bytes_make_a_parser_fail_otherwise(body: bytes) -> None:
    responses.read_qr_code(body)
    responses.read_scan_answer(body)
    responses.read_new_login(body)
    for parser in (responses.read_sync_check, json_reader.parse_json, responses.read_push_login):
        with suppress(UnreadableJson):
            parser(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


FIELDS = [
    "BaseResponse",
    "SyncKey",
    "SyncCheckKey",
    "AddMsgList",
    "ModContactList",
    "User",
    "ChatSet",
    "SKey",
]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_no_shape_makes_a_reader_fail(answer: dict[str, object]) -> None:
    found = json_reader.parse_json(json.dumps(answer).encode())
    responses.read_init(found)
    responses.read_sync(found)
    responses.read_error_message(found)


COOKIES = Cookies({(".qq.com", "wxsid"): "cookie-sid", (".qq.com", "wxuin"): "987"})


def test_a_session_from_the_xml() -> None:
    found = responses.read_new_login(GOOD_LOGIN)
    assert (found.skey, found.pass_ticket) == ("@crypt_1a2b3c4d_0123", "aB%2Bc%3D")
    assert require_sid_and_uin(found, COOKIES, "en") == ("AbCdEf123", "123456789")


@pytest.mark.parametrize("uin", ["", "0"])
def test_sid_and_uin_may_come_as_cookies(uin: str) -> None:
    body = f"<error><ret>0</ret><skey>k</skey><wxuin>{uin}</wxuin><pass_ticket>p</pass_ticket></error>"
    found = responses.read_new_login(body.encode())
    assert require_sid_and_uin(found, COOKIES, "en") == ("cookie-sid", "987")


@every_row(
    ("body", "language", "reason"),
    [
        (b"<error><ret>1203</ret><message>not safe</message></error>", "en", "(1203): not safe"),
        ("<error><ret>1203</ret><message>环境异常</message></error>".encode(), "zh", "（1203）：环境异常"),
        (b"<error><ret>1</ret></error>", "en", "says no reason"),
        (b"<html><head></head></html>", "en", "web page"),
        (b"<error><ret>0</ret></error>", "en", "no session key"),
        (b"<error><ret>1203</ret><skey>k</skey></error>", "en", "1203"),
    ],
)
def test_refusals_say_why(body: bytes, language: Language, reason: str) -> None:
    with pytest.raises(LoginRefused, match=reason.replace("(", r"\(").replace(")", r"\)")):
        require_sid_and_uin(responses.read_new_login(body), COOKIES, language)


@pytest.mark.parametrize("cookies", [{}, {("", "wxsid"): "s", ("", "wxuin"): "0"}])
def test_a_session_without_sid_or_uin_is_none(cookies: dict[tuple[str, str], str]) -> None:
    answer = responses.read_new_login(b"<ret>0</ret><skey>k</skey>")
    with pytest.raises(LoginRefused):
        require_sid_and_uin(answer, Cookies(cookies), "en")


@every_row(
    ("begin", "part", "end", "read"),
    [
        ("", "<ret>", "", responses.read_new_login),
        ("", "<message><![CDATA[", "", responses.read_new_login),
        ("<message>", "<![CDATA[", "</message>", responses.read_new_login),
        ("<message>", "<![CDATA[]]>", "</message>", responses.read_new_login),
        ("", "window.synccheck={", "", responses.read_sync_check),
        ("", "window.synccheck=", "", responses.read_sync_check),
        ("", "window.code=200;window.userAvatar='data:", "", responses.read_scan_answer),
        ("", 'window.QRLogin.uuid = "a', "", responses.read_qr_code),
    ],
)
def test_a_hostile_answer_costs_no_more_than_in_proportion(
    begin: str, part: str, end: str, read: Callable[[bytes], object]
) -> None:
    """100 kB of `<ret>` took 14 s, and of `window.synccheck={` 6 s."""

    def work(size: int) -> None:
        with suppress(UnreadableJson):
            read(f"{begin}{repeated(part, size)}{end}".encode())

    assert is_in_proportion(work, 100_000)


@every_row(
    ("message", "text"),
    [
        ("<![CDATA[a]]>b<![CDATA[c]]>", "abc"),
        ("a<![CDATA[b", "a<![CDATA[b"),
        ("a]]>b", "a]]>b"),
        ("<![CDATA[a<![CDATA[b]]>", "a<![CDATA[b"),
    ],
)
def test_sections_of_cdata_in_a_message_are_read(message: str, text: str) -> None:
    source = f"<error><ret>0</ret><skey>{message}</skey></error>"
    assert responses.read_new_login(source.encode()).skey == text

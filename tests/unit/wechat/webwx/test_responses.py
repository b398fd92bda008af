"""Answers are read leniently and typed, or refused as a whole (webwx appendix B)."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.wechat import answers
from wx2mqtt.wechat.answers import Unreadable
from wx2mqtt.wechat.webwx import responses
from wx2mqtt.wechat.webwx.codes import Scan

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
    code = responses.qr_code(b'window.QRLogin.code = 200; window.QRLogin.uuid = "gZbA1kXyTQ==";')
    assert (code.code, code.uuid) == (200, "gZbA1kXyTQ==")


@pytest.mark.parametrize("body", [b"", b"<html>", b"window.QRLogin.uuid = 'a b'", b"\xff\xfe"])
def test_no_qr_code(body: bytes) -> None:
    assert responses.qr_code(body).uuid == ""


@pytest.mark.parametrize(
    ("body", "scan"),
    [
        (b"window.code=408;", Scan.WAITING),
        (b"window.code = '408' ;", Scan.WAITING),
        (AVATAR, Scan.SCANNED),
        (CONFIRMED, Scan.CONFIRMED),
        (b"window.code=202;", Scan.OVER),
        (b"window.code=400;", Scan.OVER),
        (b"window.code=402;", Scan.OVER),
        (b"window.code=500;", Scan.OVER),
        (b"window.code=0;", Scan.OVER),
        (b"window.code=777;", Scan.OVER),
        (b"", None),
        (b"<html>busy</html>", None),
        (b"window.code=;", None),
    ],
)
def test_every_code_of_the_poll(body: bytes, scan: Scan | None) -> None:
    assert responses.scan_answer(body).scan is scan


def test_extras_of_the_poll() -> None:
    assert responses.scan_answer(AVATAR).avatar == b"\xff\xd8\xff\xe0\x00\x10"
    assert responses.scan_answer(CONFIRMED).redirect == (
        "https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage"
        "?ticket=AbC@qrticket_0&uuid=gZbA1kXyTQ==&lang=zh_CN&scan=1700000000"
    )
    assert responses.scan_answer(
        b'window.code=200;window.redirect_uri="https://x/?a=1&amp;b=2"'
    ).redirect == ("https://x/?a=1&b=2")


@pytest.mark.parametrize("picture", [b"****", b"A", b"A" * (responses.AVATAR_LIMIT + 1), b"abc=def"])
def test_a_strange_avatar_is_none(picture: bytes) -> None:
    answer = responses.scan_answer(
        b"window.code=201;window.userAvatar = 'data:img/jpg;base64," + picture + b"'"
    )
    assert answer.scan is Scan.SCANNED
    assert len(answer.avatar) < 10


def test_new_login() -> None:
    login = responses.new_login(GOOD_LOGIN)
    assert (login.ret, login.skey, login.sid, login.uin) == (
        0,
        "@crypt_1a2b3c4d_0123",
        "AbCdEf123",
        "123456789",
    )
    assert login.pass_ticket == "aB%2Bc%3D"
    assert not login.page


def test_new_login_refused() -> None:
    login = responses.new_login(
        "<error><ret>1203</ret><message><![CDATA[为了你的<b>帐号安全</b>&amp;]]></message></error>".encode()
    )
    assert (login.ret, login.skey) == (1203, "")
    assert login.message == "为了你的 帐号安全 &"


def test_a_page_instead_of_a_login() -> None:
    login = responses.new_login(b"<!DOCTYPE html><HTML><head></head>\xff</html>")
    assert login.page
    assert (login.skey, login.ret) == ("", 0)


def test_a_login_that_goes_on_elsewhere() -> None:
    body = b"<error><ret>0</ret><redirecturl>https://wx8.qq.com/x?a=1&amp;b=2</redirecturl></error>"
    assert responses.new_login(body).redirect == "https://wx8.qq.com/x?a=1&b=2"


@pytest.mark.parametrize(
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
    assert responses.push_login(body) == uuid


@pytest.mark.parametrize(
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
    check = responses.check(body)
    assert (check.retcode, check.selector) == (retcode, selector)


@pytest.mark.parametrize(
    "body",
    [b"", b"HTTP status 0", b"<html>", b"window.synccheck={}", b'window.synccheck={retcode:"' + b"9" * 40],
)
def test_check_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(Unreadable):
        responses.check(body)


@pytest.mark.parametrize(("ret", "value"), [(0, 0), ("1101", 1101), (-1, -1)])
def test_ret(ret: object, value: int) -> None:
    assert responses.ret_of({"BaseResponse": {"Ret": ret}}) == value


@pytest.mark.parametrize(
    "answer", [{}, {"BaseResponse": 5}, {"BaseResponse": {}}, {"BaseResponse": {"Ret": None}}]
)
def test_without_ret_it_is_no_answer(answer: dict[str, object]) -> None:
    with pytest.raises(Unreadable):
        responses.ret_of(answer)


def test_the_servers_words() -> None:
    assert responses.message_of({"BaseResponse": {"Ret": 1, "ErrMsg": "no <b>way</b> &amp;"}}) == "no way &"
    assert responses.message_of({"BaseResponse": {"Ret": 1, "ErrMsg": {"Str": "no"}}}) == "no"
    assert responses.message_of({}) == ""


def test_init() -> None:
    answer = {
        "User": {"UserName": "@me"},
        "SKey": "@crypt_new",
        "SyncKey": {"Count": 1, "List": [{"Key": 1, "Val": 2}]},
        "ChatSet": "filehelper,@@a,",
        "ContactList": [{"UserName": "weixin"}, 5],
    }
    init = responses.init(answer)
    assert init.user == {"UserName": "@me"}
    assert (init.skey, init.keys, init.chats) == ("@crypt_new", ((1, 2),), ("filehelper", "@@a"))
    assert init.contacts == [{"UserName": "weixin"}]


def test_contact_page() -> None:
    page = responses.contact_page({"MemberList": [{"UserName": "a"}, None], "Seq": "688"})
    assert (page.contacts, page.next_seq, page.unread) == ([{"UserName": "a"}], 688, 1)
    assert responses.contact_list({"ContactList": [{}]}) == ([{}], 0)


def test_synced() -> None:
    key = {"Count": 1, "List": [{"Key": 1, "Val": 2}]}
    check = {"Count": 1, "List": [{"Key": 1, "Val": 3}]}
    answer = responses.synced(
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
    assert (len(answer.messages), len(answer.changed), len(answer.deleted), answer.unread) == (1, 1, 1, 1)
    assert (answer.sync, answer.check, answer.skey, answer.more) == (((1, 2),), ((1, 3),), "new", True)
    assert not answer.empty


def test_synced_without_a_check_key_falls_back_to_the_sync_key() -> None:
    answer = responses.synced({"SyncKey": {"Count": 1, "List": [{"Key": 1, "Val": 2}]}})
    assert answer.check == ((1, 2),)
    assert answer.empty


def test_no_secret_shows_in_a_repr() -> None:
    shown = [
        responses.qr_code(b'window.QRLogin.code = 200; window.QRLogin.uuid = "SECRET";'),
        responses.scan_answer(b'window.code=200;window.redirect_uri="https://SECRET"'),
        responses.new_login(b"<skey>SECRET</skey><wxsid>SECRET</wxsid><wxuin>SECRET</wxuin>"),
        responses.init({"SKey": "SECRET"}),
        responses.synced({"SKey": "SECRET"}),
    ]
    assert "SECRET" not in repr(shown)


@given(st.binary(max_size=200))
def test_no_bytes_make_a_parser_fail_otherwise(body: bytes) -> None:
    responses.qr_code(body)
    responses.scan_answer(body)
    responses.new_login(body)
    for parser in (responses.check, answers.parsed, responses.push_login):
        with suppress(Unreadable):
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
    found = answers.parsed(json.dumps(answer).encode())
    responses.init(found)
    responses.synced(found)
    responses.contact_page(found)
    responses.contact_list(found)
    responses.message_of(found)

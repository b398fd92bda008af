"""Requests of login, receiving and actions match the protocol (webwx 2.1-2.11, 2.15-2.19)."""

from __future__ import annotations

import pytest

from tests.support.rows import every_row
from tests.unit.wechat.webwx.request_parts import (
    BASE_REQUEST,
    DESKTOP,
    DESKTOP_SESSION,
    NOW,
    POSITION,
    SESSION,
    SITE,
    B,
    base_url,
    body,
    query,
)
from wx2mqtt.model import (
    AcceptFriend,
    AddMembers,
    CreateGroup,
    Handle,
    MarkRead,
    Recall,
    RemoveMembers,
    RenameGroup,
    SendKey,
    SetRemark,
)
from wx2mqtt.wechat.webwx.protocol import requests
from wx2mqtt.wechat.webwx.protocol.hosts import ClientProfile, hosts_at_endpoint
from wx2mqtt.wechat.webwx.protocol.requests import Request
from wx2mqtt.wechat.webwx.protocol.session import Session

KEY = SendKey("17000000000001234")


GROUP = Handle("@@f00d")


TWO = (Handle("@mom"), Handle("@bob"))


SIGNED = {"lang": "zh_CN", "pass_ticket": "aB+c="}


def rest(request: Request) -> dict[str, object]:
    asked = body(request)
    assert asked.pop("BaseRequest") == BASE_REQUEST
    return asked


def test_recall() -> None:
    request = requests.chat_request(SESSION, Recall(chat=GROUP, message_id="76152829"), KEY)
    assert (base_url(request), query(request)) == (f"{B}/webwxrevokemsg", SIGNED)
    assert rest(request) == {"SvrMsgId": "76152829", "ToUserName": GROUP, "ClientMsgId": KEY}


def test_mark_read() -> None:
    request = requests.chat_request(SESSION, MarkRead(chat=GROUP), KEY)
    assert (base_url(request), query(request)) == (f"{B}/webwxstatusnotify", SIGNED)
    assert rest(request) == {
        "Code": 1,
        "FromUserName": "@me",
        "ToUserName": GROUP,
        "ClientMsgId": 17000000000001234,
    }


@pytest.mark.parametrize("remark", ["老婆 🌸", ""])
def test_set_remark(remark: str) -> None:
    request = requests.chat_request(SESSION, SetRemark(person=Handle("@mom"), remark=remark), KEY)
    assert (base_url(request), query(request)) == (f"{B}/webwxoplog", SIGNED)
    assert rest(request) == {"CmdId": 2, "UserName": "@mom", "RemarkName": remark}


def test_accept_friend() -> None:
    asked = AcceptFriend(request={"username": "@stranger", "ticket": "v2_x@stranger"})
    request = requests.accept_friend_request(SESSION, asked, NOW)
    assert (base_url(request), query(request)) == (f"{B}/webwxverifyuser", {**SIGNED, "r": str(NOW)})
    assert rest(request) == {
        "Opcode": 3,
        "VerifyUserListSize": 1,
        "VerifyUserList": [{"Value": "@stranger", "VerifyUserTicket": "v2_x@stranger"}],
        "VerifyContent": "",
        "SceneListCount": 1,
        "SceneList": [33],
        "skey": SESSION.skey,
    }


def test_create_group() -> None:
    request = requests.create_group_request(SESSION, CreateGroup(members=TWO, name="周末"), NOW)
    assert (base_url(request), query(request)) == (f"{B}/webwxcreatechatroom", {**SIGNED, "r": str(NOW)})
    assert rest(request) == {
        "MemberCount": 2,
        "MemberList": [{"UserName": "@mom"}, {"UserName": "@bob"}],
        "Topic": "周末",
    }


@pytest.mark.parametrize(
    ("invite", "fun", "key"),
    [(False, "addmember", "AddMemberList"), (True, "invitemember", "InviteMemberList")],
)
def test_members_are_added_to_a_small_group_and_invited_into_a_large_one(
    invite: bool, fun: str, key: str
) -> None:
    request = requests.change_group_request(SESSION, AddMembers(group=GROUP, members=TWO), invite=invite)
    assert (base_url(request), query(request)) == (f"{B}/webwxupdatechatroom", {**SIGNED, "fun": fun})
    assert rest(request) == {key: "@mom,@bob", "ChatRoomName": GROUP}


def test_remove_members() -> None:
    request = requests.change_group_request(SESSION, RemoveMembers(group=GROUP, members=TWO))
    assert (base_url(request), query(request)) == (f"{B}/webwxupdatechatroom", {**SIGNED, "fun": "delmember"})
    assert rest(request) == {"DelMemberList": "@mom,@bob", "ChatRoomName": GROUP}


def test_rename_group() -> None:
    request = requests.change_group_request(SESSION, RenameGroup(group=GROUP, name="相亲相爱"))
    assert (base_url(request), query(request)) == (f"{B}/webwxupdatechatroom", {**SIGNED, "fun": "modtopic"})
    assert rest(request) == {"NewTopic": "相亲相爱", "ChatRoomName": GROUP}


def test_each_may_have_been_done_when_its_answer_is_lost() -> None:
    made = [
        requests.chat_request(SESSION, Recall(chat=GROUP, message_id="1"), KEY),
        requests.chat_request(SESSION, MarkRead(chat=GROUP), KEY),
        requests.chat_request(SESSION, SetRemark(person=Handle("@mom"), remark=""), KEY),
        requests.accept_friend_request(SESSION, AcceptFriend(request={}), NOW),
        requests.create_group_request(SESSION, CreateGroup(members=TWO), NOW),
        requests.change_group_request(SESSION, RenameGroup(group=GROUP, name="x")),
    ]
    assert all(request.endpoint.is_delivery for request in made)


def test_jslogin() -> None:
    request = requests.jslogin_request(SITE, NOW)
    assert base_url(request) == "https://login.wx2.qq.com/jslogin"
    assert query(request) == {
        "appid": "wx782c26e4c19acffb",
        "redirect_uri": "https://wx.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage",
        "fun": "new",
        "lang": "zh_CN",
        "_": "1700000000123",
    }
    assert request.body is None


def test_desktop_mode_is_said_from_the_first_call_on() -> None:
    assert query(requests.jslogin_request(DESKTOP, NOW))["redirect_uri"].endswith(
        "webwxnewloginpage?mod=desktop"
    )
    redirect = "https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=A@q_0&scan=1"
    request = requests.new_login_request(DESKTOP, redirect)
    assert request.url.endswith("&fun=new&version=v2&mod=desktop")
    assert request.headers["client-version"] == "2.0.0"
    assert request.headers["extspam"] == "Go8F"
    assert request.headers["Referer"] == "https://wx.qq.com/?&lang=zh_CN&target=t"
    assert query(requests.push_login_request(DESKTOP_SESSION, {})) == {"uin": "211722515", "mod": "desktop"}


@pytest.mark.parametrize(("first", "tip"), [(True, "1"), (False, "0")])
def test_scan_poll(first: bool, tip: str) -> None:
    request = requests.scan_poll_request(SITE, "gZbA1kXyTQ==", first=first, now=NOW)
    assert base_url(request) == "https://login.wx2.qq.com/cgi-bin/mmwebwx-bin/login"
    asked = query(request)
    assert asked.pop("r") == str(requests.inverted_time(NOW))
    assert asked == {"loginicon": "true", "uuid": "gZbA1kXyTQ==", "tip": tip, "_": "1700000000123"}


def test_new_login_adds_to_the_redirect_and_nothing_of_desktop_mode() -> None:
    redirect = (
        "https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=A@q_0&uuid=g==&lang=zh_CN&scan=1"
    )
    request = requests.new_login_request(SITE, redirect)
    assert request.url == f"{redirect}&fun=new&version=v2"
    assert set(request.headers) == {"Referer"}


def test_new_login_goes_to_the_endpoint_whatever_host_the_redirect_names() -> None:
    site = ClientProfile(hosts=hosts_at_endpoint("http://127.0.0.1:8000/p"))
    for redirect in ("https://wx2.qq.com/cgi-bin/x?a=1", "http://127.0.0.1:8000/p/cgi-bin/x?a=1"):
        assert (
            requests.new_login_request(site, redirect).url
            == "http://127.0.0.1:8000/p/cgi-bin/x?a=1&fun=new&version=v2"
        )
    assert (
        requests.new_login_request(site, "http://h/cgi-bin/x").url
        == "http://127.0.0.1:8000/p/cgi-bin/x?fun=new&version=v2"
    )


def test_push_login_holds_the_cookies_that_a_browser_would() -> None:
    request = requests.push_login_request(SESSION, {"wxloadtime": "1700", "wxsid": "s"})
    assert base_url(request) == f"{B}/webwxpushloginurl"
    assert query(request) == {"uin": "211722515"}
    assert request.cookies == {
        "last_wxuin": "211722515",
        "login_frequency": "2",
        "wxloadtime": "1700_expired",
    }


def test_init() -> None:
    request = requests.init_request(SESSION, NOW)
    assert base_url(request) == f"{B}/webwxinit"
    assert query(request) == {"r": str(requests.inverted_time(NOW)), "lang": "zh_CN", "pass_ticket": "aB+c="}
    assert "pass_ticket=aB%2Bc%3D" in request.url
    assert body(request) == {"BaseRequest": BASE_REQUEST}


def test_status_notify() -> None:
    request = requests.status_notify_request(SESSION, NOW)
    assert base_url(request) == f"{B}/webwxstatusnotify"
    assert query(request) == {"lang": "zh_CN", "pass_ticket": "aB+c="}
    assert body(request) == {
        "BaseRequest": BASE_REQUEST,
        "Code": 3,
        "FromUserName": "@me",
        "ToUserName": "@me",
        "ClientMsgId": NOW,
    }


def test_get_contact_is_a_get() -> None:
    request = requests.get_contact_request(SESSION, 688, NOW)
    assert base_url(request) == f"{B}/webwxgetcontact"
    assert request.body is None
    assert query(request) == {
        "lang": "zh_CN",
        "pass_ticket": "aB+c=",
        "r": str(NOW),
        "seq": "688",
        "skey": "@crypt_8b4f09cc_a587",
    }


def test_batch_get() -> None:
    request = requests.batch_get_request(SESSION, ["@@g", "@p"], NOW)
    assert base_url(request) == f"{B}/webwxbatchgetcontact"
    assert query(request) == {"type": "ex", "r": str(NOW), "lang": "zh_CN", "pass_ticket": "aB+c="}
    assert body(request) == {
        "BaseRequest": BASE_REQUEST,
        "Count": 2,
        "List": [{"UserName": "@@g", "ChatRoomId": ""}, {"UserName": "@p", "ChatRoomId": ""}],
    }


def test_sync_check_uses_the_check_key_and_the_right_names() -> None:
    request = requests.sync_check_request(SESSION, POSITION, NOW)
    assert base_url(request) == "https://webpush.wx2.qq.com/cgi-bin/mmwebwx-bin/synccheck"
    assert query(request) == {
        "r": str(NOW),
        "skey": "@crypt_8b4f09cc_a587",
        "sid": "+urBrYI292xoIknf",
        "uin": "211722515",
        "deviceid": "e123456789012345",
        "synckey": "1_701|11_5",
        "_": str(NOW),
    }
    assert "synckey=1_701%7C11_5" in request.url


def test_sync_uses_the_sync_key() -> None:
    request = requests.sync_request(SESSION, POSITION, NOW)
    assert base_url(request) == f"{B}/webwxsync"
    assert query(request) == {
        "sid": "+urBrYI292xoIknf",
        "skey": "@crypt_8b4f09cc_a587",
        "lang": "zh_CN",
        "pass_ticket": "aB+c=",
    }
    assert body(request) == {
        "BaseRequest": BASE_REQUEST,
        "SyncKey": {"Count": 2, "List": [{"Key": 1, "Val": 700}, {"Key": 1000, "Val": 1520}]},
        "rr": requests.inverted_time(NOW),
    }


def test_logout() -> None:
    request = requests.logout_request(SESSION)
    assert base_url(request) == f"{B}/webwxlogout"
    assert query(request) == {"redirect": "1", "type": "0", "skey": "@crypt_8b4f09cc_a587"}
    assert request.body == b"sid=%2BurBrYI292xoIknf&uin=211722515"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_a_ticket_that_is_not_encoded_does_not_end_the_query() -> None:
    session = Session(
        login_id="l", base="b", uin="x&y", sid="s", skey="k", pass_ticket="a+b&c=d#e", device_id="e1"
    )
    request = requests.init_request(session, NOW)
    assert query(request)["pass_ticket"] == "a+b&c=d#e"
    assert body(request)["BaseRequest"] == {"Uin": "x&y", "Sid": "s", "Skey": "k", "DeviceID": "e1"}


@every_row(("now", "inverted"), [(0, -1), (1700000000123, 807049092), (2**31, 2147483647), (2**32 + 5, -6)])
def test_inverted_time_is_as_javascript_has_it(now: int, inverted: int) -> None:
    assert requests.inverted_time(now) == inverted


def test_no_secret_shows_in_a_repr() -> None:
    assert "crypt" not in repr(requests.sync_request(SESSION, POSITION, NOW))


@pytest.mark.parametrize("uin", ["9" * 5000, "x&y"])
def test_a_uin_that_is_no_number_of_wechat_is_sent_as_it_came(uin: str) -> None:
    session = Session(login_id="l", base="b", uin=uin, sid="s", skey="k", pass_ticket="t", device_id="e1")
    base = body(requests.init_request(session, NOW))["BaseRequest"]
    assert base == {"Uin": uin, "Sid": "s", "Skey": "k", "DeviceID": "e1"}

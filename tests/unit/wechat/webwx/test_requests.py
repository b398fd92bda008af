"""What is sent is exactly what the protocol says (webwx 2)."""

from __future__ import annotations

import pytest

from tests.unit.wechat.webwx.asked import (
    BASE_REQUEST,
    DESKTOP,
    NOW,
    POSITION,
    SESSION,
    SITE,
    B,
    body,
    place,
    query,
)
from wx2mqtt.wechat.webwx import requests
from wx2mqtt.wechat.webwx.endpoints import everything_at
from wx2mqtt.wechat.webwx.requests import Site
from wx2mqtt.wechat.webwx.session import Session


def test_jslogin() -> None:
    request = requests.jslogin(SITE, NOW)
    assert place(request) == "https://login.wx2.qq.com/jslogin"
    assert query(request) == {
        "appid": "wx782c26e4c19acffb",
        "redirect_uri": "https://wx.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage",
        "fun": "new",
        "lang": "zh_CN",
        "_": "1700000000123",
    }
    assert request.body is None


def test_desktop_mode_is_said_from_the_first_call_on() -> None:
    assert query(requests.jslogin(DESKTOP, NOW))["redirect_uri"].endswith("webwxnewloginpage?mod=desktop")
    redirect = "https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=A@q_0&scan=1"
    request = requests.new_login(DESKTOP, redirect)
    assert request.url.endswith("&fun=new&version=v2&mod=desktop")
    assert request.headers["client-version"] == "2.0.0"
    assert request.headers["extspam"] == "Go8F"
    assert request.headers["Referer"] == "https://wx.qq.com/?&lang=zh_CN&target=t"
    assert query(requests.push_login(DESKTOP, SESSION, {})) == {"uin": "211722515", "mod": "desktop"}


@pytest.mark.parametrize(("first", "tip"), [(True, "1"), (False, "0")])
def test_scan_poll(first: bool, tip: str) -> None:
    request = requests.scan_poll(SITE, "gZbA1kXyTQ==", first=first, now=NOW)
    assert place(request) == "https://login.wx2.qq.com/cgi-bin/mmwebwx-bin/login"
    asked = query(request)
    assert asked.pop("r") == str(requests.inverted(NOW))
    assert asked == {"loginicon": "true", "uuid": "gZbA1kXyTQ==", "tip": tip, "_": "1700000000123"}


def test_new_login_adds_to_the_redirect_and_nothing_of_desktop_mode() -> None:
    redirect = (
        "https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=A@q_0&uuid=g==&lang=zh_CN&scan=1"
    )
    request = requests.new_login(SITE, redirect)
    assert request.url == f"{redirect}&fun=new&version=v2"
    assert set(request.headers) == {"Referer"}


def test_new_login_goes_to_the_endpoint_whatever_host_the_redirect_names() -> None:
    site = Site(hosts=everything_at("http://127.0.0.1:8000/p"))
    for redirect in ("https://wx2.qq.com/cgi-bin/x?a=1", "http://127.0.0.1:8000/p/cgi-bin/x?a=1"):
        assert (
            requests.new_login(site, redirect).url
            == "http://127.0.0.1:8000/p/cgi-bin/x?a=1&fun=new&version=v2"
        )
    assert (
        requests.new_login(site, "http://h/cgi-bin/x").url
        == "http://127.0.0.1:8000/p/cgi-bin/x?fun=new&version=v2"
    )


def test_push_login_holds_the_cookies_that_a_browser_would() -> None:
    request = requests.push_login(SITE, SESSION, {"wxloadtime": "1700", "wxsid": "s"})
    assert place(request) == f"{B}/webwxpushloginurl"
    assert query(request) == {"uin": "211722515"}
    assert request.cookies == {
        "last_wxuin": "211722515",
        "login_frequency": "2",
        "wxloadtime": "1700_expired",
    }


def test_init() -> None:
    request = requests.init(SITE, SESSION, NOW)
    assert place(request) == f"{B}/webwxinit"
    assert query(request) == {"r": str(requests.inverted(NOW)), "lang": "zh_CN", "pass_ticket": "aB+c="}
    assert "pass_ticket=aB%2Bc%3D" in request.url
    assert body(request) == {"BaseRequest": BASE_REQUEST}


def test_status_notify() -> None:
    request = requests.status_notify(SITE, SESSION, NOW)
    assert place(request) == f"{B}/webwxstatusnotify"
    assert query(request) == {"lang": "zh_CN", "pass_ticket": "aB+c="}
    assert body(request) == {
        "BaseRequest": BASE_REQUEST,
        "Code": 3,
        "FromUserName": "@me",
        "ToUserName": "@me",
        "ClientMsgId": NOW,
    }


def test_get_contact_is_a_get() -> None:
    request = requests.get_contact(SITE, SESSION, 688, NOW)
    assert place(request) == f"{B}/webwxgetcontact"
    assert request.body is None
    assert query(request) == {
        "lang": "zh_CN",
        "pass_ticket": "aB+c=",
        "r": str(NOW),
        "seq": "688",
        "skey": "@crypt_8b4f09cc_a587",
    }


def test_batch_get() -> None:
    request = requests.batch_get(SITE, SESSION, ["@@g", "@p"], NOW)
    assert place(request) == f"{B}/webwxbatchgetcontact"
    assert query(request) == {"type": "ex", "r": str(NOW), "lang": "zh_CN", "pass_ticket": "aB+c="}
    assert body(request) == {
        "BaseRequest": BASE_REQUEST,
        "Count": 2,
        "List": [{"UserName": "@@g", "ChatRoomId": ""}, {"UserName": "@p", "ChatRoomId": ""}],
    }


def test_sync_check_uses_the_check_key_and_the_right_names() -> None:
    request = requests.sync_check(SITE, SESSION, POSITION, NOW)
    assert place(request) == "https://webpush.wx2.qq.com/cgi-bin/mmwebwx-bin/synccheck"
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
    request = requests.sync(SITE, SESSION, POSITION, NOW)
    assert place(request) == f"{B}/webwxsync"
    assert query(request) == {
        "sid": "+urBrYI292xoIknf",
        "skey": "@crypt_8b4f09cc_a587",
        "lang": "zh_CN",
        "pass_ticket": "aB+c=",
    }
    assert body(request) == {
        "BaseRequest": BASE_REQUEST,
        "SyncKey": {"Count": 2, "List": [{"Key": 1, "Val": 700}, {"Key": 1000, "Val": 1520}]},
        "rr": requests.inverted(NOW),
    }


def test_logout() -> None:
    request = requests.logout(SITE, SESSION)
    assert place(request) == f"{B}/webwxlogout"
    assert query(request) == {"redirect": "1", "type": "0", "skey": "@crypt_8b4f09cc_a587"}
    assert request.body == b"sid=%2BurBrYI292xoIknf&uin=211722515"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_a_ticket_that_is_not_encoded_does_not_end_the_query() -> None:
    session = Session(
        login_id="l", base="b", uin="x&y", sid="s", skey="k", pass_ticket="a+b&c=d#e", device_id="e1"
    )
    request = requests.init(SITE, session, NOW)
    assert query(request)["pass_ticket"] == "a+b&c=d#e"
    assert body(request)["BaseRequest"] == {"Uin": "x&y", "Sid": "s", "Skey": "k", "DeviceID": "e1"}


@pytest.mark.parametrize(
    ("now", "inverted"), [(0, -1), (1700000000123, 807049092), (2**31, 2147483647), (2**32 + 5, -6)]
)
def test_inverted_time_is_as_javascript_has_it(now: int, inverted: int) -> None:
    assert requests.inverted(now) == inverted


def test_no_secret_shows_in_a_repr() -> None:
    assert "crypt" not in repr(requests.sync(SITE, SESSION, POSITION, NOW))

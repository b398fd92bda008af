"""What is sent is exactly what the protocol says (webwx 2)."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from wx2mqtt.model import Draft, Handle, Kind, SendKey
from wx2mqtt.wechat.webwx import requests
from wx2mqtt.wechat.webwx.endpoints import everything_at, hosts_of
from wx2mqtt.wechat.webwx.position import Position
from wx2mqtt.wechat.webwx.requests import Desktop, Request, Site
from wx2mqtt.wechat.webwx.session import Session

NOW = 1700000000123
SITE = Site(hosts=hosts_of("wx2.qq.com"), lang="zh_CN")
DESKTOP = Site(hosts=hosts_of("wx2.qq.com"), desktop=Desktop(client_version="2.0.0", extspam="Go8F"))
SESSION = Session(
    login_id="l1",
    base="wx2.qq.com",
    uin="211722515",
    sid="+urBrYI292xoIknf",
    skey="@crypt_8b4f09cc_a587",
    pass_ticket="aB%2Bc%3D",
    device_id="e123456789012345",
    handle=Handle("@me"),
)
BASE_REQUEST = {
    "Uin": 211722515,
    "Sid": "+urBrYI292xoIknf",
    "Skey": "@crypt_8b4f09cc_a587",
    "DeviceID": "e123456789012345",
}
POSITION = Position(sync=((1, 700), (1000, 1520)), check=((1, 701), (11, 5)))


def query(request: Request) -> dict[str, str]:
    pairs = parse_qs(urlsplit(request.url).query, keep_blank_values=True, strict_parsing=True)
    return {key: values[0] for key, values in pairs.items() if len(values) == 1}


def body(request: Request) -> dict[str, object]:
    assert request.body is not None
    assert request.headers["Content-Type"] == "application/json; charset=UTF-8"
    found = json.loads(request.body)
    assert isinstance(found, dict)
    return found


def place(request: Request) -> str:
    parts = urlsplit(request.url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


B = "https://wx2.qq.com/cgi-bin/mmwebwx-bin"


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


def test_send_text_is_raw_utf8_with_one_key() -> None:
    draft = Draft(chat=Handle("filehelper"), kind=Kind.TEXT, text='开灯 ☀ </b> "x"\n😀')
    request = requests.send_text(SITE, SESSION, draft, SendKey("17000000000001234"))
    assert place(request) == f"{B}/webwxsendmsg"
    assert query(request) == {"lang": "zh_CN", "pass_ticket": "aB+c="}
    assert request.body is not None
    assert "开灯 ☀ </b>".encode() in request.body
    assert "😀".encode() in request.body
    assert b"\\u" not in request.body
    assert body(request) == {
        "BaseRequest": BASE_REQUEST,
        "Msg": {
            "Type": 1,
            "Content": '开灯 ☀ </b> "x"\n😀',
            "FromUserName": "@me",
            "ToUserName": "filehelper",
            "LocalID": "17000000000001234",
            "ClientMsgId": "17000000000001234",
        },
        "Scene": 0,
    }


def test_text_that_is_no_unicode_is_not_sent() -> None:
    with pytest.raises(UnicodeEncodeError):
        requests.send_text(
            SITE, SESSION, Draft(chat=Handle("x"), kind=Kind.TEXT, text="\ud800"), SendKey("1")
        )


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

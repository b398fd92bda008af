"""The host of each call (webwx 1.1.3, 1.1.6)."""

from __future__ import annotations

from tests.support.rows import every_row
from wx2mqtt.wechat.webwx.protocol import endpoints
from wx2mqtt.wechat.webwx.protocol.hosts import (
    ClientProfile,
    from_cgi_bin,
    host_of,
    hosts_at_endpoint,
    hosts_of,
    is_wechat,
)
from wx2mqtt.wechat.webwx.protocol.requests import build_request


@every_row(
    ("base", "login", "push", "file"),
    [
        ("wx.qq.com", "login.wx.qq.com", "webpush.wx.qq.com", "file.wx.qq.com"),
        ("wx2.qq.com", "login.wx2.qq.com", "webpush.wx2.qq.com", "file.wx2.qq.com"),
        ("wx8.qq.com", "login.wx8.qq.com", "webpush.wx8.qq.com", "file.wx8.qq.com"),
        ("wx9.qq.com", "login.wx.qq.com", "webpush.wx.qq.com", "file.wx.qq.com"),
        ("web2.wechat.com", "login.web2.wechat.com", "webpush.web2.wechat.com", "file.web2.wechat.com"),
        ("web.wechat.com", "login.web.wechat.com", "webpush.web.wechat.com", "file.web.wechat.com"),
        ("web7.wechat.com", "login.web.wechat.com", "webpush.web.wechat.com", "file.web.wechat.com"),
        ("example.org", "login.weixin.qq.com", "webpush.weixin.qq.com", "file.wx.qq.com"),
    ],
)
def test_the_base_host_decides(base: str, login: str, push: str, file: str) -> None:
    hosts = hosts_of(base)
    found = (hosts.base, hosts.login, hosts.push, hosts.file)
    assert found == tuple(f"https://{host}" for host in (base, login, push, file))


def test_one_address_may_stand_for_all_with_a_prefix() -> None:
    profile = ClientProfile(hosts=hosts_at_endpoint("http://127.0.0.1:8000/wechat/"))
    for endpoint, path in (
        (endpoints.JSLOGIN, "jslogin"),
        (endpoints.SYNC_CHECK, "cgi-bin/mmwebwx-bin/synccheck"),
        (endpoints.UPLOAD, "cgi-bin/mmwebwx-bin/webwxuploadmedia"),
    ):
        request = build_request(profile, endpoint, "a=1")
        assert request.url == f"http://127.0.0.1:8000/wechat/{path}?a=1"


@every_row(
    ("url", "ours"),
    [
        ("https://wx2.qq.com/cgi-bin/x", True),
        ("https://web.wechat.com:443/", True),
        ("https://qq.com/", True),
        ("http://wx2.qq.com/", False),
        ("https://wx2.qq.com:8443/", False),
        ("https://wx2.qq.com.evil.example/", False),
        ("https://notqq.com/", False),
        ("https://evil@wx2.qq.com/", False),
        ("https://[", False),
        ("https://wx.qq.com:x/", False),
        ("/relative", False),
    ],
)
def test_keys_go_to_wechat_only(url: str, ours: bool) -> None:
    assert is_wechat(url) is ours


@every_row(
    ("url", "rest"),
    [
        ("https://wx2.qq.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=A@q_0&scan=1#x", None),
        ("http://127.0.0.1:8000/prefix/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=A@q_0&scan=1", None),
        ("http://host/other?x=1", "/other?x=1"),
        ("http://host", "/"),
        ("nonsense", "/"),
    ],
)
def test_a_redirect_is_followed_from_cgi_bin_on(url: str, rest: str | None) -> None:
    assert from_cgi_bin(url) == (rest or "/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=A@q_0&scan=1")


def test_a_host_is_found_or_empty() -> None:
    assert host_of("https://WX2.qq.com/x") == "wx2.qq.com"
    assert host_of("https://[") == ""
    assert host_of("/x") == ""

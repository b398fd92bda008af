"""The roles of WeChat's hosts (webwx 1.1)."""

from __future__ import annotations

from tests.support.rows import every_row
from wx2mqtt.simulator import hosts
from wx2mqtt.simulator.hosts import Role


@every_row("base", ["wx.qq.com", "wx2.qq.com", "wx8.qq.com", "web.wechat.com", "web2.wechat.com"])
def test_every_cluster_has_its_four_hosts(base: str):
    names = {
        Role.BASE: base,
        Role.LOGIN: f"login.{base}",
        Role.FILE: f"file.{base}",
        Role.PUSH: f"webpush.{base}",
    }
    for role, name in names.items():
        assert hosts.serves_role(name, role, base)
        assert hosts.CLUSTERS[base].host(role) == name
        assert name in hosts.ALL_HOSTS


def test_the_hosts_of_wecom_are_known():
    assert {hosts.WECOM_GATEWAY, hosts.WECOM_SITE} <= {*hosts.ALL_HOSTS}


def test_any_login_host_works_and_no_other_clusters_push_host():
    assert hosts.serves_role("login.weixin.qq.com", Role.LOGIN, "web.wechat.com")
    assert not hosts.serves_role("wx2.qq.com", Role.LOGIN, "wx2.qq.com")
    assert not hosts.serves_role("webpush.wx.qq.com", Role.PUSH, "wx2.qq.com")


def test_names_that_are_not_wechats_and_unknown_clusters_fit_everything():
    assert hosts.serves_role("localhost", Role.PUSH, "wx.qq.com")
    assert hosts.serves_role("anything.qq.com", Role.BASE, "wx77.qq.com")


@every_row(
    ("header", "name"),
    [
        ("wx.qq.com", "wx.qq.com"),
        ("WX.qq.com:443", "wx.qq.com"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:80", "[::1]:80"),
    ],
)
def test_the_name_in_a_host_header(header: str, name: str):
    assert hosts.host_name(header) == name


def test_shared_cookies_belong_to_the_domain_of_the_host():
    assert hosts.cookie_domain("wx2.qq.com") == ".qq.com"
    assert hosts.cookie_domain("web.wechat.com") == ".wechat.com"
    assert hosts.cookie_domain("localhost") == ""

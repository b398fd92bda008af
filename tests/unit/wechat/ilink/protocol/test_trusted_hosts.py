"""A token goes to Tencent's hosts, to hosts that the owner allows, or to the owner's endpoint: nowhere else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.wechat.ilink.protocol.endpoints import CDN_ORIGIN, LOGIN_ORIGIN
from wx2mqtt.wechat.ilink.protocol.trusted_hosts import TrustedHosts, host_of

TENCENT = TrustedHosts()
OWN = TrustedHosts(endpoint="http://127.0.0.1:8070/")


@every_row(
    ("address", "base"),
    [
        ("", LOGIN_ORIGIN),
        ("  ", LOGIN_ORIGIN),
        ("https://ilinkai.weixin.qq.com", "https://ilinkai.weixin.qq.com"),
        ("https://b.example.weixin.qq.com/", "https://b.example.weixin.qq.com"),
        ("https://ILINK.weixin.qq.com:443/a/b/", "https://ilink.weixin.qq.com/a/b"),
        ("http://ilinkai.weixin.qq.com", None),
        ("https://evil.example", None),
        ("https://weixin.qq.com.evil.example", None),
        ("https://evilweixin.qq.com", None),
        ("https://ilinkai.weixin.qq.com:8443", None),
        ("https://me@ilinkai.weixin.qq.com", None),
        ("https://ilinkai.weixin.qq.com@evil.example", None),
        ("https://ilinkai.weixin.qq.com/?a=b", None),
        ("https://ilinkai.weixin.qq.com/#a", None),
        ("https://ilinkai.weixin.qq.com/a b", None),
        ("https://evil.example\\.weixin.qq.com", None),
        ("https://evil.example%2f.weixin.qq.com", None),
        ("https://[::1].weixin.qq.com", None),
        ("https://x:y:z", None),
        ("//weixin.qq.com", None),
        ("weixin.qq.com", None),
        ("https://微信.weixin.qq.com", None),
        ("https://a.weixin.qq.com\n", "https://a.weixin.qq.com"),
        ("https://a.weixin.qq.com\r\nX: y", None),
    ],
)
def test_only_tencent_s_own_hosts_are_believed(address: str, base: str | None) -> None:
    assert TENCENT.base_url(address) == base


def test_the_owner_may_allow_others_and_what_is_below_them() -> None:
    hosts = TrustedHosts(extra=("relay.Example",))
    assert hosts.base_url("https://relay.example/x") == "https://relay.example/x"
    assert hosts.base_url("https://a.relay.example") == "https://a.relay.example"
    assert hosts.base_url("https://arelay.example") is None
    assert hosts.base_url("http://relay.example") is None
    assert hosts.base_url("https://ilinkai.weixin.qq.com") == LOGIN_ORIGIN


@every_row("address", ["evil.example", "a.weixin.qq.com:80", "me@a.weixin.qq.com", "a.weixin.qq.com/x", ""])
def test_a_login_is_sent_on_to_a_bare_host_only(address: str) -> None:
    assert TENCENT.polling_url(address) is None


def test_the_case_of_a_host_does_not_matter() -> None:
    assert TENCENT.polling_url("B.Weixin.QQ.com") == "https://b.weixin.qq.com"


def test_a_login_is_sent_on_to_another_host_of_tencent_s() -> None:
    assert TENCENT.polling_url("b.weixin.qq.com") == "https://b.weixin.qq.com"


def test_with_an_endpoint_everything_goes_there() -> None:
    assert OWN.login == "http://127.0.0.1:8070"
    assert OWN.cdn == "http://127.0.0.1:8070/c2c"
    assert OWN.base_url("https://evil.example") == OWN.polling_url("evil.example") == OWN.login
    assert OWN.media_url("https://novac2c.cdn.weixin.qq.com/c2c/download?a=%2Fb") == (
        "http://127.0.0.1:8070/c2c/download?a=%2Fb"
    )
    assert OWN.media_url("http://127.0.0.1:8070/c2c/download?a=b") == "http://127.0.0.1:8070/c2c/download?a=b"


@every_row(
    "address",
    [
        *("@evil.example/a", ".evil.example/a", "evil.example/a", "//evil.example/a", "ftp://evil.example/a"),
        *("https:///a", "https://a b/c", "https://a/b c", "https://a/b\nc", ""),
    ],
)
def test_no_address_of_a_file_replaces_the_host_of_the_endpoint(address: str) -> None:
    assert OWN.media_url(address) is None


@given(st.text(alphabet="https:/@.evil?#%\\[] 0", max_size=30))
def test_bytes_come_from_the_endpoint_where_there_is_one(address: str) -> None:
    url = OWN.media_url(address)
    assert url is None or url.startswith("http://127.0.0.1:8070/")


def test_bytes_come_from_believed_hosts_only() -> None:
    good = f"{CDN_ORIGIN}/download?encrypted_query_param=a%2Bb&taskid=1"
    assert TENCENT.media_url(good) == good
    for bad in (
        "https://evil.example/c2c/download?a=b",
        "http://novac2c.cdn.weixin.qq.com/c2c",
        "file:///etc/passwd",
        "https://169.254.169.254/latest",
        "https://localhost/",
        "https://a:b",
    ):
        assert TENCENT.media_url(bad) is None


@given(st.text())
def test_no_text_makes_it_fail_or_leaves_tencent(address: str) -> None:
    for url in (TENCENT.base_url(address), TENCENT.polling_url(address), TENCENT.media_url(address)):
        if url is not None:
            assert host_of(url).endswith("weixin.qq.com")
    OWN.media_url(address)
    host_of(address)


@given(st.text(alphabet="https:/@.weixinqcom?#%\\[]ev", max_size=40))
def test_no_trick_with_the_parts_of_an_address_leaves_tencent(address: str) -> None:
    url = TENCENT.media_url(address)
    if url is not None:
        assert host_of(url) == "weixin.qq.com" or host_of(url).endswith(".weixin.qq.com")

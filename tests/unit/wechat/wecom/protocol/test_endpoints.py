import pytest

from wx2mqtt.wechat.wecom.protocol.endpoints import file_url, qr_base, socket_url

STORAGE = "https://ww-aibot-img.cos.ap-guangzhou.myqcloud.com/a?sign=b%2F1"


@pytest.mark.parametrize(
    ("endpoint", "socket", "base"),
    [
        (None, "wss://openws.work.weixin.qq.com", "https://work.weixin.qq.com"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://bots.example/wecom/", "wss://bots.example/wecom/", "https://bots.example/wecom"),
    ],
)
def test_one_endpoint_replaces_both_hosts(endpoint, socket, base):
    assert (socket_url(endpoint), qr_base(endpoint)) == (socket, base)


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example/a",
        "https://127.0.0.1/a",
        "https://192.168.1.1./a",
        "https://[::1]/a",
        "https://localhost/a",
        "https://files.example:8443/a",
        "https://me@files.example/a",
        "https://files.example/a b",
        "https://[x",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_file_is_fetched_from_public_names_only(url):
    assert file_url(None, url) is None
    assert file_url(None, STORAGE) == STORAGE


def test_with_an_endpoint_a_file_is_there():
    assert file_url("http://127.0.0.1:8080", "http://127.0.0.1:8080/files/1") is not None
    assert file_url("http://127.0.0.1:8080", STORAGE) is None
    assert file_url("http://127.0.0.1:8080", "http://127.0.0.1:8081/files/1") is None

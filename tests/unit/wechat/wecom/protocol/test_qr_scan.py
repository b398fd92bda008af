import pytest

from wx2mqtt.wechat.wecom.protocol.qr_scan import (
    ScanCode,
    ScanState,
    generate_url,
    query_url,
    read_scan,
    read_scan_code,
)
from wx2mqtt.wechat.wecom.protocol.session import BotCredentials


def test_the_addresses_name_source_and_code():
    assert generate_url("https://h", "a b") == "https://h/ai/qc/generate?source=a%20b&plat=3"
    assert query_url("https://h", "s/1") == "https://h/ai/qc/query_result?scode=s%2F1"


def test_a_code_has_an_address_to_draw():
    answer = {"data": {"scode": "s", "auth_url": "https://work.weixin.qq.com/ai/qc/c?s=1"}}
    assert read_scan_code(answer) == ScanCode(url="https://work.weixin.qq.com/ai/qc/c?s=1", scode="s")
    assert "s=1" not in repr(read_scan_code(answer))


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"errcode": 1},
        {"data": []},
        {"data": {"scode": "s"}},
        {"data": {"scode": "s", "auth_url": "javascript:1"}},
        {"data": {"scode": "s", "auth_url": "http://[x"}},
        {"data": {"scode": "s", "auth_url": "http:"}},
        {"data": {"scode": "s", "auth_url": "https:///ai"}},
        {"data": {"scode": "s", "auth_url": "ht\ntps://x"}},
        {"data": {"scode": "s", "auth_url": "https://x/a b"}},
        {"data": {"scode": "", "auth_url": "https://x"}},
    ],
)
def test_an_answer_without_one_has_none(answer):
    assert read_scan_code(answer) is None


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("wait", ScanState.WAITING),
        ("init", ScanState.WAITING),
        ("something new", ScanState.WAITING),
        ("scaned", ScanState.SCANNED),
        ("SCANNED", ScanState.SCANNED),
        ("expired", ScanState.EXPIRED),
        ("timeout", ScanState.EXPIRED),
        ("error", ScanState.FAILED),
        ("success", ScanState.FAILED),
    ],
)
def test_each_status_and_a_success_without_credentials(status, state):
    assert read_scan({"data": {"status": status}}).state is state


def test_a_success_brings_the_credentials():
    answer = {"data": {"status": "success", "bot_info": {"botid": "b", "secret": "geheim"}}}
    scan = read_scan(answer)
    assert scan.credentials == BotCredentials(bot_id="b", secret="geheim")
    assert "geheim" not in repr(scan)

"""Reads requests in tests, and holds the login that they are made for."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

from wx2mqtt.model import Handle
from wx2mqtt.wechat.webwx.protocol.hosts import ClientProfile, DesktopClient, hosts_of
from wx2mqtt.wechat.webwx.protocol.requests import Request
from wx2mqtt.wechat.webwx.protocol.session import Session, SyncCursor

NOW = 1700000000123
SITE = ClientProfile(hosts=hosts_of("wx2.qq.com"), lang="zh_CN")
DESKTOP = ClientProfile(
    hosts=hosts_of("wx2.qq.com"), desktop=DesktopClient(client_version="2.0.0", extspam="Go8F")
)
SESSION = Session(
    login_id="l1",
    base="wx2.qq.com",
    profile=SITE,
    uin="211722515",
    sid="+urBrYI292xoIknf",
    skey="@crypt_8b4f09cc_a587",
    pass_ticket="aB%2Bc%3D",
    device_id="e123456789012345",
    handle=Handle("@me"),
)
DESKTOP_SESSION = replace(SESSION, profile=DESKTOP)
BASE_REQUEST = {
    "Uin": 211722515,
    "Sid": "+urBrYI292xoIknf",
    "Skey": "@crypt_8b4f09cc_a587",
    "DeviceID": "e123456789012345",
}
POSITION = SyncCursor(sync=((1, 700), (1000, 1520)), check=((1, 701), (11, 5)))


def query(request: Request) -> dict[str, str]:
    pairs = parse_qs(urlsplit(request.url).query, keep_blank_values=True, strict_parsing=True)
    return {key: values[0] for key, values in pairs.items() if len(values) == 1}


def body(request: Request) -> dict[str, object]:
    assert request.body is not None
    assert request.headers["Content-Type"] == "application/json; charset=UTF-8"
    found = json.loads(request.body)
    assert isinstance(found, dict)
    return found


def base_url(request: Request) -> str:
    parts = urlsplit(request.url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


B = "https://wx2.qq.com/cgi-bin/mmwebwx-bin"

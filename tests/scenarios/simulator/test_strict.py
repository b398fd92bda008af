"""A wrong call is refused as WeChat does and recorded; what WeChat tolerates passes (webwx 1.2, 1.3)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.web_client import PREFIX, REDIRECT, WebClient, device_id
from wx2mqtt.simulator.server import Simulator


async def post(client: WebClient, base: dict[str, Any], path: str = "", **options: Any) -> int:
    """Sends webwxstatusnotify with parts of BaseRequest changed (None: left out); returns its Ret."""
    changed = {**client.base_request(), **base}
    body = {
        "BaseRequest": {key: value for key, value in changed.items() if value is not None},
        "Code": 3,
        "FromUserName": client.me,
        "ToUserName": client.me,
        "ClientMsgId": 1,
    }
    answer = await client.http.post(path or client.path("webwxstatusnotify"), json=body, **options)
    ret: int = answer.json()["BaseResponse"]["Ret"]
    return ret


@pytest.mark.parametrize(
    ("base", "ret", "what"),
    [
        ({"Skey": None}, 1, "BaseRequest lacks Skey"),
        ({"DeviceID": "e123"}, 1, "DeviceID is not e and 15 digits"),
        ({"DeviceID": 7}, 1, "DeviceID is not e and 15 digits"),
        ({"Uin": 7}, 1100, "uin is not the account's"),
        ({"Sid": ""}, 1100, "sid is missing"),
        ({"Skey": "@crypt_0_0"}, 1101, "skey was never given to this login"),
        ({"Skey": ""}, 1101, "skey was never given to this login"),
    ],
)
async def test_a_wrong_base_request_is_refused_and_recorded(
    online_client: WebClient, base, ret: int, what: str
):
    assert await post(online_client, base) == ret
    assert await online_client.violations() == [f"webwxstatusnotify: {what}"]


async def test_a_sid_that_the_servers_do_not_know_is_over_and_no_violation(online_client: WebClient):
    assert await post(online_client, {"Sid": "unknown"}) == 1100
    assert await online_client.violations() == []


async def test_a_uin_may_be_text(online_client: WebClient):
    assert await post(online_client, {"Uin": "211722515"}) == 0


@pytest.mark.parametrize("cookie", ["wxuin", "wxsid", "webwx_data_ticket"])
async def test_a_missing_cookie_is_1102(online_client: WebClient, cookie: str):
    online_client.http.cookies.delete(cookie)
    assert await post(online_client, {}) == 1102
    assert await online_client.check() == 'window.synccheck={retcode:"1102",selector:"0"}'
    assert (await online_client.contacts())["BaseResponse"]["Ret"] == 1102
    assert all(cookie in violation for violation in await online_client.violations())
    assert len(await online_client.violations()) == 3


async def test_a_wrong_pass_ticket_is_refused(online_client: WebClient):
    assert await post(online_client, {}, PREFIX + "webwxstatusnotify?pass_ticket=wrong") == -14
    assert await online_client.violations() == ["webwxstatusnotify: pass_ticket is not this login's"]


@pytest.mark.parametrize("body", [b"no json", b"\xff\xfe{", b"[]", b"{}", b'{"BaseRequest": 7}'])
async def test_a_body_that_is_no_object_is_ret_1(online_client: WebClient, body: bytes):
    answer = await online_client.http.post(online_client.path("webwxsync"), content=body)
    assert json.loads(answer.content)["BaseResponse"]["Ret"] == 1
    assert len(await online_client.violations()) == 1


async def test_a_wrong_method_is_ret_1(online_client: WebClient):
    answer = await online_client.http.get(online_client.path("webwxsync"))
    assert answer.json()["BaseResponse"]["Ret"] == 1
    assert await online_client.violations() == ["webwxsync: GET instead of POST"]


async def test_a_key_that_was_never_issued_is_refused(online_client: WebClient):
    key = {"Count": 1, "List": [{"Key": 1, "Val": 2}]}
    assert (await online_client.sync(key))["BaseResponse"]["Ret"] == 1
    assert (await online_client.sync({"Count": 0}))["BaseResponse"]["Ret"] == 1
    assert (await online_client.sync({"Count": 1, "List": [7]}))["BaseResponse"]["Ret"] == 1
    assert len(await online_client.violations()) == 3


async def test_a_sync_without_its_sid_in_the_query_is_refused(online_client: WebClient):
    answer = await online_client.post("webwxsync", SyncKey=online_client.sync_key, rr=-7)
    assert answer["BaseResponse"]["Ret"] == 1


async def test_a_wrong_name_of_synckey_is_answered_at_once_for_ever(online_client: WebClient):
    assert (
        await online_client.check(synckey=None, syncKey="1_2")
        == 'window.synccheck={retcode:"0",selector:"2"}'
    )
    assert await online_client.check(synckey="1_2") == 'window.synccheck={retcode:"0",selector:"2"}'
    assert len(await online_client.violations()) == 2


async def test_a_batch_that_is_not_as_it_says_is_refused(online_client: WebClient):
    for body in ({"Count": 2, "List": []}, {"Count": 1, "List": [7]}, {"Count": 1}):
        answer = await online_client.post("webwxbatchgetcontact", "type=ex&", **body)
        assert answer["BaseResponse"]["Ret"] == 1
    assert (await online_client.batch("@x", room="@none"))["ContactList"] == []
    assert len(await online_client.violations()) == 4


@pytest.mark.parametrize(
    ("host", "path", "wrong"),
    [
        ("wx2.qq.com", "webwxstatusnotify", False),
        ("wx.qq.com", "webwxstatusnotify", True),
        ("webpush.wx2.qq.com", "webwxstatusnotify", True),
        ("webpush.wx2.qq.com", "synccheck", False),
        ("webpush.wx.qq.com", "synccheck", True),
        ("wx2.qq.com", "synccheck", True),
    ],
)
async def test_each_call_has_its_host_where_wechats_names_are_used(
    online_client: WebClient, host: str, path: str, wrong: bool
):
    headers = {"Host": host, "Cookie": "; ".join(f"{k}={v}" for k, v in online_client.http.cookies.items())}
    if path == "synccheck":
        online_client.http.headers.update(headers)
        await online_client.control("say", text="a")
        text = await online_client.check()
        assert ('retcode:"1100"' in text) is wrong
    else:
        assert await post(online_client, {}, headers=headers) == (1100 if wrong else 0)
    assert bool(await online_client.violations()) is wrong


async def test_a_login_call_on_the_wrong_host_is_refused(web_client: WebClient):
    answer = await web_client.http.get("/jslogin", headers={"Host": "wx2.qq.com"})
    assert answer.text.startswith("window.QRLogin.code = 400;")
    assert await web_client.violations() == [
        "jslogin: wx2.qq.com is not the login host of an account on wx2.qq.com"
    ]


async def assert_tolerated(client: WebClient, *, count: int) -> None:
    """Checks that strict mode recorded so many tolerated calls and no other violation."""
    found = await client.violations()
    assert len(found) == count, found
    assert all(": tolerated, but: " in violation for violation in found), found


async def test_calls_as_itchat_makes_them_are_only_tolerated(sim: Simulator, web_client: WebClient):
    sim.wechat.settings.autoscan = True
    answer = await web_client.http.get("/jslogin", params={"appid": "wx782c26e4c19acffb", "fun": "new"})
    uuid = answer.text.split('"')[1]
    await web_client.poll(uuid)
    uri = (await web_client.poll(uuid)).split('"')[1]
    assert (await web_client.new_login_page(uri, "")).status_code == 301
    xml_skey = web_client.skey
    await web_client.init()
    web_client.skey = xml_skey
    ticket = web_client.xml["pass_ticket"]
    assert await post(web_client, {"DeviceID": ticket}, PREFIX + "webwxstatusnotify") == 0
    double = str(web_client.http.build_request("GET", "/", params={"pass_ticket": ticket}).url).partition(
        "?"
    )[2]
    assert await post(web_client, {}, f"{PREFIX}webwxstatusnotify?{double}") == 0
    assert sim.wechat.session is not None
    web_client.skey = sim.wechat.session.skey
    message = web_client.text("filehelper", "a") | {"LocalID": 17000000000001, "ClientMsgId": 17000000000000}
    assert (await web_client.post("webwxsendmsg", Msg=message, Scene=0))["BaseResponse"]["Ret"] == 0
    await assert_tolerated(web_client, count=2 + 3 + 2 + 1)


async def test_calls_as_itchat_uos_makes_them_pass_in_a_desktop_login_only(
    sim: Simulator, web_client: WebClient
):
    sim.wechat.settings.autoscan = True
    answer = await web_client.jslogin(redirect_uri=f"{REDIRECT}?mod=desktop")
    uuid = answer.text.split('"')[1]
    await web_client.poll(uuid)
    uri = (await web_client.poll(uuid)).split('"')[1]
    await web_client.new_login_page(uri, **{"client-version": "2.0.0", "extspam": "opaque"})
    web_client.skey = ""
    web_client.xml["pass_ticket"] = device_id()
    assert (await web_client.init())["BaseResponse"]["Ret"] == 0
    assert (await web_client.seen("state"))["session"]["desktop"]
    await assert_tolerated(web_client, count=2)


async def test_calls_as_wechat4u_makes_them_pass(online_client: WebClient):
    assert (
        await online_client.http.post(
            "/jslogin", params={"appid": "wx782c26e4c19acffb", "fun": "new", "redirect_uri": "x"}
        )
    ).status_code == 200
    answer = await online_client.http.post(
        online_client.path("webwxgetcontact", f"skey={online_client.skey}&"), content=b"{}"
    )
    assert answer.json()["MemberCount"] > 0
    assert (await online_client.http.get(f"{PREFIX}webwxlogout?skey={online_client.skey}")).status_code == 301
    await assert_tolerated(online_client, count=3)


async def test_tolerated_oddities_are_no_violation_unless_strict(sim: Simulator, online_client: WebClient):
    sim.wechat.settings.strict = False
    assert await post(online_client, {}, PREFIX + "webwxstatusnotify") == 0
    assert await online_client.violations() == []


async def test_no_violation_repeats_a_secret(sim: Simulator, online_client: WebClient):
    await post(online_client, {"Skey": "@crypt_secret", "DeviceID": "secret"})
    await post(online_client, {}, PREFIX + "webwxstatusnotify?pass_ticket=secret")
    assert "secret" not in str(await online_client.violations())

"""From a QR code to a session (webwx 2.1 to 2.6)."""

from __future__ import annotations

import asyncio
import io
import re

import pytest
from PIL import Image

from tests.support.web_client import PREFIX, WebClient
from wx2mqtt.simulator.server import Simulator


async def test_a_uuid_comes_as_a_script_and_has_a_picture(web_client: WebClient):
    answer = await web_client.jslogin()
    assert answer.headers["content-type"] == "text/javascript"
    uuid = answer.text.split('"')[1]
    assert len(uuid) == 12
    assert uuid.endswith("==")
    picture = await web_client.http.get(f"/qrcode/{uuid}")
    assert picture.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(picture.content)).format == "JPEG"


@pytest.mark.parametrize("wrong", [{"appid": "wxeb7ec651dd0aefa9"}, {"fun": "old"}])
async def test_a_wrong_appid_or_fun_gets_no_uuid(web_client: WebClient, wrong: dict[str, str]):
    assert (await web_client.jslogin(**wrong)).text == 'window.QRLogin.code = 400; window.QRLogin.uuid = "";'
    assert len(await web_client.violations()) == 1


async def test_the_picture_of_an_unknown_uuid_is_not_found(web_client: WebClient):
    assert (await web_client.http.get("/qrcode/AAAAAAAAAA==")).status_code == 404


async def test_the_poll_holds_and_then_says_that_nothing_happened(sim: Simulator, web_client: WebClient):
    sim.wechat.settings.hold_login = 0.05
    assert await web_client.poll(await web_client.uuid()) == "window.code=408;"


async def test_a_scan_wakes_the_poll_and_shows_the_avatar_once(sim: Simulator, web_client: WebClient):
    uuid = await web_client.uuid()
    poll = asyncio.create_task(web_client.poll(uuid))
    assert (await web_client.seen("wait", **{"for": "calls:login:1"}))["ready"]
    await web_client.control("scan")
    assert re.fullmatch(r"window\.code=201;window\.userAvatar = 'data:img/jpg;base64,/9j/\S+';", await poll)
    sim.wechat.settings.hold_login = 0.05
    assert await web_client.poll(uuid) == "window.code=408;", "while the phone asks, nothing new happens"


async def test_a_scan_is_answered_to_the_open_poll_and_not_to_an_abandoned_one(web_client: WebClient):
    uuid = await web_client.uuid()
    abandoned_poll = asyncio.create_task(web_client.poll(uuid))
    assert (await web_client.seen("wait", **{"for": "calls:login:1"}))["ready"]
    abandoned_poll.cancel()
    await asyncio.gather(abandoned_poll, return_exceptions=True)
    await web_client.control("scan")
    assert (await web_client.poll(uuid)).startswith("window.code=201;")


async def test_without_loginicon_there_is_no_avatar(web_client: WebClient):
    uuid = await web_client.uuid()
    await web_client.control("scan")
    assert (await web_client.http.get(PREFIX + "login", params={"uuid": uuid})).text == "window.code=201;"


async def test_the_confirmation_leads_back_to_the_host_that_was_asked(sim: Simulator, web_client: WebClient):
    uri = await web_client.confirmed(await web_client.uuid())
    assert uri.startswith(f"{sim.url}/cgi-bin/mmwebwx-bin/webwxnewloginpage?ticket=")


async def test_the_confirmation_is_answered_again_when_the_answer_was_lost(web_client: WebClient):
    uuid = await web_client.uuid()
    await web_client.confirmed(uuid)
    assert (await web_client.poll(uuid)).startswith("window.code=200;")


async def test_a_cancel_is_202_and_the_code_is_dead(web_client: WebClient):
    uuid = await web_client.uuid()
    await web_client.control("scan")
    await web_client.poll(uuid)
    await web_client.control("cancel")
    assert await web_client.poll(uuid) == "window.code=202;"
    assert await web_client.poll(uuid) == "window.code=400;"


async def test_a_cancel_can_also_be_408_and_the_code_stays_good(sim: Simulator, web_client: WebClient):
    sim.wechat.settings.cancel_code = "408"
    uuid = await web_client.uuid()
    await web_client.control("scan")
    await web_client.poll(uuid)
    await web_client.control("cancel")
    assert await web_client.poll(uuid) == "window.code=408;"
    await web_client.control("scan")
    assert (await web_client.poll(uuid)).startswith("window.code=201;")


async def test_an_expired_code_is_400_also_while_it_is_held(sim: Simulator, web_client: WebClient):
    sim.wechat.settings.qr_lifetime = 0.05
    assert await web_client.poll(await web_client.uuid()) == "window.code=400;"
    uuid = await web_client.uuid()
    await web_client.control("expire", uuid=uuid)
    assert await web_client.poll(uuid) == "window.code=400;"
    assert await web_client.poll("AAAAAAAAAA==") == "window.code=400;"
    assert await web_client.violations() == []


async def test_the_session_comes_with_status_200_only_for_version_v2(sim: Simulator, web_client: WebClient):
    uri = await web_client.confirmed(await web_client.uuid())
    plain = await web_client.new_login_page(uri, "&fun=new")
    assert plain.status_code == 301
    assert "location" not in plain.headers
    again = await web_client.new_login_page(uri)
    assert again.status_code == 200
    assert again.text == plain.text, "a ticket that comes again gets the same session"
    assert set(web_client.xml) == {
        "ret",
        "message",
        "skey",
        "wxsid",
        "wxuin",
        "pass_ticket",
        "isgrayscale",
        "error",
    } - {"error"}
    sim.wechat.settings.answer_301 = True
    assert (await web_client.new_login_page(uri)).status_code == 301


async def test_the_cookies_have_no_domain_where_the_host_is_not_wechats(web_client: WebClient):
    await web_client.new_login_page(await web_client.confirmed(await web_client.uuid()))
    names = set(web_client.http.cookies.keys())
    assert names == {
        "wxuin",
        "wxsid",
        "wxloadtime",
        "mm_lang",
        "webwx_data_ticket",
        "webwxuvid",
        "webwx_auth_ticket",
        "wxpluginkey",
    }


async def test_the_cookies_have_wechats_domains_on_wechats_hosts(sim: Simulator, web_client: WebClient):
    uri = await web_client.confirmed(await web_client.uuid())
    query = uri.partition("?")[2]
    answer = await web_client.http.get(
        f"/cgi-bin/mmwebwx-bin/webwxnewloginpage?{query}&fun=new&version=v2", headers={"Host": "wx2.qq.com"}
    )
    lines = answer.headers.get_list("set-cookie")
    assert any(line.startswith("webwx_data_ticket=") and "Domain=.qq.com;" in line for line in lines)
    assert any(line.startswith("wxsid=") and "Domain=wx2.qq.com;" in line for line in lines)


async def test_the_redirect_names_the_cluster_where_wechats_names_are_used(
    sim: Simulator, web_client: WebClient
):
    sim.wechat.settings.base_host = "web2.wechat.com"
    sim.wechat.settings.autoscan = True
    headers = {"Host": "login.weixin.qq.com"}
    uuid = await web_client.uuid()
    await web_client.http.get(PREFIX + "login", params={"uuid": uuid}, headers=headers)
    text = (await web_client.http.get(PREFIX + "login", params={"uuid": uuid}, headers=headers)).text
    assert "https://web2.wechat.com/cgi-bin/mmwebwx-bin/webwxnewloginpage?" in text


async def test_a_refused_login_says_1203_and_why(sim: Simulator, web_client: WebClient):
    sim.wechat.settings.refuse_login = "为了你的帐号安全，<此>微信号不能登录网页微信。"
    await web_client.new_login_page(await web_client.confirmed(await web_client.uuid()))
    assert web_client.xml["ret"] == "1203"
    assert web_client.xml["message"] == "为了你的帐号安全，&lt;此&gt;微信号不能登录网页微信。"
    assert sim.wechat.session is None


async def test_a_login_can_end_in_a_web_page(sim: Simulator, web_client: WebClient):
    sim.wechat.settings.html_login = True
    answer = await web_client.new_login_page(await web_client.confirmed(await web_client.uuid()))
    assert "<html" in answer.text
    assert "<head" in answer.text


async def test_sid_and_uin_can_be_in_the_cookies_only(sim: Simulator, web_client: WebClient):
    sim.wechat.settings.cookies_only = True
    answer = await web_client.new_login_page(await web_client.confirmed(await web_client.uuid()))
    assert "wxsid" not in answer.text
    assert (await web_client.init())["BaseResponse"]["Ret"] == 0


async def test_a_ticket_that_was_never_given_is_refused(web_client: WebClient):
    uri = await web_client.confirmed(await web_client.uuid())
    answer = await web_client.http.get(re.sub("ticket=[^@]+", "ticket=none", uri) + "&fun=new&version=v2")
    assert "<ret>1</ret>" in answer.text
    assert await web_client.violations() == [
        "webwxnewloginpage: ticket and uuid are not those of a confirmed code"
    ]


async def test_a_login_elsewhere_ends_the_first_with_1101(sim: Simulator, online_client: WebClient):
    async with WebClient(sim.url) as other:
        await other.log_in()
    assert await online_client.check() == 'window.synccheck={retcode:"1101",selector:"0"}'
    assert (await online_client.sync())["BaseResponse"]["Ret"] == 1101
    assert await online_client.violations() == []


async def test_push_login_asks_the_phone_without_a_scan(sim: Simulator, online_client: WebClient):
    await online_client.control("logout", retcode=1101)
    answer = await online_client.http.get(
        PREFIX + "webwxpushloginurl", params={"uin": online_client.xml["wxuin"]}
    )
    assert answer.json() == {"ret": "0", "msg": "all ok", "uuid": answer.json()["uuid"]}
    uuid = answer.json()["uuid"]
    await online_client.control("confirm", uuid=uuid)
    uri = (await online_client.poll(uuid)).split('"')[1]
    await online_client.new_login_page(uri)
    assert (await online_client.init())["BaseResponse"]["Ret"] == 0
    assert await online_client.violations() == []


@pytest.mark.parametrize(("setting", "ret"), [("args", "1"), ("antispam", "2"), ("invalid", "3")])
async def test_push_login_can_be_refused(sim: Simulator, online_client: WebClient, setting: str, ret: str):
    await online_client.control("settings", push_login=setting)
    answer = await online_client.http.get(
        PREFIX + "webwxpushloginurl", params={"uin": online_client.xml["wxuin"]}
    )
    assert answer.json()["ret"] == ret


async def test_push_login_needs_the_cookies_of_the_last_login(web_client: WebClient):
    web_client.http.cookies.set("wxuin", "211722515")
    answer = await web_client.http.get(PREFIX + "webwxpushloginurl", params={"uin": "211722515"})
    assert answer.json() == {"ret": "3", "msg": "device authinfo invalid"}


async def test_autoscan_is_a_person_who_does_everything_at_once(sim: Simulator, web_client: WebClient):
    sim.wechat.settings.autoscan = True
    uuid = await web_client.uuid()
    assert (await web_client.poll(uuid)).startswith("window.code=201;")
    assert (await web_client.poll(uuid)).startswith("window.code=200;")


async def test_an_impossible_action_of_the_phone_is_a_conflict(web_client: WebClient):
    assert (await web_client.http.post("/sim/scan", json={})).status_code == 409
    await web_client.uuid()
    answer = await web_client.http.post("/sim/confirm", json={})
    assert answer.status_code == 409
    assert answer.json() == {"error": "cannot confirm a code that is waiting"}

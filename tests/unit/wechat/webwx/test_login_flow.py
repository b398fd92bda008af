"""Login: every code of a poll, both forms of the exchange, resuming, and push logins (webwx 2.1-2.7)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import httpx
import pytest

from tests.unit.wechat.rig import body, query
from tests.unit.wechat.webwx.entries import ME, OWNER
from tests.unit.wechat.webwx.server import (
    CONFIRMED,
    COOKIES,
    ENDPOINT,
    INIT,
    LOGIN_XML,
    WebWxRig,
    answer,
    code,
    text,
)
from wx2mqtt.errors import LoggedOut, LoginRefused, Throttled, Unreachable
from wx2mqtt.wechat.backend import (
    LoggedIn,
    LoginStep,
    Scanned,
    ShowQr,
)
from wx2mqtt.wechat.webwx.protocol.hosts import DesktopClient

SCANNED = "window.code=201;window.userAvatar = 'data:img/jpg;base64,/9j/4AAQ';"


def kinds(found: list[LoginStep]) -> list[str]:
    return [type(step).__name__ for step in found]


async def test_the_end_of_a_code_is_reported_before_the_next_one_is_requested(
    rig: WebWxRig,
) -> None:
    rig.put("login", code(400), text(CONFIRMED))
    async with aclosing(rig.backend.login(resume=False)) as login:
        asked = [(type(step).__name__, len(rig.asked("jslogin"))) async for step in login]
    assert asked == [("ShowQr", 1), ("QrExpired", 1), ("ShowQr", 2), ("LoggedIn", 2)]


async def test_scan_confirm_and_in(rig: WebWxRig) -> None:
    rig.put("login", code(408), text(SCANNED), code(408), text(CONFIRMED))
    found = await rig.steps()
    assert found[0] == ShowQr(url="https://login.weixin.qq.com/l/uuid1==", lifetime=300.0)
    assert found[1] == Scanned(avatar=b"\xff\xd8\xff\xe0\x00\x10")
    login = found[2]
    assert isinstance(login, LoggedIn)
    assert (login.owner.handle, login.owner.uin, login.resumed) == (ME, "211722515", False)
    assert login.cursor == '{"sync":[[1,1]],"check":[[1,1]],"more":false}'
    assert len(found) == 3
    assert [query(poll)["tip"] for poll in rig.asked("login")] == ["1", "0", "0", "0"]
    assert rig.calls()[5:] == ["webwxnewloginpage", "webwxinit", "webwxstatusnotify"]
    assert rig.vault.saves == 1


async def test_an_outage_of_polls_and_its_end_are_reported(rig: WebWxRig) -> None:
    lost = [httpx.ReadError("reset")] * 6
    rig.put("login", code(408), *lost, code(408), text(SCANNED), text(CONFIRMED))
    assert kinds(await rig.steps()) == ["ShowQr", "PollFailing", "PollRecovered", "Scanned", "LoggedIn"]


async def test_one_lost_poll_is_no_news(rig: WebWxRig) -> None:
    rig.put("login", httpx.ReadError("reset"), text(SCANNED), text(CONFIRMED))
    assert kinds(await rig.steps()) == ["ShowQr", "Scanned", "LoggedIn"]


async def test_everything_goes_to_the_endpoint_with_all_cookies(rig: WebWxRig) -> None:
    await rig.steps()
    assert all(str(request.url).startswith("http://wechat.test/p/") for request in rig.requests)
    assert str(rig.asked("webwxnewloginpage")[0].url).endswith(
        "/p/cgi-bin/mmwebwx-bin/webwxnewloginpage"
        "?ticket=T@qrticket_0&uuid=u&lang=zh_CN&scan=1&fun=new&version=v2"
    )
    assert rig.asked("webwxinit")[0].headers["Cookie"] == "wxsid=SECRETsid; webwx_data_ticket=SECRETdt"


async def test_without_an_endpoint_each_host_is_wechats_and_gets_its_cookies() -> None:
    rig = WebWxRig(endpoint=None)
    cursor = next(step.cursor for step in await rig.steps() if isinstance(step, LoggedIn))
    await rig.poll(cursor)
    hosts = {name: str(rig.asked(name)[0].url.host) for name in rig.calls()}
    assert hosts == {
        "jslogin": "login.wx.qq.com",
        "login": "login.wx.qq.com",
        "webwxnewloginpage": "wx2.qq.com",
        "webwxinit": "wx2.qq.com",
        "webwxstatusnotify": "wx2.qq.com",
        "synccheck": "webpush.wx2.qq.com",
    }
    assert "webwx_data_ticket=SECRETdt" in rig.asked("synccheck")[0].headers["Cookie"]


async def test_a_redirect_to_a_stranger_is_refused_before_anything_is_sent() -> None:
    rig = WebWxRig(endpoint=None)
    rig.put("login", text(CONFIRMED.replace("wx2.qq.com", "wx2.qq.com.evil.example")))
    with pytest.raises(LoginRefused, match="not WeChat's"):
        await rig.steps()
    assert rig.calls() == ["jslogin", "login"]


@pytest.mark.parametrize("number", [202, 400, 402, 500, 0, 777])
async def test_a_code_that_is_over_brings_a_new_one(rig: WebWxRig, number: int) -> None:
    rig.put("login", code(number), text(CONFIRMED))
    found = await rig.steps()
    assert kinds(found) == ["ShowQr", "QrExpired", "ShowQr", "LoggedIn"]
    assert isinstance(found[2], ShowQr)
    assert found[2].url.endswith("uuid2==")
    assert [query(poll)["uuid"] for poll in rig.asked("login")] == ["uuid1==", "uuid2=="]


async def test_codes_that_are_over_at_once_come_more_and_more_slowly(rig: WebWxRig) -> None:
    rig.put("login", code(400))
    assert kinds(await rig.steps(limit=11)) == [*["ShowQr", "QrExpired"] * 5, "ShowQr"]
    assert rig.clock.slept == [0.75, 1.5, 3.0, 6.0, 12.0]


async def test_408_keeps_the_code_for_its_lifetime(rig: WebWxRig) -> None:
    rig.put("login", code(408))
    found = await rig.steps(limit=3)
    assert kinds(found) == ["ShowQr", "QrExpired", "ShowQr"]
    assert len(rig.asked("login")) == 300
    assert set(rig.clock.slept) == {1.0}


async def test_a_poll_that_was_held_is_followed_at_once(rig: WebWxRig) -> None:
    async def held(_request: httpx.Request) -> httpx.Response:
        rig.clock.time += 25
        return code(408)

    rig.put("login", held, held, text(CONFIRMED))
    await rig.steps()
    assert rig.clock.slept == []


async def test_a_person_who_has_scanned_gets_time_to_confirm(rig: WebWxRig) -> None:
    async def late(_request: httpx.Request) -> httpx.Response:
        rig.clock.time += 295
        return text(SCANNED)

    rig.put("login", late, code(408), code(408), code(408), code(408), code(408), code(408), text(CONFIRMED))
    assert kinds(await rig.steps()) == ["ShowQr", "Scanned", "LoggedIn"]


async def test_a_repeated_201_is_said_once_and_not_spun_on(rig: WebWxRig) -> None:
    rig.put("login", text(SCANNED), text(SCANNED), text(SCANNED), text(CONFIRMED))
    assert kinds(await rig.steps()) == ["ShowQr", "Scanned", "LoggedIn"]
    assert rig.clock.slept == [1.0, 1.0]


@pytest.mark.parametrize(
    "failed_poll",
    [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x"), text("busy", 503)],
)
async def test_a_failed_poll_is_tried_again_with_the_same_code(
    rig: WebWxRig, failed_poll: Exception | httpx.Response
) -> None:
    rig.put("login", failed_poll, failed_poll, text(CONFIRMED))
    assert kinds(await rig.steps()) == ["ShowQr", "LoggedIn"]
    assert {query(poll)["uuid"] for poll in rig.asked("login")} == {"uuid1=="}
    assert [query(poll)["tip"] for poll in rig.asked("login")] == ["1", "1", "1"]
    assert rig.clock.slept == [0.75, 1.5]


async def test_a_dead_server_ends_with_its_code(rig: WebWxRig) -> None:
    rig.put("login", httpx.ConnectError("x"))
    rig.put("jslogin", text('window.QRLogin.code = 200; window.QRLogin.uuid = "u";'), httpx.ConnectError("x"))
    with pytest.raises(Unreachable):
        await rig.steps()
    assert rig.clock.time > 1300


async def test_answers_without_a_code_are_forgiven_twice(rig: WebWxRig) -> None:
    rig.put("login", text("<html>"), text(""), text(CONFIRMED))
    assert kinds(await rig.steps()) == ["ShowQr", "LoggedIn"]
    rig.put("login", text("<html>"), text(""), text("x"), text(CONFIRMED))
    assert kinds(await rig.steps()) == ["ShowQr", "QrExpired", "ShowQr", "LoggedIn"]


async def test_confirmed_without_an_address_is_over(rig: WebWxRig) -> None:
    rig.put("login", code(200), text(CONFIRMED))
    assert kinds(await rig.steps()) == ["ShowQr", "QrExpired", "ShowQr", "LoggedIn"]


@pytest.mark.parametrize("page", ["", "window.QRLogin.code = 400;", "<html>blocked</html>"])
async def test_no_code_at_all(rig: WebWxRig, page: str) -> None:
    rig.put("jslogin", text(page))
    with pytest.raises(Unreachable, match="no QR code"):
        await rig.steps()


async def test_301_with_the_xml_in_its_body(rig: WebWxRig) -> None:
    redirect = httpx.Response(
        301,
        content=LOGIN_XML,
        headers=[("Location", "http://evil.example/"), ("Set-Cookie", "wxsid=S; Path=/")],
    )
    rig.put("webwxnewloginpage", redirect)
    assert kinds(await rig.steps()) == ["ShowQr", "LoggedIn"]
    assert len(rig.asked("webwxnewloginpage")) == 1


async def test_sid_and_uin_as_cookies_only(rig: WebWxRig) -> None:
    rig.put(
        "webwxnewloginpage",
        text(
            "<error><ret>0</ret><skey>@crypt_x</skey><pass_ticket>p</pass_ticket></error>",
            cookies=("wxsid=cookie/sid; Domain=.qq.com", "wxuin=42; Domain=.qq.com"),
        ),
    )
    await rig.steps()
    base = body(rig.asked("webwxinit")[0])["BaseRequest"]
    assert (base["Sid"], base["Uin"], base["Skey"]) == ("cookie/sid", 42, "@crypt_x")
    assert base["DeviceID"] == "e500000000000000"


@pytest.mark.parametrize("uin", ["<wxuin>0</wxuin>", "<wxuin></wxuin>", ""])
async def test_a_login_that_names_no_account_is_refused_unless_the_cookie_does(
    rig: WebWxRig, uin: str
) -> None:
    page = f"<error><ret>0</ret><skey>@crypt_x</skey><wxsid>s</wxsid>{uin}</error>"
    rig.put("webwxnewloginpage", text(page, cookies=("wxuin=0; Domain=.qq.com",)))
    with pytest.raises(LoginRefused):
        await rig.steps()
    rig.put("webwxnewloginpage", text(page, cookies=("wxuin=42; Domain=.qq.com",)))
    logged_in = (await rig.steps())[-1]
    assert isinstance(logged_in, LoggedIn)
    assert logged_in.owner.uin == "42"


@pytest.mark.parametrize(
    "page",
    [
        "<error><ret>1203</ret><message>for the safety of your account</message></error>",
        "<error><ret>-14</ret><message>ticket</message></error>",
        "<html><head></head><body>not supported</body></html>",
    ],
)
async def test_refusals_end_the_login(rig: WebWxRig, page: str) -> None:
    rig.put("webwxnewloginpage", text(page))
    with pytest.raises(LoginRefused):
        await rig.steps()
    assert rig.vault.saves == 0
    assert len(rig.asked("webwxnewloginpage")) == 1


async def test_the_exchange_is_tried_three_times(rig: WebWxRig) -> None:
    rig.put("webwxnewloginpage", text("", 502), text("???"), text(LOGIN_XML))
    assert kinds(await rig.steps()) == ["ShowQr", "LoggedIn"]
    rig.put("webwxnewloginpage", httpx.ReadTimeout("x"))
    with pytest.raises(Unreachable):
        await rig.steps()
    assert len(rig.asked("webwxnewloginpage")) == 6


async def test_a_ticket_that_a_lost_try_used_up_is_no_refusal(rig: WebWxRig) -> None:
    used = text("<error><ret>1</ret><message>ticket</message></error>")
    rig.put("webwxnewloginpage", httpx.ReadError("x"), used)
    with pytest.raises(Unreachable):
        await rig.steps()
    refused = text("<error><ret>1203</ret><message>no</message></error>")
    rig.put("webwxnewloginpage", httpx.ReadError("x"), refused)
    with pytest.raises(LoginRefused):
        await rig.steps()


async def test_an_answer_that_is_none_is_not_taken_for_a_refusal(rig: WebWxRig) -> None:
    rig.put("webwxnewloginpage", text("<x/>"))
    with pytest.raises(Unreachable):
        await rig.steps()


ELSEWHERE = (
    "<error><ret>0</ret><redirecturl>https://{host}/cgi-bin/mmwebwx-bin/x?ticket=U</redirecturl></error>"
)


async def test_the_exchange_may_go_on_elsewhere() -> None:
    rig = WebWxRig(endpoint=None)
    rig.put("webwxnewloginpage", text(ELSEWHERE.format(host="wx8.qq.com")))
    rig.put("x", text(LOGIN_XML))
    assert kinds(await rig.steps()) == ["ShowQr", "LoggedIn"]
    assert str(rig.asked("x")[0].url).startswith("https://wx8.qq.com/cgi-bin/mmwebwx-bin/x?ticket=U&fun=new")
    assert rig.asked("webwxinit")[0].url.host == "wx8.qq.com"


async def test_the_exchange_goes_on_at_hosts_of_wechat_only() -> None:
    rig = WebWxRig(endpoint=None)
    rig.put("webwxnewloginpage", text(ELSEWHERE.format(host="evil.example")))
    with pytest.raises(LoginRefused, match="not WeChat's"):
        await rig.steps()


async def test_desktop_mode_is_said_with_the_owners_own_values() -> None:
    rig = WebWxRig(desktop=DesktopClient(client_version="2.0.0", extspam="Go8F"))
    await rig.steps()
    request = rig.asked("webwxnewloginpage")[0]
    assert (request.headers["client-version"], request.headers["extspam"]) == ("2.0.0", "Go8F")
    assert str(request.url).endswith("&mod=desktop")


async def test_nothing_of_desktop_mode_is_sent_otherwise(rig: WebWxRig) -> None:
    await rig.steps()
    assert not any("desktop" in str(request.url) or "extspam" in request.headers for request in rig.requests)


async def test_init_gives_a_new_skey_and_is_tried_again(rig: WebWxRig) -> None:
    rig.put("webwxinit", text("", 500), answer(-1), answer(**INIT | {"SKey": "@crypt_new"}))
    await rig.steps()
    assert body(rig.asked("webwxstatusnotify")[0])["BaseRequest"]["Skey"] == "@crypt_new"


async def test_init_without_an_owner_is_no_answer(rig: WebWxRig) -> None:
    rig.put("webwxinit", answer(**INIT | {"User": {}}))
    with pytest.raises(Unreachable):
        await rig.steps()


@pytest.mark.parametrize(("ret", "error"), [(1101, LoggedOut), (1205, Throttled)])
async def test_a_login_that_ends_at_once(rig: WebWxRig, ret: int, error: type[Exception]) -> None:
    rig.put("webwxinit", answer(ret))
    with pytest.raises(error):
        await rig.steps()
    assert len(rig.asked("webwxinit")) == 1


async def test_a_failing_status_notify_does_not_matter(rig: WebWxRig) -> None:
    rig.put("webwxstatusnotify", answer(1))
    assert kinds(await rig.steps()) == ["ShowQr", "LoggedIn"]
    notify = body(rig.asked("webwxstatusnotify")[0])
    assert (notify["Code"], notify["FromUserName"], notify["ToUserName"]) == (3, ME, ME)


async def test_a_login_that_cannot_be_saved_goes_on_and_is_saved_later(rig: WebWxRig) -> None:
    rig.vault.broken = True
    login = (await rig.steps())[-1]
    assert isinstance(login, LoggedIn)
    rig.vault.broken = False
    await rig.poll(login.cursor)
    assert rig.vault.saves == 1


# resuming


OFFERED = text('{"ret":"0","msg":"all ok","uuid":"push=="}')


@pytest.fixture
async def resumable(online: WebWxRig) -> WebWxRig:
    """A backend that has been started again after a login, of which WeChat knows nothing any more."""
    online.restart()
    online.requests.clear()
    online.put("webwxbatchgetcontact", answer(1101))
    online.put("webwxpushloginurl", OFFERED)
    return online


async def test_a_saved_login_goes_on_without_a_scan(resumable: WebWxRig) -> None:
    login_id = resumable.saved["login_id"]
    resumable.put("webwxbatchgetcontact", answer())
    found = await resumable.steps(resume=True)
    assert kinds(found) == ["LoggedIn"]
    assert isinstance(found[0], LoggedIn)
    assert (found[0].resumed, found[0].login_id, found[0].owner) == (True, login_id, OWNER)
    assert resumable.calls() == ["webwxbatchgetcontact"]
    probe = resumable.requests[0]
    assert body(probe)["List"] == [{"UserName": ME, "ChatRoomId": ""}]
    assert probe.headers["Cookie"] == "wxsid=SECRETsid; webwx_data_ticket=SECRETdt"


async def test_a_saved_login_that_cannot_be_checked_stays_saved(resumable: WebWxRig) -> None:
    resumable.put("webwxbatchgetcontact", httpx.ConnectError("x"))
    with pytest.raises(Unreachable):
        await resumable.steps(resume=True)
    assert resumable.saved
    resumable.put("webwxbatchgetcontact", answer())
    assert kinds(await resumable.steps(resume=True)) == ["LoggedIn"]


@pytest.mark.parametrize(("ret", "error"), [(-1, Unreachable), (1, Unreachable), (1205, Throttled)])
async def test_other_answers_leave_it_open_whether_a_saved_login_is_good(
    resumable: WebWxRig, ret: int, error: type[Exception]
) -> None:
    resumable.put("webwxbatchgetcontact", answer(ret))
    with pytest.raises(error):
        await resumable.steps(resume=True)
    assert resumable.saved
    assert "webwxpushloginurl" not in resumable.calls()


async def test_without_resume_a_saved_login_is_not_looked_at(resumable: WebWxRig) -> None:
    login_id = resumable.saved["login_id"]
    found = await resumable.steps(resume=False)
    assert kinds(found) == ["ShowQr", "LoggedIn"]
    assert isinstance(found[1], LoggedIn)
    assert found[1].login_id != login_id
    assert "Cookie" not in resumable.requests[0].headers


@pytest.mark.parametrize("ret", [1100, 1101, 1102, 1103, -14])
async def test_refused_the_phone_is_asked_once(resumable: WebWxRig, ret: int) -> None:
    login_id = resumable.saved["login_id"]
    resumable.put("webwxbatchgetcontact", answer(ret))
    found = await resumable.steps(resume=True)
    assert kinds(found) == ["ConfirmOnPhone", "LoggedIn"]
    assert isinstance(found[1], LoggedIn)
    assert (found[1].resumed, found[1].login_id == login_id) == (False, False)
    pushed = resumable.asked("webwxpushloginurl")[0]
    assert query(pushed) == {"uin": "211722515"}
    assert "last_wxuin=211722515" in pushed.headers["Cookie"]
    assert "wxsid=SECRETsid" in pushed.headers["Cookie"]
    assert query(resumable.asked("login")[0])["uuid"] == "push=="


@pytest.mark.parametrize(
    "offer", ['{"ret":"1","msg":"args error"}', '{"ret":"2"}', '{"ret":3}', "<html>", ""]
)
async def test_where_the_phone_cannot_be_asked_a_code_is_shown(resumable: WebWxRig, offer: str) -> None:
    resumable.put("webwxpushloginurl", text(offer))
    assert kinds(await resumable.steps(resume=True)) == ["ShowQr", "LoggedIn"]


@pytest.mark.parametrize("number", [202, 400, 500])
async def test_a_person_who_says_no_on_the_phone_gets_a_code(resumable: WebWxRig, number: int) -> None:
    resumable.put("login", code(number), text(CONFIRMED))
    assert kinds(await resumable.steps(resume=True)) == ["ConfirmOnPhone", "ShowQr", "LoggedIn"]
    assert len(resumable.asked("webwxpushloginurl")) == 1
    assert "Cookie" not in resumable.asked("jslogin")[0].headers


async def test_a_question_that_nobody_answers_ends_after_five_minutes(resumable: WebWxRig) -> None:
    resumable.put("login", code(408))
    assert kinds(await resumable.steps(resume=True, limit=2)) == ["ConfirmOnPhone", "ShowQr"]
    assert 1299 <= resumable.clock.time <= 1302


async def test_the_phone_is_asked_once_however_often_the_login_is_repeated(resumable: WebWxRig) -> None:
    resumable.put("login", code(202))
    resumable.put("jslogin", httpx.ConnectError("x"))
    for _ in range(3):
        with pytest.raises(Unreachable):
            await resumable.steps(resume=True)
    assert len(resumable.asked("webwxpushloginurl")) == 1


@pytest.mark.parametrize("endpoint", [None, ENDPOINT])
async def test_a_push_login_holds_the_cookie_of_the_earlier_login_as_expired(endpoint: str | None) -> None:
    rig = WebWxRig(endpoint=endpoint)
    cookies = (*COOKIES, "wxloadtime=1700; Domain=wx2.qq.com; Path=/")
    rig.put("webwxnewloginpage", text(LOGIN_XML, cookies=cookies))
    await rig.steps()
    rig.restart()
    rig.put("webwxbatchgetcontact", answer(1101))
    rig.put("webwxpushloginurl", OFFERED)
    await rig.steps(resume=True)
    pushed = rig.asked("webwxpushloginurl")[0]
    assert "wxloadtime=1700_expired" in pushed.headers["Cookie"]


async def test_push_login_unreachable_shows_a_code(resumable: WebWxRig) -> None:
    resumable.put("webwxpushloginurl", httpx.ReadTimeout("x"))
    assert kinds(await resumable.steps(resume=True)) == ["ShowQr", "LoggedIn"]


async def test_saved_keys_of_another_endpoint_are_not_used(resumable: WebWxRig) -> None:
    other = WebWxRig(endpoint="http://other.test")
    other.vault.content = resumable.vault.content
    assert kinds(await other.steps(resume=True)) == ["ShowQr", "LoggedIn"]


async def test_leaving_the_login_leaves_nothing_running(rig: WebWxRig) -> None:
    rig.put("login", code(408))
    await rig.steps(limit=1)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_renewed_cookies_of_every_answer_are_saved(rig: WebWxRig) -> None:
    rig.put("webwxinit", answer(cookies=("mm_lang=zh_CN",), **INIT))
    await rig.steps()
    names = {row[1] for row in rig.saved["cookies"]}
    assert names == {"wxsid", "webwx_data_ticket", "mm_lang"}

"""Login: every code of a poll, both forms of the exchange, resuming, and push logins (webwx 2.1-2.7)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import httpx
import pytest

from tests.unit.wechat.webwx.entries import ME
from tests.unit.wechat.webwx.server import CONFIRMED, INIT, LOGIN_XML, World, answer, body, code, query, text
from wx2mqtt.errors import LoggedOut, LoginRefused, Throttled, Unreachable
from wx2mqtt.wechat.backend import LoggedIn, LoginStep, QrExpired, Scanned, ShowQr
from wx2mqtt.wechat.webwx.protocol.requests import DesktopClient

SCANNED = "window.code=201;window.userAvatar = 'data:img/jpg;base64,/9j/4AAQ';"


async def steps(world: World, *, resume: bool = False, most: int = 50) -> list[LoginStep]:
    found: list[LoginStep] = []
    async with aclosing(world.backend.login(resume=resume)) as ways:
        async for step in ways:
            if not isinstance(step, QrExpired):  # the end of a code has a test of its own
                found.append(step)
            if len(found) >= most:
                break
    return found


def kinds(found: list[LoginStep]) -> list[str]:
    return [type(step).__name__ for step in found]


async def test_the_end_of_a_code_is_reported_before_the_next_one_is_requested(world: World) -> None:
    world.server.put("login", code(400), text(CONFIRMED))
    async with aclosing(world.backend.login(resume=False)) as ways:
        asked = [(type(step).__name__, len(world.server.asked("jslogin"))) async for step in ways]
    assert asked == [("ShowQr", 1), ("QrExpired", 1), ("ShowQr", 2), ("LoggedIn", 2)]


async def test_scan_confirm_and_in(world: World) -> None:
    world.server.put("login", code(408), text(SCANNED), code(408), text(CONFIRMED))
    found = await steps(world)
    assert found[0] == ShowQr(url="https://login.weixin.qq.com/l/uuid1==", lifetime=300.0)
    assert found[1] == Scanned(avatar=b"\xff\xd8\xff\xe0\x00\x10")
    login = found[2]
    assert isinstance(login, LoggedIn)
    assert (login.owner.handle, login.owner.uin, login.resumed) == (ME, "211722515", False)
    assert login.cursor == '{"sync":[[1,1]],"check":[[1,1]],"more":false}'
    assert len(found) == 3
    assert [query(poll)["tip"] for poll in world.server.asked("login")] == ["1", "0", "0", "0"]
    assert world.server.calls()[5:] == ["webwxnewloginpage", "webwxinit", "webwxstatusnotify"]
    assert world.vault.saves == 1


async def test_an_outage_of_polls_and_its_end_are_reported(world: World) -> None:
    lost = [httpx.ReadError("reset")] * 6
    world.server.put("login", code(408), *lost, code(408), text(SCANNED), text(CONFIRMED))
    assert kinds(await steps(world)) == ["ShowQr", "PollFailing", "PollRecovered", "Scanned", "LoggedIn"]


async def test_one_lost_poll_is_no_news(world: World) -> None:
    world.server.put("login", httpx.ReadError("reset"), text(SCANNED), text(CONFIRMED))
    assert kinds(await steps(world)) == ["ShowQr", "Scanned", "LoggedIn"]


async def test_everything_goes_to_the_endpoint_with_all_cookies(world: World) -> None:
    await steps(world)
    assert all(str(request.url).startswith("http://wechat.test/p/") for request in world.server.requests)
    assert str(world.server.asked("webwxnewloginpage")[0].url).endswith(
        "/p/cgi-bin/mmwebwx-bin/webwxnewloginpage"
        "?ticket=T@qrticket_0&uuid=u&lang=zh_CN&scan=1&fun=new&version=v2"
    )
    assert (
        world.server.asked("webwxinit")[0].headers["Cookie"] == "wxsid=SECRETsid; webwx_data_ticket=SECRETdt"
    )


async def test_without_an_endpoint_each_host_is_wechats_and_gets_its_cookies() -> None:
    world = World(endpoint=None)
    cursor = next(step.cursor for step in await steps(world) if isinstance(step, LoggedIn))
    await world.backend.receive(cursor)
    hosts = {name: str(world.server.asked(name)[0].url.host) for name in world.server.calls()}
    assert hosts == {
        "jslogin": "login.wx.qq.com",
        "login": "login.wx.qq.com",
        "webwxnewloginpage": "wx2.qq.com",
        "webwxinit": "wx2.qq.com",
        "webwxstatusnotify": "wx2.qq.com",
        "synccheck": "webpush.wx2.qq.com",
    }
    assert "webwx_data_ticket=SECRETdt" in world.server.asked("synccheck")[0].headers["Cookie"]
    await world.backend.close()


async def test_a_redirect_to_a_stranger_is_refused_before_anything_is_sent() -> None:
    world = World(endpoint=None)
    world.server.put("login", text(CONFIRMED.replace("wx2.qq.com", "wx2.qq.com.evil.example")))
    with pytest.raises(LoginRefused, match="not WeChat's"):
        await steps(world)
    assert world.server.calls() == ["jslogin", "login"]
    await world.backend.close()


@pytest.mark.parametrize("number", [202, 400, 402, 500, 0, 777])
async def test_a_code_that_is_over_brings_a_new_one(world: World, number: int) -> None:
    world.server.put("login", code(number), text(CONFIRMED))
    found = await steps(world)
    assert kinds(found) == ["ShowQr", "ShowQr", "LoggedIn"]
    assert isinstance(found[1], ShowQr)
    assert found[1].url.endswith("uuid2==")
    assert [query(poll)["uuid"] for poll in world.server.asked("login")] == ["uuid1==", "uuid2=="]


async def test_codes_that_are_over_at_once_come_more_and_more_slowly(world: World) -> None:
    world.server.put("login", code(400))
    assert kinds(await steps(world, most=6)) == ["ShowQr"] * 6
    assert world.clock.slept == [0.75, 1.5, 3.0, 6.0, 12.0]


async def test_408_keeps_the_code_for_its_lifetime(world: World) -> None:
    world.server.put("login", code(408))
    found = await steps(world, most=2)
    assert kinds(found) == ["ShowQr", "ShowQr"]
    assert len(world.server.asked("login")) == 300
    assert set(world.clock.slept) == {1.0}


async def test_a_poll_that_was_held_is_followed_at_once(world: World) -> None:
    async def held(_request: httpx.Request) -> httpx.Response:
        world.clock.time += 25
        return code(408)

    world.server.put("login", held, held, text(CONFIRMED))
    await steps(world)
    assert world.clock.slept == []


async def test_a_person_who_has_scanned_gets_time_to_confirm(world: World) -> None:
    async def late(_request: httpx.Request) -> httpx.Response:
        world.clock.time += 295
        return text(SCANNED)

    world.server.put(
        "login", late, code(408), code(408), code(408), code(408), code(408), code(408), text(CONFIRMED)
    )
    assert kinds(await steps(world)) == ["ShowQr", "Scanned", "LoggedIn"]


async def test_a_repeated_201_is_said_once_and_not_spun_on(world: World) -> None:
    world.server.put("login", text(SCANNED), text(SCANNED), text(SCANNED), text(CONFIRMED))
    assert kinds(await steps(world)) == ["ShowQr", "Scanned", "LoggedIn"]
    assert world.clock.slept == [1.0, 1.0]


@pytest.mark.parametrize(
    "trouble",
    [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x"), text("busy", 503)],
)
async def test_a_failed_poll_is_tried_again_with_the_same_code(
    world: World, trouble: Exception | httpx.Response
) -> None:
    world.server.put("login", trouble, trouble, text(CONFIRMED))
    assert kinds(await steps(world)) == ["ShowQr", "LoggedIn"]
    assert {query(poll)["uuid"] for poll in world.server.asked("login")} == {"uuid1=="}
    assert [query(poll)["tip"] for poll in world.server.asked("login")] == ["1", "1", "1"]
    assert world.clock.slept == [0.75, 1.5]


async def test_a_dead_server_ends_with_its_code(world: World) -> None:
    world.server.put("login", httpx.ConnectError("x"))
    world.server.put(
        "jslogin", text('window.QRLogin.code = 200; window.QRLogin.uuid = "u";'), httpx.ConnectError("x")
    )
    with pytest.raises(Unreachable):
        await steps(world)
    assert world.clock.time > 1300


async def test_answers_without_a_code_are_forgiven_twice(world: World) -> None:
    world.server.put("login", text("<html>"), text(""), text(CONFIRMED))
    assert kinds(await steps(world)) == ["ShowQr", "LoggedIn"]
    world.server.put("login", text("<html>"), text(""), text("x"), text(CONFIRMED))
    assert kinds(await steps(world)) == ["ShowQr", "ShowQr", "LoggedIn"]


async def test_confirmed_without_an_address_is_over(world: World) -> None:
    world.server.put("login", code(200), text(CONFIRMED))
    assert kinds(await steps(world)) == ["ShowQr", "ShowQr", "LoggedIn"]


@pytest.mark.parametrize("said", ["", "window.QRLogin.code = 400;", "<html>blocked</html>"])
async def test_no_code_at_all(world: World, said: str) -> None:
    world.server.put("jslogin", text(said))
    with pytest.raises(Unreachable, match="no QR code"):
        await steps(world)


async def test_301_with_the_xml_in_its_body(world: World) -> None:
    redirect = httpx.Response(
        301,
        content=LOGIN_XML,
        headers=[("Location", "http://evil.example/"), ("Set-Cookie", "wxsid=S; Path=/")],
    )
    world.server.put("webwxnewloginpage", redirect)
    assert kinds(await steps(world)) == ["ShowQr", "LoggedIn"]
    assert len(world.server.asked("webwxnewloginpage")) == 1


async def test_sid_and_uin_as_cookies_only(world: World) -> None:
    world.server.put(
        "webwxnewloginpage",
        text(
            "<error><ret>0</ret><skey>@crypt_x</skey><pass_ticket>p</pass_ticket></error>",
            cookies=("wxsid=cookie/sid; Domain=.qq.com", "wxuin=42; Domain=.qq.com"),
        ),
    )
    await steps(world)
    base = body(world.server.asked("webwxinit")[0])["BaseRequest"]
    assert (base["Sid"], base["Uin"], base["Skey"]) == ("cookie/sid", 42, "@crypt_x")
    assert base["DeviceID"] == "e500000000000000"


@pytest.mark.parametrize("uin", ["<wxuin>0</wxuin>", "<wxuin></wxuin>", ""])
async def test_a_login_that_names_no_account_is_refused_unless_the_cookie_does(
    world: World, uin: str
) -> None:
    page = f"<error><ret>0</ret><skey>@crypt_x</skey><wxsid>s</wxsid>{uin}</error>"
    world.server.put("webwxnewloginpage", text(page, cookies=("wxuin=0; Domain=.qq.com",)))
    with pytest.raises(LoginRefused):
        await steps(world)
    world.server.put("webwxnewloginpage", text(page, cookies=("wxuin=42; Domain=.qq.com",)))
    logged_in = (await steps(world))[-1]
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
async def test_refusals_end_the_login(world: World, page: str) -> None:
    world.server.put("webwxnewloginpage", text(page))
    with pytest.raises(LoginRefused):
        await steps(world)
    assert world.vault.saves == 0
    assert len(world.server.asked("webwxnewloginpage")) == 1


async def test_the_exchange_is_tried_three_times(world: World) -> None:
    world.server.put("webwxnewloginpage", text("", 502), text("???"), text(LOGIN_XML))
    assert kinds(await steps(world)) == ["ShowQr", "LoggedIn"]
    world.server.put("webwxnewloginpage", httpx.ReadTimeout("x"))
    with pytest.raises(Unreachable):
        await steps(world)
    assert len(world.server.asked("webwxnewloginpage")) == 6


async def test_a_ticket_that_a_lost_try_used_up_is_no_refusal(world: World) -> None:
    used = text("<error><ret>1</ret><message>ticket</message></error>")
    world.server.put("webwxnewloginpage", httpx.ReadError("x"), used)
    with pytest.raises(Unreachable):
        await steps(world)
    refused = text("<error><ret>1203</ret><message>no</message></error>")
    world.server.put("webwxnewloginpage", httpx.ReadError("x"), refused)
    with pytest.raises(LoginRefused):
        await steps(world)


async def test_an_answer_that_is_none_is_not_taken_for_a_refusal(world: World) -> None:
    world.server.put("webwxnewloginpage", text("<x/>"))
    with pytest.raises(Unreachable):
        await steps(world)


ELSEWHERE = (
    "<error><ret>0</ret><redirecturl>https://{host}/cgi-bin/mmwebwx-bin/x?ticket=U</redirecturl></error>"
)


async def test_the_exchange_may_go_on_elsewhere() -> None:
    world = World(endpoint=None)
    world.server.put("webwxnewloginpage", text(ELSEWHERE.format(host="wx8.qq.com")))
    world.server.put("x", text(LOGIN_XML))
    assert kinds(await steps(world)) == ["ShowQr", "LoggedIn"]
    assert str(world.server.asked("x")[0].url).startswith(
        "https://wx8.qq.com/cgi-bin/mmwebwx-bin/x?ticket=U&fun=new"
    )
    assert world.server.asked("webwxinit")[0].url.host == "wx8.qq.com"
    await world.backend.close()


async def test_but_only_at_wechat() -> None:
    world = World(endpoint=None)
    world.server.put("webwxnewloginpage", text(ELSEWHERE.format(host="evil.example")))
    with pytest.raises(LoginRefused, match="not WeChat's"):
        await steps(world)
    await world.backend.close()


async def test_desktop_mode_is_said_with_the_owners_own_values() -> None:
    world = World(desktop=DesktopClient(client_version="2.0.0", extspam="Go8F"))
    await steps(world)
    request = world.server.asked("webwxnewloginpage")[0]
    assert (request.headers["client-version"], request.headers["extspam"]) == ("2.0.0", "Go8F")
    assert str(request.url).endswith("&mod=desktop")
    await world.backend.close()


async def test_nothing_of_desktop_mode_is_sent_otherwise(world: World) -> None:
    await steps(world)
    assert not any(
        "desktop" in str(request.url) or "extspam" in request.headers for request in world.server.requests
    )


async def test_init_gives_a_new_skey_and_is_tried_again(world: World) -> None:
    world.server.put("webwxinit", text("", 500), answer(-1), answer(**INIT | {"SKey": "@crypt_new"}))
    await steps(world)
    assert body(world.server.asked("webwxstatusnotify")[0])["BaseRequest"]["Skey"] == "@crypt_new"


async def test_init_without_an_owner_is_no_answer(world: World) -> None:
    world.server.put("webwxinit", answer(**INIT | {"User": {}}))
    with pytest.raises(Unreachable):
        await steps(world)


@pytest.mark.parametrize(("ret", "error"), [(1101, LoggedOut), (1205, Throttled)])
async def test_a_login_that_ends_at_once(world: World, ret: int, error: type[Exception]) -> None:
    world.server.put("webwxinit", answer(ret))
    with pytest.raises(error):
        await steps(world)
    assert len(world.server.asked("webwxinit")) == 1


async def test_a_failing_status_notify_does_not_matter(world: World) -> None:
    world.server.put("webwxstatusnotify", answer(1))
    assert kinds(await steps(world)) == ["ShowQr", "LoggedIn"]
    notify = body(world.server.asked("webwxstatusnotify")[0])
    assert (notify["Code"], notify["FromUserName"], notify["ToUserName"]) == (3, ME, ME)


async def test_a_login_that_cannot_be_saved_goes_on_and_is_saved_later(world: World) -> None:
    world.vault.broken = True
    login = (await steps(world))[-1]
    assert isinstance(login, LoggedIn)
    world.vault.broken = False
    await world.backend.receive(login.cursor)
    assert world.vault.saves == 1


# resuming


async def resumable() -> tuple[World, LoggedIn]:
    world = World()
    login = (await steps(world))[-1]
    assert isinstance(login, LoggedIn)
    world.restarted()
    world.server.requests.clear()
    return world, login


async def test_a_saved_login_goes_on_without_a_scan() -> None:
    world, login = await resumable()
    found = await steps(world, resume=True)
    assert kinds(found) == ["LoggedIn"]
    assert isinstance(found[0], LoggedIn)
    assert (found[0].resumed, found[0].login_id, found[0].owner) == (True, login.login_id, login.owner)
    assert world.server.calls() == ["webwxbatchgetcontact"]
    probe = world.server.requests[0]
    assert body(probe)["List"] == [{"UserName": ME, "ChatRoomId": ""}]
    assert probe.headers["Cookie"] == "wxsid=SECRETsid; webwx_data_ticket=SECRETdt"
    await world.backend.close()


async def test_a_saved_login_that_cannot_be_checked_stays_saved() -> None:
    world, _ = await resumable()
    world.server.put("webwxbatchgetcontact", httpx.ConnectError("x"))
    with pytest.raises(Unreachable):
        await steps(world, resume=True)
    assert world.vault.content is not None
    world.server.put("webwxbatchgetcontact", answer())
    assert kinds(await steps(world, resume=True)) == ["LoggedIn"]
    await world.backend.close()


@pytest.mark.parametrize(("ret", "error"), [(-1, Unreachable), (1, Unreachable), (1205, Throttled)])
async def test_other_answers_leave_it_open_whether_a_saved_login_is_good(
    ret: int, error: type[Exception]
) -> None:
    world, _ = await resumable()
    world.server.put("webwxbatchgetcontact", answer(ret))
    with pytest.raises(error):
        await steps(world, resume=True)
    assert world.vault.content is not None
    assert "webwxpushloginurl" not in world.server.calls()
    await world.backend.close()


async def test_without_resume_a_saved_login_is_not_looked_at() -> None:
    world, login = await resumable()
    found = await steps(world, resume=False)
    assert kinds(found) == ["ShowQr", "LoggedIn"]
    assert isinstance(found[1], LoggedIn)
    assert found[1].login_id != login.login_id
    assert "Cookie" not in world.server.requests[0].headers
    await world.backend.close()


@pytest.mark.parametrize("ret", [1100, 1101, 1102, 1103, -14])
async def test_refused_the_phone_is_asked_once(ret: int) -> None:
    world, login = await resumable()
    world.server.put("webwxbatchgetcontact", answer(ret))
    world.server.put("webwxpushloginurl", text('{"ret":"0","msg":"all ok","uuid":"push=="}'))
    found = await steps(world, resume=True)
    assert kinds(found) == ["ConfirmOnPhone", "LoggedIn"]
    assert isinstance(found[1], LoggedIn)
    assert (found[1].resumed, found[1].login_id == login.login_id) == (False, False)
    pushed = world.server.asked("webwxpushloginurl")[0]
    assert query(pushed) == {"uin": "211722515"}
    assert "last_wxuin=211722515" in pushed.headers["Cookie"]
    assert "wxsid=SECRETsid" in pushed.headers["Cookie"]
    assert query(world.server.asked("login")[0])["uuid"] == "push=="
    await world.backend.close()


@pytest.mark.parametrize(
    "offer", ['{"ret":"1","msg":"args error"}', '{"ret":"2"}', '{"ret":3}', "<html>", ""]
)
async def test_where_the_phone_cannot_be_asked_a_code_is_shown(offer: str) -> None:
    world, _ = await resumable()
    world.server.put("webwxbatchgetcontact", answer(1101))
    world.server.put("webwxpushloginurl", text(offer))
    assert kinds(await steps(world, resume=True)) == ["ShowQr", "LoggedIn"]
    await world.backend.close()


@pytest.mark.parametrize("number", [202, 400, 500])
async def test_a_person_who_says_no_on_the_phone_gets_a_code(number: int) -> None:
    world, _ = await resumable()
    world.server.put("webwxbatchgetcontact", answer(1101))
    world.server.put("webwxpushloginurl", text('{"ret":"0","uuid":"push=="}'))
    world.server.put("login", code(number), text(CONFIRMED))
    assert kinds(await steps(world, resume=True)) == ["ConfirmOnPhone", "ShowQr", "LoggedIn"]
    assert len(world.server.asked("webwxpushloginurl")) == 1
    assert "Cookie" not in world.server.asked("jslogin")[0].headers
    await world.backend.close()


async def test_a_question_that_nobody_answers_ends_after_five_minutes() -> None:
    world, _ = await resumable()
    world.server.put("webwxbatchgetcontact", answer(1101))
    world.server.put("webwxpushloginurl", text('{"ret":"0","uuid":"push=="}'))
    world.server.put("login", code(408))
    assert kinds(await steps(world, resume=True, most=2)) == ["ConfirmOnPhone", "ShowQr"]
    assert 1299 <= world.clock.time <= 1302
    await world.backend.close()


async def test_the_phone_is_asked_once_however_often_the_login_is_repeated() -> None:
    world, _ = await resumable()
    world.server.put("webwxbatchgetcontact", answer(1101))
    world.server.put("webwxpushloginurl", text('{"ret":"0","uuid":"push=="}'))
    world.server.put("login", code(202))
    world.server.put("jslogin", httpx.ConnectError("x"))
    for _ in range(3):
        with pytest.raises(Unreachable):
            await steps(world, resume=True)
    assert len(world.server.asked("webwxpushloginurl")) == 1
    await world.backend.close()


async def test_push_login_unreachable_shows_a_code() -> None:
    world, _ = await resumable()
    world.server.put("webwxbatchgetcontact", answer(1101))
    world.server.put("webwxpushloginurl", httpx.ReadTimeout("x"))
    assert kinds(await steps(world, resume=True)) == ["ShowQr", "LoggedIn"]
    await world.backend.close()


async def test_saved_keys_of_another_endpoint_are_not_used() -> None:
    world, _ = await resumable()
    other = World(endpoint="http://other.test")
    other.vault = world.vault
    other.restarted()
    assert kinds(await steps(other, resume=True)) == ["ShowQr", "LoggedIn"]
    await other.backend.close()


async def test_leaving_the_login_leaves_nothing_running(world: World) -> None:
    world.server.put("login", code(408))
    await steps(world, most=1)
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_renewed_cookies_of_every_answer_are_saved(world: World) -> None:
    world.server.put("webwxinit", answer(cookies=("mm_lang=zh_CN",), **INIT))
    await steps(world)
    assert world.vault.content is not None
    names = {row[1] for row in world.vault.content["cookies"]}  # type: ignore[attr-defined]
    assert names == {"wxsid", "webwx_data_ticket", "mm_lang"}

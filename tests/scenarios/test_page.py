"""The page of the running bridge, walked through by a real browser and asked by machines."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from tests.scenarios.test_secrets import found_in, secrets_of, user_names
from tests.support import axe
from tests.support.broker import free_port
from tests.support.chromium import Chromium
from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.home import Home
from tests.support.scanner import codes_in

T = TypeVar("T")

SIZES = [(1100, "en"), (360, "zh-CN")]
STATE = "document.querySelector('[data-part=\"home.state\"]').textContent"
CODE = "document.querySelector('[data-part=\"home.code\"] img')"
GONE, BACK = "!document.getElementById('lost').hidden", "document.getElementById('lost').hidden"

WORDS = {
    "en": {
        "scan": "Scan the code",
        "confirm": "Confirm on the phone",
        "online": "Online",
        "out": "Logged out",
        "show": "Show what they say",
        "sent": "sent",
        "other": "已登录",
        "ask": "Log out of WeChat?",
    },
    "zh-CN": {
        "scan": "请扫描二维码",
        "confirm": "请在手机上确认",
        "online": "在线",
        "out": "已退出登录",
        "show": "显示内容",
        "sent": "已发送",
        "other": "Logged in as",
        "ask": "退出微信登录？",
    },
}


async def address(home: Home) -> str:
    """Where the page is."""
    line = await home.in_thread(home.bridge.wait_for_log, "web server runs")
    return str(json.loads(line)["url"])


async def started(home: Home, **web: Any) -> str:
    """The bridge runs and shows a code; where its page is."""
    if web:
        home.bridge.configure(home.settings(web=web))
    home.bridge.start()
    await home.control.wait("code")
    return await address(home)


@asynccontextmanager
async def looking(url: str, width: int, language: str) -> AsyncIterator[Chromium]:
    """A browser at the page. At its end nothing was complained of, too wide, or asked of anybody else."""
    browser = await asyncio.to_thread(Chromium, width, 800, language, watch=True)
    try:
        await asyncio.to_thread(browser.open, f"{url}/")
        yield browser
        wide = await asyncio.to_thread(browser.run, "return document.documentElement.scrollWidth")
        assert wide <= width
        assert await asyncio.to_thread(browser.console) == []
        asked = {urlsplit(one).netloc for one in await asyncio.to_thread(browser.requested)}
        assert asked == {urlsplit(url).netloc}
    finally:
        await asyncio.to_thread(browser.__exit__, None, None, None)


async def do(what: Callable[..., T], *arguments: Any) -> T:
    """A blocking call of the browser, beside the simulator that runs in this loop."""
    return await asyncio.to_thread(what, *arguments)


async def click(browser: Chromium, selector: str, text: str = "") -> None:
    """Click what has that text, once it is there."""
    one = f"[...document.querySelectorAll({selector!r})].find(e => e.textContent.includes({text!r}))"
    await do(browser.until, one)
    await do(browser.run, f"{one}.click()")


async def has(browser: Chromium, text: str, where: str = "main") -> None:
    """Until it stands there."""
    await do(browser.until, f"document.querySelector({where!r})?.textContent.includes({text!r})")


async def must_be_usable_by_all(browser: Chromium) -> None:
    """No serious finding of axe, in light and in dark."""
    for scheme in ("light", "dark"):
        await do(browser.prefer, scheme)
        assert await do(axe.serious, browser) == [], scheme


@pytest.fixture(scope="module")
def with_axe() -> None:
    """Skips where it is not to be had."""
    if problem := axe.missing():
        pytest.skip(problem)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "language"), SIZES)
async def test_a_person_is_led_through_a_login_and_back(
    home: Home, with_axe: None, width: int, language: str
):
    words = WORDS[language]
    url = await started(home)
    async with looking(url, width, language) as page:
        await has(page, words["scan"])
        await do(page.until, f"{CODE}?.naturalWidth > 0")
        source = await do(page.run, f"return {CODE}.src")
        async with httpx.AsyncClient(trust_env=False, timeout=MAX_WAIT_SECONDS) as http:
            (scanned,) = codes_in((await http.get(source)).content)
        assert scanned.endswith([*home.simulator.wechat.codes][-1].uuid)
        left = await do(page.run, "return document.querySelector('.left').textContent")
        assert re.search(r"[45]:[0-5]\d", left)
        await must_be_usable_by_all(page)

        await home.control.post("scan")
        await has(page, words["confirm"])
        assert not await do(page.run, f"return Boolean({CODE})")
        await home.control.post("confirm")
        await has(page, words["online"])
        await has(page, "wx/out/wife", "#home-contacts .found")

        await home.control.wait("polling")
        await home.control.say("wife", "我快到家了 <b>☀</b>")
        await has(page, "老婆", '[data-part="home.messages"]')
        assert "☀" not in await do(page.run, "return document.body.textContent")
        await click(page, "a", words["show"])
        await has(page, "我快到家了 <b>☀</b>", '[data-part="home.messages"]')
        await home.control.say("wife", "im Fluss")
        await has(page, "im Fluss", '[data-part="home.messages"]')

        await click(page, '#home-contacts a[data-to="wife"]')
        assert await do(page.run, "return document.getElementById('home-send-user').value") == "wife"
        assert await do(page.run, "return document.activeElement.id") == "home-send-text"
        await do(page.press, *"hi & <i>")
        await click(page, "#home-send button")
        await has(page, words["sent"], '[data-part="home.commands"]')
        command_id = await do(
            page.run, "return document.querySelector('.notice[role=status] code').textContent"
        )
        result = await home.body("wx/result/wife", id=command_id)
        assert result["status"] == "sent"
        await has(page, command_id, '[data-part="home.commands"]')
        (sent,) = await home.control.sent(1)
        assert (sent["to"], sent["text"]) == ("wife", "hi & <i>")
        await must_be_usable_by_all(page)

        await click(page, "header button")
        await has(page, words["other"])
        await click(page, "header button")
        await has(page, words["online"])

        await click(page, 'a[href$="/logout"]')
        await do(page.until, f"document.querySelector('h1')?.textContent === {words['ask']!r}")
        await must_be_usable_by_all(page)
        await click(page, "button.danger")
        await has(page, words["out"])
        await click(page, '[data-part="home.acts"] button')
        await has(page, words["scan"])
        await do(page.until, f"{CODE}?.naturalWidth > 0")
    assert not await home.control.get("violations")


@pytest.mark.browser
@pytest.mark.parametrize(("width", "language"), SIZES)
async def test_whoever_must_log_in_can(home: Home, with_axe: None, tmp_path: Path, width: int, language: str):
    (password := tmp_path / "password").write_text("geheim")
    password.chmod(0o600)
    url = await started(home, listen="0.0.0.0:0", password_file=str(password))
    browser = await do(Chromium, width, 800, language)
    try:
        await do(browser.open, f"{url.replace('0.0.0.0', '127.0.0.1')}/")
        await do(browser.until, "document.activeElement.id === 'password'")
        await must_be_usable_by_all(browser)
        await do(browser.press, *"geheim", "\ue007")
        await has(browser, WORDS[language]["scan"])
        await do(browser.until, f"{CODE}?.naturalWidth > 0")
        await must_be_usable_by_all(browser)
        assert await do(browser.console) == []
    finally:
        await do(browser.__exit__, None, None, None)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "language"), SIZES)
async def test_an_open_question_is_shown_and_closed(home: Home, with_axe: None, width: int, language: str):
    url = await started(home)
    await home.control.post("scan")
    await home.control.post("confirm")
    await home.control.wait("polling")
    part = '[data-part="home.questions"]'
    async with looking(url, width, language) as page:
        await has(page, WORDS[language]["online"])
        question = {"id": "door-7", "text": "Lock?", "buttons": ["Yes", "No"]}
        assert (await home.send_command("filehelper", question))["status"] == "sent"
        await has(page, "door-7", part)
        assert "Lock?" not in await do(page.run, f"return document.querySelector({part!r}).textContent")
        await must_be_usable_by_all(page)
        await click(page, f"{part} button")
        await do(page.until, f"document.querySelector({part!r})?.textContent === ''")
        await do(page.until, "document.querySelector('.notice[role=status]')")
    await home.control.say("me", "1", to="filehelper")
    assert "button" not in await home.body("wx/in/filehelper", text="1")


@pytest.mark.browser
async def test_axe_would_find_it(home: Home, with_axe: None):
    url = await started(home)
    with await do(Chromium, 500, 500) as page:
        await do(page.open, f"{url}/")
        await do(page.run, "document.querySelector('main').append(document.createElement('input'))")
        assert "label" in {one.rule for one in await do(axe.serious, page)}


@pytest.mark.browser
async def test_the_keyboard_is_enough(home: Home):
    await home.log_in()
    async with looking(await address(home), 700, "en") as page:
        await has(page, "Online")
        reached: list[str] = []
        for _ in range(30):
            await do(page.press, "\ue004")  # Tab
            what = "return document.activeElement.href || document.activeElement.name || document.activeElement.textContent"
            reached.append(str(await do(page.run, what)))
            if len(reached) > 1 and reached[-1] == reached[0]:
                break
        assert reached[0].endswith("#content"), "first a way past what is the same on every page"
        for wanted in ("language", "/accounts/home/logout", "texts=1", "text", "Send", "q", "Search"):
            assert any(wanted in one for one in reached), wanted
        await do(page.run, "document.querySelector('a[href$=\"/logout\"]').focus()")
        await do(page.press, "\ue007")  # Enter
        await has(page, "Stay logged in")


@pytest.mark.browser
async def test_the_steps_lead_from_no_message_to_the_first_one(home: Home):
    url = await started(home)
    current = "document.querySelector('.steps [aria-current]')?.textContent ?? ''"
    async with looking(url, 360, "en") as page:
        await do(page.until, f"({current}).includes('The login to WeChat')")
        await home.control.post("scan")
        await home.control.post("confirm")
        await do(page.until, f"({current}).includes('File Transfer')")
        await home.control.wait("polling")
        await home.control.say("me", "Hallo", to="filehelper")
        await do(page.until, "!document.querySelector('.steps')")
        await has(page, "me", '[data-part="home.messages"]')


@pytest.mark.browser
async def test_an_older_message_is_found_and_its_picture_is_shown(home: Home):
    await home.log_in()
    await home.control.say("wife", kind="image")
    await home.body("wx/event/media", state="ready")
    for number in range(25):
        await home.control.say("wife", f"Nummer {number} 你好")
    await home.body("wx/in/wife", text="Nummer 24 你好")
    async with looking(await address(home), 360, "en") as page:
        await do(page.run, "document.getElementById('home-find').focus()")
        await do(page.press, *"你好", "\ue007")
        await has(page, "Messages with “你好”: 20", "#home-found")
        await has(page, "Nummer 5 你好", "#home-found")
        await click(page, "#home-found a", "Older")
        await has(page, "Nummer 4 你好", "#home-found")
        await do(page.run, "document.getElementById('home-find').value = '['")
        await click(page, "#home-last_messages form button")
        await do(page.run, "document.querySelector('#home-found').scrollIntoView()")
        await do(page.until, "document.querySelector('#home-found .thumbnail')?.naturalWidth > 0")
        await click(page, "#home-found a", "End the search")
        await do(page.until, "!document.getElementById('home-found')")
        await has(page, "Nummer 24 你好", '[data-part="home.messages"]')


@pytest.mark.browser
async def test_among_many_contacts_one_is_found_while_one_types(home: Home):
    await home.control.post("people", friends=5000)
    await home.log_in()
    found = "#home-contacts .found"
    async with looking(await address(home), 360, "en") as page:
        await has(page, "1 to 20 of 50", found)
        size = await do(page.run, "return document.documentElement.outerHTML.length")
        assert size < 40_000
        await do(page.run, "document.getElementById('home-contacts-q').focus()")
        await do(page.press, *"老婆")
        await has(page, "1 to 1 of 1", found)
        await has(page, "wx/out/wife", found)
        assert await do(page.run, "return document.querySelector('#home-contacts [role=status]').textContent")
        await do(page.press, *["\ue003"] * 2)  # Backspace
        await has(page, "1 to 20 of 50", found)
        await click(page, f"{found} a", "Next")
        await has(page, "21 to 40 of 50", found)
        await click(page, f"{found} a", "Back")
        await has(page, "1 to 20 of 50", found)
        assert await do(page.run, "return location.search") == "", "nothing was loaded anew"


@pytest.mark.browser
async def test_a_page_that_stays_open_outlives_the_bridge(home: Home):
    port = free_port()
    home.bridge.configure(home.settings(web={"listen": f"127.0.0.1:{port}"}))
    await home.log_in()
    page = await do(Chromium, 800, 700)
    try:
        await do(page.open, f"http://127.0.0.1:{port}/")
        await has(page, "Online")
        await home.in_thread(home.bridge.stop)
        await do(page.until, GONE)
        since = home.subscriber.count
        home.bridge.start()
        await home.body("wx/login/state", state="online", since=since)
        await do(page.until, BACK, 20)
        await home.control.wait("polling")
        await home.control.say("wife", "hello again")
        await has(page, "老婆", '[data-part="home.messages"]')
    finally:
        await do(page.__exit__, None, None, None)


@pytest.mark.browser
async def test_below_a_path_behind_a_proxy_the_page_works_too(home: Home):
    url = await started(home, base_path="/wechat")
    async with looking(f"{url}/wechat", 800, "en") as page:
        await do(page.until, f"{CODE}?.naturalWidth > 0")
        await home.control.post("scan")
        await has(page, "Confirm on the phone")
        await click(page, "header button")
        await has(page, "请在手机上确认")
        assert await do(page.run, "return location.pathname") == "/wechat/"


@pytest.mark.browser
async def test_two_accounts_stand_side_by_side(home: Home):
    settings = home.settings()
    settings["accounts"]["work"] = {"endpoint": home.simulator.url}
    home.bridge.configure(settings)
    url = await started(home)
    async with looking(url, 1100, "en") as page:
        await do(page.until, "document.querySelectorAll('h2[id$=-title]').length === 2")
        await do(page.until, "document.querySelectorAll('.login img').length === 2")
        codes = [code.uuid for code in home.simulator.wechat.codes]
        await home.control.post("scan", uuid=codes[0])
        await do(page.until, "document.querySelectorAll('.login img').length === 1")


# what machines ask


@asynccontextmanager
async def machine(home: Home, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the page's server."""
    url = (await address(home)).replace("0.0.0.0", "127.0.0.1")
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=MAX_WAIT_SECONDS, **more) as http:
        yield http


async def test_health_follows_what_happens(home: Home):
    await started(home)
    await home.in_thread(home.subscriber.wait, "wx/bridge/state")
    async with machine(home) as http:
        waits = await http.get("/healthz")
        assert (waits.status_code, waits.json()["reasons"]) == (503, ["home: login_waiting_for_scan"])
        assert (await http.get("/livez")).status_code == 200
        await home.control.post("scan")
        await home.control.post("confirm")
        await home.body("wx/login/state", state="online")
        assert (await http.get("/healthz")).status_code == 200
        since = len(home.bridge.log)
        home.broker.kill()
        await home.in_thread(lambda: home.bridge.wait_for_log("no connection to the broker", since=since))
        away = await http.get("/healthz")
        assert (away.status_code, away.json()["reasons"]) == (503, ["home: broker_away"])
        assert (await http.get("/livez")).status_code == 200


async def test_metrics_count_what_happened(home: Home):
    await home.log_in()
    for text in ("eins", "zwei"):
        await home.control.say("wife", text)
    await home.body("wx/in/wife", text="zwei")
    await home.send_command("wife", {"text": "drei", "id": "m1"})
    await home.send_command("nobody at all", {"text": "vier", "id": "m2"})
    async with machine(home) as http:
        told = (await http.get("/metrics")).text
    for line in (
        'wx2mqtt_messages_total{account="home",direction="in",kind="text"} 2.0',
        'wx2mqtt_messages_total{account="home",direction="out",kind="text"} 1.0',
        'wx2mqtt_results_total{account="home",code="ok",status="sent"} 1.0',
        'wx2mqtt_results_total{account="home",code="unknown_user",status="rejected"} 1.0',
        'wx2mqtt_login_state{account="home",state="online"} 1.0',
        'wx2mqtt_wechat_requests_total{account="home",endpoint="webwxsendmsg",outcome="200"} 1.0',
    ):
        assert line in told, line


async def test_no_secret_is_on_the_page_or_in_what_machines_read(home: Home):
    await started(home)
    async with machine(home) as http:
        before = await http.get("/?texts=1")
        await home.control.post("scan")
        await home.control.post("confirm")
        await home.body("wx/login/state", state="online")
        await home.control.wait("polling")
        await home.control.say("wife", "hi")
        await home.body("wx/in/wife")
        paths = (
            "/?texts=1",
            "/healthz",
            "/livez",
            "/metrics",
            "/accounts/home/contacts",
            "/accounts/home/logout",
        )
        answers = [before, *[await http.get(path) for path in paths]]
        stream = await read_some(http)
    secrets = secrets_of(home) | {name: name for name in user_names(home)}
    for data in (*(answer.content for answer in answers), stream):
        assert found_in(data, secrets) == []


async def read_some(http: httpx.AsyncClient) -> bytes:
    """The first event of the stream."""
    data = b""
    async with http.stream("GET", "/events?texts=1") as answer:
        async for piece in answer.aiter_raw():
            data += piece
            if data.count(b"\n\n") >= 2:
                break
    return data


async def test_the_end_of_the_bridge_waits_for_nobody_who_looks_on(home: Home):
    await started(home)
    async with machine(home) as http, http.stream("GET", "/events") as answer:
        pieces = answer.aiter_raw()
        await anext(pieces)
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            assert await home.in_thread(home.bridge.stop) == 0
            rest = [piece async for piece in pieces]
    assert rest is not None


async def test_a_logout_ends_what_is_followed(home: Home, tmp_path: Path):
    (password := tmp_path / "password").write_text("geheim")
    password.chmod(0o600)
    await started(home, listen="0.0.0.0:0", password_file=str(password))
    async with machine(home) as http:
        assert (await http.get("/events")).status_code == 401
        await http.post("/login", data={"password": "geheim"})
        async with http.stream("GET", "/events") as answer:
            assert answer.status_code == 200
            pieces = answer.aiter_raw()
            await anext(pieces)
            await http.post("/logout")
            await home.control.post("scan")  # it rings the bell
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                rest = [piece async for piece in pieces]
    assert b"Confirm" not in b"".join(rest)


async def test_a_reload_of_a_bad_file_is_shown_until_a_good_one_comes(home: Home):
    await home.log_in()
    good = home.bridge.config.read_text()
    async with machine(home) as http:
        settings = yaml.safe_load(good)
        settings["accounts"]["home"]["send"]["per_minute"] = "viele"
        home.bridge.config.write_text(yaml.safe_dump(settings))
        home.bridge.hangup()
        await home.in_thread(home.bridge.wait_for_log, "reload refused")
        page = (await http.get("/")).text
        assert "accounts.home.send.per_minute" in page
        assert "settings of before" in page
        assert (await http.get("/healthz")).status_code == 200
        home.bridge.config.write_text(good)
        home.bridge.hangup()
        await home.in_thread(home.bridge.wait_for_log, '"reloaded"')
        assert "per_minute" not in (await http.get("/")).text

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

Result = TypeVar("Result")

SIZES = [(1100, "en"), (360, "zh-CN")]
STATE = "document.querySelector('[data-part=\"home.state\"]').textContent"
CODE = "document.querySelector('[data-part=\"home.code\"] img')"
BRIDGE_LOST, BRIDGE_FOUND = (
    "!document.getElementById('lost').hidden",
    "document.getElementById('lost').hidden",
)

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


async def page_url(home: Home) -> str:
    """Returns the URL of the page."""
    line = await home.in_thread(home.bridge.wait_for_log, "web server runs")
    return str(json.loads(line)["url"])


async def start_bridge(home: Home, **web: Any) -> str:
    """Starts the bridge until it shows a code; returns the URL of its page."""
    if web:
        home.bridge.configure(home.settings(web=web))
    home.bridge.start()
    await home.control.wait("code")
    return await page_url(home)


@asynccontextmanager
async def open_page(url: str, width: int, language: str) -> AsyncIterator[Chromium]:
    """Opens the page in a browser; checks at the end that it logged no error, was not too wide, and asked no
    other host.
    """
    browser = await asyncio.to_thread(Chromium, width, 800, language, watch=True)
    try:
        await asyncio.to_thread(browser.open, f"{url}/")
        yield browser
        document_width = await asyncio.to_thread(browser.run, "return document.documentElement.scrollWidth")
        assert document_width <= width
        assert await asyncio.to_thread(browser.console) == []
        requested_hosts = {urlsplit(url).netloc for url in await asyncio.to_thread(browser.requested)}
        assert requested_hosts == {urlsplit(url).netloc}
    finally:
        await asyncio.to_thread(browser.__exit__, None, None, None)


async def in_thread(focused: Callable[..., Result], *arguments: Any) -> Result:
    """Makes a blocking call of the browser in a thread, beside the simulator that runs in this loop."""
    return await asyncio.to_thread(focused, *arguments)


async def click(browser: Chromium, selector: str, text: str = "") -> None:
    """Clicks the element that has this text, once it exists."""
    element = f"[...document.querySelectorAll({selector!r})].find(e => e.textContent.includes({text!r}))"
    await in_thread(browser.until, element)
    await in_thread(browser.run, f"{element}.click()")


async def wait_for_text(browser: Chromium, text: str, where: str = "main") -> None:
    """Waits until an element has this text."""
    await in_thread(browser.until, f"document.querySelector({where!r})?.textContent.includes({text!r})")


async def assert_accessible(browser: Chromium) -> None:
    """Checks that axe finds nothing serious, in light and in dark colours."""
    for scheme in ("light", "dark"):
        await in_thread(browser.prefer, scheme)
        assert await in_thread(axe.serious, browser) == [], scheme


@pytest.fixture(scope="module")
def with_axe() -> None:
    """Skips the test where axe is not available."""
    if problem := axe.missing():
        pytest.skip(problem)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "language"), SIZES)
async def test_a_person_is_led_through_a_login_and_back(
    home: Home, with_axe: None, width: int, language: str
):
    words = WORDS[language]
    url = await start_bridge(home)
    async with open_page(url, width, language) as page:
        await wait_for_text(page, words["scan"])
        await in_thread(page.until, f"{CODE}?.naturalWidth > 0")
        source = await in_thread(page.run, f"return {CODE}.src")
        async with httpx.AsyncClient(trust_env=False, timeout=MAX_WAIT_SECONDS) as http:
            (scanned,) = codes_in((await http.get(source)).content)
        assert scanned.endswith([*home.simulator.wechat.codes][-1].uuid)
        quota_text = await in_thread(page.run, "return document.querySelector('.left').textContent")
        assert re.search(r"[45]:[0-5]\d", quota_text)
        await assert_accessible(page)

        await home.control.post("scan")
        await wait_for_text(page, words["confirm"])
        assert not await in_thread(page.run, f"return Boolean({CODE})")
        await home.control.post("confirm")
        await wait_for_text(page, words["online"])
        await wait_for_text(page, "wx/out/wife", "#home-contacts .found")

        await home.control.wait("polling")
        await home.control.say("wife", "我快到家了 <b>☀</b>")
        await wait_for_text(page, "老婆", '[data-part="home.messages"]')
        assert "☀" not in await in_thread(page.run, "return document.body.textContent")
        await click(page, "a", words["show"])
        await wait_for_text(page, "我快到家了 <b>☀</b>", '[data-part="home.messages"]')
        await home.control.say("wife", "im Fluss")
        await wait_for_text(page, "im Fluss", '[data-part="home.messages"]')

        await click(page, '#home-contacts a[data-to="wife"]')
        assert await in_thread(page.run, "return document.getElementById('home-send-user').value") == "wife"
        assert await in_thread(page.run, "return document.activeElement.id") == "home-send-text"
        await in_thread(page.press, *"hi & <i>")
        await click(page, "#home-send button")
        await wait_for_text(page, words["sent"], '[data-part="home.commands"]')
        command_id = await in_thread(
            page.run, "return document.querySelector('.notice[role=status] code').textContent"
        )
        result = await home.body("wx/result/wife", id=command_id)
        assert result["status"] == "sent"
        await wait_for_text(page, command_id, '[data-part="home.commands"]')
        (sent,) = await home.control.sent(1)
        assert (sent["to"], sent["text"]) == ("wife", "hi & <i>")
        await assert_accessible(page)

        await click(page, "header button")
        await wait_for_text(page, words["other"])
        await click(page, "header button")
        await wait_for_text(page, words["online"])

        await click(page, 'a[href$="/logout"]')
        await in_thread(page.until, f"document.querySelector('h1')?.textContent === {words['ask']!r}")
        await assert_accessible(page)
        await click(page, "button.danger")
        await wait_for_text(page, words["out"])
        await click(page, '[data-part="home.acts"] button')
        await wait_for_text(page, words["scan"])
        await in_thread(page.until, f"{CODE}?.naturalWidth > 0")
    assert not await home.control.get("violations")


@pytest.mark.browser
@pytest.mark.parametrize(("width", "language"), SIZES)
async def test_a_person_logs_in_to_a_page_with_a_password(
    home: Home, with_axe: None, tmp_path: Path, width: int, language: str
):
    (password := tmp_path / "password").write_text("geheim")
    password.chmod(0o600)
    url = await start_bridge(home, listen="0.0.0.0:0", password_file=str(password))
    browser = await in_thread(Chromium, width, 800, language)
    try:
        await in_thread(browser.open, f"{url.replace('0.0.0.0', '127.0.0.1')}/")
        await in_thread(browser.until, "document.activeElement.id === 'password'")
        await assert_accessible(browser)
        await in_thread(browser.press, *"geheim", "\ue007")
        await wait_for_text(browser, WORDS[language]["scan"])
        await in_thread(browser.until, f"{CODE}?.naturalWidth > 0")
        await assert_accessible(browser)
        assert await in_thread(browser.console) == []
    finally:
        await in_thread(browser.__exit__, None, None, None)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "language"), SIZES)
async def test_an_open_question_is_shown_and_closed(home: Home, with_axe: None, width: int, language: str):
    url = await start_bridge(home)
    await home.control.post("scan")
    await home.control.post("confirm")
    await home.control.wait("polling")
    part = '[data-part="home.questions"]'
    async with open_page(url, width, language) as page:
        await wait_for_text(page, WORDS[language]["online"])
        question = {"id": "door-7", "text": "Lock?", "buttons": ["Yes", "No"]}
        assert (await home.send_command("filehelper", question))["status"] == "sent"
        await wait_for_text(page, "door-7", part)
        assert "Lock?" not in await in_thread(
            page.run, f"return document.querySelector({part!r}).textContent"
        )
        await assert_accessible(page)
        await click(page, f"{part} button")
        await in_thread(page.until, f"document.querySelector({part!r})?.textContent === ''")
        await in_thread(page.until, "document.querySelector('.notice[role=status]')")
    await home.control.say("me", "1", to="filehelper")
    assert "button" not in await home.body("wx/in/filehelper", text="1")


@pytest.mark.browser
async def test_axe_finds_a_fault_that_is_put_into_the_page(home: Home, with_axe: None):
    url = await start_bridge(home)
    with await in_thread(Chromium, 500, 500) as page:
        await in_thread(page.open, f"{url}/")
        await in_thread(page.run, "document.querySelector('main').append(document.createElement('input'))")
        assert "label" in {finding.rule for finding in await in_thread(axe.serious, page)}


@pytest.mark.browser
async def test_the_page_can_be_used_by_keyboard_alone(home: Home):
    await home.log_in()
    async with open_page(await page_url(home), 700, "en") as page:
        await wait_for_text(page, "Online")
        reached: list[str] = []
        for _ in range(30):
            await in_thread(page.press, "\ue004")  # Tab
            focused = "return document.activeElement.href || document.activeElement.name || document.activeElement.textContent"
            reached.append(str(await in_thread(page.run, focused)))
            if len(reached) > 1 and reached[-1] == reached[0]:
                break
        assert reached[0].endswith("#content"), "first a way past what is the same on every page"
        for wanted in ("language", "/accounts/home/logout", "texts=1", "text", "Send", "q", "Search"):
            assert any(wanted in name for name in reached), wanted
        await in_thread(page.run, "document.querySelector('a[href$=\"/logout\"]').focus()")
        await in_thread(page.press, "\ue007")  # Enter
        await wait_for_text(page, "Stay logged in")


@pytest.mark.browser
async def test_the_steps_lead_from_no_message_to_the_first_one(home: Home):
    url = await start_bridge(home)
    current = "document.querySelector('.steps [aria-current]')?.textContent ?? ''"
    async with open_page(url, 360, "en") as page:
        await in_thread(page.until, f"({current}).includes('The login to WeChat')")
        await home.control.post("scan")
        await home.control.post("confirm")
        await in_thread(page.until, f"({current}).includes('File Transfer')")
        await home.control.wait("polling")
        await home.control.say("me", "Hallo", to="filehelper")
        await in_thread(page.until, "!document.querySelector('.steps')")
        await wait_for_text(page, "me", '[data-part="home.messages"]')


@pytest.mark.browser
async def test_an_older_message_is_found_and_its_picture_is_shown(home: Home):
    await home.log_in()
    await home.control.say("wife", kind="image")
    await home.body("wx/event/media", state="ready")
    for number in range(25):
        await home.control.say("wife", f"Nummer {number} 你好")
    await home.body("wx/in/wife", text="Nummer 24 你好")
    async with open_page(await page_url(home), 360, "en") as page:
        await in_thread(page.run, "document.getElementById('home-find').focus()")
        await in_thread(page.press, *"你好", "\ue007")
        await wait_for_text(page, "Messages with “你好”: 20", "#home-found")
        await wait_for_text(page, "Nummer 5 你好", "#home-found")
        await click(page, "#home-found a", "Older")
        await wait_for_text(page, "Nummer 4 你好", "#home-found")
        await in_thread(page.run, "document.getElementById('home-find').value = '['")
        await click(page, "#home-last_messages form button")
        await in_thread(page.run, "document.querySelector('#home-found').scrollIntoView()")
        await in_thread(page.until, "document.querySelector('#home-found .thumbnail')?.naturalWidth > 0")
        await click(page, "#home-found a", "End the search")
        await in_thread(page.until, "!document.getElementById('home-found')")
        await wait_for_text(page, "Nummer 24 你好", '[data-part="home.messages"]')


@pytest.mark.browser
async def test_among_many_contacts_one_is_found_while_one_types(home: Home):
    await home.control.post("people", friends=5000)
    await home.log_in()
    found = "#home-contacts .found"
    async with open_page(await page_url(home), 360, "en") as page:
        await wait_for_text(page, "1 to 20 of 50", found)
        size = await in_thread(page.run, "return document.documentElement.outerHTML.length")
        assert size < 40_000
        await in_thread(page.run, "document.getElementById('home-contacts-q').focus()")
        await in_thread(page.press, *"老婆")
        await wait_for_text(page, "1 to 1 of 1", found)
        await wait_for_text(page, "wx/out/wife", found)
        assert await in_thread(
            page.run, "return document.querySelector('#home-contacts [role=status]').textContent"
        )
        await in_thread(page.press, *["\ue003"] * 2)  # Backspace
        await wait_for_text(page, "1 to 20 of 50", found)
        await click(page, f"{found} a", "Next")
        await wait_for_text(page, "21 to 40 of 50", found)
        await click(page, f"{found} a", "Back")
        await wait_for_text(page, "1 to 20 of 50", found)
        assert await in_thread(page.run, "return location.search") == "", "nothing was loaded anew"


@pytest.mark.browser
async def test_an_open_page_works_again_after_a_restart_of_the_bridge(home: Home):
    port = free_port()
    home.bridge.configure(home.settings(web={"listen": f"127.0.0.1:{port}"}))
    await home.log_in()
    page = await in_thread(Chromium, 800, 700)
    try:
        await in_thread(page.open, f"http://127.0.0.1:{port}/")
        await wait_for_text(page, "Online")
        await home.in_thread(home.bridge.stop)
        await in_thread(page.until, BRIDGE_LOST)
        since = home.subscriber.count
        home.bridge.start()
        await home.body("wx/login/state", state="online", since=since)
        await in_thread(page.until, BRIDGE_FOUND, 20)
        await home.control.wait("polling")
        await home.control.say("wife", "hello again")
        await wait_for_text(page, "老婆", '[data-part="home.messages"]')
    finally:
        await in_thread(page.__exit__, None, None, None)


@pytest.mark.browser
async def test_the_page_works_below_a_path_behind_a_proxy(home: Home):
    url = await start_bridge(home, base_path="/wechat")
    async with open_page(f"{url}/wechat", 800, "en") as page:
        await in_thread(page.until, f"{CODE}?.naturalWidth > 0")
        await home.control.post("scan")
        await wait_for_text(page, "Confirm on the phone")
        await click(page, "header button")
        await wait_for_text(page, "请在手机上确认")
        assert await in_thread(page.run, "return location.pathname") == "/wechat/"


@pytest.mark.browser
async def test_two_accounts_stand_side_by_side(home: Home):
    settings = home.settings()
    settings["accounts"]["work"] = {"endpoint": home.simulator.url}
    home.bridge.configure(settings)
    url = await start_bridge(home)
    async with open_page(url, 1100, "en") as page:
        await in_thread(page.until, "document.querySelectorAll('h2[id$=-title]').length === 2")
        await in_thread(page.until, "document.querySelectorAll('.login img').length === 2")
        codes = [code.uuid for code in home.simulator.wechat.codes]
        await home.control.post("scan", uuid=codes[0])
        await in_thread(page.until, "document.querySelectorAll('.login img').length === 1")


# what machines ask


@asynccontextmanager
async def http_client(home: Home, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Yields an HTTP client of the page's server."""
    url = (await page_url(home)).replace("0.0.0.0", "127.0.0.1")
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=MAX_WAIT_SECONDS, **more) as http:
        yield http


async def test_health_follows_the_state_of_the_bridge(home: Home):
    await start_bridge(home)
    await home.in_thread(home.subscriber.wait, "wx/bridge/state")
    async with http_client(home) as http:
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


async def test_metrics_count_messages_and_commands(home: Home):
    await home.log_in()
    for text in ("eins", "zwei"):
        await home.control.say("wife", text)
    await home.body("wx/in/wife", text="zwei")
    await home.send_command("wife", {"text": "drei", "id": "m1"})
    await home.send_command("nobody at all", {"text": "vier", "id": "m2"})
    async with http_client(home) as http:
        metrics = (await http.get("/metrics")).text
    for line in (
        'wx2mqtt_messages_total{account="home",direction="in",kind="text"} 2.0',
        'wx2mqtt_messages_total{account="home",direction="out",kind="text"} 1.0',
        'wx2mqtt_results_total{account="home",code="ok",status="sent"} 1.0',
        'wx2mqtt_results_total{account="home",code="unknown_user",status="rejected"} 1.0',
        'wx2mqtt_login_state{account="home",state="online"} 1.0',
        'wx2mqtt_wechat_requests_total{account="home",endpoint="webwxsendmsg",outcome="200"} 1.0',
    ):
        assert line in metrics, line


async def test_no_secret_is_on_the_page_or_in_metrics_and_events(home: Home):
    await start_bridge(home)
    async with http_client(home) as http:
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
        stream = await read_first_event(http)
    secrets = secrets_of(home) | {name: name for name in user_names(home)}
    for data in (*(answer.content for answer in answers), stream):
        assert found_in(data, secrets) == []


async def read_first_event(http: httpx.AsyncClient) -> bytes:
    """Returns the first event of the stream."""
    data = b""
    async with http.stream("GET", "/events?texts=1") as answer:
        async for piece in answer.aiter_raw():
            data += piece
            if data.count(b"\n\n") >= 2:
                break
    return data


async def test_a_stop_of_the_bridge_does_not_wait_for_open_event_streams(home: Home):
    await start_bridge(home)
    async with http_client(home) as http, http.stream("GET", "/events") as answer:
        pieces = answer.aiter_raw()
        await anext(pieces)
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            assert await home.in_thread(home.bridge.stop) == 0
            rest = [piece async for piece in pieces]
    assert rest is not None


async def test_a_logout_from_the_page_ends_its_event_stream(home: Home, tmp_path: Path):
    (password := tmp_path / "password").write_text("geheim")
    password.chmod(0o600)
    await start_bridge(home, listen="0.0.0.0:0", password_file=str(password))
    async with http_client(home) as http:
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
    async with http_client(home) as http:
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

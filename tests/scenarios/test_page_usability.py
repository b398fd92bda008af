"""The page can be used by everybody: each of its states in both languages, light and dark, narrow and wide."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support import usability
from tests.support.chromium import Chromium
from tests.support.page import (
    NOW,
    FakeAccountView,
    bridge,
    command,
    entry,
    health_snapshot,
    line,
    login,
    result,
)
from tests.support.web import PNG, FakeMediaLibrary, running_web_server
from wx2mqtt.bridge.bot_owner import BotOwnerState, OwnerNeed
from wx2mqtt.bridge.counters import AccountCounters
from wx2mqtt.bridge.window_topics import WindowForecast
from wx2mqtt.errors import Problem
from wx2mqtt.model import LoginState, Needs, ReplyWindow, Status
from wx2mqtt.store.traffic import HourCounts
from wx2mqtt.web.bridge_state import BridgeState

pytestmark = pytest.mark.browser

LANGUAGES = ("en", "zh-CN")

# The order of Tab through the page is the same in both languages; it takes most of the time.
KEYBOARD_WIDTHS = {"en": 360, "zh-CN": 1100}
LONG = "一个非常长的名字" * 12 + "Donaudampfschifffahrtsgesellschaftskapitän" * 3


def full_state() -> BridgeState:
    """Returns an account that is online, with everything on the page that there can be."""
    view = FakeAccountView()
    view.messages = [
        line(text=LONG), line(kind="image", media="p1", preview="p1"), line(group=True, chat=LONG, sender=LONG, own=False),
    ]  # fmt: skip
    open_window = ReplyWindow(open=True, until=NOW + 18_000_000, remaining=7, limit=10)
    shut = ReplyWindow(open=False, remaining=0, limit=10, reason="quota_used")
    view.forecasts = {
        "me": WindowForecast(window=open_window, reserved=2, waiting=0),
        "x" * 80: WindowForecast(window=shut, reserved=0, waiting=3),
    }
    view.hours = [
        HourCounts(hour=number, received=number % 7, sent=number * 40 % 900, not_sent=number % 11 // 9)
        for number in range(24)
    ]
    view.matches = [line(text=f"匹配 {number}", seq=number) for number in range(30, 0, -1)]
    view.rows = [
        command(), command(result()), command(result(Status.FAILED, "refused_by_wechat", LONG), text=LONG),
    ]  # fmt: skip
    view.people = [
        entry("wife", name="老婆", trusted=True), entry("x" * 80, name=LONG, stranger=True),
        entry("old", removed=True), entry("lost", closed=True, problem="pin_fits_several"),
        *(entry(f"f{number}") for number in range(30)),
    ]  # fmt: skip
    return bridge(view)


def faulty_state() -> BridgeState:
    """Returns two accounts and a changed file on which everything is wrong at once."""
    view = FakeAccountView()
    view.login = login(LoginState.REFUSED, reason=LONG)
    counters = AccountCounters(started=NOW, broker_reason=LONG, standby=True, connects=3)
    bad = {"trouble": LONG, "set_aside": 1, "waiting_publications": 3, "oldest_publication": NOW}
    view.health = health_snapshot(
        broker="", counters=counters, stuck=("receive:home",), unresolved=2, stats=bad
    )
    other = FakeAccountView("office", "wx/office")
    other.health = RuntimeError("never read")
    other.break_store()
    problem = Problem("/etc/wx2mqtt/wx2mqtt.yaml", 12, f"accounts.{'x' * 90}.send", "must be a whole number")
    return bridge(view, other, problems=lambda: (problem,))


def state_without_messages(state: LoginState = LoginState.WAITING_FOR_SCAN, **more: Any) -> BridgeState:
    """Returns an account to which nobody has written yet."""
    view = FakeAccountView()
    view.login = login(state, qr_expires=None, **more)
    view.qr_image = PNG if state is LoginState.WAITING_FOR_SCAN else b""
    view.health = health_snapshot(stats={"messages": 0})
    return bridge(view, setup_command=lambda: "wx2mqtt setup")


def state_of_unclaimed_bot(need: OwnerNeed) -> BridgeState:
    """Returns an account that is online with a bot of WeCom whose owner is not fully configured."""
    view = FakeAccountView()
    view.login = login(LoginState.ONLINE, needs=Needs.OWNER, reason=LONG)
    people = (entry("ZhangSan"), entry("x" * 64, name=LONG))
    view.bot_owner = BotOwnerState(
        need=need, bot_id="aib" + "K" * 40, is_confirmed=False, user="", people=people
    )
    return bridge(view)


def state_without_file() -> BridgeState:
    """Returns the state without a configuration file."""
    problem = Problem("wx2mqtt.yaml", 1, "file", "there is no such file")
    return bridge(problems=lambda: (problem,), setup_command=lambda: "wx2mqtt setup -c wx2mqtt.yaml")


def state_that_asks_for_number() -> BridgeState:
    return state_without_messages(LoginState.WAITING_FOR_CONFIRM, needs=Needs.CODE)


GUARDED = {"host": "0.0.0.0", "password": "geheim"}

STATES: dict[str, tuple[Callable[[], BridgeState], str, dict[str, Any]]] = {
    "messages, commands and contacts": (full_state, "/?texts=1", {}),
    "texts are hidden": (full_state, "/?said=sent&id=page-0123456789abcdef0123", {}),
    "a search in the messages": (full_state, "/?texts=1&account=home&find=匹配", {}),
    "a person is chosen": (full_state, "/?account=home&to=wife", {}),
    "problems": (faulty_state, "/", {}),
    "a code to scan": (state_without_messages, "/", {}),
    "a number of the phone": (state_that_asks_for_number, "/", {}),
    "no configuration": (state_without_file, "/", {}),
    "the question before a logout": (full_state, "/accounts/home/logout", {}),
    "the question before a new owner": (full_state, "/accounts/home/new-owner", {}),
    "a bot that may be somebody else's": (partial(state_of_unclaimed_bot, OwnerNeed.BOT), "/", {}),
    "a bot without an owner": (partial(state_of_unclaimed_bot, OwnerNeed.PERSON), "/", {}),
    "the form for the password": (full_state, "/login", GUARDED),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("state", STATES)
async def test_each_state_of_the_page_is_accessible(tmp_path: Path, state: str, language: str):
    make, path, web = STATES[state]
    library = FakeMediaLibrary(tmp_path)
    library.put("p1", PNG)
    async with running_web_server(library, make(), **web) as (server, _):
        url = f"http://127.0.0.1:{server.port}{path}"
        await asyncio.to_thread(examine, url, language)


def examine(url: str, language: str) -> None:
    """Checks that there is no finding at any width and in any colours."""
    for width in (360, 1100):
        with Chromium(width, 800, language) as browser:
            for scheme in ("light", "dark"):
                browser.prefer(scheme)
                browser.open(url)
                browser.until("document.readyState === 'complete'")
                assert usability.findings(browser, language) == [], (width, scheme)
            if width == KEYBOARD_WIDTHS[language]:
                assert usability.keyboard_findings(browser) == [], width


# Of each card: its name, the longest part of its height without anything, and whether its line of cards is full.
CARDS = """
const cards = [...document.querySelectorAll('.cards > .card')].map(card => ({ card, box: card.getBoundingClientRect() }));
const { left, right } = document.querySelector('.cards').getBoundingClientRect();
return cards.map(({ card, box }) => {
  const shown = [...card.querySelectorAll('*')].filter(one => one.checkVisibility());
  const boxes = shown.flatMap(one => {
    const texts = [...one.childNodes].filter(node => node.nodeType === Node.TEXT_NODE);
    const lines = texts.flatMap(text => { const range = new Range(); range.selectNode(text); return [...range.getClientRects()]; });
    return one.matches('img, svg, input, textarea, button') ? [one.getBoundingClientRect()] : lines;
  });
  let end = box.top, empty = 0;
  for (const one of [...boxes, { top: box.bottom, bottom: box.bottom }].sort((a, b) => a.top - b.top)) {
    empty = Math.max(empty, one.top - end);
    end = Math.max(end, one.bottom);
  }
  const line = cards.filter(other => other.box.top === box.top).map(other => other.box);
  const ends = [Math.min(...line.map(one => one.left)) - left, right - Math.max(...line.map(one => one.right))];
  return [card.id, Math.round(empty), ends.every(one => Math.abs(one) < 1)];
});
"""

# There are 8 pixels between two lines of text, and 17 at the ends of a card.
MAX_EMPTY_PIXELS = 100


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize(
    "state",
    ["messages, commands and contacts", "a code to scan", "a number of the phone", "a bot without an owner"],
)
async def test_cards_fill_their_columns(state: str, width: int):
    make, *_ = STATES[state]

    def read_cards(url: str) -> list[tuple[str, int, bool]]:
        with Chromium(width, 800) as browser:
            browser.open(url)
            browser.until("document.readyState === 'complete'")
            cards: list[tuple[str, int, bool]] = browser.run(CARDS)
            return cards

    async with running_web_server(None, make()) as (server, _):
        cards = await asyncio.to_thread(read_cards, f"{server.url}/?texts=1")
    assert [card for card in cards if card[1] > MAX_EMPTY_PIXELS or not card[2]] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_time_at_which_a_window_closes_has_the_style_of_its_line(scheme: str):
    def read_styles(url: str) -> list[list[str]]:
        with Chromium(1100, 800) as browser:
            browser.prefer(scheme)
            browser.open(url)
            browser.until("document.querySelector('.windows time')")
            styles: list[list[str]] = browser.run(
                "const time = document.querySelector('.windows time');"
                "return [time, time.parentElement].map(one => getComputedStyle(one))"
                ".map(style => [style.color, style.fontSize])"
            )
            return styles

    async with running_web_server(None, full_state()) as (server, _):
        own, line = await asyncio.to_thread(read_styles, f"{server.url}/")
    assert own == line


FAULTS = {
    "contrast": "document.querySelector('h2').style.color = '#999'",
    "contrast of a field": "document.querySelector('textarea').style.borderColor = '#ddd'",
    "width": "document.querySelector('main').style.width = '700px'",
    "size": "document.querySelector('main button').style.cssText = 'padding: 0; font-size: 8px'",
    "language": "document.querySelector('h3').textContent = '中文'",
    "title": "document.title = ''",
    "headings": "document.querySelector('main').append(document.createElement('h1'))",
    "name": "document.querySelector('main button').textContent = ''",
    "id": "document.querySelector('h3').id = document.querySelector('h2').id",
    "Tab does not reach": "document.querySelector('main button').tabIndex = -1",
    "focus is not visible": "document.querySelector('main button').style.outline = 'none'",
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_that_is_put_into_the_page_is_found(fault: str):
    def findings_with_fault(url: str) -> list[str]:
        with Chromium(500, 700) as browser:
            browser.open(url)
            browser.run(FAULTS[fault])
            return usability.findings(browser, "en") or usability.keyboard_findings(browser)

    async with running_web_server(None, full_state()) as (server, _):
        wrong = await asyncio.to_thread(findings_with_fault, f"{server.url}/")
    assert any(finding.startswith(f"{fault}:") for finding in wrong), wrong

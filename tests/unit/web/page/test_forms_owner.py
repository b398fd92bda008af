"""The questions about a bot: whose it is, and who of its people the owner is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urljoin

import httpx
import pytest

from tests.support.page import FakeAccountView, PageElements, bridge, entry
from tests.support.web import application_client
from wx2mqtt.bridge.bot_owner import BotOwnerState, OwnerNeed
from wx2mqtt.errors import BadCommand
from wx2mqtt.web.page.forms import OFFERED_PEOPLE


def state(need: OwnerNeed, *users: str) -> BotOwnerState:
    people = tuple(entry(user) for user in users)
    return BotOwnerState(need=need, bot_id="aib<1>", is_confirmed=False, user="", people=people)


@pytest.fixture
def view() -> FakeAccountView:
    return FakeAccountView()


@pytest.fixture
async def http(view: FakeAccountView) -> AsyncIterator[httpx.AsyncClient]:
    async with application_client([], bridge=bridge(view)) as client:
        yield client


async def forms(http: httpx.AsyncClient, path: str) -> list[tuple[str, dict[str, str]]]:
    """Returns the text of each form with this action, and what it sends."""
    page = PageElements((await http.get("/")).text)
    actions = [str(attributes["action"]) for attributes, _ in page.all("form") if "action" in attributes]
    hidden = [attributes for attributes, _ in page.all("input") if attributes.get("type") == "hidden"]
    values = [
        (str(attributes["name"]), str(attributes["value"]))
        for attributes in hidden
        if attributes["name"] in ("bot", "user")
    ]
    return [
        (action, dict([value]))
        for action, value in zip([a for a in actions if path in a], values, strict=True)
    ]


async def submit(http: httpx.AsyncClient, path: str, **fields: str) -> str:
    """Sends a form; returns the page that shows the outcome."""
    answer = await http.post(f"/accounts/home/{path}", data=fields)
    assert answer.status_code == 303
    return urljoin(f"/accounts/home/{path}", answer.headers["location"])


@pytest.mark.parametrize("stored", [None, state(OwnerNeed.NOTHING, "li")])
async def test_where_nothing_is_missing_nothing_is_asked(
    http: httpx.AsyncClient, view: FakeAccountView, stored: BotOwnerState | None
):
    view.bot_owner = stored
    text = (await http.get("/")).text
    assert "This is me" not in text
    assert "confirm-bot" not in text


async def test_a_scanned_bot_is_confirmed_before_anybody_can_be_its_owner(
    http: httpx.AsyncClient, view: FakeAccountView
):
    view.bot_owner = state(OwnerNeed.BOT, "li")
    assert await forms(http, "/confirm-bot") == [("accounts/home/confirm-bot", {"bot": "aib<1>"})]
    page = await http.get("/")
    assert "This is me" not in page.text
    assert "accounts/home/new-owner" in page.text
    assert await submit(http, "confirm-bot", bot="aib<1>") == "/?said=bot#home-wechat"
    assert view.done == [("confirm", "aib<1>")]


async def test_each_who_has_written_has_a_button(http: httpx.AsyncClient, view: FakeAccountView):
    view.bot_owner = state(OwnerNeed.PERSON, "li", "wang")
    action = "accounts/home/owner"
    assert await forms(http, "home/owner") == [(action, {"user": "li"}), (action, {"user": "wang"})]
    page = PageElements((await http.get("/")).text)
    labels = [attributes.get("aria-label") for attributes, text in page.all("button") if text == "This is me"]
    assert labels == ["This is me: li", "This is me: wang"]
    assert await submit(http, "owner", user="wang") == "/?said=owner#home-wechat"
    assert view.done == [("owner", "wang")]


async def test_of_many_the_newest_are_offered(http: httpx.AsyncClient, view: FakeAccountView):
    view.bot_owner = state(OwnerNeed.PERSON, *(f"user{number}" for number in range(OFFERED_PEOPLE + 5)))
    assert len(await forms(http, "home/owner")) == OFFERED_PEOPLE


async def test_before_anybody_has_written_the_page_says_what_to_do(
    http: httpx.AsyncClient, view: FakeAccountView
):
    view.bot_owner = state(OwnerNeed.PERSON)
    assert "Write to the bot in WeCom" in (await http.get("/")).text


async def test_what_is_not_so_any_more_is_said(http: httpx.AsyncClient, view: FakeAccountView):
    view.refusal = BadCommand("bad_request", "owner_named")
    assert await submit(http, "owner", user="li") == "/?said=no_owner#home-wechat"
    assert await submit(http, "confirm-bot", bot="aib2") == "/?said=no_owner#home-wechat"
    assert "Look again" in (await http.get("/?said=no_owner")).text


async def test_a_store_that_fails_is_said(http: httpx.AsyncClient, view: FakeAccountView):
    view.break_store()
    assert (await http.post("/accounts/home/owner", data={"user": "li"})).status_code == 503


@pytest.mark.parametrize("path", ["owner", "confirm-bot"])
async def test_no_page_of_another_site_names_anybody(
    http: httpx.AsyncClient, view: FakeAccountView, path: str
):
    answer = await http.post(
        f"/accounts/home/{path}", data={"user": "li"}, headers={"origin": "https://evil.example"}
    )
    assert answer.status_code == 403
    assert view.done == []

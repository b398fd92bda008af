"""Open questions on the page: what is told of each, and the form that closes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urljoin

import httpx
import pytest

from tests.support.page import NOW, FakeAccountView, PageElements, bridge, question
from tests.support.web import application_client
from wx2mqtt.model import AskingCommand
from wx2mqtt.web.page.account_data import MAX_QUESTIONS_SHOWN

ELSEWHERE = question(
    account="office",
    command_id="door-7~fallback",
    user="zhangsan",
    asked_by=AskingCommand(account="home", row_id=7, command_id="door-7", user="wife"),
)


@pytest.fixture
def view() -> FakeAccountView:
    return FakeAccountView()


@pytest.fixture
async def http(view: FakeAccountView) -> AsyncIterator[httpx.AsyncClient]:
    async with application_client([], bridge=bridge(view)) as client:
        yield client


async def page(http: httpx.AsyncClient, query: str = "", language: str = "en") -> PageElements:
    answer = await http.get(f"/{query}", headers={"accept-language": language})
    return PageElements(answer.text)


async def section(http: httpx.AsyncClient, query: str = "", language: str = "en") -> str:
    """Returns the text of the part of the page with the questions."""
    return (await page(http, query, language)).text("div", data_part="home.questions")


async def test_without_an_open_question_there_is_nothing(http: httpx.AsyncClient):
    assert await section(http) == ""


async def test_each_is_told_with_its_times_and_its_command(http: httpx.AsyncClient, view: FakeAccountView):
    view.questions = [question(), question(command_id="heat-1", until=None)]
    text = await section(http)
    assert text.startswith("Open questionsto wife2026-11-25 09:59:55 UTC")
    assert "answers count until 2026-11-25 10:01:00 UTC" in text
    assert text.count("answers count") == 1  # the other one is still being sent
    assert "id door-7" in text
    assert "id heat-1" in text
    assert "door</b>" not in text
    assert "Yes" not in text


async def test_what_it_says_is_shown_to_who_wants_to_see_texts(
    http: httpx.AsyncClient, view: FakeAccountView
):
    view.questions = [question()]
    text = await section(http, "?texts=1")
    assert "Lock the <b>door</b>?" in text
    assert "Yes · No" in text


async def test_one_that_another_account_has_asked_is_that_of_this_command(
    http: httpx.AsyncClient, view: FakeAccountView
):
    view.questions = [ELSEWHERE]
    text = await section(http)
    assert "to wife" in text
    assert "asked by office/zhangsan, as the fallback" in text
    assert "id door-7" in text
    assert "~fallback" not in text


async def test_in_chinese(http: httpx.AsyncClient, view: FakeAccountView):
    view.questions = [ELSEWHERE]
    text = await section(http, language="zh")
    assert text.startswith("没结束的提问发给 wife")
    assert "2026-11-25 10:01:00 UTC 之前的回答有效" in text
    assert "由备用账号 office/zhangsan 发出" in text
    assert text.endswith("结束")


async def test_its_form_closes_it(http: httpx.AsyncClient, view: FakeAccountView):
    view.questions = [ELSEWHERE]
    shown = await page(http)
    ((form, _),) = shown.all("form", action="accounts/home/close-question")
    ((hidden, _),) = shown.all("input", name="question")
    ((button, _),) = [element for element in shown.all("button") if element[1] == "Close"]
    assert (form["method"], hidden["value"]) == ("post", "door-7")
    assert button["aria-label"] == "Close the question door-7"
    assert await submit(http, "door-7") == "/?said=closed#home-last_commands"
    assert view.done == [("close", "door-7")]
    assert "nobody can answer it any more" in (await http.get("/?said=closed")).text


async def test_one_that_is_not_open_any_more_is_told(http: httpx.AsyncClient):
    assert await submit(http, "door-7") == "/?said=no_question#home-last_commands"
    assert "not open any more" in (await http.get("/?said=no_question")).text


async def submit(http: httpx.AsyncClient, command_id: str) -> str:
    """Sends the form; returns the page that shows the outcome."""
    answer = await http.post("/accounts/home/close-question", data={"question": command_id})
    assert answer.status_code == 303
    return urljoin("/accounts/home/close-question", answer.headers["location"])


async def test_of_many_the_newest_are_shown(http: httpx.AsyncClient, view: FakeAccountView):
    view.questions = [question(command_id=f"q{number}") for number in range(MAX_QUESTIONS_SHOWN + 5)]
    forms = (await page(http)).all("form", action="accounts/home/close-question")
    assert len(forms) == MAX_QUESTIONS_SHOWN


async def test_a_store_that_fails_is_said(http: httpx.AsyncClient, view: FakeAccountView):
    view.break_store()
    answer = await http.post("/accounts/home/close-question", data={"question": "door-7"})
    assert answer.status_code == 503


async def test_no_page_of_another_site_closes_it(http: httpx.AsyncClient, view: FakeAccountView):
    view.questions = [question(asked=NOW)]
    answer = await http.post(
        "/accounts/home/close-question",
        data={"question": "door-7"},
        headers={"origin": "https://evil.example"},
    )
    assert answer.status_code == 403
    assert view.done == []

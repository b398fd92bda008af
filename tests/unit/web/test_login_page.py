"""The login form, the session that it begins, and the logout."""

from __future__ import annotations

import asyncio
import re
from html.parser import HTMLParser

import pytest
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st

from tests.support.web import PNG, FakeClock, FakeMediaLibrary, application_client, options
from wx2mqtt.web import request_context
from wx2mqtt.web.auth import FREE_ATTEMPTS
from wx2mqtt.web.login_page import _local_path
from wx2mqtt.web.request_context import MAX_BODY_BYTES

GUARDED = options(host="0.0.0.0", password="geheim & <b>")
RIGHT = {"password": "geheim & <b>", "next": "/media/a1"}


@pytest.fixture
def library(tmp_path):
    library = FakeMediaLibrary(tmp_path)
    library.put("a1", PNG)
    return library


async def test_the_password_leads_where_the_person_wanted_to_go(library):
    async with application_client(library, GUARDED) as http:
        assert (await http.get("/media/a1")).status_code == 401
        answer = await http.post("/login", data=RIGHT)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/media/a1"
        assert (await http.get("/media/a1")).content == PNG


async def test_the_cookie_is_kept_from_scripts_and_other_sites(library):
    async with application_client(library, GUARDED) as http:
        cookie = (await http.post("/login", data=RIGHT)).headers["set-cookie"]
    assert re.fullmatch(r"wx2mqtt=[\w-]{43}; HttpOnly; Max-Age=2592000; Path=/; SameSite=lax", cookie)


async def test_a_logout_ends_the_session_here_and_in_the_browser(library):
    async with application_client(library, GUARDED) as http:
        await http.post("/login", data=RIGHT)
        key = http.cookies["wx2mqtt"]
        assert "Log out" in (await http.get("/login")).text
        answer = await http.post("/logout")
        assert answer.headers["location"] == "/login"
        assert "Max-Age=0" in answer.headers["set-cookie"]
        http.cookies.set("wx2mqtt", key)
        assert (await http.get("/media/a1")).status_code == 401


async def test_a_wrong_password_is_said_and_logged_without_it(library):
    with structlog.testing.capture_logs() as logs:
        async with application_client(library, GUARDED, client="192.0.2.7") as http:
            answer = await http.post("/login", data={"password": "falsch", "next": "/media/a1"})
    assert answer.status_code == 401
    assert "That is not the password." in answer.text
    assert 'value="/media/a1"' in answer.text
    assert "set-cookie" not in answer.headers
    assert logs == [{"event": "wrong password for the page", "address": "192.0.2.7", "log_level": "warning"}]


async def test_guessing_is_slowed_down_and_the_right_password_must_wait_too(library):
    clock = FakeClock()
    async with application_client(library, GUARDED, clock=clock) as http:
        for _ in range(FREE_ATTEMPTS):
            assert (await http.post("/login", data={"password": "x"})).status_code == 401
        answer = await http.post("/login", data=RIGHT)
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "2"
        assert "2 s" in answer.text
        clock.now += 2
        assert (await http.post("/login", data=RIGHT)).status_code == 303


@pytest.mark.parametrize("data", [{}, {"next": "/media/a1"}, {"password": ""}])
async def test_a_form_without_a_password_is_a_wrong_try(library, data):
    async with application_client(library, GUARDED) as http:
        assert (await http.post("/login", data=data)).status_code == 401


@pytest.mark.parametrize("content", [b"\xff\xfe=\x00", b"&" * 100, b"password", b"%%%", b"{}"])
async def test_what_is_no_form_does_no_harm(library, content):
    async with application_client(library, GUARDED) as http:
        assert (await http.post("/login", content=content)).status_code in {401, 413}


async def test_a_body_of_unknown_length_is_counted(library):
    sent = 0

    async def body():
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b"a" * 1024

    async with application_client(library, GUARDED) as http:
        assert (await http.post("/login", content=body())).status_code == 413
    assert sent <= MAX_BODY_BYTES // 1024 + 2


async def test_a_form_that_never_ends_is_not_waited_for(library, monkeypatch):
    monkeypatch.setattr(request_context, "FORM_TIMEOUT_SECONDS", 0.01)

    async def body():
        yield b"password="
        await asyncio.Event().wait()

    async with application_client(library, GUARDED) as http:
        assert (await http.post("/login", content=body())).status_code == 408


async def test_where_no_password_is_set_none_is_asked_for(library):
    async with application_client(library) as http:
        shown = await http.get("/login")
        sent = await http.post("/login", data=RIGHT)
    for answer in (shown, sent):
        assert "No password is needed" in answer.text
        assert "<form" not in answer.text
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        *(
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "javascript:alert(1)",
        ),
        *("evil.example", "", "/a\r\nset-cookie: x", "/ evil", "/\t/evil.example", "/é", "/" + "a" * 600),
    ],
)
async def test_nobody_is_led_out_of_the_server(library, path):
    async with application_client(library, GUARDED) as http:
        answer = await http.post("/login", data={**RIGHT, "next": path})
    assert answer.headers["location"] == "/"


@given(st.text(max_size=80) | st.text("/\\.:@?%aé\r\n\t", max_size=12).map(lambda end: f"/{end}"))
def test_where_a_login_leads_names_no_host(path):
    after = _local_path(path)
    assert after.startswith("/")
    assert not after.startswith(("//", "/\\"))
    assert after.isprintable()
    assert after.isascii()


async def test_what_stands_in_the_address_is_not_written_into_the_page(library):
    async with application_client(library, GUARDED) as http:
        text = (await http.get("/login", params={"next": '/"><script>alert(1)</script>'})).text
    assert "<script" not in text


class ParsedPage(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def element(self, tag, **wanted):
        (found,) = [have for name, have in self.tags if name == tag and wanted.items() <= have.items()]
        return found


@pytest.mark.parametrize(
    ("language", "title", "button"), [("en", "Log in", "Log in"), ("zh-CN", "登录", "登录")]
)
async def test_the_page_speaks_the_language_of_the_person(library, language, title, button):
    async with application_client(library, GUARDED, headers={"accept-language": language}) as http:
        text = (await http.get("/login")).text
    page = ParsedPage(text)
    assert page.element("html")["lang"] == language
    assert f"wx2mqtt · {title}" in text
    assert f'<button class="main">{button}</button>' in text
    assert page.element("label")["for"] == page.element("input", type="password")["id"]
    assert page.element("input", type="password")["autocomplete"] == "current-password"


async def test_the_page_runs_nothing_and_loads_only_what_is_ours_and_open(library):
    async with application_client(library, GUARDED) as http:
        answer = await http.get("/login")
        links = [attrs["href"] for name, attrs in ParsedPage(answer.text).tags if name == "link"]
        for link in links:
            assert (await http.get(f"/{link}")).status_code == 200
    assert len(links) == 2
    assert not {"script", "style", "img", "iframe"} & {tag for tag, _ in ParsedPage(answer.text).tags}
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"

"""The checks that every request must pass before it reaches a handler."""

from __future__ import annotations

import asyncio
import re
from ipaddress import ip_network
from typing import Any, cast

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.web import PNG, FakeClock, FakeMediaLibrary, application_client, options
from wx2mqtt.web.auth import FREE_ATTEMPTS
from wx2mqtt.web.request_context import LANGUAGE_COOKIE, MAX_BODY_BYTES
from wx2mqtt.web.routes import web_application

GUARDED = options(host="0.0.0.0", password="geheim", token="t0ken")
BEARER = {"authorization": "Bearer t0ken"}


@pytest.fixture
def library(tmp_path):
    library = FakeMediaLibrary(tmp_path)
    library.put("a1", PNG)
    return library


async def test_a_foreign_name_is_refused_whatever_is_asked_and_says_how_to_mend_it(library):
    async with application_client(library, headers={"host": "evil.example"}) as http:
        for path in ("/media/a1", "/login", "/", "/nothing"):
            answer = await http.get(path)
            assert answer.status_code == 403
            assert "web.hosts" in answer.text
    assert library.asked == []


async def test_a_foreign_name_is_refused_even_with_the_token(library):
    async with application_client(library, GUARDED, headers={"host": "evil.example", **BEARER}) as http:
        assert (await http.get("/media/a1")).status_code == 403


async def test_without_a_name_nothing_is_answered(library):
    async with application_client(library, headers={"host": ""}) as http:
        assert (await http.get("/media/a1")).status_code == 403


@pytest.mark.parametrize("length", [str(MAX_BODY_BYTES + 1), "9" * 30, "9" * 5000, "-1", "x"])
async def test_a_large_body_is_refused_before_it_is_read(library, length):
    async def body():
        raise AssertionError("it was read")
        yield b""

    async with application_client(library) as http:
        request = http.build_request("POST", "/login", content=body())
        request.headers["content-length"] = length
        del request.headers["transfer-encoding"]
        answer = await http.send(request)
    assert answer.status_code == 413


FOREIGN = [
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:3000"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:8099"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("path", ["/login", "/logout"])
async def test_a_form_of_another_site_is_refused(library, headers, path):
    async with application_client(library, options(password="geheim")) as http:
        answer = await http.post(path, data={"password": "geheim"}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://127.0.0.1:8099"},
        {"sec-fetch-site": "same-origin", "origin": "https://by.a.proxy"},
    ],
)
async def test_our_own_form_and_a_program_are_let_through(library, headers):
    async with application_client(library, options(password="geheim")) as http:
        assert (await http.post("/login", data={"password": "geheim"}, headers=headers)).status_code == 303


async def test_a_picture_may_be_shown_by_another_site_that_knows_its_id(library):
    async with application_client(
        library, headers={"origin": "http://home.example", "sec-fetch-site": "cross-site"}
    ) as http:
        answer = await http.get("/media/a1")
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


async def test_a_machine_needs_the_token(library):
    async with application_client(library, GUARDED) as http:
        stranger = await http.get("/media/a1")
        wrong = await http.get("/media/a1", headers={"authorization": "Bearer x"})
        right = await http.get("/media/a1", headers=BEARER)
        small = await http.head("/media/a1", headers={"authorization": "bearer  t0ken"})
        basic = await http.get("/media/a1", headers={"authorization": "Basic dDBrZW46"})
    assert [answer.status_code for answer in (stranger, wrong, right, small, basic)] == [
        401,
        401,
        200,
        200,
        401,
    ]
    assert stranger.headers["www-authenticate"] == 'Bearer realm="wx2mqtt"'
    assert right.content == PNG


async def test_the_token_opens_media_metrics_and_health_for_reading_and_nothing_else(library):
    async with application_client(library, GUARDED, headers=BEARER) as http:
        assert (await http.get("/metrics")).status_code == 200
        assert "reasons" in (await http.get("/healthz")).json()
        for path in ("/", "/events", "/accounts/home/qr.png", "/metricsx", "/metrics/", "/healthz/x"):
            assert (await http.get(path)).status_code == 401, path
        for path in ("/logout", "/media/a1", "/metrics", "/accounts/home/login", "/language"):
            assert (await http.post(path)).status_code == 401, path


async def test_what_is_open_to_strangers_tells_them_nothing(library):
    async with application_client(library, GUARDED) as http:
        answers = {path: await http.get(path) for path in ("/livez", "/healthz", "/static/none")}
        assert (await http.get("/metrics")).status_code == 401
    assert answers["/livez"].json() == {"alive": True}
    assert answers["/healthz"].json() == {"healthy": False}
    assert answers["/static/none"].status_code == 404


async def test_a_wrong_token_is_refused_also_where_strangers_may_ask(library):
    async with application_client(library, GUARDED, headers={"authorization": "Bearer x"}) as http:
        for _ in range(FREE_ATTEMPTS):
            assert (await http.get("/healthz")).status_code == 401
        assert (await http.get("/healthz")).status_code == 429
        assert (await http.get("/livez")).status_code == 200


@pytest.mark.parametrize(
    ("cookie", "wanted", "language"),
    [("zh", "en", "zh-CN"), ("en", "zh", "en"), ("fr", "zh", "zh-CN"), ("", "en", "en"), ('zh"', "en", "en")],
)
async def test_the_language_that_was_chosen_here_goes_before_the_browsers(library, cookie, wanted, language):
    headers = {"accept-language": wanted, "cookie": f"a=b; {LANGUAGE_COOKIE}={cookie}"}
    async with application_client(library, headers=headers) as http:
        assert f'<html lang="{language}">' in (await http.get("/")).text


async def test_a_stranger_does_not_learn_what_exists(library):
    async with application_client(library, GUARDED) as http:
        answers = [await http.get(path) for path in ("/media/a1", "/media/none", "/nothing")]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert library.asked == []


async def test_a_person_at_a_browser_is_led_to_the_form_and_a_picture_in_a_page_is_not(library):
    async with application_client(library, GUARDED) as http:
        person = await http.get("/media/a1?wait=1", headers={"accept": "text/html,*/*"})
        navigating = await http.get("/media/a1", headers={"sec-fetch-mode": "navigate"})
        picture = await http.get("/media/a1", headers={"accept": "text/html", "sec-fetch-mode": "no-cors"})
    assert person.status_code == 303
    assert person.headers["location"] == "/login?next=/media/a1%3Fwait%3D1"
    assert navigating.status_code == 303
    assert picture.status_code == 401


async def test_guessing_the_token_is_slowed_down(library):
    clock = FakeClock()
    async with application_client(library, GUARDED, clock=clock) as http:
        for _ in range(FREE_ATTEMPTS):
            assert (await http.get("/media/a1", headers={"authorization": "Bearer x"})).status_code == 401
        answer = await http.get("/media/a1", headers=BEARER)
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "2"
        clock.now += 2
        assert (await http.get("/media/a1", headers=BEARER)).status_code == 200


@pytest.mark.parametrize("path", ["/wechat/media/a1", "/media/a1"])
async def test_below_a_path_both_kinds_of_proxies_are_served(library, path):
    async with application_client(library, options(prefix="/wechat")) as http:
        assert (await http.get(path)).content == PNG
        assert (await http.get(f"/other{path}")).status_code == 404


async def test_what_looks_like_the_path_and_is_not_leads_nowhere(library):
    async with application_client(library, options(prefix="/wechat")) as http:
        for path in ("/wechatmedia/a1", "/wechat/wechat/media/a1", "/wechat//media/a1"):
            assert (await http.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("asked", "redirect"), [("/wechat", "/wechat/"), ("/wechat?texts=1", "/wechat/?texts=1")]
)
async def test_the_path_itself_leads_to_where_relative_addresses_are_right(library, asked, redirect):
    async with application_client(library, options(prefix="/wechat")) as http:
        answer = await http.get(asked)
        assert (answer.status_code, answer.headers["location"]) == (307, redirect)
        assert (await http.get(redirect)).status_code == 200


async def test_a_stranger_at_the_path_itself_is_led_to_the_form(library):
    wanted = options(password="geheim", prefix="/wechat")
    async with application_client(library, wanted, headers={"accept": "text/html"}) as http:
        redirect = (await http.get("/wechat")).headers["location"]
        login_answer = await http.post("/wechat/login", data={"password": "geheim", "next": ""})
    assert redirect == "/wechat/login?next="
    assert login_answer.headers["location"] == "/wechat/"


async def test_the_path_that_a_trusted_proxy_tells_is_used(library):
    wanted = options(password="geheim", prefix="/usual", proxies=(ip_network("10.0.0.1"),))
    proxy_headers = {
        "x-ingress-path": "/api/hassio_ingress/abc",
        "sec-fetch-mode": "navigate",
        "x-forwarded-proto": "https",
    }
    async with application_client(
        library, wanted, client="10.0.0.1", headers=proxy_headers, base_url="https://127.0.0.1:8099"
    ) as http:
        redirect = await http.get("/media/a1")
        login_answer = await http.post("/login", data={"password": "geheim", "next": "/media/a1"})
        shown = await http.get("/api/hassio_ingress/abc/media/a1")
    assert redirect.headers["location"] == "/api/hassio_ingress/abc/login?next=/media/a1"
    assert login_answer.headers["location"] == "/api/hassio_ingress/abc/media/a1"
    assert "Path=/api/hassio_ingress/abc;" in login_answer.headers["set-cookie"] + ";"
    assert "Secure" in login_answer.headers["set-cookie"]
    assert shown.content == PNG


async def test_a_client_cannot_wait_in_somebody_elses_name(library):
    """X-Forwarded-For of anybody does not count, else each guess would come from a new address."""
    async with application_client(library, GUARDED) as http:
        for number in range(FREE_ATTEMPTS + 1):
            headers = {"authorization": "Bearer x", "x-forwarded-for": f"203.0.113.{number}"}
            answer = await http.get("/media/a1", headers=headers)
    assert answer.status_code == 429


async def status_of(app, path, headers=()):
    """Returns the status of a request for a path that no HTTP client has normalized."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), *headers],
        "client": ("127.0.0.1", 1),
    }
    statuses: list[int] = []

    async def receive():
        return {"type": "http.request", "body": b""} if not statuses else {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    (status,) = statuses
    return status


parts = st.sampled_from(
    ["/", "..", ".", "media", "a1", "%2e", "%00", "\x00", "\\", "wechat", "login", "é", "\ud800"]
)
paths = st.lists(parts | st.text(max_size=5), max_size=8).map(lambda some: "/" + "".join(some))


@given(paths)
def test_whatever_path_is_asked_for_only_an_id_is_looked_up(tmp_path_factory, path):
    library = FakeMediaLibrary(tmp_path_factory.getbasetemp())

    async def ask():
        app = web_application(options(prefix="/wechat"), cast("Any", [library]), asyncio.Event(), FakeClock())
        return await status_of(app, path)

    assert asyncio.run(ask()) in {200, 307, 404, 405}
    for media_id, _ in library.asked:
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", media_id)
        assert path in {f"/media/{media_id}", f"/wechat/media/{media_id}"}


@given(paths)
def test_whatever_path_is_asked_for_a_stranger_gets_only_the_form(tmp_path_factory, path):
    library = FakeMediaLibrary(tmp_path_factory.getbasetemp())

    async def ask():
        app = web_application(GUARDED, cast("Any", [library]), asyncio.Event(), FakeClock())
        return await status_of(app, path)

    assert asyncio.run(ask()) == (200 if path == "/login" else 404 if path.startswith("/static/") else 401)
    assert library.asked == []


async def test_a_fault_of_ours_ends_one_request_with_words_and_without_its_secrets(library, monkeypatch):
    async def find(*_):
        raise RuntimeError("ticket=abc")

    monkeypatch.setattr(library, "find", find)
    async with application_client(library) as http:
        answer = await http.get("/media/a1")
        assert answer.status_code == 500
        assert "ticket" not in answer.text
        monkeypatch.undo()
        assert (await http.get("/media/a1")).status_code == 200


async def test_every_answer_carries_what_keeps_browsers_careful(library):
    library.put("a2", b"<html>", mime="text/html")
    async with application_client(library) as http:
        for path in ("/", "/login", "/media/a1", "/media/a2", "/media/none", "/media/a1/.."):
            headers = (await http.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "date" in headers


async def test_a_missing_page_is_reported_in_the_language_of_the_client(library):
    async with application_client(library) as http:
        for language, word in (("zh", "没有"), ("en", "nothing")):
            answer = await http.get("/wher", headers={"accept-language": language})
            assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")
            assert word in answer.text


async def test_the_default_language_can_change_while_the_server_runs(library):
    app = web_application(options(), cast("Any", [library]), asyncio.Event(), lambda: 0.0)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8099") as http:
        before = await http.get("/nowhere")
        app.default_language = "zh"
        after = await http.get("/nowhere")
        chosen = await http.get("/nowhere", headers={"accept-language": "en"})
    assert before.text == chosen.text
    assert after.text == "没有这个名称的文件\n"


# Behind Home Assistant's Ingress

INGRESS = options(host="0.0.0.0", ingress="172.30.32.2", proxies=(ip_network("172.30.32.2"),))
INGRESS_PATH = "/api/hassio_ingress/Zm9v_b-r"
BROWSER = {
    "x-ingress-path": INGRESS_PATH,
    "host": "homeassistant.local:8123",
    "x-forwarded-for": "192.168.1.20, 172.30.32.1",
}
ANYBODY_ELSE = ["172.30.32.1", "172.30.33.5", "192.168.1.20", "127.0.0.1", "::1", "not an address"]


@pytest.mark.parametrize("peer", ["172.30.32.2", "::ffff:172.30.32.2"])
@pytest.mark.parametrize("host", ["homeassistant.local:8123", "house.example", "[2001:db8::1]:8123"])
async def test_the_supervisor_passes_on_the_page_under_every_name_of_home_assistant(library, peer, host):
    async with application_client(library, INGRESS, client=peer, headers={**BROWSER, "host": host}) as http:
        assert (await http.get("/media/a1")).status_code == 200


@pytest.mark.parametrize("peer", ANYBODY_ELSE)
@pytest.mark.parametrize("path", ["/", "/media/a1", "/login", "/livez", "/healthz", "/metrics"])
async def test_nobody_but_the_supervisor_is_served_whatever_they_say_of_themselves(library, peer, path):
    forged_headers = {**BROWSER, "x-forwarded-for": "172.30.32.2", "host": "172.30.32.2:8099"}
    async with application_client(library, INGRESS, client=peer, headers=forged_headers) as http:
        answer = await http.get(path)
    assert answer.status_code == 403
    assert "Ingress" in answer.text
    assert library.asked == []


@pytest.mark.parametrize("path", [None, "", "/", "//evil.example", "/a/../b", "/a b"])
async def test_what_the_supervisor_asks_for_itself_is_the_health_only(library, path):
    headers = {"host": "172.30.33.7:8099", **({} if path is None else {"x-ingress-path": path})}
    async with application_client(library, INGRESS, client="172.30.32.2", headers=headers) as http:
        assert (await http.get("/livez")).status_code == 200
        assert (await http.get("/media/a1")).status_code == 403
        assert (await http.get("/metrics")).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://homeassistant.local:8124"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://homeassistant.local:8123"},
    ],
)
async def test_behind_ingress_a_form_of_another_site_is_refused_too(library, headers):
    async with application_client(
        library, INGRESS, client="172.30.32.2", headers={**BROWSER, **headers}
    ) as http:
        assert (await http.post("/logout")).status_code == 403


@pytest.mark.parametrize(
    "headers", [{"origin": "http://homeassistant.local:8123"}, {"sec-fetch-site": "same-origin"}]
)
async def test_behind_ingress_our_own_form_leads_back_below_its_path_and_so_does_the_cookie(library, headers):
    async with application_client(
        library, INGRESS, client="172.30.32.2", headers={**BROWSER, **headers}
    ) as http:
        answer = await http.post("/logout")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{INGRESS_PATH}/login"
    assert f"Path={INGRESS_PATH};" in answer.headers["set-cookie"]


async def test_a_password_is_asked_for_behind_ingress_as_well_if_there_is_one(library):
    guarded = options(host="0.0.0.0", ingress="172.30.32.2", password="geheim")
    async with application_client(library, guarded, client="172.30.32.2", headers=BROWSER) as http:
        assert (await http.get("/media/a1")).status_code == 401

"""The page and its forms, as a browser without script sees them: no socket, the same answers."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urljoin

import pytest
import structlog.testing

from tests.support.deadlines import MAX_WAIT_SECONDS
from tests.support.page import FakeAccountView, PageElements, bridge, entry, line, login, wait_forever
from tests.support.web import application_client, options
from wx2mqtt.errors import BadCommand, Problem
from wx2mqtt.model import LoginState, Needs
from wx2mqtt.web.page import handlers as module
from wx2mqtt.web.page.contacts import PEOPLE_PER_PAGE
from wx2mqtt.web.page.forms import MAX_FORM_TEXT_CHARACTERS

PNG = b"\x89PNG code"


@pytest.fixture
def view():
    return FakeAccountView()


@pytest.fixture
async def http(view):
    async with application_client([], bridge=bridge(view, FakeAccountView("office", "wx/office"))) as http:
        yield http


async def page_of(http, path="/", **more):
    answer = await http.get(path, **more)
    assert answer.status_code == 200
    return PageElements(answer.text)


async def test_all_accounts_stand_on_the_page_in_their_order(http):
    page = await page_of(http)
    assert [text for _, text in page.all("h2")] == ["home", "office"]
    assert page.text("title") == "wx2mqtt"
    ids = [attributes["id"] for _, attributes, _ in page.found if "id" in attributes]
    assert len({*ids}) == len(ids)


async def test_every_part_has_its_place(http):
    page = await page_of(http)
    parts = [attributes["data-part"] for attributes, _ in page.all("div") if "data-part" in attributes]
    names = (
        "steps",
        "problems",
        "state",
        "code",
        "windows",
        "acts",
        "hours",
        "messages",
        "commands",
        "questions",
        "figures",
    )
    assert parts == ["file", *(f"{account}.{name}" for account in ("home", "office") for name in names)]


async def test_who_listens_hears_of_the_login_and_of_what_is_wrong(http):
    page = await page_of(http)
    live = [attributes["data-part"] for attributes, _ in page.all("div", role="status")]
    assert live == ["home.problems", "home.state", "office.problems", "office.state"]


async def test_nothing_is_loaded_run_or_sent_but_what_is_ours(http, view):
    view.login, view.qr_image = login(LoginState.WAITING_FOR_SCAN), PNG
    answer = await http.get("/")
    policy = dict(
        part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == policy["base-uri"] == "'none'"
    assert {*policy.values()} == {"'none'", "'self'"}
    assert answer.headers["cache-control"] == "no-store"
    page = PageElements(answer.text)
    assert not page.all("style")
    for name, attributes, inside in page.found:
        assert not {key for key in attributes if key.startswith("on") or key == "style"}, name
        if name == "script":
            assert attributes["src"]
            assert not inside
        for key in ("href", "src", "action"):
            assert not re.match(r"[a-z]+:|/", attributes.get(key) or ""), "every address is relative"


async def test_every_address_in_it_leads_somewhere(http, view):
    view.login, view.qr_image = login(LoginState.WAITING_FOR_SCAN), PNG
    page = await page_of(http, "/?texts=1")
    view.messages = [line(media="a1")]
    for name, attributes, _ in page.found:
        for key in ("href", "src", "data-events"):
            if address := attributes.get(key):
                answer = await http.head(urljoin("/", address))
                assert answer.status_code == 200, (name, address)


async def test_a_reload_has_what_is_new(http, view):
    assert "Online" in (await http.get("/")).text
    view.login = login(LoginState.REFUSED)
    assert "Refused" in (await http.get("/")).text


async def test_messages_are_hidden_unless_wanted_for_this_view(http, view):
    view.messages = [line(text="geheimer Text")]
    hidden = await http.get("/")
    (link,) = [
        attributes["href"]
        for attributes, text in PageElements(hidden.text).all("a")
        if text == "Show what they say"
    ][:1]
    shown = await http.get(urljoin("/", link))
    assert "geheimer Text" not in hidden.text
    assert "geheimer Text" in shown.text
    assert "Hide what they say" in shown.text
    assert "geheimer Text" not in (await http.get("/?texts=yes")).text


@pytest.mark.parametrize(("language", "words"), [("zh", "发送消息"), ("en", "Send a message")])
async def test_it_speaks_the_language_of_who_looks(http, language, words):
    page = await http.get("/", headers={"accept-language": language})
    assert words in page.text


async def test_the_switch_is_remembered(http):
    answer = await http.post("/language", data={"language": "zh"})
    assert (answer.status_code, answer.headers["location"]) == (303, "./")
    cookie = answer.headers["set-cookie"]
    assert cookie == "wx2mqtt_language=zh; HttpOnly; Max-Age=31536000; Path=/; SameSite=lax"
    assert 'lang="zh-CN"' in (await http.get("/", headers={"accept-language": "en"})).text
    await http.post("/language", data={"language": "en"})
    assert 'lang="en"' in (await http.get("/")).text


@pytest.mark.parametrize("data", [{}, {"language": "fr"}, {"language": "zh; Path=/evil"}])
async def test_a_language_that_the_page_does_not_have_is_not_remembered(http, data):
    answer = await http.post("/language", data=data)
    assert answer.status_code == 303
    assert "set-cookie" not in answer.headers


async def test_the_code_is_there_while_one_is_to_be_scanned(http, view):
    assert (await http.get("/accounts/home/qr.png")).status_code == 404
    view.qr_image = PNG
    answer = await http.get("/accounts/home/qr.png?1")
    assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_another_site_takes_nobodys_place(http):
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)):
        assert (await http.head("/events", headers={"sec-fetch-site": site})).status_code == status


async def test_to_log_in_is_a_button(http, view):
    view.login = login(LoginState.LOGGED_OUT)
    page = await page_of(http)
    ((form, _),) = [element for element in page.all("form") if str(element[0]["action"]).endswith("/login")]
    answer = await http.post(urljoin("/", str(form["action"])))
    assert answer.status_code == 303
    assert urljoin("/accounts/home/login", answer.headers["location"]) == "/?said=login#home-wechat"
    assert view.done == [("login",)]


@pytest.mark.parametrize(
    ("refusal", "words"),
    [(None, "tries to log in now"), (BadCommand("rate_limited", "login_tried"), "Wait ten seconds")],
)
@pytest.mark.parametrize("path", ["login", "new-owner"])
async def test_a_postponed_login_is_tried_by_a_button_and_not_twice_at_once(http, view, refusal, words, path):
    view.is_login_postponed, view.refusal = True, refusal
    answer = await http.post(f"/accounts/home/{path}")
    assert answer.status_code == 303
    if path == "login" or refusal:
        assert words in (await http.get(urljoin(f"/accounts/home/{path}", answer.headers["location"]))).text


async def test_to_log_out_is_a_question_first(http, view):
    page = await page_of(http)
    ((link, _),) = [element for element in page.all("a") if element[0]["href"] == "accounts/home/logout"]
    question = await page_of(http, f"/{link['href']}")
    assert question.text("h1") == "Log out of WeChat?"
    assert "home" in question.text("p")
    assert view.done == []
    ((form, _),) = question.all("form")
    assert form["method"] == "post"
    assert "action" not in form
    assert [attributes["href"] for attributes, _ in question.all("a")] == ["../../"]
    answer = await http.post("/accounts/home/logout")
    assert urljoin("/accounts/home/logout", answer.headers["location"]) == "/?said=logout#home-wechat"
    assert view.done == [("logout",)]


async def test_another_account_is_a_question_first(http, view):
    view.login = login(LoginState.REFUSED)
    page = await page_of(http)
    ((link, _),) = [element for element in page.all("a") if element[0]["href"] == "accounts/home/new-owner"]
    question = await page_of(http, f"/{link['href']}")
    assert question.text("h1") == "Another WeChat account?"
    assert "what waits is not sent" in question.text("p")
    assert view.done == []
    answer = await http.post("/accounts/home/new-owner")
    path = urljoin("/accounts/home/new-owner", answer.headers["location"])
    assert path == "/?said=new_owner#home-wechat"
    assert view.done == [("new_owner",)]


async def test_a_logout_that_takes_long_is_not_waited_for(http, view, monkeypatch):
    monkeypatch.setattr(module, "LOGOUT_WAIT_SECONDS", 0.01)
    view.before_read = wait_forever
    assert (await http.post("/accounts/home/logout")).status_code == 303


@pytest.fixture
async def remote_http(view):
    """Yields a client on another machine, which Home Assistant's Ingress lets through without a password."""
    guarded = options(ingress="172.30.32.2")
    headers = {"x-ingress-path": "/api/hassio_ingress/x"}
    async with application_client(
        [], guarded, client="172.30.32.2", bridge=bridge(view), headers=headers
    ) as http:
        yield http


async def test_a_test_goes_to_the_chat_with_oneself(remote_http, view):
    http = remote_http
    page = await page_of(http)
    ((form, _),) = page.all("form", action="accounts/home/test")
    ((token, _),) = page.all("input", name="token")[:1]
    data = {"text": "Hallo 你好", "token": token["value"]}
    answer = await http.post(urljoin("/", str(form["action"])), data=data)
    assert urljoin("/accounts/home/test", answer.headers["location"]) == "/?said=test#home-last_commands"
    ((action, user, text, command_id),) = view.done
    assert (action, user, text) == ("send", "filehelper", "Hallo 你好")
    assert re.fullmatch(r"page-[0-9a-f]{20}", command_id)


async def test_the_same_form_is_the_same_command_and_another_one_is_another(http, view):
    for token, text in (("a", "1"), ("a", "1"), ("a", "2"), ("b", "1")):
        await http.post("/accounts/home/test", data={"token": token, "text": text})
    ids = [done[3] for done in view.done]
    assert ids[0] == ids[1]
    assert len({*ids}) == 3


async def test_a_form_of_each_page_is_one_of_its_own(http):
    tokens = {(await page_of(http)).all("input", name="token")[0][0]["value"] for _ in range(5)}
    assert len(tokens) == 5


async def test_a_test_has_an_end(http, view):
    await http.post("/accounts/home/test", data={"text": "a" * 3000})
    assert view.done[0][2] == "a" * MAX_FORM_TEXT_CHARACTERS


async def test_where_there_is_nobody_for_a_test_there_is_no_form(remote_http, view):
    view.test_recipient = ""
    page = await page_of(remote_http)
    assert not page.all("form", action="accounts/home/test")
    assert (await remote_http.post("/accounts/home/test", data={"text": "x"})).status_code == 404
    view.test_recipient = "me <3"
    assert "Send a test to yourself (me <3)" in (await page_of(remote_http)).text("main")


def send_form_of(page):
    return page.all("form", action="accounts/home/send")


async def test_a_text_to_anybody_takes_the_way_of_a_command_and_its_id_is_said(http, view):
    view.people = [entry("wife", name="老婆"), entry("old", removed=True)]
    page = await page_of(http)
    ((form, _),) = send_form_of(page)
    ((people, _),) = page.all("datalist", id="home-send-people")
    assert [(attributes["value"], text) for attributes, text in page.all("option")] == [("wife", "老婆")]
    ((field, _),) = page.all("input", id="home-send-user")
    assert (field["value"], field["list"]) == ("filehelper", people["id"])
    token = page.all("input", name="token")[0][0]["value"]
    data = {"user": " wife ", "text": "eins\r\nzwei", "token": token}
    answer = await http.post(f"/{form['action']}", data=data)
    ((action, user, text, command_id),) = view.done
    assert (action, user, text) == ("send", "wife", "eins\nzwei")
    location = urljoin("/accounts/home/send", answer.headers["location"])
    assert location == f"/?said=sent&id={command_id}#home-last_commands"
    notice = (await page_of(http, location)).text("p", class_="notice", role="status")
    assert notice.startswith(f"The command {command_id} is on its way")


async def test_the_same_text_to_two_people_is_two_commands(http, view):
    for user in ("wife", "wife", "mom"):
        await http.post("/accounts/home/send", data={"user": user, "text": "x", "token": "t"})
    ids = [done[3] for done in view.done]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("user", ["", " ", "a/b", "a+b", "#", "a\0b", "x" * 1025])
async def test_who_has_no_topic_cannot_be_written_to(http, view, user):
    answer = await http.post("/accounts/home/send", data={"user": user, "text": "x"})
    page = await page_of(http, urljoin("/accounts/home/send", answer.headers["location"]))
    assert "That is no topic name" in page.text("p", class_="notice", role="status")
    assert view.done == []


async def test_a_person_who_was_chosen_stands_in_the_form_of_that_account_alone(http, view):
    page = await page_of(http, "/", params={"account": "home", "to": "wife <3"})
    values = [page.all("input", id=f"{name}-send-user")[0][0]["value"] for name in ("home", "office")]
    assert values == ["wife <3", "filehelper"]


async def test_while_nobody_is_known_there_is_no_form_to_send(http, view):
    view.test_recipient = ""
    assert not send_form_of(await page_of(http))
    view.people = [entry("me")]
    assert send_form_of(await page_of(http))


GUARDED = {"host": "0.0.0.0", "password": "geheim"}
HOST_HEADER = {"host": "127.0.0.1:8099"}


@pytest.mark.parametrize(
    ("more", "client", "headers"),
    [
        ({"host": "0.0.0.0"}, "192.0.2.7", HOST_HEADER),
        ({}, "127.0.0.1", {"x-forwarded-for": "192.0.2.7"}),
        ({}, "127.0.0.1", {"forwarded": "for=192.0.2.7"}),
        ({"url": "https://wx.example", "hosts": ("wx.example",)}, "127.0.0.1", {"host": "wx.example"}),
        ({"ingress": "127.0.0.1"}, "127.0.0.1", {"x-ingress-path": "/api/x"}),
    ],
)
async def test_who_gave_no_password_and_sits_elsewhere_can_send_to_nobody(view, more, client, headers):
    view.people = [entry("wife")]
    async with application_client(
        [], options(**more), client=client, bridge=bridge(view), headers=headers
    ) as http:
        page = await page_of(http)
        assert not send_form_of(page)
        assert page.all("form", action="accounts/home/test")
        assert not [attributes for attributes, _ in page.all("a") if "data-to" in attributes]
        assert 'data-to="' not in (await http.get("/accounts/home/contacts")).text
        answer = await http.post("/accounts/home/send", data={"user": "wife", "text": "x"})
    assert answer.status_code == 403
    assert "web.password_file" in answer.text
    assert view.done == []


async def test_who_gave_the_password_can_send_from_anywhere(view):
    async with application_client([], options(**GUARDED), client="192.0.2.7", bridge=bridge(view)) as http:
        await http.post("/login", data={"password": "geheim"})
        assert send_form_of(await page_of(http))
        await http.post("/accounts/home/send", data={"user": "wife", "text": "x"})
    assert [done[:3] for done in view.done] == [("send", "wife", "x")]


FOUND = [line(text=f"Treffer {number}", seq=number) for number in range(50, 0, -1)]


async def test_messages_are_found_by_their_text_a_page_at_a_time(http, view):
    view.matches = FOUND
    ((form, _),) = (await page_of(http)).all("form", action="./#home-found")
    assert form["method"] == "get"
    asked = {"account": "home", "texts": "1", "find": " Treffer "}
    page = await page_of(http, "/", params=asked)
    texts = [text for _, text in page.all("p", class_="text")]
    assert texts == [f"Treffer {number}" for number in range(50, 30, -1)]
    assert "Messages with “Treffer”: 20" in page.text("div", id="home-found")
    ((field, _),) = page.all("input", id="home-find")
    assert field["value"] == "Treffer"
    ((older, _),) = [element for element in page.all("a") if element[1] == "Older"]
    last = await page_of(http, "/", params={**asked, "before": "11"})
    assert urljoin("/", str(older["href"])) == ("/?texts=1&account=home&find=Treffer&before=31#home-found")
    assert [text for _, text in last.all("p", class_="text")][-1] == "Treffer 1"
    assert "Older" not in last.text("main")


async def test_a_search_shows_nothing_to_who_has_not_asked_for_texts(http, view):
    view.matches = FOUND
    for asked in ({"find": "Treffer"}, {"find": "Treffer", "texts": "1"}, {"find": " ", "texts": "1"}):
        account = {} if asked.get("texts") and asked["find"].strip() else {"account": "home"}
        assert "Treffer 5" not in (await http.get("/", params={**asked, **account})).text


async def test_nothing_found_and_no_answer_of_the_store_are_said(http, view):
    asked = {"account": "home", "texts": "1", "find": "<nichts>"}
    assert "No message has the text “<nichts>”." in (await page_of(http, "/", params=asked)).text("main")
    view.break_store()
    assert "The store does not answer" in (await page_of(http, "/", params=asked)).text(
        "div", id="home-found"
    )


@pytest.mark.parametrize("before", ["-1", "x", "9" * 30, "1e3", "٣", ""])
async def test_a_search_before_no_message_begins_with_the_newest(http, view, before):
    view.matches = FOUND
    asked = {"account": "home", "texts": "1", "find": "Treffer", "before": before}
    page = await page_of(http, "/", params=asked)
    assert page.all("p", class_="text")[0][1] == "Treffer 50"


async def test_a_number_that_the_phone_shows_is_handed_on(http, view):
    view.login = login(LoginState.WAITING_FOR_CONFIRM, needs=Needs.CODE)
    page = await page_of(http)
    assert "Enter here the number" in page.text("div", data_part="home.state")
    ((form, _),) = page.all("form", action="accounts/home/number")
    ((field, _),) = page.all("input", name="number")
    assert (field["inputmode"], field["pattern"]) == ("numeric", "[0-9]*")
    answer = await http.post(f"/{form['action']}", data={"number": " 012345 "})
    assert urljoin("/accounts/home/number", answer.headers["location"]) == "/?said=number#home-wechat"
    assert view.done == [("number", "012345")]


@pytest.mark.parametrize("number", ["", "abc", "1" * 13, "1 2", "٣", "-1"])
async def test_what_is_no_number_is_not_handed_on(http, view, number):
    view.login = login(LoginState.WAITING_FOR_CONFIRM, needs=Needs.CODE)
    answer = await http.post("/accounts/home/number", data={"number": number})
    assert "said=no_number" in answer.headers["location"]
    assert view.done == []


async def test_a_number_that_nobody_asks_for_any_more_is_said(http):
    answer = await http.post("/accounts/home/number", data={"number": "1"})
    page = await page_of(http, urljoin("/accounts/home/number", answer.headers["location"]))
    assert page.text("p", class_="notice", role="status") == "No number is asked for now."


async def test_a_test_that_cannot_be_stored_is_said(http, view):
    view.break_store()
    with structlog.testing.capture_logs() as logs:
        answer = await http.post("/accounts/home/test", data={"text": "geheim"})
    assert answer.status_code == 503
    assert "nothing was sent" in answer.text
    assert "geheim" not in str(logs)


@pytest.mark.parametrize(
    ("content", "status"), [(b"&" * 100, 413), (b"text=\xff\xfe\x00", 303), (b"", 303), (b"%%%", 303)]
)
async def test_what_is_no_form_does_no_harm(http, view, content, status):
    assert (await http.post("/accounts/home/test", content=content)).status_code == status
    assert all(len(done) == 4 for done in view.done)


async def test_what_a_form_did_is_said_and_nothing_that_others_write_into_the_address(http):
    page = await page_of(http, "/?said=test")
    assert (
        page.text("p", class_="notice", role="status") == "The test is on its way; its result stands below."
    )
    for outcome in ("<b>evil</b>", "state", "none", "", "sent"):
        page = await page_of(http, "/", params={"said": outcome, "id": "page-<b>evil</b>"})
        assert page.all("p", class_="notice", role="status") == []


async def test_of_people_there_is_a_page_at_a_time(http, view):
    view.people = [entry(f"f{number}", name=f"Friend {number:04}") for number in range(5000)]
    whole = await http.get("/")
    assert len(whole.content) < 40_000
    assert len(PageElements(whole.text).all("bdi")) < 3 * PEOPLE_PER_PAGE
    part = await http.get("/accounts/home/contacts", params={"q": "friend 00", "from": "20"})
    assert PageElements(f"<main>{part.text}</main>").all("bdi")[0][1] == "Friend 0020"


async def test_without_a_script_the_search_is_a_form(http, view):
    view.people = [entry("f1", name="Anna"), entry("f2", name="Bert")]
    page = await page_of(http, "/", params={"account": "home", "q": "ann", "from": "0"})
    names = [text for _, text in page.all("bdi")]
    assert "Anna" in names
    assert "Bert" not in names
    ((field, _),) = page.all("input", id="home-contacts-q")
    assert field["value"] == "ann"
    ((other, _),) = page.all("input", id="office-contacts-q")
    assert other["value"] == ""


@pytest.mark.parametrize("start", ["-1", "x", "9" * 30, "1e3", "٣", "", "10"])
async def test_a_place_that_is_none_is_the_beginning(http, view, start):
    view.people = [entry("f1", name="Anna")]
    answer = await http.get("/accounts/home/contacts", params={"from": start})
    assert "1 to 1 of 1" in answer.text


async def test_a_long_query_is_cut(http, view):
    page = await page_of(http, "/", params={"account": "home", "q": "<" * 5000})
    ((field, _),) = page.all("input", id="home-contacts-q")
    assert field["value"] == "<" * 100


ACTS = [f"/accounts/{{}}/{act}" for act in ("login", "logout", "test", "send", "number", "new-owner")]
QUESTIONS = ("logout", "new-owner")


@pytest.mark.parametrize("path", ACTS)
async def test_an_account_that_there_is_not_does_nothing(http, view, path):
    assert (await http.post(path.format("nobody"), data={"text": "x"})).status_code == 404
    assert view.done == []


@pytest.mark.parametrize(
    "path",
    [f"/accounts/nobody/{name}" for name in ("qr.png", "contacts", *QUESTIONS)],
)
async def test_of_an_account_that_there_is_not_nothing_is_shown(http, path):
    assert (await http.get(path)).status_code == 404


@pytest.mark.parametrize("path", [*ACTS, "/language"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"host": "evil.example"},
    ],
)
async def test_no_page_of_another_site_does_anything(http, view, path, headers):
    answer = await http.post(path.format("home"), data={"text": "x", "language": "zh"}, headers=headers)
    assert answer.status_code == 403
    assert view.done == []


@pytest.mark.parametrize("path", [path.format("home") for path in ACTS if not path.endswith(QUESTIONS)])
async def test_to_read_an_address_does_nothing(http, view, path):
    assert (await http.get(path)).status_code == 405
    assert view.done == []


@pytest.mark.parametrize(
    "path", [*ACTS, "/language", "/", "/events", "/accounts/{}/qr.png", "/accounts/{}/contacts"]
)
async def test_a_stranger_sees_and_does_nothing(view, path):
    view.qr_image = PNG
    guarded = options(host="0.0.0.0", password="geheim", token="t0ken")
    async with application_client([], guarded, bridge=bridge(view)) as http:
        for headers in ({}, {"authorization": "Bearer t0ken"}, {"cookie": "wx2mqtt=guess"}):
            for method in ("GET", "POST"):
                answer = await http.request(method, path.format("home"), headers=headers)
                assert answer.status_code == 401, method
    assert view.done == []
    assert view.reads == 0


async def test_who_logged_in_may_leave(view):
    async with application_client(
        [], options(host="0.0.0.0", password="geheim"), bridge=bridge(view)
    ) as http:
        login_answer = await http.post("/login", data={"password": "geheim", "next": "/"})
        page = await page_of(http, login_answer.headers["location"])
        ((form, text),) = page.all("form", action="logout")
        assert text == "Leave this page"
        await http.post(f"/{form['action']}")
        assert (await http.get("/")).status_code == 401


async def test_below_a_path_every_address_is_still_right(view):
    view.login, view.qr_image = login(LoginState.WAITING_FOR_SCAN), PNG
    async with application_client([], options(prefix="/wechat"), bridge=bridge(view)) as http:
        page = await page_of(http, "/wechat/")
        for _, attributes, _ in page.found:
            if address := attributes.get("src") or attributes.get("href"):
                location = urljoin("/wechat/", address)
                assert location.startswith("/wechat/")
                assert (await http.head(location)).status_code == 200
        answer = await http.post("/wechat/accounts/home/login")
        assert (
            urljoin("/wechat/accounts/home/login", answer.headers["location"])
            == "/wechat/?said=login#home-wechat"
        )


async def test_a_file_that_a_reload_refused_is_shown_and_the_bridge_goes_on(view):
    problem = Problem("wx2mqtt.yaml", 3, "mqtt.url", "is wrong")
    async with application_client([], bridge=bridge(view, problems=lambda: (problem,))) as http:
        page = await page_of(http)
    assert "The changed configuration cannot be used" in [text for _, text in page.all("h2")]
    assert "home" in [text for _, text in page.all("h2")]


async def test_a_bridge_that_does_not_run_for_its_file_says_why():
    problem = Problem("wx2mqtt.yaml", 3, "mqtt.url", "is wrong")
    async with application_client([], bridge=bridge(problems=lambda: (problem,))) as http:
        page = await page_of(http)
    assert [text for _, text in page.all("h2")] == ["The configuration cannot be used"]
    assert "wx2mqtt.yaml:3" in page.text("main")


async def test_a_store_that_hangs_keeps_nobody_from_the_code(view, monkeypatch):
    monkeypatch.setattr("wx2mqtt.web.page.account_data.STORE_TIMEOUT_SECONDS", 0.01)
    view.login, view.qr_image = login(LoginState.WAITING_FOR_SCAN), PNG
    view.before_read = wait_forever
    async with application_client([], bridge=bridge(view)) as http:
        async with asyncio.timeout(MAX_WAIT_SECONDS):
            page = await page_of(http)
        assert (await http.get("/accounts/home/qr.png")).content == PNG
    assert page.all("img")
    assert "the store does not answer" not in page.text("main")
    assert "The store cannot be written" in page.text("main")

"""What stands on the page of one account."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.support.page import (
    NOW,
    FakeAccountView,
    PageElements,
    bridge,
    command,
    health_snapshot,
    line,
    login,
    result,
)
from tests.support.rows import every_row
from wx2mqtt.bridge.counters import AccountCounters
from wx2mqtt.bridge.window_topics import WindowForecast
from wx2mqtt.errors import Problem
from wx2mqtt.i18n.bridge import bridge_text as bridge_says
from wx2mqtt.model import Command, LoginState, ReplyWindow, Status
from wx2mqtt.web.html import PageText, time_tag
from wx2mqtt.web.page.account_data import AccountSnapshot
from wx2mqtt.web.page.sections import LOGIN_STATES, PageOptions, file_section, live_sections

EN, ZH = PageText("en"), PageText("zh")


def snapshot(**more):
    values = {
        "view": FakeAccountView(),
        "login": login(),
        "has_qr_code": False,
        "health": health_snapshot(),
        "messages": [],
        "commands": [],
        "questions": [],
    }
    return AccountSnapshot(**{**values, **more})


def parts_of(options=None, **more):
    return live_sections(snapshot(**more), options or PageOptions("en"))


def text(part):
    return (
        PageElements(f"<div>{part}</div>").text("div")
        if "<div" not in part
        else "".join(PageElements(part).found[0][2])
    )


@every_row("state", LoginState)
@every_row("language", ["en", "zh"])
def test_every_state_says_what_it_is_and_what_to_do(state, language):
    part = parts_of(PageOptions(language), login=login(state))["state"]
    page = PageElements(f"<main>{part}</main>")
    ((attributes, title),) = page.all("strong")
    assert title == PageText(language)(LOGIN_STATES[state].title)
    assert attributes["class"] == f"state {LOGIN_STATES[state].style}"
    assert page.all("p")[0][1]


def test_the_online_state_names_the_account():
    assert "Logged in as 王小明" in text(parts_of()["state"])


def test_the_reason_stands_there_where_the_page_does_not_say_it_better():
    interrupted = login(LoginState.INTERRUPTED, reason="WeChat does not answer: <b>no</b>")
    part = parts_of(login=interrupted)["state"]
    assert "The bridge says: WeChat does not answer: <b>no</b>" in text(part)
    assert "<b>" not in part
    plain = login(LoginState.WAITING_FOR_SCAN, reason=bridge_says("zh", "scan"))
    assert "says" not in parts_of(login=plain)["state"]


def test_a_code_is_shown_with_its_end_and_an_old_one_never_again():
    waiting = login(LoginState.WAITING_FOR_SCAN, qr_expires=NOW + 300_000)
    page = PageElements(f"<main>{parts_of(login=waiting, has_qr_code=True)['code']}</main>")
    ((picture, _),) = page.all("img")
    assert picture["src"] == f"accounts/home/qr.png?{NOW + 300_000}"
    assert picture["alt"]
    ((left, _),) = page.all("p", class_="left")
    assert left["data-until"] == f"{NOW + 300_000}"
    assert "10:05:00 UTC" in page.text("p", class_="until")
    assert parts_of(login=waiting, has_qr_code=False)["code"] == ""


def test_a_code_without_a_known_end_is_shown_all_the_same():
    assert parts_of(login=login(LoginState.INTERRUPTED), has_qr_code=True)["code"].startswith("<img")


@every_row("state", LoginState)
def test_the_buttons_are_those_that_mean_something(state):
    page = PageElements(f"<main>{parts_of(login=login(state))['acts']}</main>")
    forms, links = page.all("form"), page.all("a")
    assert bool(forms) == bool(LOGIN_STATES[state].login_button)
    for form, _ in forms:
        assert form == {"method": "post", "action": "accounts/home/login"}
    wanted = ["accounts/home/logout"] if LOGIN_STATES[state].can_log_out else []
    wanted += ["accounts/home/new-owner"] if forms else []
    assert [link["href"] for link, _ in links] == wanted


def test_a_login_that_wechat_has_postponed_can_be_tried_at_once():
    view = FakeAccountView()
    view.is_login_postponed = True
    page = PageElements(f"<main>{parts_of(view=view, login=login(LoginState.INTERRUPTED))['acts']}</main>")
    ((form, button),) = page.all("form")
    assert (form["action"], button) == ("accounts/home/login", "Try the login now")


def test_before_the_first_login_there_is_no_other_account_to_choose():
    view = FakeAccountView()
    view.had_login = False
    state = login(LoginState.WAITING_FOR_SCAN)
    assert "new-owner" not in parts_of(view=view, login=state)["acts"]


def test_nothing_wrong_is_said_too():
    assert text(parts_of()["problems"]) == "Nothing is wrong."
    assert text(parts_of(PageOptions("zh"))["problems"]) == "一切正常。"


def test_each_problem_stands_there_with_what_is_known_and_its_cure():
    unhealthy = health_snapshot(
        broker="",
        counters=AccountCounters(started=NOW, broker_reason="refused <by> nobody", standby=True),
        refused=("wx/last", "wx/contacts"),
        stuck=("receive:home",),
        unresolved=2,
        discovery_cut=True,
        store_size=2_000_000_000,
        stats={"trouble": "disk full", "set_aside": 1},
    )
    page = PageElements(f"<main>{parts_of(health=unhealthy)['problems']}</main>")
    items = [content for _, content in page.all("li")]
    assert len(items) == 9
    assert "cannot be reached" in items[0]
    assert "refused <by> nobody" in items[0]
    assert "mqtt.url" in items[0]
    assert "wx/last, wx/contacts" in items[1]
    assert any("disk full" in item for item in items)
    assert any("receive:home" in item for item in items)
    assert "people assign" in items[-1]


def test_a_command_that_was_not_sent_is_a_problem_with_its_user():
    parts = parts_of(health=health_snapshot(failing=("mom", "<wife>"), stats={"failed_today": 25}))
    page = PageElements(f"<main>{parts['problems']}</main>")
    (item,) = [content for _, content in page.all("li")]
    assert "was not sent" in item
    assert "mom, <wife>" in item
    assert "journal list" in item


def test_a_command_that_was_not_sent_is_told_at_the_top_with_the_reason_of_the_newest_one():
    to_mom = Command(user="mom", text="x")
    refused = result(Status.REJECTED, "window_closed", "mom <must> write first")
    newest = [
        command(result(Status.FAILED, "other", "of somebody else")),
        command(refused, command=to_mom),
        command(result(Status.FAILED, "older", "an older one"), command=to_mom),
    ]
    parts = parts_of(health=health_snapshot(failing=("mom",)), commands=newest)
    (item,) = [content for _, content in PageElements(f"<main>{parts['problems']}</main>").all("li")]
    assert "to mom window_closed mom <must> write first" in item
    assert "older one" not in item
    assert "somebody else" not in item
    assert "<must>" not in parts["problems"]


def test_the_login_is_no_problem_twice():
    waiting_login = login(LoginState.WAITING_FOR_SCAN)
    assert parts_of(login=waiting_login, health=health_snapshot(login=waiting_login))["problems"] == ""


def test_what_the_store_does_not_tell_is_said_and_the_code_stands():
    waiting_login = login(LoginState.WAITING_FOR_SCAN, qr_expires=NOW)
    parts = parts_of(login=waiting_login, has_qr_code=True, health=None, messages=None, commands=None)
    assert parts["code"].startswith("<img")
    assert "cannot be written" in text(parts["problems"])
    for name in ("figures", "messages", "commands"):
        assert text(parts[name]) == EN("not_known")


def figures_of(parts):
    page = PageElements(f"<main>{parts['figures']}</main>")
    return dict(zip([text for _, text in page.all("dt")], [text for _, text in page.all("dd")], strict=True))


def test_figures_say_how_much_waits_and_since_when():
    with_backlog = health_snapshot(
        counters=AccountCounters(started=NOW, connects=3),
        stats={
            "waiting_publications": 12,
            "oldest_publication": NOW - 60_000,
            "pending_media": 2,
            "failed_today": 1,
        },
    )
    figures = figures_of(parts_of(health=with_backlog))
    assert figures["Broker"] == "connected, MQTT 5, reconnected 2 times since the start"
    assert figures["Waiting for the broker"] == "12, since 2026-11-25 09:59:00 UTC"
    assert figures["Waiting for WeChat"] == "nothing"
    assert figures["Files still to be fetched"] == "2"
    assert figures["Commands of 24 hours that did not end as sent"] == "1"
    assert figures["Store"] == "205 kB of 2 GB"


def test_figures_before_anything_has_happened():
    figures = figures_of(
        parts_of(health=health_snapshot(broker="", last_answer=None, counters=AccountCounters(started=NOW)))
    )
    assert (figures["Broker"], figures["Last answer of WeChat"]) == ("not connected", "none yet")


MESSAGES = [
    line(text="开灯 <b>☀</b>"),
    line(group=True, chat="家", sender="妈妈", kind="image", media="a1", text="[图片]"),
    line(own=True, kind="later_kind", text="von morgen"),
    line(kind="system", sender="", chat="", user="family", text="joined"),
]


def test_messages_say_who_and_what_and_when_and_not_what_they_say():
    page = PageElements(f"<main>{parts_of(messages=MESSAGES)['messages']}</main>")
    senders = [content for _, content in page.all("span", class_="who")]
    assert senders == ["老婆", "妈妈 in 家", "me", "family"]
    assert [content for _, content in page.all("span", class_="kind")] == [
        "text",
        "picture",
        "later_kind",
        "system",
    ]
    assert "2026-11-25 09:59:00 UTC" in page.all("li")[0][1]
    whole = page.text("main")
    assert not any(message.text in whole for message in MESSAGES)
    assert page.all("a") == []


def test_what_they_say_is_there_for_who_wants_it_as_text_and_nothing_else():
    part = parts_of(PageOptions("en", show_texts=True), messages=MESSAGES)["messages"]
    page = PageElements(f"<main>{part}</main>")
    assert [content for _, content in page.all("p", class_="text")] == [message.text for message in MESSAGES]
    assert page.all("b") == []
    ((link, _),) = page.all("a")
    assert link["href"] == "media/a1"


def test_a_picture_stands_small_in_its_link_for_who_wants_to_see_it():
    some = [line(kind="image", media="a1", preview="t1"), line(kind="file", media="b1")]
    part = parts_of(PageOptions("en", show_texts=True), messages=some)["messages"]
    page = PageElements(f"<main>{part}</main>")
    ((picture, _),) = page.all("img")
    assert (picture["src"], picture["alt"], picture["loading"]) == ("media/t1?wait=0", "", "lazy")
    assert [(attributes["href"], content) for attributes, content in page.all("a")] == [
        ("media/a1", "open"),
        ("media/b1", "open"),
    ]
    assert "<img" not in parts_of(messages=some)["messages"]


def test_each_command_has_its_id():
    assert "id c1" in text(parts_of(commands=[command(result())])["commands"])


def test_a_command_over_http_names_its_sender():
    over_http = replace(command(), command=Command(user="wife", sender="grafana"))
    assert "sent by grafana" in text(parts_of(commands=[over_http])["commands"])
    assert "sent by" not in text(parts_of(commands=[command()])["commands"])


def test_commands_have_their_recipient_and_their_result():
    failed = result(Status.FAILED, "refused_by_wechat", "no <i>")
    some = [
        command(),
        command(attempt_open=True),
        command(result()),
        replace(command(failed), command=Command(user="家", kind="video")),
    ]
    page = PageElements(f"<main>{parts_of(commands=some)['commands']}</main>")
    states = [
        (attributes["class"], content)
        for attributes, content in page.all("span")
        if "state" in str(attributes["class"])
    ]
    assert states == [
        ("state waits", "waiting"),
        ("state waits", "being sent"),
        ("state good", "sent"),
        ("state bad", "failed"),
    ]
    assert "refused_by_wechat no <i>" in page.all("li")[3][1]
    assert "to 家" in page.all("li")[3][1]
    assert "Dinner" not in page.text("main")
    content = parts_of(PageOptions("en", show_texts=True), commands=some)["commands"]
    assert "Dinner is ready" in content


def test_a_command_that_waits_for_a_shut_window_says_so():
    view = FakeAccountView()
    closed = ReplyWindow(open=False, until=None, remaining=0, limit=10, reason="never_wrote")
    view.forecasts = {"wife": WindowForecast(window=closed, reserved=0, waiting=1)}
    waiting = text(parts_of(view=view, commands=[command()])["commands"])
    assert "nothing goes out before they write" in waiting
    under_way = text(parts_of(view=view, commands=[command(attempt_open=True)])["commands"])
    assert "before they write" not in under_way + text(parts_of(commands=[command()])["commands"])


def test_before_anything_came_that_is_said():
    assert text(parts_of()["messages"]).startswith("No message has come yet.")
    assert text(parts_of(PageOptions("zh"))["commands"]).startswith("还没有命令。")


def test_a_file_that_cannot_be_used_says_every_line_and_cure():
    found = [
        Problem("wx2mqtt.yaml", 3, "mqtt.url", "<b>is</b> wrong"),
        Problem("environment", 0, "web", "too"),
    ]
    page = PageElements(f"<main>{file_section(bridge(problems=lambda: tuple(found)), ZH)}</main>")
    assert page.text("h2") == "配置无法使用"
    items = [content for _, content in page.all("li")]
    assert items == ["mqtt.url <b>is</b> wrongwx2mqtt.yaml:3", "web tooenvironment"]
    assert "原来的设置" in file_section(bridge(FakeAccountView(), problems=lambda: tuple(found)), ZH)
    assert file_section(bridge(), ZH) == ""


def test_a_part_stays_the_same_as_long_as_nothing_is_different():
    later = health_snapshot(now=NOW + 60_000)
    assert parts_of() == parts_of(health=later)


@every_row("time", [0, NOW, 2**62, -5])
def test_any_moment_can_be_written(time):
    ((attributes, content),) = PageElements(time_tag(time)).all("time")
    assert str(attributes["datetime"]).endswith("Z")
    assert content.endswith("UTC")


names = st.text(max_size=30) | st.sampled_from(
    ["<script>x</script>", "</main><u>", '"><u>', "'><u>", "&lt;u&gt;<u>", "<u\n>"]
)


@given(names, names, names, st.sampled_from(["text", "image", "<b>", ""]))
def test_whatever_people_are_called_and_say_the_page_holds_together(sender, chat, words, kind):
    lines = [line(sender=sender, chat=chat, text=words, kind=kind, time=words, group=bool(chat))]
    waiting_login = login(LoginState.REFUSED, reason=words)
    some = [replace(command(result(message=words)), command=Command(user=chat, kind=kind, text=words))]
    parts = parts_of(PageOptions("zh", show_texts=True), messages=lines, login=waiting_login, commands=some)
    for part in parts.values():
        page = PageElements(f"<main>{part}</main>")
        tags = {name for name, _, _ in page.found}
        assert tags <= {
            *(
                "main",
                "strong",
                "p",
                "bdi",
                "small",
                "time",
                "form",
                "button",
                "ol",
                "li",
                "span",
                "a",
                "code",
            ),
            *("dl", "div", "dt", "dd", "ul", "img"),
        }

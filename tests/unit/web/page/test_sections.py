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
from wx2mqtt.model import Command, LoginState, Needs, ReplyWindow, Status
from wx2mqtt.web.html import PageText, time_tag
from wx2mqtt.web.page.account_data import AccountSnapshot
from wx2mqtt.web.page.sections import LOGIN_STATES, PageOptions, file_section, live_sections

EN, ZH = PageText("en"), PageText("zh")


def facts(**more):
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


def shown(look=None, **more):
    return live_sections(facts(**more), look or PageOptions("en"))


def text(part):
    return (
        PageElements(f"<div>{part}</div>").text("div")
        if "<div" not in part
        else "".join(PageElements(part).found[0][2])
    )


@every_row("state", LoginState)
@every_row("language", ["en", "zh"])
def test_every_state_says_what_it_is_and_what_to_do(state, language):
    part = shown(PageOptions(language), login=login(state))["state"]
    page = PageElements(f"<main>{part}</main>")
    ((attributes, title),) = page.all("strong")
    assert title == PageText(language)(LOGIN_STATES[state].title)
    assert attributes["class"] == f"state {LOGIN_STATES[state].style}"
    assert page.all("p")[0][1]


def test_the_online_state_names_the_account():
    assert "Logged in as 王小明" in text(shown()["state"])


def test_the_reason_stands_there_where_the_page_does_not_say_it_better():
    odd = login(LoginState.INTERRUPTED, reason="WeChat does not answer: <b>no</b>")
    part = shown(login=odd)["state"]
    assert "The bridge says: WeChat does not answer: <b>no</b>" in text(part)
    assert "<b>" not in part
    plain = login(LoginState.WAITING_FOR_SCAN, reason=bridge_says("zh", "scan"))
    assert "says" not in shown(login=plain)["state"]


def test_a_code_is_shown_with_its_end_and_an_old_one_never_again():
    waiting = login(LoginState.WAITING_FOR_SCAN, qr_expires=NOW + 300_000)
    page = PageElements(f"<main>{shown(login=waiting, has_qr_code=True)['code']}</main>")
    ((picture, _),) = page.all("img")
    assert picture["src"] == f"accounts/home/qr.png?{NOW + 300_000}"
    assert picture["alt"]
    ((left, _),) = page.all("p", class_="left")
    assert left["data-until"] == f"{NOW + 300_000}"
    assert "10:05:00 UTC" in page.text("p", class_="until")
    assert shown(login=waiting, has_qr_code=False)["code"] == ""


def test_a_code_without_a_known_end_is_shown_all_the_same():
    assert shown(login=login(LoginState.INTERRUPTED), has_qr_code=True)["code"].startswith("<img")


@every_row("state", LoginState)
def test_the_buttons_are_those_that_mean_something(state):
    page = PageElements(f"<main>{shown(login=login(state))['acts']}</main>")
    forms, links = page.all("form"), page.all("a")
    assert bool(forms) == bool(LOGIN_STATES[state].login_button)
    for form, _ in forms:
        assert form == {"method": "post", "action": "accounts/home/login"}
    wanted = ["accounts/home/logout"] if LOGIN_STATES[state].can_log_out else []
    wanted += ["accounts/home/new-owner"] if forms else []
    assert [link["href"] for link, _ in links] == wanted


def test_before_the_first_login_there_is_no_other_account_to_choose():
    view = FakeAccountView()
    view.has_owner = False
    state = login(LoginState.WAITING_FOR_SCAN)
    assert "new-owner" not in shown(view=view, login=state)["acts"]


def test_nothing_wrong_is_said_too():
    assert text(shown()["problems"]) == "Nothing is wrong."
    assert text(shown(PageOptions("zh"))["problems"]) == "一切正常。"


def test_each_problem_stands_there_with_what_is_known_and_its_cure():
    bad = health_snapshot(
        broker="",
        counters=AccountCounters(started=NOW, broker_reason="refused <by> nobody", standby=True),
        refused=("wx/last", "wx/contacts"),
        stuck=("receive:home",),
        unresolved=2,
        discovery_cut=True,
        store_size=2_000_000_000,
        stats={"trouble": "disk full", "set_aside": 1},
    )
    page = PageElements(f"<main>{shown(health=bad)['problems']}</main>")
    items = [told for _, told in page.all("li")]
    assert len(items) == 9
    assert "cannot be reached" in items[0]
    assert "refused <by> nobody" in items[0]
    assert "mqtt.url" in items[0]
    assert "wx/last, wx/contacts" in items[1]
    assert any("disk full" in item for item in items)
    assert any("receive:home" in item for item in items)
    assert "people assign" in items[-1]


def test_a_command_that_was_not_sent_is_a_problem_with_its_user():
    made = shown(health=health_snapshot(failing=("mom", "<wife>"), stats={"failed_today": 25}))
    page = PageElements(f"<main>{made['problems']}</main>")
    (item,) = [told for _, told in page.all("li")]
    assert "was not sent" in item
    assert "mom, <wife>" in item
    assert "journal list" in item


def test_a_command_that_was_not_sent_is_told_at_the_top_with_the_reason_of_the_newest_one():
    mom = Command(user="mom", text="x")
    refused = result(Status.REJECTED, "window_closed", "mom <must> write first")
    rows = [
        command(result(Status.FAILED, "other", "of somebody else")),
        command(refused, command=mom),
        command(result(Status.FAILED, "older", "an older one"), command=mom),
    ]
    made = shown(health=health_snapshot(failing=("mom",)), commands=rows)
    (item,) = [told for _, told in PageElements(f"<main>{made['problems']}</main>").all("li")]
    assert "to mom window_closed mom <must> write first" in item
    assert "older one" not in item
    assert "somebody else" not in item
    assert "<must>" not in made["problems"]


def test_the_login_is_no_problem_twice():
    waits = login(LoginState.WAITING_FOR_SCAN)
    assert shown(login=waits, health=health_snapshot(login=waits))["problems"] == ""


def test_what_the_store_does_not_tell_is_said_and_the_code_stands():
    waits = login(LoginState.WAITING_FOR_SCAN, qr_expires=NOW)
    made = shown(login=waits, has_qr_code=True, health=None, messages=None, commands=None)
    assert made["code"].startswith("<img")
    assert "cannot be written" in text(made["problems"])
    for name in ("figures", "messages", "commands"):
        assert text(made[name]) == EN("not_known")


def rows(made):
    page = PageElements(f"<main>{made['figures']}</main>")
    return dict(zip([one for _, one in page.all("dt")], [one for _, one in page.all("dd")], strict=True))


def test_figures_say_how_much_waits_and_since_when():
    busy = health_snapshot(
        counters=AccountCounters(started=NOW, connects=3),
        stats={
            "waiting_publications": 12,
            "oldest_publication": NOW - 60_000,
            "pending_media": 2,
            "failed_today": 1,
        },
    )
    told = rows(shown(health=busy))
    assert told["Broker"] == "connected, MQTT 5, reconnected 2 times since the start"
    assert told["Waiting for the broker"] == "12, since 2026-11-25 09:59:00 UTC"
    assert told["Waiting for WeChat"] == "nothing"
    assert told["Files still to be fetched"] == "2"
    assert told["Commands of 24 hours that did not end as sent"] == "1"
    assert told["Store"] == "205 kB of 2 GB"


def test_figures_before_anything_has_happened():
    told = rows(
        shown(health=health_snapshot(broker="", last_answer=None, counters=AccountCounters(started=NOW)))
    )
    assert (told["Broker"], told["Last answer of WeChat"]) == ("not connected", "none yet")


LINES = [
    line(text="开灯 <b>☀</b>"),
    line(group=True, chat="家", sender="妈妈", kind="image", media="a1", text="[图片]"),
    line(own=True, kind="later_kind", text="von morgen"),
    line(kind="system", sender="", chat="", user="family", text="joined"),
]


def test_messages_say_who_and_what_and_when_and_not_what_they_say():
    page = PageElements(f"<main>{shown(messages=LINES)['messages']}</main>")
    who = [told for _, told in page.all("span", class_="who")]
    assert who == ["老婆", "妈妈 in 家", "me", "family"]
    assert [told for _, told in page.all("span", class_="kind")] == [
        "text",
        "picture",
        "later_kind",
        "system",
    ]
    assert "2026-11-25 09:59:00 UTC" in page.all("li")[0][1]
    whole = page.text("main")
    assert not any(one.text in whole for one in LINES)
    assert page.all("a") == []


def test_what_they_say_is_there_for_who_wants_it_as_text_and_nothing_else():
    part = shown(PageOptions("en", show_texts=True), messages=LINES)["messages"]
    page = PageElements(f"<main>{part}</main>")
    assert [told for _, told in page.all("p", class_="text")] == [one.text for one in LINES]
    assert page.all("b") == []
    ((link, _),) = page.all("a")
    assert link["href"] == "media/a1"


def test_a_picture_stands_small_in_its_link_for_who_wants_to_see_it():
    some = [line(kind="image", media="a1", preview="t1"), line(kind="file", media="b1")]
    part = shown(PageOptions("en", show_texts=True), messages=some)["messages"]
    page = PageElements(f"<main>{part}</main>")
    ((picture, _),) = page.all("img")
    assert (picture["src"], picture["alt"], picture["loading"]) == ("media/t1?wait=0", "", "lazy")
    assert [(one["href"], told) for one, told in page.all("a")] == [
        ("media/a1", "open"),
        ("media/b1", "open"),
    ]
    assert "<img" not in shown(messages=some)["messages"]


def test_each_command_has_its_id():
    assert "id c1" in text(shown(commands=[command(result())])["commands"])


def test_a_command_over_http_names_its_sender():
    over_http = replace(command(), command=Command(user="wife", sender="grafana"))
    assert "sent by grafana" in text(shown(commands=[over_http])["commands"])
    assert "sent by" not in text(shown(commands=[command()])["commands"])


def test_commands_have_their_recipient_and_their_result():
    failed = result(Status.FAILED, "refused_by_wechat", "no <i>")
    some = [
        command(),
        command(attempt_open=True),
        command(result()),
        replace(command(failed), command=Command(user="家", kind="video")),
    ]
    page = PageElements(f"<main>{shown(commands=some)['commands']}</main>")
    states = [(one["class"], told) for one, told in page.all("span") if "state" in str(one["class"])]
    assert states == [
        ("state waits", "waiting"),
        ("state waits", "being sent"),
        ("state good", "sent"),
        ("state bad", "failed"),
    ]
    assert "refused_by_wechat no <i>" in page.all("li")[3][1]
    assert "to 家" in page.all("li")[3][1]
    assert "Dinner" not in page.text("main")
    told = shown(PageOptions("en", show_texts=True), commands=some)["commands"]
    assert "Dinner is ready" in told


def test_a_command_that_waits_for_a_shut_window_says_so():
    view = FakeAccountView()
    shut = ReplyWindow(open=False, until=None, remaining=0, limit=10, reason="never_wrote")
    view.forecasts = {"wife": WindowForecast(window=shut, reserved=0, waiting=1)}
    waiting = text(shown(view=view, commands=[command()])["commands"])
    assert "nothing goes out before they write" in waiting
    under_way = text(shown(view=view, commands=[command(attempt_open=True)])["commands"])
    assert "before they write" not in under_way + text(shown(commands=[command()])["commands"])


def test_before_anything_came_that_is_said():
    assert text(shown()["messages"]).startswith("No message has come yet.")
    assert text(shown(PageOptions("zh"))["commands"]).startswith("还没有命令。")


def test_empty_lists_say_what_the_next_step_is():
    view = FakeAccountView()
    waits = login(LoginState.WAITING_FOR_SCAN)
    assert "log in to WeChat" in text(shown(login=waits)["messages"])
    assert "File Transfer" in text(shown()["messages"])
    assert "wx/in/+" in text(shown()["messages"])
    assert "mosquitto_pub -q 1 -t 'wx/out/filehelper' -m 'hello'" in text(shown()["commands"])
    view.has_contacts, view.test_recipient = False, ""
    assert "Write to the bot once" in text(shown(view=view)["messages"])
    assert "wait for the first message" in text(shown(view=view)["commands"])


NEW = {"stats": {"messages": 0}}


def steps(made):
    page = PageElements(f"<main>{made['steps']}</main>")
    return [(told, one.get("aria-current")) for one, told in page.all("li")]


def test_until_the_first_message_the_next_step_is_named():
    waits = login(LoginState.WAITING_FOR_SCAN)
    away = health_snapshot(
        **NEW, broker="", counters=AccountCounters(started=NOW, broker_reason="no <route>")
    )
    first, broker, scan, message = steps(shown(health=away, login=waits))
    assert first == ("A configuration done", None)
    assert broker[0].startswith("The MQTT broker nextno <route>See that it runs")
    assert broker[1] == "step"
    assert (scan, message) == (("The login to WeChat later", None), ("The first message later", None))

    _, broker, scan, _ = steps(shown(health=health_snapshot(**NEW), login=waits))
    assert broker == ("The MQTT broker done", None)
    assert scan[0].startswith("The login to WeChat nextOpen WeChat on the phone")
    *_, scan, message = steps(shown(health=health_snapshot(**NEW)))
    assert scan == ("The login to WeChat done", None)
    assert "wx/in/+" in message[0]
    assert message[1] == "step"
    assert steps(shown()) == []
    assert steps(shown(health=None)) == []


def test_the_steps_say_what_it_means_that_nothing_helps_alarms():
    view = FakeAccountView()
    view.missing_safeguards = "no_safeguards"
    assert "remind, renew and fallback are off" in text(
        shown(view=view, health=health_snapshot(**NEW))["steps"]
    )
    assert "都未开启" in text(shown(PageOptions("zh"), view=view, health=health_snapshot(**NEW))["steps"])
    assert "are off" not in text(shown(health=health_snapshot(**NEW))["steps"])


def test_a_login_that_asks_for_a_number_says_so_in_the_steps():
    asks = login(LoginState.WAITING_FOR_CONFIRM, needs=Needs.CODE)
    assert "number that the phone shows" in steps(shown(health=health_snapshot(**NEW), login=asks))[2][0]


def test_without_a_file_the_steps_say_which_settings_those_are():
    made = shown(health=health_snapshot(**NEW), setup_command="wx2mqtt setup")
    assert "the broker is for this machine only. wx2mqtt setup writes" in steps(made)[0][0]
    assert "wx2mqtt setup" not in text(shown(health=health_snapshot(**NEW))["steps"])


def test_a_bridge_that_waits_for_its_first_file_says_how_to_get_one():
    missing = Problem("my.yaml", 1, "file", "there is no such file")
    state = bridge(problems=lambda: (missing,), setup_command=lambda: "wx2mqtt setup -c my.yaml")
    (first, *later) = steps({"steps": file_section(state, EN)})
    assert "Run wx2mqtt setup -c my.yaml in a terminal" in first[0]
    assert first[1] == "step"
    assert [one[0].rpartition(" ")[2] for one in later] == ["later"] * 3
    assert "no such file" not in file_section(state, EN)


def test_a_file_that_cannot_be_used_says_every_line_and_cure():
    found = [
        Problem("wx2mqtt.yaml", 3, "mqtt.url", "<b>is</b> wrong"),
        Problem("environment", 0, "web", "too"),
    ]
    page = PageElements(f"<main>{file_section(bridge(problems=lambda: tuple(found)), ZH)}</main>")
    assert page.text("h2") == "配置无法使用"
    items = [told for _, told in page.all("li")]
    assert items == ["mqtt.url <b>is</b> wrongwx2mqtt.yaml:3", "web tooenvironment"]
    assert "原来的设置" in file_section(bridge(FakeAccountView(), problems=lambda: tuple(found)), ZH)
    assert file_section(bridge(), ZH) == ""


def test_a_part_stays_the_same_as_long_as_nothing_is_different():
    later = health_snapshot(now=NOW + 60_000)
    assert shown() == shown(health=later)


@every_row("time", [0, NOW, 2**62, -5])
def test_any_moment_can_be_written(time):
    ((attributes, told),) = PageElements(time_tag(time)).all("time")
    assert str(attributes["datetime"]).endswith("Z")
    assert told.endswith("UTC")


names = st.text(max_size=30) | st.sampled_from(
    ["<script>x</script>", "</main><u>", '"><u>', "'><u>", "&lt;u&gt;<u>", "<u\n>"]
)


@given(names, names, names, st.sampled_from(["text", "image", "<b>", ""]))
def test_whatever_people_are_called_and_say_the_page_holds_together(sender, chat, said, kind):
    lines = [line(sender=sender, chat=chat, text=said, kind=kind, time=said, group=bool(chat))]
    waits = login(LoginState.REFUSED, reason=said)
    some = [replace(command(result(message=said)), command=Command(user=chat, kind=kind, text=said))]
    made = shown(PageOptions("zh", show_texts=True), messages=lines, login=waits, commands=some)
    for part in made.values():
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

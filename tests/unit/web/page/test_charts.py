"""What the page draws, and what it says to those who do not see it."""

from __future__ import annotations

from tests.support.page import NOW, FakeAccountView, PageElements, health_snapshot
from tests.support.rows import every_row
from tests.unit.web.page.test_sections import snapshot
from wx2mqtt.bridge.window_topics import LOGGED_OUT_WINDOW, WindowForecast
from wx2mqtt.model import ReplyWindow
from wx2mqtt.store.traffic import HourCounts
from wx2mqtt.web.html import PageText
from wx2mqtt.web.page.charts import BAR_HEIGHT, MAX_WINDOWS_SHOWN, hours_section, windows_section

EN, ZH = PageText("en"), PageText("zh")
UNTIL = NOW + 5 * 3_600_000


def window(**more) -> ReplyWindow:
    return ReplyWindow(**{"open": True, "until": UNTIL, "remaining": 7, "limit": 10, **more})


def draw_windows(
    *windows: ReplyWindow, page_text: PageText = EN, reserved: int = 0, waiting: int = 0
) -> PageElements:
    view = FakeAccountView()
    view.forecasts = {
        f"user{number:02}": WindowForecast(window=reply_window, reserved=reserved, waiting=waiting)
        for number, reply_window in enumerate(windows)
    }
    return PageElements(
        f"<main>{windows_section(snapshot(view=view, health=health_snapshot()), page_text)}</main>"
    )


def sentence(page: PageElements) -> str:
    """Returns the sentence below the drawing."""
    inside = "".join(text for tag in ("title", "desc") for _, text in page.all(tag))
    return page.text("dd").removeprefix(inside)


def test_nothing_is_drawn_where_there_are_no_windows():
    assert windows_section(snapshot(), EN) == ""


def test_a_gauge_has_a_square_for_each_message_and_says_the_same_to_who_hears_it():
    page = draw_windows(window(), reserved=2)
    ((svg, _),) = page.all("svg")
    assert svg["role"] == "img"
    assert page.text("title", id=svg["aria-labelledby"] or "") == "7 of 10 messages left"
    assert "Striped" in page.text("desc", id=svg["aria-describedby"] or "")
    styles = [attributes["class"] for attributes, _ in page.all("rect")]
    assert styles == ["cell left"] * 5 + ["cell"] * 5
    assert len(page.all("path", class_="stripes")) == 2  # told without colour


@every_row(
    "shape, words",
    [
        (window(), "7 of 10 left, closes 2026-11-25 15:00:00 UTC"),
        (window(limit=None), "7 left, closes 2026-11-25 15:00:00 UTC"),
        (window(remaining=None), "can be sent now"),
        (
            window(open=False, remaining=0, until=None, reason="quota_used"),
            "nothing goes out before they write",
        ),
        (
            window(open=False, reason="rate_limited"),
            "too many at once: WeChat takes more 2026-11-25 15:00:00 UTC",
        ),
        (LOGGED_OUT_WINDOW, "nothing goes out before the login"),
    ],
)
def test_each_window_is_told_in_words(shape, words):
    assert sentence(draw_windows(shape)) == words


def test_what_is_reserved_and_what_waits_is_told():
    words = sentence(draw_windows(window(), reserved=1, waiting=3))
    assert words.endswith("UTC; 1 of them only for what is urgent; 3 waiting")


def test_the_end_is_a_time_that_the_script_writes_as_a_distance():
    ((time, _),) = draw_windows(window()).all("time")
    assert time == {"datetime": "2026-11-25T15:00:00.000Z", "class": "relative"}


def test_it_is_chinese_for_who_reads_chinese():
    page = draw_windows(window(), page_text=ZH, reserved=1)
    assert sentence(page) == "还能发 7 条（共 10 条），窗口2026-11-25 15:00:00 UTC关闭；其中 1 条留给紧急消息"
    assert page.text("title") == "还能发 7 条，共 10 条"


@every_row("limit", [None, 0, -1, 31, 10**9])
def test_a_window_that_cannot_be_drawn_is_told_only(limit):
    page = draw_windows(window(limit=limit))
    assert not page.all("svg")
    assert sentence(page)


def test_more_messages_than_the_window_takes_do_not_leave_the_drawing():
    page = draw_windows(window(remaining=12), reserved=20)
    assert len(page.all("rect")) == 10
    assert len(page.all("path")) == 10


def test_only_some_windows_are_shown_each_with_its_own_names():
    page = draw_windows(*[window()] * (MAX_WINDOWS_SHOWN + 5))
    names = [attributes["id"] for tag in ("title", "desc") for attributes, _ in page.all(tag)]
    assert len({*names}) == len(names) == 2 * MAX_WINDOWS_SHOWN


def test_no_name_becomes_markup():
    view = FakeAccountView()
    view.forecasts = {"<mom>": WindowForecast(window=window(), reserved=0, waiting=0)}
    made = windows_section(snapshot(view=view), EN)
    assert "&lt;mom&gt;" in made
    assert "<mom>" not in made


def hours(*counts: tuple[int, int, int], page_text: PageText = EN) -> PageElements:
    rows = [
        HourCounts(hour=hour, received=received, sent=sent, not_sent=not_sent)
        for hour, (received, sent, not_sent) in enumerate(counts)
    ]
    return PageElements(f"<main>{hours_section(snapshot(hours=rows), page_text)}</main>")


def test_each_count_has_a_row_of_its_own_with_its_sum_and_its_highest_hour():
    page = hours((0, 900, 0), (30, 0, 1), (4, 450, 0))
    assert [text for _, text in page.all("dt")] == ["Messages received", "Commands sent", "Commands not sent"]
    sums = [text for _, text in page.all("dd", class_="total")]
    assert sums == ["34, at most 30 in an hour", "1350, at most 900 in an hour", "1, at most 1 in an hour"]


def test_the_rows_are_told_to_who_hears_the_page():
    page = hours((0, 900, 0), (30, 0, 1), (4, 450, 0))
    for (svg, _), title, counts in zip(
        page.all("svg"),
        (
            "Messages received, by the hour: 34,",
            "Commands sent, by the hour: 1350,",
            "Commands not sent, by the hour: 1,",
        ),
        ("0, 30, 4", "900, 0, 450", "0, 1, 0"),
        strict=True,
    ):
        assert svg["role"] == "img"
        assert page.text("title", id=svg["aria-labelledby"] or "").startswith(title)
        assert page.text("desc", id=svg["aria-describedby"] or "").endswith(f"the oldest first: {counts}")


def test_a_bar_is_as_high_as_its_count_and_none_is_too_small_to_be_seen():
    page = hours((1000, 0, 0), (500, 0, 0), (1, 0, 0), (0, 0, 0))
    bars = page.all("rect")
    assert [bar["height"] for bar, _ in bars] == [f"{BAR_HEIGHT}", f"{BAR_HEIGHT // 2}", "3", "1"]
    assert [bar["class"] for bar, _ in bars] == ["bar", "bar", "bar", "bar none"]


def test_a_row_of_nothing_is_not_drawn():
    page = hours((0, 3, 0), (0, 0, 0))
    assert len(page.all("svg")) == 1
    assert [text for _, text in page.all("dd", class_="total")] == [
        "nothing",
        "3, at most 3 in an hour",
        "nothing",
    ]


def test_hours_that_the_store_does_not_tell_are_said_to_be_unknown():
    assert EN("not_known") in hours_section(snapshot(hours=None), EN)


def test_the_hours_are_chinese_for_who_reads_chinese():
    page = hours((2, 0, 0), page_text=ZH)
    assert page.text("title") == "每小时收到的消息：2 条，一小时最多 2 条"
    assert [text for _, text in page.all("span")] == ["24 小时前", "当前这一小时"]

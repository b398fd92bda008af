"""What the page draws: the reply windows as gauges, and the last hours as bars. Pure.

In: what `AccountSnapshot` has. Out: SVG with a `<title>` and a `<desc>` for those who hear the page.
No shape is told from another by its colour alone, and the colours are those of `static/page.css`: the page's
Content-Security-Policy allows no style beside it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence

from markupsafe import Markup

from wx2mqtt.bridge.window_topics import WindowForecast
from wx2mqtt.model import ReplyWindow
from wx2mqtt.store.traffic import HourCounts
from wx2mqtt.values import frozen
from wx2mqtt.web.html import PageText, join_html, relative_time_tag, tag
from wx2mqtt.web.page.account_data import AccountSnapshot

MAX_WINDOWS_SHOWN = 10

# A window of more messages than this is only told in words.
MAX_GAUGE_CELLS = 30

# In units of the drawing.
CELL_SIZE = 12
CELL_STEP = 16
BAR_STEP = 10
BAR_WIDTH = 8
BAR_HEIGHT = 30
# Of a bar that stands for nothing, so that each hour can be seen.
EMPTY_BAR_HEIGHT = 1


def windows_section(snapshot: AccountSnapshot, page_text: PageText) -> Markup:
    """Returns for each person how many messages WeChat still takes; empty without reply windows."""
    forecasts = heapq.nsmallest(MAX_WINDOWS_SHOWN, snapshot.view.forecasts.items())  # by their names
    if not forecasts:
        return Markup()
    rows: list[Markup] = []
    for number, (user, forecast) in enumerate(forecasts):
        gauge = _gauge(forecast, f"{snapshot.view.name}-window-{number}", page_text)
        sentence = _window_sentence(forecast, page_text)
        rows.append(tag("div", tag("dt", page_text("window", user=user)), tag("dd", gauge, sentence)))
    return tag("dl", *rows, class_="windows")


def _window_sentence(forecast: WindowForecast, page_text: PageText) -> Markup:
    """Returns how many messages are left, until when, and how many commands wait."""
    facts = [window_state(forecast.window, page_text)]
    if forecast.window.open and forecast.reserved:
        facts.append(page_text.html("window_reserved", reserved=f"{forecast.reserved}"))
    if forecast.waiting:
        facts.append(page_text.html("window_waiting", waiting=f"{forecast.waiting}"))
    return join_html(facts)


def window_state(window: ReplyWindow, page_text: PageText) -> Markup:
    """Returns whether WeChat takes messages now, how many and until when; else what it waits for."""
    if window.open:
        if window.remaining is None or window.until is None:
            return page_text.html("window_open_unknown")
        closes = relative_time_tag(window.until)
        if window.limit is None:
            return page_text.html("window_open", left=f"{window.remaining}", time=closes)
        return page_text.html(
            "window_open_of", left=f"{window.remaining}", limit=f"{window.limit}", time=closes
        )
    if window.until is not None:
        return page_text.html("window_paused", time=relative_time_tag(window.until))
    return page_text.html("window_logged_out" if window.reason == "logged_out" else "window_shut")


def _gauge(forecast: WindowForecast, gauge_id: str, page_text: PageText) -> Markup | None:
    """Returns one square for each message of the window; None where it is not known how many those are."""
    window = forecast.window
    limit, left = window.limit, window.remaining
    if limit is None or left is None or not 0 < limit <= MAX_GAUGE_CELLS:
        return None
    title = page_text("gauge_title", left=left, limit=limit)
    return tag(
        "svg",
        tag("title", title, id=f"{gauge_id}-title"),
        tag("desc", page_text("gauge_text"), id=f"{gauge_id}-text"),
        *_cells(limit, left, min(left, forecast.reserved or 0)),
        viewBox=f"0 0 {limit * CELL_STEP - CELL_STEP + CELL_SIZE} {CELL_SIZE}",
        role="img",
        class_="gauge",
        aria_labelledby=f"{gauge_id}-title",
        aria_describedby=f"{gauge_id}-text",
    )


def _cells(limit: int, left: int, reserved: int) -> Iterator[Markup]:
    """Yields the squares: filled for a message that is left, striped where it is reserved, else empty."""
    for number in range(limit):
        x = number * CELL_STEP
        style = "cell left" if number < left - reserved else "cell"
        side = CELL_SIZE - 1  # the line of the square is inside of it
        yield tag("rect", x=f"{x + 0.5}", y="0.5", width=side, height=side, class_=style)
        if left - reserved <= number < left:
            middle, end = CELL_SIZE // 2, CELL_SIZE - 1
            # Three parallel lines, each from its lower left end to its upper right one.
            lines = ((1, middle, middle, 1), (1, end, end, 1), (middle, end, end, middle))
            stripes = "".join(f"M{x + x1} {y1}L{x + x2} {y2}" for x1, y1, x2, y2 in lines)
            yield tag("path", d=stripes, class_="stripes")


# The last hours


@frozen
class BarRow:
    """One row of bars: a key of `PAGE_MESSAGES`, and which count of an hour it shows."""

    title: str
    count: Callable[[HourCounts], int]
    style: str


BAR_ROWS = (
    BarRow(title="hours_received", count=lambda counts: counts.received, style="bar"),
    BarRow(title="hours_sent", count=lambda counts: counts.sent, style="bar"),
    BarRow(title="hours_not_sent", count=lambda counts: counts.not_sent, style="bar bad"),
)


def hours_section(snapshot: AccountSnapshot, page_text: PageText) -> Markup:
    """Returns a row of bars for what came, was sent and was not sent, an hour each.

    Each row has its own scale, since what failed would not be seen beside what was sent; its words say how
    much the highest bar is.
    """
    hours = snapshot.hours
    if hours is None:
        return tag("p", page_text("not_known"), class_="soft")
    rows = (
        _bar_row(row, [row.count(counts) for counts in hours], f"{snapshot.view.name}-{row.title}", page_text)
        for row in BAR_ROWS
    )
    return tag("dl", *rows, class_="hours")


def _bar_row(row: BarRow, counts: Sequence[int], row_id: str, page_text: PageText) -> Markup:
    """Returns the name of the row, how much there was, and the drawing of it unless there was nothing."""
    total, most = sum(counts), max(counts, default=0)
    name = tag("dt", page_text(row.title))
    if not total:
        return tag("div", name, tag("dd", page_text("nothing"), class_="total"))
    facts = page_text("hours_total", total=total, most=most)
    drawing = tag(
        "svg",
        tag("title", page_text("hours_drawn", row=page_text(row.title), facts=facts), id=f"{row_id}-title"),
        tag("desc", page_text("hours_each", counts=", ".join(map(str, counts))), id=f"{row_id}-text"),
        *_bars(counts, most, row.style),
        viewBox=f"0 0 {len(counts) * BAR_STEP} {BAR_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        class_="bars",
        aria_labelledby=f"{row_id}-title",
        aria_describedby=f"{row_id}-text",
    )
    axis = tag("p", tag("span", page_text("hours_begin")), tag("span", page_text("hours_end")), class_="axis")
    return tag("div", name, tag("dd", facts, class_="total"), tag("dd", drawing, axis))


def _bars(counts: Sequence[int], most: int, style: str) -> Iterator[Markup]:
    """Yields a bar for each hour, of which the highest one has the whole height."""
    for number, count in enumerate(counts):
        height = max(3 * EMPTY_BAR_HEIGHT, round(BAR_HEIGHT * count / most)) if count else EMPTY_BAR_HEIGHT
        yield tag(
            "rect",
            x=number * BAR_STEP,
            y=BAR_HEIGHT - height,
            width=BAR_WIDTH,
            height=height,
            class_=style if count else "bar none",
        )

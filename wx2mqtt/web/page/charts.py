"""What the page draws: the reply windows as gauges. Pure.

In: what `AccountSnapshot` has. Out: SVG with a `<title>` and a `<desc>` for those who hear the page.
No shape is told from another by its colour alone, and the colours are those of `static/page.css`: the page's
Content-Security-Policy allows no style beside it.
"""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from wx2mqtt.bridge.window_topics import WindowForecast
from wx2mqtt.model import ReplyWindow
from wx2mqtt.web.html import PageText, join_html, relative_time_tag, tag
from wx2mqtt.web.page.account_data import AccountSnapshot

MAX_WINDOWS_SHOWN = 10

# A window of more messages than this is only told in words.
MAX_GAUGE_CELLS = 30

# In units of the drawing.
CELL_SIZE = 12
CELL_STEP = 16


def windows_section(snapshot: AccountSnapshot, page_text: PageText) -> Markup:
    """Returns for each person how many messages WeChat still takes; empty without reply windows."""
    forecasts = sorted(snapshot.view.forecasts.items())[:MAX_WINDOWS_SHOWN]
    if not forecasts:
        return Markup()
    rows = (
        tag(
            "div",
            tag("dt", page_text("window", user=user)),
            tag(
                "dd",
                _gauge(forecast, f"{snapshot.view.name}-window-{number}", page_text),
                _window_sentence(forecast, page_text),
            ),
        )
        for number, (user, forecast) in enumerate(forecasts)
    )
    return tag("dl", *rows, class_="windows")


def _window_sentence(forecast: WindowForecast, page_text: PageText) -> Markup:
    """Returns how many messages are left, until when, and how many commands wait."""
    facts = [_window_state(forecast.window, page_text)]
    if forecast.window.open and forecast.reserved:
        facts.append(page_text.html("window_reserved", reserved=f"{forecast.reserved}"))
    if forecast.waiting:
        facts.append(page_text.html("window_waiting", waiting=f"{forecast.waiting}"))
    return join_html(facts)


def _window_state(window: ReplyWindow, page_text: PageText) -> Markup:
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
            lines = (
                (x + 1, middle, x + middle, 1),
                (x + 1, end, x + end, 1),
                (x + middle, end, x + end, middle),
            )
            stripes = "".join(f"M{x1} {y1}L{x2} {y2}" for x1, y1, x2, y2 in lines)
            yield tag("path", d=stripes, class_="stripes")

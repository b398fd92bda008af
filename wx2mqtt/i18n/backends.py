"""The table that helps to choose a backend, for `wx2mqtt setup` and `wx2mqtt check --backends`.

`docs/en/backends.md` says the same at length. A fourth backend is a column more.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from wx2mqtt.i18n import Language

Texts = tuple[str, str]
"""English and Chinese."""

# The heads of the columns after the first one.
_BACKENDS = ("ilink", "wecom", "webwx")

# Label, then a cell for each backend.
_ROWS: tuple[tuple[Texts, Texts, Texts, Texts], ...] = (
    (
        ("who reads it", "谁能读到"),
        ("you, in WeChat", "你自己，在微信里"),
        ("your enterprise, in WeCom", "企业成员，在企业微信里"),
        ("friends and groups, in WeChat", "好友和群，在微信里"),
    ),
    (
        ("window", "发送窗口"),
        ("24 h, about 10 messages", "24 小时，约 10 条"),
        ("none after their first message", "对方发过一次消息后没有"),
        ("none", "没有"),
    ),
    (
        ("groups", "群"),
        ("no", "不支持"),
        ("internal ones, with @bot", "内部群，需要 @机器人"),
        ("yes", "支持"),
    ),
    (
        ("buttons", "按钮"),
        ("numbered lines", "编号的文字"),
        ("cards; in groups numbered lines", "卡片；群里为编号的文字"),
        ("numbered lines", "编号的文字"),
    ),
    (
        ("risk of a ban", "封号风险"),
        ("low: Tencent's own interface", "低：腾讯官方接口"),
        ("low: Tencent's own interface", "低：腾讯官方接口"),
        ("high: against WeChat's rules", "高：违反微信规则"),
    ),
    (
        ("you need", "需要"),
        ("WeChat on a phone", "手机微信"),
        ("an enterprise (free) and the WeCom app", "一个企业（免费注册）和企业微信应用"),
        ("an account that may log in on the web", "能登录网页版的账号"),
    ),
)


def backend_table(language: Language) -> list[str]:
    """Returns the lines of the table, with a head."""
    index = 1 if language == "zh" else 0
    rows: list[Sequence[str]] = [("", *_BACKENDS)]
    rows += [tuple(cell[index] for cell in row) for row in _ROWS]
    return list(column_lines(rows))


def column_lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yields the rows with their cells one below the other, two blanks apart."""
    widths = [max(map(text_width, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell + " " * (width - text_width(cell)) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def text_width(text: str) -> int:
    """Returns the number of terminal columns; a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)

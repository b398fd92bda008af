"""Finds half-width signs and wrong words in Chinese texts."""

from __future__ import annotations

import re

# Beside a Chinese character, or beside a fact of a Chinese sentence; `{host}:{port}` is none.
_HALF_WIDTH = re.compile(
    r"[\u4e00-\u9fff”][,;:?!()]|[,;:?!()][\u4e00-\u9fff“]|\}[,;?!](?!\})|\}: |(?<![\w({])\(\{|\{\w+\}\)(?!\))"
)
OTHER_WORDS = re.compile(r"您|网桥|本桥|网页微信|代理服务器|MQTT 代理|备用途径")
"""Words that must not be used. The right ones are 你, 桥接程序, 网页版微信, MQTT 服务器 (a broker), 备用通道 (a fallback) and 代理 (a proxy)."""


def half_width_signs(text: str) -> list[str]:
    """Returns the lines in which a half-width sign stands beside Chinese, but for comments and targets of links."""
    shown = re.sub(r"<!-- .*? -->", "", re.sub(r"\]\([^)]*\)", "]", text))
    return [line for line in shown.splitlines() if is_chinese(line) and _HALF_WIDTH.search(line)]


def is_chinese(text: str) -> bool:
    """Returns whether a text has Chinese characters, and is no English sentence that quotes some."""
    return bool(re.search(r"[\u4e00-\u9fff]", text)) and not re.search(r"\b(?:a|and|of|the)\b", text)

"""The table of limits in both languages, from the code; `make docs` writes it into its page."""

from __future__ import annotations

from collections.abc import Mapping

from tests.docs.limit_rows import Limit
from tests.docs.limit_table import LIMITS
from tests.docs.limit_texts import LIMIT_TEXTS
from wx2mqtt.i18n import Language, translation

HEADS: Mapping[Language, str] = {
    "en": "| what is bounded | at most | beyond |\n",
    "zh": "| 限制的内容 | 上限 | 超过时 |\n",
}
_POWERS = {1 << 30: "GiB", 1 << 20: "MiB", 1 << 10: "KiB"}


def said(english: str, language: Language) -> str:
    """Returns a text of the table in a language. Raises `KeyError` where the Chinese one is missing."""
    if not english:
        return ""
    if english not in LIMIT_TEXTS:
        raise KeyError(f"tests/docs/limit_texts.py has no Chinese for {english!r}")
    return translation((english, LIMIT_TEXTS[english]), language)


def shown(limit: Limit, language: Language) -> str:
    """The value as people read it: whole powers of two of bytes with their unit, else digits in groups."""
    if limit.unit == "bytes":
        for power, unit in _POWERS.items():
            if limit.value >= power and limit.value % power == 0:
                return f"{limit.value // power:g} {unit}"
    number = f"{limit.value:,}" if isinstance(limit.value, int) else f"{limit.value:g}"
    return f"{number} {said(limit.unit, language)}".strip()


def table(language: Language) -> str:
    rows = [
        f"| {said(limit.bounded, language)} | {shown(limit, language)} | {said(limit.beyond, language)} |\n"
        for limit in LIMITS
    ]
    return "".join([HEADS[language], "|---|---|---|\n", *rows])

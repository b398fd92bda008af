"""Sentences for people in English and Chinese, and the one function that looks them up.

Each module of this package holds the catalogues of one area. A catalogue maps a key to the English and the
Chinese sentence, side by side, so that a change of one is not made without the other. `{name}` in a sentence
is a fact that the caller passes. Programs must not depend on the sentences: they may change at any time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Language = Literal["en", "zh"]

# One sentence in English and in Chinese.
Translations = tuple[str, str]

Catalogue = Mapping[str, Translations]


def text(catalogue: Catalogue, language: Language, key: str, /, **facts: object) -> str:
    """Returns the sentence for `key` in `language` with its facts. Raises `KeyError` for an unknown key."""
    english, chinese = catalogue[key]
    return (chinese if language == "zh" else english).format_map(facts)


def translation(translations: Translations, language: Language) -> str:
    """Returns the sentence in `language`, its facts not yet filled in."""
    english, chinese = translations
    return chinese if language == "zh" else english

"""HTML from Python: what is not HTML yet is escaped, always, so that no name or text becomes part of a page.

Pure. A child that is a plain `str` is text; only `Html` goes in as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"meta", "link", "input", "img", "br", "hr"})

Attribute = str | int | bool | None
"""True stands alone (`hidden`), False and None are left out."""


class Html(str):
    """Text that is HTML."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: Attribute) -> Html:
    """One element. Of an attribute's name a `_` at the end is left out and others are `-`."""
    head = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{head}>")
    return Html(f"<{name}{head}>{together(children)}</{name}>")


def together(children: Iterable[str | None]) -> Html:
    """One after the other; None is nothing."""
    return Html("".join(_child(child) for child in children if child is not None))


def _child(child: str) -> str:
    return child if isinstance(child, Html) else escape(child, quote=False)


def _attribute(key: str, value: Attribute) -> str:
    name = key.removesuffix("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'

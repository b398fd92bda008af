"""HTML from Python: what is not HTML yet is escaped, always, so that no name or text becomes part of a page.

Pure. A child that is a plain `str` is text; only `Html` goes in as it is.

The files that our pages use, each under a name that changes with what is in it: to be kept for ever.

A page as HTML: its head, with our own files, around a body. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import PurePosixPath

from wx2mqtt.i18n.bridge import Language
from wx2mqtt.i18n.web import PAGE_MESSAGES

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
    return Html(f"<{name}{head}>{join_html(children)}</{name}>")


def join_html(children: Iterable[str | None]) -> Html:
    """One after the other; None is nothing."""
    return Html("".join(_child(child) for child in children if child is not None))


def _child(child: str) -> str:
    return child if isinstance(child, Html) else escape(child, quote=False)


def _attribute(key: str, value: Attribute) -> str:
    name = key.removesuffix("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


class PageText:
    """The sentences in one language."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, message_key: str, **facts: object) -> str:
        """The sentence of that name, as text."""
        return self._template(message_key).format_map(facts)

    def html(self, message_key: str, **facts: str) -> Html:
        """The same as HTML, with elements among the facts."""
        escaped = {name: join_html([fact]) for name, fact in facts.items()}
        return Html(join_html([self._template(message_key)]).format_map(escaped))

    def _template(self, message_key: str) -> str:
        english, chinese = PAGE_MESSAGES[message_key]
        return chinese if self.language == "zh" else english


ASSET_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    data: bytes
    content_type: str


class Assets:
    """Those of `static/`. `name` says under which one a file is served now."""

    def __init__(self) -> None:
        folder = files("wx2mqtt.web").joinpath("static")
        found = {one.name: one.read_bytes() for one in folder.iterdir() if _suffix(one.name) in ASSET_TYPES}
        self._served_names = {name: _with_hash(name, data) for name, data in found.items()}
        self.by_served_name: Mapping[str, Asset] = {
            self._served_names[name]: Asset(data, ASSET_TYPES[_suffix(name)]) for name, data in found.items()
        }

    def served_name(self, file_name: str) -> str:
        """`page.css` is `page.0f3a….css`."""
        return self._served_names[file_name]


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix


def _with_hash(name: str, data: bytes) -> str:
    path = PurePosixPath(name)
    return f"{path.stem}.{hashlib.sha256(data).hexdigest()[:12]}{path.suffix}"


LANGUAGE_TAGS: dict[Language, str] = {"en": "en", "zh": "zh-CN"}
"""The languages as HTML names them."""


CONTENT_SECURITY_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)


COMMON_HEADERS = {"cache-control": "no-store", "cross-origin-resource-policy": "same-origin"}
"""Of what nobody keeps, and no page of another site may show."""


DOCUMENT_HEADERS = {**COMMON_HEADERS, "content-security-policy": CONTENT_SECURITY_POLICY}
"""Of every page: it loads and runs what is ours and nothing else."""


def html_document(
    body: Html, title: str, language: Language, assets: Assets, *, root: str = "", script: bool = False
) -> bytes:
    """The page as it is sent; `root` leads from it to `/`, such as `../../`."""
    files = f"{root}static/"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("link", rel="icon", href=files + assets.served_name("icon.svg")),
        tag("link", rel="stylesheet", href=files + assets.served_name("page.css")),
        tag("script", src=files + assets.served_name("page.js"), defer=True) if script else None,
    )
    page = join_html([Html("<!doctype html>\n"), tag("html", head, body, lang=LANGUAGE_TAGS[language])])
    return page.encode("utf-8", "replace")

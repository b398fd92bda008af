"""HTML as Python values: elements, translated sentences, and whole documents with their static files.

Every child that is a plain `str` is escaped; only `Html` is inserted as it is. So no name or text that a
stranger chose becomes markup.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import PurePosixPath

from wx2mqtt.clock import rfc3339
from wx2mqtt.i18n import Language, text, translation
from wx2mqtt.i18n.web_page import KIND_NAMES, PAGE_MESSAGES
from wx2mqtt.values import frozen

Attribute = str | int | bool | None
"""True is written as the name alone (`hidden`); False and None are omitted."""

ASSET_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

LANGUAGE_TAGS: Mapping[Language, str] = {"en": "en", "zh": "zh-CN"}
"""The attribute `lang` for each language."""

_VOID_ELEMENTS = frozenset({"meta", "link", "input", "img", "br", "hr"})
_HASH_CHARACTERS = 12


class Html(str):
    """Text that is HTML."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: Attribute) -> Html:
    """Returns one element. In names of attributes a trailing `_` is removed and other `_` become `-`."""
    start = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID_ELEMENTS:
        return Html(f"<{name}{start}>")
    return Html(f"<{name}{start}>{join_html(children)}</{name}>")


def join_html(children: Iterable[str | None]) -> Html:
    """Returns the children one after the other, without those that are None."""
    return Html("".join(_child(child) for child in children if child is not None))


def _child(child: str) -> str:
    return child if isinstance(child, Html) else escape(child, quote=False)


def _attribute(key: str, value: Attribute) -> str:
    name = key.removesuffix("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


class PageText:
    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, message_key: str, /, **facts: object) -> str:
        return text(PAGE_MESSAGES, self.language, message_key, **facts)

    def html(self, message_key: str, /, **facts: str) -> Html:
        """Returns the sentence as HTML; facts may be elements."""
        template = join_html([translation(PAGE_MESSAGES[message_key], self.language)])
        return Html(template.format_map({name: join_html([fact]) for name, fact in facts.items()}))


def time_tag(time: int) -> Html:
    """Returns a time, in milliseconds since 1970. The script writes it in the viewer's time zone."""
    return timestamp_tag(rfc3339(time))


def timestamp_tag(timestamp: str) -> Html:
    """Returns a time in RFC 3339; another text is shown as it is."""
    try:
        shown = datetime.fromisoformat(timestamp).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError):
        shown = timestamp
    return tag("time", shown, datetime=timestamp)


def kind_label(kind: str, page_text: PageText) -> Html:
    """Returns the name of a message kind; an unknown one, stored by a newer bridge, is shown as it is."""
    name = text(KIND_NAMES, page_text.language, kind) if kind in KIND_NAMES else kind
    return tag("span", name, class_="kind")


def isolated(name: str) -> Html:
    """Isolates a name or sentence from outside, so that its writing direction ends with it."""
    return name if isinstance(name, Html) else tag("bdi", name)


@frozen(kw_only=False)
class Asset:
    data: bytes
    content_type: str


class Assets:
    """The files of `static/`, each served under a name with a hash of its content, so that caches keep it."""

    def __init__(self) -> None:
        folder = files("wx2mqtt.web").joinpath("static")
        contents = {
            file.name: file.read_bytes() for file in folder.iterdir() if _suffix(file.name) in ASSET_TYPES
        }
        self._served_names = {name: _with_hash(name, data) for name, data in contents.items()}
        self.by_served_name: Mapping[str, Asset] = {
            self._served_names[name]: Asset(data, ASSET_TYPES[_suffix(name)])
            for name, data in contents.items()
        }

    def served_name(self, file_name: str) -> str:
        """Returns the name with the hash: for `page.css` it is `page.<hash>.css`."""
        return self._served_names[file_name]


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix


def _with_hash(name: str, data: bytes) -> str:
    path = PurePosixPath(name)
    return f"{path.stem}.{hashlib.sha256(data).hexdigest()[:_HASH_CHARACTERS]}{path.suffix}"


def html_document(
    body: Html, title: str, language: Language, assets: Assets, *, root: str = "", script: bool = False
) -> bytes:
    """Returns a whole document, encoded. `root` is the relative path from it to `/`, such as `../../`."""
    static = f"{root}static/"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("link", rel="icon", href=static + assets.served_name("icon.svg")),
        tag("link", rel="stylesheet", href=static + assets.served_name("page.css")),
        tag("script", src=static + assets.served_name("page.js"), defer=True) if script else None,
    )
    page = join_html([Html("<!doctype html>\n"), tag("html", head, body, lang=LANGUAGE_TAGS[language])])
    return page.encode("utf-8", "replace")

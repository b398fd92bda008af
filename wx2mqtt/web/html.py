"""HTML as Python values: elements, translated sentences, and whole documents with their static files.

    tag("p", "a < b", class_="soft")      <p class="soft">a &lt; b</p>

Every child that is a plain `str` is escaped; only `Markup` is inserted as it is. So no name or text that a
stranger chose becomes markup.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import PurePosixPath

from markupsafe import Markup, escape

from wx2mqtt.clock import rfc3339
from wx2mqtt.i18n import Language, text, translation
from wx2mqtt.i18n.web_page import KIND_NAMES, PAGE_MESSAGES
from wx2mqtt.values import frozen

# The value of an attribute. True is written as the name alone (`hidden`); False and None are omitted.
Attribute = str | int | bool | None

ASSET_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# The attribute `lang` for each language.
LANGUAGE_TAGS: Mapping[Language, str] = {"en": "en", "zh": "zh-CN"}

_VOID_ELEMENTS = frozenset({"meta", "link", "input", "img", "br", "hr"})
_HASH_CHARACTERS = 12


def tag(name: str, /, *children: str | None, **attributes: Attribute) -> Markup:
    """Returns one element. In names of attributes a trailing `_` is removed and other `_` become `-`."""
    start = name
    for key, value in attributes.items():
        attribute = key.removesuffix("_").replace("_", "-")
        if value is True:
            start += f" {attribute}"
        elif value is not None and value is not False:
            start += f' {attribute}="{escape(str(value))}"'
    if name in _VOID_ELEMENTS:
        return Markup(f"<{start}>")  # noqa: S704 - names are ours, and all else is escaped
    return Markup(f"<{start}>{join_html(children)}</{name}>")  # noqa: S704


def join_html(children: Iterable[str | None]) -> Markup:
    """Returns the children one after the other, without those that are None."""
    return Markup().join(child for child in children if child is not None)


def card(
    card_id: str,
    title: str,
    *content: str | None,
    heading: str = "h3",
    style: str = "",
    **attributes: Attribute,
) -> Markup:
    """Returns a section of the page, which its title names for those who hear it."""
    return tag(
        "section",
        tag(heading, title, id=f"{card_id}-title"),
        *content,
        id=card_id,
        class_=f"card {style}".rstrip(),
        aria_labelledby=f"{card_id}-title",
        **attributes,
    )


class PageText:
    """The sentences of the page in one language: `page_text("found", count=3)`."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, message_key: str, /, **facts: object) -> str:
        return text(PAGE_MESSAGES, self.language, message_key, **facts)

    def html(self, message_key: str, /, **facts: str) -> Markup:
        """Returns the sentence as HTML; facts may be elements."""
        return escape(translation(PAGE_MESSAGES[message_key], self.language)).format_map(facts)


def time_tag(time: int) -> Markup:
    """Returns a time, in milliseconds since 1970. The script writes it in the viewer's time zone."""
    return timestamp_tag(rfc3339(time))


def relative_time_tag(time: int) -> Markup:
    """Returns a time to come, in milliseconds since 1970. The script writes how far it is: "in 5 hours"."""
    timestamp = rfc3339(time)
    return tag("time", _shown_time(timestamp), datetime=timestamp, class_="relative")


def timestamp_tag(timestamp: str) -> Markup:
    """Returns a time in RFC 3339; another text is shown as it is."""
    return tag("time", _shown_time(timestamp), datetime=timestamp)


def _shown_time(timestamp: str) -> str:
    try:
        return datetime.fromisoformat(timestamp).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError):
        return timestamp


def kind_label(kind: str, page_text: PageText) -> Markup:
    """Returns the name of a message kind; an unknown one, stored by a newer bridge, is shown as it is."""
    name = text(KIND_NAMES, page_text.language, kind) if kind in KIND_NAMES else kind
    return tag("span", name, class_="kind")


def isolated(name: str) -> Markup:
    """Isolates a name or sentence from outside, so that its writing direction ends with it."""
    return name if isinstance(name, Markup) else tag("bdi", name)


@frozen(kw_only=False)
class Asset:
    data: bytes
    content_type: str


class Assets:
    """The files of `static/`, each served under a name with a hash of its content, so that caches keep it."""

    def __init__(self) -> None:
        #: For `page.css` it is `page.<hash>.css`.
        self.served_names: dict[str, str] = {}
        self.by_served_name: dict[str, Asset] = {}
        for file in files("wx2mqtt.web").joinpath("static").iterdir():
            path = PurePosixPath(file.name)
            if path.suffix in ASSET_TYPES:
                data = file.read_bytes()
                digest = hashlib.sha256(data).hexdigest()[:_HASH_CHARACTERS]
                served_name = f"{path.stem}.{digest}{path.suffix}"
                self.served_names[file.name] = served_name
                self.by_served_name[served_name] = Asset(data, ASSET_TYPES[path.suffix])


def html_document(
    body: Markup, title: str, language: Language, assets: Assets, *, root: str = "", script: bool = False
) -> bytes:
    """Returns a whole document, encoded. `root` is the relative path from it to `/`, such as `../../`."""
    static = f"{root}static/"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("link", rel="icon", href=static + assets.served_names["icon.svg"]),
        tag("link", rel="stylesheet", href=static + assets.served_names["page.css"]),
        tag("script", src=static + assets.served_names["page.js"], defer=True) if script else None,
    )
    page = join_html([Markup("<!doctype html>\n"), tag("html", head, body, lang=LANGUAGE_TAGS[language])])
    return page.encode("utf-8", "replace")

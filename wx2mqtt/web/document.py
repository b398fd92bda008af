"""A page as HTML: its head, with our own files, around a body. Pure."""

from __future__ import annotations

from wx2mqtt.web.assets import Assets
from wx2mqtt.web.html import Html, tag, together
from wx2mqtt.words import Language

TAGS: dict[Language, str] = {"en": "en", "zh": "zh-CN"}
"""The languages as HTML names them."""

POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
OURS = {"cache-control": "no-store", "cross-origin-resource-policy": "same-origin"}
"""Of what nobody keeps, and no page of another site may show."""

HEADERS = {**OURS, "content-security-policy": POLICY}
"""Of every page: it loads and runs what is ours and nothing else."""


def document(
    body: Html, title: str, language: Language, assets: Assets, *, root: str = "", script: bool = False
) -> bytes:
    """The page as it is sent; `root` leads from it to `/`, such as `../../`."""
    files = f"{root}static/"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("link", rel="icon", href=files + assets.name("icon.svg")),
        tag("link", rel="stylesheet", href=files + assets.name("page.css")),
        tag("script", src=files + assets.name("page.js"), defer=True) if script else None,
    )
    page = together([Html("<!doctype html>\n"), tag("html", head, body, lang=TAGS[language])])
    return page.encode("utf-8", "replace")

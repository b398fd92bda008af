"""The messages of an account on the page: the last ones, the search form, and what was found. Pure."""

from __future__ import annotations

from urllib.parse import urlencode

from markupsafe import Markup

from wx2mqtt.bridge.view import FoundMessages, MessageLine
from wx2mqtt.values import frozen
from wx2mqtt.web.bridge_state import AccountSnapshot
from wx2mqtt.web.html import PageText, isolated, join_html, kind_label, tag, timestamp_tag
from wx2mqtt.web.page.first_steps import no_messages_hint
from wx2mqtt.web.page.forms import SearchField, search_form

MESSAGES_PER_PAGE = 20
THUMBNAIL_PIXELS = 96


@frozen
class MessageSearch:
    """A search in the messages of one account."""

    text: str
    #: The seq before which messages are older; None for the newest ones.
    before: int | None = None
    #: None if the store did not answer in time.
    matches: FoundMessages | None = None


def messages_section(snapshot: AccountSnapshot, page_text: PageText, *, show_texts: bool) -> Markup:
    """Returns the last messages, the newest first; their texts and files only with `show_texts`."""
    if snapshot.messages is None:
        return tag("p", page_text("not_known"), class_="soft")
    if not snapshot.messages:
        return no_messages_hint(snapshot, page_text)
    items = (_message_item(line, page_text, show_texts=show_texts) for line in snapshot.messages)
    return tag("ol", *items, class_="lines")


def message_search_form(account: str, search: MessageSearch | None, page_text: PageText) -> Markup:
    """Returns the form that searches; who searches asks to see the texts."""
    return search_form(
        SearchField(
            field_id=f"{account}-find",
            name="find",
            value=search.text if search else "",
            label=page_text("find_label"),
            is_required=True,
        ),
        page_text,
        hidden={"account": account, "texts": "1"},
        action=f"./#{account}-found",
        aria_labelledby=f"{account}-last_messages-title",
        class_="after",
    )


def found_section(account: str, search: MessageSearch, page_text: PageText) -> Markup:
    """Returns what was found, the newest first, and links to older messages and out of the search."""
    back = tag("a", page_text("end_search"), href=f"./?texts=1#{account}-last_messages", class_="button")
    links = [back]
    if search.matches is None:
        content = [tag("p", page_text("not_known"), role="status")]
    else:
        lines = search.matches.lines
        key = "found_messages" if lines else "found_no_messages"
        count = tag(
            "p", page_text.html(key, count=f"{len(lines)}", text=isolated(search.text)), role="status"
        )
        items = (_message_item(line, page_text, show_texts=True) for line in lines)
        content = [count, tag("ol", *items, class_="lines")] if lines else [count]
        if search.matches.has_more and lines:
            query = {"texts": 1, "account": account, "find": search.text, "before": lines[-1].seq}
            href = f"./?{urlencode(query)}#{account}-found"
            links.insert(0, tag("a", page_text("older"), href=href, class_="button"))
    return tag("div", *content, tag("p", *links, class_="pages"), id=f"{account}-found", class_="after")


def _message_item(line: MessageLine, page_text: PageText, *, show_texts: bool) -> Markup:
    chat = line.chat or line.user
    sender = isolated(page_text("me") if line.own else line.sender or chat)
    if line.group and line.sender:
        sender = page_text.html("in_group", sender=sender, chat=isolated(chat))
    return tag(
        "li",
        tag("span", sender, class_="who"),
        kind_label(line.kind, page_text),
        timestamp_tag(line.time),
        tag("p", tag("bdi", line.text), class_="text") if show_texts else None,
        _file_link(line, page_text) if show_texts and line.media else None,
    )


def _file_link(line: MessageLine, page_text: PageText) -> Markup:
    """Returns the link to the file, with a small picture of it where there is one.

    A picture that is pruned meanwhile is not waited for: a browser has few connections to one server.
    """
    picture = None
    if line.preview:
        source = f"media/{line.preview}?wait=0"
        picture = tag("img", src=source, alt="", height=THUMBNAIL_PIXELS, loading="lazy", class_="thumbnail")
    return tag(
        "a", join_html([picture, page_text("open_file")]), href=f"media/{line.media}", class_="file-link"
    )

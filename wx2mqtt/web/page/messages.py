"""The messages of an account on the page: the last ones, the search form, and what was found. Pure.

`account_data.py` says how many there are.
"""

from __future__ import annotations

from urllib.parse import urlencode

from markupsafe import Markup

from wx2mqtt.bridge.message_lines import FoundMessages, MessageLine
from wx2mqtt.values import frozen
from wx2mqtt.web.html import PageText, isolated, kind_label, tag, timestamp_tag
from wx2mqtt.web.page.account_data import AccountSnapshot
from wx2mqtt.web.page.first_steps import no_messages_hint
from wx2mqtt.web.page.forms import MAX_QUERY_CHARACTERS, one_field_form

THUMBNAIL_PIXELS = 96


@frozen
class MessageSearch:
    """A search in the messages of an account, and what it has found."""

    text: str
    #: Only messages with a smaller `seq` are found; None for the newest ones.
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
    return one_field_form(
        page_text("find_label"),
        {
            "id": f"{account}-find",
            "name": "find",
            "type": "search",
            "value": search.text if search else "",
            "maxlength": MAX_QUERY_CHARACTERS,
            "required": True,
        },
        tag("button", page_text("search")),
        hidden={"account": account, "texts": "1"},
        method="get",
        role="search",
        action=f"./#{account}-found",
        aria_labelledby=f"{account}-last_messages-title",
        class_="after",
    )


def found_section(account: str, search: MessageSearch, page_text: PageText) -> Markup:
    """Returns what was found, the newest first, and links to older messages and out of the search."""
    links = [tag("a", page_text("end_search"), href=f"./?texts=1#{account}-last_messages", class_="button")]
    matches = search.matches
    if matches is None:
        content = [tag("p", page_text("not_known"), role="status")]
    elif not matches.lines:
        nothing = page_text.html("found_no_messages", text=isolated(search.text))
        content = [tag("p", nothing, role="status")]
    else:
        count = page_text.html("found_messages", count=f"{len(matches.lines)}", text=isolated(search.text))
        items = (_message_item(line, page_text, show_texts=True) for line in matches.lines)
        content = [tag("p", count, role="status"), tag("ol", *items, class_="lines")]
        if matches.has_more:
            query = {"texts": 1, "account": account, "find": search.text, "before": matches.lines[-1].seq}
            older = f"./?{urlencode(query)}#{account}-found"
            links.insert(0, tag("a", page_text("older"), href=older, class_="button"))
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
    """Returns the link to the file, with a small picture of it where there is one."""
    picture = None
    if line.preview:
        # A picture that is pruned meanwhile is not waited for: a browser has few connections to one server.
        source = f"media/{line.preview}?wait=0"
        picture = tag("img", src=source, alt="", height=THUMBNAIL_PIXELS, loading="lazy", class_="thumbnail")
    return tag("a", picture, page_text("open_file"), href=f"media/{line.media}", class_="file-link")

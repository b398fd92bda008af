"""The contacts of an account on the page: the search form, and the people found with their topics. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

from markupsafe import Markup

from wx2mqtt.bridge.people.registry import DirectoryEntry
from wx2mqtt.bridge.view import PeoplePage
from wx2mqtt.model import ChatKind
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.values import frozen
from wx2mqtt.web.html import PageText, card, join_html, tag
from wx2mqtt.web.page.forms import SearchField, search_form

PEOPLE_PER_PAGE = 20
MAX_OFFSET = 1_000_000

CHAT_KIND_MARKS: Mapping[ChatKind, str] = {
    ChatKind.GROUP: "is_group",
    ChatKind.OFFICIAL: "is_official",
    ChatKind.SELF: "is_self",
    ChatKind.SYSTEM: "is_system",
}
"""Keys of `PAGE_MESSAGES`; a friend has no mark."""

PIN_PROBLEM_MARKS: Mapping[str, str] = {
    "pin_fits_several": "pin_fits_several",
    "person_has_another_pin": "person_has_another_pin",
    "pin_belongs_to_another": "pin_belongs_to_another",
}
"""Keys of `PAGE_MESSAGES` by problem of a pin, as the topic `contacts` names it."""


def contacts_card(account: str, query: str, people: Markup, page_text: PageText) -> Markup:
    """Returns the section with the search form and `people`, the result of `people_section`."""
    card_id = f"{account}-contacts"
    form = search_form(
        SearchField(field_id=f"{card_id}-q", name="q", value=query, label=page_text("search_label")),
        page_text,
        hidden={"account": account},
        action=f"./#{card_id}",
        aria_labelledby=f"{card_id}-title",
    )
    return card(
        card_id,
        page_text("contacts"),
        form,
        tag("p", role="status", class_="unseen"),
        tag("div", people, class_="found after", tabindex=-1),
        style="wide contacts",
        data_account=account,
    )


@frozen
class PeopleSearch:
    """A search among the contacts of `account`."""

    account: str
    topics: Topics
    query: str = ""
    #: How many of the people who match `query` come before.
    offset: int = 0
    #: Whether each has a link to the form that sends them a text.
    can_send: bool = False


def people_section(people_page: PeoplePage, search: PeopleSearch, page_text: PageText) -> Markup:
    """Returns one page of the people found, and links to the others."""
    query, offset = search.query, search.offset
    if not people_page.entries:
        return tag("p", page_text("nobody" if query else "nobody_yet"), class_="soft")
    end = offset + len(people_page.entries)
    count = tag("p", page_text("found", first=offset + 1, last=end, count=people_page.count), class_="soft")
    items = tag(
        "ul", *(_person_item(entry, search, page_text) for entry in people_page.entries), class_="people"
    )
    links: list[Markup] = []
    if offset:
        links.append(
            _page_link("earlier", max(0, offset - PEOPLE_PER_PAGE), query, search.account, page_text)
        )
    if end < people_page.count:
        links.append(_page_link("later", end, query, search.account, page_text))
    return join_html([count, items, tag("p", *links, class_="pages") if links else None])


def _page_link(message_key: str, offset: int, query: str, account: str, page_text: PageText) -> Markup:
    parameters = urlencode({"account": account, "q": query, "from": offset})
    return tag(
        "a",
        page_text(message_key),
        href=f"./?{parameters}#{account}-contacts",
        data_from=f"{offset}",
        class_="button",
    )


def _person_item(entry: DirectoryEntry, search: PeopleSearch, page_text: PageText) -> Markup:
    marks = tag("span", *_marks(entry, page_text), class_="marks")
    if entry.closed or entry.removed:
        return tag("li", tag("bdi", entry.name), marks, tag("p", tag("code", entry.user)))
    write_link = None
    if search.can_send:
        link = tag(
            "a",
            page_text("write"),
            href=f"./?{urlencode({'account': search.account, 'to': entry.user})}#{search.account}-send",
            data_to=entry.user,
            aria_label=page_text("write_to_person", name=entry.name),
        )
        write_link = join_html([" · ", link])
    reads_from = join_html([page_text("reads_from"), " ", tag("code", search.topics.message(entry.user))])
    write_to = join_html([page_text("write_to"), " ", tag("code", search.topics.out(entry.user))])
    return tag("li", tag("bdi", entry.name), marks, tag("p", reads_from, " · ", write_to, write_link))


def _marks(entry: DirectoryEntry, page_text: PageText) -> Iterator[Markup]:
    """Yields what is special about a person."""
    kind_key = CHAT_KIND_MARKS.get(entry.kind)
    pin_key = PIN_PROBLEM_MARKS.get(entry.problem)
    labels = (
        (entry.trusted, page_text("is_trusted"), "good"),
        (kind_key, page_text(kind_key) if kind_key else "", "soft"),
        (entry.stranger, page_text("is_stranger"), "soft"),
        (entry.removed, page_text("is_removed"), "bad"),
        (entry.closed, page_text("is_closed"), "bad"),
        (entry.problem, page_text(pin_key) if pin_key else entry.problem, "bad"),
    )
    for is_shown, label, style in labels:
        if is_shown:
            yield tag("span", label, class_=f"mark {style}")

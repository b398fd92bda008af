"""The contacts of an account on the page: the search form, and the people found with their topics. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from markupsafe import Markup

from wx2mqtt.bridge.people.registry import DirectoryEntry
from wx2mqtt.bridge.view import PeoplePage
from wx2mqtt.model import ChatKind
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.values import frozen
from wx2mqtt.web.html import PageText, join_html, tag

PEOPLE_PER_PAGE = 20
MAX_QUERY_CHARACTERS = 100
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
    return tag(
        "section",
        tag("h3", page_text("contacts"), id=f"{card_id}-title"),
        _search_form(account, query, card_id, page_text),
        tag("p", role="status", class_="unseen"),
        tag("div", people, class_="found after", tabindex=-1),
        id=card_id,
        class_="card wide contacts",
        data_account=account,
        aria_labelledby=f"{card_id}-title",
    )


def _search_form(account: str, query: str, card_id: str, page_text: PageText) -> Markup:
    field_id = f"{card_id}-q"
    field = tag(
        "input",
        id=field_id,
        name="q",
        type="search",
        value=query,
        maxlength=MAX_QUERY_CHARACTERS,
        autocomplete="off",
    )
    return tag(
        "form",
        tag("label", page_text("search_label"), for_=field_id),
        tag("input", type="hidden", name="account", value=account),
        tag("div", field, tag("button", page_text("search")), class_="row"),
        method="get",
        action=f"./#{card_id}",
        role="search",
        aria_labelledby=f"{card_id}-title",
    )


@frozen
class PeopleSearch:
    """A search among the contacts of `account`: people after the first `offset` who match `query`.

    With `can_send` each has a link to the form that sends them a text.
    """

    account: str
    topics: Topics
    query: str = ""
    offset: int = 0
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
    return tag("li", tag("bdi", entry.name), marks, _topics_line(entry, search, page_text))


def _topics_line(entry: DirectoryEntry, search: PeopleSearch, page_text: PageText) -> Markup:
    if entry.closed or entry.removed:
        return tag("p", tag("code", entry.user))
    receive = join_html([page_text("reads_from"), " ", tag("code", search.topics.message(entry.user))])
    send = join_html([page_text("write_to"), " ", tag("code", search.topics.out(entry.user))])
    link = join_html([" · ", _write_link(entry, search, page_text)]) if search.can_send else None
    return tag("p", receive, " · ", send, link)


def _write_link(entry: DirectoryEntry, search: PeopleSearch, page_text: PageText) -> Markup:
    parameters = urlencode({"account": search.account, "to": entry.user})
    return tag(
        "a",
        page_text("write"),
        href=f"./?{parameters}#{search.account}-send",
        data_to=entry.user,
        aria_label=page_text("write_to_person", name=entry.name),
    )


def _marks(entry: DirectoryEntry, page_text: PageText) -> list[Markup]:
    marks: list[Markup] = []
    if entry.trusted:
        marks.append(_mark(page_text("is_trusted"), "good"))
    if key := CHAT_KIND_MARKS.get(entry.kind):
        marks.append(_mark(page_text(key), "soft"))
    if entry.stranger:
        marks.append(_mark(page_text("is_stranger"), "soft"))
    if entry.removed:
        marks.append(_mark(page_text("is_removed"), "bad"))
    if entry.closed:
        marks.append(_mark(page_text("is_closed"), "bad"))
    if entry.problem:
        key = PIN_PROBLEM_MARKS.get(entry.problem)
        marks.append(_mark(entry.problem if key is None else page_text(key), "bad"))
    return marks


def _mark(label: str, style: str) -> Markup:
    return tag("span", label, class_=f"mark {style}")

"""The contacts of an account on the page: the search form, and the people found with their topics. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

from markupsafe import Markup

from wx2mqtt.bridge.account_view import PeoplePage
from wx2mqtt.bridge.people.directory import DirectoryEntry
from wx2mqtt.model import ChatKind
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.values import frozen
from wx2mqtt.web.html import PageText, card, join_html, tag
from wx2mqtt.web.page.forms import MAX_QUERY_CHARACTERS, one_field_form

PEOPLE_PER_PAGE = 20
MAX_OFFSET = 1_000_000

# Keys of `PAGE_MESSAGES`; a friend has no mark.
CHAT_KIND_MARKS: Mapping[ChatKind, str] = {
    ChatKind.GROUP: "is_group",
    ChatKind.OFFICIAL: "is_official",
    ChatKind.SELF: "is_self",
    ChatKind.SYSTEM: "is_system",
}

# Problems of a pin, as the topic `contacts` names them, and their keys of `PAGE_MESSAGES`.
PIN_PROBLEM_MARKS = frozenset({"pin_fits_several", "person_has_another_pin", "pin_belongs_to_another"})


def contacts_card(account: str, query: str, people: Markup, page_text: PageText) -> Markup:
    """Returns the section with the search form and `people`, the result of `people_section`."""
    card_id = f"{account}-contacts"
    form = one_field_form(
        page_text("search_label"),
        {
            "id": f"{card_id}-q",
            "name": "q",
            "type": "search",
            "value": query,
            "maxlength": MAX_QUERY_CHARACTERS,
        },
        tag("button", page_text("search")),
        hidden={"account": account},
        method="get",
        role="search",
        action=f"./#{card_id}",
        aria_labelledby=f"{card_id}-title",
    )
    return card(
        card_id,
        page_text("contacts"),
        form,
        tag("p", role="status", class_="unseen"),
        tag("div", people, class_="found after", tabindex=-1),
        style="contacts",
        data_account=account,
    )


@frozen
class PeopleSearch:
    account: str
    topics: Topics
    query: str = ""
    #: How many of the people who match `query` come before.
    offset: int = 0
    #: Whether each has a link to the form that sends them a text.
    can_send: bool = False


def people_section(people_page: PeoplePage, search: PeopleSearch, page_text: PageText) -> Markup:
    """Returns one page of the people found, and links to the others."""
    people, offset = people_page.entries, search.offset
    if not people:
        return tag("p", page_text("nobody" if search.query else "nobody_yet"), class_="soft")
    end = offset + len(people)
    count = tag("p", page_text("found", first=offset + 1, last=end, count=people_page.count), class_="soft")
    items = (_person_item(person, search, page_text) for person in people)
    links: list[Markup] = []
    if offset:
        links.append(_page_link(page_text("earlier"), max(0, offset - PEOPLE_PER_PAGE), search))
    if end < people_page.count:
        links.append(_page_link(page_text("later"), end, search))
    pages = tag("p", *links, class_="pages") if links else None
    return join_html([count, tag("ul", *items, class_="people"), pages])


def _page_link(label: str, offset: int, search: PeopleSearch) -> Markup:
    parameters = urlencode({"account": search.account, "q": search.query, "from": offset})
    href = f"./?{parameters}#{search.account}-contacts"
    return tag("a", label, href=href, data_from=f"{offset}", class_="button")


def _person_item(person: DirectoryEntry, search: PeopleSearch, page_text: PageText) -> Markup:
    name = tag("bdi", person.name)
    marks = tag("span", *_marks(person, page_text), class_="marks")
    if person.closed or person.removed:
        return tag("li", name, marks, tag("p", tag("code", person.user)))
    topics = [
        join_html([page_text("reads_from"), " ", tag("code", search.topics.message(person.user))]),
        join_html([page_text("write_to"), " ", tag("code", search.topics.out(person.user))]),
    ]
    if search.can_send:
        link = tag(
            "a",
            page_text("write"),
            href=f"./?{urlencode({'account': search.account, 'to': person.user})}#{search.account}-send",
            data_to=person.user,
            aria_label=page_text("write_to_person", name=person.name),
        )
        topics.append(link)
    return tag("li", name, marks, tag("p", Markup(" · ").join(topics)))


def _marks(person: DirectoryEntry, page_text: PageText) -> Iterator[Markup]:
    if person.trusted:
        yield tag("span", page_text("is_trusted"), class_="mark good")
    if person.kind in CHAT_KIND_MARKS:
        yield tag("span", page_text(CHAT_KIND_MARKS[person.kind]), class_="mark soft")
    if person.stranger:
        yield tag("span", page_text("is_stranger"), class_="mark soft")
    if person.removed:
        yield tag("span", page_text("is_removed"), class_="mark bad")
    if person.closed:
        yield tag("span", page_text("is_closed"), class_="mark bad")
    if person.problem:
        problem = page_text(person.problem) if person.problem in PIN_PROBLEM_MARKS else person.problem
        yield tag("span", problem, class_="mark bad")

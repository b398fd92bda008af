"""The whole page, and the page that asks before a logout. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import NamedTuple

from markupsafe import Markup

from wx2mqtt import __version__
from wx2mqtt.bridge.people.directory import DirectoryEntry
from wx2mqtt.i18n import Language
from wx2mqtt.values import frozen
from wx2mqtt.web.html import LANGUAGE_TAGS, Assets, PageText, card, html_document, tag
from wx2mqtt.web.page.account_data import AccountSnapshot
from wx2mqtt.web.page.contacts import contacts_card
from wx2mqtt.web.page.forms import send_form, test_form
from wx2mqtt.web.page.messages import MessageSearch, found_section, message_search_form
from wx2mqtt.web.page.sections import PageOptions, live_sections

# Keys of `PAGE_MESSAGES` by the value of `?said=`, with which a form redirects to the page.
NOTICES: Mapping[str, str] = {
    "test": "said_test",
    "sent": "said_sent",
    "no_recipient": "said_no_recipient",
    "login": "said_login",
    "new_owner": "said_login",
    "try": "said_try",
    "tried": "said_tried",
    "logout": "said_logout",
    "bot": "said_bot",
    "owner": "said_owner",
    "no_owner": "said_no_owner",
    "closed": "said_closed",
    "no_question": "said_no_question",
    "number": "said_number",
    "no_number": "said_no_number",
}


@frozen
class PageAccount:
    snapshot: AccountSnapshot
    #: The people found among its contacts.
    contacts: Markup
    #: The query that found them.
    query: str = ""
    #: None without a search in its messages.
    search: MessageSearch | None = None
    #: Chosen for the form that sends; empty for nobody.
    recipient: str = ""
    #: People who are offered there.
    suggestions: Sequence[DirectoryEntry] = ()


@frozen
class PageQuery:
    """The parts of the page besides the accounts."""

    options: PageOptions
    #: In milliseconds since 1970.
    now: int
    #: Another one on each page, so that a form that is sent twice is recognized.
    token: str
    #: A key of `NOTICES`, or anything else for none.
    notice: str = ""
    #: The command that the notice is about.
    command_id: str = ""
    can_log_out: bool = False
    #: Whether texts may be sent to anybody.
    can_send: bool = False
    file_problems: Markup = field(default_factory=Markup)
    cluster: Markup | None = None


def render_page(sections: Sequence[Markup], page_query: PageQuery, assets: Assets) -> bytes:
    """Returns the document with the sections of its accounts, each made by `account_section`."""
    page_text = PageText(page_query.options.language)
    body = tag(
        "body",
        tag("a", page_text("to_content"), href="#content", class_="skip"),
        _header(page_text, can_log_out=page_query.can_log_out),
        tag(
            "main",
            tag("p", page_text("lost"), id="lost", class_="notice", role="alert", hidden=True),
            tag("noscript", tag("p", page_text("no_script"), class_="soft")),
            _notice(page_query, page_text),
            tag("div", page_query.file_problems, data_part="file"),
            None if page_query.cluster is None else tag("div", page_query.cluster, data_part="cluster"),
            *sections,
            id="content",
        ),
        data_events=f"events{page_query.options.query}",
        data_now=page_query.now,
    )
    return html_document(body, "wx2mqtt", page_text.language, assets, script=True)


class Question(NamedTuple):
    """A question before something that cannot be undone. The fields are keys of `PAGE_MESSAGES`."""

    title: str
    text: str
    yes: str
    no: str


LOGOUT_QUESTION = Question("ask_title", "ask_text", "ask_yes", "ask_no")
NEW_OWNER_QUESTION = Question("ask_owner_title", "ask_owner_text", "ask_owner_yes", "ask_owner_no")


def render_question(question: Question, account: str, page_text: PageText, assets: Assets) -> bytes:
    """Returns the page that asks; its form is sent to the path of the page itself."""
    form = tag(
        "form",
        tag("button", page_text(question.yes), class_="danger"),
        tag("a", page_text(question.no), href="../../", class_="button"),
        method="post",
        class_="row after",
    )
    heading = tag("h1", page_text(question.title))
    text = tag("p", page_text(question.text, account=account))
    body = tag("body", tag("main", heading, text, form, class_="alone card"))
    title = f"wx2mqtt · {page_text(question.title)}"
    return html_document(body, title, page_text.language, assets, root="../../")


def _notice(page_query: PageQuery, page_text: PageText) -> Markup | None:
    """Returns what a form did; None without a form, or where the address was written by somebody else."""
    key = NOTICES.get(page_query.notice)
    if key is None or (page_query.notice == "sent" and not page_query.command_id):
        return None
    sentence = page_text.html(key, id=tag("code", page_query.command_id))
    return tag("p", sentence, class_="notice", role="status")


def _header(page_text: PageText, *, can_log_out: bool) -> Markup:
    other: Language
    other, label = ("en", "English") if page_text.language == "zh" else ("zh", "中文")
    switch = tag("button", label, name="language", value=other, lang=LANGUAGE_TAGS[other], class_="quiet")
    leave = tag("button", page_text("log_out_here"), class_="quiet")
    return tag(
        "header",
        tag("h1", "wx2mqtt ", tag("small", __version__)),
        tag("form", switch, method="post", action="language"),
        tag("form", leave, method="post", action="logout") if can_log_out else None,
    )


def account_section(account: PageAccount, page_query: PageQuery) -> Markup:
    """Returns all cards of an account. `live` marks the parts that are replaced when they change."""
    page_text = PageText(page_query.options.language)
    view = account.snapshot.view
    name = view.name
    sections = live_sections(account.snapshot, page_query.options)

    def live(section: str, **attributes: str) -> Markup:
        return tag("div", sections[section], data_part=f"{name}.{section}", **attributes)

    def live_card(key: str, *content: Markup | None, style: str = "") -> Markup:
        return card(f"{name}-{key}", page_text(key), *content, style=style)

    send = test = None
    if page_query.can_send:
        send = _send_card(account, page_query, page_text)
    else:
        test = test_form(view, page_query.token, page_text)
    search = account.search
    problems = live_card("problems", live("problems", role="status"), style="problems")
    login = live_card(
        "wechat",
        live("state", role="status"),
        live("code"),
        live("windows"),
        live("acts"),
        style="login",
    )
    received = live_card(
        "last_messages",
        live("messages"),
        _texts_link(name, page_query, page_text),
        message_search_form(name, search, page_text),
        None if search is None else found_section(name, search, page_text),
    )
    sent = live_card("last_commands", live("commands"), live("questions"), test)
    cards = tag(
        "div",
        login,
        send,
        live_card("hours", live("hours")),
        received,
        sent,
        live_card("figures", live("figures"), style="figures"),
        contacts_card(name, account.query, account.contacts, page_text),
        class_="cards",
    )
    heading = tag("h2", name, id=f"{name}-title")
    return tag("section", heading, live("steps"), problems, cards, aria_labelledby=f"{name}-title")


def _send_card(account: PageAccount, page_query: PageQuery, page_text: PageText) -> Markup | None:
    """Returns the form that sends a text to anybody; None while nobody is known."""
    view = account.snapshot.view
    if not account.suggestions and not view.test_recipient:
        return None
    note = tag("p", page_text("send_note"), class_="soft")
    form = send_form(view, account.recipient, page_query.token, account.suggestions, page_text)
    return card(f"{view.name}-send", page_text("send_title"), note, form, style="sending")


def _texts_link(account: str, page_query: PageQuery, page_text: PageText) -> Markup:
    """Returns the link that shows or hides texts. Texts are only in a page that was requested with them."""
    options = page_query.options
    toggled = PageOptions(options.language, not options.show_texts)
    hidden = None if options.show_texts else tag("span", page_text("hidden"), class_="soft")
    link = tag(
        "a",
        page_text("hide_text" if options.show_texts else "show_text"),
        href=f"./{toggled.query}#{account}-last_messages",
    )
    return tag("p", hidden, " " if hidden else None, link, class_="after")

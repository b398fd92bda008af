"""The list of people with their topics: a page of it at a time, whatever their number. Pure.

The whole page, and the question before a logout. Pure: what they show is handed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from wx2mqtt import __version__
from wx2mqtt.bridge.people.registry import DirectoryEntry
from wx2mqtt.bridge.view import PeoplePage
from wx2mqtt.i18n.web import PAGE_MESSAGES
from wx2mqtt.model import ChatKind
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.web.html import Assets, Html, PageText, html_document, join_html, tag
from wx2mqtt.web.page.sections import live_sections
from wx2mqtt.web.views import AccountReader, AccountSnapshot, PageOptions

PEOPLE_PER_PAGE = 20


MAX_QUERY_CHARACTERS = 100  # characters of a query


MAX_OFFSET = 1_000_000


def people_section(
    people_page: PeoplePage, query: str, first: int, account: str, topics: Topics, page_text: PageText
) -> Html:
    """Those from number `first` (0 is the first one) on, and the ways to the others."""
    if not people_page.entries:
        return tag("p", page_text("nobody" if query else "nobody_yet"), class_="soft")
    last = first + len(people_page.entries)
    count = tag("p", page_text("found", first=first + 1, last=last, count=people_page.count), class_="soft")
    listed = tag("ul", *(_person(entry, topics, page_text) for entry in people_page.entries), class_="people")
    ways = [("earlier", first - PEOPLE_PER_PAGE)] if first else []
    ways += [("later", last)] if last < people_page.count else []
    links = (_way(word, max(0, start), query, account, page_text) for word, start in ways)
    return join_html([count, listed, tag("p", *links, class_="pages") if ways else None])


def _way(message_key: str, start: int, query: str, account: str, page_text: PageText) -> Html:
    asked = urlencode({"account": account, "q": query, "from": start})
    return tag(
        "a",
        page_text(message_key),
        href=f"./?{asked}#{account}-contacts",
        data_from=f"{start}",
        class_="button",
    )


def _person(entry: DirectoryEntry, topics: Topics, page_text: PageText) -> Html:
    marks = tag("span", *_marks(entry, page_text), class_="marks")
    arrives = join_html([page_text("reads_from"), " ", tag("code", topics.message(entry.user))])
    to = join_html([page_text("write_to"), " ", tag("code", topics.out(entry.user))])
    here = None if entry.closed or entry.removed else tag("p", arrives, " · ", to)
    return tag("li", tag("bdi", entry.name), marks, here or tag("p", tag("code", entry.user)))


def _marks(entry: DirectoryEntry, page_text: PageText) -> list[Html]:
    marks = {
        "is_trusted": entry.trusted and "good",
        f"is_{entry.kind}": entry.kind is not ChatKind.FRIEND and "soft",
        "is_stranger": entry.stranger and "soft",
        "is_removed": entry.removed and "bad",
        "is_closed": entry.closed and "bad",
        entry.problem: entry.problem and "bad",
    }
    return [
        tag("span", _word(word, page_text), class_=f"mark {mood}") for word, mood in marks.items() if mood
    ]


def _word(message_key: str, page_text: PageText) -> str:
    return page_text(message_key) if message_key in PAGE_MESSAGES else message_key


MAX_TEST_CHARACTERS = 500  # characters


NOTICE_KEYS = frozenset({"test", "login", "logout", "number", "no_number"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PageAccount:
    """One account: its facts, the list of contacts as it was asked for, and the query of that."""

    snapshot: AccountSnapshot
    contacts: Html
    query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageQuery:
    """The page as somebody asked for it.

    `file` are the problems of the file, as HTML. `said` names what a form has done. `now` in milliseconds.
    `token` makes the test form of this very page known again when it is sent twice.
    """

    options: PageOptions
    now: int
    token: str
    notice: str = ""
    can_log_out: bool = False
    file_problems: Html = field(default_factory=Html)


def render_page(accounts: Sequence[PageAccount], page_query: PageQuery, assets: Assets) -> bytes:
    """The page at `/`."""
    say = PageText(page_query.options.language)
    body = tag(
        "body",
        tag("a", say("to_content"), href="#content", class_="skip"),
        _header(say, can_log_out=page_query.can_log_out),
        tag(
            "main",
            tag("p", say("lost"), id="lost", class_="notice", role="alert", hidden=True),
            tag("noscript", tag("p", say("no_script"), class_="soft")),
            tag("p", say(f"said_{page_query.notice}"), class_="notice", role="status")
            if page_query.notice in NOTICE_KEYS
            else None,
            tag("div", page_query.file_problems, data_part="file"),
            *(_account(shown, page_query, say) for shown in accounts),
            id="content",
        ),
        data_events=f"events{_query(page_query.options)}",
        data_now=page_query.now,
    )
    return html_document(body, "wx2mqtt", say.language, assets, script=True)


def render_logout_confirmation(account: str, page_text: PageText, assets: Assets) -> bytes:
    """What is asked before WeChat is told to end a login."""
    body = tag(
        "body",
        tag(
            "main",
            tag("h1", page_text("ask_title")),
            tag("p", page_text("ask_text", account=account)),
            tag(
                "form",
                tag("button", page_text("ask_yes"), class_="danger"),
                tag("a", page_text("ask_no"), href="../../", class_="button"),
                method="post",
                class_="row after",
            ),
            class_="alone card",
        ),
    )
    return html_document(
        body, f"wx2mqtt · {page_text('ask_title')}", page_text.language, assets, root="../../"
    )


def _header(page_text: PageText, *, can_log_out: bool) -> Html:
    other, named, tongue = ("en", "English", "en") if page_text.language == "zh" else ("zh", "中文", "zh-CN")
    switch = tag("button", named, name="language", value=other, lang=tongue, class_="quiet")
    leave = tag(
        "form", tag("button", page_text("log_out_here"), class_="quiet"), method="post", action="logout"
    )
    return tag(
        "header",
        tag("h1", "wx2mqtt ", tag("small", __version__)),
        tag("form", switch, method="post", action="language"),
        leave if can_log_out else None,
    )


def _account(page_account: PageAccount, page_query: PageQuery, page_text: PageText) -> Html:
    name = page_account.snapshot.view.name
    made = live_sections(page_account.snapshot, page_query.options)

    def part(word: str, **attributes: str) -> Html:
        return tag("div", made[word], data_part=f"{name}.{word}", **attributes)

    cards = (
        _card(
            name, "wechat", page_text, part("state", role="status"), part("code"), part("acts"), kind="login"
        ),
        _card(name, "problems", page_text, part("problems", role="status")),
        _card(name, "figures", page_text, part("figures"), kind="figures"),
        _card(
            name, "last_messages", page_text, part("messages"), _texts(name, page_query.options, page_text)
        ),
        _card(
            name,
            "last_commands",
            page_text,
            part("commands"),
            _test(page_account.snapshot.view, page_query.token, page_text),
        ),
        _contacts(page_account, page_text),
    )
    heading = tag("h2", name, id=f"{name}-title")
    return tag("section", heading, tag("div", *cards, class_="cards"), aria_labelledby=f"{name}-title")


def _card(account: str, message_key: str, page_text: PageText, *inside: Html, kind: str = "") -> Html:
    key = f"{account}-{message_key}"
    return tag(
        "section",
        tag("h3", page_text(message_key), id=f"{key}-title"),
        *inside,
        id=key,
        class_=f"card {kind}".rstrip(),
        aria_labelledby=f"{key}-title",
    )


def _texts(account: str, options: PageOptions, page_text: PageText) -> Html:
    """Texts are no part of a page that nobody asked them for."""
    hidden = None if options.show_texts else tag("span", page_text("hidden"), class_="soft")
    way = tag(
        "a",
        page_text("hide_text" if options.show_texts else "show_text"),
        href=f"./{_query(PageOptions(options.language, not options.show_texts))}#{account}-last_messages",
    )
    return tag("p", hidden, " " if hidden else None, way, class_="after")


def _test(view: AccountReader, token: str, page_text: PageText) -> Html:
    """Nothing, as long as there is nobody whom it could go to."""
    if not view.test_recipient:
        return Html()
    key = f"{view.name}-test"
    return tag(
        "form",
        tag("label", page_text("test_label", user=view.test_recipient), for_=key),
        tag("input", type="hidden", name="token", value=token),
        tag(
            "div",
            tag(
                "input",
                id=key,
                name="text",
                type="text",
                value=page_text("test_text"),
                maxlength=MAX_TEST_CHARACTERS,
                required=True,
                autocomplete="off",
            ),
            tag("button", page_text("send")),
            class_="row",
        ),
        method="post",
        action=f"accounts/{view.name}/test",
        class_="after",
    )


def _contacts(page_account: PageAccount, page_text: PageText) -> Html:
    account = page_account.snapshot.view.name
    key = f"{account}-contacts"
    search = tag(
        "form",
        tag("label", page_text("search_label"), for_=f"{key}-q"),
        tag("input", type="hidden", name="account", value=account),
        tag(
            "div",
            tag(
                "input",
                id=f"{key}-q",
                name="q",
                type="search",
                value=page_account.query,
                maxlength=MAX_QUERY_CHARACTERS,
                autocomplete="off",
            ),
            tag("button", page_text("search")),
            class_="row",
        ),
        method="get",
        action=f"./#{key}",
        role="search",
        aria_labelledby=f"{key}-title",
    )
    return tag(
        "section",
        tag("h3", page_text("contacts"), id=f"{key}-title"),
        search,
        tag("p", role="status", class_="unseen"),
        tag("div", page_account.contacts, class_="found after", tabindex=-1),
        id=key,
        class_="card wide contacts",
        data_account=account,
        aria_labelledby=f"{key}-title",
    )


def _query(options: PageOptions) -> str:
    return "?texts=1" if options.show_texts else ""

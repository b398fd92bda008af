"""The whole page, and the question before a logout. Pure: what they show is handed in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from wx2mqtt import __version__
from wx2mqtt.web.assets import Assets
from wx2mqtt.web.document import document
from wx2mqtt.web.html import Html, tag
from wx2mqtt.web.page.contacts import LONGEST
from wx2mqtt.web.page.facts import Facts, Look
from wx2mqtt.web.page.parts import parts
from wx2mqtt.web.page.words import Say
from wx2mqtt.web.views import View

LONGEST_TEST = 500  # characters
SAID = frozenset({"test", "login", "logout", "number", "no_number"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One account: its facts, the list of contacts as it was asked for, and the query of that."""

    facts: Facts
    contacts: Html
    query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The page as somebody asked for it.

    `file` are the problems of the file, as HTML. `said` names what a form has done. `now` in milliseconds.
    `token` makes the test form of this very page known again when it is sent twice.
    """

    look: Look
    now: int
    token: str
    said: str = ""
    can_leave: bool = False
    file: Html = field(default_factory=Html)


def whole(accounts: Sequence[Shown], wanted: Wanted, assets: Assets) -> bytes:
    """The page at `/`."""
    say = Say(wanted.look.language)
    body = tag(
        "body",
        tag("a", say("to_content"), href="#content", class_="skip"),
        _header(say, can_leave=wanted.can_leave),
        tag(
            "main",
            tag("p", say("lost"), id="lost", class_="notice", role="alert", hidden=True),
            tag("noscript", tag("p", say("no_script"), class_="soft")),
            tag("p", say(f"said_{wanted.said}"), class_="notice", role="status")
            if wanted.said in SAID
            else None,
            tag("div", wanted.file, data_part="file"),
            *(_account(shown, wanted, say) for shown in accounts),
            id="content",
        ),
        data_events=f"events{_query(wanted.look)}",
        data_now=wanted.now,
    )
    return document(body, "wx2mqtt", say.language, assets, script=True)


def question(account: str, say: Say, assets: Assets) -> bytes:
    """What is asked before WeChat is told to end a login."""
    body = tag(
        "body",
        tag(
            "main",
            tag("h1", say("ask_title")),
            tag("p", say("ask_text", account=account)),
            tag(
                "form",
                tag("button", say("ask_yes"), class_="danger"),
                tag("a", say("ask_no"), href="../../", class_="button"),
                method="post",
                class_="row after",
            ),
            class_="alone card",
        ),
    )
    return document(body, f"wx2mqtt · {say('ask_title')}", say.language, assets, root="../../")


def _header(say: Say, *, can_leave: bool) -> Html:
    other, named, tongue = ("en", "English", "en") if say.language == "zh" else ("zh", "中文", "zh-CN")
    switch = tag("button", named, name="language", value=other, lang=tongue, class_="quiet")
    leave = tag("form", tag("button", say("log_out_here"), class_="quiet"), method="post", action="logout")
    return tag(
        "header",
        tag("h1", "wx2mqtt ", tag("small", __version__)),
        tag("form", switch, method="post", action="language"),
        leave if can_leave else None,
    )


def _account(shown: Shown, wanted: Wanted, say: Say) -> Html:
    name = shown.facts.view.name
    made = parts(shown.facts, wanted.look)

    def part(word: str, **attributes: str) -> Html:
        return tag("div", made[word], data_part=f"{name}.{word}", **attributes)

    cards = (
        _card(name, "wechat", say, part("state", role="status"), part("code"), part("acts"), kind="login"),
        _card(name, "problems", say, part("problems", role="status")),
        _card(name, "figures", say, part("figures"), kind="figures"),
        _card(name, "last_messages", say, part("messages"), _texts(name, wanted.look, say)),
        _card(name, "last_commands", say, part("commands"), _test(shown.facts.view, wanted.token, say)),
        _contacts(shown, say),
    )
    heading = tag("h2", name, id=f"{name}-title")
    return tag("section", heading, tag("div", *cards, class_="cards"), aria_labelledby=f"{name}-title")


def _card(account: str, word: str, say: Say, *inside: Html, kind: str = "") -> Html:
    key = f"{account}-{word}"
    return tag(
        "section",
        tag("h3", say(word), id=f"{key}-title"),
        *inside,
        id=key,
        class_=f"card {kind}".rstrip(),
        aria_labelledby=f"{key}-title",
    )


def _texts(account: str, look: Look, say: Say) -> Html:
    """Texts are no part of a page that nobody asked them for."""
    hidden = None if look.texts else tag("span", say("hidden"), class_="soft")
    way = tag(
        "a",
        say("hide_text" if look.texts else "show_text"),
        href=f"./{_query(Look(look.language, not look.texts))}#{account}-last_messages",
    )
    return tag("p", hidden, " " if hidden else None, way, class_="after")


def _test(view: View, token: str, say: Say) -> Html:
    """Nothing, as long as there is nobody whom it could go to."""
    if not view.oneself:
        return Html()
    key = f"{view.name}-test"
    return tag(
        "form",
        tag("label", say("test_label", user=view.oneself), for_=key),
        tag("input", type="hidden", name="token", value=token),
        tag(
            "div",
            tag(
                "input",
                id=key,
                name="text",
                type="text",
                value=say("test_text"),
                maxlength=LONGEST_TEST,
                required=True,
                autocomplete="off",
            ),
            tag("button", say("send")),
            class_="row",
        ),
        method="post",
        action=f"accounts/{view.name}/test",
        class_="after",
    )


def _contacts(shown: Shown, say: Say) -> Html:
    account = shown.facts.view.name
    key = f"{account}-contacts"
    search = tag(
        "form",
        tag("label", say("search_label"), for_=f"{key}-q"),
        tag("input", type="hidden", name="account", value=account),
        tag(
            "div",
            tag(
                "input",
                id=f"{key}-q",
                name="q",
                type="search",
                value=shown.query,
                maxlength=LONGEST,
                autocomplete="off",
            ),
            tag("button", say("search")),
            class_="row",
        ),
        method="get",
        action=f"./#{key}",
        role="search",
        aria_labelledby=f"{key}-title",
    )
    return tag(
        "section",
        tag("h3", say("contacts"), id=f"{key}-title"),
        search,
        tag("p", role="status", class_="unseen"),
        tag("div", shown.contacts, class_="found after", tabindex=-1),
        id=key,
        class_="card wide contacts",
        data_account=account,
        aria_labelledby=f"{key}-title",
    )


def _query(look: Look) -> str:
    return "?texts=1" if look.texts else ""

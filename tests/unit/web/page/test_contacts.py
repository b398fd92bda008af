"""The list of people, a page at a time."""

from __future__ import annotations

import pytest

from tests.support.page import PageElements, entry
from tests.support.rows import every_row
from wx2mqtt.bridge.account_view import PeoplePage
from wx2mqtt.model import ChatKind
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.web.html import PageText
from wx2mqtt.web.page.contacts import PEOPLE_PER_PAGE, PeopleSearch, people_section


def shown(*entries, count=None, query="", first=0, language="en", can_send=False):
    found = PeoplePage(count=len(entries) if count is None else count, entries=entries)
    search = PeopleSearch(account="home", topics=Topics("wx"), query=query, offset=first, can_send=can_send)
    return PageElements(f"<main>{people_section(found, search, PageText(language))}</main>")


def test_everybody_stands_there_with_their_topics():
    page = shown(entry("wife", name="老婆 <3", trusted=True))
    assert page.text("bdi") == "老婆 <3"
    assert [text for _, text in page.all("code")] == ["wx/in/wife", "wx/out/wife"]
    assert page.text("span", class_="mark good") == "trusted"
    assert page.text("p", class_="soft") == "1 to 1 of 1"


@every_row(
    ("facts", "marks"),
    [
        ({}, []),
        ({"kind": ChatKind.GROUP}, ["group"]),
        ({"kind": ChatKind.OFFICIAL, "stranger": True}, ["official", "no contact"]),
        ({"removed": True}, ["removed"]),
        ({"closed": True, "problem": "pin_fits_several"}, ["not found again", "a pin fits several"]),
        ({"problem": "of_tomorrow"}, ["of_tomorrow"]),
    ],
)
def test_what_is_special_about_them_is_marked(facts, marks):
    page = shown(entry(**facts))
    assert [
        text for attributes, text in page.all("span") if str(attributes["class"]).startswith("mark ")
    ] == marks


@pytest.mark.parametrize("facts", [{"removed": True}, {"closed": True}])
def test_a_person_who_cannot_be_written_to_has_only_a_topic_name(facts):
    assert [text for _, text in shown(entry("wife", **facts)).all("code")] == ["wife"]


def test_who_may_send_has_a_way_to_the_form_for_everybody_who_can_be_written_to():
    people = (entry("wife", name="老婆"), entry("old", removed=True))
    ((link, text),) = shown(*people, can_send=True).all("a")
    assert (text, link["href"], link["data-to"]) == (
        "write",
        "./?account=home&to=wife#home-send",
        "wife",
    )
    assert link["aria-label"] == "write to 老婆"
    assert shown(*people).all("a") == []


def ways(page):
    return {text: (attributes["href"], attributes["data-from"]) for attributes, text in page.all("a")}


def test_the_ways_lead_to_the_others_and_keep_the_query():
    some = [entry(f"f{number}") for number in range(PEOPLE_PER_PAGE)]
    assert ways(shown(*some, count=50, query="a&b", first=20)) == {
        "Back": ("./?account=home&q=a%26b&from=0#home-contacts", "0"),
        "Next": ("./?account=home&q=a%26b&from=40#home-contacts", "40"),
    }
    assert list(ways(shown(*some, count=50))) == ["Next"]
    assert list(ways(shown(*some[:10], count=50, first=40))) == ["Back"]
    assert ways(shown(*some)) == {}


def test_nobody_is_said():
    assert shown(query="x").text("main") == "Nobody is called so."
    assert shown(language="zh").text("main") == "首次登录后可看到联系人。"

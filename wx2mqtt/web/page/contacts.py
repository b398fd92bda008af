"""The list of people with their topics: a page of it at a time, whatever their number. Pure."""

from __future__ import annotations

from urllib.parse import urlencode

from wx2mqtt.bridge.people.identity import Entry
from wx2mqtt.bridge.view import Found
from wx2mqtt.model import ChatKind
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.web.html import Html, tag, together
from wx2mqtt.web.page.words import WORDS, Say

AT_ONCE = 20
LONGEST = 100  # characters of a query
FARTHEST = 1_000_000


def people(found: Found, query: str, first: int, account: str, topics: Topics, say: Say) -> Html:
    """Those from number `first` (0 is the first one) on, and the ways to the others."""
    if not found.entries:
        return tag("p", say("nobody" if query else "nobody_yet"), class_="soft")
    last = first + len(found.entries)
    count = tag("p", say("found", first=first + 1, last=last, count=found.count), class_="soft")
    listed = tag("ul", *(_person(entry, topics, say) for entry in found.entries), class_="people")
    ways = [("earlier", first - AT_ONCE)] if first else []
    ways += [("later", last)] if last < found.count else []
    links = (_way(word, max(0, start), query, account, say) for word, start in ways)
    return together([count, listed, tag("p", *links, class_="pages") if ways else None])


def _way(word: str, start: int, query: str, account: str, say: Say) -> Html:
    asked = urlencode({"account": account, "q": query, "from": start})
    return tag("a", say(word), href=f"./?{asked}#{account}-contacts", data_from=f"{start}", class_="button")


def _person(entry: Entry, topics: Topics, say: Say) -> Html:
    marks = tag("span", *_marks(entry, say), class_="marks")
    arrives = together([say("reads_from"), " ", tag("code", topics.message(entry.user))])
    to = together([say("write_to"), " ", tag("code", topics.out(entry.user))])
    here = None if entry.closed or entry.removed else tag("p", arrives, " · ", to)
    return tag("li", tag("bdi", entry.name), marks, here or tag("p", tag("code", entry.user)))


def _marks(entry: Entry, say: Say) -> list[Html]:
    marks = {
        "is_trusted": entry.trusted and "good",
        f"is_{entry.kind}": entry.kind is not ChatKind.FRIEND and "soft",
        "is_stranger": entry.stranger and "soft",
        "is_removed": entry.removed and "bad",
        "is_closed": entry.closed and "bad",
        entry.problem: entry.problem and "bad",
    }
    return [tag("span", _word(word, say), class_=f"mark {mood}") for word, mood in marks.items() if mood]


def _word(word: str, say: Say) -> str:
    return say(word) if word in WORDS else word

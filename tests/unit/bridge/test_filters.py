"""What of WeChat is published (DESIGN 3, `receive`)."""

from __future__ import annotations

import pytest

from tests.unit.bridge.talk import message
from wx2mqtt.bridge.filters import Filters
from wx2mqtt.model import ChatKind, Handle

GROUP = {"chat": Handle("@@g"), "chat_kind": ChatKind.GROUP}


@pytest.mark.parametrize(
    ("filters", "user", "passes"),
    [
        (Filters(), "wife", True),
        (Filters(allow=("wife", "mom")), "mom", True),
        (Filters(allow=("wife", "mom")), "lilei", False),
        (Filters(deny=("news*",)), "news_daily", False),
        (Filters(allow=("*",), deny=("wife",)), "wife", False),
        (Filters(allow=("Wife",)), "wife", False),
        (Filters(allow=()), "wife", False),
        (Filters(allow=("[工作] 群?",)), "[工作] 群?", True),
        (Filters(deny=("[工作]",)), "[工作]", False),
    ],
)
def test_names_and_globs_choose_who_is_heard(filters: Filters, user: str, passes: bool):
    assert filters.passes(message("1"), user, listed=False) is passes
    assert filters.hears(user, ChatKind.FRIEND, listed=False) is passes


@pytest.mark.parametrize(
    ("groups", "plain", "mentioned", "listed", "event"),
    [
        ("all", True, True, True, True),
        ("mentions", False, True, False, True),
        ("listed", False, False, True, False),
        ("none", False, False, False, False),
    ],
)
def test_groups_are_heard_as_the_owner_says(groups, plain, mentioned, listed, event):
    filters = Filters(groups=groups)
    said = message("1", **GROUP)
    assert filters.passes(said, "family", listed=False) is plain
    assert filters.passes(message("2", mentioned=True, **GROUP), "family", listed=False) is mentioned
    assert filters.passes(said, "family", listed=True) is listed
    assert filters.hears("family", ChatKind.GROUP, listed=False) is event
    assert filters.passes(message("3"), "wife", listed=False), "people are no groups"


def test_what_the_owner_writes_is_published_only_when_asked_for_but_the_file_helper_always():
    own = message("1", from_self=True)
    assert not Filters().passes(own, "wife", listed=True)
    assert Filters(own=True).passes(own, "wife", listed=False)
    nobody = Filters(allow=(), deny=("*",), groups="none", own=False)
    assert nobody.passes(own, "filehelper", listed=False)
    assert nobody.hears("filehelper", ChatKind.SELF, listed=False)

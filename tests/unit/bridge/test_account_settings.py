"""Which of WeChat's messages are published (`receive`)."""

from __future__ import annotations

import pytest

from tests.unit.bridge.talk import message
from wx2mqtt.bridge.account_settings import HoldRules, ReceiveFilter
from wx2mqtt.model import ChatKind, Handle
from wx2mqtt.settings.schema import Hold

GROUP = {"chat": Handle("@@g"), "chat_kind": ChatKind.GROUP}


@pytest.mark.parametrize(
    ("filters", "user", "passes"),
    [
        (ReceiveFilter(), "wife", True),
        (ReceiveFilter(allow=("wife", "mom")), "mom", True),
        (ReceiveFilter(allow=("wife", "mom")), "lilei", False),
        (ReceiveFilter(deny=("news*",)), "news_daily", False),
        (ReceiveFilter(allow=("*",), deny=("wife",)), "wife", False),
        (ReceiveFilter(allow=("Wife",)), "wife", False),
        (ReceiveFilter(allow=()), "wife", False),
        (ReceiveFilter(allow=("[工作] 群?",)), "[工作] 群?", True),
        (ReceiveFilter(deny=("[工作]",)), "[工作]", False),
    ],
)
def test_names_and_globs_choose_whose_messages_are_published(filters: ReceiveFilter, user: str, passes: bool):
    assert filters.allows_message(message("1"), user, listed=False) is passes
    assert filters.allows_chat(user, ChatKind.FRIEND, listed=False) is passes


@pytest.mark.parametrize(
    ("groups", "plain", "mentioned", "listed", "event"),
    [
        ("all", True, True, True, True),
        ("mentions", False, True, False, True),
        ("listed", False, False, True, False),
        ("none", False, False, False, False),
    ],
)
def test_groups_are_published_as_the_owner_has_set(groups, plain, mentioned, listed, event):
    filters = ReceiveFilter(groups=groups)
    said = message("1", **GROUP)
    assert filters.allows_message(said, "family", listed=False) is plain
    assert filters.allows_message(message("2", mentioned=True, **GROUP), "family", listed=False) is mentioned
    assert filters.allows_message(said, "family", listed=True) is listed
    assert filters.allows_chat("family", ChatKind.GROUP, listed=False) is event
    assert filters.allows_message(message("3"), "wife", listed=False), "people are no groups"


def test_what_the_owner_writes_is_published_only_when_asked_for_but_the_file_helper_always():
    own = message("1", from_self=True)
    assert not ReceiveFilter().allows_message(own, "wife", listed=True)
    assert ReceiveFilter(own=True).allows_message(own, "wife", listed=False)
    nobody = ReceiveFilter(allow=(), deny=("*",), groups="none", own=False)
    assert nobody.allows_message(own, "filehelper", listed=False)
    assert nobody.allows_chat("filehelper", ChatKind.SELF, listed=False)


def test_without_settings_the_same_holds_as_by_default_in_the_file():
    in_file = Hold()
    assert HoldRules() == HoldRules(max_commands=in_file.max, ttl=in_file.ttl)

"""Which of WeChat's messages are published (`receive`), and what the settings of an account say of people."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.account_rig import account_settings as settings
from tests.support.memory_backend import WIFE, MemoryBackend
from tests.support.rows import every_row
from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.model import ChatKind, Handle, Message
from wx2mqtt.settings.schema import Receive, Settings

GROUP = {"chat": Handle("@@g"), "chat_kind": ChatKind.GROUP}


def message(**more: Any) -> Message:
    return MemoryBackend().message(WIFE, **more)


@every_row(
    ("filters", "user", "passes"),
    [
        (Receive(), "wife", True),
        (Receive(allow=("wife", "mom")), "mom", True),
        (Receive(allow=("wife", "mom")), "lilei", False),
        (Receive(deny=("news*",)), "news_daily", False),
        (Receive(allow=("*",), deny=("wife",)), "wife", False),
        (Receive(allow=("Wife",)), "wife", False),
        (Receive(allow=()), "wife", False),
        (Receive(allow=("[工作] 群?",)), "[工作] 群?", True),
        (Receive(deny=("[工作]",)), "[工作]", False),
    ],
)
def test_names_and_globs_choose_whose_messages_are_published(filters: Receive, user: str, passes: bool):
    assert settings(receive=filters).publishes_message(message(), user, listed=False) is passes
    assert settings(receive=filters).publishes_chat(user, ChatKind.FRIEND, listed=False) is passes


@every_row(
    ("groups", "plain", "mentioned", "listed", "event"),
    [
        ("all", True, True, True, True),
        ("mentions", False, True, False, True),
        ("listed", False, False, True, False),
        ("none", False, False, False, False),
    ],
)
def test_groups_are_published_as_the_owner_has_set(groups, plain, mentioned, listed, event):
    filters = Receive(groups=groups)
    group_message = message(**GROUP)
    assert settings(receive=filters).publishes_message(group_message, "family", listed=False) is plain
    assert (
        settings(receive=filters).publishes_message(message(mentioned=True, **GROUP), "family", listed=False)
        is mentioned
    )
    assert settings(receive=filters).publishes_message(group_message, "family", listed=True) is listed
    assert settings(receive=filters).publishes_chat("family", ChatKind.GROUP, listed=False) is event
    assert settings(receive=filters).publishes_message(message(), "wife", listed=False), (
        "people are no groups"
    )


def test_what_the_owner_writes_is_published_only_when_asked_for_but_the_file_helper_always():
    own = message(from_self=True)
    assert not settings().publishes_message(own, "wife", listed=True)
    assert settings(receive=Receive(own=True)).publishes_message(own, "wife", listed=False)
    nobody = settings(receive=Receive(allow=(), deny=("*",), groups="none", own=False))
    assert nobody.publishes_message(own, "filehelper", listed=False)
    assert nobody.publishes_chat("filehelper", ChatKind.SELF, listed=False)


FILE = {
    "accounts": {
        "home": {
            "contacts": {"wife": {"remark": "老婆"}, "me": {"owner": True}, "family": {"group": "一家人"}},
            "expect": {"uin": "211722515"},
            "send": {"per_minute": 5},
            "media": {"max_size": "1MB", "send_from": ["/srv/secret"], "allow_hosts": ["secret.lan"]},
            "fallback": {"urls": ["tgram://bot-secret/chat"]},
            "webwx": {"desktop": {"client_version": "2.0.0", "extspam": "spam-secret"}},
        },
        "work": {},
    },
    "homeassistant": {"expose": ["home/wife", "work/boss", "everywhere"]},
}


def settings_of_file(name: str = "home", **values: object) -> AccountSettings:
    whole = Settings.model_validate({**FILE, **values})
    return AccountSettings(
        whole=whole, name=name, account=whole.accounts[name], base_topics=("wx", "wx/work")
    )


def test_pins_are_taken_as_they_stand():
    assert settings_of_file().pins == {
        "wife": ContactPin(remark="老婆"),
        "me": ContactPin(owner=True),
        "family": ContactPin(group="一家人"),
    }


def test_people_for_home_assistant_belong_to_an_account():
    assert settings_of_file().exposed_users == ("wife", "everywhere")
    assert settings_of_file("work").exposed_users == ("boss", "everywhere")
    assert settings_of_file().named_users == {"wife", "me", "family", "everywhere"}


@pytest.mark.parametrize(
    ("web", "url"),
    [
        ({}, ""),
        ({"url": "https://h.example/wx"}, "https://h.example/wx"),
        ({"enabled": False, "url": "https://h"}, ""),
    ],
)
def test_the_page_has_an_address_only_where_others_reach_it(web: dict[str, object], url: str):
    assert settings_of_file(web=web).page_url == url


def test_what_everybody_may_read_holds_no_secret():
    shown = str(settings_of_file().public)
    assert "per_minute" in shown
    assert "'max_size': 1000000" in shown
    for secret in ("secret", "211722515", "老婆"):
        assert secret not in shown

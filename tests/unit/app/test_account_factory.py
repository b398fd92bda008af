"""An account keeps the base topic that it first used, and gets its settings anew at a reload."""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.support.rows import every_row
from wx2mqtt.app.account_factory import AccountFactory, resolve_base_topics
from wx2mqtt.errors import SettingsError
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import Settings


def base_topics(accounts, **stored):
    given = {name: {} if base is None else {"base_topic": base} for name, base in accounts.items()}
    return resolve_base_topics(Settings.model_validate({"accounts": given}), stored, "wx2mqtt.yaml")


def test_the_first_account_gets_the_base_topic_wx_and_the_others_wx_with_their_name():
    assert base_topics({"home": None, "office": None}) == {"home": "wx", "office": "wx/office"}
    assert base_topics({"home": "house", "office": None}) == {"home": "house", "office": "wx/office"}


@every_row(
    "order", [("home", "office"), ("office", "home"), ("office", "home", "club"), ("club", "office", "home")]
)
def test_an_account_that_is_added_changes_no_other_base_topic_wherever_it_stands_in_the_file(order):
    resolved = base_topics(dict.fromkeys(order), home="wx")
    assert resolved["home"] == "wx"
    assert all(base == f"wx/{name}" for name, base in resolved.items() if name != "home")


def test_the_last_account_that_is_left_keeps_its_base_topic():
    assert base_topics({"office": None}, office="wx/office") == {"office": "wx/office"}


def test_the_first_new_account_gets_wx_where_no_account_has_it():
    assert base_topics({"club": None, "office": None}, office="wx/office") == {
        "club": "wx",
        "office": "wx/office",
    }
    assert base_topics({"club": None, "office": "wx"}) == {"club": "wx/club", "office": "wx"}


def test_a_base_topic_in_the_file_counts_before_the_stored_one():
    assert base_topics({"home": "house"}, home="wx") == {"home": "house"}


def test_two_accounts_with_the_same_base_topic_are_refused_with_the_name_of_the_other():
    with pytest.raises(SettingsError) as caught:
        base_topics({"office": "wx", "home": None}, home="wx")
    (problem,) = caught.value.problems
    assert problem.key == "accounts.home.base_topic"
    assert "account office has" in problem.message


def loaded(url: str) -> LoadedSettings:
    return LoadedSettings(settings=Settings.model_validate({"web": {"url": url}}), path=None)


def test_a_reload_does_not_name_an_address_that_is_not_served_yet():
    unused = cast("Any", None)
    factory = AccountFactory(loaded("https://old.example.org"), unused, unused, None)
    factory.loaded = loaded("https://new.example.org")
    account = factory.settings_of("home")
    assert account.whole.web.url == "https://new.example.org"
    assert account.media_url("a1") == "https://old.example.org/media/a1"

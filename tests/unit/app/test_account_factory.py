"""An account keeps the base topic that it first used, whichever accounts are added, removed or moved.

A reload changes its settings.
"""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.support.rows import every_row
from wx2mqtt.app.account_factory import AccountFactory, resolve_base_topics
from wx2mqtt.errors import SettingsError
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import Settings


def bases(accounts, **kept):
    given = {name: {} if base is None else {"base_topic": base} for name, base in accounts.items()}
    return resolve_base_topics(Settings.model_validate({"accounts": given}), kept, "wx2mqtt.yaml")


def test_at_the_beginning_the_first_one_has_wx_and_the_others_their_names():
    assert bases({"home": None, "office": None}) == {"home": "wx", "office": "wx/office"}
    assert bases({"home": "house", "office": None}) == {"home": "house", "office": "wx/office"}


@every_row(
    "order", [("home", "office"), ("office", "home"), ("office", "home", "club"), ("club", "office", "home")]
)
def test_who_comes_later_moves_nobody_wherever_it_stands_in_the_file(order):
    found = bases(dict.fromkeys(order), home="wx")
    assert found["home"] == "wx"
    assert all(base == f"wx/{name}" for name, base in found.items() if name != "home")


def test_who_is_left_alone_does_not_move_either():
    assert bases({"office": None}, office="wx/office") == {"office": "wx/office"}


def test_the_first_of_a_new_set_has_wx_where_nobody_has_it():
    assert bases({"club": None, "office": None}, office="wx/office") == {"club": "wx", "office": "wx/office"}
    assert bases({"club": None, "office": "wx"}) == {"club": "wx/club", "office": "wx"}


def test_what_the_file_says_counts_before_what_was():
    assert bases({"home": "house"}, home="wx") == {"home": "house"}


def test_a_base_that_meets_one_that_was_kept_is_refused_in_words():
    with pytest.raises(SettingsError) as caught:
        bases({"office": "wx", "home": None}, home="wx")
    (problem,) = caught.value.problems
    assert problem.key == "accounts.home.base_topic"
    assert "account office has" in problem.message


def loaded(url: str) -> LoadedSettings:
    return LoadedSettings(settings=Settings.model_validate({"web": {"url": url}}), path=None)


def test_a_reload_does_not_name_an_address_that_is_not_served_yet():
    nothing = cast("Any", None)
    factory = AccountFactory(loaded("https://old.example.org"), nothing, nothing, None)
    factory.loaded = loaded("https://new.example.org")
    account = factory.settings_of("home")
    assert account.whole.web.url == "https://new.example.org"
    assert account.media_url("a1") == "https://old.example.org/media/a1"

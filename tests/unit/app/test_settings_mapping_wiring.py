"""The settings as options of each part; no secret becomes public."""

from __future__ import annotations

import pytest

from wx2mqtt.app.settings_mapping import (
    account_settings,
    contact_pins,
    exposed_users,
    home_assistant_settings,
    mqtt_options,
    public_settings,
)
from wx2mqtt.bridge.account_settings import HomeAssistantSettings, MediaRules
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import Settings

WHOLE = {
    "accounts": {
        "home": {
            "contacts": {"wife": {"remark": "老婆"}, "me": {"owner": True}, "family": {"group": "一家人"}},
            "expect": {"uin": "211722515"},
            "receive": {"allow": ["w*"], "deny": ["news"], "groups": "mentions", "own": True},
            "send": {"allow": ["wife"], "per_minute": 5, "burst": 2, "ttl": "90s"},
            "media": {
                "download": False,
                "max_size": "1MB",
                "inline_below": "10kB",
                "send_from": ["/srv/secret"],
                "allow_hosts": ["secret.lan"],
            },
            "fallback": {"urls": ["tgram://bot-secret/chat"]},
            "webwx": {"desktop": {"client_version": "2.0.0", "extspam": "spam-secret"}},
        },
        "work": {},
    },
    "homeassistant": {"expose": ["home/wife", "work/boss", "everywhere"]},
    "storage": {"max_size": "5MB"},
    "language": "zh",
}


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate(WHOLE)


def test_all_settings_of_an_account_are_passed_on(settings: Settings):
    account = account_settings(LoadedSettings(settings=settings, path=None), "home", ("wx", "wx/work"))
    assert account.send.allow == ("wife",)
    assert (account.send.ttl, account.per_minute, account.burst) == (90.0, 5, 2)
    assert account.send.base_topics == ("wx", "wx/work")
    assert account.send.size_limit == "5 MB"
    assert (account.receive.allow, account.receive.deny) == (("w*",), ("news",))
    assert (account.receive.groups, account.receive.own) == ("mentions", True)
    assert (account.expected_account.uin, account.expected_account.nickname) == ("211722515", "")
    assert account.language == "zh"
    assert account.named_users == {"wife", "me", "family", "everywhere"}
    assert account.media == MediaRules(download=False, max_size=1_000_000, inline_below=10_000, base_url="")


def test_pins_are_taken_as_they_stand(settings: Settings):
    assert contact_pins(settings.accounts["home"]) == {
        "wife": ContactPin(remark="老婆"),
        "me": ContactPin(owner=True),
        "family": ContactPin(group="一家人"),
    }


def test_people_for_home_assistant_belong_to_an_account(settings: Settings):
    assert exposed_users(settings, "home") == ("wife", "everywhere")
    assert exposed_users(settings, "work") == ("boss", "everywhere")


@pytest.mark.parametrize(
    ("web", "url"),
    [
        ({}, ""),
        ({"url": "https://h.example/wx"}, "https://h.example/wx"),
        ({"enabled": False, "url": "https://h"}, ""),
    ],
)
def test_home_assistant_leads_to_the_page_only_where_that_has_an_address(web: dict[str, object], url: str):
    wanted = {"enabled": True, "prefix": "ha", "expose": ["home/wife", "work/boss"]}
    whole = Settings.model_validate({**WHOLE, "homeassistant": wanted, "web": {**web}})
    assert home_assistant_settings(whole, "home") == HomeAssistantSettings(
        enabled=True, prefix="ha", expose=("wife",), url=url, expiry=90
    )


def test_the_birth_message_of_home_assistant_is_subscribed_only_where_it_is_enabled(settings: Settings):
    def filters(settings: Settings) -> list[str]:
        options = mqtt_options(settings, "home", Topics("wx"), None)
        return [subscription.filter for subscription in options.subscriptions]

    assert filters(settings) == ["wx/out/#", "wx/bridge/request/#"]
    on = Settings.model_validate({**WHOLE, "homeassistant": {"enabled": True, "prefix": "ha"}})
    assert filters(on) == ["wx/out/#", "wx/bridge/request/#", "ha/status"]


def test_what_everybody_may_read_holds_no_secret(settings: Settings):
    shown = str(public_settings(settings.accounts["home"]))
    assert "per_minute" in shown
    assert "'max_size': 1000000" in shown
    for secret in ("secret", "211722515", "老婆"):
        assert secret not in shown

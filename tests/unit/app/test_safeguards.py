"""When an account has nothing that helps alarms while WeChat takes no message, and what is said of it."""

from __future__ import annotations

import re

import pytest

from wx2mqtt.app.safeguards import missing_safeguards, safeguards_line
from wx2mqtt.settings.schema import Account

REMIND = {"ilink": {"remind": {"before": "2h"}}}
RENEW = {"ilink": {"renew": {"after": "25d"}}}
FALLBACK = {"fallback": {"urls": ["json://localhost"]}}


@pytest.mark.parametrize(
    ("backend", "on", "key"),
    [
        ("ilink", {}, "no_safeguards"),
        ("ilink", {"ilink": {"remind": {"quiet": None}}, "fallback": {"after": "10s"}}, "no_safeguards"),
        ("ilink", REMIND, ""),
        ("ilink", RENEW, ""),
        ("ilink", FALLBACK, ""),
        ("webwx", {}, "no_fallback"),
        ("webwx", REMIND, "no_fallback"),
        ("webwx", FALLBACK, ""),
    ],
)
def test_one_of_them_is_enough_where_the_backend_has_it(backend, on, key):
    account = Account.model_validate({"backend": backend, **on})
    assert missing_safeguards(account) == key
    assert bool(safeguards_line(account, "en")) == bool(key)


def test_the_line_names_the_keys_and_what_may_happen_in_both_languages():
    english = safeguards_line(Account(backend="ilink"), "en")
    chinese = safeguards_line(Account(backend="ilink"), "zh")
    for line in (english, chinese):
        assert re.findall("remind|renew|fallback", line) == ["remind", "renew", "fallback"]
        assert "\n" not in line
    assert "may be lost" in english
    assert "丢失" in chinese


def test_what_is_off_by_default_and_what_is_on():
    ilink = Account().ilink
    assert (ilink.remind.before, ilink.renew.after, Account().fallback.urls) == (None, None, ())
    assert (ilink.remind.quiet, ilink.bundle, ilink.reserve) == ("22:00-07:00", True, 1)

"""A login survives a restart, and goes nowhere else (webwx 5.3)."""

from __future__ import annotations

import json

import pytest

from wx2mqtt.model import Handle
from wx2mqtt.wechat.webwx.cookies import Cookies
from wx2mqtt.wechat.webwx.position import Position
from wx2mqtt.wechat.webwx.requests import Desktop
from wx2mqtt.wechat.webwx.session import Session, from_saved, to_saved

SESSION = Session(
    login_id="l1",
    base="wx2.qq.com",
    uin="211722515",
    sid="SECRET+sid",
    skey="@crypt_SECRET",
    pass_ticket="SECRET%2B",
    device_id="e123456789012345",
    handle=Handle("@me"),
    nickname="王小明",
    position=Position(sync=((1, 2),), check=((1, 3),)),
    chats=("@@a", "filehelper"),
)
COOKIES = Cookies({("", "wxsid"): "SECRET"}, anywhere=True)
ENDPOINT = "http://127.0.0.1:1"


def test_what_is_saved_as_json_comes_back() -> None:
    saved = json.loads(json.dumps(to_saved(SESSION, COOKIES, ENDPOINT)))
    assert from_saved(saved, ENDPOINT) == (SESSION, COOKIES)


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:2"])
def test_keys_are_not_taken_to_another_endpoint(endpoint: str | None) -> None:
    assert from_saved(to_saved(SESSION, COOKIES, ENDPOINT), endpoint) is None


@pytest.mark.parametrize(
    "change", [{"version": 99}, {"skey": ""}, {"sid": None}, {"handle": 5}, {"login_id": ""}, {"base": []}]
)
def test_what_cannot_be_used_is_no_login(change: dict[str, object]) -> None:
    assert from_saved({**to_saved(SESSION, COOKIES, None), **change}, None) is None


def test_what_is_less_important_may_be_missing() -> None:
    saved = to_saved(SESSION, COOKIES, None)
    kept = {
        key: saved[key] for key in ("version", "endpoint", "login_id", "base", "uin", "sid", "skey", "handle")
    }
    found = from_saved(kept, None)
    assert found is not None
    assert found[0].position == Position()
    assert found[0].chats == ()


def test_no_secret_shows_in_its_repr() -> None:
    assert "SECRET" not in repr(SESSION)
    assert "SECRET" not in repr(Desktop(client_version="2.0.0", extspam="SECRET"))


def test_the_owner_is_in_it() -> None:
    assert SESSION.owner.uin == "211722515"

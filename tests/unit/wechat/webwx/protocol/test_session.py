"""Cursors and saved logins are read back unchanged, and used at the right hosts only (webwx 2.4.2, 5.3)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.model import Cursor, Handle
from wx2mqtt.wechat.webwx.protocol.cookies import ENDPOINT_HOST, Cookies
from wx2mqtt.wechat.webwx.protocol.hosts import DesktopClient
from wx2mqtt.wechat.webwx.protocol.session import (
    Session,
    SyncCursor,
    host_origins,
    read_sync_keys,
    session_from_saved,
    session_to_saved,
)

KEYS = st.lists(st.tuples(st.integers(), st.integers())).map(tuple)


@given(KEYS, KEYS, st.booleans())
def test_a_cursor_brings_its_position_back(sync: object, check: object, more: bool) -> None:
    position = SyncCursor(sync=sync, check=check, more=more)  # type: ignore[arg-type]
    assert SyncCursor.from_cursor(position.to_cursor()) == position


@every_row(
    "cursor",
    [
        "",
        "x",
        "[]",
        "null",
        "{}",
        '{"sync":1,"check":[],"more":true}',
        '{"sync":[["a"]],"check":[],"more":0}',
        '{"sync":[[1e999,1]],"check":[],"more":false}',
    ],
)
def test_a_strange_cursor_is_the_position_before_everything(cursor: str) -> None:
    assert SyncCursor.from_cursor(Cursor(cursor)) == SyncCursor()


def test_keys_are_read_from_an_answer() -> None:
    answer = {"SyncKey": {"Count": 2, "List": [{"Key": 1, "Val": 5}, {"Key": "2", "Val": "6"}]}}
    assert read_sync_keys(answer, "SyncKey") == ((1, 5), (2, 6))


@every_row(
    "key",
    [
        *(None, 5, {}, {"Count": 0, "List": []}, {"List": "x"}, {"List": [5]}),
        *({"List": [{"Key": 1}]}, {"List": [{"Key": 1, "Val": "x"}]}, {"List": [{"Key": 1, "Val": None}]}),
    ],
)
def test_no_keys_are_empty(key: object) -> None:
    assert read_sync_keys({"SyncKey": key}, "SyncKey") == ()


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
    position=SyncCursor(sync=((1, 2),), check=((1, 3),)),
    chats=("@@a", "filehelper"),
)


COOKIES = Cookies({(ENDPOINT_HOST, "wxsid"): "SECRET"})


ENDPOINT = "http://127.0.0.1:1"


def test_what_is_saved_as_json_comes_back() -> None:
    saved = json.loads(json.dumps(session_to_saved(SESSION, COOKIES, ENDPOINT)))
    assert session_from_saved(saved, ENDPOINT) == (SESSION, COOKIES)


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:2"])
def test_keys_are_not_taken_to_another_endpoint(endpoint: str | None) -> None:
    assert session_from_saved(session_to_saved(SESSION, COOKIES, ENDPOINT), endpoint) is None


@every_row(
    "change", [{"version": 99}, {"skey": ""}, {"sid": None}, {"handle": 5}, {"login_id": ""}, {"base": []}]
)
def test_what_cannot_be_used_is_no_login(change: dict[str, object]) -> None:
    assert session_from_saved({**session_to_saved(SESSION, COOKIES, None), **change}, None) is None


def test_what_is_less_important_may_be_missing() -> None:
    saved = session_to_saved(SESSION, COOKIES, None)
    kept = {
        key: saved[key] for key in ("version", "endpoint", "login_id", "base", "uin", "sid", "skey", "handle")
    }
    found = session_from_saved(kept, None)
    assert found is not None
    assert found[0].position == SyncCursor()
    assert found[0].chats == ()


def test_no_secret_shows_in_its_repr() -> None:
    assert "SECRET" not in repr(SESSION)
    assert "SECRET" not in repr(DesktopClient(client_version="2.0.0", extspam="SECRET"))


def test_the_owner_is_in_it() -> None:
    assert SESSION.owner.uin == "211722515"


def test_the_hosts_of_a_saved_login_are_those_of_its_cluster() -> None:
    assert host_origins(None, session_to_saved(SESSION, COOKIES, None)) == (
        "https://login.wx2.qq.com",
        "https://wx2.qq.com",
        "https://webpush.wx2.qq.com",
        "https://file.wx2.qq.com",
    )
    assert host_origins(None, {})[1] == "https://wx.qq.com"
    assert host_origins(ENDPOINT, {}) == (ENDPOINT,) * 4

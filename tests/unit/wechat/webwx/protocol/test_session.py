"""Cookies, cursors and saved logins: they are read back unchanged, and sent to the right hosts only (webwx 2.4.2, 5.3)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.model import Cursor, Handle
from wx2mqtt.wechat.webwx.protocol.session import (
    MAX_COOKIES,
    Cookies,
    DesktopClient,
    Session,
    SyncCursor,
    host_origins,
    read_sync_keys,
    session_from_saved,
    session_to_saved,
)

NOW = 1_700_000_000.0


def jar(*lines: str, host: str = "wx2.qq.com") -> Cookies:
    return Cookies({}).with_response(host, lines, NOW)


def test_a_cookie_of_the_domain_reaches_all_its_hosts_and_no_other() -> None:
    held = jar(
        "webwx_data_ticket=gS; Domain=.qq.com; Path=/; Expires=Thu, 01-Jan-2099 00:00:00 GMT", "own=1; Path=/"
    )
    assert held.for_host("wx2.qq.com") == {"webwx_data_ticket": "gS", "own": "1"}
    assert held.for_host("webpush.wx2.qq.com") == {"webwx_data_ticket": "gS"}
    assert held.for_host("file.wx2.qq.com") == {"webwx_data_ticket": "gS"}
    assert held.for_host("qq.com.evil.example") == {}
    assert held.for_host("notqq.com") == {}


def test_a_cookie_of_a_narrower_domain_wins() -> None:
    held = jar("a=wide; Domain=qq.com", "a=narrow; Domain=wx2.qq.com")
    assert held.for_host("wx2.qq.com") == {"a": "narrow"}
    assert held.for_host("login.wx.qq.com") == {"a": "wide"}


@every_row("domain", ["wechat.com", "com", ".com", "evil.example", "x.wx2.qq.com"])
def test_a_host_sets_no_cookie_for_others(domain: str) -> None:
    assert jar(f"a=1; Domain={domain}").values == {}


def test_a_newer_value_replaces_the_old_one() -> None:
    held = jar("wxsid=old; Domain=wx2.qq.com").with_response(
        "webpush.wx2.qq.com", ["wxsid=x; Domain=.wx2.qq.com"], NOW
    )
    assert held.value("wxsid") == "x"
    assert len(held.values) == 1


def test_an_answer_that_changes_nothing_leaves_the_same_value() -> None:
    held = jar("a=1")
    assert held.with_response("wx2.qq.com", ["a=1"], NOW) is held


@every_row(
    "end",
    [
        "Max-Age=0",
        "max-age=-1",
        "Expires=Thu, 01-Jan-1970 00:00:10 GMT",
        "expires=Thu, 01 Jan 1970 00:00:10 GMT",
    ],
)
def test_an_order_to_delete_is_obeyed(end: str) -> None:
    assert jar("a=1").with_response("wx2.qq.com", [f"a=; {end}"], NOW).values == {}


@every_row("end", ["Max-Age=60", "Max-Age=x", "Expires=whenever", "Expires=Thu, 99 Foo 2099", "Expires="])
def test_dates_that_cannot_be_read_delete_nothing(end: str) -> None:
    assert jar(f"a=1; {end}").value("a") == "1"


def test_a_date_that_is_longer_than_any_is_not_parsed() -> None:
    date = "Thu, 01-Jan-1970 00:00:10 GMT"
    for blanks, kept in ((100 - len(date), ""), (101 - len(date), "1")):
        assert jar(f"a=1; Expires={date[:5]}{' ' * blanks}{date[5:]}").value("a") == kept


def test_the_age_is_judged_by_the_servers_clock() -> None:
    line = "a=1; Expires=Tue, 14-Nov-2023 22:13:00 GMT"
    assert Cookies({}).with_response("wx.qq.com", [line], NOW - 3600).value("a") == "1"


@every_row("line", ["", ";", "novalue", "=x", "a=b\r\nX: y", "a=\u4e2d", "a\x00=b"])
def test_lines_that_could_not_be_sent_are_left_out(line: str) -> None:
    assert jar(line).values == {}


def test_values_stay_as_they_are() -> None:
    assert jar('a="x=y"; HttpOnly', "b=").for_host("wx2.qq.com") == {"a": '"x=y"', "b": ""}


def test_one_address_for_all_hosts_takes_any_domain() -> None:
    held = Cookies({}, any_host=True).with_response(
        "127.0.0.1", ["a=1; Domain=.qq.com; Path=/x", "b=2; Domain=evil"], NOW
    )
    assert held.for_host("127.0.0.1") == {"a": "1", "b": "2"}


def test_cookies_without_end_displace_none_that_a_login_needs() -> None:
    held = jar("wxsid=1; Domain=.qq.com", "old=1")
    for answer in range(10):
        lines = [f"n{answer}x{number}=v" for number in range(100)]
        held = held.with_response("wx2.qq.com", [*lines, f"wxsid={answer}; Domain=.qq.com"], NOW)
    assert len(held.values) == MAX_COOKIES
    assert held.value("wxsid") == "9"
    replaced = held.with_response("wx2.qq.com", ["old=; Max-Age=0", "new=1"], NOW)
    assert replaced.value("new") == "1"


def test_saved_and_read_again() -> None:
    held = jar("a=1; Domain=.qq.com", "b=2")
    assert Cookies.from_saved(held.to_saved(), any_host=False) == held


@every_row("rows", [None, "x", [1], [["a", "b"]], [["a", "b", 3]]])
def test_saved_rows_that_cannot_be_read_are_left_out(rows: object) -> None:
    assert Cookies.from_saved(rows, any_host=True).values == {}


def test_no_value_shows_in_its_repr() -> None:
    assert "secret" not in repr(jar("a=secret"))


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


COOKIES = Cookies({("", "wxsid"): "SECRET"}, any_host=True)


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

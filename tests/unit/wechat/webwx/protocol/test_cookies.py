"""Cookies are read back unchanged, and sent to the right hosts only (webwx 2.4.2)."""

from __future__ import annotations

from tests.support.rows import every_row
from wx2mqtt.wechat.webwx.protocol.cookies import ENDPOINT_HOST, MAX_COOKIES, Cookies

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
    held = jar("a=1; Domain=.qq.com; Path=/x", "b=2; Domain=evil", "c=3", host=ENDPOINT_HOST)
    assert held.for_host(ENDPOINT_HOST) == {"a": "1", "b": "2", "c": "3"}
    assert held.for_host("wx.qq.com") == {}


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
    assert Cookies.from_saved(held.to_saved()) == held


@every_row("rows", [None, "x", [1], [["a", "b"]], [["a", "b", 3]]])
def test_saved_rows_that_cannot_be_read_are_left_out(rows: object) -> None:
    assert Cookies.from_saved(rows).values == {}


def test_no_value_shows_in_its_repr() -> None:
    assert "secret" not in repr(jar("a=secret"))

"""What the exchange of the ticket brings (webwx 2.4)."""

from __future__ import annotations

import pytest

from tests.unit.wechat.webwx.test_responses import GOOD_LOGIN
from wx2mqtt.errors import LoginRefused
from wx2mqtt.wechat.webwx import responses
from wx2mqtt.wechat.webwx.cookies import Cookies
from wx2mqtt.wechat.webwx.login import session_from
from wx2mqtt.wechat.webwx.session import Session
from wx2mqtt.words import Language

COOKIES = Cookies({(".qq.com", "wxsid"): "cookie-sid", (".qq.com", "wxuin"): "987"})


def session(body: bytes, language: Language = "en") -> Session:
    return session_from(
        responses.new_login(body), COOKIES, base="wx2.qq.com", login_id="l", device_id="e1", language=language
    )


def test_a_session_from_the_xml() -> None:
    found = session(GOOD_LOGIN)
    assert (found.skey, found.sid, found.uin, found.pass_ticket) == (
        "@crypt_1a2b3c4d_0123",
        "AbCdEf123",
        "123456789",
        "aB%2Bc%3D",
    )
    assert (found.base, found.login_id, found.device_id) == ("wx2.qq.com", "l", "e1")


def test_sid_and_uin_may_come_as_cookies() -> None:
    found = session(b"<error><ret>0</ret><skey>k</skey><pass_ticket>p</pass_ticket></error>")
    assert (found.sid, found.uin) == ("cookie-sid", "987")


@pytest.mark.parametrize(
    ("body", "language", "reason"),
    [
        (b"<error><ret>1203</ret><message>not safe</message></error>", "en", "(1203): not safe"),
        ("<error><ret>1203</ret><message>环境异常</message></error>".encode(), "zh", "(1203):环境异常"),
        (b"<error><ret>1</ret></error>", "en", "says no reason"),
        (b"<html><head></head></html>", "en", "web page"),
        (b"<error><ret>0</ret></error>", "en", "no session key"),
        (b"<error><ret>1203</ret><skey>k</skey></error>", "en", "1203"),
    ],
)
def test_refusals_say_why(body: bytes, language: Language, reason: str) -> None:
    with pytest.raises(LoginRefused, match=reason.replace("(", r"\(").replace(")", r"\)")):
        session(body, language)


def test_a_session_without_sid_is_none() -> None:
    with pytest.raises(LoginRefused):
        session_from(
            responses.new_login(b"<ret>0</ret><skey>k</skey>"),
            Cookies({}),
            base="b",
            login_id="l",
            device_id="e",
            language="en",
        )

"""Which hosts the doctor asks for an account on iLink."""

from __future__ import annotations

from typing import Any

from tests.unit.wechat.ilink.entries import BOT, ME, TOKEN
from wx2mqtt.model import Handle
from wx2mqtt.wechat.ilink.knocking import _origins
from wx2mqtt.wechat.ilink.session import Bot, to_saved

OWN = "http://127.0.0.1:8070/p"
LOGIN, CDN = "https://ilinkai.weixin.qq.com", "https://novac2c.cdn.weixin.qq.com"


def saved(*endpoints: str | None, **more: Any) -> dict[str, object]:
    return to_saved(
        Bot(id=BOT, token=TOKEN, user=Handle(ME), base="https://b.weixin.qq.com/x", endpoint=one, **more)
        for one in endpoints
    )


def test_where_logins_begin_where_one_lives_and_where_bytes_are() -> None:
    assert list(_origins(None, saved(None))) == [LOGIN, "https://b.weixin.qq.com", CDN]
    assert list(_origins(None, {})) == [LOGIN, CDN]


def test_what_is_over_or_of_another_endpoint_is_not_asked() -> None:
    assert list(_origins(None, saved(OWN))) == [LOGIN, CDN]
    assert list(_origins(None, saved(None, over=True))) == [LOGIN, CDN]


def test_an_endpoint_stands_for_all() -> None:
    assert set(_origins(OWN, {})) == {"http://127.0.0.1:8070"}

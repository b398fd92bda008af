"""Locations in their several forms (webwx 3.8)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.wechat.webwx.entries import entry, escaped
from wx2mqtt.model import Kind
from wx2mqtt.wechat.webwx.content import Content
from wx2mqtt.wechat.webwx.places import location


def read(said: str = "", **fields: Any) -> Content:
    return location(entry(Content=said, **fields), said, "en")


PLACE = '<msg><location x="30.5" y="-114.25" scale="16" label="Main &amp; 5" maptype="0" poiname="%s"/></msg>'


@pytest.mark.parametrize(("poi", "label"), [("Café", "Café"), ("[位置]", "Home"), ("", "Home")])
def test_a_location_with_everything(poi: str, label: str) -> None:
    said = "Home:<br/>/cgi-bin/mmwebwx-bin/webwxgetpubliclinkimg?url=xxx&amp;msgid=1&amp;pictype=location"
    found = read(said, SubMsgType=48, OriContent=PLACE % poi)
    assert found.detail == {"lat": 30.5, "lon": -114.25, "label": label, "address": "Main & 5"}
    assert found.text == f"[location] {label}"


def test_the_map_is_its_thumbnail() -> None:
    found = read("Home:<br/>/cgi-bin/x")
    assert found.media is None
    assert found.thumbnail is not None
    assert found.thumbnail.locator == {"call": "map", "msgid": "7615282929538795099"}


def test_a_location_in_its_content() -> None:
    found = read(escaped('<msg><location x="1" y="2" label="Street"/></msg>'), MsgType=48)
    assert found.detail == {"lat": 1.0, "lon": 2.0, "label": "Street", "address": "Street"}


@pytest.mark.parametrize(
    "url", ["http://apis.map.qq.com/uri/v1/geocoder?coord=200,5", "http://apis.map.qq.com/?coord=x,y", ""]
)
def test_a_location_without_sensible_coordinates(url: str) -> None:
    assert read("Home:<br/>/cgi-bin/x", Url=url).detail == {"label": "Home"} | (
        {"lon": 5.0} if "200" in url else {}
    )


def test_coordinates_of_the_map() -> None:
    url = "http://apis.map.qq.com/uri/v1/geocoder?coord=-39.9087,116.3975"
    assert read("Home:<br/>/x", Url=url).detail == {"lat": -39.9087, "lon": 116.3975, "label": "Home"}


def test_nothing_known_of_a_location() -> None:
    assert read("").kind is Kind.UNSUPPORTED


def test_xml_without_a_location_is_no_place() -> None:
    said = escaped("<msg><fromusername>wxid_x</fromusername></msg>")
    assert read(said, MsgType=48).kind is Kind.UNSUPPORTED
    assert read(said, OriContent=PLACE % "").detail["label"] == "Main & 5"

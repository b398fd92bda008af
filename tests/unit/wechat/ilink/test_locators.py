"""Locators as another version may have written them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wechat.ilink.entries import KEY, media
from wx2mqtt.wechat.ilink.locators import LONGEST, Place, Told, of_file, of_picture, place_of


def test_what_is_written_is_read() -> None:
    md5 = "5D41402ABC4B2A76B9719D911017C592"
    ref = of_file({"media": media()}, Told(size=5, md5=md5, name="a.pdf", mime="x/y"))
    assert ref is not None
    assert (ref.mime, ref.size, ref.name) == ("x/y", 5, "a.pdf")
    assert place_of(ref.locator) == Place(
        url=media()["full_url"], param="P1+/=", key=KEY, size=5, md5=md5.lower()
    )


def test_a_picture_without_a_key_has_none() -> None:
    ref = of_picture({"media": media(aes_key="")})
    assert ref is not None
    place = place_of(ref.locator)
    assert place is not None
    assert place.key is None


def test_what_is_no_hash_is_not_compared() -> None:
    ref = of_file({"media": media()}, Told(md5="yes"))
    assert ref is not None
    assert "md5" not in ref.locator


def test_addresses_have_a_limit() -> None:
    long = "x" * (LONGEST + 1)
    assert of_file({"media": media(full_url=long, encrypt_query_param=long)}, Told()) is None


@given(st.dictionaries(st.sampled_from(["url", "param", "key", "size", "md5", "call"]), st.text(max_size=40)))
def test_no_locator_makes_it_fail(locator: dict[str, str]) -> None:
    place = place_of(locator)
    assert place is None or place.url or place.param


def test_what_another_version_wrote_leads_nowhere() -> None:
    assert place_of({"call": "image", "msgid": "5"}) is None
    assert place_of({"param": "a", "key": "no key"}) is None

"""Locators that another version may have written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wechat.ilink.entries import KEY, media
from wx2mqtt.wechat.ilink.protocol.crypto import (
    MAX_PARAMETER_CHARACTERS,
    DeclaredMedia,
    MediaLocation,
    file_locator,
    parse_locator,
    picture_locator,
)


def test_what_is_written_is_read() -> None:
    md5 = "5D41402ABC4B2A76B9719D911017C592"
    ref = file_locator({"media": media()}, DeclaredMedia(size=5, md5=md5, name="a.pdf", mime="x/y"))
    assert ref is not None
    assert (ref.mime, ref.size, ref.name) == ("x/y", 5, "a.pdf")
    assert parse_locator(ref.locator) == MediaLocation(
        url=media()["full_url"], param="P1+/=", key=KEY, size=5, md5=md5.lower()
    )


def test_a_picture_without_a_key_has_none() -> None:
    ref = picture_locator({"media": media(aes_key="")})
    assert ref is not None
    location = parse_locator(ref.locator)
    assert location is not None
    assert location.key is None


def test_what_is_no_hash_is_not_compared() -> None:
    ref = file_locator({"media": media()}, DeclaredMedia(md5="yes"))
    assert ref is not None
    assert "md5" not in ref.locator


def test_addresses_have_a_limit() -> None:
    long = "x" * (MAX_PARAMETER_CHARACTERS + 1)
    assert file_locator({"media": media(full_url=long, encrypt_query_param=long)}, DeclaredMedia()) is None


@given(st.dictionaries(st.sampled_from(["url", "param", "key", "size", "md5", "call"]), st.text(max_size=40)))
def test_no_locator_makes_it_fail(locator: dict[str, str]) -> None:
    location = parse_locator(locator)
    assert location is None or location.url or location.param


def test_what_another_version_wrote_leads_nowhere() -> None:
    assert parse_locator({"call": "image", "msgid": "5"}) is None
    assert parse_locator({"param": "a", "key": "no key"}) is None

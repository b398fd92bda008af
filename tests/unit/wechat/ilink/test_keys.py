"""The written forms of a key, and the sizes that encryption makes (ilink 8.1, 8.3)."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.wechat.ilink.keys import from_base64, from_hex, padded, to_base64

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")


def test_every_form_is_read() -> None:
    assert from_hex("00112233445566778899AABBccddeeff") == KEY
    assert from_base64("ABEiM0RVZneImaq7zN3u/w==") == KEY
    assert from_base64("MDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2NkZGVlZmY=") == KEY
    assert from_base64(" ABEiM0RVZneImaq7zN3u_w \n") == KEY  # of the URL's alphabet, without its end


def test_it_is_written_as_phones_take_it() -> None:
    assert to_base64(KEY) == "MDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2NkZGVlZmY="


@pytest.mark.parametrize(
    "bad",
    ["", "0", "zz112233445566778899aabbccddeeff", "00 12233445566778899aabbccddeef", "é" * 32, "0" * 34],
)
def test_what_is_no_hex_key_is_none(bad: str) -> None:
    assert from_hex(bad) is None


@pytest.mark.parametrize("bad", ["", "=", "====", "a", "ABEi", "bm8ga2V5", "ABEiM0RVZneImaq7zN3u/w==x", "密"])
def test_what_is_no_base64_key_is_none(bad: str) -> None:
    assert from_base64(bad) is None


def test_thirty_two_bytes_that_are_no_hex_are_no_key() -> None:
    assert from_base64(base64.b64encode(b"z" * 32).decode()) is None
    assert from_base64(base64.b64encode(b" " * 32).decode()) is None


@given(st.binary(min_size=16, max_size=16))
def test_a_key_survives_its_forms(key: bytes) -> None:
    assert (
        from_base64(to_base64(key))
        == from_hex(key.hex())
        == from_base64(base64.b64encode(key).decode())
        == key
    )


@given(st.text())
def test_no_text_fails(text: str) -> None:
    from_hex(text)
    from_base64(text)


@pytest.mark.parametrize(
    ("size", "encrypted"), [(0, 16), (15, 16), (16, 32), (31, 32), (32, 48), (100_000, 100_016)]
)
def test_there_is_always_padding(size: int, encrypted: int) -> None:
    assert padded(size) == encrypted

"""AES-128-ECB in chunks: the vectors of ilink 8.1, and files truncated at every position.

Also the text forms of a key, and the sizes after encryption (ilink 8.1, 8.3).
"""

from __future__ import annotations

import base64
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.wechat.ilink.protocol.crypto import (
    Decryptor,
    Encryptor,
    TruncatedCiphertext,
    WrongKey,
    key_from_base64,
    key_from_hex,
    key_to_base64,
    padded_size,
)

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")


VECTORS = [
    (b"", "00657ea140655a44782747705d422fad"),
    (b"hello", "9d86c8612e085e93a235794a708af7a9"),
    (b"0123456789abcdef", "aebdd39b144089d5e31cacd35b7a113a00657ea140655a44782747705d422fad"),
]


def encrypted(pieces: list[bytes], key: bytes = KEY) -> bytes:
    cipher = Encryptor(key)
    return b"".join([*map(cipher.update, pieces), cipher.finish()])


def decrypted(pieces: list[bytes], key: bytes = KEY) -> bytes:
    cipher = Decryptor(key)
    return b"".join([*map(cipher.update, pieces), cipher.finish()])


def split_at(whole: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(whole) + 1) for place in places), len(whole)]
    return [whole[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize(("plain", "cipher"), VECTORS)
def test_the_vectors(plain: bytes, cipher: str) -> None:
    assert encrypted([plain]).hex() == cipher
    assert decrypted([bytes.fromhex(cipher)]) == plain


@given(
    st.binary(max_size=200),
    st.lists(st.integers(0, 300), max_size=6),
    st.lists(st.integers(0, 300), max_size=6),
)
def test_however_it_is_cut_it_is_the_same(
    plain: bytes, encrypted_cuts: list[int], decrypted_cuts: list[int]
) -> None:
    whole = encrypted(split_at(plain, encrypted_cuts))
    assert whole == encrypted([plain])
    assert len(whole) == padded_size(len(plain))
    assert decrypted(split_at(whole, decrypted_cuts)) == plain


@every_row("size", [0, 1, 15, 17, 31])
def test_what_is_no_whole_block_was_cut_short(size: int) -> None:
    with pytest.raises(TruncatedCiphertext):
        decrypted([bytes(size)])


def test_another_key_is_noticed() -> None:
    with pytest.raises(WrongKey):
        decrypted([encrypted([b"hello"])], bytes(16))


@given(st.binary(min_size=16, max_size=16), st.integers(1, 4))
def test_bytes_that_nobody_encrypted_are_refused_or_shorter(last: bytes, blocks: int) -> None:
    whole = bytes(16) * (blocks - 1) + last
    with suppress(WrongKey):
        assert len(decrypted([whole])) < len(whole)


def test_every_form_is_read() -> None:
    assert key_from_hex("00112233445566778899AABBccddeeff") == KEY
    assert key_from_base64("ABEiM0RVZneImaq7zN3u/w==") == KEY
    assert key_from_base64("MDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2NkZGVlZmY=") == KEY
    assert key_from_base64(" ABEiM0RVZneImaq7zN3u_w \n") == KEY  # of the URL's alphabet, without its end


def test_it_is_written_as_phones_take_it() -> None:
    assert key_to_base64(KEY) == "MDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2NkZGVlZmY="


@every_row(
    "bad",
    ["", "0", "zz112233445566778899aabbccddeeff", "00 12233445566778899aabbccddeef", "é" * 32, "0" * 34],
)
def test_what_is_no_hex_key_is_none(bad: str) -> None:
    assert key_from_hex(bad) is None


@every_row("bad", ["", "=", "====", "a", "ABEi", "bm8ga2V5", "ABEiM0RVZneImaq7zN3u/w==x", "密"])
def test_what_is_no_base64_key_is_none(bad: str) -> None:
    assert key_from_base64(bad) is None


def test_thirty_two_bytes_that_are_no_hex_are_no_key() -> None:
    assert key_from_base64(base64.b64encode(b"z" * 32).decode()) is None
    assert key_from_base64(base64.b64encode(b" " * 32).decode()) is None


@given(st.binary(min_size=16, max_size=16))
def test_a_key_survives_its_forms(key: bytes) -> None:
    assert (
        key_from_base64(key_to_base64(key))
        == key_from_hex(key.hex())
        == key_from_base64(base64.b64encode(key).decode())
        == key
    )


@given(st.text())
def test_no_text_fails(text: str) -> None:
    key_from_hex(text)
    key_from_base64(text)


@every_row(("size", "encrypted"), [(0, 16), (15, 16), (16, 32), (31, 32), (32, 48), (100_000, 100_016)])
def test_there_is_always_padding(size: int, encrypted: int) -> None:
    assert padded_size(size) == encrypted

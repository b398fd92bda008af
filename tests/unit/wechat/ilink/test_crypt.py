"""AES-128-ECB piece by piece: the vectors of ilink 8.1, and every way to cut a file."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.wechat.ilink.crypt import CutShort, Decryptor, Encryptor, WrongKey
from wx2mqtt.wechat.ilink.keys import padded

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
VECTORS = [
    (b"", "00657ea140655a44782747705d422fad"),
    (b"hello", "9d86c8612e085e93a235794a708af7a9"),
    (b"0123456789abcdef", "aebdd39b144089d5e31cacd35b7a113a00657ea140655a44782747705d422fad"),
]


def encrypted(pieces: list[bytes], key: bytes = KEY) -> bytes:
    cipher = Encryptor(key)
    return b"".join([*map(cipher.update, pieces), cipher.end()])


def decrypted(pieces: list[bytes], key: bytes = KEY) -> bytes:
    cipher = Decryptor(key)
    return b"".join([*map(cipher.update, pieces), cipher.end()])


def cut(whole: bytes, places: list[int]) -> list[bytes]:
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
def test_however_it_is_cut_it_is_the_same(plain: bytes, there: list[int], back: list[int]) -> None:
    whole = encrypted(cut(plain, there))
    assert whole == encrypted([plain])
    assert len(whole) == padded(len(plain))
    assert decrypted(cut(whole, back)) == plain


@pytest.mark.parametrize("size", [0, 1, 15, 17, 31])
def test_what_is_no_whole_block_was_cut_short(size: int) -> None:
    with pytest.raises(CutShort):
        decrypted([bytes(size)])


def test_another_key_is_noticed() -> None:
    with pytest.raises(WrongKey):
        decrypted([encrypted([b"hello"])], bytes(16))


@given(st.binary(min_size=16, max_size=16), st.integers(1, 4))
def test_bytes_that_nobody_encrypted_are_refused_or_shorter(last: bytes, blocks: int) -> None:
    whole = bytes(16) * (blocks - 1) + last
    with suppress(WrongKey):
        assert len(decrypted([whole])) < len(whole)

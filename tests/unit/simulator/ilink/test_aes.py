"""AES-128, ECB, PKCS#7 in pieces (ilink 8.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import every_row
from wx2mqtt.simulator.ilink.aes import BadPadding, EncryptedBytes, ciphertext_size, decrypt
from wx2mqtt.simulator.media import PIECE_BYTES, GeneratedBytes, GivenBytes

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")


def whole(content, *span):
    return b"".join(content.pieces(*span))


@every_row(("size", "sealed"), [(0, 16), (15, 16), (16, 32), (31, 32), (32, 48), (100_000, 100_016)])
def test_the_size_of_the_ciphertext(size, sealed):
    assert ciphertext_size(size) == sealed
    assert len(whole(EncryptedBytes(GivenBytes(bytes(size)), KEY))) == sealed


@pytest.mark.parametrize(
    ("plain", "sealed"),
    [
        (b"", "00657ea140655a44782747705d422fad"),
        (b"hello", "9d86c8612e085e93a235794a708af7a9"),
        (b"0123456789abcdef", "aebdd39b144089d5e31cacd35b7a113a00657ea140655a44782747705d422fad"),
    ],
)
def test_the_vectors_of_the_protocol(plain, sealed):
    cipher = EncryptedBytes(GivenBytes(plain), KEY)
    assert whole(cipher).hex() == sealed
    assert whole(decrypt(cipher, KEY)) == plain


@given(
    size=st.one_of(st.integers(0, 100), st.integers(PIECE_BYTES - 20, PIECE_BYTES + 20)),
    start=st.integers(0, PIECE_BYTES + 40),
    length=st.integers(0, 200),
)
def test_any_part_is_the_same_as_that_part_of_the_whole(size, start, length):
    plain = GeneratedBytes(b"head", size, "seed")
    cipher = EncryptedBytes(plain, KEY)
    assert whole(cipher, start, start + length) == whole(cipher)[start : start + length]
    back = decrypt(cipher, KEY)
    assert back.size == size
    assert whole(back) == whole(plain)
    assert whole(back, start, start + length) == whole(plain)[start : start + length]


@every_row("data", [b"", b"x", bytes(17), bytes(16)])
def test_what_was_not_encrypted_so_is_refused(data):
    with pytest.raises(BadPadding):
        decrypt(GivenBytes(data), KEY)


def test_another_key_does_not_open_it():
    with pytest.raises(BadPadding):
        decrypt(EncryptedBytes(GivenBytes(b"x" * 100), KEY), bytes(16))

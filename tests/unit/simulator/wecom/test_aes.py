"""The encryption of files, against the library's own padding and cipher."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from wx2mqtt.simulator.media import GeneratedBytes
from wx2mqtt.simulator.wecom.aes import EncryptedBytes, FileKey, ciphertext_size

KEY = FileKey(bytes(range(32)))


def sealed(plain: bytes) -> bytes:
    padder = padding.PKCS7(256).padder()
    encryptor = Cipher(algorithms.AES(KEY.raw), modes.CBC(KEY.raw[:16])).encryptor()
    return encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 65_535, 65_536, 200_001])
def test_a_file_is_encrypted_piece_by_piece(size: int):
    source = GeneratedBytes(b"head", size, "x")
    encrypted = EncryptedBytes(source, KEY)
    whole = b"".join(encrypted.pieces())
    assert whole == sealed(b"".join(source.pieces()))
    assert len(whole) == encrypted.size == ciphertext_size(size)


@pytest.mark.parametrize(("start", "stop"), [(0, 10), (5, 70_000), (65_536, None), (199_999, 200_032)])
def test_a_range_is_a_part_of_the_whole(start: int, stop: int | None):
    encrypted = EncryptedBytes(GeneratedBytes(b"", 200_001, "x"), KEY)
    assert b"".join(encrypted.pieces(start, stop)) == b"".join(encrypted.pieces())[start:stop]


def test_a_damaged_file_is_damaged_at_its_end():
    source = GeneratedBytes(b"", 1000, "x")
    good = b"".join(EncryptedBytes(source, KEY).pieces())
    cut = EncryptedBytes(source, KEY, "cut")
    assert b"".join(cut.pieces()) == good[:-5]
    assert cut.size == len(good) - 5
    bad = b"".join(EncryptedBytes(source, KEY, "padding").pieces())
    assert (bad[:-32], bad == good) == (good[:-32], False)
    assert b"".join(EncryptedBytes(source, KEY, "empty").pieces()) == b""


def test_a_key_is_told_without_its_padding():
    assert (len(KEY.text), KEY.text.endswith("=")) == (43, False)

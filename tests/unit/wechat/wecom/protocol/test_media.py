import base64
import os

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from wx2mqtt.names import clean_filename
from wx2mqtt.wechat.wecom.protocol.media import (
    Decryptor,
    MediaLocation,
    WrongKey,
    filename_of,
    media_ref,
    parse_locator,
    read_key,
)

KEY = bytes(range(32))


def encrypted(data: bytes) -> bytes:
    padding = 32 - len(data) % 32
    cipher = Cipher(algorithms.AES(KEY), modes.CBC(KEY[:16])).encryptor()
    return cipher.update(data + bytes([padding]) * padding) + cipher.finalize()


@pytest.mark.parametrize("size", [0, 1, 15, 16, 31, 32, 33, 64, 100_000])
@pytest.mark.parametrize("step", [1, 7, 64, 65_536])
def test_a_file_is_decrypted_in_whatever_chunks_it_comes(size, step):
    if size > 1000 and step < 64:
        step = 1000
    data = os.urandom(size)
    ciphertext = encrypted(data)
    decryptor = Decryptor(KEY)
    plain = b"".join(decryptor.update(ciphertext[at : at + step]) for at in range(0, len(ciphertext), step))
    assert plain + decryptor.finish() == data


@pytest.mark.parametrize("broken", [b"", b"x", encrypted(b"data")[:-1], encrypted(b"data")[:16], bytes(64)])
def test_what_was_not_encrypted_with_the_key_is_noticed(broken):
    decryptor = Decryptor(KEY)
    decryptor.update(broken)
    with pytest.raises(WrongKey):
        decryptor.finish()


def test_a_key_is_32_bytes_in_base64_whose_padding_may_be_missing():
    text = base64.b64encode(KEY).decode()
    assert read_key(text) == read_key(text.rstrip("=")) == KEY
    assert read_key(base64.b64encode(KEY[:16]).decode()) is None
    assert read_key("no key!") is None


def test_a_locator_has_address_key_and_end():
    part = {"url": "https://x/y", "aeskey": base64.b64encode(KEY).decode()}
    ref = media_ref(part, 1000)
    assert ref
    assert parse_locator(ref.locator) == MediaLocation(url="https://x/y", key=KEY)
    assert ref.expires == 301_000
    assert "x/y" not in repr(ref)


@pytest.mark.parametrize("part", [{}, {"url": "https://x", "aeskey": "broken"}, {"url": "x" * 5000}])
def test_without_an_address_or_with_a_broken_key_there_is_none(part):
    assert media_ref(part, 0) is None


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="a.pdf"', "a.pdf"),
        ("attachment; filename*=UTF-8''%E6%8A%A5%E5%91%8A.pdf; filename=x.pdf", "报告.pdf"),
        ("attachment; filename=%E6%8A%A5%E5%91%8A.pdf", "报告.pdf"),
        ('attachment; filename="../../etc/passwd"', ".._.._etc_passwd"),
        ("inline", ""),
        ("", ""),
        (";filename*;filename*0", ""),  # at which Python's parser fails
    ],
)
def test_the_name_of_a_file_stands_in_its_header(header, name):
    assert filename_of(header) == name


def test_a_name_that_is_cut_does_not_end_in_blanks():
    name = filename_of('attachment; filename="a.pdf' + "a" * 232 + '\u00a0\u00a0a"')
    assert name == name.strip()
    assert clean_filename(name) == name


def test_a_header_that_is_too_long_names_no_file():
    assert filename_of("attachment; filename=" + "a" * 5000) == ""
    assert filename_of("attachment" + ";" * 5000) == ""

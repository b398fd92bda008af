"""Base64 in commands: every form of white space, and nothing that is not whole."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.bridge.files import encoded
from wx2mqtt.bridge.files.encoded import decoded
from wx2mqtt.errors import BadCommand


def read(data):
    return b"".join(decoded(data))


def is_refused(data):
    with pytest.raises(BadCommand) as refusal:
        read(data)
    return refusal.value.code == "bad_command"


@pytest.fixture(autouse=True, params=[4, 7, 64, 512 * 1024])
def piece(request):
    """Wherever the text is cut into pieces."""
    before, encoded.PIECE = encoded.PIECE, request.param
    yield
    encoded.PIECE = before


@given(
    st.binary(max_size=300),
    st.lists(st.sampled_from([" ", "\n", "\r\n", "\t", "\f"]), max_size=40),
    st.randoms(),
)
def test_what_was_encoded_is_read_wherever_there_are_blanks(data, blanks, dice):
    text = list(base64.b64encode(data).decode())
    for blank in blanks:
        text.insert(dice.randint(0, len(text)), blank)
    assert read("".join(text)) == data


@given(st.binary(min_size=1, max_size=300), st.integers(1, 400))
def test_what_was_cut_off_is_refused_unless_whole_bytes_are_left(data, cut):
    text = base64.b64encode(data).decode()
    left = text[: max(0, len(text) - cut)]
    if len(left) % 4:
        assert is_refused(left)
    else:
        assert data.startswith(read(left))


@given(st.text(max_size=40))
def test_whatever_comes_is_read_or_refused(text):
    try:
        read(text)
    except BadCommand as bad:
        assert bad.word == "bad_base64"


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AA",
        "AAA",
        "AA=",
        "=",
        "====",
        "AA==AA==",
        "AA== AAAA",
        "AA==\n=",
        "A=AA",
        "AAAA=",
        "AA_-",
        "AA!A",
        "AAÄA",
        "\u0661AAA",
        "data:image/png;base64,AAAA",
        "AAAA\0",
    ],
)
def test_what_is_no_base64_is_refused(text):
    assert is_refused(text)


def test_much_is_read_in_pieces():
    data = bytes(range(256)) * 40
    pieces = list(decoded(base64.encodebytes(data).decode()))
    assert b"".join(pieces) == data
    assert (len(pieces) == 1) == (encoded.PIECE > 64)

"""The parts of an upload and what comes of them (webwx 2.14)."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wx2mqtt.simulator import uploads
from wx2mqtt.simulator.uploads import PART, Announced, BadUpload, Uploads

DATA = bytes(2 * PART) + b"end"
PARTS = [DATA[:PART], DATA[PART : 2 * PART], DATA[2 * PART :]]


def announced(**other) -> Announced:
    values = {
        "key": "1",
        "name": "a.bin",
        "size": len(DATA),
        "media_type": "doc",
        "md5": hashlib.md5(DATA).hexdigest(),
        "parts": 3,
        **other,
    }
    return Announced(**values)


def test_all_parts_make_a_file_that_is_found_by_its_media_id():
    all_of_it = Uploads(random.Random(1))
    for number, part in enumerate(PARTS):
        upload = all_of_it.take(announced(), number, part)
        assert (upload.ready is not None) is (number == 2)
    assert upload.ready is not None
    assert all_of_it.find(upload.ready.media_id) is upload.ready
    assert b"".join(upload.ready.content.pieces()) == DATA


@given(st.lists(st.integers(0, 3), max_size=8))
def test_only_the_right_order_makes_a_file(numbers: list[int]):
    all_of_it, ready = Uploads(random.Random(1)), None
    for number in numbers:
        try:
            upload = all_of_it.take(announced(), number, [*PARTS, b""][number])
        except BadUpload:
            continue
        ready = upload.ready or ready
        assert upload.content.size == sum(map(len, PARTS[: upload.parts]))
    if ready:
        assert b"".join(ready.content.pieces()) == DATA


def test_an_upload_that_begins_again_begins_again():
    all_of_it = Uploads(random.Random(1))
    for number in (0, 1, 0, 1, 2):
        upload = all_of_it.take(announced(), number, PARTS[number])
    assert upload.ready is not None


def test_parts_that_say_other_things_are_refused():
    all_of_it = Uploads(random.Random(1))
    all_of_it.take(announced(), 0, PARTS[0])
    with pytest.raises(BadUpload, match="different things"):
        all_of_it.take(announced(name="b.bin"), 1, PARTS[1])


@pytest.mark.parametrize(
    ("name", "media_type", "fits"),
    [
        ("a.JPG", "pic", True),
        ("a.b.png", "pic", True),
        ("a.gif", "pic", False),
        ("jpg", "pic", False),
        ("a.mp4", "video", True),
        ("a.mov", "video", False),
        ("a.jpg", "doc", True),
        ("", "doc", True),
    ],
)
def test_what_may_go_as_what(name: str, media_type: uploads.MediaType, fits: bool):
    assert uploads.fits(name, media_type) is fits


def test_of_very_many_the_oldest_go():
    all_of_it, media_ids = Uploads(random.Random(1)), []
    for number in range(uploads.KEPT + 1):
        upload = all_of_it.take(announced(key=str(number), size=1, md5="", parts=1), 0, b"a")
        assert upload.ready is not None
        media_ids.append(upload.ready.media_id)
    assert all_of_it.find(media_ids[0]) is None
    assert all_of_it.find(media_ids[1]) is not None

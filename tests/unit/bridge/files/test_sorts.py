"""As what a file goes out: by what is in it."""

from __future__ import annotations

import pytest

from tests.unit.bridge.outgoing import CAPABILITIES
from wx2mqtt.bridge.files.sorts import kind_for, largest
from wx2mqtt.errors import BadCommand
from wx2mqtt.model import Kind
from wx2mqtt.words import explain

MEDIA = CAPABILITIES.media


@pytest.mark.parametrize(
    ("asked", "mime", "kind"),
    [
        ("image", "image/jpeg", Kind.IMAGE),
        ("image", "image/png", Kind.IMAGE),
        ("image", "image/bmp", Kind.IMAGE),
        ("image", "image/gif", Kind.STICKER),
        ("video", "video/mp4", Kind.VIDEO),
        ("file", "image/jpeg", Kind.FILE),
        ("file", "image/gif", Kind.FILE),
        ("file", "text/html", Kind.FILE),
        ("file", "application/octet-stream", Kind.FILE),
    ],
)
def test_what_wechat_takes(asked, mime, kind):
    assert kind_for(asked, mime, MEDIA) is kind


@pytest.mark.parametrize(
    ("asked", "mime", "code"),
    [
        ("image", "image/webp", "unsupported"),
        ("image", "image/heic", "unsupported"),
        ("image", "image/svg+xml", "unsupported"),
        ("video", "video/quicktime", "unsupported"),
        ("video", "video/x-matroska", "unsupported"),
        ("image", "text/plain", "bad_file"),
        ("image", "application/octet-stream", "bad_file"),
        ("image", "video/mp4", "bad_file"),
        ("video", "image/gif", "bad_file"),
        ("video", "image/jpeg", "bad_file"),
        ("recall", "image/jpeg", "unsupported"),
    ],
)
def test_what_it_does_not_take_is_refused_and_told_how_else(asked, mime, code):
    with pytest.raises(BadCommand) as refusal:
        kind_for(asked, mime, MEDIA)
    assert refusal.value.code == code
    if asked != "recall":
        assert "as kind file" in explain("en", refusal.value)


def test_without_stickers_a_gif_is_a_picture_of_another_sort():
    with pytest.raises(BadCommand) as refusal:
        kind_for("image", "image/gif", {one: MEDIA[one] for one in ("image", "file")})
    assert refusal.value.code == "unsupported"


def test_the_largest_is_that_of_whatever_it_may_turn_out_to_be():
    assert largest("image", MEDIA) == 2000
    assert largest("image", {**MEDIA, "sticker": MEDIA["file"]}) == 1_000_000
    assert largest("voice", MEDIA) == 0

"""Base64, file names and kinds of the files in commands."""

from __future__ import annotations

import base64
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.rows import every_row
from tests.unit.bridge.commands_harness import CAPABILITIES
from wx2mqtt.bridge import attachment_checks
from wx2mqtt.bridge.attachment_checks import (
    check_filename,
    choose_filename,
    decode_base64,
    filename_of,
    kind_for,
    max_bytes,
    screen_content,
)
from wx2mqtt.errors import BadCommand
from wx2mqtt.i18n.bridge import rejection_text
from wx2mqtt.limits import MAX_FILENAME_BYTES
from wx2mqtt.model import Blob, Kind
from wx2mqtt.store.file_type import SNIFFED_BYTES
from wx2mqtt.wechat.backend import MediaLimits


def decode(data):
    return b"".join(decode_base64(data))


def is_refused(data):
    with pytest.raises(BadCommand) as refusal:
        decode(data)
    return refusal.value.code == "bad_command"


@pytest.fixture(autouse=True, params=[4, 7, 64, 512 * 1024])
def chunk_size(request):
    """Runs each test with several numbers of characters that are decoded at a time."""
    before, attachment_checks.BASE64_CHUNK_CHARACTERS = (
        attachment_checks.BASE64_CHUNK_CHARACTERS,
        request.param,
    )
    yield
    attachment_checks.BASE64_CHUNK_CHARACTERS = before


@given(
    st.binary(max_size=300),
    st.lists(st.sampled_from([" ", "\n", "\r\n", "\t", "\f"]), max_size=40),
    st.randoms(),
)
def test_what_was_encoded_is_read_wherever_there_are_blanks(data, blanks, rng):
    text = list(base64.b64encode(data).decode())
    for blank in blanks:
        text.insert(rng.randint(0, len(text)), blank)
    assert decode("".join(text)) == data


@given(st.binary(min_size=1, max_size=300), st.integers(1, 400))
def test_what_was_cut_off_is_refused_unless_whole_bytes_are_left(data, cut):
    text = base64.b64encode(data).decode()
    left = text[: max(0, len(text) - cut)]
    if len(left) % 4:
        assert is_refused(left)
    else:
        assert data.startswith(decode(left))


@given(st.text(max_size=40))
def test_whatever_comes_is_read_or_refused(text):
    try:
        decode(text)
    except BadCommand as bad:
        assert bad.message_key == "bad_base64"


@every_row(
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
    pieces = list(decode_base64(base64.encodebytes(data).decode()))
    assert b"".join(pieces) == data
    assert (len(pieces) == 1) == (attachment_checks.BASE64_CHUNK_CHARACTERS > 64)


ENDINGS = st.sampled_from([".jpg", ".mp4", ".bin", ".txt"])


def is_accepted(name):
    try:
        check_filename(name)
    except BadCommand:
        return False
    return True


@every_row(
    ("found", "name"),
    [
        ("/home/me/图.png", "图.png"),
        ("C:\\Users\\me\\a.doc", "a.doc"),
        ("/a/..", ""),
        ("/a/.", ""),
        ("/a/", ""),
        ("", ""),
        ("/a/.bashrc", ".bashrc"),
        ("a\0b.jpg", "ab.jpg"),
        ("a\tb\nc.jpg", "abc.jpg"),
        ("  a   b .jpg ", "a   b .jpg"),
        ('a:*?"<>|&.txt', 'a:*?"<>|&.txt'),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("\ufeffa.txt", "\ufeffa.txt"),
        ("e\u0301.txt", "\u00e9.txt"),
        ("👨\u200d👩\u200d👧.png", "👨\u200d👩\u200d👧.png"),
    ],
)
def test_what_is_found_at_the_end_of_a_path_is_made_good(found, name):
    assert filename_of(found) == name


@every_row("stem", ["x" * 300, "图" * 300, "👨\u200d👩" * 60, "x. " * 100])
@every_row("ending", [".jpg", ".tar", ".JPEG", ""])
def test_one_that_is_too_long_is_cut_and_keeps_its_extension(stem, ending):
    name = filename_of(stem + ending)
    assert MAX_FILENAME_BYTES - 16 < len(name.encode()) <= MAX_FILENAME_BYTES
    assert name.endswith(ending)
    assert is_accepted(name)


def test_what_looks_like_no_extension_is_cut_with_the_rest():
    assert filename_of("a." + "b" * 300) == "a." + "b" * (MAX_FILENAME_BYTES - 2)


@given(st.text(max_size=400))
@example("..")
@example("a/..\\..")
@example("\u202e..")
def test_what_was_made_good_is_good_and_stays_so(found):
    name = filename_of(found)
    assert is_accepted(name)
    assert name not in {".", ".."}
    assert not set(name) & {"/", "\\", "\0"}
    assert filename_of(name) == name
    assert all(unicodedata.category(sign) not in {"Cc", "Zl", "Zp", "Cs"} for sign in name)


@given(st.text(max_size=300), ENDINGS, st.sampled_from(["image", "video", "file"]))
def test_every_file_has_a_name(found, ending, kind):
    name = choose_filename("", found, kind, ending)
    assert name
    assert is_accepted(name)


@every_row(
    ("given_name", "found", "kind", "ending", "name"),
    [
        ("", "", "image", ".jpg", "image.jpg"),
        ("", "", "video", ".mp4", "video.mp4"),
        ("", "", "file", ".bin", "file.bin"),
        ("", "/tmp/snap", "image", ".png", "snap.png"),
        ("", "/tmp/snap.jpeg", "image", ".jpg", "snap.jpeg"),
        ("holiday", "/tmp/snap.jpeg", "image", ".jpg", "holiday.jpg"),
        ("holiday.jpg", "/tmp/snap.jpeg", "image", ".jpg", "holiday.jpg"),
        ("LICENSE", "", "file", ".txt", "LICENSE.txt"),
        ("LICENSE", "", "file", ".bin", "LICENSE"),
        (" ", "", "file", ".txt", "file.txt"),
        ("v1.2", "", "file", ".txt", "v1.2"),
    ],
)
def test_a_name_that_is_given_wins_and_an_extension_is_added_where_there_is_none(
    given_name, found, kind, ending, name
):
    assert choose_filename(given_name, found, kind, ending) == name


@every_row(
    "name",
    [
        "a.pdf",
        "Bericht 1.pdf",
        "图.png",
        "..a",
        "a..b",
        '12:30 *?*"<x>|&.pdf',
        ".x",
        "👨\u200d👩.png",
        "x" * MAX_FILENAME_BYTES,
    ],
)
def test_a_plain_name_is_taken_as_it_is(name):
    assert is_accepted(name)


@every_row(
    "name",
    [
        "a/b",
        "\\",
        "..",
        ".",
        "a\0",
        "a\r",
        "\x1b",
        "\x7f",
        "\u202e",
        "\u2066a",
        "\u200ea",
        "\u061c",
        "\u2028",
    ],
)
def test_one_that_hides_something_is_refused(name):
    assert not is_accepted(name)
    assert not is_accepted("x" * (MAX_FILENAME_BYTES + 1))
    assert not is_accepted("图" * 100)


MEDIA = CAPABILITIES.media


def blob(mime: str, size: int = 10, width: int | None = 640) -> Blob:
    return Blob(sha256="ab12", size=size, mime=mime, path="media/ab/ab12.bin", width=width, height=width)


@every_row(
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
    assert kind_for(asked, blob(mime), MEDIA) is kind


@every_row(
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
def test_what_it_does_not_take_is_refused_with_the_accepted_types(asked, mime, code):
    with pytest.raises(BadCommand) as refusal:
        kind_for(asked, blob(mime), MEDIA)
    assert refusal.value.code == code
    if asked != "recall":
        assert "as kind file" in rejection_text("en", refusal.value)


def test_without_stickers_a_gif_is_a_picture_of_another_sort():
    with pytest.raises(BadCommand) as refusal:
        kind_for("image", blob("image/gif"), {name: MEDIA[name] for name in ("image", "file")})
    assert refusal.value.code == "unsupported"


@pytest.mark.parametrize("mime", ["image/jpeg", "image/gif"])
def test_a_picture_whose_width_and_height_cannot_be_read_is_called_damaged(mime):
    with pytest.raises(BadCommand) as refusal:
        kind_for("image", blob(mime, width=None), MEDIA)
    assert refusal.value.code == "bad_file"
    assert rejection_text("en", refusal.value).startswith(
        f"the width and height of this {mime} cannot be read, the file may be damaged"
    )


def test_of_a_large_picture_they_may_stand_behind_the_bytes_that_were_looked_at():
    limits = {"image": MediaLimits(max_bytes=10**6, mime_types=frozenset({"image/jpeg"}))}
    assert kind_for("image", blob("image/jpeg", size=SNIFFED_BYTES, width=None), limits) is Kind.IMAGE


def test_the_largest_is_that_of_whatever_it_may_turn_out_to_be():
    assert max_bytes("image", MEDIA) == 2000
    assert max_bytes("image", {**MEDIA, "sticker": MEDIA["file"]}) == 1_000_000
    assert max_bytes("voice", MEDIA) == 0


# A backend that takes as a file what it refuses as a picture or a video

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

FILE_FALLBACK_LIMITS = {
    "image": MediaLimits(max_bytes=10, mime_types=frozenset({"image/png"}), min_bytes=5, else_as_file=True),
    "video": MediaLimits(max_bytes=10, mime_types=frozenset({"video/mp4"}), min_bytes=5, else_as_file=True),
    "file": MediaLimits(max_bytes=20, min_bytes=5),
}


@every_row(
    ("asked", "stored", "kind"),
    [
        ("image", blob("image/png"), Kind.IMAGE),
        ("image", blob("image/png", size=11), Kind.FILE),
        ("image", blob("image/webp"), Kind.FILE),
        ("image", blob("image/heic", width=None), Kind.FILE),
        ("image", blob("image/png", width=None), Kind.FILE),
        ("image", blob("text/plain", width=None), Kind.FILE),
        ("image", blob("video/mp4", width=None), Kind.FILE),
        ("video", blob("video/mp4", width=None), Kind.VIDEO),
        ("video", blob("video/mp4", size=11), Kind.FILE),
        ("video", blob("video/quicktime", size=5), Kind.FILE),
        ("video", blob("application/octet-stream", width=None), Kind.FILE),
        ("file", blob("image/png", size=11), Kind.FILE),
    ],
)
def test_what_is_refused_as_a_picture_or_a_video_goes_as_a_file(asked, stored, kind):
    assert kind_for(asked, stored, FILE_FALLBACK_LIMITS) is kind
    assert max_bytes(asked, FILE_FALLBACK_LIMITS) == 20


async def screen(size: int, kind: str = "file", head: bytes = b"") -> bytes:
    async def chunks():
        yield head + b"x" * size

    error = BadCommand("storage_full", "no_room_for_file")
    return b"".join(
        [chunk async for chunk in screen_content(chunks(), kind, FILE_FALLBACK_LIMITS, 10**6, error)]
    )


async def test_a_file_is_neither_too_large_nor_too_small():
    assert [len(await screen(size)) for size in (5, 20)] == [5, 20]
    with pytest.raises(BadCommand) as large:
        await screen(21)
    assert (large.value.code, large.value.facts["limit"]) == ("too_large", 20)
    with pytest.raises(BadCommand) as small:
        await screen(4)
    assert small.value.code == "bad_file"
    assert [len(await screen(size, "video")) for size in (5, 20)] == [5, 20]
    assert len(await screen(8, "image", PNG_SIGNATURE)) == 16
    assert "fewer than 5" in rejection_text("en", small.value)

"""Small real files, one of each kind, for messages without given bytes. Read on first use."""

from __future__ import annotations

import functools
from pathlib import Path

_FOLDER = Path(__file__).parent

_FILES = {
    "image": "image.jpg",
    "voice": "voice.mp3",
    "silk": "voice.silk",
    "video": "video.mp4",
    "sticker": "sticker.gif",
    "file": "file.pdf",
}


@functools.cache
def sample(name: str) -> bytes:
    """Returns the bytes of a file in this folder."""
    return (_FOLDER / name).read_bytes()


def sample_of_kind(kind: str) -> bytes:
    """Returns the sample of a kind: image, voice, silk, video, sticker or file."""
    return sample(_FILES[kind])

"""Small real files, one of each kind, for what nobody gave bytes for. Read when they are needed."""

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
    """The file of that name in this folder."""
    return (_FOLDER / name).read_bytes()


def sample_of_kind(kind: str) -> bytes:
    """What a message of that kind brings: image, voice, silk, video, sticker or file."""
    return sample(_FILES[kind])

"""Small PNGs of what a browser window shows."""

from __future__ import annotations

import base64
import io
import subprocess
from pathlib import Path

from PIL import Image

from tests.support.chromium import MISSING, Chromium

COLOURS = 96
"""Of the palette; with it a picture of a page has a quarter of its size, and letters stay clean."""


def missing() -> str:
    """Returns what a picture of a page needs and this machine does not have; empty if it has all."""
    if MISSING:
        return MISSING
    fonts = subprocess.run(["fc-list", ":lang=zh-cn"], capture_output=True, text=True, check=False).stdout
    return "" if fonts else "no font has Chinese characters (Debian: apt-get install fonts-noto-cjk)"


def taken(browser: Chromium) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(browser.screenshot()))).convert("RGB")


def save(image: Image.Image, file: Path) -> None:
    """Writes a PNG with a palette."""
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    whole = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "white")
    whole.paste(left, (0, 0))
    whole.paste(right, (left.width, 0))
    return whole

"""A phone's scanner: what a picture says."""

from __future__ import annotations

import io

import zxingcpp
from PIL import Image


def codes_in(png: bytes) -> list[str]:
    """The QR codes in PNG bytes."""
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return [code.text for code in zxingcpp.read_barcodes(image.convert("L"))]

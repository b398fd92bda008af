"""Reads QR codes from pictures."""

from __future__ import annotations

import io

import zxingcpp
from PIL import Image


def codes_in(png: bytes) -> list[str]:
    """Returns the texts of the QR codes in a PNG."""
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return [code.text for code in zxingcpp.read_barcodes(image.convert("L"))]

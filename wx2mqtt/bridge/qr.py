"""The login QR code as a picture, and the placeholder that stands where none is needed (DESIGN 4)."""

from __future__ import annotations

import io
from importlib.resources import files

from wx2mqtt.lean import without
from wx2mqtt.words import Language


def picture(url: str) -> bytes:
    """PNG bytes of the QR code of `url`: black on white with its quiet zone, 10 pixels a module."""
    with without("PIL"):  # which qrcode loads for styled pictures where it can: 4 MB
        import qrcode  # noqa: PLC0415 - a bridge with a saved login never needs it
        from qrcode.image.pure import PyPNGImage  # noqa: PLC0415

    code = qrcode.QRCode(box_size=10, border=4, image_factory=PyPNGImage)
    code.add_data(url)
    stream = io.BytesIO()
    code.make_image().save(stream)
    return stream.getvalue()


def placeholder(language: Language, *, needed: bool) -> bytes:
    """PNG bytes that say that no code is needed, or that one must be asked for first."""
    name = f"qr-{'ask' if needed else 'none'}-{language}.png"
    return files("wx2mqtt.bridge").joinpath("pictures", name).read_bytes()

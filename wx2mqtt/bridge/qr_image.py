"""The pictures on `login/qr`: the QR code as PNG, and the placeholder while no code is needed.

`StatusTopics.show_login` publishes them (`status_topics.py`). Their type is `PNG_TYPE` (`mqtt/topics.py`). It
also stands in Home Assistant's discovery (`mqtt/discovery.py`) and in the name of the picture on the page
(`QR_IMAGE_NAME` in `web/page/sections.py`).
"""

from __future__ import annotations

import io
from pathlib import Path

from wx2mqtt.i18n import Language
from wx2mqtt.memory import block_imports

PICTURES_FOLDER = Path(__file__).with_name("pictures")


def qr_picture(url: str) -> bytes:
    """Returns a PNG of the QR code of `url`: black on white with quiet zone, 10 pixels per module."""
    with block_imports("PIL"):  # qrcode loads PIL if it is installed, needs it for styles only: 4 MB
        import qrcode  # noqa: PLC0415 - a bridge with a saved login never needs it
        from qrcode.image.pure import PyPNGImage  # noqa: PLC0415

    code = qrcode.QRCode(box_size=10, border=4, image_factory=PyPNGImage)
    code.add_data(url)
    stream = io.BytesIO()
    code.make_image().save(stream)
    return stream.getvalue()


def placeholder_picture(language: Language, *, needed: bool) -> bytes:
    """Returns a PNG with the text that no QR code is needed, or (`needed`) that one must be requested."""
    name = f"qr-{'ask' if needed else 'none'}-{language}.png"
    return (PICTURES_FOLDER / name).read_bytes()

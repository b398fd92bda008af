"""Draws QR codes as JPEG pictures, as web WeChat's servers do."""

from __future__ import annotations

import io

_PIXELS_PER_MODULE = 10  # a module


def draw_qr_jpeg(text: str) -> bytes:
    import qrcode as library  # noqa: PLC0415 - rarely needed
    from PIL import Image  # noqa: PLC0415 - heavy, rarely needed

    code = library.QRCode(border=4)
    code.add_data(text)
    modules = code.get_matrix()
    picture = Image.new("L", (len(modules), len(modules)), 255)
    picture.putdata([0 if dark else 255 for row in modules for dark in row])
    file = io.BytesIO()
    scale = _PIXELS_PER_MODULE * len(modules)
    picture.resize((scale, scale), Image.Resampling.NEAREST).convert("RGB").save(file, "JPEG")
    return file.getvalue()

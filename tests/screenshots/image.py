"""Small PNGs of what a browser window shows, the same whenever they are made."""

from __future__ import annotations

import base64
import io
import subprocess
from pathlib import Path

import qrcode
from PIL import Image, ImageChops
from qrcode.image.pure import PyPNGImage

from tests.support.chromium import MISSING, Chromium

COLOURS = 96
"""Of the palette; with it a picture of a page has a quarter of its size, and letters stay clean."""

# In steps of 256 of grey. The browser draws corners a little differently each time, a few pixels of them by more than
# that; a letter that is another one has dozens of them.
SEEN_DIFFERENCE = 32
MAX_DIFFERENT_PIXELS = 8

# Replaces times, ids and codes, which differ at each run, by fixed ones of the same form.
FIX_CHANGING_TEXTS = r"""
const ids = ['3f9a1c0b5e7d2468', '7b20d4e6918fa35c', 'c15e83f7a2064d9b'];
const changes = [
  [/\d{1,2}:\d{2}:\d{2}/g, '10:08:24'],
  [/(?<![\d:])\d{1,2}:\d{2}(?![\d:])/g, '10:08'],
  [/[AP]M/g, 'AM'],
  [/\b(?:January|February|March|April|May|June|July|August|September|October|November|December) \d{1,2}(?=, \d{4})/g, 'November 25'],
  [/\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{1,2}(?=, \d{4})/g, 'Nov 25'],
  [/\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b/g, 'Thu'],
  [/\d{4}年\d{1,2}月\d{1,2}日/g, '2026年11月25日'],
  [/\d{1,2}\/\d{1,2}\/20\d{2}/g, '11/25/2026'],
  [/周[一二三四五六日]/g, '周四'],
  [/\d+ seconds? ago/g, '5 seconds ago'],
  [/\d+ ?秒(钟?)前/g, '5秒$1前'],
  [/\b[0-9a-f]{16}\b/g, () => ids[number++ % ids.length]],
];
let number = 0;
for (const timer of document.querySelectorAll('[role=timer]')) timer.textContent = '4:52';
(function still(node) {
  if (node.nodeType === Node.TEXT_NODE && !node.parentElement?.closest('[role=timer]')) {
    const text = changes.reduce((text, [found, by]) => text.replace(found, by), node.data);
    if (text !== node.data) node.data = text;
  }
  for (const one of [...(node.shadowRoot?.childNodes ?? []), ...node.childNodes]) still(one);
})(document.body);
"""

QR_CODE = "https://liteapp.weixin.qq.com/q/7GiQu1?qrcode=example&bot_type=3"


def missing() -> str:
    """Returns what a picture of a page needs and this machine does not have; empty if it has all."""
    if MISSING:
        return MISSING
    fonts = subprocess.run(["fc-list", ":lang=zh-cn"], capture_output=True, text=True, check=False).stdout
    return "" if fonts else "no font has Chinese characters (Debian: apt-get install fonts-noto-cjk)"


def fix_changing_texts(browser: Chromium) -> None:
    """Replaces times, ids and codes by fixed ones."""
    browser.run(FIX_CHANGING_TEXTS)


def screenshot(browser: Chromium) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(browser.screenshot()))).convert("RGB")


def replace_code(browser: Chromium) -> None:
    """Shows a fixed QR code; the page must be open without its Content-Security-Policy."""
    code = qrcode.QRCode(box_size=10, border=4, image_factory=PyPNGImage)
    code.add_data(QR_CODE)
    code.make_image().save(picture := io.BytesIO())
    source = f"data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()}"
    browser.promise(
        "new Promise(done => { const image = document.querySelector('.login img');"
        f" image.onload = () => done(true); image.src = {source!r} }})"
    )


def save(image: Image.Image, file: Path) -> None:
    """Writes a PNG with a palette, unless the file shows the same already."""
    reduced = image.quantize(COLOURS, dither=Image.Dither.NONE)
    if file.exists():
        with Image.open(file) as before:
            if _shows_same(before.convert("RGB"), reduced.convert("RGB")):
                return
    reduced.save(file, optimize=True)


def _shows_same(first: Image.Image, second: Image.Image) -> bool:
    """Returns whether the pictures differ so little that nobody sees it."""
    if first.size != second.size:
        return False
    differences = ImageChops.difference(first, second).convert("L").histogram()
    return sum(differences[SEEN_DIFFERENCE:]) <= MAX_DIFFERENT_PIXELS


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    whole = Image.new("RGB", (left.width + right.width, max(left.height, right.height)), "white")
    whole.paste(left, (0, 0))
    whole.paste(right, (left.width, 0))
    return whole

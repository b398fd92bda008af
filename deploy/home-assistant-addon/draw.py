"""Draws the pictures of the add-on into this folder: `python deploy/home-assistant-addon/draw.py`.

Two speech bubbles, as in a chat, with the three waves of a broadcast between them.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

GREEN, DARK, WHITE = "#2aae67", "#1c3d5a", "#ffffff"
SCALE = 8  # drawn larger and reduced, so that edges are smooth
ICON_PIXELS = 128
LOGO_PIXELS = (250, 100)


def bubble(
    draw: ImageDraw.ImageDraw, left: int, top: int, width: int, colour: str, *, tail_left: bool
) -> None:
    """Draws a speech bubble of 3 to 4 with its tail at the bottom."""
    height = width * 3 // 4
    draw.rounded_rectangle((left, top, left + width, top + height), radius=height // 3, fill=colour)
    foot = left + width // 5 if tail_left else left + width - width // 5
    tip = foot - width // 8 if tail_left else foot + width // 8
    bottom = top + height
    draw.polygon(
        [(foot - width // 10, bottom - 4), (foot + width // 10, bottom - 4), (tip, bottom + width // 6)],
        fill=colour,
    )


def mark(pixels: int) -> Image.Image:
    """Returns the sign without words, in a square."""
    size = pixels * SCALE
    picture = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    draw = ImageDraw.Draw(picture)
    bubble(draw, size * 4 // 100, size * 10 // 100, size * 62 // 100, GREEN, tail_left=True)
    bubble(draw, size * 44 // 100, size * 44 // 100, size * 52 // 100, DARK, tail_left=False)
    centre = (size * 62 // 100, size * 72 // 100)
    for radius in (8, 16, 24):
        reach = size * radius // 100
        box = (centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach)
        draw.arc(box, start=-50, end=50, fill=WHITE, width=size * 4 // 100)
    for column in (20, 33, 46):
        eye, reach = (size * column // 100, size * 33 // 100), size * 4 // 100
        draw.ellipse((eye[0] - reach, eye[1] - reach, eye[0] + reach, eye[1] + reach), fill=WHITE)
    return picture.resize((pixels, pixels), Image.Resampling.LANCZOS)


def icon() -> Image.Image:
    return mark(ICON_PIXELS)


def logo() -> Image.Image:
    """Returns the sign in the middle of a wide picture, as the add-on's page shows it."""
    width, height = LOGO_PIXELS
    picture = Image.new("RGBA", LOGO_PIXELS, (0, 0, 0, 0))
    picture.paste(mark(height), ((width - height) // 2, 0))
    return picture


if __name__ == "__main__":
    here = Path(__file__).parent
    icon().save(here / "icon.png", optimize=True)
    logo().save(here / "logo.png", optimize=True)

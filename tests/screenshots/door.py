"""Draws `deploy/home-assistant/door.jpg`, the picture of a stand-in camera: `python -m tests.screenshots.door`.

A front door in the evening under a lamp, with a parcel before it and the time in a corner.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

PICTURE = Path(__file__).parents[2] / "deploy/home-assistant/door.jpg"
WIDTH, HEIGHT = 800, 600
WALL, DOOR, FRAME, STONE = "#8a6f5a", "#2f4f45", "#d8cfc0", "#6d6a66"
PARCEL, TAPE, BRASS, GLASS = "#b98b57", "#d9c08c", "#c9a24a", "#ffd98a"


def draw_scene() -> Image.Image:
    """Returns the wall, the door, the step and what lies there, without light."""
    image = Image.new("RGB", (WIDTH, HEIGHT), WALL)
    draw = ImageDraw.Draw(image)
    for row, y in enumerate(range(0, HEIGHT, 30)):  # bricks
        draw.line((0, y, WIDTH, y), fill="#7a604d", width=2)
        for x in range(-40 * (row % 2), WIDTH, 80):
            draw.line((x, y, x, y + 30), fill="#7a604d", width=2)
    draw.rectangle((0, 510, WIDTH, HEIGHT), fill=STONE)
    draw.rectangle((255, 70, 545, 515), fill=FRAME)
    draw.rectangle((275, 90, 525, 515), fill=DOOR)
    for left in (300, 410):
        draw.rectangle((left, 115, left + 90, 250), fill=GLASS)
        draw.rectangle((left, 285, left + 90, 480), outline="#213a32", width=5)
    draw.ellipse((488, 300, 508, 320), fill=BRASS)
    draw.rectangle((585, 300, 607, 345), fill="#222222")  # the bell
    draw.ellipse((590, 318, 602, 330), fill="#f2f2f2")
    draw.rectangle((360, 455, 500, 545), fill=PARCEL)
    draw.rectangle((422, 455, 438, 545), fill=TAPE)
    return image


def add_light(image: Image.Image) -> Image.Image:
    """Returns the scene in the light of a lamp above the door: dark at the edges, slightly blurred."""
    light = Image.new("L", (WIDTH, HEIGHT), 60)
    ImageDraw.Draw(light).ellipse((90, -120, 710, 640), fill=255)
    light = light.filter(ImageFilter.GaussianBlur(110))
    dark = Image.new("RGB", (WIDTH, HEIGHT), "#0b0f18")
    return Image.composite(image.filter(ImageFilter.GaussianBlur(1)), dark, light)


def main() -> None:
    """Writes the picture."""
    image = add_light(draw_scene())
    ImageDraw.Draw(image).text((20, 565), "FRONT DOOR  19:42:07", fill="#f0f0f0", font_size=22)
    image.save(PICTURE, quality=82, optimize=True)


if __name__ == "__main__":
    main()

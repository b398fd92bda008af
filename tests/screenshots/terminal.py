"""`wx2mqtt setup` at a terminal, in both languages."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.screenshots.image import save, screenshot
from tests.support.chromium import Chromium
from tests.support.screen import Screen

PICTURES = ("setup-en.png", "setup-zh.png")
COMMAND_SHOWN = "wx2mqtt setup --embedded"
WIDTH = 880

ANSWERS = {
    "en": (
        ("Which language", "1"), ("Which backend", "1"), ("Home Assistant?", "y"), ("may be sent", ""),
        ("Name for yourself", "me"), ("remind you", "y"), ("next login", "y"), ("another way", "n"),
    ),
    "zh": (
        ("Which language", "2"), ("哪种后端", "1"), ("Home Assistant", "y"), ("内网主机", ""),
        ("主题名", "me"), ("提醒", "y"), ("下一次登录", "y"), ("备用通道", "n"),
    ),
}  # fmt: skip

# Monospaced fonts; in the second one a Chinese character is as wide as two Latin letters.
FONTS = {"en": '"DejaVu Sans Mono", "Noto Sans Mono CJK SC"', "zh": '"Noto Sans Mono CJK SC"'}

PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #1b1f1d; color: #e8ecea; }}
pre {{ margin: 0; padding: 1.2rem; white-space: pre-wrap; font: 15px/1.5 {font}, monospace; }}
b {{ color: #4fd08a; }}
</style><pre><b>$</b> {command}
{code}</pre>"""


def make(folder: Path) -> None:
    """Answers the questions as a person would, and draws the terminal."""
    for language in ANSWERS:
        with tempfile.TemporaryDirectory() as temporary_folder:
            page = Path(temporary_folder) / "terminal.html"
            code = _as_html(_run_setup(temporary_folder, language))
            page.write_text(PAGE.format(font=FONTS[language], command=COMMAND_SHOWN, code=code))
            with Chromium(WIDTH, 400) as browser:
                browser.open(page.as_uri())
                browser.whole()
                save(screenshot(browser), folder / f"setup-{language}.png")


def _run_setup(folder: str, language: str) -> str:
    options = ["--embedded", "--no-unit", "-c", "wx2mqtt.yaml"]
    programs = Path(sys.executable).parent
    command = ["env", "-C", folder, str(programs / "wx2mqtt"), "setup", *options]
    env = {"LANG": "C.UTF-8", "LC_ALL": "", "PATH": f"{programs}:{os.environ['PATH']}"}
    with Screen(command, env) as screen:
        for question, answer in ANSWERS[language]:
            screen.next(question)
            screen.next("]: ")  # else the answer may stand before the end of the question
            screen.type(answer)
        assert screen.wait() == 0, screen.text
    return screen.text.replace("\r\n", "\n").replace(folder, "~").rstrip()


def _as_html(text: str) -> str:
    console = Console(record=True, file=io.StringIO(), force_terminal=True)
    # The browser breaks the lines: also between Chinese characters.
    console.print(Text.from_ansi(text), soft_wrap=True)
    return console.export_html(inline_styles=True, code_format="{code}")

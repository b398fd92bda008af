"""A program on a pseudo terminal: a test types lines, and scans the QR codes on the screen."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import zxingcpp
from PIL import Image

from tests.support.deadlines import MAX_WAIT_SECONDS

_LIGHT = {"\N{NO-BREAK SPACE}": (0, 0), " ": (0, 0), "▀": (255, 0), "▄": (0, 255), "█": (255, 255)}
_CODES = re.compile(r"\x1b\[[0-9;]*[a-zA-Z]")


class Screen:
    """Runs a command; `text` is all that it wrote so far. Use as a context manager."""

    def __init__(self, command: Sequence[str], env: dict[str, str] | None = None) -> None:
        self._command = command
        self._env = {**os.environ, **(env or {}), "COLUMNS": "120"}
        self._more = threading.Condition()
        self.text = ""
        self._seen = 0

    def __enter__(self) -> Self:
        self._screen, terminal = pty.openpty()
        self._process = subprocess.Popen(
            self._command,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env=self._env,
            start_new_session=True,  # else it would ask for a password at the terminal of the tests
        )
        os.close(terminal)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join(MAX_WAIT_SECONDS)
        os.close(self._screen)

    def until(self, text: str, timeout: float = MAX_WAIT_SECONDS) -> None:
        """Waits until the text is on the screen."""
        with self._more:
            assert self._more.wait_for(lambda: text in self.text, timeout), f"no {text!r} in {self.text!r}"

    def next(self, text: str, timeout: float = MAX_WAIT_SECONDS) -> None:
        """Waits until the text is on the screen again, behind the last one that `next` found."""
        with self._more:
            seen = self._seen
            assert self._more.wait_for(lambda: text in self.text[seen:], timeout), (
                f"no {text!r} in {self.text!r}"
            )
            self._seen = self.text.index(text, seen) + len(text)

    def type(self, line: str) -> None:
        """Types a line and Enter."""
        os.write(self._screen, f"{line}\n".encode())

    def scan(self, count: int = 1, timeout: float = MAX_WAIT_SECONDS) -> list[str]:
        """Waits until there are so many QR codes on the screen; returns their texts."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.codes) >= count, timeout), f"no code in {self.text!r}"
            return self.codes

    def wait(self, timeout: float = MAX_WAIT_SECONDS) -> int:
        """Waits until the command ends; returns its exit code."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the command has not ended: {self.text!r}") from None
        self._reader.join(MAX_WAIT_SECONDS)
        return code

    @property
    def codes(self) -> list[str]:
        """The texts of all QR codes that were drawn."""
        found: list[str] = []
        drawn: list[str] = []
        for line in [*_CODES.sub("", self.text).splitlines(), ""]:
            if line and set(line) <= set(_LIGHT):
                drawn.append(line)
            elif drawn:
                found += _scanned(drawn)
                drawn = []
        return found

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the terminal is gone with its last user
            while data := os.read(self._screen, 65536):
                with self._more:
                    self.text += data.decode("utf-8", "replace")
                    self._more.notify_all()


def _scanned(drawn: list[str]) -> list[str]:
    """Returns the texts of the QR codes in these lines: a character has two modules, one above the other."""
    width = max(map(len, drawn))
    image = Image.new("L", (width, 2 * len(drawn)), 255)
    for row, line in enumerate(drawn):
        for column, mark in enumerate(line):
            for half, light in enumerate(_LIGHT[mark]):
                image.putpixel((column, 2 * row + half), light)
    larger = image.resize((8 * image.width, 8 * image.height), Image.Resampling.NEAREST)
    return [code.text for code in zxingcpp.read_barcodes(larger)]

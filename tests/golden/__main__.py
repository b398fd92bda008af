"""`python -m tests.golden`: records everything anew, or the parts that are named."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.golden.recorded_parts import PARTS, RECORDED


def main() -> None:
    for name in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            (RECORDED / name).write_text(PARTS[name](Path(folder)), encoding="utf-8")


if __name__ == "__main__":
    main()

"""`wx2mqtt` and `python -m wx2mqtt`."""

from __future__ import annotations

import sys
from contextlib import nullcontext

from wx2mqtt.memory import block_imports

TERMINAL_ONLY_MODULES = ("rich", "pygments")
"""Optional imports of structlog (coloured tracebacks) and httpx (its command): 8 MB."""


def main() -> None:
    """Runs the command line; exits with the codes listed in README, "Commands"."""
    with nullcontext() if sys.stderr.isatty() else block_imports(*TERMINAL_ONLY_MODULES):
        from wx2mqtt.cli.main import run  # noqa: PLC0415 - so that importing the package costs nothing

        sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

"""`wx2mqtt` and `python -m wx2mqtt`."""

from __future__ import annotations

import sys
from contextlib import nullcontext

from wx2mqtt.lean import without

FOR_TERMINALS = ("rich", "pygments")
"""What structlog (coloured tracebacks) and httpx (a command of its own) load where they can: 8 MB."""


def main() -> None:
    """Run the command line; exits with the codes of DESIGN 2."""
    with nullcontext() if sys.stderr.isatty() else without(*FOR_TERMINALS):
        from wx2mqtt.cli.main import run  # noqa: PLC0415 - so that importing the package costs nothing

        sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

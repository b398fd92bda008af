"""`wx2mqtt` and `python -m wx2mqtt`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; exits with the codes of DESIGN 2."""
    from wx2mqtt.cli.main import run  # noqa: PLC0415 - so that importing the package costs nothing

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

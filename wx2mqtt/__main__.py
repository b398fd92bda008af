"""`wx2mqtt` and `python -m wx2mqtt`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from wx2mqtt.memory import block_imports, pause_collection

# Optional imports of structlog (coloured tracebacks) and httpx (its command).
TERMINAL_ONLY_MODULES = ("rich", "pygments")


def main() -> None:
    """Runs the command line; exits with the codes listed in docs/en/reference/command-line.md."""
    arguments = sys.argv[1:]
    with nullcontext() if sys.stderr.isatty() else block_imports(*TERMINAL_ONLY_MODULES):
        sys.exit(_load_command(arguments)(arguments))


def _load_command(arguments: Sequence[str]) -> Callable[[Sequence[str]], int]:
    """Returns what runs these arguments; only what it needs is imported."""
    with pause_collection():
        match arguments:
            case ["run"] | ["run", "-c" | "--config", _] if not arguments[-1].startswith("-"):
                with block_imports("click"):  # httpx would load it for a command of its own
                    from wx2mqtt.cli.run import run_plain  # noqa: PLC0415

                return run_plain
        from wx2mqtt.cli.main import run_command_line  # noqa: PLC0415

        return run_command_line


if __name__ == "__main__":
    main()

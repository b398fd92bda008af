"""Makes the pictures in docs/images: `python -m tests.screenshots [GROUP...]`.

Ends with 1 if a group cannot be made here; its pictures stay as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.screenshots.groups import FOLDER, GROUPS


def main(names: Sequence[str]) -> int:
    """Makes the groups of these names, or all of them."""
    if unknown := set(names) - GROUPS.keys():
        sys.stderr.write(f"no such group: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}\n")
        return 2
    FOLDER.mkdir(exist_ok=True)
    failed = 0
    for name in names or GROUPS:
        group = GROUPS[name]
        if reason := group.missing():
            sys.stderr.write(f"{name}: not made: {reason}\n")
            failed = 1
            continue
        group.make(FOLDER)
        for picture in group.pictures:
            sys.stdout.write(f"docs/images/{picture}: {(FOLDER / picture).stat().st_size // 1000} kB\n")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

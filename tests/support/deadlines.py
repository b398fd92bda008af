"""The time limits of tests, which must hold on a busy machine, too.

`MAX_WAIT_SECONDS` bounds a wait for what comes at once on an idle machine: only a test that fails needs all of it.
`allowed` is for the few times that the bridge itself promises ("stops within 5 s"), which it cannot keep while other
programs have the processor.
"""

from __future__ import annotations

import os
from pathlib import Path

MAX_WAIT_SECONDS = 60.0
MAX_REQUEST_SECONDS = 2 * MAX_WAIT_SECONDS  # of a request whose answer may be held for `MAX_WAIT_SECONDS`


def allowed(seconds: float) -> float:
    """Returns a promised time, lengthened by the number of programs that share each core now."""
    return seconds * max(1.0, programs_per_core())


def programs_per_core() -> float:
    """Returns how many runnable programs there are for each core: on average in the last minute, or now if more."""
    average, *_ = os.getloadavg()
    try:
        runnable = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0])
    except OSError:  # not Linux
        runnable = 0
    return max(average, runnable) / (os.cpu_count() or 1)

"""Leaves the recording out where no program may trace another (a container without ptrace).

Nothing that can be installed changes that, so it is no skip, which would count as a failure in CI; `.ci/run` says it.
"""

from __future__ import annotations

from tests.power_cut.recording import may_trace

collect_ignore = [] if may_trace() else ["test_power_cut.py"]

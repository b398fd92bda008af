"""Runs inputs of one target without instrumentation: `python -m tests.fuzz.uninstrumented TARGET`.

A coverage-guided run counts branches, which makes a loop over characters many times slower and a regular expression
not at all. Whether an input costs too much is therefore decided by a process of its own, which knows nothing of atheris.

In: an input in base64 a line. Out: a JSON string a line, the rule that the input breaks or an empty string.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys

from tests.fuzz.engine import Figures, check_case
from tests.fuzz.registry import target_named
from tests.fuzz.silence import silent_logs
from tests.fuzz.target import Finding, Target


class UninstrumentedProcess:
    """The process, as the coverage-guided run sees it. It ends with the run, since its standard input ends then."""

    def __init__(self, target_name: str) -> None:
        command = [sys.executable, "-m", "tests.fuzz.uninstrumented", target_name]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def broken_rule(self, data: bytes) -> str:
        """Returns the rule that an input breaks; empty when it breaks none. Raises `EOFError` when the
        process ended.
        """
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        requests.write(base64.b64encode(data) + b"\n")
        requests.flush()
        answer = answers.readline()
        if not answer:
            raise EOFError("the process without instrumentation ended")
        return str(json.loads(answer))

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def broken_rule(target: Target, data: bytes) -> str:
    """Returns the rule that an input breaks here; empty when it breaks none."""
    try:
        check_case(target, data, Figures(), trace=False)
    except Finding as finding:
        return finding.rule
    return ""


def main(target_name: str) -> None:
    """Answers each line of standard input until it ends."""
    target = target_named(target_name)
    with silent_logs():
        for line in sys.stdin.buffer:
            print(json.dumps(broken_rule(target, base64.b64decode(line))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

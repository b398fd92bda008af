"""Runs one step of a command of root as the owner of the store, while the command stays root.

`wx2mqtt backup` needs both: it reads the store, which root must not do (`owner.py`), and gives its file a
name in a folder that may be root's alone.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.store.owner import ROOT, become_owner, find_owner

_MAX_ANSWER_BYTES = 65_536
_FAILED = 1


def run_as_owner(folder: Path, work: Callable[[], Json], report_error: Callable[[Wx2MqttError], int]) -> Json:
    """Returns what `work` returns, which runs in a process of the owner where the store is somebody else's.

    There `report_error` writes an error to the terminal and returns the exit code, and this process raises
    `SystemExit` with it. Otherwise raises what `work` raises, and `StoreError` as `find_owner`.
    """
    if os.geteuid() != ROOT or find_owner(folder) is None:
        return work()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _answer(folder, work, report_error, writer)
    os.close(writer)
    return _await_answer(child, reader)


def _answer(
    folder: Path, work: Callable[[], Json], report_error: Callable[[Wx2MqttError], int], writer: int
) -> None:
    """Does the work and ends this process: nothing else of the command may be done twice."""
    code = _FAILED
    try:
        become_owner(folder)
        os.write(writer, json.dumps(work()).encode())
        code = 0
    except Wx2MqttError as error:
        code = report_error(error)
    except SystemExit as ended:  # by a signal
        code = ended.code if isinstance(ended.code, int) else _FAILED
    except BaseException as error:  # noqa: BLE001 - a bug ends this process, and the other one by the exit code
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stderr.flush()
        os._exit(code)


def _await_answer(child: int, reader: int) -> Json:
    """Waits for the end of the process, which ends with this one."""
    try:
        with os.fdopen(reader, "rb") as pipe:
            answer = pipe.read(_MAX_ANSWER_BYTES)
        _, status = os.waitpid(child, 0)
    except BaseException:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        raise
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        raise SystemExit(code if code > 0 else _FAILED)
    result: Json = json.loads(answer)
    return result

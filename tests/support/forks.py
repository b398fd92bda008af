"""`wx2mqtt` as forks of a server that has imported everything: a start takes milliseconds instead of half a second.

A fork has its own process id, environment, signals and output like a started program. Under coverage programs are
started as usual, because coverage does not measure forks.
"""

from __future__ import annotations

import gc
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from tests.support import loop_watch

CONTEXT = multiprocessing.get_context("forkserver")
# All that a bridge and a command import when they need it: half of a start went into these imports.
PRELOADED = (
    "tests.support.loop_watch",
    "tests.support.forks",
    "tests.support.built_settings",
    "tests.crash.runner",
    "tests.crash.killable_bridge",
    "wx2mqtt.__main__",
    "wx2mqtt.cli.main",
    "wx2mqtt.cli.check",
    "wx2mqtt.cli.terminal",
    "wx2mqtt.web.server",
    "wx2mqtt.wechat.webwx.backend",
    "wx2mqtt.wechat.ilink.backend",
    "anyio._backends._asyncio",
    "ctypes",
    "encodings.ascii",
    "encodings.idna",
    "encodings.utf_8_sig",
    "filetype",
    "httpcore",
    "imagesize",
    "pydantic.type_adapter",
    "qrcode.image.pure",
    "resource",
    "typer._adapters",
    "typer._click.decorators",
    "uvicorn.lifespan.off",
)
CONTEXT.set_forkserver_preload([*PRELOADED])
MEASURED = "COVERAGE_PROCESS_CONFIG" in os.environ


class ForkedProgram:
    """`wx2mqtt ARGUMENTS` in a fork, or `main(arguments)`; the part of `subprocess.Popen` that tests use."""

    def __init__(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str] | None = None,
        main: Callable[[list[str]], None] | None = None,
    ) -> None:
        reader, writer = CONTEXT.Pipe(duplex=False)
        values = (list(arguments), dict(os.environ if env is None else env), writer, main)
        self._process = CONTEXT.Process(target=_run, args=values, daemon=True)
        self._process.start()
        writer.close()
        self.stdout: io.TextIOBase = os.fdopen(os.dup(reader.fileno()))
        reader.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Returns the exit code, or minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Returns the exit code. Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("wx2mqtt", timeout)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


def run_program(
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    folder: Path | None = None,
    data: bytes = b"",
    prepare: str = "",
    timeout: float,
) -> subprocess.CompletedProcess[bytes]:
    """Runs `wx2mqtt ARGUMENTS` in `folder` to its end, with `data` as its input, like `subprocess.run`.

    `prepare` is code that its process runs before.
    """
    if MEASURED:
        command = [*program_with(prepare), *arguments]
        return subprocess.run(command, input=data, capture_output=True, timeout=timeout, env=env, cwd=folder)
    with tempfile.TemporaryDirectory() as streams:
        files = [Path(streams) / name for name in ("in", "out", "err")]
        files[0].write_bytes(data)
        process = CONTEXT.Process(
            target=_run_command,
            args=(list(arguments), dict(env), folder or Path.cwd(), files, prepare),
            daemon=True,
        )
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(list(arguments), timeout)
        out, err = (file.read_bytes() if file.exists() else b"" for file in files[1:])
        return subprocess.CompletedProcess(list(arguments), process.exitcode, out, err)


def program_with(prepare: str) -> list[str]:
    """Returns the command that starts `wx2mqtt` in a new process, which runs the code `prepare` before."""
    if not prepare:
        return [sys.executable, "-m", "wx2mqtt"]
    return [sys.executable, "-c", f"{prepare}\nfrom wx2mqtt.__main__ import main\nmain()"]


def _run_command(
    arguments: list[str], env: dict[str, str], folder: Path, files: list[Path], prepare: str
) -> None:
    for descriptor, file in enumerate(files):
        opened = os.open(file, os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(folder)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    exec(prepare, {})
    _main(arguments, env)


def _run(
    arguments: list[str],
    env: dict[str, str],
    output: Connection,
    main: Callable[[list[str]], None] | None,
) -> None:
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    output.close()
    if main is None:
        _main(arguments, env)
    else:
        main(arguments)


def _main(arguments: list[str], env: dict[str, str]) -> None:
    gc.freeze()  # what the server has imported stays, and need not be looked through in each fork
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    tempfile.tempdir = None
    if env.get("PYTHONWARNINGS") == "error":
        warnings.simplefilter("error")
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - those of the server believe in its output
    sys.stderr = open(2, "w", closefd=False, buffering=1, errors="backslashreplace")  # noqa: SIM115
    sys.argv = ["wx2mqtt", *arguments]
    loop_watch.start_from_environment()
    from wx2mqtt.__main__ import main

    main()

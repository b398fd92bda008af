"""`wx2mqtt check --connect`, which prints what the checks of broker and WeChat found, and `--explain`.

`--explain` shows the problems of a configuration file on the web page until the file can be used: for owners
who see no terminal, such as those of a Home Assistant add-on.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from wx2mqtt.aio import ChangeNotifier, wait_at_most
from wx2mqtt.app import logs
from wx2mqtt.app.systemd import SystemdNotifier
from wx2mqtt.app.web_servers import running_web_server
from wx2mqtt.cli.operations import EXIT_CONFIGURATION, SETUP_COMMAND, enter_store
from wx2mqtt.cli.terminal import command_language, format_json
from wx2mqtt.diagnostics.all_checks import run_checks
from wx2mqtt.diagnostics.check_report import (
    CheckReport,
    report_lines,
    report_summary,
    report_table,
    result_heading,
)
from wx2mqtt.errors import Problem, SettingsError
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.i18n.settings import problem_text
from wx2mqtt.model import Json
from wx2mqtt.settings.loader import LoadedSettings, is_missing, load, load_web_settings
from wx2mqtt.store.folder import accounts_with_urgent_commands
from wx2mqtt.web.bridge_state import BridgeState
from wx2mqtt.web.options import CannotListen
from wx2mqtt.wechat.registry import BACKENDS


def check_connections(
    loaded: LoadedSettings, env: Mapping[str, str], *, as_json: bool, take_over: bool = False
) -> bool:
    """Runs all checks and prints the results; returns whether none failed.

    With `take_over` a bot that no bridge here uses is logged in, which ends another program's connection.
    """
    # Only a terminal gets a table: elsewhere `rich` may not be imported (`__main__`).
    is_terminal = not as_json and sys.stdout.isatty() and sys.stderr.isatty()
    run = _run_with_progress if is_terminal else run_checks
    report = asyncio.run(run(loaded, env, take_over=take_over))
    if as_json:
        rows: list[Json] = [result.body() for result in report.results]
        print(format_json({"ok": report.is_passed, "file": str(loaded.path or ""), "rows": rows}))
    elif is_terminal:
        from rich.console import Console  # noqa: PLC0415 - 8 MB, only where a person watches

        console = Console(highlight=False)
        console.print(report_table(report))
        console.print(report_summary(report))
    else:
        print("\n".join(report_lines(report)))
    return report.is_passed


def urgent_without_fallback(loaded: LoadedSettings, env: Mapping[str, str]) -> list[Problem]:
    """Returns a warning for each account that gets urgent commands and has no fallback for them."""
    urgent = accounts_with_urgent_commands(enter_store(loaded, env))
    return [
        Problem(
            str(loaded.path or "the store"),
            0,
            f"accounts.{name}.fallback",
            "urgent commands are given, but there is no other way; name apprise URLs or another account",
        )
        for name, account in loaded.settings.accounts.items()
        if name in urgent and not (account.fallback.urls or account.fallback.accounts)
    ]


async def _run_with_progress(
    loaded: LoadedSettings, env: Mapping[str, str], *, take_over: bool
) -> CheckReport:
    from rich.console import Console  # noqa: PLC0415 - 8 MB, only where a person watches
    from rich.text import Text  # noqa: PLC0415

    with Console(stderr=True).status("") as status:
        language = loaded.settings.language
        return await run_checks(
            loaded,
            env,
            lambda result: status.update(Text(result_heading(result, language))),
            take_over=take_over,
        )


FILE_POLL_INTERVAL_SECONDS = 2.0


def wait_until_usable(path: Path | None, error: SettingsError, write_line: Callable[[str], None]) -> None:
    """Returns as soon as the file can be used; until then shows its problems on the page.

    Exits with 78 when stopped; raises `error` if there is no page to show it on.
    """
    logs.configure(level="warning", format="auto", stream=sys.stderr, message_text=False)
    try:
        is_usable = asyncio.run(_serve_problems(path, error, write_line))
    except CannotListen as failure:
        write_line(str(failure))
        raise error from None
    if not is_usable:
        raise SystemExit(EXIT_CONFIGURATION)


async def _serve_problems(path: Path | None, error: SettingsError, write_line: Callable[[str], None]) -> bool:
    """Serves the page with the problems, as the file changes; returns True when there are none left.

    Returns False at SIGTERM and SIGINT. Writes the problems and the page's URL to the terminal. Notifies a
    service manager that it is ready and alive, but that no bridge runs. Raises `CannotListen`, and `error` if
    the settings of the page itself have a problem.
    """
    stop, env = asyncio.Event(), os.environ
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    file = _FaultyFile(path, error.problems)
    settings = load_web_settings(None if file.is_missing else path, env, BACKENDS)
    if settings is None:
        raise error
    notifier = SystemdNotifier(env)
    poll_interval = min(FILE_POLL_INTERVAL_SECONDS, notifier.watchdog_interval or FILE_POLL_INTERVAL_SECONDS)
    async with running_web_server(settings, [], file.bridge_state()) as server:
        assert server is not None
        language = command_language(path, env)
        for problem in file.problems:
            write_line(problem_text(problem, language))
        write_line(bridge_text(language, "check_shown", url=server.url))
        notifier.ready()
        while file.problems:
            notifier.status(f"the file has {len(file.problems)} problems; no bridge runs: see {server.url}/")
            notifier.feed_watchdog()
            await wait_at_most(stop, poll_interval)
            if stop.is_set():
                return False
            await file.read_again()
        await server.stop()
    return True


class _FaultyFile:
    """The configuration file with its problems, or a file that is missing, as the page shows it."""

    def __init__(self, path: Path | None, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        self._path = path
        self.is_missing = _is_missing(path)
        self._changes = ChangeNotifier()

    def bridge_state(self) -> BridgeState:
        setup_command = f"{SETUP_COMMAND} -c {shlex.quote(str(self._path))}"
        return BridgeState(
            changes=self._changes,
            problems=lambda: self.problems,
            setup_command=lambda: setup_command if self.is_missing else "",
        )

    async def read_again(self) -> None:
        problems = await asyncio.to_thread(_problems_of_file, self._path, os.environ)
        if problems != self.problems:
            self.problems = problems
            self.is_missing = _is_missing(self._path)
            self._changes.notify()


def _is_missing(path: Path | None) -> bool:
    return path is not None and is_missing(path)


def _problems_of_file(path: Path | None, env: Mapping[str, str]) -> tuple[Problem, ...]:
    try:
        load(path, env, BACKENDS)
    except SettingsError as error:
        return error.problems
    return ()

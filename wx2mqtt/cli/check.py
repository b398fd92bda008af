"""A file that cannot be used, explained on the page until it can: for whoever sees no terminal.

`wx2mqtt check --connect`: have the doctor look, and show what was found.

`--explain`: a file that cannot be used is shown on the page, and waited for.

`wx2mqtt healthcheck`: what the running bridge says of itself, as an exit code for containers.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from wx2mqtt.aio import ChangeNotifier
from wx2mqtt.app import control_socket, logs
from wx2mqtt.app.settings_mapping import running_web_server
from wx2mqtt.app.systemd import SystemdNotifier
from wx2mqtt.cli.operations import EXIT_CONFIGURATION, store_folder
from wx2mqtt.cli.terminal import format_json
from wx2mqtt.diagnostics.report import CheckReport, report_lines, report_summary, report_table, result_heading
from wx2mqtt.diagnostics.runner import run_checks
from wx2mqtt.errors import Problem, SettingsError, Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.settings.loader import LoadedSettings, load, load_web_settings
from wx2mqtt.web.options import CannotListen
from wx2mqtt.web.views import BridgeState
from wx2mqtt.wechat.registry import BACKENDS

FILE_POLL_INTERVAL_SECONDS = 2.0  # seconds between two looks at the file


async def serve_explanation(
    path: Path | None,
    env: Mapping[str, str],
    problems_at_start: tuple[Problem, ...],
    on_url: Callable[[str], None],
    stop: asyncio.Event,
) -> bool:
    """Show `found`, and what is found later, until nothing is: then true. False when `stop` came first.

    Also false, at once, where the file leaves no page to show it on. `told` hears where the page is. A
    service manager hears that this is ready, lives, and is no bridge. Raises `CannotListen`.
    """
    settings = load_web_settings(path, env, BACKENDS)
    if settings is None:
        return False
    problems, bell, notifier = problems_at_start, ChangeNotifier(), SystemdNotifier(env)
    look = min(FILE_POLL_INTERVAL_SECONDS, notifier.watchdog_interval or FILE_POLL_INTERVAL_SECONDS)
    async with running_web_server(
        settings, [], BridgeState(changes=bell, problems=lambda: problems)
    ) as server:
        assert server is not None
        on_url(server.url)
        notifier.ready()
        while problems:
            notifier.status(f"the file has {len(problems)} problems; no bridge runs: see {server.url}/")
            notifier.watchdog()
            if await _set_within(stop, look):
                return False
            now = await asyncio.to_thread(_problems_of_file, path, env)
            if now != problems:
                problems = now
                bell.notify()
        await server.stop()
    return True


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def _problems_of_file(path: Path | None, env: Mapping[str, str]) -> tuple[Problem, ...]:
    try:
        load(path, env, BACKENDS)
    except SettingsError as wrong:
        return wrong.problems
    return ()


def check_connections(loaded: LoadedSettings, env: Mapping[str, str], *, machine: bool) -> bool:
    """Examine broker and WeChat and print what is found, as JSON for a `machine`. Whether nothing failed."""
    # `rich` is there only where a person watches (see `__main__`)
    watched = not machine and sys.stdout.isatty() and sys.stderr.isatty()
    chart = asyncio.run(_watched(loaded, env) if watched else run_checks(loaded, env))
    if machine:
        rows: list[Json] = [row.body() for row in chart.results]
        print(format_json({"ok": chart.is_passed, "file": str(loaded.path or ""), "rows": rows}))
    elif watched:
        _draw(chart)
    else:
        print("\n".join(report_lines(chart)))
    return chart.is_passed


async def _watched(loaded: LoadedSettings, env: Mapping[str, str]) -> CheckReport:
    """With a moving line that says what is looked at."""
    from rich.console import Console  # noqa: PLC0415 - 8 MB, only where a person watches
    from rich.text import Text  # noqa: PLC0415

    with Console(stderr=True).status("") as status:
        language = loaded.settings.language
        return await run_checks(loaded, env, lambda row: status.update(Text(result_heading(row, language))))


def _draw(report: CheckReport) -> None:
    from rich.console import Console  # noqa: PLC0415 - as above

    console = Console(highlight=False)
    console.print(report_table(report))
    console.print(report_summary(report))


def wait_until_usable(path: Path | None, error: SettingsError, write_line: Callable[[str], None]) -> None:
    """Return once the file can be used.

    Exits with 78 when stopped; raises `wrong` where there is no page to show it on.
    """
    logs.configure(level="warning", format="auto", stream=sys.stderr, message_text=False)
    shown = False

    def told(url: str) -> None:
        nonlocal shown
        shown = True
        for problem in error.problems:
            write_line(str(problem))
        write_line(f"shown on {url}/ until the file is mended")

    try:
        usable = asyncio.run(_wait(path, error, told))
    except CannotListen as taken:
        write_line(str(taken))
        raise error from None
    if not usable and not shown:
        raise error
    if not usable:
        raise SystemExit(EXIT_CONFIGURATION)


async def _wait(path: Path | None, error: SettingsError, on_url: Callable[[str], None]) -> bool:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await serve_explanation(path, os.environ, error.problems, on_url, stop)


async def is_healthy(
    loaded: LoadedSettings, env: Mapping[str, str], *, live: bool, account: str
) -> list[str]:
    """What is wrong with the running bridge; with `live` only what a restart could mend."""
    folder = store_folder(loaded, env)
    problems: list[str] = []
    try:
        names = [account] if account else await control_socket.ask_bridge(folder, "accounts")
        for name in names if isinstance(names, list) else []:
            problems += _problems_of_health(
                await control_socket.ask_bridge(folder, "health", {"account": name}), live=live
            )
    except (Wx2MqttError, OSError, ValueError) as error:
        return [str(error)]
    return problems


def _problems_of_health(health: Json, *, live: bool) -> list[str]:
    if not isinstance(health, dict):
        return ["the bridge does not say how it does"]
    found = health["stuck"] if live else health["problems"]
    name = health["account"]
    return [f"{name}: {problem}" for problem in found] if isinstance(found, list) else []

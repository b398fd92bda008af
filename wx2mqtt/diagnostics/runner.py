"""The whole examination, in order: each broker, what the first good one keeps and allows, then WeChat."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from wx2mqtt.diagnostics.behaviour import BehaviourCheck
from wx2mqtt.diagnostics.connection import ConnectionCheck
from wx2mqtt.diagnostics.permissions import PermissionCheck
from wx2mqtt.diagnostics.probe import ProbeClient
from wx2mqtt.diagnostics.report import CheckReport, CheckResult
from wx2mqtt.diagnostics.target import DiagnosticTarget, diagnostic_target, running_bridge_status
from wx2mqtt.diagnostics.wechat import check_wechat
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import Settings
from wx2mqtt.store.folder import resolve_store_path


async def run_checks(
    loaded: LoadedSettings,
    env: Mapping[str, str],
    on_result: Callable[[CheckResult], None] = lambda _row: None,
) -> CheckReport:
    """Everything that can be tried beside a bridge that runs. `told` hears of each row at once."""
    storage = loaded.settings.storage.path
    folder = resolve_store_path(None if storage is None else Path(storage), env)[0]
    chart = CheckReport(loaded.settings.language, on_result)
    patient = diagnostic_target(loaded.settings, _saved_logins(folder, loaded.settings.accounts))
    await _examine_broker(patient, chart, folder)
    await check_wechat(patient, chart)
    return chart


async def check_broker(settings: Settings, report: CheckReport) -> bool:
    """Only what concerns the broker, before there is a bridge. Whether a broker let us in."""
    return await _examine_broker(diagnostic_target(settings, {}), report, None)


async def _examine_broker(target: DiagnosticTarget, report: CheckReport, folder: Path | None) -> bool:
    """The way to each broker of the list; then what the first does that let us in."""
    ways = [await ConnectionCheck(target, address, report).run() for address in target.addresses]
    arrived = next((one for one in ways if one is not None), None)
    if arrived is None:
        return False
    keeping = BehaviourCheck(target, arrived, report)
    await keeping.run_checks()
    for account in target.accounts:
        standing = None if folder is None else await running_bridge_status(folder, account.name)
        async with ProbeClient(
            target.options, arrived.connect_target, given_up=keeping.is_unresponsive
        ) as line:
            await PermissionCheck(target, account, standing, line, report).run_checks()
    return True


def _saved_logins(folder: Path, accounts: Iterable[str]) -> dict[str, Mapping[str, object]]:
    """What `SavedLoginFile` keeps, read only: a damaged one is not ours to set aside."""
    found: dict[str, Mapping[str, object]] = {}
    for name in accounts:
        with suppress(OSError, ValueError):  # there is none, it is another user's, or damaged
            saved = json.loads((folder / "sessions" / f"{name}.json").read_bytes())
            if isinstance(saved, dict):
                found[name] = saved
    return found

"""Runs all checks: database, connecting to each broker, behaviour and rights of the first, then WeChat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from wx2mqtt.bounded_json import load_json
from wx2mqtt.diagnostics.broker_behaviour import BehaviourCheck
from wx2mqtt.diagnostics.broker_connection import ConnectionCheck
from wx2mqtt.diagnostics.broker_permissions import PermissionCheck
from wx2mqtt.diagnostics.broker_probe import ProbeClient
from wx2mqtt.diagnostics.check_report import CheckReport, CheckResult
from wx2mqtt.diagnostics.check_target import DiagnosticTarget, diagnostic_target, running_bridge_status
from wx2mqtt.diagnostics.postgresql_database import check_database
from wx2mqtt.diagnostics.wechat_hosts import check_wechat
from wx2mqtt.diagnostics.wecom_bots import check_bots
from wx2mqtt.limits import SAVED_LOGIN_JSON
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import Settings
from wx2mqtt.store.folder import resolve_store_path


async def run_checks(
    loaded: LoadedSettings,
    env: Mapping[str, str],
    on_result: Callable[[CheckResult], None] = lambda _result: None,
    *,
    take_over: bool = False,
) -> CheckReport:
    """Runs all checks; none disturbs a running bridge. Calls `on_result` with each result.

    With `take_over` a bot that no bridge uses is logged in once.
    """
    storage = loaded.settings.storage.path
    folder = resolve_store_path(None if storage is None else Path(storage), env)[0]
    report = CheckReport(loaded.settings.language, on_result)
    target = diagnostic_target(loaded.settings, _saved_logins(folder, loaded.settings.accounts))
    await check_database(loaded.settings.storage, report)
    await _check_brokers(target, report, folder)
    await check_wechat(target, report)
    await check_bots(loaded, target, report, folder, take_over=take_over)
    return report


async def check_broker(settings: Settings, report: CheckReport) -> bool:
    """Checks only the broker, before there is a bridge; returns whether a login worked."""
    return await _check_brokers(diagnostic_target(settings, {}), report, None)


async def _check_brokers(target: DiagnosticTarget, report: CheckReport, folder: Path | None) -> bool:
    """Connects to each broker, and checks the rest at the first where that works; returns whether one does.

    `folder` is the store of a bridge that may run; None if there is none yet.
    """
    connections = [await ConnectionCheck(target, address, report).run() for address in target.addresses]
    broker = next((connected for connected in connections if connected is not None), None)
    if broker is None:
        return False
    behaviour = BehaviourCheck(target, broker, report)
    await behaviour.run_checks()
    for account in target.accounts:
        bridge_status = None if folder is None else await running_bridge_status(folder, account.name)
        async with ProbeClient(
            target.options, broker.connect_target, given_up=behaviour.is_unresponsive
        ) as client:
            await PermissionCheck(target, account, bridge_status, client, report).run_checks()
    return True


def _saved_logins(folder: Path, accounts: Iterable[str]) -> dict[str, Mapping[str, object]]:
    """Reads the files of `SavedLoginFile`, which would rename a damaged one; this leaves it alone."""
    logins: dict[str, Mapping[str, object]] = {}
    for name in accounts:
        with suppress(OSError, ValueError):  # there is none, it is another user's, or damaged
            saved = load_json((folder / "sessions" / f"{name}.json").read_bytes(), SAVED_LOGIN_JSON)
            if isinstance(saved, dict):
                logins[name] = saved
    return logins

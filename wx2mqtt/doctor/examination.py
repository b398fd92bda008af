"""The whole examination, in order: each broker, what the first good one keeps and allows, then WeChat."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from wx2mqtt.doctor.chart import Chart, Row
from wx2mqtt.doctor.keeping import Keeping
from wx2mqtt.doctor.line import Line
from wx2mqtt.doctor.patient import Patient, patient_of
from wx2mqtt.doctor.rights import Rights
from wx2mqtt.doctor.standing import standing_of
from wx2mqtt.doctor.way import Arrived, Way
from wx2mqtt.doctor.wechat import examine_wechat
from wx2mqtt.settings.load import Loaded
from wx2mqtt.store.folder import resolve


async def examine(
    loaded: Loaded, env: Mapping[str, str], told: Callable[[Row], None] = lambda _row: None
) -> Chart:
    """Everything that can be tried beside a bridge that runs. `told` hears of each row at once."""
    settings, storage = loaded.settings, loaded.settings.storage.path
    folder = resolve(None if storage is None else Path(storage), env)[0]
    patient = patient_of(settings, _saved_logins(folder, settings.accounts))
    chart = Chart(settings.language, told)
    arrived = await examine_brokers(patient, chart)
    if arrived is not None:
        keeping = Keeping(patient, arrived, chart)
        await keeping.examine()
        await _rights(patient, arrived, folder, chart, silent=keeping.silent)
    await examine_wechat(patient, chart)
    return chart


def _saved_logins(folder: Path, accounts: Iterable[str]) -> dict[str, Mapping[str, object]]:
    """What `SessionFile` keeps, read only: a damaged one is not ours to set aside."""
    found: dict[str, Mapping[str, object]] = {}
    for name in accounts:
        with suppress(OSError, ValueError):  # there is none, it is another user's, or damaged
            saved = json.loads((folder / "sessions" / f"{name}.json").read_bytes())
            if isinstance(saved, dict):
                found[name] = saved
    return found


async def examine_brokers(patient: Patient, chart: Chart) -> Arrived | None:
    """The way to each broker of the list; the first that let us in."""
    found = [await Way(patient, address, chart).go() for address in patient.addresses]
    return next((one for one in found if one is not None), None)


async def _rights(
    patient: Patient, arrived: Arrived, folder: Path, chart: Chart, *, silent: bool
) -> None:
    for account in patient.accounts:
        standing = await standing_of(folder, account.name)
        async with Line(patient.options, arrived.attempt, given_up=silent) as line:
            await Rights(patient, account, standing, line, chart).examine()

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
from wx2mqtt.doctor.way import Way
from wx2mqtt.doctor.wechat import examine_wechat
from wx2mqtt.settings.load import Loaded
from wx2mqtt.settings.schema import Settings
from wx2mqtt.store.folder import resolve


async def examine(
    loaded: Loaded, env: Mapping[str, str], told: Callable[[Row], None] = lambda _row: None
) -> Chart:
    """Everything that can be tried beside a bridge that runs. `told` hears of each row at once."""
    storage = loaded.settings.storage.path
    folder = resolve(None if storage is None else Path(storage), env)[0]
    chart = Chart(loaded.settings.language, told)
    patient = patient_of(loaded.settings, _saved_logins(folder, loaded.settings.accounts))
    await _examine_broker(patient, chart, folder)
    await examine_wechat(patient, chart)
    return chart


async def examine_broker(settings: Settings, chart: Chart) -> bool:
    """Only what concerns the broker, before there is a bridge. Whether a broker let us in."""
    return await _examine_broker(patient_of(settings, {}), chart, None)


async def _examine_broker(patient: Patient, chart: Chart, folder: Path | None) -> bool:
    """The way to each broker of the list; then what the first does that let us in."""
    ways = [await Way(patient, address, chart).go() for address in patient.addresses]
    arrived = next((one for one in ways if one is not None), None)
    if arrived is None:
        return False
    keeping = Keeping(patient, arrived, chart)
    await keeping.examine()
    for account in patient.accounts:
        standing = None if folder is None else await standing_of(folder, account.name)
        async with Line(patient.options, arrived.attempt, given_up=keeping.silent) as line:
            await Rights(patient, account, standing, line, chart).examine()
    return True


def _saved_logins(folder: Path, accounts: Iterable[str]) -> dict[str, Mapping[str, object]]:
    """What `SessionFile` keeps, read only: a damaged one is not ours to set aside."""
    found: dict[str, Mapping[str, object]] = {}
    for name in accounts:
        with suppress(OSError, ValueError):  # there is none, it is another user's, or damaged
            saved = json.loads((folder / "sessions" / f"{name}.json").read_bytes())
            if isinstance(saved, dict):
                found[name] = saved
    return found

"""`journal` and `people`: through the running bridge where there is one, else on the store itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wx2mqtt.app.running import Surroundings, opened
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.service import control
from wx2mqtt.settings.load import Loaded
from wx2mqtt.store.folder import resolve


def store_of(loaded: Loaded, env: Mapping[str, str]) -> Path:
    """The folder of the store that these settings mean."""
    path = loaded.settings.storage.path
    return resolve(None if path is None else Path(path), env)[0]


async def do(loaded: Loaded, around: Surroundings, name: str, fields: Mapping[str, Json]) -> Json:
    """One operation, beside the running bridge or without it. Raises `Wx2MqttError`."""
    folder = store_of(loaded, around.env)
    try:
        return await control.ask(folder, name, fields)
    except control.NotRunning:
        if not folder.is_dir():
            raise Wx2MqttError(f"There is no store at {folder} yet; start the bridge once.") from None
    async with opened(loaded, around, serve=False) as app:
        return await app.do(name, fields)

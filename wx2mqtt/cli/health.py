"""`wx2mqtt healthcheck`: what the running bridge says of itself, as an exit code for containers."""

from __future__ import annotations

from collections.abc import Mapping

from wx2mqtt.cli.offline import store_of
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.service import control
from wx2mqtt.settings.load import Loaded


async def well(loaded: Loaded, env: Mapping[str, str], *, live: bool, account: str) -> list[str]:
    """What is wrong with the running bridge; with `live` only what a restart could mend."""
    folder = store_of(loaded, env)
    problems: list[str] = []
    try:
        names = [account] if account else await control.ask(folder, "accounts")
        for name in names if isinstance(names, list) else []:
            problems += _problems(await control.ask(folder, "health", {"account": name}), live=live)
    except (Wx2MqttError, OSError, ValueError) as error:
        return [str(error)]
    return problems


def _problems(health: Json, *, live: bool) -> list[str]:
    if not isinstance(health, dict):
        return ["the bridge does not say how it does"]
    found = health["stuck"] if live else health["problems"]
    name = health["account"]
    return [f"{name}: {problem}" for problem in found] if isinstance(found, list) else []

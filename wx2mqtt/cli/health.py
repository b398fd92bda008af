"""`wx2mqtt healthcheck`: asks the running bridge for its problems.

A file of its own, because containers run the command every few seconds: it must load little.
"""

from __future__ import annotations

from collections.abc import Mapping

from wx2mqtt.app import control_socket
from wx2mqtt.cli.operations import store_folder
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.settings.loader import LoadedSettings


async def health_problems(
    loaded: LoadedSettings, env: Mapping[str, str], *, live: bool, account: str
) -> list[str]:
    """Returns the problems of one account, or of all if `account` is empty; none if the bridge is well.

    With `live` only problems that a restart can solve count.
    """
    folder = store_folder(loaded, env)
    problems: list[str] = []
    try:
        names = [account] if account else await control_socket.ask_bridge(folder, "accounts")
        for name in names if isinstance(names, list) else []:
            health = await control_socket.ask_bridge(folder, "health", {"account": name})
            problems += _problems_of(health, live=live)
    except (Wx2MqttError, OSError, ValueError) as error:
        return [str(error)]
    return problems


def _problems_of(health: Json, *, live: bool) -> list[str]:
    if not isinstance(health, dict):
        return ["the bridge does not report its health"]
    problems = health["stuck"] if live else health["problems"]
    name = health["account"]
    return [f"{name}: {problem}" for problem in problems] if isinstance(problems, list) else []

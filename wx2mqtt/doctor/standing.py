"""What the running bridge knows already of its broker, asked beside MQTT; without one there is nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.service import control


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Of one account: whether its broker is there, which topics it refused, how many commands came."""

    connected: bool
    refused: frozenset[str]
    commands: int


async def standing_of(folder: Path, account: str) -> Standing | None:
    """Of the bridge that runs on this store; None where none does, or none answers."""
    try:
        health = await control.ask(folder, "health", {"account": account})
    except (Wx2MqttError, OSError, ValueError):
        return None
    if not isinstance(health, dict):
        return None
    broker, commands = _part(health, "broker"), _part(health, "commands")
    refused, accepted = broker.get("refused_topics"), commands.get("accepted")
    return Standing(
        connected=broker.get("connected") is True,
        refused=frozenset(map(str, refused)) if isinstance(refused, list) else frozenset(),
        commands=accepted if isinstance(accepted, int) else 0,
    )


def _part(health: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    part = health.get(name)
    return part if isinstance(part, dict) else {}

"""Finds brokers: the one of Home Assistant, through its Supervisor, and one on this machine."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Mapping

from wx2mqtt.diagnostics.broker_connection import connect_tcp
from wx2mqtt.limits import MAX_SUPERVISOR_ANSWER_BYTES
from wx2mqtt.mqtt.options import BrokerAddress
from wx2mqtt.setup.written_files import BrokerAnswers
from wx2mqtt.values import frozen

SUPERVISOR_URL = "http://supervisor"
SUPERVISOR_TOKEN_VARIABLE = "SUPERVISOR_TOKEN"  # noqa: S105 - the name of a variable, which Home Assistant gives to its add-ons
SUPERVISOR_TIMEOUT_SECONDS = 5.0
DEFAULT_PORT = 1883


@frozen
class FoundBroker:
    """A broker and where it was found: `supervisor` or `here` (this machine)."""

    source: str
    broker: BrokerAnswers


async def find_brokers(
    env: Mapping[str, str], supervisor: str = SUPERVISOR_URL, port: int = DEFAULT_PORT
) -> list[FoundBroker]:
    """Returns the brokers that were found, the likeliest first; none if there are none, and never raises."""
    token = env.get(SUPERVISOR_TOKEN_VARIABLE, "")
    supervisor_broker, is_local = await asyncio.gather(
        asyncio.to_thread(_ask_supervisor, token, supervisor), _is_listening(port)
    )
    found_brokers = []
    if supervisor_broker is not None:
        found_brokers.append(FoundBroker(source="supervisor", broker=supervisor_broker))
    if is_local:
        found_brokers.append(FoundBroker(source="here", broker=BrokerAnswers(host="localhost", port=port)))
    return found_brokers


def _ask_supervisor(token: str, supervisor: str) -> BrokerAnswers | None:
    """Returns the broker that Home Assistant itself uses (its services API). Blocks until a timeout."""
    if not token:
        return None
    request = urllib.request.Request(  # noqa: S310 - a fixed address
        f"{supervisor}/services/mqtt", headers={"Authorization": f"Bearer {token}"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=SUPERVISOR_TIMEOUT_SECONDS) as answer:
            data = json.loads(answer.read(MAX_SUPERVISOR_ANSWER_BYTES))["data"]
        return BrokerAnswers(
            host=str(data["host"]),
            port=int(data["port"]),
            tls=bool(data.get("ssl")),
            username=str(data.get("username") or ""),
            password=str(data.get("password") or ""),
        )
    except (OSError, urllib.error.URLError, ValueError, KeyError, TypeError):
        return None


async def _is_listening(port: int) -> bool:
    """Returns whether a program on this machine accepts connections on the port."""
    try:
        await asyncio.wait_for(
            connect_tcp(BrokerAddress(scheme="mqtt", host="localhost", port=port)), SUPERVISOR_TIMEOUT_SECONDS
        )
    except OSError:
        return False
    return True

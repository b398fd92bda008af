"""Brokers that can be found: Home Assistant's, by its Supervisor, and one on this machine."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass

from wx2mqtt.mqtt.addresses import Address
from wx2mqtt.mqtt.stages import reach
from wx2mqtt.setup.answers import Broker

SUPERVISOR = "http://supervisor"
TOKEN = "SUPERVISOR_TOKEN"  # noqa: S105 - the name of a variable, which Home Assistant gives to its add-ons
PATIENCE = 5.0
LARGEST = 64 * 1024
PORT = 1883


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A broker, and by whom: `supervisor` or `here`."""

    by: str
    broker: Broker


async def find_brokers(env: Mapping[str, str], supervisor: str = SUPERVISOR, port: int = PORT) -> list[Found]:
    """The likeliest first; nothing raises where there is nothing."""
    asked = asyncio.to_thread(_ask_supervisor, env.get(TOKEN, ""), supervisor)
    theirs, here = await asyncio.gather(asked, _here(port))
    found = [] if theirs is None else [Found(by="supervisor", broker=theirs)]
    return [*found, Found(by="here", broker=Broker(host="localhost", port=port))] if here else found


def _ask_supervisor(token: str, supervisor: str) -> Broker | None:
    """The broker that Home Assistant itself uses (its services API). Blocks, for a bounded time."""
    if not token:
        return None
    request = urllib.request.Request(  # noqa: S310 - a fixed address
        f"{supervisor}/services/mqtt", headers={"Authorization": f"Bearer {token}"}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE) as answer:
            data = json.loads(answer.read(LARGEST))["data"]
        return Broker(
            host=str(data["host"]),
            port=int(data["port"]),
            tls=bool(data.get("ssl")),
            username=str(data.get("username") or ""),
            password=str(data.get("password") or ""),
        )
    except (OSError, urllib.error.URLError, ValueError, KeyError, TypeError):
        return None


async def _here(port: int) -> bool:
    try:
        await asyncio.wait_for(reach(Address(scheme="mqtt", host="localhost", port=port)), PATIENCE)
    except OSError:
        return False
    return True

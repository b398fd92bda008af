"""Runs a real Home Assistant in one folder and does what it is told; started with Home Assistant's Python.

Orders come as JSON lines on standard input, `{"do": …, "id": …}`; answers `{"id": …, "answer": …}` or
`{"id": …, "error": …}` and every log line at warning or above, `{"log": …}`, go to standard output. It imports
nothing of wx2mqtt, and no pip, recorder or network discovery is part of it; the frontend is for pictures only.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from homeassistant import bootstrap, config, core, loader
from homeassistant.components import image, persistent_notification
from homeassistant.components.mqtt import schemas
from homeassistant.components.websocket_api import commands
from homeassistant.helpers import device_registry, entity_registry, template
from homeassistant.helpers.json import json_bytes
from homeassistant.util import yaml as ha_yaml

# What a house always has, without what needs a page, a database or the network around it. `network` is its own
# addresses, which must be known before the first integration with a client of HTTP.
bootstrap.DEFAULT_INTEGRATIONS = {
    *("automation", "script", "input_boolean", "input_text", "timer", "zone"),
    "network",
}
bootstrap.CRITICAL_INTEGRATIONS = set()


def say(**line: Any) -> None:
    """One line for the test."""
    os.write(OUT, json_bytes(line) + b"\n")


OUT = os.dup(1)
os.dup2(2, 1)  # whatever prints must not stand between the answers


class LogForwarder(logging.Handler):
    """Hands log lines to the test."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        say(log={"level": record.levelname, "name": record.name, "text": record.getMessage(), "trace": trace})


class HalfBuilt(list[Any]):
    """The steps of an `All`: all of them for the announcement as a whole, the first one for its first component."""

    def __init__(self, steps: list[Any]) -> None:
        super().__init__(steps)
        self._uses = 0

    def __iter__(self) -> Iterator[Any]:
        """The steps that are there now."""
        self._uses += 1
        return iter(self[:1]) if self._uses == 2 else super().__iter__()


class HomeAssistantOrders:
    """Home Assistant, and the orders it understands. Each method is an order."""

    def __init__(self, hass: core.HomeAssistant) -> None:
        self.hass = hass

    async def states(self, _order: dict[str, Any]) -> Any:
        """Every state by entity id."""
        return {one.entity_id: one.as_dict() for one in self.hass.states.async_all()}

    async def wait(self, order: dict[str, Any]) -> Any:
        """Wait until a template is true; the answer is whether it became so."""
        wanted = template.Template(order["template"], self.hass)
        came = asyncio.Event()
        stop = self.hass.bus.async_listen("*", core.callback(lambda _event: came.set()))
        try:
            async with asyncio.timeout(order["seconds"]):
                while wanted.async_render() is not True:
                    came.clear()
                    await came.wait()
        except TimeoutError:
            return False
        finally:
            stop()
        return True

    async def render(self, order: dict[str, Any]) -> Any:
        """The value of a template."""
        return template.Template(order["template"], self.hass).async_render()

    async def call(self, order: dict[str, Any]) -> Any:
        """Call an action and wait for its end."""
        await self.hass.services.async_call(
            order["domain"], order["action"], order.get("data"), blocking=True, target=order.get("target")
        )

    async def set(self, order: dict[str, Any]) -> Any:
        """Give an entity of no integration a state."""
        self.hass.states.async_set(order["entity"], order["state"], order.get("attributes"))

    async def entities(self, _order: dict[str, Any]) -> Any:
        """The registry of entities, by unique id."""
        known = entity_registry.async_get(self.hass).entities.values()
        return {
            one.unique_id: {
                "entity": one.entity_id,
                "disabled": one.disabled_by,
                "category": one.entity_category,
                "name": one.original_name,
            }
            for one in known
        }

    async def rename(self, order: dict[str, Any]) -> Any:
        """What a person does who gives an entity another id."""
        entity_registry.async_get(self.hass).async_update_entity(order["entity"], new_entity_id=order["to"])

    async def enable(self, order: dict[str, Any]) -> Any:
        """What a person does who wants an entity that is off by default."""
        entity_registry.async_get(self.hass).async_update_entity(order["entity"], disabled_by=None)

    async def reload(self, order: dict[str, Any]) -> Any:
        """Load an integration again."""
        for entry in self.hass.config_entries.async_entries(order["domain"]):
            await self.hass.config_entries.async_reload(entry.entry_id)
        await self.hass.async_block_till_done()

    async def half_built(self, _order: dict[str, Any]) -> Any:
        """Let the first component of the next announcement meet shared validators that are half built.

        voluptuous builds an `All` anew, in place, for each schema that contains it, and Home Assistant loads the
        modules of platforms in a thread: what the event loop checks at that moment misses the later steps.
        """
        shared = schemas.MQTT_ENTITY_COMMON_SCHEMA.schema
        for validator in (shared["device"], shared["availability"]):
            validator._compiled = HalfBuilt(validator._compiled)

    async def devices(self, _order: dict[str, Any]) -> Any:
        """The registry of devices."""
        known = device_registry.async_get(self.hass).devices.values()
        return [{**one.dict_repr, "identifiers": sorted(one.identifiers)} for one in known]

    async def picture(self, order: dict[str, Any]) -> Any:
        """The bytes of an image entity."""
        shown = await image.async_get_image(self.hass, order["entity"])
        return {"type": shown.content_type, "bytes": base64.b64encode(shown.content).decode()}

    async def owner(self, order: dict[str, Any]) -> Any:
        """Create the person to whom the house belongs, who can look at its page.

        The page gets no descriptions of actions: to describe them Home Assistant loads voice and video.
        """
        commands.async_get_all_service_descriptions = no_descriptions
        await self.hass.auth.async_create_user(order["name"], group_ids=["system-admin"])

    async def flow(self, order: dict[str, Any]) -> Any:
        """Add an integration as the page does: `domain`, and what is filled in."""
        flows = self.hass.config_entries.flow
        form = await flows.async_init(order["domain"], context={"source": "user"})
        if form["type"] == "abort":
            return {"type": "abort", "errors": form["reason"]}
        done = await flows.async_configure(form["flow_id"], order["input"])
        await self.hass.async_block_till_done()
        return {"type": done["type"], "errors": done.get("errors")}

    async def blueprints(self, _order: dict[str, Any]) -> Any:
        """The blueprints for automations, by path; the error of one that cannot be loaded."""
        found = await self.hass.data["blueprint"]["automation"].async_get_blueprints()
        return {path: str(one) if isinstance(one, Exception) else one.name for path, one in found.items()}

    async def automations(self, order: dict[str, Any]) -> Any:
        """Write these automations and load them."""
        path = self.hass.config.path("automations.yaml")
        await self.hass.async_add_executor_job(ha_yaml.save_yaml, path, order["automations"])
        await self.hass.services.async_call("automation", "reload", blocking=True)

    async def notes(self, _order: dict[str, Any]) -> Any:
        """What notifications on the page say, by id."""
        kept = self.hass.data.get("persistent_notification", {})
        return {key: one["message"] for key, one in kept.items()}

    async def note(self, order: dict[str, Any]) -> Any:
        """What the notification of this id says, as soon as it is on the page."""
        changed = asyncio.Event()
        stop = persistent_notification.async_register_callback(
            self.hass, core.callback(lambda _kind, _notes: changed.set())
        )
        try:
            async with asyncio.timeout(order["seconds"]):
                while order["note"] not in (notes := await self.notes(order)):
                    changed.clear()
                    await changed.wait()
        finally:
            stop()
        return notes[order["note"]]

    async def traces(self, _order: dict[str, Any]) -> Any:
        """How the runs of each automation ended, oldest first."""
        kept = self.hass.data.get("trace", {})
        return {
            key: [run.as_short_dict() for run in runs.values()]
            for key, runs in kept.items()
            if key.startswith("automation.")
        }


async def no_descriptions(_hass: core.HomeAssistant) -> dict[str, Any]:
    return {}


async def serve(orders: HomeAssistantOrders) -> None:
    """Carry out orders, several at once, until the input ends."""
    reader = asyncio.StreamReader()
    await orders.hass.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running: set[asyncio.Task[None]] = set()
    while line := await reader.readline():
        task = asyncio.create_task(_carry_out(orders, json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)


async def _carry_out(orders: HomeAssistantOrders, order: dict[str, Any]) -> None:
    do: Callable[[dict[str, Any]], Any] = getattr(orders, order["do"])
    try:
        say(id=order["id"], answer=await do(order))
    except Exception as error:  # noqa: BLE001 - the test is told, whatever it is
        say(id=order["id"], error=f"{type(error).__name__}: {error}")


async def main(folder: str) -> None:
    """Start, serve, stop in order."""
    hass = core.HomeAssistant(folder)
    loader.async_setup(hass)
    hass.config.skip_pip = True
    wanted = await config.async_hass_config_yaml(hass)
    assert await bootstrap.async_from_config_dict(wanted, hass) is hass
    await hass.async_start()
    say(ready=True)
    await serve(HomeAssistantOrders(hass))
    await hass.async_stop(force=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger().addHandler(LogForwarder(level=logging.WARNING))
    asyncio.run(main(sys.argv[1]))

"""Runs a real Home Assistant in one folder and does what a test orders; started with Home Assistant's Python.

Orders come as JSON lines on standard input, `{"do": …, "id": …}`; answers `{"id": …, "answer": …}` or `{"id": …, "error": …}`
and every log line at warning or above, `{"log": …}`, go to standard output. It imports nothing of wx2mqtt, and has no pip,
recorder or network discovery; the frontend is for pictures only.
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

# The integrations that every house has, without those that need a page, a database or the network around it. `network` is its own
# addresses, which must be known before the first integration with a client of HTTP.
bootstrap.DEFAULT_INTEGRATIONS = {
    *("automation", "script", "input_boolean", "input_text", "timer", "zone"),
    "network",
}
bootstrap.CRITICAL_INTEGRATIONS = set()


def write_line(**line: Any) -> None:
    """Writes one line for the test."""
    os.write(OUTPUT_FD, json_bytes(line) + b"\n")


OUTPUT_FD = os.dup(1)
os.dup2(2, 1)  # nothing that prints to standard output may come between the answers


class LogForwarder(logging.Handler):
    """Writes each log record as a line for the test."""

    def emit(self, record: logging.LogRecord) -> None:
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        write_line(
            log={"level": record.levelname, "name": record.name, "text": record.getMessage(), "trace": trace}
        )


class IncompleteSteps(list[Any]):
    """The steps of an `All`. The second use, for the first component of an announcement, sees only the first step."""

    def __init__(self, steps: list[Any]) -> None:
        super().__init__(steps)
        self._uses = 0

    def __iter__(self) -> Iterator[Any]:
        self._uses += 1
        return iter(self[:1]) if self._uses == 2 else super().__iter__()


class HomeAssistantOrders:
    """Carries out the orders in Home Assistant. Each method is an order."""

    def __init__(self, hass: core.HomeAssistant) -> None:
        self.hass = hass

    async def states(self, _order: dict[str, Any]) -> Any:
        """Returns every state by entity id."""
        return {entity.entity_id: entity.as_dict() for entity in self.hass.states.async_all()}

    async def wait(self, order: dict[str, Any]) -> Any:
        """Waits until a template is true; returns whether it became so in time."""
        condition = template.Template(order["template"], self.hass)
        state_changed = asyncio.Event()
        stop = self.hass.bus.async_listen("*", core.callback(lambda _event: state_changed.set()))
        try:
            async with asyncio.timeout(order["seconds"]):
                while condition.async_render() is not True:
                    state_changed.clear()
                    await state_changed.wait()
        except TimeoutError:
            return False
        finally:
            stop()
        return True

    async def render(self, order: dict[str, Any]) -> Any:
        """Returns the value of a template."""
        return template.Template(order["template"], self.hass).async_render()

    async def call(self, order: dict[str, Any]) -> Any:
        """Calls an action and waits for its end."""
        await self.hass.services.async_call(
            order["domain"], order["action"], order.get("data"), blocking=True, target=order.get("target")
        )

    async def set(self, order: dict[str, Any]) -> Any:
        """Gives an entity of no integration a state."""
        self.hass.states.async_set(order["entity"], order["state"], order.get("attributes"))

    async def entities(self, _order: dict[str, Any]) -> Any:
        """Returns the registry of entities, by unique id."""
        registry = entity_registry.async_get(self.hass).entities.values()
        return {
            entity.unique_id: {
                "entity": entity.entity_id,
                "disabled": entity.disabled_by,
                "category": entity.entity_category,
                "name": entity.original_name,
            }
            for entity in registry
        }

    async def rename(self, order: dict[str, Any]) -> Any:
        """Gives an entity another id, as a person does."""
        entity_registry.async_get(self.hass).async_update_entity(order["entity"], new_entity_id=order["to"])

    async def enable(self, order: dict[str, Any]) -> Any:
        """Enables an entity that is off by default, as a person does."""
        entity_registry.async_get(self.hass).async_update_entity(order["entity"], disabled_by=None)

    async def reload(self, order: dict[str, Any]) -> Any:
        """Loads an integration again."""
        for entry in self.hass.config_entries.async_entries(order["domain"]):
            await self.hass.config_entries.async_reload(entry.entry_id)
        await self.hass.async_block_till_done()

    async def make_schemas_incomplete(self, _order: dict[str, Any]) -> Any:
        """Makes the validators incomplete that the first component of the next announcement is checked with.

        voluptuous builds an `All` anew, in place, for each schema that contains it, and Home Assistant loads the modules of
        platforms in a thread: what the event loop checks at that moment misses the later steps.
        """
        shared = schemas.MQTT_ENTITY_COMMON_SCHEMA.schema
        for validator in (shared["device"], shared["availability"]):
            validator._compiled = IncompleteSteps(validator._compiled)

    async def devices(self, _order: dict[str, Any]) -> Any:
        """Returns the registry of devices."""
        registry = device_registry.async_get(self.hass).devices.values()
        return [{**device.dict_repr, "identifiers": sorted(device.identifiers)} for device in registry]

    async def picture(self, order: dict[str, Any]) -> Any:
        """Returns the bytes of an image entity."""
        content = await image.async_get_image(self.hass, order["entity"])
        return {"type": content.content_type, "bytes": base64.b64encode(content.content).decode()}

    async def owner(self, order: dict[str, Any]) -> Any:
        """Creates the owner, who can open the page.

        The page gets no descriptions of actions: to describe them Home Assistant loads voice and video.
        """
        commands.async_get_all_service_descriptions = no_descriptions
        await self.hass.auth.async_create_user(order["name"], group_ids=["system-admin"])

    async def flow(self, order: dict[str, Any]) -> Any:
        """Adds an integration as the page does, with `domain` and the values of the form."""
        flows = self.hass.config_entries.flow
        form = await flows.async_init(order["domain"], context={"source": "user"})
        if form["type"] == "abort":
            return {"type": "abort", "errors": form["reason"]}
        done = await flows.async_configure(form["flow_id"], order["input"])
        await self.hass.async_block_till_done()
        return {"type": done["type"], "errors": done.get("errors")}

    async def blueprints(self, _order: dict[str, Any]) -> Any:
        """Returns the names of the blueprints for automations by path, or the error of one that cannot be loaded."""
        found = await self.hass.data["blueprint"]["automation"].async_get_blueprints()
        return {
            path: str(blueprint) if isinstance(blueprint, Exception) else blueprint.name
            for path, blueprint in found.items()
        }

    async def automations(self, order: dict[str, Any]) -> Any:
        """Writes these automations and loads them."""
        path = self.hass.config.path("automations.yaml")
        await self.hass.async_add_executor_job(ha_yaml.save_yaml, path, order["automations"])
        await self.hass.services.async_call("automation", "reload", blocking=True)

    async def notes(self, _order: dict[str, Any]) -> Any:
        """Returns the texts of the notifications on the page, by id."""
        found = self.hass.data.get("persistent_notification", {})
        return {key: notification["message"] for key, notification in found.items()}

    async def note(self, order: dict[str, Any]) -> Any:
        """Waits for the notification of this id; returns its text."""
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
        """Returns the runs of each automation, the oldest first."""
        notifications = self.hass.data.get("trace", {})
        return {
            key: [run.as_short_dict() for run in runs.values()]
            for key, runs in notifications.items()
            if key.startswith("automation.")
        }


async def no_descriptions(_hass: core.HomeAssistant) -> dict[str, Any]:
    return {}


async def serve(orders: HomeAssistantOrders) -> None:
    """Carries out orders, several at once, until the input ends."""
    reader = asyncio.StreamReader()
    await orders.hass.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running: set[asyncio.Task[None]] = set()
    while line := await reader.readline():
        task = asyncio.create_task(_answer_order(orders, json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)


async def _answer_order(orders: HomeAssistantOrders, order: dict[str, Any]) -> None:
    do: Callable[[dict[str, Any]], Any] = getattr(orders, order["do"])
    try:
        write_line(id=order["id"], answer=await do(order))
    except Exception as error:  # noqa: BLE001 - the test gets every error
        write_line(id=order["id"], error=f"{type(error).__name__}: {error}")


async def main(folder: str) -> None:
    """Starts Home Assistant, carries out orders, and stops it."""
    hass = core.HomeAssistant(folder)
    loader.async_setup(hass)
    hass.config.skip_pip = True
    loaded_config = await config.async_hass_config_yaml(hass)
    assert await bootstrap.async_from_config_dict(loaded_config, hass) is hass
    await hass.async_start()
    write_line(ready=True)
    await serve(HomeAssistantOrders(hass))
    await hass.async_stop(force=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger().addHandler(LogForwarder(level=logging.WARNING))
    asyncio.run(main(sys.argv[1]))

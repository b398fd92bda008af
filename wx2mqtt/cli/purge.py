"""`wx2mqtt purge`: an account that is no longer configured leaves nothing behind, here and at the broker."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import typer

from wx2mqtt.app import control_socket
from wx2mqtt.app.application import RunEnvironment
from wx2mqtt.app.redaction import one_line
from wx2mqtt.app.settings_mapping import mqtt_options
from wx2mqtt.cli.operations import run_operation, store_folder
from wx2mqtt.errors import NotConnected, Wx2MqttError
from wx2mqtt.i18n.bridge import Language, bridge_text
from wx2mqtt.model import Json
from wx2mqtt.mqtt.cleanup import clear_client
from wx2mqtt.mqtt.embedded import EmbeddedBroker
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import PROGRAM, Settings
from wx2mqtt.store.archive import REPLACED_PREFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgePlan:
    """What is to go: topics at the broker, sessions of these clients, and what was `found` in the store.

    `announced` are those of the topics that Home Assistant reads.
    """

    topics: tuple[str, ...]
    discovery_topics: tuple[str, ...]
    client_ids: tuple[str, ...]
    stored_data: dict[str, Json]


def purge(
    loaded: LoadedSettings, environment: RunEnvironment, account: str, *, yes: bool, include_broker: bool
) -> None:
    """Tell what will go, ask unless `yes`, take it away; with `broker` there, too. Raises `Wx2MqttError`."""
    settings, language = loaded.settings, loaded.settings.language
    if account in settings.accounts:
        raise Wx2MqttError(bridge_text(language, "purge_configured", account=account))
    plan = asyncio.run(_plan(loaded, environment, account))
    for line in describe_plan(plan, language, include_broker=include_broker):
        print(one_line(line), flush=True)
    if not yes:
        _must_be_wanted(language)
    asyncio.run(_carry_out(loaded, environment, plan, include_broker=include_broker))
    print(one_line(bridge_text(language, "purge_done", account=account)), flush=True)
    for aside in sorted(store_folder(loaded, environment.env).glob(f"{REPLACED_PREFIX}*")):
        print(one_line(bridge_text(language, "purge_aside", folder=aside)), flush=True)


def former_clients(settings: Settings, account: str) -> tuple[str, ...]:
    """The client ids that a removed account may have had: its own, and the one of an account that was alone.

    None that an account of today has: to connect with that would throw the bridge out.
    """
    own = settings.mqtt.client_id
    names = (f"{own or PROGRAM}-{account}", *([own] if own else []))
    return tuple(name for name in names if name not in settings.client_ids().values())


def describe_plan(plan: PurgePlan, language: Language, *, include_broker: bool) -> list[str]:
    """What will go, in words."""
    found = plan.stored_data
    lines = [
        bridge_text(
            language,
            "purge_store",
            messages=found["messages"],
            commands=found["commands"],
            people=found["people"],
            media=found["media"],
            login="✓" if found["login"] else "-",
        )
    ]
    return [*lines, *_told_of_broker(plan, language)] if include_broker else lines


def _told_of_broker(plan: PurgePlan, language: Language) -> list[str]:
    base, clients = plan.stored_data["base"], ", ".join(plan.client_ids)
    count = len(plan.topics) - len(plan.discovery_topics)
    lines = [
        bridge_text(language, "purge_broker", count=count, base=base, clients=clients)
        if count
        else bridge_text(language, "purge_session", clients=clients)
    ]
    if plan.discovery_topics:
        lines.append(bridge_text(language, "purge_device", topics=", ".join(plan.discovery_topics)))
    if plan.stored_data["taken_by"]:
        lines.append(bridge_text(language, "purge_taken", base=base, other=plan.stored_data["taken_by"]))
    return lines


async def _plan(loaded: LoadedSettings, environment: RunEnvironment, account: str) -> PurgePlan:
    found = await run_operation(loaded, environment, "purge.look", {"account": account})
    assert isinstance(found, dict)
    announced = _texts(found["announced"])
    return PurgePlan(
        topics=(*_texts(found["topics"]), *announced),
        discovery_topics=announced,
        client_ids=former_clients(loaded.settings, account),
        stored_data=found,
    )


def _must_be_wanted(language: Language) -> None:
    if not sys.stdin.isatty():
        raise Wx2MqttError(bridge_text(language, "purge_unasked"))
    typer.confirm(bridge_text(language, "purge_ask"), abort=True)


async def _carry_out(
    loaded: LoadedSettings, environment: RunEnvironment, plan: PurgePlan, *, include_broker: bool
) -> None:
    """The broker first: what stands there is found by what stands in the store."""
    language = loaded.settings.language
    if include_broker:
        try:
            refused = await _say_goodbye(loaded, environment, plan)
        except NotConnected as away:
            raise Wx2MqttError(bridge_text(language, "purge_no_broker", why=away)) from None
        if refused:
            raise Wx2MqttError(bridge_text(language, "purge_refused", topics=", ".join(refused)))
    await run_operation(loaded, environment, "purge", {"account": plan.stored_data["account"]})


async def _say_goodbye(loaded: LoadedSettings, environment: RunEnvironment, plan: PurgePlan) -> list[str]:
    async with _way_to_broker(loaded, environment) as options:
        first, *others = plan.client_ids
        refused = await clear_client(replace(options, client_id=first), plan.topics)
        for client in others:
            await clear_client(replace(options, client_id=client), ())
    return refused


@asynccontextmanager
async def _way_to_broker(loaded: LoadedSettings, environment: RunEnvironment) -> AsyncIterator[MqttOptions]:
    """How the bridge reaches its broker; the embedded one is started where no bridge runs that has it."""
    settings = loaded.settings
    name, base = next(iter(settings.base_topics().items()))
    if settings.mqtt.url != (EMBEDDED,):
        yield mqtt_options(settings, name, Topics(base), None)
        return
    folder = store_folder(loaded, environment.env)
    try:
        await control_socket.ask_bridge(folder, "accounts")
    except control_socket.BridgeNotRunning:
        async with EmbeddedBroker(folder, port=environment.embedded_port) as own:
            yield mqtt_options(settings, name, Topics(base), (own.url, own.protocol))
    else:
        url = f"mqtt://127.0.0.1:{environment.embedded_port}"
        yield mqtt_options(settings, name, Topics(base), (url, "auto"))


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()

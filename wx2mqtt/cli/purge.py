"""`wx2mqtt purge`: deletes an account that is no longer configured, at the broker and then in the store.

1. `_make_plan` asks the store what there is of the account.
2. The plan is printed, and a person says yes.
3. `_execute` clears the broker first: only the store knows which topics are there.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import typer

from wx2mqtt.app import control_socket
from wx2mqtt.app.application import RunEnvironment
from wx2mqtt.app.configuration import mqtt_options
from wx2mqtt.cli.operations import enter_store, run_operation
from wx2mqtt.cli.terminal import show
from wx2mqtt.errors import NotConnected, Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Json
from wx2mqtt.mqtt.embedded import EmbeddedBroker
from wx2mqtt.mqtt.options import MqttOptions
from wx2mqtt.mqtt.temporary_client import clear_client
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import PROGRAM, Settings
from wx2mqtt.setup.questions import confirm
from wx2mqtt.store.folder_replacement import REPLACED_PREFIX
from wx2mqtt.values import frozen


@frozen
class PurgePlan:
    """What is to be deleted at the broker and in the store."""

    #: The retained topics, the `discovery_topics` among them.
    topics: tuple[str, ...]
    #: The retained topics that Home Assistant reads.
    discovery_topics: tuple[str, ...]
    #: The clients whose sessions are ended.
    client_ids: tuple[str, ...]
    #: The answer of the operation `purge.look`.
    stored_data: dict[str, Json]


def purge_account(
    loaded: LoadedSettings, environment: RunEnvironment, account: str, *, yes: bool, include_broker: bool
) -> None:
    """Prints what will be deleted, asks unless `yes`, and deletes it. Raises `Wx2MqttError`."""
    settings, language = loaded.settings, loaded.settings.language
    if account in settings.accounts:
        raise Wx2MqttError(bridge_text(language, "purge_configured", account=account))
    plan = asyncio.run(_make_plan(loaded, environment, account))
    for line in describe_plan(plan, language, include_broker=include_broker):
        show(line)
    if not yes:
        if not sys.stdin.isatty():
            raise Wx2MqttError(bridge_text(language, "purge_unasked"))
        if not confirm(bridge_text(language, "purge_ask"), default=False):
            raise typer.Abort
    asyncio.run(_execute(loaded, environment, plan, include_broker=include_broker))
    show(bridge_text(language, "purge_done", account=account))
    for folder in sorted(enter_store(loaded, environment.env).glob(f"{REPLACED_PREFIX}*")):
        show(bridge_text(language, "purge_aside", folder=folder))


def former_clients(settings: Settings, account: str) -> tuple[str, ...]:
    """Returns the client ids that a removed account may have had, as one of several or as the only account.

    An id that another account has now is left out: to connect with it would disconnect the bridge.
    """
    configured_id = settings.mqtt.client_id
    candidates = (f"{configured_id or PROGRAM}-{account}", *([configured_id] if configured_id else []))
    return tuple(client for client in candidates if client not in settings.client_ids().values())


def describe_plan(plan: PurgePlan, language: Language, *, include_broker: bool) -> list[str]:
    stored = plan.stored_data
    store = bridge_text(
        language,
        "purge_store",
        messages=stored["messages"],
        commands=stored["commands"],
        people=stored["people"],
        media=stored["media"],
        login="✓" if stored["login"] else "-",
    )
    lines = [store]
    if not include_broker:
        return lines
    base, clients = stored["base"], ", ".join(plan.client_ids)
    if count := len(plan.topics) - len(plan.discovery_topics):
        lines.append(bridge_text(language, "purge_broker", count=count, base=base, clients=clients))
    else:
        lines.append(bridge_text(language, "purge_session", clients=clients))
    if plan.discovery_topics:
        lines.append(bridge_text(language, "purge_device", topics=", ".join(plan.discovery_topics)))
    if stored["taken_by"]:
        lines.append(bridge_text(language, "purge_taken", base=base, other=stored["taken_by"]))
    return lines


async def _make_plan(loaded: LoadedSettings, environment: RunEnvironment, account: str) -> PurgePlan:
    stored = await run_operation(loaded, environment, "purge.look", {"account": account})
    assert isinstance(stored, dict)
    announced, topics = cast("list[str]", stored["announced"]), cast("list[str]", stored["topics"])
    discovery_topics = tuple(announced)
    return PurgePlan(
        topics=(*topics, *discovery_topics),
        discovery_topics=discovery_topics,
        client_ids=former_clients(loaded.settings, account),
        stored_data=stored,
    )


async def _execute(
    loaded: LoadedSettings, environment: RunEnvironment, plan: PurgePlan, *, include_broker: bool
) -> None:
    """Clears the broker, then the store.

    Raises `Wx2MqttError` where the broker is away or refuses to clear a topic; then the store is not changed.
    """
    language = loaded.settings.language
    if include_broker:
        try:
            async with _broker_options(loaded, environment) as options:
                first, *others = plan.client_ids
                refused = await clear_client(
                    replace(options, client_id=first),
                    [topic for topic in plan.topics if topic not in plan.discovery_topics],
                    announcements=plan.discovery_topics,
                )
                for client in others:
                    await clear_client(replace(options, client_id=client), ())
        except NotConnected as error:
            raise Wx2MqttError(bridge_text(language, "purge_no_broker", why=error)) from None
        if refused:
            raise Wx2MqttError(bridge_text(language, "purge_refused", topics=", ".join(refused)))
    await run_operation(loaded, environment, "purge", {"account": plan.stored_data["account"]})


@asynccontextmanager
async def _broker_options(loaded: LoadedSettings, environment: RunEnvironment) -> AsyncIterator[MqttOptions]:
    """Yields the bridge's options for its broker; starts the embedded broker unless a bridge runs it."""
    settings = loaded.settings
    name, base = next(iter(settings.base_topics().items()))
    if settings.mqtt.url != (EMBEDDED,):
        yield mqtt_options(settings, name, Topics(base), None)
        return
    folder = enter_store(loaded, environment.env)
    try:
        await control_socket.ask_bridge(folder, "accounts")
    except control_socket.BridgeNotRunning:
        async with EmbeddedBroker(folder, port=environment.embedded_port) as broker:
            yield mqtt_options(settings, name, Topics(base), (broker.url, broker.protocol))
    else:
        url = f"mqtt://127.0.0.1:{environment.embedded_port}"
        yield mqtt_options(settings, name, Topics(base), (url, "auto"))

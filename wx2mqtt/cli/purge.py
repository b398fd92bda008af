"""`wx2mqtt purge`: an account that is no longer configured leaves nothing behind, here and at the broker."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import typer

from wx2mqtt.app.running import Surroundings
from wx2mqtt.app.wiring import options_of
from wx2mqtt.cli.offline import do, store_of
from wx2mqtt.errors import NotConnected, Wx2MqttError
from wx2mqtt.model import Json
from wx2mqtt.mqtt.embedded import Embedded
from wx2mqtt.mqtt.farewell import forget
from wx2mqtt.mqtt.options import Options
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.service import control
from wx2mqtt.service.redaction import one_line
from wx2mqtt.settings.addresses import EMBEDDED
from wx2mqtt.settings.load import Loaded
from wx2mqtt.settings.schema import PROGRAM, Settings
from wx2mqtt.store.replacing import REPLACED
from wx2mqtt.words import Language, say


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to go: topics at the broker, sessions of these clients, and what was `found` in the store.

    `announced` are those of the topics that Home Assistant reads.
    """

    topics: tuple[str, ...]
    announced: tuple[str, ...]
    clients: tuple[str, ...]
    found: dict[str, Json]


def purge(loaded: Loaded, around: Surroundings, account: str, *, yes: bool, broker: bool) -> None:
    """Tell what will go, ask unless `yes`, take it away; with `broker` there, too. Raises `Wx2MqttError`."""
    settings, language = loaded.settings, loaded.settings.language
    if account in settings.accounts:
        raise Wx2MqttError(say(language, "purge_configured", account=account))
    plan = asyncio.run(_plan(loaded, around, account))
    for line in told(plan, language, broker=broker):
        print(one_line(line), flush=True)
    if not yes:
        _must_be_wanted(language)
    asyncio.run(_carry_out(loaded, around, plan, broker=broker))
    print(one_line(say(language, "purge_done", account=account)), flush=True)
    for aside in sorted(store_of(loaded, around.env).glob(f"{REPLACED}*")):
        print(one_line(say(language, "purge_aside", folder=aside)), flush=True)


def former_clients(settings: Settings, account: str) -> tuple[str, ...]:
    """The client ids that a removed account may have had: its own, and the one of an account that was alone.

    None that an account of today has: to connect with that would throw the bridge out.
    """
    own = settings.mqtt.client_id
    names = (f"{own or PROGRAM}-{account}", *([own] if own else []))
    return tuple(name for name in names if name not in settings.client_ids().values())


def told(plan: Plan, language: Language, *, broker: bool) -> list[str]:
    """What will go, in words."""
    found = plan.found
    lines = [
        say(
            language,
            "purge_store",
            messages=found["messages"],
            commands=found["commands"],
            people=found["people"],
            media=found["media"],
            login="✓" if found["login"] else "-",
        )
    ]
    return [*lines, *_told_of_broker(plan, language)] if broker else lines


def _told_of_broker(plan: Plan, language: Language) -> list[str]:
    base, clients = plan.found["base"], ", ".join(plan.clients)
    count = len(plan.topics) - len(plan.announced)
    lines = [
        say(language, "purge_broker", count=count, base=base, clients=clients)
        if count
        else say(language, "purge_session", clients=clients)
    ]
    if plan.announced:
        lines.append(say(language, "purge_device", topics=", ".join(plan.announced)))
    if plan.found["taken_by"]:
        lines.append(say(language, "purge_taken", base=base, other=plan.found["taken_by"]))
    return lines


async def _plan(loaded: Loaded, around: Surroundings, account: str) -> Plan:
    found = await do(loaded, around, "purge.look", {"account": account})
    assert isinstance(found, dict)
    announced = _texts(found["announced"])
    return Plan(
        topics=(*_texts(found["topics"]), *announced),
        announced=announced,
        clients=former_clients(loaded.settings, account),
        found=found,
    )


def _must_be_wanted(language: Language) -> None:
    if not sys.stdin.isatty():
        raise Wx2MqttError(say(language, "purge_unasked"))
    typer.confirm(say(language, "purge_ask"), abort=True)


async def _carry_out(loaded: Loaded, around: Surroundings, plan: Plan, *, broker: bool) -> None:
    """The broker first: what stands there is found by what stands in the store."""
    language = loaded.settings.language
    if broker:
        try:
            refused = await _say_goodbye(loaded, around, plan)
        except NotConnected as away:
            raise Wx2MqttError(say(language, "purge_no_broker", why=away)) from None
        if refused:
            raise Wx2MqttError(say(language, "purge_refused", topics=", ".join(refused)))
    await do(loaded, around, "purge", {"account": plan.found["account"]})


async def _say_goodbye(loaded: Loaded, around: Surroundings, plan: Plan) -> list[str]:
    async with _way_to_broker(loaded, around) as options:
        first, *others = plan.clients
        refused = await forget(replace(options, client_id=first), plan.topics)
        for client in others:
            await forget(replace(options, client_id=client), ())
    return refused


@asynccontextmanager
async def _way_to_broker(loaded: Loaded, around: Surroundings) -> AsyncIterator[Options]:
    """How the bridge reaches its broker; the embedded one is started where no bridge runs that has it."""
    settings = loaded.settings
    name, base = next(iter(settings.base_topics().items()))
    if settings.mqtt.url != (EMBEDDED,):
        yield options_of(settings, name, Topics(base), None)
        return
    folder = store_of(loaded, around.env)
    try:
        await control.ask(folder, "accounts")
    except control.NotRunning:
        async with Embedded(folder, port=around.embedded_port) as own:
            yield options_of(settings, name, Topics(base), (own.url, own.protocol))
    else:
        url = f"mqtt://127.0.0.1:{around.embedded_port}"
        yield options_of(settings, name, Topics(base), (url, "auto"))


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()

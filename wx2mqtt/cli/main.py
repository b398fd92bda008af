"""The commands of `wx2mqtt`. Heavy parts are imported by the command that needs them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import structlog
import typer

from wx2mqtt import __version__
from wx2mqtt.app import logs
from wx2mqtt.app.redaction import one_line
from wx2mqtt.cli import backup
from wx2mqtt.cli.operations import EXIT_OK, EXIT_UNEXPECTED, ConfigOption, exit_code
from wx2mqtt.cli.setup import setup
from wx2mqtt.errors import Problem, SettingsError, Wx2MqttError
from wx2mqtt.memory import tune_malloc
from wx2mqtt.model import Json
from wx2mqtt.settings.loader import LoadedSettings, find_config, load
from wx2mqtt.wechat.registry import BACKENDS

log = structlog.get_logger(__name__)

app = typer.Typer(
    help="A bridge between a personal WeChat account and MQTT.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
journal = typer.Typer(help="What is waiting, failed or uncertain.", no_args_is_help=True)
people = typer.Typer(
    help="Who has which topic; settle what the bridge would not guess.", no_args_is_help=True
)
schema = typer.Typer(help="Schemas for machines.", no_args_is_help=True)
app.command()(setup)
app.add_typer(journal, name="journal")
app.add_typer(people, name="people")
app.add_typer(schema, name="schema")

TlsFolderOption = Annotated[
    Path | None,
    typer.Option(help="A folder for a CA and certificates; serves HTTPS."),
]
AccountOption = Annotated[str, typer.Option("--account", help="The account; the first one by default.")]
ExplainOption = Annotated[
    bool,
    typer.Option("--explain", help="Show the problems of the file on the page, too, until it has none."),
]


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; the exit code."""
    try:
        app(list(arguments), prog_name="wx2mqtt")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else EXIT_UNEXPECTED
    except Wx2MqttError as error:
        return exit_code(error, _complain)
    return EXIT_OK


def _complain(line: str) -> None:
    print(one_line(line), file=sys.stderr)


def _loaded(config: Path | None, *, log_to_terminal: bool = False) -> LoadedSettings:
    """The settings, with their warnings told; raises `SettingsError`."""
    path = config or find_config(Path.cwd())
    if config is not None and not config.exists():
        raise SettingsError((Problem(str(config), 1, "file", "there is no such file; name another with -c"),))
    loaded = load(path, os.environ, BACKENDS)
    log = loaded.settings.log
    logs.configure(
        level="warning" if log_to_terminal else log.level,
        format=log.format,
        stream=sys.stderr,
        message_text=log.message_text,
    )
    return loaded


def _usable(config: Path | None, *, explain: bool, log_to_terminal: bool = False) -> LoadedSettings:
    """As `_loaded`; with `explain` a file with problems is waited for, and they stand on the page."""
    try:
        return _loaded(config, log_to_terminal=log_to_terminal)
    except SettingsError as wrong:
        if not explain:
            raise
        from wx2mqtt.cli.check import wait_until_usable  # noqa: PLC0415

        wait_until_usable(config or find_config(Path.cwd()), wrong, _complain)
    return _loaded(config, log_to_terminal=log_to_terminal)


def _do(config: Path | None, name: str, fields: Mapping[str, Json], which: str) -> Json:
    from wx2mqtt.app.application import RunEnvironment  # noqa: PLC0415
    from wx2mqtt.app.systemd import SystemdNotifier  # noqa: PLC0415
    from wx2mqtt.cli.operations import run_operation  # noqa: PLC0415

    loaded = _loaded(config, log_to_terminal=True)
    given = {key: value for key, value in {**fields, "account": which}.items() if value != ""}

    async def ask() -> Json:
        return await run_operation(
            loaded, RunEnvironment(env=os.environ, notifier=SystemdNotifier({})), name, given
        )

    return asyncio.run(ask())


def _version(wanted: bool) -> None:
    if wanted:
        print(f"wx2mqtt {__version__}")
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Bridge WeChat and MQTT."""


@app.command("run")
def run_bridge(config: ConfigOption = None, explain: ExplainOption = False) -> None:
    """The bridge. Without a file: web WeChat, and an embedded broker on 127.0.0.1:1883."""
    from wx2mqtt.app.application import RunEnvironment, run  # noqa: PLC0415
    from wx2mqtt.app.systemd import SystemdNotifier  # noqa: PLC0415
    from wx2mqtt.cli.terminal import contacts_progress, show_login  # noqa: PLC0415

    tune_malloc()
    loaded = _usable(config, explain=explain)
    _warn(loaded)

    async def bridge() -> None:
        around = RunEnvironment(
            env=os.environ,
            notifier=SystemdNotifier(os.environ),
            on_progress=contacts_progress(),
            on_login_status=show_login,
        )
        await run(loaded, around)

    try:
        asyncio.run(bridge())
    except Wx2MqttError:
        raise
    except Exception:  # through the log, which redacts: a traceback may quote a request
        log.critical("the bridge failed", exc_info=True)
        raise typer.Exit(EXIT_UNEXPECTED) from None


def _warn(loaded: LoadedSettings) -> None:
    for warning in loaded.warnings:
        _complain(f"warning: {warning}")


@app.command()
def check(
    config: ConfigOption = None,
    connect: Annotated[
        bool,
        typer.Option("--connect", help="Also what the broker and WeChat do for us, by trying; see README."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --connect: what is found, as JSON.")] = False,
    explain: ExplainOption = False,
) -> None:
    """All problems of the file at once, each with its line and cure."""
    if as_json and not connect:
        raise typer.BadParameter("--json goes with --connect")
    loaded = _usable(config, explain=explain, log_to_terminal=True)
    _warn(loaded)
    if not as_json:
        print(f"{loaded.path or 'no file: the defaults'}: no problems", flush=True)
    if connect:
        from wx2mqtt.cli.check import check_connections as examine  # noqa: PLC0415

        raise typer.Exit(EXIT_OK if examine(loaded, os.environ, machine=as_json) else EXIT_UNEXPECTED)


@app.command()
def login(
    account: Annotated[str | None, typer.Argument(help="The account; the first one by default.")] = None,
    config: ConfigOption = None,
) -> None:
    """Log in once at the terminal, save the session, exit."""
    from wx2mqtt.app.application import RunEnvironment  # noqa: PLC0415
    from wx2mqtt.app.systemd import SystemdNotifier  # noqa: PLC0415
    from wx2mqtt.cli.login import login as log_in  # noqa: PLC0415

    loaded = _loaded(config, log_to_terminal=True)

    async def once() -> None:
        await log_in(loaded, RunEnvironment(env=os.environ, notifier=SystemdNotifier({})), account)

    asyncio.run(once())


@app.command()
def healthcheck(
    config: ConfigOption = None,
    live: Annotated[
        bool, typer.Option("--live", help="Well if it lives, also while it waits for a scan.")
    ] = False,
    account: AccountOption = "",
) -> None:
    """Exit 0 if the running bridge is well."""
    from wx2mqtt.cli.check import is_healthy  # noqa: PLC0415

    loaded = _loaded(config, log_to_terminal=True)
    problems = asyncio.run(is_healthy(loaded, os.environ, live=live, account=account))
    print(one_line("; ".join(problems)) or "well")
    raise typer.Exit(EXIT_UNEXPECTED if problems else EXIT_OK)


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Play a short conversation, print what crossed, exit.")
    ] = False,
    simulator_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The phone page, else 8070; 0 finds a free port.")
    ] = None,
    mqtt_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The broker, else 1883; 0 finds a free port.")
    ] = None,
    web_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Our web server, else 8099; 0 finds a free port.")
    ] = None,
    language: Annotated[
        Literal["en", "zh"], typer.Option(help="The language of the words for people.")
    ] = "en",
    backend: Annotated[
        Literal["webwx", "ilink"], typer.Option(help="Web WeChat, or iLink: a bot of one's own.")
    ] = "webwx",
) -> None:
    """Everything on this machine with no account: simulated WeChat, broker, bridge."""
    from wx2mqtt.demo.environment import DemoOptions, run_demo  # noqa: PLC0415

    logs.configure(level="warning", format="auto", stream=sys.stderr, message_text=False)
    usual = DemoOptions(simulator_port=0, mqtt_port=0, web_port=0) if once else DemoOptions()
    run_demo(
        DemoOptions(
            once=once,
            simulator_port=usual.simulator_port if simulator_port is None else simulator_port,
            mqtt_port=usual.mqtt_port if mqtt_port is None else mqtt_port,
            web_port=usual.web_port if web_port is None else web_port,
            language=language,
            backend=backend,
        )
    )


@app.command()
def simulate(
    host: Annotated[
        str, typer.Option(help="Where to listen; beyond loopback only if you say so.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 finds a free port.")] = 8070,
    tls: TlsFolderOption = None,
    friends: Annotated[int, typer.Option(help="So many friends more.")] = 0,
    autoscan: Annotated[bool, typer.Option("--autoscan", help="Scan and confirm every QR code.")] = False,
) -> None:
    """The WeChat simulator alone, for other people's clients and tests."""
    from wx2mqtt.simulator.server import SimulatorOptions, run_simulator  # noqa: PLC0415

    logs.configure(level="warning", format="auto", stream=sys.stderr, message_text=False)
    options = SimulatorOptions(host=host, port=port, tls=tls, friends=friends, autoscan=autoscan)
    raise typer.Exit(run_simulator(options))


@journal.command("list")
def journal_list(
    config: ConfigOption = None,
    account: AccountOption = "",
    everything: Annotated[bool, typer.Option("--all", help="Also what was sent or rejected.")] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Commands that wait, failed or are uncertain, and messages that were set aside."""
    answer = _do(config, "journal.list", {"all": everything}, account)
    _print(
        answer,
        as_json,
        {
            "commands": ("id", "user", "state", "code", "accepted", "attempts", "message"),
            "set_aside": ("row", "topic", "sort", "since", "why"),
        },
    )


@journal.command("show")
def journal_show(command_id: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """One command whole, its text included."""
    _print(_do(config, "journal.show", {"id": command_id}, account), True, {})


@journal.command("retry")
def journal_retry(
    command_id: Annotated[
        str, typer.Argument(help="A command's id, or the row of a message that was set aside.")
    ],
    config: ConfigOption = None,
    account: AccountOption = "",
    row: Annotated[bool, typer.Option("--row", help="It is a row of a message that was set aside.")] = False,
) -> None:
    """Send a command once more, as <id>~1; or publish a message that was set aside."""
    if row and not command_id.isdecimal():
        raise typer.BadParameter("a row is a number; 'wx2mqtt journal list' shows it")
    fields: dict[str, Json] = {"row": int(command_id)} if row else {"id": command_id}
    _print(_do(config, "journal.retry", fields, account), True, {})


@journal.command("drop")
def journal_drop(command_id: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """Give a waiting command up; its result says `dropped`."""
    _print(_do(config, "journal.drop", {"id": command_id}, account), True, {})


@people.command("list")
def people_list(
    config: ConfigOption = None,
    account: AccountOption = "",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Who has which topic, and how that was found."""
    columns = ("user", "kind", "name", "matched_by", "trusted", "removed", "unresolved")
    _print(_do(config, "people.list", {}, account), as_json, {"people": columns})


@people.command("assign")
def people_assign(user: str, to: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """USER, who could not be found again, is the one who is called TO now."""
    _print(_do(config, "people.assign", {"user": user, "to": to}, account), True, {})


@people.command("merge")
def people_merge(user: str, other: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """USER and OTHER are one person; both names lead to USER from now on."""
    _print(_do(config, "people.merge", {"user": user, "other": other}, account), True, {})


@schema.command("config")
def schema_config() -> None:
    """The JSON Schema of the configuration file."""
    from wx2mqtt.settings.schema import json_schema  # noqa: PLC0415

    print(json.dumps(json_schema(), ensure_ascii=False, indent=2))


@schema.command("messages")
def schema_messages() -> None:
    """JSON Schemas of all payloads, by name."""
    from wx2mqtt.schemas.documents import messages_document  # noqa: PLC0415

    print(json.dumps(messages_document(), ensure_ascii=False, indent=2))


@schema.command("topics")
def schema_topics() -> None:
    """The topics as an AsyncAPI 3 document."""
    from wx2mqtt.schemas.documents import topics_document  # noqa: PLC0415

    print(json.dumps(topics_document(), ensure_ascii=False, indent=2))


backup.add_commands(app, lambda config: _loaded(config, log_to_terminal=True))


def _print(answer: Json, as_json: bool, tables: Mapping[str, Sequence[str]]) -> None:
    from wx2mqtt.cli.terminal import format_json as written  # noqa: PLC0415
    from wx2mqtt.cli.terminal import format_table  # noqa: PLC0415

    if as_json or not isinstance(answer, dict):
        print(written(answer))
        return
    for name, columns in tables.items():
        rows = answer.get(name)
        if isinstance(rows, list) and rows:
            print(format_table(rows, columns))
        elif name != "set_aside":
            print(f"no {name}")

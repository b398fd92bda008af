"""The commands of `wx2mqtt`: their options, and what carries each of them out.

    run_command_line(["check", "--connect"])      the exit code

A command imports the heavy modules that it needs itself, since `--help` must be fast.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from wx2mqtt import __version__
from wx2mqtt.app import logs
from wx2mqtt.app.application import RunEnvironment
from wx2mqtt.app.control_socket import BridgeNotRunning
from wx2mqtt.cli import run
from wx2mqtt.cli.cluster import cluster
from wx2mqtt.cli.demo import demo
from wx2mqtt.cli.help import TranslatedCommand, TranslatedGroup, UsageError, show_usage_error
from wx2mqtt.cli.journal import journal
from wx2mqtt.cli.operations import EXIT_OK, EXIT_UNEXPECTED, exit_code, health_report
from wx2mqtt.cli.options import FIRST_ACCOUNT_HELP, AccountOption, ConfigOption
from wx2mqtt.cli.people import people
from wx2mqtt.cli.setup import setup
from wx2mqtt.cli.terminal import command_language, complain, preferred_language, show
from wx2mqtt.errors import SettingsError, Wx2MqttError
from wx2mqtt.i18n import Language
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.i18n.settings import sentence_text
from wx2mqtt.settings.loader import find_config, load_valid_settings
from wx2mqtt.wechat.registry import BACKENDS

app = typer.Typer(
    help="A bridge between a personal WeChat account and MQTT.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    cls=TranslatedGroup,
)
schema = typer.Typer(help="Print machine-readable schemas.", no_args_is_help=True, cls=TranslatedGroup)
app.command()(setup)
app.add_typer(journal, name="journal")
app.add_typer(people, name="people")
app.add_typer(cluster, name="cluster")
app.add_typer(schema, name="schema")

ExplainOption = Annotated[
    bool,
    typer.Option(
        "--explain", help="If the file has problems, show them on the web page until they are fixed."
    ),
]


def run_command_line(arguments: Sequence[str]) -> int:
    """Runs a command, writes its errors to the terminal, and returns the exit code."""
    language = _language_of(arguments)  # before the command becomes a user who may not read the file
    try:
        ended = app(list(arguments), prog_name="wx2mqtt", standalone_mode=False)
    except SystemExit as exited:
        return exited.code if isinstance(exited.code, int) else EXIT_UNEXPECTED
    except typer.Abort:
        complain(sentence_text("Aborted!", language))
        return EXIT_UNEXPECTED
    except UsageError as error:
        return show_usage_error(error, complain, language)
    except Wx2MqttError as error:
        return exit_code(error, complain, language)
    return ended if isinstance(ended, int) else EXIT_OK


def _language_of(arguments: Sequence[str]) -> Language:
    """Returns the language of errors: of `--language`, of the configuration file, or of the terminal."""
    given = dict(pairwise(arguments))  # what follows each argument: `-c` is followed by the file
    if given.get("--language") in {"en", "zh"}:
        return "zh" if given["--language"] == "zh" else "en"
    file = given.get("-c") or given.get("--config")
    return command_language(Path(file) if file else None, os.environ)


def _print_version(requested: bool) -> None:
    if requested:
        print(f"wx2mqtt {__version__}")
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Bridge WeChat and MQTT."""


@app.command("run")
def run_bridge(config: ConfigOption = None, explain: ExplainOption = False) -> None:
    """Run the bridge. Without a file: the backend that is logged in, else iLink, and an embedded broker."""
    raise typer.Exit(run.run_bridge(config, explain=explain))


TakeOverOption = Annotated[
    bool,
    typer.Option(
        "--take-over",
        help="With --connect: log in a WeCom bot that no bridge uses; another program is cut off.",
    ),
]
BackendsOption = Annotated[
    bool, typer.Option("--backends", help="Show which backend suits whom, and check nothing.")
]


@app.command()
def check(  # noqa: PLR0917 - each is an option of the command line
    config: ConfigOption = None,
    connect: Annotated[
        bool, typer.Option("--connect", help="Also test the broker and the way to WeChat.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --connect: print the results as JSON.")
    ] = False,
    take_over: TakeOverOption = False,
    backends: BackendsOption = False,
    explain: ExplainOption = False,
    service: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="As root: read all files as this user, or as the service of this name would.",
        ),
    ] = None,
) -> None:
    """Check the configuration file: all problems at once, each with its line and how to fix it."""
    if (as_json or take_over) and not connect:
        raise typer.BadParameter("--json and --take-over go with --connect")
    if backends:
        from wx2mqtt.i18n.setup import backend_table  # noqa: PLC0415

        print("\n".join(backend_table(command_language(config, os.environ))))
        return
    if service is not None:
        from wx2mqtt.setup.service_user import become_service  # noqa: PLC0415

        config = config or find_config()
        config = None if config is None else config.absolute()  # before the folder changes
        become_service(service, os.environ, command_language(config, os.environ))
    from wx2mqtt.cli.check import check_connections, urgent_without_fallback  # noqa: PLC0415

    loaded = run.load_with_warnings(config, explain=explain)
    language = loaded.settings.language
    run.print_warnings(urgent_without_fallback(loaded, os.environ), language)
    if not as_json:
        file = loaded.path or bridge_text(language, "check_defaults")
        print(bridge_text(language, "check_good", file=file), flush=True)
    if connect:
        passed = check_connections(loaded, os.environ, as_json=as_json, take_over=take_over)
        raise typer.Exit(EXIT_OK if passed else EXIT_UNEXPECTED)


@app.command()
def login(
    account: Annotated[str | None, typer.Argument(help=FIRST_ACCOUNT_HELP)] = None,
    config: ConfigOption = None,
    new_owner: Annotated[
        bool,
        typer.Option(
            "--new-owner", help="Let another WeChat account take over; what waits to be sent fails."
        ),
    ] = False,
) -> None:
    """Log in at the terminal, save the session and exit."""
    from wx2mqtt.cli.login import login as log_in  # noqa: PLC0415

    loaded = run.load_settings(config)
    asyncio.run(log_in(loaded, RunEnvironment(env=os.environ), account, new_owner=new_owner))


@app.command()
def ask(  # noqa: PLR0917 - each is an argument or an option of the command line
    user: Annotated[str, typer.Argument(help="The topic name of the person or group.")],
    text: Annotated[str, typer.Argument(help="The question.")],
    buttons: Annotated[list[str], typer.Argument(help="One to six answers, each of 1 to 10 characters.")],
    config: ConfigOption = None,
    account: AccountOption = "",
    timeout: Annotated[
        float, typer.Option("--timeout", min=1.0, help="How many seconds to wait for an answer.")
    ] = 300.0,
    anyone: Annotated[
        bool,
        typer.Option(
            "--anyone", help="Accept the answer of anybody in the chat, not only of trusted people."
        ),
    ] = False,
) -> None:
    """Ask somebody, wait for the answer and print it. Exit code 1: nobody has answered."""
    from wx2mqtt.cli.ask import QuestionClient, ShellQuestion  # noqa: PLC0415

    question = ShellQuestion(
        user=user, text=text, buttons=buttons, seconds=timeout, anyone=anyone, account=account
    )
    loaded = run.load_settings(config)
    client = QuestionClient(loaded, RunEnvironment(env=os.environ), account)
    raise typer.Exit(asyncio.run(client.ask(question)))


@app.command()
def healthcheck(
    config: ConfigOption = None,
    live: Annotated[
        bool, typer.Option("--live", help="Only check that the bridge is alive; it may wait for a scan.")
    ] = False,
    account: Annotated[
        str, typer.Option("--account", help="Check only this account; by default all are checked.")
    ] = "",
) -> None:
    """Exit with 0 if the running bridge is well, else print its problems and exit with 1."""
    settings_error: SettingsError | None = None
    try:
        loaded = run.load_settings(config)
    except SettingsError as error:  # a running bridge goes on with the settings before such a file
        settings_error = error
        loaded = load_valid_settings(config or find_config(), os.environ, BACKENDS)
    try:
        is_well, text = asyncio.run(health_report(loaded, os.environ, live=live, account=account))
    except BridgeNotRunning as error:
        if settings_error is not None:
            raise settings_error from None
        is_well, text = False, str(error)
    show(sentence_text(text or "well", loaded.settings.language))
    raise typer.Exit(EXIT_OK if is_well else EXIT_UNEXPECTED)


app.command()(demo)


@app.command()
def simulate(
    host: Annotated[
        str, typer.Option(help="The address to listen on; other addresses than loopback let others in.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen on; 0 finds a free port.")
    ] = 8070,
    tls: Annotated[
        Path | None, typer.Option(help="Serve HTTPS, with a CA and certificates in this folder.")
    ] = None,
    friends: Annotated[int, typer.Option(help="The number of additional friends.")] = 0,
    autoscan: Annotated[
        bool, typer.Option("--autoscan", help="Scan and confirm every QR code automatically.")
    ] = False,
) -> None:
    """Run only the WeChat simulator, to test other clients against it."""
    from wx2mqtt.simulator.server import SimulatorOptions, run_simulator  # noqa: PLC0415

    logs.configure(level="warning", format="auto", stream=sys.stderr, message_text=False)
    options = SimulatorOptions(host=host, port=port, tls=tls, friends=friends, autoscan=autoscan)
    language = preferred_language(os.environ)
    exit_status = run_simulator(
        options,
        lambda line: show(sentence_text(line, language)),
        lambda line: complain(sentence_text(line, language)),
    )
    raise typer.Exit(exit_status)


@schema.command("config")
def schema_config() -> None:
    """Print the JSON Schema of the configuration file."""
    from wx2mqtt.settings.schema import json_schema  # noqa: PLC0415

    print(json.dumps(json_schema(BACKENDS.names()), ensure_ascii=False, indent=2))


@schema.command("messages")
def schema_messages() -> None:
    """Print the JSON Schemas of all payloads, by name."""
    from wx2mqtt.schemas.documents import messages_document  # noqa: PLC0415

    print(json.dumps(messages_document(), ensure_ascii=False, indent=2))


@schema.command("topics")
def schema_topics() -> None:
    """Print the topics as an AsyncAPI 3 document."""
    from wx2mqtt.schemas.documents import topics_document  # noqa: PLC0415

    print(json.dumps(topics_document(), ensure_ascii=False, indent=2))


@app.command()
def backup(
    file: Annotated[
        Path,
        typer.Argument(
            help="The file to write; a folder, for a file with a dated name; - for standard output."
        ),
    ],
    config: ConfigOption = None,
    media: Annotated[bool, typer.Option("--media", help="Include all media files of messages.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    keep: Annotated[
        int | None,
        typer.Option(min=1, help="In a folder: keep so many backups of this store, the newest ones."),
    ] = None,
) -> None:
    """Write the store into one file, also while the bridge runs. It holds the saved login: a secret."""
    from wx2mqtt.cli.backup import write_backup  # noqa: PLC0415

    loaded = run.load_backup_settings(config)
    write_backup(loaded, os.environ, file, media=media, force=force, keep=keep)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="The backup to read; - for standard input.")],
    config: ConfigOption = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace an existing store; the old one is kept in a folder within it."),
    ] = False,
) -> None:
    """Make a backup the store. The bridge must not run."""
    from wx2mqtt.cli.backup import restore_backup  # noqa: PLC0415

    restore_backup(run.load_settings(config), os.environ, file, force=force)


@app.command()
def purge(
    account: Annotated[str, typer.Argument(help="An account that is no longer in the configuration.")],
    config: ConfigOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    no_broker: Annotated[
        bool,
        typer.Option("--no-broker", help="Delete only the data in the store, as for a broker that is gone."),
    ] = False,
) -> None:
    """Delete a removed account: retained topics, discovery, broker session, stored data, login, media."""
    from wx2mqtt.cli.purge import purge_account  # noqa: PLC0415

    loaded = run.load_settings(config)
    purge_account(loaded, RunEnvironment(env=os.environ), account, yes=yes, include_broker=not no_broker)


# Typer has no option that sets the class of all commands of a group.
for group in (app, journal, people, cluster, schema):
    for registered in group.registered_commands:
        registered.cls = TranslatedCommand

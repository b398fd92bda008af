"""The commands of `wx2mqtt`. Each command imports the heavy modules that it needs itself."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import structlog
import typer

from wx2mqtt import __version__
from wx2mqtt.app import logs
from wx2mqtt.app.redaction import one_line
from wx2mqtt.app.stores import NOT_SHARED
from wx2mqtt.cli import backup, run
from wx2mqtt.cli.backup import ConfigOption
from wx2mqtt.cli.help import TranslatedGroup, translate_help
from wx2mqtt.cli.operations import EXIT_OK, EXIT_UNEXPECTED, exit_code
from wx2mqtt.cli.setup import setup
from wx2mqtt.cli.terminal import command_language, preferred_language, print_answer
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.i18n.bridge import bridge_text
from wx2mqtt.model import Json

log = structlog.get_logger(__name__)

app = typer.Typer(
    help="A bridge between a personal WeChat account and MQTT.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    cls=TranslatedGroup,
)
journal = typer.Typer(
    help="Show and settle commands that wait, failed or are uncertain.",
    no_args_is_help=True,
    cls=TranslatedGroup,
)
people = typer.Typer(
    help="Show who has which topic; settle matches that the bridge does not guess.",
    no_args_is_help=True,
    cls=TranslatedGroup,
)
cluster = typer.Typer(
    help="Show the instances that share one database, and where each account runs.",
    invoke_without_command=True,
    cls=TranslatedGroup,
)
schema = typer.Typer(help="Print machine-readable schemas.", no_args_is_help=True, cls=TranslatedGroup)
app.command()(setup)
app.add_typer(journal, name="journal")
app.add_typer(people, name="people")
app.add_typer(cluster, name="cluster")
app.add_typer(schema, name="schema")

TlsFolderOption = Annotated[
    Path | None,
    typer.Option(help="Serve HTTPS, with a CA and certificates in this folder."),
]
FIRST_ACCOUNT_HELP = "The account; by default the first of the configuration."
AccountOption = Annotated[str, typer.Option("--account", help=FIRST_ACCOUNT_HELP)]
HealthAccountOption = Annotated[
    str, typer.Option("--account", help="Check only this account; by default all are checked.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ExplainOption = Annotated[
    bool,
    typer.Option(
        "--explain", help="If the file has problems, show them on the web page until they are fixed."
    ),
]
DemoBrokerOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A broker that runs already, such as mqtt://name:password@192.168.1.10:1883, in place of the"
        " embedded one. Whoever may use it sees the demo and may write to it.",
    ),
]


def run_command_line(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    try:
        app(list(arguments), prog_name="wx2mqtt")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else EXIT_UNEXPECTED
    except Wx2MqttError as error:
        return exit_code(error, run.complain, command_language(_config_of(arguments), os.environ))
    return EXIT_OK


def _config_of(arguments: Sequence[str]) -> Path | None:
    """Returns the configuration file that a command line names: its language is that of errors, too."""
    for option, value in pairwise(arguments):
        if option in {"-c", "--config"}:
            return Path(value)
    return None


def _run_operation(config: Path | None, operation: str, fields: Mapping[str, Json], account: str) -> Json:
    """Runs one operation of the running bridge, or on the store if none runs; drops empty fields."""
    from wx2mqtt.app.application import RunEnvironment  # noqa: PLC0415
    from wx2mqtt.app.systemd import SystemdNotifier  # noqa: PLC0415
    from wx2mqtt.cli.operations import run_operation  # noqa: PLC0415

    loaded = run.load_settings(config, log_to_terminal=True)
    given = {key: value for key, value in {**fields, "account": account}.items() if value != ""}
    environment = RunEnvironment(env=os.environ, notifier=SystemdNotifier({}))
    return asyncio.run(run_operation(loaded, environment, operation, given))


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


@app.command()
def check(
    config: ConfigOption = None,
    connect: Annotated[
        bool,
        typer.Option("--connect", help="Also test the broker and the way to WeChat."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --connect: print the results as JSON.")
    ] = False,
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
    if as_json and not connect:
        raise typer.BadParameter("--json goes with --connect")
    if service is not None:
        from wx2mqtt.setup.service import become_service  # noqa: PLC0415

        become_service(service, os.environ, command_language(config, os.environ))
    from wx2mqtt.cli.check import check_connections, urgent_without_fallback  # noqa: PLC0415

    loaded = run.load_with_warnings(config, explain=explain, log_to_terminal=True)
    language = loaded.settings.language
    run.print_warnings(urgent_without_fallback(loaded, os.environ), language)
    if not as_json:
        file = loaded.path or bridge_text(language, "check_defaults")
        print(bridge_text(language, "check_good", file=file), flush=True)
    if connect:
        passed = check_connections(loaded, os.environ, as_json=as_json)
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
    from wx2mqtt.app.application import RunEnvironment  # noqa: PLC0415
    from wx2mqtt.app.systemd import SystemdNotifier  # noqa: PLC0415
    from wx2mqtt.cli.login import login as log_in  # noqa: PLC0415

    loaded = run.load_settings(config, log_to_terminal=True)

    environment = RunEnvironment(env=os.environ, notifier=SystemdNotifier({}))
    asyncio.run(log_in(loaded, environment, account, new_owner=new_owner))


@app.command()
def healthcheck(
    config: ConfigOption = None,
    live: Annotated[
        bool,
        typer.Option("--live", help="Only check that the bridge is alive; it may wait for a scan."),
    ] = False,
    account: HealthAccountOption = "",
) -> None:
    """Exit with 0 if the running bridge is well, else print its problems and exit with 1."""
    from wx2mqtt.app.control_socket import BridgeNotRunning  # noqa: PLC0415
    from wx2mqtt.cli.operations import health_report  # noqa: PLC0415

    loaded, settings_error = run.load_for_running_bridge(config)
    try:
        is_well, text = asyncio.run(health_report(loaded, os.environ, live=live, account=account))
    except BridgeNotRunning as error:
        if settings_error is not None:
            raise settings_error from None
        is_well, text = False, str(error)
    print(one_line(text) or "well")
    raise typer.Exit(EXIT_OK if is_well else EXIT_UNEXPECTED)


@app.command()
def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Play a short conversation, print its messages and exit.")
    ] = False,
    simulator_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the simulated phone, else 8070; 0 finds a free port."),
    ] = None,
    mqtt_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the broker, else 1883; 0 finds a free port."),
    ] = None,
    web_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of the bridge's web page, else 8099; 0 finds a free port."),
    ] = None,
    language: Annotated[
        Literal["en", "zh"] | None,
        typer.Option(help="The language of messages for people, else that of the terminal."),
    ] = None,
    backend: Annotated[
        Literal["ilink", "webwx"], typer.Option(help="iLink: a bot of one's own; or web WeChat.")
    ] = "ilink",
    broker: DemoBrokerOption = None,
) -> None:
    """Try everything on this machine without an account: simulated WeChat, broker and bridge."""
    from wx2mqtt.demo.environment import DemoOptions, run_demo  # noqa: PLC0415
    from wx2mqtt.demo.shared_broker import broker_login  # noqa: PLC0415

    if broker is not None and (once or mqtt_port is not None):
        raise typer.BadParameter("--broker goes with neither --once nor --mqtt-port")
    try:
        login = None if broker is None else broker_login(broker)
    except ValueError as error:
        raise typer.BadParameter(f"--broker {error}") from None
    logs.configure(level="warning", format="auto", stream=sys.stderr, message_text=False)
    asked = {"simulator_port": simulator_port, "mqtt_port": mqtt_port, "web_port": web_port}
    ports = {name: port for name, port in asked.items() if port is not None}
    usual = dict.fromkeys(asked, 0) if once else {}
    chosen = language or preferred_language(os.environ)
    run_demo(DemoOptions(once=once, language=chosen, backend=backend, broker=login, **(usual | ports)))


@app.command()
def simulate(
    host: Annotated[
        str, typer.Option(help="The address to listen on; other addresses than loopback let others in.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen on; 0 finds a free port.")
    ] = 8070,
    tls: TlsFolderOption = None,
    friends: Annotated[int, typer.Option(help="The number of additional friends.")] = 0,
    autoscan: Annotated[
        bool, typer.Option("--autoscan", help="Scan and confirm every QR code automatically.")
    ] = False,
) -> None:
    """Run only the WeChat simulator, to test other clients against it."""
    from wx2mqtt.simulator.server import SimulatorOptions, run_simulator  # noqa: PLC0415

    logs.configure(level="warning", format="auto", stream=sys.stderr, message_text=False)
    options = SimulatorOptions(host=host, port=port, tls=tls, friends=friends, autoscan=autoscan)
    raise typer.Exit(run_simulator(options))


@journal.command("list")
def journal_list(
    config: ConfigOption = None,
    account: AccountOption = "",
    show_all: Annotated[bool, typer.Option("--all", help="Also list commands that were sent.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List commands that wait or were not sent, and messages that were set aside."""
    answer = _run_operation(config, "journal.list", {"all": show_all}, account)
    print_answer(
        answer,
        as_json,
        {
            "commands": ("id", "user", "state", "code", "accepted", "attempts", "message"),
            "set_aside": ("row", "topic", "sort", "since", "why"),
        },
    )


@journal.command("show")
def journal_show(command_id: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """Show one command with all its details, its text included."""
    print_answer(_run_operation(config, "journal.show", {"id": command_id}, account), True, {})


@journal.command("retry")
def journal_retry(
    command_id: Annotated[
        str,
        typer.Argument(help="The id of a command; with --row the row of a message that was set aside."),
    ],
    config: ConfigOption = None,
    account: AccountOption = "",
    row: Annotated[
        bool, typer.Option("--row", help="The argument is the row of a message that was set aside.")
    ] = False,
) -> None:
    """Send a command again, with the id <id>~1; or publish a message that was set aside."""
    if row and not command_id.isdecimal():
        raise typer.BadParameter("a row is a number; 'wx2mqtt journal list' shows it")
    fields: dict[str, Json] = {"row": int(command_id)} if row else {"id": command_id}
    print_answer(_run_operation(config, "journal.retry", fields, account), True, {})


@journal.command("drop")
def journal_drop(command_id: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """Cancel a waiting command; its result says `dropped`."""
    print_answer(_run_operation(config, "journal.drop", {"id": command_id}, account), True, {})


@people.command("list")
def people_list(
    config: ConfigOption = None,
    account: AccountOption = "",
    as_json: JsonOption = False,
) -> None:
    """List who has which topic, and how each was matched."""
    columns = ("user", "kind", "name", "matched_by", "trusted", "removed", "unresolved")
    print_answer(_run_operation(config, "people.list", {}, account), as_json, {"people": columns})


@people.command("assign")
def people_assign(user: str, to: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """Declare that USER, who could not be found again, is the contact who has the name TO now."""
    print_answer(_run_operation(config, "people.assign", {"user": user, "to": to}, account), True, {})


@people.command("merge")
def people_merge(user: str, other: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """Declare that USER and OTHER are one person; both names lead to USER from now on."""
    print_answer(_run_operation(config, "people.merge", {"user": user, "other": other}, account), True, {})


@cluster.callback()
def cluster_show(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the instances that share one database, and where each account runs."""
    if context.invoked_subcommand is not None:
        return
    loaded = run.load_settings(config, log_to_terminal=True)
    if loaded.settings.storage.url is None:
        raise Wx2MqttError(NOT_SHARED)
    from wx2mqtt.app.cluster_node import cluster_report  # noqa: PLC0415 - it needs psycopg

    columns = ("instance", "state", "accounts", "max_accounts", "lag", "version", "url")
    answer = asyncio.run(cluster_report(loaded))
    print_answer(answer, as_json, {"instances": columns, "accounts": ("account", "instance")})


@cluster.command("drain")
def cluster_drain(config: ConfigOption = None) -> None:
    """Let the other instances have all accounts of this one, until 'cluster undrain', also over restarts."""
    print_answer(_run_operation(config, "cluster.drain", {}, ""), True, {})


@cluster.command("undrain")
def cluster_undrain(config: ConfigOption = None) -> None:
    """Let this instance take accounts again."""
    print_answer(_run_operation(config, "cluster.undrain", {}, ""), True, {})


@cluster.command("new-key")
def cluster_new_key() -> None:
    """Print a new key for `storage.key_file`: all instances have the same one."""
    from wx2mqtt.settings.formats import LOGIN_KEY_BYTES  # noqa: PLC0415

    print(base64.b64encode(secrets.token_bytes(LOGIN_KEY_BYTES)).decode())


@cluster.command("rotate-key")
def cluster_rotate_key(
    config: ConfigOption = None,
    forget: Annotated[
        bool,
        typer.Option(
            "--forget-logins",
            help="The old key is lost: delete the saved logins. Every account is scanned again.",
        ),
    ] = False,
) -> None:
    """Encrypt the saved logins with the first key of `storage.key_file`; the second line has the old one."""
    from wx2mqtt.app.cluster_node import replace_key  # noqa: PLC0415 - it needs psycopg

    loaded = run.load_settings(config, log_to_terminal=True)
    print(asyncio.run(replace_key(loaded, forget=forget)))


@schema.command("config")
def schema_config() -> None:
    """Print the JSON Schema of the configuration file."""
    from wx2mqtt.settings.schema import json_schema  # noqa: PLC0415

    print(json.dumps(json_schema(), ensure_ascii=False, indent=2))


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


backup.add_commands(app, lambda config: run.load_settings(config, log_to_terminal=True))
translate_help(app, journal, people, cluster, schema)

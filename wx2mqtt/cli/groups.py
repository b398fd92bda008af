"""`wx2mqtt journal`, `people` and `cluster`: groups of commands that ask the running bridge.

Without one they do their work on the store. Each command imports the heavy modules that it needs itself.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from wx2mqtt.app.application import RunEnvironment
from wx2mqtt.app.stores import NOT_SHARED
from wx2mqtt.cli import run
from wx2mqtt.cli.help import TranslatedGroup
from wx2mqtt.cli.operations import run_operation
from wx2mqtt.cli.terminal import command_language, print_answer
from wx2mqtt.errors import Wx2MqttError
from wx2mqtt.model import Json

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

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The configuration file; by default ./wx2mqtt.yaml, else /etc/wx2mqtt/wx2mqtt.yaml.",
    ),
]
FIRST_ACCOUNT_HELP = "The account; by default the first of the configuration."
AccountOption = Annotated[str, typer.Option("--account", help=FIRST_ACCOUNT_HELP)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _run_operation(config: Path | None, operation: str, fields: Mapping[str, Json], account: str) -> Json:
    """Runs one operation of the running bridge, or on the store if none runs; drops empty fields."""
    loaded = run.load_settings(config)
    given = {key: value for key, value in {**fields, "account": account}.items() if value != ""}
    return asyncio.run(run_operation(loaded, RunEnvironment(env=os.environ), operation, given))


@journal.command("list")
def journal_list(
    config: ConfigOption = None,
    account: AccountOption = "",
    show_all: Annotated[bool, typer.Option("--all", help="Also list commands that were sent.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List commands that wait or were not sent, and messages that were set aside."""
    answer = _run_operation(config, "journal.list", {"all": show_all}, account)
    columns = {
        "commands": ("id", "user", "sender", "state", "code", "accepted", "attempts", "message"),
        "set_aside": ("row", "topic", "sort", "since", "why"),
    }
    print_answer(answer, None if as_json else columns, command_language(config, os.environ))


@journal.command("show")
def journal_show(command_id: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """Show one command with all its details, its text included."""
    print_answer(_run_operation(config, "journal.show", {"id": command_id}, account))


@journal.command("retry")
def journal_retry(
    command_id: Annotated[
        str, typer.Argument(help="The id of a command; with --row the row of a message that was set aside.")
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
    print_answer(_run_operation(config, "journal.retry", fields, account))


@journal.command("drop")
def journal_drop(command_id: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """Cancel a waiting command; its result says `dropped`."""
    print_answer(_run_operation(config, "journal.drop", {"id": command_id}, account))


@people.command("list")
def people_list(
    config: ConfigOption = None, account: AccountOption = "", as_json: JsonOption = False
) -> None:
    """List who has which topic, and how each was matched."""
    columns = ("user", "kind", "name", "matched_by", "trusted", "removed", "unresolved")
    answer = _run_operation(config, "people.list", {}, account)
    tables = None if as_json else {"people": columns}
    print_answer(answer, tables, command_language(config, os.environ))


@people.command("assign")
def people_assign(user: str, to: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """Declare that USER, who could not be found again, is the contact who has the name TO now."""
    print_answer(_run_operation(config, "people.assign", {"user": user, "to": to}, account))


@people.command("merge")
def people_merge(user: str, other: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """Declare that USER and OTHER are one person; both names lead to USER from now on."""
    print_answer(_run_operation(config, "people.merge", {"user": user, "other": other}, account))


@cluster.callback()
def cluster_show(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the instances that share one database, and where each account runs."""
    if context.invoked_subcommand is not None:
        return
    loaded = run.load_settings(config)
    if loaded.settings.storage.url is None:
        raise Wx2MqttError(NOT_SHARED)
    from wx2mqtt.app.cluster_node import cluster_report  # noqa: PLC0415 - it needs psycopg

    columns = ("instance", "state", "accounts", "max_accounts", "lag", "version", "url")
    answer = asyncio.run(cluster_report(loaded))
    tables = {"instances": columns, "accounts": ("account", "instance")}
    print_answer(answer, None if as_json else tables, loaded.settings.language)


@cluster.command("drain")
def cluster_drain(config: ConfigOption = None) -> None:
    """Let the other instances have all accounts of this one, until 'cluster undrain', also over restarts."""
    print_answer(_run_operation(config, "cluster.drain", {}, ""))


@cluster.command("undrain")
def cluster_undrain(config: ConfigOption = None) -> None:
    """Let this instance take accounts again."""
    print_answer(_run_operation(config, "cluster.undrain", {}, ""))


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

    loaded = run.load_settings(config)
    print(asyncio.run(replace_key(loaded, forget=forget)))

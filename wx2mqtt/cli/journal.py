"""`wx2mqtt journal`: commands that wait, failed or are uncertain, by the running bridge or in its store."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from wx2mqtt.cli.help import TranslatedGroup
from wx2mqtt.cli.options import AccountOption, ConfigOption, JsonOption, ask_bridge
from wx2mqtt.cli.terminal import command_language, print_answer
from wx2mqtt.model import Json

journal = typer.Typer(
    help="Show and settle commands that wait, failed or are uncertain.",
    no_args_is_help=True,
    cls=TranslatedGroup,
)


@journal.command("list")
def journal_list(
    config: ConfigOption = None,
    account: AccountOption = "",
    show_all: Annotated[bool, typer.Option("--all", help="Also list commands that were sent.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List commands that wait or were not sent, and messages that were set aside."""
    language = command_language(config, os.environ)  # before this is the user of the store
    answer = ask_bridge(config, "journal.list", {"all": show_all}, account)
    columns = {
        "commands": ("id", "user", "sender", "state", "code", "accepted", "attempts", "message"),
        "set_aside": ("row", "topic", "sort", "since", "why"),
    }
    print_answer(answer, None if as_json else columns, language)


@journal.command("show")
def journal_show(command_id: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """Show one command with all its details, its text included."""
    print_answer(ask_bridge(config, "journal.show", {"id": command_id}, account))


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
    print_answer(ask_bridge(config, "journal.retry", fields, account))


@journal.command("drop")
def journal_drop(command_id: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """Cancel a waiting command; its result says `dropped`."""
    print_answer(ask_bridge(config, "journal.drop", {"id": command_id}, account))

"""`wx2mqtt people`: who has which topic, by the running bridge or in its store."""

from __future__ import annotations

import os

import typer

from wx2mqtt.cli.help import TranslatedGroup
from wx2mqtt.cli.options import AccountOption, ConfigOption, JsonOption, ask_bridge
from wx2mqtt.cli.terminal import command_language, print_answer

people = typer.Typer(
    help="Show who has which topic; settle matches that the bridge does not guess.",
    no_args_is_help=True,
    cls=TranslatedGroup,
)


@people.command("list")
def people_list(
    config: ConfigOption = None, account: AccountOption = "", as_json: JsonOption = False
) -> None:
    """List who has which topic, and how each was matched."""
    columns = ("user", "kind", "name", "matched_by", "trusted", "removed", "unresolved")
    language = command_language(config, os.environ)  # before this is the user of the store
    answer = ask_bridge(config, "people.list", {}, account)
    tables = None if as_json else {"people": columns}
    print_answer(answer, tables, language)


@people.command("assign")
def people_assign(user: str, to: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """Declare that USER, who could not be found again, is the contact who has the name TO now."""
    print_answer(ask_bridge(config, "people.assign", {"user": user, "to": to}, account))


@people.command("merge")
def people_merge(user: str, other: str, config: ConfigOption = None, account: AccountOption = "") -> None:
    """Declare that USER and OTHER are one person; both names lead to USER from now on."""
    print_answer(ask_bridge(config, "people.merge", {"user": user, "other": other}, account))

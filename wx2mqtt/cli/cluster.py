"""`wx2mqtt cluster`: the instances that share one database, their accounts and their key.

Each command imports the heavy modules that it needs itself.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from typing import Annotated

import typer

from wx2mqtt.app.stores import NOT_SHARED
from wx2mqtt.cli import run
from wx2mqtt.cli.help import TranslatedGroup
from wx2mqtt.cli.options import ConfigOption, JsonOption, ask_bridge
from wx2mqtt.cli.terminal import print_answer
from wx2mqtt.errors import Wx2MqttError

cluster = typer.Typer(
    help="Show the instances that share one database, and where each account runs.",
    invoke_without_command=True,
    cls=TranslatedGroup,
)


@cluster.callback()
def cluster_show(context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show the instances that share one database, and where each account runs."""
    if context.invoked_subcommand is not None:
        return
    loaded = run.load_settings(config)
    if loaded.settings.storage.url is None:
        raise Wx2MqttError(NOT_SHARED)
    from wx2mqtt.app.cluster_operations import cluster_report  # noqa: PLC0415 - it needs psycopg

    columns = ("instance", "state", "accounts", "max_accounts", "lag", "version", "url")
    answer = asyncio.run(cluster_report(loaded))
    tables = {"instances": columns, "accounts": ("account", "instance")}
    print_answer(answer, None if as_json else tables, loaded.settings.language)


@cluster.command("drain")
def cluster_drain(config: ConfigOption = None) -> None:
    """Let the other instances have all accounts of this one, until 'cluster undrain', also over restarts."""
    print_answer(ask_bridge(config, "cluster.drain", {}, ""))


@cluster.command("undrain")
def cluster_undrain(config: ConfigOption = None) -> None:
    """Let this instance take accounts again."""
    print_answer(ask_bridge(config, "cluster.undrain", {}, ""))


@cluster.command("new-key")
def cluster_new_key() -> None:
    """Print a new key for `storage.key_file`: all instances have the same one."""
    from wx2mqtt.settings.field_types import LOGIN_KEY_BYTES  # noqa: PLC0415

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
    from wx2mqtt.app.cluster_operations import replace_key  # noqa: PLC0415 - it needs psycopg

    loaded = run.load_settings(config)
    print(asyncio.run(replace_key(loaded, forget=forget)))

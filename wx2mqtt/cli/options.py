"""The options that several commands have, and the way from a command to the running bridge."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from wx2mqtt.app.application import RunEnvironment
from wx2mqtt.cli import run
from wx2mqtt.cli.operations import run_operation
from wx2mqtt.model import Json

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


def ask_bridge(config: Path | None, operation: str, fields: Mapping[str, Json], account: str) -> Json:
    """Runs one operation of the running bridge, or on the store if none runs; drops empty fields."""
    loaded = run.load_settings(config)
    given = {key: value for key, value in {**fields, "account": account}.items() if value != ""}
    return asyncio.run(run_operation(loaded, RunEnvironment(env=os.environ), operation, given))

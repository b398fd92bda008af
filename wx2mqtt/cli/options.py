"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The file; else ./wx2mqtt.yaml, then /etc/wx2mqtt/wx2mqtt.yaml."),
]

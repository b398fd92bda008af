"""The commands for what was stored: backup, restore, purge."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from wx2mqtt.cli.options import Config
from wx2mqtt.settings.load import Loaded

File = Annotated[Path, typer.Argument(help="The file; - for a pipe.")]


def add_to(app: typer.Typer, load: Callable[[Path | None], Loaded]) -> None:
    """Give `app` these commands; `load` reads the settings."""

    @app.command()
    def backup(
        file: File,
        config: Config = None,
        media: Annotated[bool, typer.Option("--media", help="Also all files of messages.")] = False,
        force: Annotated[bool, typer.Option("--force", help="Write over a file that exists.")] = False,
    ) -> None:
        """The whole store in one file, beside a running bridge too. It holds the saved login: a secret."""
        from wx2mqtt.cli.backup import back_up  # noqa: PLC0415

        back_up(load(config), os.environ, file, media=media, force=force)

    @app.command()
    def restore(
        file: File,
        config: Config = None,
        force: Annotated[
            bool, typer.Option("--force", help="Put the store that is there aside for it.")
        ] = False,
    ) -> None:
        """A backup becomes the store. The bridge must not run."""
        from wx2mqtt.cli.backup import restore as put_back  # noqa: PLC0415

        put_back(load(config), os.environ, file, force=force)

    @app.command()
    def purge(
        account: Annotated[str, typer.Argument(help="An account that is no longer in the configuration.")],
        config: Config = None,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
        no_broker: Annotated[
            bool, typer.Option("--no-broker", help="Only what is in the store; the broker is gone, say.")
        ] = False,
    ) -> None:
        """Take a removed account away: retained topics, discovery, broker session, rows, login, media."""
        from wx2mqtt.app.running import Surroundings  # noqa: PLC0415
        from wx2mqtt.cli.purge import purge as take_away  # noqa: PLC0415
        from wx2mqtt.service.systemd import Notifier  # noqa: PLC0415

        around = Surroundings(env=os.environ, notifier=Notifier({}))
        take_away(load(config), around, account, yes=yes, broker=not no_broker)

"""The man page, from the command line's own help: `make docs` writes `deploy/man/wx2mqtt.1`, which the wheel
installs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from tests.docs.markdown import ROOT
from tests.docs.tables import EXIT_CODES, leaf_commands
from wx2mqtt import REPOSITORY, __version__
from wx2mqtt.cli.main import app

MANUAL = ROOT / "deploy" / "man" / "wx2mqtt.1"

FILES = {
    "./wx2mqtt.yaml, /etc/wx2mqtt/wx2mqtt.yaml": "The configuration, unless --config names another file.",
    "$STATE_DIRECTORY, /var/lib/wx2mqtt": "The store, unless storage.path names another folder.",
}


def manual_text() -> str:
    """Returns the man page in the language of groff's macros."""
    command = typer.main.get_command(app)
    lines = [
        f'.TH WX2MQTT 1 "" "wx2mqtt {__version__}" "User Commands"',
        ".SH NAME",
        f"wx2mqtt \\- {roff((command.help or '').strip().rstrip('.'))}",
        ".SH SYNOPSIS",
        ".B wx2mqtt",
        "COMMAND [OPTIONS] [ARGUMENTS]",
        ".SH COMMANDS",
    ]
    for name, inner in leaf_commands(command, "wx2mqtt"):
        lines += _command_lines(name, inner)
    lines.append(".SH EXIT STATUS")
    for code, meaning in EXIT_CODES.items():
        lines += [".TP", f".B {code}", roff(meaning)]
    lines.append(".SH FILES")
    for files, meaning in FILES.items():
        lines += [".TP", f".I {roff(files)}", roff(meaning)]
    lines += [".SH SEE ALSO", roff(REPOSITORY)]
    return "\n".join(lines) + "\n"


def _command_lines(name: str, command: Any) -> Iterator[str]:
    arguments = [
        (parameter.name or "").upper()
        for parameter in command.params
        if parameter.param_type_name == "argument"
    ]
    yield f".SS {roff(' '.join([name, *arguments]))}"
    yield roff((command.help or "").strip())
    for parameter in command.params:
        if parameter.name == "help" or not getattr(parameter, "help", ""):
            continue
        is_argument = parameter.param_type_name == "argument"
        names = (
            [(parameter.name or "").upper()] if is_argument else [*parameter.opts, *parameter.secondary_opts]
        )
        yield ".TP"
        yield f".B {roff(', '.join(names))}"
        yield roff(parameter.help)


def roff(text: str) -> str:
    """Returns the text so that groff shows it as it is."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("\n", " ")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped

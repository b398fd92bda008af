"""Whatever begins something begins with iLink: what is asked, shown, listed or printed first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import typer
import yaml

from tests.docs.markdown import ROOT, blocks, pages
from tests.support.rows import every_row
from wx2mqtt.cli.main import app
from wx2mqtt.demo.configuration import DemoBackend
from wx2mqtt.i18n.setup import backend_table
from wx2mqtt.settings.schema import FIRST_BACKEND, Account, BackendName

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
PHONE_PAGE = (ROOT / "wx2mqtt/simulator/pages/phone.html").read_text(encoding="utf-8")
ADD_ON = yaml.safe_load((ROOT / "deploy/home-assistant-addon/config.yaml").read_text(encoding="utf-8"))
BACKENDS = re.compile(r"ilink|wecom|webwx|web WeChat|网页版微信", re.IGNORECASE)


def option_help(command: str, option: str) -> str:
    (help_text,) = [p.help for p in COMMANDS[command].params if f"--{option}" in p.opts]
    return str(help_text)


@every_row(
    ("where", "text"),
    [
        ("the backends of a file", " ".join(get_args(BackendName))),
        ("the backends of a demo", " ".join(get_args(DemoBackend))),
        ("the sections of an account", " ".join(Account.model_fields)),
        ("the choices of setup", "\n".join(backend_table("en"))),
        ("the choices of setup in Chinese", "\n".join(backend_table("zh"))),
        ("setup --backend", option_help("setup", "backend")),
        ("demo --backend", option_help("demo", "backend")),
        ("the form of the add-on", ADD_ON["schema"]["backend"]),
        ("its default", ADD_ON["options"]["backend"]),
    ],
)
def test_what_offers_a_backend_begins_with_ilink(where, text):
    first = BACKENDS.search(text)
    assert first, where
    assert first[0].lower() == FIRST_BACKEND, where


def test_the_phone_page_of_the_demo_shows_the_code_of_ilink_above_all_others():
    assert re.findall(r'<section id="(login|bind|wecom)"', PHONE_PAGE) == ["bind", "wecom", "login"]


def first_configurations() -> list[tuple[Path, str]]:
    """Returns for each page but those of the other backends the first backend in its configurations."""
    found = []
    for page in pages():
        code = "".join(block.text for block in blocks(page) if block.language in {"yaml", "sh"})
        if named := re.search(r"(?:backend:|--backend) (\w+)", code):
            found.append((page, named[1]))
    return found


@every_row(("page", "backend"), first_configurations())
def test_the_first_configuration_of_a_page_is_one_of_ilink(page, backend):
    assert backend == FIRST_BACKEND, page

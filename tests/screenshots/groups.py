"""Which pictures there are, and what makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.screenshots import demo, home_assistant, image, node_red, terminal

FOLDER = Path(__file__).parents[2] / "docs" / "images"


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that are made together, into a folder; `missing` returns why they cannot be made here."""

    pictures: tuple[str, ...]
    make: Callable[[Path], None]
    missing: Callable[[], str]


GROUPS: Mapping[str, Group] = {
    "setup": Group(terminal.PICTURES, terminal.make, image.missing),
    "page": Group(demo.PICTURES, demo.make, image.missing),
    "node-red": Group(node_red.PICTURES, node_red.make, node_red.missing),
    "home-assistant": Group(home_assistant.PICTURES, home_assistant.make, home_assistant.missing),
}

"""axe-core, which finds what keeps people from using a page: a tool for tests, as npm has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support.chromium import Chromium
from tests.support.clients import Client, npm

AXE = Client(name="axe-core", program="npm", command=npm)
SERIOUS = frozenset({"serious", "critical"})


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, how badly, and with which elements."""

    rule: str
    impact: str
    help: str
    where: tuple[str, ...]


def missing() -> str:
    """Why it is not to be had; empty where it is."""
    return AXE.install()


def findings(browser: Chromium) -> list[Finding]:
    """Everything that is wrong with the page that the browser shows."""
    browser.run((AXE.folder / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found: dict[str, Any] = browser.promise("axe.run({ resultTypes: ['violations'] })")
    assert isinstance(found, dict), found
    return [
        Finding(one["id"], one["impact"], one["help"], tuple(str(node["target"]) for node in one["nodes"]))
        for one in found["violations"]
    ]


def serious(browser: Chromium) -> list[Finding]:
    """Of that what must not be."""
    return [one for one in findings(browser) if one.impact in SERIOUS]

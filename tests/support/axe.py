"""Runs axe-core, which finds accessibility faults of a page; npm installs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support.chromium import Chromium
from tests.support.clients import Client, npm

AXE = Client(name="axe-core", program="npm", command=npm)
SERIOUS = frozenset({"serious", "critical"})


@dataclass(frozen=True, slots=True)
class Finding:
    """An accessibility fault; `where` names the elements."""

    rule: str
    impact: str
    help: str
    where: tuple[str, ...]


def missing() -> str:
    """Returns why axe-core cannot be used; empty where it can."""
    return AXE.install()


def findings(browser: Chromium) -> list[Finding]:
    """Returns all faults of the page that the browser shows."""
    browser.run((AXE.folder / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found: dict[str, Any] = browser.promise("axe.run({ resultTypes: ['violations'] })")
    assert isinstance(found, dict), found
    return [
        Finding(
            violation["id"],
            violation["impact"],
            violation["help"],
            tuple(str(node["target"]) for node in violation["nodes"]),
        )
        for violation in found["violations"]
    ]


def serious(browser: Chromium) -> list[Finding]:
    """Returns the serious faults of the page."""
    return [violation for violation in findings(browser) if violation.impact in SERIOUS]

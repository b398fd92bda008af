"""Draws the layers and the imports between packages, from the code; `make docs` writes the drawing into its page."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Mapping
from pathlib import Path

from wx2mqtt.i18n import Language

ROOT = Path(__file__).parents[1]
LAYER_NAMES: Mapping[Language, str] = {"en": "layer {number}", "zh": "第 {number} 层"}


def layers() -> list[list[str]]:
    """The layers of the import contract in pyproject.toml, top first; each a list of packages."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = configuration["tool"]["importlinter"]["contracts"]
    names = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [layer.replace("|", ":").replace(" ", "").split(":") for layer in names]


def imports() -> set[tuple[str, str]]:
    """The pairs (package, imported package) of the top level, modules beside them included."""
    pairs: set[tuple[str, str]] = set()
    for path in sorted((ROOT / "wx2mqtt").rglob("*.py")):
        package = path.relative_to(ROOT / "wx2mqtt").with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            if module and module.startswith("wx2mqtt."):
                pairs.add((package, module.split(".")[1]))
    return pairs


def drawing(language: Language) -> str:
    """A Mermaid flowchart: a box for each layer, an arrow where a package imports another one.

    Arrows to the two lowest layers are left out: nearly everything imports them.
    """
    known = [name for layer in layers() for name in layer]
    lines = ["```mermaid", "flowchart TD"]
    for number, layer in enumerate(layers(), 1):
        name = LAYER_NAMES[language].format(number=number)
        lines.append(f'  subgraph layer{number}["{name}"]')
        lines += [f'    {name}["{name}"]' for name in layer]
        lines.append("  end")
    pairs = imports()
    basis = {name for layer in layers()[-2:] for name in layer}
    lines += [
        f"  {package} --> {imported}"
        for package in known
        for imported in known
        if (package, imported) in pairs and package != imported and imported not in basis
    ]
    return "\n".join([*lines, "```", ""])

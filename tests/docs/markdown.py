"""Pages of Markdown as the tests see them: headings with their anchors, links, and blocks of code. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]

SHOWN_ONLY = {"text", "mermaid", "diff"}
"""Languages of blocks that show something and are no code."""

Check = Literal["run", "tested", "parsed", "excused", "schema", "default"]

_FENCE = re.compile(r"^( *)```(\S*)\s*$")
_DIRECTIVE = re.compile(r"^ *<!-- (run|tested|parsed|excused|schema)(?:: (.*?))? -->$")
_LINK = re.compile(
    r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)|<(?:img|source)[^>]*? src(?:set)?=\"([^\"]+)\""
)
_HEADING = re.compile(r"^#{1,6} (.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of code. `check` and `reason` come from the comment right above it."""

    path: Path
    line: int
    language: str
    text: str
    check: Check = "default"
    reason: str = ""

    @property
    def name(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    @property
    def is_run(self) -> bool:
        """Returns whether a test runs it: shell of an English page that no comment excepts."""
        english = self.path == ROOT / "README.md" or self.path.is_relative_to(ROOT / "docs" / "en")
        return self.language == "sh" and english and self.check in {"run", "default"}


def pages() -> list[Path]:
    """Returns all pages that are checked: those of the top, of .github and docs, and those beside the files of deploy."""
    found = [path for folder in ("docs", "deploy") for path in (ROOT / folder).rglob("*.md")]
    found += [*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md")]
    return sorted(found)


def blocks(path: Path) -> Iterator[Block]:
    """Yields the blocks of code of a page. Raises `ValueError` where one has no end."""
    lines = path.read_text(encoding="utf-8").splitlines()
    opened: tuple[int, str, str] | None = None
    inside: list[str] = []
    above = ""
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if opened is None:
            if fence:
                opened, inside = (number, fence[1], fence[2]), []
            elif line.strip():
                above = line
            continue
        start, indent, language = opened
        if fence and not fence[2]:
            directive = _DIRECTIVE.match(above)
            yield Block(
                path=path,
                line=start,
                language=language,
                text="\n".join(inside) + "\n",
                check=directive[1] if directive else "default",  # type: ignore[arg-type]
                reason=(directive[2] or "") if directive else "",
            )
            opened, above = None, line
        else:
            inside.append(line.removeprefix(indent))
    if opened is not None:
        raise ValueError(f"{path}:{opened[0]}: a block without an end")


def block_counts(all_blocks: Iterable[Block]) -> Counter[str]:
    """Returns how many blocks are run, parsed (validated and loaded ones, too), excused, and only shown."""
    return Counter(_group(block) for block in all_blocks)


def _group(block: Block) -> str:
    if block.is_run or block.check == "tested":
        return "run"
    if block.check == "excused":
        return "excused"
    return "shown" if block.language in SHOWN_ONLY else "parsed"


def prose(path: Path) -> str:
    """Returns the page without its blocks and spans of code."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"^( *)```.*?^ *```\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"``.+?``|`[^`\n]+`", lambda span: "`" * len(span[0]), text)


def links(path: Path) -> Iterator[str]:
    """Yields the targets of the links and pictures of a page."""
    for match in _LINK.finditer(prose(path)):
        yield match[1] or match[2]


@cache
def anchors(path: Path) -> frozenset[str]:
    """Returns the anchors of a page's headings, as GitHub and the site make them."""
    text = re.sub(
        r"^( *)```.*?^ *```\s*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    names_used: set[str] = set()
    for line in text.splitlines():
        if heading := _HEADING.match(line):
            base = anchor(heading[1])
            name, number = base, 0
            while name in names_used:
                number += 1
                name = f"{base}-{number}"
            names_used.add(name)
    return frozenset(names_used)


def anchor(heading: str) -> str:
    """Returns the anchor of a heading: letters and digits of every script, `-` for a space."""
    link_free = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", link_free.strip().lower()).replace(" ", "-")

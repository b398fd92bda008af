"""Builds the site of the documentation, a folder for each language, and checks its anchors: `make site`.

The pages link to files of the repository, which are not part of the site: such a link becomes the path of the file,
and a picture is copied. A link to a page in the other language leads to the site beside.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
GENERATOR = ROOT / ".venv-site" / "bin" / "zensical"
SITE = ROOT / "site"
WORK = ROOT / "build" / "site-pages"
LANGUAGES = ("en", "zh")
SECTIONS = {
    "Start": "快速上手",
    "Install": "安装",
    "Reference": "参考",
    "Examples": "示例",
    "Operation": "运维",
    "Development": "开发",
}
"""The sections of the navigation in Chinese."""

PICTURES = {".png", ".svg", ".jpg"}

_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
_SOURCE = re.compile(r'(<img src=")([^"]+)(")')


def prepared(text: str, page: Path, docs: Path, copied: set[Path]) -> str:
    """Returns a page of `docs` with the links that lead out of it replaced; adds pictures to `copied`."""

    def path_of(target: str) -> Path | None:
        """Returns the file outside of the pages that a link leads to, or None."""
        if re.match(r"[a-z]+:|#", target):
            return None
        target_path = (page.parent / target.partition("#")[0]).resolve()
        return None if target_path.is_relative_to(docs) else target_path

    def picture(target_path: Path) -> str:
        copied.add(target_path)
        return "../" * (len(page.relative_to(docs).parts) - 1) + f"pictures/{target_path.name}"

    def other_language(target_path: Path, target: str) -> str:
        """Returns the link to a page of the site in the other language, which stands beside this one."""
        built = target_path.relative_to(ROOT / "docs").with_suffix(".html")
        built = built.with_name("index.html") if built.name == "README.html" else built
        return "../" * len(page.relative_to(docs).parts) + f"{built}{''.join(target.partition('#')[1:])}"

    def link(match: re.Match[str]) -> str:
        target_path = path_of(match[3])
        if target_path is None:
            return match[0]
        if match[1] and target_path.suffix in PICTURES:
            return f"![{match[2]}]({picture(target_path)})"
        if target_path.is_relative_to(ROOT / "docs"):
            return f"[{match[2]}]({other_language(target_path, match[3])})"
        return f"{match[2]} (`{target_path.relative_to(ROOT)}`)"

    def source(match: re.Match[str]) -> str:
        target_path = path_of(match[2])
        return match[0] if target_path is None else f"{match[1]}{picture(target_path)}{match[3]}"

    return _SOURCE.sub(source, _LINK.sub(link, text))


def prepare(language: str) -> Path:
    """Writes the pages of a language and the settings of the generator; returns the settings."""
    docs, pages = ROOT / "docs" / language, WORK / language
    shutil.rmtree(pages, ignore_errors=True)
    copied: set[Path] = set()
    for page in sorted(docs.rglob("*.md")):
        (target_path := pages / page.relative_to(docs)).parent.mkdir(parents=True, exist_ok=True)
        target_path.write_text(
            prepared(page.read_text(encoding="utf-8"), page, docs, copied), encoding="utf-8"
        )
    for picture in copied:
        (pages / "pictures").mkdir(exist_ok=True)
        shutil.copy(picture, pages / "pictures")
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    settings = settings.replace("docs_dir: docs/en", f"docs_dir: {language}")
    settings = settings.replace("site_dir: site/en", f"site_dir: site/{language}")
    settings = settings.replace("language: en", f"language: {language}")
    if language == "zh":
        for english, chinese in SECTIONS.items():
            settings = settings.replace(f"  - {english}:", f"  - {chinese}:")
    (file := WORK / f"{language}.yml").write_text(settings, encoding="utf-8")
    return file


class _Anchors(HTMLParser):
    """Collects the ids and the links of one page of the site."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            if tag == "a" and name == "href" and value:
                self.links.append(value)


def broken_anchors(site: Path) -> Iterator[str]:
    """Yields each link of the site that leads to a page or an anchor that is not there."""
    pages: dict[Path, _Anchors] = {}
    for path in sorted(site.rglob("*.html")):
        pages[path.resolve()] = anchors = _Anchors()
        anchors.feed(path.read_text(encoding="utf-8"))
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            target_path = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target_path = target_path / "index.html" if target_path.is_dir() else target_path
            fragment = unquote(parts.fragment)
            is_known = target_path in pages and (not fragment or fragment in pages[target_path].ids)
            if not is_known and target_path.suffix in {"", ".html"}:
                yield f"{path.relative_to(site.resolve())}: {unquote(link)}"


def search_language(site: Path) -> str:
    """Returns the language in which the search of a site takes words apart; Chinese has no spaces between them."""
    index = json.loads((site / "search.json").read_text(encoding="utf-8"))
    return " ".join(index["config"]["lang"])


def main() -> None:
    for language in LANGUAGES:
        command = [str(GENERATOR), "build", "--strict", "--config-file", str(prepare(language))]
        subprocess.run(command, check=True)
        shutil.rmtree(SITE / language, ignore_errors=True)
        shutil.copytree(WORK / "site" / language, SITE / language)
        if search_language(SITE / language) != language:
            sys.exit(f"the search of site/{language} is in another language")
    broken = list(broken_anchors(SITE))
    if broken:
        sys.exit("links that lead nowhere:\n" + "\n".join(broken))


if __name__ == "__main__":
    main()

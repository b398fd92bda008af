"""The pictures that the pages show exist, `make screenshots` makes each of them and no other, and they are small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from tests.docs.markdown import ROOT, pages
from tests.screenshots import __main__ as command
from tests.screenshots.groups import FOLDER, GROUPS, Group

MAX_PICTURE_BYTES = 100_000
MAX_TOTAL_BYTES = 1_000_000
ALL_PICTURES = [name for group in GROUPS.values() for name in group.pictures]

_PICTURE = re.compile(r'(?:\]\(|src="|srcset=")([^)"\s]+\.png)')


def pictures_of_pages() -> dict[Path, set[str]]:
    """Returns the pictures of each page, by their paths."""
    return {
        page: {str((page.parent / target).resolve()) for target in _PICTURE.findall(page.read_text("utf-8"))}
        for page in pages()
    }


def test_every_picture_that_a_page_shows_is_made_by_the_command():
    wanted = {path for paths in pictures_of_pages().values() for path in paths}
    assert wanted == {str(FOLDER / name) for name in ALL_PICTURES}


def test_the_folder_has_what_the_command_makes_and_nothing_else():
    assert sorted(ALL_PICTURES) == sorted(path.name for path in FOLDER.iterdir())
    assert len(ALL_PICTURES) == len(set(ALL_PICTURES))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_pages_of_each_language_show_every_step(language):
    readme = "README.md" if language == "en" else "README.zh.md"
    names = {
        Path(path).name
        for page, paths in pictures_of_pages().items()
        if page.is_relative_to(ROOT / "docs" / language) or page.name == readme
        for path in paths
    }
    page = "page-light.png" if language == "en" else "page-zh.png"
    control = "phone.png" if language == "en" else "phone-zh.png"
    home_assistant = "home-assistant.png" if language == "en" else "home-assistant-zh.png"
    steps = {f"setup-{language}.png", f"steps-{language}.png", page, control, home_assistant}
    assert steps <= names
    flows = (ROOT / "deploy" / "node-red").glob("*.json")
    assert {f"node-red-{flow.stem}.png" for flow in flows} <= names


def test_the_pictures_are_small_pngs():
    sizes = [(FOLDER / name).stat().st_size for name in ALL_PICTURES]
    assert max(sizes) <= MAX_PICTURE_BYTES
    assert sum(sizes) <= MAX_TOTAL_BYTES
    for name in ALL_PICTURES:
        with Image.open(FOLDER / name) as image:
            assert image.format == "PNG"
            assert min(image.size) > 200


def group_of(*pictures: str, missing: str = "") -> Group:
    def make(folder: Path) -> None:
        for name in pictures:
            (folder / name).write_bytes(b"x" * 2000)

    return Group(pictures, make, lambda: missing)


def test_a_group_that_cannot_be_made_is_named_and_the_others_are_made(tmp_path, monkeypatch, capsys):
    groups = {"a": group_of("a.png", missing="no browser"), "b": group_of("b.png")}
    monkeypatch.setattr(command, "GROUPS", groups)
    monkeypatch.setattr(command, "FOLDER", tmp_path / "images")
    assert command.main([]) == 1
    output = capsys.readouterr()
    assert output.err == "a: not made: no browser\n"
    assert output.out == "docs/images/b.png: 2 kB\n"
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["b.png"]
    assert command.main(["b"]) == 0
    assert command.main(["c"]) == 2
    assert "there are a, b" in capsys.readouterr().err

"""Secrets that stand in files of their own: `password_file` becomes `password`."""

from __future__ import annotations

from pathlib import Path

from wx2mqtt.settings.files import UnreadableError, open_to_all, read_text
from wx2mqtt.settings.finding import Report
from wx2mqtt.settings.layers import CREDENTIAL, FILE_SUFFIX, secret_paths
from wx2mqtt.settings.shape import Kind, locate
from wx2mqtt.settings.tree import Place, Tree, Value

LIMIT = 64 * 1024


def read_secrets(tree: Tree, report: Report) -> None:
    """Put the content of every secret's file into the tree."""
    for path in list(secret_paths(tree)):
        file_path = (*path[:-1], path[-1] + FILE_SUFFIX)
        named = tree.get(file_path)
        if not isinstance(named, str) or not named:
            continue
        if tree.get(path) is not None:
            both = f"is given here and in {file_path[-1]}; take one of the two away"
            report.problems.append(tree.problem(path, both))
        else:
            _read(tree, path, file_path, Path(named), report)


def warn_of_clear_text(tree: Tree, file: Path, report: Report) -> None:
    """Name each secret that stands in a configuration that everybody may read."""
    if not open_to_all(file):
        return
    advice = f"is a secret, and every user of this machine may read {file}: chmod o-r {file}"
    for path in secret_paths(tree):
        if tree.get(path) and tree.place(path).file == tree.file:
            report.warnings.append(tree.problem(path, advice))


def _read(tree: Tree, path: tuple[str, ...], file_path: tuple[str, ...], file: Path, report: Report) -> None:
    place = tree.place(file_path)
    try:
        tree.put(path, _content(path, file), Place(place.file, place.line, name=place.name))
    except UnreadableError as fault:
        report.problems.append(tree.problem(file_path, str(fault)))
        return
    if open_to_all(file) and place.file != CREDENTIAL:
        advice = f"every user of this machine may read {file}: chmod o-r {file}"
        report.warnings.append(tree.problem(file_path, advice))


def _content(path: tuple[str, ...], file: Path) -> Value:
    text = read_text(file, LIMIT)
    key = locate(path)
    if key is not None and key.kind is Kind.SECRETS:
        lines: list[Value] = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            raise UnreadableError(f"{file} is empty; write one URL a line into it")
        return lines
    secret = text.rstrip("\r\n")
    if not secret.strip():
        raise UnreadableError(f"{file} is empty; write the secret into it")
    return secret

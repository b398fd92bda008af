"""Every key of the configuration reaches the program."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

import wx2mqtt
from wx2mqtt.bridge.people.evidence import ContactPin
from wx2mqtt.settings.environment import FILE_SUFFIX
from wx2mqtt.settings.key_tree import BRANCH_KINDS, KeyKind, keys_of, walk
from wx2mqtt.settings.schema import Account, Pin, Section, Settings

PACKAGE = Path(wx2mqtt.__file__).parent

# A section is recognised by the name of its key, of a variable to which it was assigned, or of its class.
SECTIONS: dict[str, type[Section]] = {
    **{
        path[-1]: key.model
        for path, key in walk()
        if key.model is not None and key.kind in {KeyKind.SECTION, KeyKind.SECTIONS}
    },
    "settings": Settings,
    "whole": Settings,
    "account": Account,
}
CLASSES = {model.__name__: model for model in SECTIONS.values()}


def _name(node: ast.expr) -> str:
    """Returns the last part of a name: `send` of `self._settings.account.send`."""
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name.lstrip("_")
        case ast.Subscript(value=ast.Attribute(attr="accounts")):
            return "account"
    return ""


def _section_of(annotation: ast.expr | None) -> type[Section] | None:
    return CLASSES.get(annotation.id) if isinstance(annotation, ast.Name) else None


def _aliases(tree: ast.AST) -> Iterator[tuple[str, type[Section]]]:
    """Returns the variables, parameters and properties of a file that are sections."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _name(value) in SECTIONS:
                yield name, SECTIONS[_name(value)]
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                for target, value in zip(names, values, strict=True):
                    if _name(value) in SECTIONS:
                        yield _name(target), SECTIONS[_name(value)]
            case ast.arg(arg=name, annotation=annotation) if section := _section_of(annotation):
                yield name, section
            case ast.FunctionDef(name=name, returns=annotation) if section := _section_of(annotation):
                yield name.lstrip("_"), section


@cache
def _read_keys() -> frozenset[tuple[str, str]]:
    """Returns the keys that the program reads, each with the class of its section."""
    found: set[tuple[str, str]] = set()
    files = [file for file in PACKAGE.rglob("*.py") if file.parent.name not in {"settings", "setup", "demo"}]
    for file in [*files, PACKAGE / "settings" / "schema.py"]:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        known = {*SECTIONS.items(), *_aliases(tree)}
        reads = {(_name(node.value), node.attr) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        found |= {(section.__name__, key) for name, key in reads for other, section in known if name == other}
    return frozenset(found)


KEYS = [(path, key) for path, key in walk() if key.kind not in BRANCH_KINDS]
OF_BACKENDS = {
    ("webwx", "desktop", "client_version"),
    ("webwx", "desktop", "extspam"),
    ("ilink", "client_version"),
    ("ilink", "hosts"),
    ("ilink", "typing"),
    *(("wecom", key) for key in ("bot_id", "secret", "source", "receipt", "bot_name")),
}


def _model_of(path: tuple[str, ...]) -> type[Section]:
    model: type[Section] = Settings
    for name in path[:-1]:
        if name not in {"*", "[]"}:
            child = keys_of(model)[name].model
            assert child is not None
            model = child
    return model


@pytest.mark.parametrize("path", [path for path, _ in KEYS], ids=".".join)
def test_a_key_is_read_by_the_program(path: tuple[str, ...]):
    model = _model_of(path)
    key = keys_of(model)[path[-1]]
    if key.name.endswith(FILE_SUFFIX) and key.name.removesuffix(FILE_SUFFIX) in keys_of(model):
        return  # the loader reads the file: its content is the other key
    annotation = model.model_fields[key.attribute].annotation
    if get_origin(annotation) is Literal and len(get_args(annotation)) == 1:
        return  # it has one value, which says nothing yet
    if model is Pin:
        assert key.attribute in {field.name for field in fields(ContactPin)}
    elif path[2:] in OF_BACKENDS:  # a backend gets its section as plain values
        assert f'["{key.name}"]' in (PACKAGE / "wechat" / "registry.py").read_text(encoding="utf-8")
    else:
        assert (model.__name__, key.attribute) in _read_keys()


def test_a_key_that_nobody_reads_would_be_found():
    assert ("Send", "burst") in _read_keys()
    assert ("Send", "model_fields") not in _read_keys()
    assert ("Send", "burts") not in _read_keys()

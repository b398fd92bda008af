"""Every function that meets foreign bytes is fuzzed, or excused with a reason."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache
from types import CodeType, FrameType, ModuleType
from typing import Any

import pytest

from tests.fuzz import corpus, parsers
from tests.fuzz.parsers import (
    EXCUSED,
    EXCUSED_MODULES,
    SCOPES,
    all_parsers,
    functions_of,
    takes_foreign_bytes,
)
from tests.fuzz.registry import KNOWN_HOLES, TARGETS
from tests.fuzz.silence import silent_logs
from tests.fuzz.target import Target

REGISTERED = {name for target in TARGETS for name in target.parsers}
ALL_MODULES = [name.removeprefix("wx2mqtt.") for name in parsers.product_modules()]


def function_named(name: str) -> Callable[..., Any]:
    module_name, _, path = name.partition(":")
    found: Any = importlib.import_module(f"wx2mqtt.{module_name}")
    for part in path.split("."):
        found = vars(found)[part]
    return found.__func__ if isinstance(found, classmethod | staticmethod) else found


@cache
def all_functions() -> tuple[str, ...]:
    names = parsers.parser_modules()
    modules = [importlib.import_module(f"wx2mqtt.{name}") for name in names]
    return tuple(
        parsers.qualified(function)
        for module in modules
        for function in functions_of(module)
        if takes_foreign_bytes(function)
    )


def test_every_function_that_meets_foreign_bytes_is_fuzzed_or_excused():
    missing = sorted(set(all_parsers()) - REGISTERED)
    assert missing == [], (
        "add them to the `parsers` of a target that calls them, or to EXCUSED with the reason"
    )


def test_the_rule_finds_the_parsers_and_not_an_empty_list():
    assert len(all_parsers()) > 200
    assert "wechat.json_reader:parse_json" in all_parsers()
    assert "mqtt.packets:read_publish" in all_parsers()


@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_names_a_module(scope: str):
    assert any(fnmatchcase(name, scope) for name in ALL_MODULES)


@pytest.mark.parametrize("pattern", EXCUSED)
def test_every_excuse_fits_a_function(pattern: str):
    assert any(fnmatchcase(name, pattern) for name in all_functions()), (
        "the function is gone: drop the excuse"
    )


@pytest.mark.parametrize("pattern", EXCUSED_MODULES)
def test_every_excused_module_exists(pattern: str):
    assert any(fnmatchcase(name, pattern) for name in ALL_MODULES)


def test_a_known_hole_is_one_of_a_target():
    assert set(KNOWN_HOLES) <= {target.name for target in TARGETS}


def test_no_two_targets_have_one_name():
    names = [target.name for target in TARGETS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_a_target_calls_the_parsers_that_it_names(target: Target):
    called: set[CodeType] = set()

    def profile(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            called.add(frame.f_code)

    with silent_logs():
        before = sys.getprofile()
        sys.setprofile(profile)
        try:
            for data in (*target.seeds, *corpus.corpus_of(target)):
                target.run(data)
        finally:
            sys.setprofile(before)
    missing = [name for name in target.parsers if inspect.unwrap(function_named(name)).__code__ not in called]
    assert missing == []


def new_module(source: str) -> ModuleType:
    module = ModuleType("wx2mqtt.new")
    exec(compile(source, "new.py", "exec"), vars(module))
    return module


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from __future__ import annotations\ndef read(body: bytes) -> int: ...", ["new:read"]),
        ("from __future__ import annotations\ndef read(x: int, y: Mapping[str, Any]): ...", ["new:read"]),
        (
            "from __future__ import annotations\nclass A:\n    def read(self, text: str | None): ...",
            ["new:A.read"],
        ),
        (
            "from __future__ import annotations\nclass A:\n    @classmethod\n    def read(cls, text: str): ...",
            ["new:A.read"],
        ),
        ("from __future__ import annotations\ndef write(count: int) -> bytes: ...", []),
        ("from __future__ import annotations\ndef _read(body: bytes): ...", []),
    ],
)
def test_a_new_parser_is_found_by_its_parameters(source: str, names: list[str]):
    found = [
        parsers.qualified(function)
        for function in functions_of(new_module(source))
        if takes_foreign_bytes(function)
    ]
    assert found == names


def test_a_module_that_parses_is_covered_without_an_entry():
    assert parsers.parsing_calls("import json\ndef read(x):\n    return json.loads(x)") == {"json.loads"}
    assert parsers.parsing_calls("def read(x):\n    return x.upper()") == set()

"""A pytest plugin that records which functions of the product each test calls.

    python -m pytest -p tests.call_recorder --record-calls FOLDER tests/unit

Each process writes one file into the folder: `{"wx2mqtt/clock.py": {"112": ["tests/unit/test_clock.py::test_a"]}}`,
where 112 is the line on which the function begins. What runs outside of any test, such as an import, has the name "".
Only this process is watched, not one that a test starts.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

import pytest

PRODUCT = "wx2mqtt"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-calls", type=Path, metavar="FOLDER", help="record the calls of each test here")


def pytest_configure(config: pytest.Config) -> None:
    folder = config.getoption("--record-calls")
    if folder is not None:
        recorder = CallRecorder(folder, config.rootpath / PRODUCT)
        config.pluginmanager.register(recorder)
        recorder.start()


class CallRecorder:
    def __init__(self, folder: Path, product: Path) -> None:
        self._folder = folder
        self._product = f"{product}{os.sep}"
        #: The code that has run since the last test began; by its identity, since the hash of code is slow.
        self._codes: dict[int, CodeType] = {}
        self._tests: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))

    def start(self) -> None:
        threading.setprofile(self._on_event)
        sys.setprofile(self._on_event)

    def _on_event(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            self._codes[id(frame.f_code)] = frame.f_code

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._attribute_to("")
        self.start()  # a test may have ended the profile
        try:
            return (yield)
        finally:
            self._attribute_to(item.nodeid)

    def _attribute_to(self, test: str) -> None:
        """Notes that this test has called all code since the last call of this method."""
        codes, self._codes = self._codes, {}
        for code in codes.values():
            if code.co_filename.startswith(self._product) and code.co_name != "<module>":
                self._tests[code.co_filename][code.co_firstlineno].add(test)

    def pytest_sessionfinish(self) -> None:
        sys.setprofile(None)
        self._attribute_to("")
        root = Path(self._product).parent
        calls = {
            Path(path).relative_to(root).as_posix(): {line: sorted(tests) for line, tests in lines.items()}
            for path, lines in self._tests.items()
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        name = os.environ.get("PYTEST_XDIST_WORKER", "main")
        (self._folder / f"{name}.json").write_text(json.dumps(calls), encoding="utf-8")

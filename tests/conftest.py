"""Rules for all tests."""

from __future__ import annotations

import gc
import os
import secrets
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import loop_watch

CI = bool(os.environ.get("CI"))
# Dice of the chaos tests; here, so that all workers of one run have the same.
os.environ.setdefault("CHAOS_SEED", "0" if CI else str(secrets.randbelow(1_000_000)))

# Examples are not timed: the machine is shared. In CI they are the same each time, so that red means changed.
# Tests set their own numbers with `effort`.
EXAMPLES = 500 if os.environ.get("THOROUGH") else 50
settings.register_profile("here", deadline=None, max_examples=EXAMPLES)
settings.register_profile("ci", deadline=None, max_examples=EXAMPLES, derandomize=True, print_blob=True)
settings.load_profile("ci" if CI else "here")


@pytest.fixture(scope="session")
def _freezes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file to which every watched loop of this run is reported, in this process and in its bridges."""
    file = tmp_path_factory.mktemp("watch") / "freezes"
    os.environ[loop_watch.REPORT] = str(file)
    loop_watch.start_from_environment()
    yield file
    del os.environ[loop_watch.REPORT]


@pytest.fixture
def _no_frozen_loop(_freezes: Path) -> Iterator[None]:
    """Fails a test in which the event loop of a bridge stood still; scenarios and fuzz tests use it."""
    _freezes.unlink(missing_ok=True)
    yield
    assert not _freezes.exists(), _freezes.read_text()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chaos: does more with THOROUGH=1 (`make test-chaos`)")
    config.addinivalue_line("markers", "in_folder: needs a store in a folder, also in `make test-postgresql`")
    config.addinivalue_line("markers", "browser: needs Chromium (`make test-external`)")
    config.addinivalue_line("markers", "client: runs a published client or ESPHome (`make test-external`)")
    config.addinivalue_line("markers", "rabbitmq: starts RabbitMQ (`make test-external`)")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what needs Chromium where there is none."""
    if item.get_closest_marker("browser"):
        from tests.support.chromium import MISSING  # most tests have no browser

        if MISSING:
            pytest.skip(MISSING)


# Each worker collects all tests, and what that makes stays until its end. Looking through it for garbage again and
# again took two thirds of the collection, so it is done once, at its end, and never again.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Ends the browsers of a file of tests with it."""
    chromium = sys.modules.get("tests.support.chromium")
    if chromium is not None and (nextitem is None or nextitem.path != item.path):
        chromium.quit_idle_browsers()


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI everything that a test needs is there: a skip would hide that it is not."""
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which counts as a failure in CI: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """See `_fail_if_skipped`; for tests."""
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """See `_fail_if_skipped`; for whole files."""
    report = yield
    _fail_if_skipped(report)
    return report

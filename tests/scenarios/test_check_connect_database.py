"""`check --connect` on the database: what it finds on a real server, and behind PgBouncer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.support.postgresql import LOGIN_KEY, new_database, pooled
from wx2mqtt.diagnostics import postgresql_database
from wx2mqtt.diagnostics.check_report import CheckReport, CheckResult
from wx2mqtt.diagnostics.postgresql_database import check_database
from wx2mqtt.settings.schema import Storage
from wx2mqtt.store.postgresql_database import PostgresqlDatabase

ALL_CHECKS = {"tcp", "database_version", "rights", "key", "delay", "durability", "clock", "pooler"}


async def examined(url: str) -> dict[str, CheckResult]:
    report = CheckReport("en")
    await check_database(Storage.model_validate({"url": url, "key": LOGIN_KEY}), report)
    return {result.check: result for result in report.results}


def remedies(results: dict[str, CheckResult]) -> dict[str, str]:
    """Returns the remedy of each check that is not ok, by check."""
    return {name: result.remedy for name, result in results.items() if result.status != "ok"}


async def test_a_database_without_faults_passes_before_and_after_the_first_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgresql_database, "SLOW_MS", 10_000.0)  # the machine may be busy
    url = new_database()
    before = await examined(url)
    await (await PostgresqlDatabase.open(url)).close()
    after = await examined(url)
    for results in (before, after):
        assert set(results) == ALL_CHECKS
        assert set(remedies(results)) == {"durability"}, "the server of the tests has no fsync"
    assert "fsync" in remedies(after)["durability"]
    assert after["pooler"].finding == "they hold"


async def test_a_server_that_is_away_is_one_failed_check(tmp_path: Path) -> None:
    results = await examined(f"postgresql:///wx2mqtt?host={tmp_path}&password=")
    assert set(results) == {"tcp"}
    assert results["tcp"].status == "failed"
    assert "storage.url" in results["tcp"].remedy


async def test_a_pooler_that_shares_sessions_is_reported() -> None:
    with pooled(new_database(), "transaction") as url:
        results = await examined(url)
    assert results["pooler"].status == "failed"
    assert "PgBouncer in transaction mode" in results["pooler"].finding
    assert "pool_mode = session" in results["pooler"].remedy


async def test_a_pooler_that_keeps_sessions_is_no_problem() -> None:
    with pooled(new_database(), "session") as url:
        results = await examined(url)
    assert (results["pooler"].status, results["pooler"].finding) == ("ok", "they hold, through a pooler")


@pytest.mark.parametrize(
    ("grants", "missing", "remedy"),
    [
        ("", "may not create tables", "GRANT CREATE, USAGE ON SCHEMA public TO poor;"),
        (
            "GRANT SELECT, INSERT, UPDATE, TRUNCATE ON ALL TABLES IN SCHEMA public TO poor",
            "DELETE",
            "GRANT DELETE ON ALL TABLES IN SCHEMA public TO poor;",
        ),
    ],
)
async def test_rights_that_are_missing_are_named_with_the_grant(
    grants: str, missing: str, remedy: str
) -> None:
    url = new_database()
    if grants:
        await (await PostgresqlDatabase.open(url)).close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DO $$ BEGIN CREATE ROLE poor LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
        if grants:
            connection.execute(grants)
    results = await examined(url.replace("user=wx2mqtt", "user=poor"))
    assert missing in results["rights"].finding
    assert remedies(results)["rights"] == remedy


async def test_a_standby_is_named() -> None:
    url = new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "ALTER ROLE wx2mqtt IN DATABASE "
            + url[14:].partition("?")[0]
            + " SET default_transaction_read_only = on"
        )
    assert "target_session_attrs=read-write" in remedies(await examined(url))["rights"]


@pytest.mark.parametrize(
    ("name", "value", "check", "status"),
    [
        ("OLDEST_VERSION", 99, "database_version", "failed"),
        ("NEWEST_VERSION", 9, "database_version", "warning"),
        ("SLOW_MS", 0.0, "delay", "warning"),
    ],
)
async def test_a_version_that_is_not_supported_and_a_slow_server_are_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: float, check: str, status: str
) -> None:
    url = new_database()
    monkeypatch.setattr(postgresql_database, name, value)
    assert (await examined(url))[check].status == status


@pytest.mark.parametrize(("ahead", "status"), [(30.0, "warning"), (-120.0, "failed")])
async def test_a_clock_that_differs_from_the_servers_is_named(
    monkeypatch: pytest.MonkeyPatch, ahead: float, status: str
) -> None:
    url = new_database()
    now: Callable[[], float] = time.time
    monkeypatch.setattr("time.time", lambda: now() + ahead)
    results = await examined(url)
    assert (results["clock"].status, results["clock"].subject) == (status, results["tcp"].subject)

"""Measures the cost of a database against a file, and of accounts in one instance: `python -m tests.cluster.measures`.

The rows are for docs/en/development/cluster.md; the machine should do nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from tests.benchmarks.measures import process_seconds
from tests.chaos.report import PERCENT, quantile
from tests.chaos.traffic import Traffic
from tests.cluster.database import NAME, DatabasePair
from tests.cluster.environment import ClusterEnvironment, RunSize, open_cluster
from tests.support.postgresql import USER
from tests.unit.store.make import message
from wx2mqtt.store.database import Database
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.person_records import NO_CHANGES
from wx2mqtt.store.postgresql_database import PostgresqlDatabase
from wx2mqtt.store.sqlite_database import SqliteDatabase

ONE_BY_ONE = 300
JOURNALS, COMMITS_OF_EACH = 100, 20
FEW_ACCOUNTS, MANY_ACCOUNTS = 20, 120
SETTLE_SECONDS, WATCH_SECONDS = 15.0, 40.0
TRAFFIC_PACE = 60.0
CORE_SHARE = 0.8
USUAL_MESSAGES, USUAL_COMMANDS = 2000, 200
"""A day of one account (docs/en/development/soak.md)."""
PEAK = 10
"""The busiest minute has so many times the traffic of the average one."""
DAY_SECONDS = 86_400

Row = tuple[str, str]
Opened = Callable[[Path], AbstractAsyncContextManager[Database]]


# commits


@asynccontextmanager
async def _sqlite(folder: Path) -> AsyncIterator[Database]:
    database = await SqliteDatabase.open(folder / "wx2mqtt.db")
    yield database
    await database.close()


@asynccontextmanager
async def _postgresql(folder: Path, *, standby: bool) -> AsyncIterator[Database]:
    pair = DatabasePair(folder / "servers", durable=True)
    try:
        pair.open()
        if not standby:
            pair.primary.execute("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
        url = f"postgresql://{USER}@127.0.0.1:{pair.primary.port}/{NAME}"
        database = await PostgresqlDatabase.open(url)
        yield database
        await database.close()
    finally:
        pair.close()


KINDS: dict[str, Opened] = {
    "a file (SQLite, synchronous=FULL)": _sqlite,
    "PostgreSQL alone": lambda folder: _postgresql(folder, standby=False),
    "PostgreSQL with a synchronous standby": lambda folder: _postgresql(folder, standby=True),
}


async def commits(folder: Path) -> list[Row]:
    """One message in a commit, one after the other, and of many accounts at once."""
    rows: list[Row] = []
    for number, (name, opened) in enumerate(KINDS.items()):
        own = folder / f"commits{number}"
        own.mkdir()
        own.chmod(0o755)
        async with opened(own) as database:
            journals = [
                Journal(database, f"a{number}", lambda: time.time_ns() // 1_000_000)
                for number in range(JOURNALS)
            ]
            await asyncio.gather(*(journal.open() for journal in journals))
            took = [await _record(journals[0], number) for number in range(ONE_BY_ONE)]
            began = time.perf_counter()
            at_once = [
                seconds for part in await asyncio.gather(*map(_record_some, journals)) for seconds in part
            ]
            rate = len(at_once) / (time.perf_counter() - began)
        rows.append(
            (
                f"{name}: a message stored, one after the other",
                f"{1 / statistics.mean(took):,.0f}/s, {_spread(took)}",
            )
        )
        rows.append((f"  {JOURNALS} accounts at once", f"{rate:,.0f}/s, {_spread(at_once)}"))
    return rows


async def _record(journal: Journal, number: int) -> float:
    began = time.perf_counter()
    await journal.received.record([message(f"{number}")], NO_CHANGES, None, "login")
    return time.perf_counter() - began


async def _record_some(journal: Journal) -> list[float]:
    return [await _record(journal, 10_000 + number) for number in range(COMMITS_OF_EACH)]


def _spread(seconds: Sequence[float]) -> str:
    middle, worst = quantile(seconds, 0.5) * 1000, quantile(seconds, PERCENT) * 1000
    return f"p50 {middle:.1f} ms, p99 {worst:.1f} ms"


# accounts


async def accounts(folder: Path) -> list[Row]:
    """What an account costs an instance that has many, on PostgreSQL with a standby."""
    sizes: list[float] = []
    for count in (FEW_ACCOUNTS, MANY_ACCOUNTS):
        size = RunSize(
            ilink=count, webwx=0, wecom=0, instances=1, pace=TRAFFIC_PACE, hold_seconds=35.0, direct=True
        )
        own = folder / f"accounts{count}"
        own.mkdir()
        async with open_cluster(own, 1, size) as environment:
            await environment.log_in()
            await asyncio.sleep(SETTLE_SECONDS)
            sizes.append(_private_megabytes(_pid(environment)))
            if count == MANY_ACCOUNTS:
                return [
                    (f"memory of an account ({FEW_ACCOUNTS} and {MANY_ACCOUNTS} compared)",
                     f"{(sizes[1] - sizes[0]) / (MANY_ACCOUNTS - FEW_ACCOUNTS) * 1000:.0f} kB"),
                    *await _load(environment),
                ]  # fmt: skip
    return []


async def _load(environment: ClusterEnvironment) -> list[Row]:
    """The processor's time of an instance without and with traffic, and what follows from it."""
    pid = _pid(environment)
    idle = await _processor_share(pid) / MANY_ACCOUNTS
    sessions = _sessions(environment)
    traffic = Traffic(environment, random.Random(1), environment.size.pace)
    messages, given = _counts(environment)
    async with traffic.running():
        share = await _processor_share(pid)
    messages, given = (
        after - before for after, before in zip(_counts(environment), (messages, given), strict=True)
    )
    await environment.drain()
    weight = (messages + given) / WATCH_SECONDS  # a command costs about as much as a message
    each = (share - idle * MANY_ACCOUNTS) / weight
    usual = (USUAL_MESSAGES + USUAL_COMMANDS) / DAY_SECONDS
    return [
        (f"connections to the database with {MANY_ACCOUNTS} accounts", f"{sessions}"),
        ("processor of an account without traffic", f"{idle * 1e6:.0f} us a second"),
        (
            f"processor of a message or command ({messages + given:,} in {WATCH_SECONDS:.0f} s)",
            f"{each * 1e3:.1f} ms",
        ),
        (
            f"accounts at {CORE_SHARE:.0%} of one core, usual traffic",
            f"{CORE_SHARE / (idle + usual * each):,.0f}",
        ),
        (f"  in a minute with {PEAK} times the usual", f"{CORE_SHARE / (idle + PEAK * usual * each):,.0f}"),
    ]


def _pid(environment: ClusterEnvironment) -> int:
    process = environment.instances[0].process
    assert process is not None
    return process.pid


async def _processor_share(pid: int) -> float:
    before, began = process_seconds(pid), time.monotonic()
    await asyncio.sleep(WATCH_SECONDS)
    return (process_seconds(pid) - before) / (time.monotonic() - began)


def _counts(environment: ClusterEnvironment) -> tuple[int, int]:
    return (
        sum(len(account.message_ids) for account in environment.accounts),
        sum(len(account.commands) for account in environment.accounts),
    )


def _private_megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1000


def _sessions(environment: ClusterEnvironment) -> int:
    """Returns the number of connections to the database, without that which counts."""
    with environment.database.primary.connect(NAME) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(str(row[0]))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.measures", description=__doc__)
    parser.add_argument("names", nargs="*", choices=["commits", "accounts", []], help="default: both")
    names = parser.parse_args(arguments).names or ["commits", "accounts"]
    with tempfile.TemporaryDirectory(prefix="cluster-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        print("| what | measured |\n|---|---|")
        for measure in names:
            for what, value in asyncio.run({"commits": commits, "accounts": accounts}[measure](folder)):
                print(f"| {what} | {value} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The disruptions of a run. Each is a context: it begins, accounts recover in the block, and it ends."""

from __future__ import annotations

import asyncio
import base64
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.cluster.environment import BROKER, DATABASE, MAX_INSTANCES, SERVERS
from tests.support.deadlines import allowed

if TYPE_CHECKING:
    from tests.chaos.account import AccountDriver
    from tests.cluster.environment import ClusterEnvironment, Instance

MOVE_SECONDS = 10.0
"""The time in which an account of an instance that ended, or lost the database, runs on another one."""
HUNG_MOVE_SECONDS = 20.0
"""The same for an instance that does not answer and whose connections stay open."""
HUNG_SECONDS = 20.0
JOIN_SECONDS = 60.0
"""The time in which an instance that joins has its share."""
PROMOTION_SECONDS = (0.0, 2.0)
CUT_SECONDS = (4.0, 12.0)
COMMIT_SECONDS = 3.0
"""The time after which a kill does not wait for commits any more."""
RETURN_SECONDS = 15.0
"""The time of a move after the database was away: instances try every two seconds, and wait for old leases."""
AWAY_SECONDS = (9.0, 14.0)
REFUSED_SECONDS = 30.0
"""The time in which an instance with another key ends, and in which a refused file is reported."""
CONFIGURATION_ERROR = 78
CLOCK_SECONDS = (0.0, 12.0)
CLOCK_JUMPS_MS = (-86_400_000, -3_600_000, -20_000, 20_000, 3_600_000)


@dataclass(kw_only=True)
class Effect:
    """The effect of a disruption, as in `ClusterDisruption`; `measured` are the accounts whose recovery is measured."""

    measured: list[AccountDriver]
    lost: frozenset[str] = frozenset()
    since: float = field(default_factory=time.monotonic)
    allowed: float = MOVE_SECONDS
    target: str = ""
    unreachable: frozenset[str] = frozenset()
    machines_with_wrong_key: frozenset[str] = frozenset()
    database_outage: tuple[float, float] = (0.0, 0.0)
    reload_reported: tuple[bool, bool] | None = None
    reorders: bool = False
    """The broker may deliver commands of this time in another order."""


Disruption = Callable[["ClusterEnvironment", random.Random], AbstractAsyncContextManager[Effect]]


def _names(accounts: Iterable[AccountDriver]) -> frozenset[str]:
    return frozenset(account.name for account in accounts)


def _target(environment: ClusterEnvironment, rng: random.Random) -> tuple[Instance, list[AccountDriver]]:
    """Returns an instance that runs accounts, and these."""
    owners = [instance for instance in environment.running() if environment.owned_by(instance)]
    target = rng.choice(owners or environment.running())
    return target, environment.owned_by(target)


# instances


@asynccontextmanager
async def kill(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Kills an instance; starts it again when others run its accounts."""
    target, accounts = _target(environment, rng)
    await target.kill()
    yield Effect(measured=accounts, lost=_names(accounts))
    target.start()


@asynccontextmanager
async def kill_and_start(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Kills an instance and starts it at once, as a service manager does."""
    target, accounts = _target(environment, rng)
    await target.kill()
    target.start()
    yield Effect(measured=accounts, lost=_names(accounts))


@asynccontextmanager
async def kill_at_commit(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Lets an instance kill itself right before or after a commit."""
    target, _ = _target(environment, rng)
    target.control_block.commits_until_kill = rng.randrange(1, 60)
    assert target.process is not None
    await target.process.ended_within(COMMIT_SECONDS)
    since, accounts = time.monotonic(), environment.owned_by(target)
    await target.kill()
    target.control_block.commits_until_kill = 0
    yield Effect(measured=accounts, lost=_names(accounts), since=since)
    target.start()


@asynccontextmanager
async def clock_jump(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Moves the clock of one machine: ownership uses the time of the database and durations."""
    target, accounts = _target(environment, rng)
    target.control_block.clock_offset_ms = rng.choice(CLOCK_JUMPS_MS)
    environment.clock_was_wrong = environment.clock_moved = True
    yield Effect(measured=accounts)
    await asyncio.sleep(rng.uniform(*CLOCK_SECONDS))
    target.control_block.clock_offset_ms = 0


@asynccontextmanager
async def terminate(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Stops an instance, which releases its accounts in order."""
    target, accounts = _target(environment, rng)
    since = time.monotonic()
    await _stop(environment, target)
    yield Effect(measured=accounts, lost=_names(accounts), since=since, target=target.address)
    target.start()


async def _stop(environment: ClusterEnvironment, target: Instance) -> None:
    code = await target.stop()
    if code != 0:
        environment.problems.append(f"{target.name} ended with {code} at SIGTERM")


@asynccontextmanager
async def freeze(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Stops a process for 20 s: its connections stay open, and then it must notice that it owns no account."""
    target, accounts = _target(environment, rng)
    target.signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        yield Effect(
            measured=accounts,
            lost=_names(accounts),
            allowed=HUNG_MOVE_SECONDS,
            target=target.address,
            unreachable=frozenset({target.address}),
            reorders=True,
        )
        await asyncio.sleep(began + HUNG_SECONDS - time.monotonic())
    finally:
        target.signal(signal.SIGCONT)


@asynccontextmanager
async def short_freeze(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Stops a process for about the time after which the others take its accounts."""
    target, accounts = _target(environment, rng)
    target.signal(signal.SIGSTOP)
    began = time.monotonic()
    await asyncio.sleep(rng.uniform(5, 14))
    target.signal(signal.SIGCONT)
    yield Effect(measured=accounts, since=began, unreachable=frozenset({target.address}), reorders=True)


@asynccontextmanager
async def rolling_restart(environment: ClusterEnvironment, _: random.Random) -> AsyncIterator[Effect]:
    """Restarts one instance after the other, each when the accounts of the one before run again."""
    lost: frozenset[str] = frozenset()
    since = time.monotonic()
    for instance in environment.running():
        lost = _names(environment.owned_by(instance))
        await _stop(environment, instance)
        since = time.monotonic()
        instance.start()
        await environment.wait(
            lambda: not any(environment.owners.get(name) == instance.name for name in lost),  # noqa: B023
            MOVE_SECONDS,
        )
    yield Effect(measured=environment.accounts, lost=lost, since=since)


@asynccontextmanager
async def join_and_leave(environment: ClusterEnvironment, _: random.Random) -> AsyncIterator[Effect]:
    """Starts a further instance, which takes its share of the accounts, and stops it in order."""
    new_instance = environment.instances[MAX_INSTANCES - 1]
    share = len(environment.accounts) // (len(environment.running()) + 1)
    new_instance.start()
    began = time.monotonic()
    joined = await environment.wait(
        lambda: len(environment.owned_by(new_instance)) >= share - 1, allowed(JOIN_SECONDS)
    )
    if not joined:
        count = len(environment.owned_by(new_instance))
        environment.problems.append(
            f"{new_instance.name} has {count} accounts of {share} after {JOIN_SECONDS:g} s"
        )
    environment.joins.append(time.monotonic() - began)
    accounts, since = environment.owned_by(new_instance), time.monotonic()
    await _stop(environment, new_instance)
    yield Effect(measured=accounts, lost=_names(accounts), since=since, target=new_instance.address)


@asynccontextmanager
async def another_key(environment: ClusterEnvironment, _: random.Random) -> AsyncIterator[Effect]:
    """Starts a further instance with another key for saved logins: it must take no account, and end with 78."""
    new_instance = environment.instances[MAX_INSTANCES - 1]
    settings = new_instance.config.read_text()
    key = new_instance.folder / "another key"
    key.touch(mode=0o600)
    key.write_text(base64.b64encode(bytes(32)).decode())
    new_instance.config.write_text(settings.replace(str(environment.folder / "key"), str(key)))
    code = await new_instance.start_until_it_ends(allowed(REFUSED_SECONDS))
    new_instance.config.write_text(settings)
    if code != CONFIGURATION_ERROR:
        environment.problems.append(f"{new_instance.name} ended with {code} for another key")
    yield Effect(measured=environment.accounts, machines_with_wrong_key=frozenset({new_instance.address}))


@asynccontextmanager
async def refused_reload(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Reloads a file with a fault: only the state reports it, until the file is mended."""
    target, accounts = _target(environment, rng)
    settings = target.config.read_text()

    def is_reported() -> bool:
        return any(
            "refused at the last reload" in environment.reasons.get(account.name, "") for account in accounts
        )

    target.config.write_text(f"{settings}sned: 1\n")
    target.signal(signal.SIGHUP)
    during = await environment.wait(is_reported, allowed(REFUSED_SECONDS))
    effect = Effect(measured=accounts)
    yield effect
    target.config.write_text(settings)
    target.signal(signal.SIGHUP)
    mended = await environment.wait(lambda: not is_reported(), allowed(REFUSED_SECONDS))
    effect.reload_reported = during, not mended


# the broker and the database


@asynccontextmanager
async def broker_kill(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Kills a node; starts it again when all messages go through the others."""
    node = rng.choice(environment.brokers.nodes)
    await asyncio.to_thread(node.kill)
    yield Effect(measured=environment.accounts, reorders=True)
    await asyncio.to_thread(node.start)


@asynccontextmanager
async def primary_kill(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Kills the primary, promotes the standby, and later adds a new one."""
    await asyncio.to_thread(environment.database.kill_primary)
    await asyncio.sleep(rng.uniform(*PROMOTION_SECONDS))
    await asyncio.to_thread(environment.database.promote)
    yield Effect(measured=environment.accounts, lost=_names(environment.accounts))
    await asyncio.to_thread(environment.database.restore)


@asynccontextmanager
async def primary_restart(environment: ClusterEnvironment, _: random.Random) -> AsyncIterator[Effect]:
    """Restarts the primary, as for an update."""
    primary = environment.database.primary
    await asyncio.to_thread(primary.stop)
    await asyncio.to_thread(primary.start)
    yield Effect(measured=environment.accounts, lost=_names(environment.accounts))


@asynccontextmanager
async def database_away(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Stops both servers for longer than a lease, and starts them."""
    await asyncio.to_thread(environment.database.stop_both)
    began = time.monotonic()
    await asyncio.sleep(rng.uniform(*AWAY_SECONDS))
    database_outage = began, time.monotonic()
    await asyncio.to_thread(environment.database.start_both)
    yield Effect(
        measured=environment.accounts,
        lost=_names(environment.accounts),
        allowed=RETURN_SECONDS,
        database_outage=database_outage,
    )


# the network


@asynccontextmanager
async def network_cut(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Cuts a machine off from all servers: connections end, new ones are refused."""
    target, accounts = _target(environment, rng)
    environment.network.cut(target.address, *SERVERS)
    yield Effect(measured=accounts, lost=_names(accounts), target=target.address)
    environment.network.heal(target.address, *SERVERS)


@asynccontextmanager
async def network_swallows(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Cuts a machine off from all servers without ending its connections."""
    target, accounts = _target(environment, rng)
    environment.network.swallow(target.address, *SERVERS)
    yield Effect(
        measured=accounts,
        lost=_names(accounts),
        allowed=HUNG_MOVE_SECONDS,
        target=target.address,
        unreachable=frozenset({target.address}),
        reorders=True,
    )
    environment.network.heal(target.address, *SERVERS)


@asynccontextmanager
async def database_cut(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Cuts a machine off from the database only: it could still poll and send, and must not."""
    target, accounts = _target(environment, rng)
    environment.network.cut(target.address, DATABASE)
    yield Effect(measured=accounts, lost=_names(accounts), target=target.address)
    environment.network.heal(target.address, DATABASE)


@asynccontextmanager
async def database_swallows(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Cuts a machine off from the database without ending its connections: a commit gets no answer."""
    target, accounts = _target(environment, rng)
    environment.network.swallow(target.address, DATABASE)
    yield Effect(measured=accounts, lost=_names(accounts), allowed=HUNG_MOVE_SECONDS, target=target.address)
    environment.network.heal(target.address, DATABASE)


@asynccontextmanager
async def broker_cut(environment: ClusterEnvironment, rng: random.Random) -> AsyncIterator[Effect]:
    """Cuts a machine off from the broker for a while: its accounts stay, and catch up."""
    target, accounts = _target(environment, rng)
    how = rng.choice((environment.network.cut, environment.network.swallow))
    how(target.address, BROKER)
    await asyncio.sleep(rng.uniform(*CUT_SECONDS))
    environment.network.heal(target.address, BROKER)
    yield Effect(measured=accounts, target=target.address, reorders=True)


DISRUPTIONS: dict[str, tuple[Disruption, int]] = {
    "kill": (kill, 4),
    "kill, start": (kill_and_start, 2),
    "kill at a commit": (kill_at_commit, 3),
    "clock jump": (clock_jump, 1),
    "SIGTERM": (terminate, 2),
    "SIGSTOP 20 s": (freeze, 3),
    "SIGSTOP 5 to 14 s": (short_freeze, 2),
    "rolling restart": (rolling_restart, 1),
    "join and leave": (join_and_leave, 1),
    "broker node killed": (broker_kill, 4),
    "primary killed": (primary_kill, 4),
    "primary restarted": (primary_restart, 1),
    "database away": (database_away, 2),
    "another key": (another_key, 1),
    "refused reload": (refused_reload, 1),
    "network cut": (network_cut, 2),
    "network swallows": (network_swallows, 2),
    "database cut": (database_cut, 2),
    "database swallows": (database_swallows, 2),
    "broker cut": (broker_cut, 2),
}
"""All disruptions, and how often each is chosen."""

"""The failures of a run. Each is a context: it strikes, its accounts recover in the block, and then all is well again."""

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
"""An account of an instance that ended, or that lost the database, runs elsewhere by then."""
HUNG_MOVE_SECONDS = 20.0
"""The same for an instance that does not answer and whose connections stay open."""
HUNG_SECONDS = 20.0
JOIN_SECONDS = 60.0
"""An instance that joins has its share by then."""
PROMOTION_SECONDS = (0.0, 2.0)
CUT_SECONDS = (4.0, 12.0)
COMMIT_SECONDS = 3.0
"""A kill that waits for commits comes at the latest then."""
RETURN_SECONDS = 15.0
"""The same after the database was away: instances ask for it every two seconds, and wait for leases of before."""
AWAY_SECONDS = (9.0, 14.0)
REFUSED_SECONDS = 30.0
"""An instance with a key that is not the database's has ended by then, and a refused file is said."""
CONFIGURATION_ERROR = 78
CLOCK_SECONDS = (0.0, 12.0)
CLOCK_JUMPS_MS = (-86_400_000, -3_600_000, -20_000, 20_000, 3_600_000)


@dataclass(kw_only=True)
class Strike:
    """What a blow did: see `ClusterBlow`. `probed` are the accounts whose recovery is measured."""

    probed: list[AccountDriver]
    lost: frozenset[str] = frozenset()
    since: float = field(default_factory=time.monotonic)
    allowed: float = MOVE_SECONDS
    victim: str = ""
    silent: frozenset[str] = frozenset()
    barred: frozenset[str] = frozenset()
    dark: tuple[float, float] = (0.0, 0.0)
    reload_told: tuple[bool, bool] | None = None
    reorders: bool = False
    """The broker may deliver commands of this time in another order."""


Blow = Callable[["ClusterEnvironment", random.Random], AbstractAsyncContextManager[Strike]]


def _names(accounts: Iterable[AccountDriver]) -> frozenset[str]:
    return frozenset(account.name for account in accounts)


def _victim(environment: ClusterEnvironment, dice: random.Random) -> tuple[Instance, list[AccountDriver]]:
    """Returns an instance that runs accounts, and these."""
    owners = [instance for instance in environment.running() if environment.owned_by(instance)]
    victim = dice.choice(owners or environment.running())
    return victim, environment.owned_by(victim)


# instances


@asynccontextmanager
async def kill(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """SIGKILL; it starts again when others run its accounts."""
    victim, accounts = _victim(environment, dice)
    await victim.kill()
    yield Strike(probed=accounts, lost=_names(accounts))
    victim.start()


@asynccontextmanager
async def kill_and_start(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """SIGKILL and a start at once, as a service manager does it."""
    victim, accounts = _victim(environment, dice)
    await victim.kill()
    victim.start()
    yield Strike(probed=accounts, lost=_names(accounts))


@asynccontextmanager
async def kill_at_commit(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """It kills itself right before or after a commit: what is stored, and what is not, is then least certain."""
    victim, _ = _victim(environment, dice)
    victim.control_block.commits_until_kill = dice.randrange(1, 60)
    assert victim.process is not None
    await victim.process.ended_within(COMMIT_SECONDS)
    since, accounts = time.monotonic(), environment.owned_by(victim)
    await victim.kill()
    victim.control_block.commits_until_kill = 0
    yield Strike(probed=accounts, lost=_names(accounts), since=since)
    victim.start()


@asynccontextmanager
async def clock_jump(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """The time of day of one machine is wrong: who owns what goes by the time of the database and by durations."""
    victim, accounts = _victim(environment, dice)
    victim.control_block.clock_offset_ms = dice.choice(CLOCK_JUMPS_MS)
    environment.clock_was_wrong = environment.clock_moved = True
    yield Strike(probed=accounts)
    await asyncio.sleep(dice.uniform(*CLOCK_SECONDS))
    victim.control_block.clock_offset_ms = 0


@asynccontextmanager
async def terminate(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """SIGTERM: it gives its accounts up in order."""
    victim, accounts = _victim(environment, dice)
    since = time.monotonic()
    await _stop(environment, victim)
    yield Strike(probed=accounts, lost=_names(accounts), since=since, victim=victim.address)
    victim.start()


async def _stop(environment: ClusterEnvironment, victim: Instance) -> None:
    code = await victim.stop()
    if code != 0:
        environment.wrong.append(f"{victim.name} ended with {code} at SIGTERM")


@asynccontextmanager
async def freeze(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """SIGSTOP for 20 s and SIGCONT: its connections stay open, and it must notice that it is nobody any more."""
    victim, accounts = _victim(environment, dice)
    victim.signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        yield Strike(
            probed=accounts,
            lost=_names(accounts),
            allowed=HUNG_MOVE_SECONDS,
            victim=victim.address,
            silent=frozenset({victim.address}),
            reorders=True,
        )
        await asyncio.sleep(began + HUNG_SECONDS - time.monotonic())
    finally:
        victim.signal(signal.SIGCONT)


@asynccontextmanager
async def short_freeze(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """SIGSTOP for a time around which the others begin to take its accounts."""
    victim, accounts = _victim(environment, dice)
    victim.signal(signal.SIGSTOP)
    began = time.monotonic()
    await asyncio.sleep(dice.uniform(5, 14))
    victim.signal(signal.SIGCONT)
    yield Strike(probed=accounts, since=began, silent=frozenset({victim.address}), reorders=True)


@asynccontextmanager
async def rolling_restart(environment: ClusterEnvironment, _: random.Random) -> AsyncIterator[Strike]:
    """One instance after the other, each when the accounts of the one before run again."""
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
    yield Strike(probed=environment.accounts, lost=lost, since=since)


@asynccontextmanager
async def join_and_leave(environment: ClusterEnvironment, _: random.Random) -> AsyncIterator[Strike]:
    """A further instance takes its share of the accounts, and leaves in order."""
    newcomer = environment.instances[MAX_INSTANCES - 1]
    share = len(environment.accounts) // (len(environment.running()) + 1)
    newcomer.start()
    began = time.monotonic()
    joined = await environment.wait(
        lambda: len(environment.owned_by(newcomer)) >= share - 1, allowed(JOIN_SECONDS)
    )
    if not joined:
        count = len(environment.owned_by(newcomer))
        environment.wrong.append(f"{newcomer.name} has {count} accounts of {share} after {JOIN_SECONDS:g} s")
    environment.joins.append(time.monotonic() - began)
    accounts, since = environment.owned_by(newcomer), time.monotonic()
    await _stop(environment, newcomer)
    yield Strike(probed=accounts, lost=_names(accounts), since=since, victim=newcomer.address)


@asynccontextmanager
async def another_key(environment: ClusterEnvironment, _: random.Random) -> AsyncIterator[Strike]:
    """A further instance has another key for saved logins: it must take no account, and end with 78."""
    newcomer = environment.instances[MAX_INSTANCES - 1]
    settings = newcomer.config.read_text()
    key = newcomer.folder / "another key"
    key.touch(mode=0o600)
    key.write_text(base64.b64encode(bytes(32)).decode())
    newcomer.config.write_text(settings.replace(str(environment.folder / "key"), str(key)))
    code = await newcomer.start_until_it_ends(allowed(REFUSED_SECONDS))
    newcomer.config.write_text(settings)
    if code != CONFIGURATION_ERROR:
        environment.wrong.append(f"{newcomer.name} ended with {code} for another key")
    yield Strike(probed=environment.accounts, barred=frozenset({newcomer.address}))


@asynccontextmanager
async def refused_reload(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """A file with a fault is reloaded: nothing changes but what is said, until the file is mended."""
    victim, accounts = _victim(environment, dice)
    settings = victim.config.read_text()

    def is_told() -> bool:
        return any("refused at the last reload" in environment.reasons.get(one.name, "") for one in accounts)

    victim.config.write_text(f"{settings}sned: 1\n")
    victim.signal(signal.SIGHUP)
    during = await environment.wait(is_told, allowed(REFUSED_SECONDS))
    strike = Strike(probed=accounts)
    yield strike
    victim.config.write_text(settings)
    victim.signal(signal.SIGHUP)
    mended = await environment.wait(lambda: not is_told(), allowed(REFUSED_SECONDS))
    strike.reload_told = during, not mended


# the broker and the database


@asynccontextmanager
async def broker_kill(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """SIGKILL of a node; it starts again when everything goes through the others."""
    node = dice.choice(environment.brokers.nodes)
    await asyncio.to_thread(node.kill)
    yield Strike(probed=environment.accounts, reorders=True)
    await asyncio.to_thread(node.start)


@asynccontextmanager
async def primary_kill(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """SIGKILL of the primary; somebody promotes the standby, and later adds a new one."""
    await asyncio.to_thread(environment.database.kill_primary)
    await asyncio.sleep(dice.uniform(*PROMOTION_SECONDS))
    await asyncio.to_thread(environment.database.promote)
    yield Strike(probed=environment.accounts, lost=_names(environment.accounts))
    await asyncio.to_thread(environment.database.restore)


@asynccontextmanager
async def primary_restart(environment: ClusterEnvironment, _: random.Random) -> AsyncIterator[Strike]:
    """A fast shutdown of the primary and a start, as for an update."""
    primary = environment.database.primary
    await asyncio.to_thread(primary.stop)
    await asyncio.to_thread(primary.start)
    yield Strike(probed=environment.accounts, lost=_names(environment.accounts))


@asynccontextmanager
async def database_away(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """Both servers are stopped for longer than a lease, and started: there is nobody to promote."""
    await asyncio.to_thread(environment.database.stop_both)
    began = time.monotonic()
    await asyncio.sleep(dice.uniform(*AWAY_SECONDS))
    dark = began, time.monotonic()
    await asyncio.to_thread(environment.database.start_both)
    yield Strike(
        probed=environment.accounts,
        lost=_names(environment.accounts),
        allowed=RETURN_SECONDS,
        dark=dark,
    )


# the network


@asynccontextmanager
async def network_cut(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """A machine is cut off from everything: connections end, new ones are refused."""
    victim, accounts = _victim(environment, dice)
    environment.network.cut(victim.address, *SERVERS)
    yield Strike(probed=accounts, lost=_names(accounts), victim=victim.address)
    environment.network.heal(victim.address, *SERVERS)


@asynccontextmanager
async def network_swallows(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """A machine is cut off from everything, and nobody is told."""
    victim, accounts = _victim(environment, dice)
    environment.network.swallow(victim.address, *SERVERS)
    yield Strike(
        probed=accounts,
        lost=_names(accounts),
        allowed=HUNG_MOVE_SECONDS,
        victim=victim.address,
        silent=frozenset({victim.address}),
        reorders=True,
    )
    environment.network.heal(victim.address, *SERVERS)


@asynccontextmanager
async def database_cut(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """A machine is cut off from the database only: it could still poll and send, and must not."""
    victim, accounts = _victim(environment, dice)
    environment.network.cut(victim.address, DATABASE)
    yield Strike(probed=accounts, lost=_names(accounts), victim=victim.address)
    environment.network.heal(victim.address, DATABASE)


@asynccontextmanager
async def database_swallows(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """The same, and nobody is told: what is committed has no answer."""
    victim, accounts = _victim(environment, dice)
    environment.network.swallow(victim.address, DATABASE)
    yield Strike(probed=accounts, lost=_names(accounts), allowed=HUNG_MOVE_SECONDS, victim=victim.address)
    environment.network.heal(victim.address, DATABASE)


@asynccontextmanager
async def broker_cut(environment: ClusterEnvironment, dice: random.Random) -> AsyncIterator[Strike]:
    """A machine is cut off from the broker for a while: its accounts stay, and catch up."""
    victim, accounts = _victim(environment, dice)
    how = dice.choice((environment.network.cut, environment.network.swallow))
    how(victim.address, BROKER)
    await asyncio.sleep(dice.uniform(*CUT_SECONDS))
    environment.network.heal(victim.address, BROKER)
    yield Strike(probed=accounts, victim=victim.address, reorders=True)


BLOWS: dict[str, tuple[Blow, int]] = {
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
"""All blows, and how often each is chosen."""

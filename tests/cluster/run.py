"""One run: a seed says what hits the instances; its outcome says what is wrong."""

from __future__ import annotations

import asyncio
import math
import pickle
import random
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.account import AccountDriver
from tests.chaos.judge import Finding
from tests.chaos.traffic import Traffic
from tests.cluster.blows import BLOWS
from tests.cluster.environment import ClusterEnvironment, RunSize, open_cluster
from tests.cluster.evidence import ClusterBlow, ClusterEvidence
from tests.cluster.judge import judge_cluster, moves
from tests.support.deadlines import allowed

RUN_SECONDS = 900.0
"""A run that takes longer has failed."""
RECOVERY_SECONDS = 60.0
TOLERATED = {
    "tolerated, but: context_token is not the newest",
    "another getupdates of this bot is still open",
}
"""Oddities that come from a message of a moment ago, and what `_polls_at_once` judges with more knowledge."""
EXPECTED = ("TasksStalled", "The database cannot be used")
"""What an instance says after it stood still, or on a machine that is very busy, and while the database is away."""
PAUSE_SECONDS = (0.5, 3.0)
AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a seed says."""

    seed: int
    size: RunSize
    blows: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of a run; `moves` are the seconds of each move by the kind of the blow."""

    plan: Plan
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    blows: list[ClusterBlow] = field(default_factory=list)
    moves: list[tuple[str, list[float]]] = field(default_factory=list)
    joins: list[float] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)
    messages: int = 0
    commands: int = 0
    folder: str = ""


def plan_of(seed: int, size: RunSize, count: int, kinds: Sequence[str] = ()) -> Plan:
    """Returns the plan of a seed; `kinds` limits the blows."""
    dice = random.Random(seed)
    weights = {kind: weight for kind, (_, weight) in BLOWS.items() if not kinds or kind in kinds}
    blows = dice.choices([*weights], [*weights.values()], k=count)
    return Plan(seed=seed, size=size, blows=tuple(blows))


def run(plan: Plan, keep: Path | None = None) -> Outcome:
    """Runs a plan. The files of a run with findings go to `keep`."""
    folder = Path(tempfile.mkdtemp(prefix="cluster-"))
    outcome = Outcome(plan=plan)
    began = time.monotonic()
    try:
        asyncio.run(_bounded(plan, folder, outcome))
    except Exception:  # noqa: BLE001 - a run that fails is an outcome
        outcome.findings.append(Finding("run", traceback.format_exc(limit=12)))
    outcome.seconds = time.monotonic() - began
    if outcome.findings and keep is not None:
        target = keep / str(plan.seed)
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(folder, target)
        (target / "findings").write_text("\n".join(f"{one.kind}: {one.text}" for one in outcome.findings))
        outcome.folder = str(target)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


async def _bounded(plan: Plan, folder: Path, outcome: Outcome) -> None:
    own_task = asyncio.current_task()
    assert own_task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, own_task.cancel)
    async with asyncio.timeout(RUN_SECONDS):
        async with open_cluster(folder, plan.seed, plan.size) as environment:
            evidence = await _carry_out(plan, environment, outcome)
            for instance in environment.running():
                code = await instance.stop()
                if code != 0:
                    environment.wrong.append(f"{instance.name} ended with {code} at SIGTERM")
    (folder / "evidence").write_bytes(pickle.dumps(evidence))
    outcome.findings += judge_cluster(evidence, allowed(1.0))
    outcome.findings += [Finding("process", text) for text in environment.wrong]
    outcome.findings += _log_findings(environment)
    outcome.moves = [(blow.kind, [*seconds.values()]) for blow, seconds in moves(evidence)]
    outcome.joins = environment.joins
    outcome.exits = [code for instance in environment.instances for code in instance.exits]
    outcome.messages = sum(len(account.message_ids) for account in environment.accounts)
    outcome.commands = sum(len(account.commands) for account in environment.accounts)


async def _carry_out(plan: Plan, environment: ClusterEnvironment, outcome: Outcome) -> ClusterEvidence:
    dice = random.Random(plan.seed + 1)
    traffic = Traffic(environment, random.Random(plan.seed + 2), plan.size.pace)
    await environment.log_in()
    async with traffic.running():
        for kind in plan.blows:
            await asyncio.sleep(dice.uniform(*PAUSE_SECONDS))
            outcome.blows.append(await _inflict(kind, environment, dice, traffic))
        await _recovery(environment.accounts, environment, traffic, time.monotonic(), "the last blow")
    await environment.drain()
    await environment.settle()
    for account in environment.accounts:
        for violation in await account.control.get("violations"):
            if violation["what"] not in TOLERATED:
                outcome.findings.append(Finding("violation", f"{account.name}: {violation}"))
    return await environment.evidence(outcome.blows)


async def _inflict(
    kind: str, environment: ClusterEnvironment, dice: random.Random, traffic: Traffic
) -> ClusterBlow:
    began = time.monotonic()
    counts = {account.name: len(account.commands) for account in environment.accounts}
    unanswered = [command for account in environment.accounts for command in account.unanswered()]
    async with BLOWS[kind][0](environment, dice) as strike:
        recovery = await _recovery(strike.probed, environment, traffic, strike.since, kind)
    if strike.reorders:
        later = [one for account in environment.accounts for one in account.commands[counts[account.name] :]]
        for command in (*unanswered, *later):
            command.given_again = True
    return ClusterBlow(
        kind=kind,
        began=began,
        ended=time.monotonic(),
        since=strike.since,
        allowed=strike.allowed,
        victim=strike.victim,
        silent=strike.silent,
        lost=strike.lost,
        barred=strike.barred,
        dark=strike.dark,
        reload_told=strike.reload_told,
        recovery=recovery,
    )


async def _recovery(
    accounts: Sequence[AccountDriver],
    environment: ClusterEnvironment,
    traffic: Traffic,
    since: float,
    kind: str,
) -> dict[str, list[float]]:
    """Returns the seconds until a message and a command have come through, for each account."""
    limit = allowed(RECOVERY_SECONDS)

    async def message(account: AccountDriver) -> float:
        begun = time.monotonic()
        texts: set[str] = set()

        def is_through() -> bool:
            return not texts.isdisjoint(account.texts)

        while not is_through() and time.monotonic() < begun + limit:
            texts.add(text := f"probe {time.monotonic():.6f}")
            await account.say(account.writers[0], text)
            # WeCom keeps nothing for a bot without a connection, so people say it again.
            await environment.wait(is_through, AGAIN_SECONDS if account.backend == "wecom" else limit)
        return await until(account, is_through, "message")

    async def command(account: AccountDriver) -> float:
        given = await traffic.plain_command(account)
        return await until(account, lambda: given.id in account.results, "result")

    async def until(account: AccountDriver, is_well: Callable[[], bool], name: str) -> float:
        if await environment.wait(is_well, limit):
            return time.monotonic() - since
        environment.wrong.append(f"{account.name}: no {name} within {limit:.0f} s after {kind}")
        return math.inf

    seconds = await asyncio.gather(*(message(one) for one in accounts), *(command(one) for one in accounts))
    return {"message": seconds[: len(accounts)], "command": seconds[len(accounts) :]}


def _log_findings(environment: ClusterEnvironment) -> list[Finding]:
    """Returns what an instance itself took for a fault of its own."""
    findings = []
    for instance in environment.instances:
        text = instance.log.read_text(errors="replace") if instance.log.exists() else ""
        lines = [
            line
            for line in text.splitlines()
            if ('"exception"' in line or "Traceback" in line) and not any(one in line for one in EXPECTED)
        ]
        findings += [Finding("log", f"{instance.name}: {line[:600]}") for line in lines[:3]]
    return findings

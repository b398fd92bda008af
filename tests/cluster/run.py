"""One run: its seed determines the disruptions; its outcome has the broken promises."""

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
from tests.cluster.disruptions import DISRUPTIONS
from tests.cluster.environment import ClusterEnvironment, RunSize, open_cluster
from tests.cluster.evidence import ClusterDisruption, ClusterEvidence
from tests.cluster.judge import judge_cluster, moves
from tests.support.deadlines import allowed

RUN_SECONDS = 900.0
"""A run that takes longer has failed."""
RECOVERY_SECONDS = 60.0
TOLERATED = {
    "tolerated, but: context_token is not the newest",
    "another getupdates of this bot is still open",
}
"""Violations that a message of a moment ago causes, and one that `_polls_at_once` judges with more knowledge."""
EXPECTED = ("TasksStalled", "The database cannot be used")
"""Log events of an instance after it was stopped, on a busy machine, and while the database is away."""
PAUSE_SECONDS = (0.5, 3.0)
AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a seed determines."""

    seed: int
    size: RunSize
    disruptions: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The outcome of a run; `moves` are the seconds of each move by the kind of the disruption."""

    plan: Plan
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    disruptions: list[ClusterDisruption] = field(default_factory=list)
    moves: list[tuple[str, list[float]]] = field(default_factory=list)
    joins: list[float] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)
    messages: int = 0
    commands: int = 0
    folder: str = ""


def plan_of(seed: int, size: RunSize, count: int, kinds: Sequence[str] = ()) -> Plan:
    """Returns the plan of a seed; `kinds` limits the disruptions."""
    rng = random.Random(seed)
    weights = {kind: weight for kind, (_, weight) in DISRUPTIONS.items() if not kinds or kind in kinds}
    disruptions = rng.choices([*weights], [*weights.values()], k=count)
    return Plan(seed=seed, size=size, disruptions=tuple(disruptions))


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
        (target / "findings").write_text(
            "\n".join(f"{finding.kind}: {finding.text}" for finding in outcome.findings)
        )
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
                    environment.problems.append(f"{instance.name} ended with {code} at SIGTERM")
    (folder / "evidence").write_bytes(pickle.dumps(evidence))
    outcome.findings += judge_cluster(evidence, allowed(1.0))
    outcome.findings += [Finding("process", text) for text in environment.problems]
    outcome.findings += _log_findings(environment)
    outcome.moves = [(disruption.kind, [*seconds.values()]) for disruption, seconds in moves(evidence)]
    outcome.joins = environment.joins
    outcome.exits = [code for instance in environment.instances for code in instance.exits]
    outcome.messages = sum(len(account.message_ids) for account in environment.accounts)
    outcome.commands = sum(len(account.commands) for account in environment.accounts)


async def _carry_out(plan: Plan, environment: ClusterEnvironment, outcome: Outcome) -> ClusterEvidence:
    rng = random.Random(plan.seed + 1)
    traffic = Traffic(environment, random.Random(plan.seed + 2), plan.size.pace)
    await environment.log_in()
    async with traffic.running():
        for kind in plan.disruptions:
            await asyncio.sleep(rng.uniform(*PAUSE_SECONDS))
            outcome.disruptions.append(await _disrupt(kind, environment, rng, traffic))
        await _recovery(environment.accounts, environment, traffic, time.monotonic(), "the last disruption")
    await environment.drain()
    await environment.settle()
    for account in environment.accounts:
        for violation in await account.control.get("violations"):
            if violation["what"] not in TOLERATED:
                outcome.findings.append(Finding("violation", f"{account.name}: {violation}"))
    return await environment.evidence(outcome.disruptions)


async def _disrupt(
    kind: str, environment: ClusterEnvironment, rng: random.Random, traffic: Traffic
) -> ClusterDisruption:
    began = time.monotonic()
    counts = {account.name: len(account.commands) for account in environment.accounts}
    unanswered = [command for account in environment.accounts for command in account.unanswered()]
    async with DISRUPTIONS[kind][0](environment, rng) as effect:
        recovery = await _recovery(effect.measured, environment, traffic, effect.since, kind)
    if effect.reorders:
        later = [
            command
            for account in environment.accounts
            for command in account.commands[counts[account.name] :]
        ]
        for command in (*unanswered, *later):
            command.published_again = True
    return ClusterDisruption(
        kind=kind,
        began=began,
        ended=time.monotonic(),
        since=effect.since,
        allowed=effect.allowed,
        target=effect.target,
        unreachable=effect.unreachable,
        lost=effect.lost,
        machines_with_wrong_key=effect.machines_with_wrong_key,
        database_outage=effect.database_outage,
        reload_reported=effect.reload_reported,
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
            # WeCom keeps no message for a bot without a connection, so people write it again.
            await environment.wait(is_through, AGAIN_SECONDS if account.backend == "wecom" else limit)
        return await until(account, is_through, "message")

    async def command(account: AccountDriver) -> float:
        given = await traffic.plain_command(account)
        return await until(account, lambda: given.id in account.results, "result")

    async def until(account: AccountDriver, is_well: Callable[[], bool], name: str) -> float:
        if await environment.wait(is_well, limit):
            return time.monotonic() - since
        environment.problems.append(f"{account.name}: no {name} within {limit:.0f} s after {kind}")
        return math.inf

    seconds = await asyncio.gather(
        *(message(account) for account in accounts), *(command(account) for account in accounts)
    )
    return {"message": seconds[: len(accounts)], "command": seconds[len(accounts) :]}


def _log_findings(environment: ClusterEnvironment) -> list[Finding]:
    """Returns the internal errors in the logs of the instances."""
    findings = []
    for instance in environment.instances:
        text = instance.log.read_text(errors="replace") if instance.log.exists() else ""
        lines = [
            line
            for line in text.splitlines()
            if ('"exception"' in line or "Traceback" in line) and not any(event in line for event in EXPECTED)
        ]
        findings += [Finding("log", f"{instance.name}: {line[:600]}") for line in lines[:3]]
    return findings

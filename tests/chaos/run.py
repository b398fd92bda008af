"""One run: its seed determines accounts and disruptions; its outcome has the broken promises."""

from __future__ import annotations

import asyncio
import math
import pickle
import random
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.chaos.account import AccountDriver
from tests.chaos.changes import Changes
from tests.chaos.disruptions import DISRUPTIONS
from tests.chaos.environment import Environment, open_environment
from tests.chaos.evidence import AccountEvidence, DisruptionRecord
from tests.chaos.faults import FAULTS
from tests.chaos.judge import Finding, judge, repeats_by_kind
from tests.chaos.questions import Questions
from tests.chaos.traffic import Traffic

RUN_SECONDS = 240.0
"""A run that takes longer has failed."""
FAULT_SEEDS = 8
"""The number of seeds that are tried until the judge finds a planted fault."""
TOLERATED = {"tolerated, but: context_token is not the newest"}
"""Violations of a client that a message of a moment ago causes."""
PROBE_SECONDS = 0.2
"""Time between two probes of the recovery."""
MIN_MESSAGES, MIN_COMMANDS = 11, 6
"""The least of each account in a run: the traffic goes on for them when all disruptions were short."""
TRAFFIC_SECONDS = 30.0
"""The longest time that the traffic goes on for them; an account of WeCom takes 6 commands in 5 seconds."""
AGAIN_SECONDS = 0.5
"""After this time a command is published again to a broker that may have lost it."""

ACCOUNT_SETS = (
    *(("home",), ("home",), ("bot",), ("home", "bot"), ("home", "bot"), ("home", "bot", "office")),
    *(("desk",), ("team",), ("team",), ("home", "team"), ("bot", "desk")),
)
PROTOCOLS = ("auto", "auto", "5", "3.1.1")
DISRUPTION_COUNTS = (2, 3, 3, 4)
DOUBLE_SHARE = 0.15
"""The share of disruptions with a second one at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a seed determines."""

    seed: int
    accounts: tuple[str, ...]
    protocol: str
    disruptions: tuple[tuple[str, ...], ...]


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The outcome of a run; `messages` and `commands` are counts."""

    plan: Plan
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    disruptions: list[DisruptionRecord] = field(default_factory=list)
    repeats: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    commands: int = 0
    folder: str = ""

    def slowest(self) -> float:
        """Returns the longest recovery after a single disruption, in seconds."""
        return max(
            (max(disruption.recovery.values()) for disruption in self.disruptions if disruption.single),
            default=0.0,
        )


def plan_of(seed: int, kinds: Sequence[str] = ()) -> Plan:
    """Returns the plan of a seed; `kinds` limits the disruptions."""
    rng = random.Random(seed)
    weights = {kind: weight for kind, (_, weight) in DISRUPTIONS.items() if not kinds or kind in kinds}

    def choose() -> str:
        return rng.choices([*weights], [*weights.values()])[0]

    disruptions = tuple(
        (choose(), choose()) if rng.random() < DOUBLE_SHARE and not kinds else (choose(),)
        for _ in range(rng.choice(DISRUPTION_COUNTS))
    )
    return Plan(
        seed=seed, accounts=rng.choice(ACCOUNT_SETS), protocol=rng.choice(PROTOCOLS), disruptions=disruptions
    )


def find_fault(first: int, name: str) -> Outcome | None:
    """Returns the first run in which the judge finds a planted fault; None when it does not."""
    for seed in range(first, first + FAULT_SEEDS):
        plan = plan_of(seed, FAULTS[name].disruptions)
        if FAULTS[name].accounts:
            plan = replace(plan, accounts=FAULTS[name].accounts)
        outcome = run(plan, fault=name)
        outcome.findings = [finding for finding in outcome.findings if finding.kind == FAULTS[name].finding]
        if outcome.findings:
            return outcome
    return None


def run(plan: Plan, fault: str = "", keep: Path | None = None, slow_seconds: float = math.inf) -> Outcome:
    """Runs a plan, with a planted fault if one is named.

    The files of a run with findings, or with a recovery of more than `slow_seconds`, go to `keep`.
    """
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    outcome = Outcome(plan=plan)
    began = time.monotonic()
    try:
        asyncio.run(_bounded(plan, folder, fault, outcome))
    except Exception:  # noqa: BLE001 - a run that fails is an outcome
        outcome.findings.append(Finding("run", traceback.format_exc(limit=12)))
    outcome.seconds = time.monotonic() - began
    if (outcome.findings or outcome.slowest() > slow_seconds) and keep is not None:
        target = keep / f"{plan.seed}{'-' if fault else ''}{fault}"
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(folder, target)
        (target / "findings").write_text(
            "\n".join(f"{finding.kind}: {finding.text}" for finding in outcome.findings)
        )
        outcome.folder = str(target)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


async def _bounded(plan: Plan, folder: Path, fault: str, outcome: Outcome) -> None:
    async with asyncio.timeout(RUN_SECONDS):
        async with open_environment(folder, plan.seed, plan.accounts, plan.protocol, fault) as environment:
            evidence = await _carry_out(plan, environment, outcome)
            await environment.stop()
            (folder / "evidence").write_bytes(pickle.dumps((evidence, outcome.disruptions)))
            outcome.findings += judge(evidence, outcome.disruptions)
            outcome.findings += [Finding("process", text) for text in environment.problems]
            outcome.findings += _log_findings(environment)
            outcome.repeats = repeats_by_kind(evidence, outcome.disruptions)
            outcome.messages = sum(len(account.message_ids) for account in environment.accounts)
            outcome.commands = sum(len(account.commands) for account in environment.accounts)


async def _carry_out(plan: Plan, environment: Environment, outcome: Outcome) -> list[AccountEvidence]:
    rng = random.Random(plan.seed + 1)
    traffic = Traffic(environment, random.Random(plan.seed + 2))
    changes = Changes(environment.accounts, random.Random(plan.seed + 3))
    questions = Questions(environment, random.Random(plan.seed + 4))
    environment.provocations = (traffic.provoke, changes.provoke)
    environment.repeated_actions.append(questions.remind)
    await environment.log_in()
    async with traffic.running(), changes.running(), questions.running():
        for kinds in plan.disruptions:
            await asyncio.sleep(rng.uniform(0.1, 0.4))
            outcome.disruptions.append(await _disrupt(kinds, environment, rng, traffic))
        await environment.wait(lambda: _has_traffic(environment), TRAFFIC_SECONDS)
    await environment.drain()
    for control in environment.controls:
        for violation in await control.get("violations"):
            if violation["what"] in TOLERATED:
                continue
            outcome.findings.append(Finding("violation", str(violation)))
    return await environment.evidence()


def _has_traffic(environment: Environment) -> bool:
    return all(
        len(account.message_ids) >= MIN_MESSAGES and len(account.commands) >= MIN_COMMANDS
        for account in environment.accounts
    )


async def _disrupt(
    kinds: tuple[str, ...], environment: Environment, rng: random.Random, traffic: Traffic
) -> DisruptionRecord:
    began = time.monotonic()
    for kind in kinds[1:]:
        await DISRUPTIONS[kind][0](environment, rng)
    await DISRUPTIONS[kinds[0]][0](environment, rng)
    ended = time.monotonic()
    recoveries = await asyncio.gather(
        *(_recovery(account, environment, traffic, ended) for account in environment.accounts)
    )
    worst = {name: max(recovery[name] for recovery in recoveries) for name in recoveries[0]}
    for name, seconds in worst.items():
        if seconds == math.inf:
            environment.problems.append(f"no {name} within the time after {' and '.join(kinds)}")
    return DisruptionRecord(
        kind=kinds[0] if len(kinds) == 1 else "two at once",
        began=began,
        ended=ended,
        single=len(kinds) == 1,
        recovery=worst,
    )


async def _recovery(
    account: AccountDriver, environment: Environment, traffic: Traffic, since: float
) -> dict[str, float]:
    """Returns the seconds until the next message and the next command have come through."""

    async def message() -> float:
        probes: set[str] = set()
        while (seconds := time.monotonic() - since) < account.recovery_seconds:
            text = f"probe {account.name} {seconds:.6f}"
            if await account.say(account.writers[0], text):
                probes.add(text)
            if await environment.wait(lambda: not probes.isdisjoint(account.texts), PROBE_SECONDS):
                return time.monotonic() - since
        return math.inf

    async def command() -> float:
        given = await traffic.plain_command(account)
        until = since + account.recovery_seconds
        while (
            not await environment.wait(lambda: given.id in account.results, AGAIN_SECONDS)
            and time.monotonic() < until
        ):
            if environment.broker_forgot:  # it may have come before the bridge had subscribed again
                await account.publish_again(given)
                await _ask_for_forgotten_login(account)
        return time.monotonic() - since if given.id in account.results else math.inf

    message_seconds, command_seconds = await asyncio.gather(message(), command())
    return {"message": message_seconds, "command": command_seconds}


async def _ask_for_forgotten_login(account: AccountDriver) -> None:
    """Requests a login again: a broker with an older state delivers a logout again, and has lost the login after it."""
    if account.state == "logged_out":
        await account.ask("login", {"transaction": f"login {time.monotonic()}"})


def _log_findings(environment: Environment) -> list[Finding]:
    """Returns the internal errors in the log of the bridge."""
    text = environment.log.read_text(errors="replace") if environment.log.exists() else ""
    lines = [line for line in text.splitlines() if '"exception"' in line or "Traceback" in line]
    return [Finding("log", line[:600]) for line in lines[:5]]

"""`make soak HOURS=1`: runs the bridge under traffic for hours, and checks whether a figure grows.

Prints a sample each 30 s, and at the end the slope of each figure with a verdict. Exit code 0: no figure grows.
`--samples FILE` writes the samples, `--judge FILE` judges samples that were written before.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.soak.environment import SoakEnvironment, open_environment
from tests.soak.figures import SPEED, Sample, judge, parse_samples, render
from tests.soak.traffic import Traffic
from tests.soak.traffic_record import TrafficRecord, poll_until

INTERVAL_SECONDS = 30.0
DRAIN_SECONDS = 180.0  # for messages and commands that are not finished when the traffic ends

Write = Callable[[str], None]


class ProcessSampler:
    """Takes samples of the bridge process."""

    def __init__(self, environment: SoakEnvironment, record: TrafficRecord) -> None:
        self._process = psutil.Process(environment.bridge.pid)
        self._store = environment.bridge.store
        self._record = record
        self._began = time.monotonic()
        self._process.cpu_percent()

    def sample(self) -> Sample:
        media = _size_mb(self._store / "media")
        with self._process.oneshot():
            return Sample(
                seconds=round(time.monotonic() - self._began, 1),
                memory_mb=self._process.memory_info().rss / 1e6,
                descriptors=self._process.num_fds(),
                threads=self._process.num_threads(),
                database_mb=_size_mb(self._store) - media,
                media_mb=media,
                cpu_percent=self._process.cpu_percent(),
                message_ms=self._record.take_latency("message"),
                command_ms=self._record.take_latency("command"),
                machine_ms=self._record.take_latency("machine"),
            )


def _size_mb(folder: Path) -> float:
    """Returns the size of all files below; files that are removed meanwhile do not count."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += (Path(path) / name).lstat().st_size
    return total / 1e6


async def soak(folder: Path, hours: float, seed: int, wecom_bots: int, write_sample: Write) -> bool:
    """Returns whether nothing was lost and no figure grows."""
    record = TrafficRecord()
    samples: list[Sample] = []
    async with open_environment(folder, record.received, wecom_bots=wecom_bots) as environment:
        traffic = Traffic(environment, record, seed)
        await traffic.log_in()
        await _run_traffic(traffic, ProcessSampler(environment, record), hours * 3600, samples, write_sample)
        missing = await _drain(traffic, record)
        violations = await environment.control.get("violations")
        code = await asyncio.to_thread(environment.bridge.stop)
        log = environment.bridge.log
    verdicts = judge(samples)
    print(f"\n{hours:g} hours at {SPEED} times the usual traffic, seed {seed}, {len(samples)} samples\n")
    print(render(verdicts))
    print("\n" + "\n".join(f"{count:>9,} {what}" for what, count in sorted(record.counts.items())))
    print("\nwarnings in the bridge's log:\n" + _summary(log))
    print(f"\nmissing: {missing}; violations: {violations[:5]}; exit code of the bridge: {code}")
    is_whole = not any(missing.values()) and not violations and code == 0
    return is_whole and all(verdict.is_within_bound for verdict in verdicts)


async def _run_traffic(
    traffic: Traffic, sampler: ProcessSampler, seconds: float, samples: list[Sample], write_sample: Write
) -> None:
    running = asyncio.create_task(traffic.run())
    ends = time.monotonic() + seconds
    try:
        while time.monotonic() < ends:
            done, _ = await asyncio.wait({running}, timeout=INTERVAL_SECONDS)
            if done:
                running.result()
            samples.append(await asyncio.to_thread(sampler.sample))
            write_sample(samples[-1].to_json())
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def _drain(traffic: Traffic, record: TrafficRecord) -> dict[str, int]:
    """Waits for all messages and results; returns the counts of those that are missing."""
    with contextlib.suppress(TimeoutError):
        await traffic.log_in()
        await poll_until(lambda: not any(record.missing.values()), DRAIN_SECONDS)
    return record.missing


def _summary(log: list[str]) -> str:
    events: Counter[str] = Counter()
    for line in log:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = {"level": "none", "event": line}
        events[f"{entry['level']}: {entry['event']}"] += 1
    return "\n".join(f"{count:>9,} {what}" for what, count in events.most_common(40))


def _judge_file(file: Path) -> bool:
    verdicts = judge(parse_samples(file.read_text()))
    print(render(verdicts))
    return all(verdict.is_within_bound for verdict in verdicts)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--wecom-bots", type=int, default=1, help="bots of WeCom")
    parser.add_argument("--samples", type=Path, help="writes one sample a line")
    parser.add_argument("--judge", type=Path, help="runs nothing, judges these samples")
    options = parser.parse_args()
    if options.judge is not None:
        return 0 if _judge_file(options.judge) else 1
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(options.samples.open("w")) if options.samples else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wx2mqtt-soak-")))

        def write_sample(line: str) -> None:
            print(line, flush=True)
            if file is not None:
                print(line, file=file, flush=True)

        is_within_bound = asyncio.run(
            soak(folder, options.hours, options.seed, options.wecom_bots, write_sample)
        )
    print("\nwell" if is_within_bound else "\nNOT well")
    return 0 if is_within_bound else 1


if __name__ == "__main__":
    sys.exit(main())

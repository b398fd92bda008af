"""Finds the promises that a run of several instances has broken, from its evidence alone. Pure; imports nothing of the bridge.

The judge of `tests/chaos` checks messages and their order; this one adds which instance called and was connected.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tests.chaos.evidence import AccountEvidence, DisruptionRecord
from tests.chaos.judge import Finding, judge
from tests.cluster.evidence import Call, ClusterDisruption, ClusterEvidence, Session

POLLS = frozenset({"getupdates", "synccheck"})
SCANS = frozenset({"get_bot_qrcode", "jslogin", "qc_generate"})
ANNOUNCEMENT = "notifystart"
"""The call with which iLink learns that a program begins to serve an account."""
SETTLED_SECONDS = 0.5
"""This time after its connection to the broker an instance is certainly the only one."""
LEASE_SECONDS = 7.0
"""The time after its last commit in which an instance may still act."""
KILLS = frozenset({"kill", "kill, start", "kill at a commit"})


def judge_cluster(evidence: ClusterEvidence, stretch: float = 1.0) -> list[Finding]:
    """Returns all broken promises. `stretch` lengthens the allowed time of moves on a busy machine."""
    calls: defaultdict[str, list[Call]] = defaultdict(list)
    for call in sorted(evidence.calls, key=lambda call: call.began):
        calls[call.account].append(call)
    sessions: defaultdict[str, list[Session]] = defaultdict(list)
    for session in sorted(evidence.sessions, key=lambda session: session.began):
        sessions[session.client_id.rpartition("-")[2]].append(session)
    findings = [*_traffic(evidence), *_states(evidence, calls)]
    for account, own in calls.items():
        of_account = (
            *_polls_at_once(own, evidence.disruptions),
            *_foreign_calls(own),
            *_calls_beside_a_session(own, sessions[account], evidence.disruptions),
            *_scans(own, evidence.logged_in),
        )
        findings += [Finding(finding.kind, f"{account}: {finding.text}") for finding in of_account]
    findings += _clients_at_once(evidence.sessions, evidence.disruptions)
    findings += _slow_moves(evidence, stretch)
    findings += _served_with_wrong_key(evidence)
    findings += _served_without_database(evidence, stretch)
    findings += _unreported_reloads(evidence)
    return findings


def _traffic(evidence: ClusterEvidence) -> Iterator[Finding]:
    """Yields what the judge of single instances finds.

    An order is wrong if every observer saw it: the queue of one may have changed it when its node was killed.
    """
    kills = [
        DisruptionRecord(kind="kill", began=disruption.since, ended=disruption.ended, single=True)
        if disruption.kind in KILLS
        else DisruptionRecord(kind="other", began=disruption.since, ended=disruption.ended, single=True)
        for disruption in evidence.disruptions
    ]
    counts: Counter[Finding] = Counter()
    for accounts in evidence.accounts:
        counts.update(set(judge(map(_with_flagged_repeats, accounts), kills)))
    for finding, count in counts.items():
        if finding.kind != "order" or count == len(evidence.accounts):
            yield finding


def _with_flagged_repeats(account: AccountEvidence) -> AccountEvidence:
    """Returns the evidence in which commands without an id may have arrived twice if their results say so.

    RabbitMQ delivers a command again with another packet id when a session moves: without an id it is another command.
    """
    flagged = {reply.correlation for reply in account.replies if reply.body.get("duplicate_possible")}
    return replace(
        account,
        commands=[
            replace(
                command, may_repeat=command.may_repeat or (not command.id and command.correlation in flagged)
            )
            for command in account.commands
        ],
    )


def _states(evidence: ClusterEvidence, calls: dict[str, list[Call]]) -> Iterator[Finding]:
    """At the end the last states of every observer say that each account is online, and on which instance."""
    for observer, states in evidence.states.items():
        for account, (state, instance) in states.items():
            if state != "online":
                yield Finding("state", f"{account}: bridge/state ends {state!r} for {observer}")
            machine = evidence.machines.get(instance, "")
            if evidence.machines and calls.get(account) and calls[account][-1].machine != machine:
                yield Finding("state", f"{account}: bridge/info ends with {instance!r} for {observer}")


def _is_excused(machine: str, began: float, now: float, disruptions: Iterable[ClusterDisruption]) -> bool:
    """Returns whether a machine could not end what it began, or had not noticed the disruption yet.

    A connection without traffic stays open when the lease is over: nothing goes out on it any more.
    """
    return any(
        began < (disruption.ended if machine in disruption.unreachable else disruption.began)
        and disruption.began < now
        for disruption in disruptions
        if machine in disruption.unreachable or (machine == disruption.target and now < disruption.ended)
    )


def _polls_at_once(calls: Sequence[Call], disruptions: Sequence[ClusterDisruption]) -> Iterator[Finding]:
    """Two instances never poll for an account at the same time."""
    open_polls: list[Call] = []
    for call in calls:
        if call.name not in POLLS:
            continue
        open_polls = [poll for poll in open_polls if poll.ended > call.began]
        for poll in open_polls:
            if poll.machine != call.machine and not _is_excused(
                poll.machine, poll.began, call.began, disruptions
            ):
                yield Finding(
                    "two owners",
                    f"{call.machine} asks at {call.began:.3f} while {poll.machine} does since {poll.began:.3f}",
                )
        open_polls.append(call)


def _foreign_calls(calls: Sequence[Call]) -> Iterator[Finding]:
    """Only the machine that announced itself last calls WeChat."""
    owner = ""
    for call in calls:
        if call.name == ANNOUNCEMENT:
            owner = call.machine
        elif owner and call.machine != owner:
            yield Finding(
                "two owners", f"{call.machine} calls {call.name} at {call.began:.3f}, and {owner} serves it"
            )


def _calls_beside_a_session(
    calls: Sequence[Call], sessions: Sequence[Session], disruptions: Sequence[ClusterDisruption]
) -> Iterator[Finding]:
    """The same for accounts without announcements: only the machine that is connected to the broker calls WeChat."""
    begins = [session.began for session in sessions]
    for call in calls:
        index = bisect.bisect_right(begins, call.began - SETTLED_SECONDS)
        newest = sessions[index - 1] if index else None
        if newest is None or newest.machine == call.machine or newest.ended <= call.began:
            continue
        if not _is_excused(newest.machine, newest.began, call.began, disruptions):
            yield Finding(
                "two owners",
                f"{call.machine} calls {call.name} at {call.began:.3f}, and {newest.machine} is connected since {newest.began:.3f}",
            )


def _clients_at_once(
    sessions: Sequence[Session], disruptions: Sequence[ClusterDisruption]
) -> Iterator[Finding]:
    """No instance connects with the client id of an account that another instance has connected."""
    open_sessions: defaultdict[str, list[Session]] = defaultdict(list)
    for session in sorted(sessions, key=lambda session: session.began):
        others = [earlier for earlier in open_sessions[session.client_id] if earlier.ended > session.began]
        for other in others:
            if other.machine != session.machine and not _is_excused(
                other.machine, other.began, session.began, disruptions
            ):
                yield Finding(
                    "two clients",
                    f"{session.client_id}: {session.machine} connects at {session.began:.3f} while {other.machine} is connected",
                )
        open_sessions[session.client_id] = [*others, session]


def _scans(calls: Sequence[Call], logged_in: float) -> Iterator[Finding]:
    for call in calls:
        if call.name in SCANS and call.began > logged_in:
            yield Finding("scan", f"{call.machine} asks for a code at {call.began:.3f}")


def moves(evidence: ClusterEvidence) -> list[tuple[ClusterDisruption, dict[str, float]]]:
    """Returns, for each disruption, the seconds until each account that it hit was served again; infinite if never."""
    calls: defaultdict[str, list[Call]] = defaultdict(list)
    for call in sorted(evidence.calls, key=lambda call: call.began):
        calls[call.account].append(call)
    return [
        (
            disruption,
            {account: _seconds_to_next_call(calls[account], disruption) for account in disruption.lost},
        )
        for disruption in evidence.disruptions
    ]


def _seconds_to_next_call(calls: Sequence[Call], disruption: ClusterDisruption) -> float:
    first = bisect.bisect_left(calls, disruption.since, key=lambda call: call.began)
    served = (
        call for call in calls[first:] if call.machine != disruption.target or call.began > disruption.ended
    )
    return next((call.began - disruption.since for call in served), float("inf"))


def _served_with_wrong_key(evidence: ClusterEvidence) -> Iterator[Finding]:
    """An instance with another key than the database serves no account."""
    for disruption in evidence.disruptions:
        for call in evidence.calls:
            if (
                call.machine in disruption.machines_with_wrong_key
                and disruption.began <= call.began <= disruption.ended
            ):
                text = f"{call.machine} calls {call.name} for {call.account} at {call.began:.3f} with another key"
                yield Finding("key", text)
        for session in evidence.sessions:
            if (
                session.machine in disruption.machines_with_wrong_key
                and disruption.began <= session.began <= disruption.ended
            ):
                text = f"{session.machine} connects as {session.client_id} at {session.began:.3f} with another key"
                yield Finding("key", text)


def _served_without_database(evidence: ClusterEvidence, stretch: float) -> Iterator[Finding]:
    """Without a database no instance begins anything: one that cannot commit owns no account."""
    for disruption in evidence.disruptions:
        begin, end = disruption.database_outage[0] + LEASE_SECONDS * stretch, disruption.database_outage[1]
        for call in evidence.calls:
            if begin <= call.began < end:
                text = f"{call.machine} calls {call.name} for {call.account} at {call.began:.3f} without a database"
                yield Finding("database", text)
        for session in evidence.sessions:
            if begin <= session.began < end or (session.began < begin < end < session.ended):
                text = f"{session.client_id} of {session.machine} is connected without a database"
                yield Finding("database", text)


def _unreported_reloads(evidence: ClusterEvidence) -> Iterator[Finding]:
    for disruption in evidence.disruptions:
        if disruption.reload_reported is not None and disruption.reload_reported != (True, False):
            during, after = disruption.reload_reported
            yield Finding("reload", f"a refused file is reported: {during}; after it was mended: {after}")


def _slow_moves(evidence: ClusterEvidence, stretch: float) -> Iterator[Finding]:
    for disruption, seconds in moves(evidence):
        slow = {name: one for name, one in seconds.items() if one > disruption.allowed * stretch}
        if slow:
            name, worst = max(slow.items(), key=lambda item: item[1])
            yield Finding("move", f"{len(slow)} accounts after {disruption.kind}: {name} took {worst:.1f} s")

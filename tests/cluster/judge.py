"""Says which promises a run of several instances has broken, from its evidence alone. Pure; knows nothing of the bridge.

What came and in which order is the judge's of `tests/chaos`; this one adds who asked, who was connected, and when.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tests.chaos.evidence import AccountEvidence, BlowRecord
from tests.chaos.judge import Finding, judge
from tests.cluster.evidence import Call, ClusterBlow, ClusterEvidence, Session

POLLS = frozenset({"getupdates", "synccheck"})
SCANS = frozenset({"get_bot_qrcode", "jslogin", "qc_generate"})
ANNOUNCEMENT = "notifystart"
"""The call with which iLink learns that a program begins to serve an account."""
SETTLED_SECONDS = 0.5
"""So long after its connection to the broker an instance is certainly the only one."""
LEASE_SECONDS = 7.0
"""So long after its last commit an instance may still act."""
KILLS = frozenset({"kill", "kill, start", "kill at a commit"})


def judge_cluster(evidence: ClusterEvidence, stretch: float = 1.0) -> list[Finding]:
    """Returns everything that is wrong. `stretch` lengthens what is allowed to moves on a busy machine."""
    calls: defaultdict[str, list[Call]] = defaultdict(list)
    for call in sorted(evidence.calls, key=lambda call: call.began):
        calls[call.account].append(call)
    sessions: defaultdict[str, list[Session]] = defaultdict(list)
    for session in sorted(evidence.sessions, key=lambda session: session.began):
        sessions[session.client_id.rpartition("-")[2]].append(session)
    findings = [*_traffic(evidence), *_states(evidence, calls)]
    for account, own in calls.items():
        of_account = (
            *_polls_at_once(own, evidence.blows),
            *_foreign_calls(own),
            *_calls_beside_a_session(own, sessions[account], evidence.blows),
            *_scans(own, evidence.logged_in),
        )
        findings += [Finding(finding.kind, f"{account}: {finding.text}") for finding in of_account]
    findings += _clients_at_once(evidence.sessions, evidence.blows)
    findings += _slow_moves(evidence, stretch)
    findings += _served_by_barred(evidence)
    findings += _served_in_the_dark(evidence, stretch)
    findings += _untold_reloads(evidence)
    return findings


def _traffic(evidence: ClusterEvidence) -> Iterator[Finding]:
    """Returns what the judge of single instances finds.

    An order is wrong if every observer saw it: the queue of one may have changed it when its node was killed.
    """
    kills = [
        BlowRecord(kind="kill", began=blow.since, ended=blow.ended, single=True)
        if blow.kind in KILLS
        else BlowRecord(kind="other", began=blow.since, ended=blow.ended, single=True)
        for blow in evidence.blows
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
    """In the end every observer has read that the account is online, and where."""
    for observer, states in evidence.states.items():
        for account, (state, instance) in states.items():
            if state != "online":
                yield Finding("state", f"{account}: bridge/state ends {state!r} for {observer}")
            machine = evidence.machines.get(instance, "")
            if evidence.machines and calls.get(account) and calls[account][-1].machine != machine:
                yield Finding("state", f"{account}: bridge/info ends with {instance!r} for {observer}")


def _is_excused(machine: str, began: float, now: float, blows: Iterable[ClusterBlow]) -> bool:
    """Returns whether what a machine began is still open since it could not end it, or had not noticed the blow yet.

    A connection without traffic stays open when the lease is over: nothing goes out on it any more.
    """
    return any(
        began < (blow.ended if machine in blow.silent else blow.began) and blow.began < now
        for blow in blows
        if machine in blow.silent or (machine == blow.victim and now < blow.ended)
    )


def _polls_at_once(calls: Sequence[Call], blows: Sequence[ClusterBlow]) -> Iterator[Finding]:
    """Two instances never ask for the messages of an account at the same time."""
    open_polls: list[Call] = []
    for call in calls:
        if call.name not in POLLS:
            continue
        open_polls = [poll for poll in open_polls if poll.ended > call.began]
        for poll in open_polls:
            if poll.machine != call.machine and not _is_excused(poll.machine, poll.began, call.began, blows):
                yield Finding(
                    "two owners",
                    f"{call.machine} asks at {call.began:.3f} while {poll.machine} does since {poll.began:.3f}",
                )
        open_polls.append(call)


def _foreign_calls(calls: Sequence[Call]) -> Iterator[Finding]:
    """Who calls is who announced itself last."""
    owner = ""
    for call in calls:
        if call.name == ANNOUNCEMENT:
            owner = call.machine
        elif owner and call.machine != owner:
            yield Finding(
                "two owners", f"{call.machine} calls {call.name} at {call.began:.3f}, and {owner} serves it"
            )


def _calls_beside_a_session(
    calls: Sequence[Call], sessions: Sequence[Session], blows: Sequence[ClusterBlow]
) -> Iterator[Finding]:
    """The same for accounts without announcements: who calls is who is connected to the broker, if anybody is."""
    begins = [session.began for session in sessions]
    for call in calls:
        index = bisect.bisect_right(begins, call.began - SETTLED_SECONDS)
        newest = sessions[index - 1] if index else None
        if newest is None or newest.machine == call.machine or newest.ended <= call.began:
            continue
        if not _is_excused(newest.machine, newest.began, call.began, blows):
            yield Finding(
                "two owners",
                f"{call.machine} calls {call.name} at {call.began:.3f}, and {newest.machine} is connected since {newest.began:.3f}",
            )


def _clients_at_once(sessions: Sequence[Session], blows: Sequence[ClusterBlow]) -> Iterator[Finding]:
    """Nobody connects to the broker with the client id of an account that another instance has connected."""
    open_sessions: defaultdict[str, list[Session]] = defaultdict(list)
    for session in sorted(sessions, key=lambda session: session.began):
        others = [one for one in open_sessions[session.client_id] if one.ended > session.began]
        for other in others:
            if other.machine != session.machine and not _is_excused(
                other.machine, other.began, session.began, blows
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


def moves(evidence: ClusterEvidence) -> list[tuple[ClusterBlow, dict[str, float]]]:
    """Returns, for each blow, the seconds until each account that it hit was served again; infinite if never."""
    calls: defaultdict[str, list[Call]] = defaultdict(list)
    for call in sorted(evidence.calls, key=lambda call: call.began):
        calls[call.account].append(call)
    return [
        (blow, {account: _seconds_to_next_call(calls[account], blow) for account in blow.lost})
        for blow in evidence.blows
    ]


def _seconds_to_next_call(calls: Sequence[Call], blow: ClusterBlow) -> float:
    first = bisect.bisect_left(calls, blow.since, key=lambda call: call.began)
    served = (call for call in calls[first:] if call.machine != blow.victim or call.began > blow.ended)
    return next((call.began - blow.since for call in served), float("inf"))


def _served_by_barred(evidence: ClusterEvidence) -> Iterator[Finding]:
    """An instance whose key is not the database's serves no account: it could not open its login."""
    for blow in evidence.blows:
        for call in evidence.calls:
            if call.machine in blow.barred and blow.began <= call.began <= blow.ended:
                text = f"{call.machine} calls {call.name} for {call.account} at {call.began:.3f} with another key"
                yield Finding("key", text)
        for session in evidence.sessions:
            if session.machine in blow.barred and blow.began <= session.began <= blow.ended:
                text = f"{session.machine} connects as {session.client_id} at {session.began:.3f} with another key"
                yield Finding("key", text)


def _served_in_the_dark(evidence: ClusterEvidence, stretch: float) -> Iterator[Finding]:
    """While there is no database nobody begins anything: who cannot commit has no account any more."""
    for blow in evidence.blows:
        begin, end = blow.dark[0] + LEASE_SECONDS * stretch, blow.dark[1]
        for call in evidence.calls:
            if begin <= call.began < end:
                text = f"{call.machine} calls {call.name} for {call.account} at {call.began:.3f} without a database"
                yield Finding("database", text)
        for session in evidence.sessions:
            if begin <= session.began < end or (session.began < begin < end < session.ended):
                text = f"{session.client_id} of {session.machine} is connected without a database"
                yield Finding("database", text)


def _untold_reloads(evidence: ClusterEvidence) -> Iterator[Finding]:
    for blow in evidence.blows:
        if blow.reload_told is not None and blow.reload_told != (True, False):
            during, after = blow.reload_told
            yield Finding("reload", f"a refused file is said: {during}; after it was mended: {after}")


def _slow_moves(evidence: ClusterEvidence, stretch: float) -> Iterator[Finding]:
    for blow, seconds in moves(evidence):
        slow = {name: one for name, one in seconds.items() if one > blow.allowed * stretch}
        if slow:
            name, worst = max(slow.items(), key=lambda item: item[1])
            yield Finding("move", f"{len(slow)} accounts after {blow.kind}: {name} took {worst:.1f} s")

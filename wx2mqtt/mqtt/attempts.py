"""Where to connect next, with which version of MQTT, and after what wait. Pure: a value and what follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from wx2mqtt.mqtt.addresses import Address
from wx2mqtt.mqtt.options import WantedProtocol
from wx2mqtt.mqtt.reasons import (
    ELSEWHERE,
    MOVED,
    NEEDS_A_PERSON,
    QOS_UNSUPPORTED,
    RETAIN_UNSUPPORTED,
    TAKEN_OVER,
    VERSION,
)
from wx2mqtt.retry import Backoff

NEAR_CAP = 1.5
"""Seconds between tries at a broker on this machine or network: it is back at once when it is back."""
GOOD = 10.0
"""Seconds after which a connection counts as good; one that breaks sooner is no reason to hurry."""
MINUTE = 60.0
STANDBY = 300.0
QUICK = Backoff(first=0.5, cap=30.0)
SLOW = Backoff(first=60.0, cap=300.0)
DETOURS = 5
"""References that are followed in a row, so that two servers cannot send us to and fro for ever."""


class End(StrEnum):
    """How an attempt or a connection ended, by what follows from it."""

    UNREACHABLE = "unreachable"
    LOST = "lost"
    VERSION = "version"
    CREDENTIALS = "credentials"
    UNFIT = "unfit"
    RETAIN = "retain"
    TAKEN_OVER = "taken_over"
    MOVED = "moved"


def end_of(code: int, *, stood: bool) -> End:
    """What the reason code of a CONNACK, or of a DISCONNECT after it stood, comes to."""
    if code in NEEDS_A_PERSON:
        return End.CREDENTIALS
    common = {TAKEN_OVER: End.TAKEN_OVER, ELSEWHERE: End.MOVED, MOVED: End.MOVED}
    if stood:
        return common.get(code, End.LOST)
    first = {VERSION: End.VERSION, RETAIN_UNSUPPORTED: End.RETAIN, QOS_UNSUPPORTED: End.UNFIT}
    return (common | first).get(code, End.UNREACHABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of an attempt. `stood` is for how many seconds the connection was usable, 0 if it never was.

    `near` says that the broker is on this machine or network, `leaving` that this server goes away,
    `references` where it sends us, `for_good` that it does so for good.
    """

    end: End
    reason: str
    stood: float = 0.0
    near: bool = False
    leaving: bool = False
    references: tuple[Address, ...] = ()
    for_good: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """How many seconds to wait; `standby` when another client has our id, `silent` when nothing failed."""

    seconds: float
    standby: bool = False
    silent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try: where, with which version ("5" or "3.1.1"), and whether the will may be retained."""

    address: Address
    protocol: str
    retained_will: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What has been learnt about the brokers, and whose turn it is.

    `tried` counts those of the list that failed since the last wait. `detour` is where a broker sent us.
    `old` speak only MQTT 3.1.1, `unretained` keep no retained messages. `takeovers` are times.
    """

    addresses: tuple[Address, ...]
    wanted: WantedProtocol = "auto"
    turn: int = 0
    tried: int = 0
    detour: tuple[Address, ...] = ()
    detours: int = 0
    old: frozenset[Address] = frozenset()
    unretained: frozenset[Address] = frozenset()
    takeovers: tuple[float, ...] = ()
    quick: Backoff = QUICK
    slow: Backoff = SLOW

    @property
    def here(self) -> Address:
        """Whose turn it is."""
        return self.detour[0] if self.detour else self.addresses[self.turn]

    @property
    def attempt(self) -> Attempt:
        """What to try now."""
        here = self.here
        old = self.wanted == "3.1.1" or (self.wanted == "auto" and here in self.old)
        return Attempt(
            address=here, protocol="3.1.1" if old else "5", retained_will=here not in self.unretained
        )

    def after(self, ended: Ended, now: float, chance: float) -> Next:
        """What to do next; `now` in seconds of any steady clock, `chance` in [0, 1)."""
        plan = _proven(self) if ended.stood >= GOOD else self
        return FOLLOWS[ended.end](plan, ended, now, chance)


Next = tuple[Plan, Pause]


def _proven(plan: Plan) -> Plan:
    """A connection was good: what failed before it is forgotten."""
    return replace(plan, quick=plan.quick.reset(), slow=plan.slow.reset(), tried=0, detours=0)


def _version(plan: Plan, ended: Ended, now: float, chance: float) -> Next:
    if plan.wanted == "auto" and plan.here not in plan.old:
        return replace(plan, old=plan.old | {plan.here}), Pause(0.0, silent=True)
    return _hopeless(replace(plan, old=plan.old - {plan.here}), ended, now, chance)


def _retain(plan: Plan, ended: Ended, now: float, chance: float) -> Next:
    if plan.here not in plan.unretained:
        return replace(plan, unretained=plan.unretained | {plan.here}), Pause(0.0, silent=True)
    return _hopeless(plan, ended, now, chance)


def _lost(plan: Plan, ended: Ended, now: float, chance: float) -> Next:
    """The same broker once more, soon, if it was good: most often it has only restarted."""
    if ended.stood >= GOOD and not ended.leaving:
        return _again(plan, ended, chance)
    return _next(plan, ended, now, chance)


def _again(plan: Plan, ended: Ended, chance: float) -> Next:
    plan = replace(plan, quick=plan.quick.failed())
    return plan, Pause(_wait(plan.quick, ended, chance))


def _next(plan: Plan, ended: Ended, _now: float, chance: float) -> Next:
    """The next of the list at once; a wait when all have had their turn."""
    plan = _turned(plan)
    if plan.tried < len(plan.addresses):
        return plan, Pause(0.0)
    return _again(replace(plan, tried=0, detours=0), ended, chance)


def _hopeless(plan: Plan, _ended: Ended, _now: float, chance: float) -> Next:
    """The next of the list, but slowly: a person must do something, and many tries could lock us out."""
    plan = _turned(plan)
    if plan.tried < len(plan.addresses):
        return plan, Pause(0.0)
    plan = replace(plan, tried=0, slow=plan.slow.failed())
    return plan, Pause(plan.slow.wait(chance))


def _turned(plan: Plan) -> Plan:
    if plan.detour[1:]:
        return replace(plan, detour=plan.detour[1:])
    turn = (plan.turn + 1) % len(plan.addresses)
    return replace(plan, detour=(), turn=turn, tried=plan.tried + 1)


def _moved(plan: Plan, ended: Ended, now: float, chance: float) -> Next:
    if not ended.references or plan.detours >= DETOURS:
        return _next(plan, ended, now, chance)
    if ended.for_good and not plan.detour:
        kept = list(plan.addresses)
        kept[plan.turn] = ended.references[0]
        plan = replace(plan, addresses=tuple(kept))
    return replace(plan, detour=ended.references, detours=plan.detours + 1), Pause(0.0)


def _taken_over(plan: Plan, ended: Ended, now: float, chance: float) -> Next:
    recent = (*(at for at in plan.takeovers if now - at < MINUTE), now)
    if len(recent) < 2:
        return _again(replace(plan, takeovers=recent), ended, chance)
    # counted once more at the end of the wait: to be thrown out again then is enough to stand by again
    return replace(plan, takeovers=(now + STANDBY,)), Pause(STANDBY, standby=True)


def _wait(backoff: Backoff, ended: Ended, chance: float) -> float:
    cap = min(backoff.cap, NEAR_CAP) if ended.near else backoff.cap
    return replace(backoff, cap=cap).wait(chance)


FOLLOWS: dict[End, Callable[[Plan, Ended, float, float], Next]] = {
    End.UNREACHABLE: _next,
    End.LOST: _lost,
    End.VERSION: _version,
    End.CREDENTIALS: _hopeless,
    End.UNFIT: _hopeless,
    End.RETAIN: _retain,
    End.TAKEN_OVER: _taken_over,
    End.MOVED: _moved,
}

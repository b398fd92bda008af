"""Where to connect next, with which version of MQTT, and after what wait. Pure: a value and what follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from wx2mqtt.backoff import Backoff
from wx2mqtt.mqtt.options import BrokerAddress, ProtocolChoice
from wx2mqtt.mqtt.reason_codes import (
    NEEDS_OWNER_CODES,
    QOS_UNSUPPORTED,
    RETAIN_UNSUPPORTED,
    SERVER_MOVED,
    TAKEN_OVER,
    UNSUPPORTED_VERSION,
    USE_ANOTHER_SERVER,
)

MAX_NEAR_DELAY_SECONDS = 1.5
"""Seconds between tries at a broker on this machine or network: it is back at once when it is back."""
STABLE_CONNECTION_SECONDS = 10.0
"""Seconds after which a connection counts as good; one that breaks sooner is no reason to hurry."""
TAKEOVER_WINDOW_SECONDS = 60.0
STANDBY_SECONDS = 300.0
QUICK_BACKOFF = Backoff(first=0.5, cap=30.0)
SLOW_BACKOFF = Backoff(first=60.0, cap=300.0)
MAX_REDIRECTS = 5
"""References that are followed in a row, so that two servers cannot send us to and fro for ever."""


class EndReason(StrEnum):
    """How an attempt or a connection ended, by what follows from it."""

    UNREACHABLE = "unreachable"
    LOST = "lost"
    VERSION = "version"
    CREDENTIALS = "credentials"
    UNFIT = "unfit"
    RETAIN = "retain"
    TAKEN_OVER = "taken_over"
    MOVED = "moved"


def end_reason(code: int, *, was_connected: bool) -> EndReason:
    """What the reason code of a CONNACK, or of a DISCONNECT after it stood, comes to."""
    if code in NEEDS_OWNER_CODES:
        return EndReason.CREDENTIALS
    common = {
        TAKEN_OVER: EndReason.TAKEN_OVER,
        USE_ANOTHER_SERVER: EndReason.MOVED,
        SERVER_MOVED: EndReason.MOVED,
    }
    if was_connected:
        return common.get(code, EndReason.LOST)
    first = {
        UNSUPPORTED_VERSION: EndReason.VERSION,
        RETAIN_UNSUPPORTED: EndReason.RETAIN,
        QOS_UNSUPPORTED: EndReason.UNFIT,
    }
    return (common | first).get(code, EndReason.UNREACHABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionEnd:
    """The end of an attempt. `stood` is for how many seconds the connection was usable, 0 if it never was.

    `near` says that the broker is on this machine or network, `leaving` that this server goes away,
    `references` where it sends us, `for_good` that it does so for good.
    """

    end: EndReason
    reason: str
    connected_seconds: float = 0.0
    is_local: bool = False
    server_leaving: bool = False
    references: tuple[BrokerAddress, ...] = ()
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class Delay:
    """How many seconds to wait; `standby` when another client has our id, `silent` when nothing failed."""

    seconds: float
    standby: bool = False
    silent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectTarget:
    """One try: where, with which version ("5" or "3.1.1"), and whether the will may be retained."""

    address: BrokerAddress
    protocol: str
    will_may_be_retained: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconnectPolicy:
    """What has been learnt about the brokers, and whose turn it is.

    `tried` counts those of the list that failed since the last wait. `detour` is where a broker sent us.
    `old` speak only MQTT 3.1.1, `unretained` keep no retained messages. `takeovers` are times.
    """

    addresses: tuple[BrokerAddress, ...]
    protocol: ProtocolChoice = "auto"
    index: int = 0
    failed_count: int = 0
    redirects: tuple[BrokerAddress, ...] = ()
    redirect_count: int = 0
    mqtt_3_addresses: frozenset[BrokerAddress] = frozenset()
    no_retain_addresses: frozenset[BrokerAddress] = frozenset()
    takeovers: tuple[float, ...] = ()
    quick: Backoff = QUICK_BACKOFF
    slow: Backoff = SLOW_BACKOFF

    @property
    def current_address(self) -> BrokerAddress:
        """Whose turn it is."""
        return self.redirects[0] if self.redirects else self.addresses[self.index]

    @property
    def target(self) -> ConnectTarget:
        """What to try now."""
        here = self.current_address
        old = self.protocol == "3.1.1" or (self.protocol == "auto" and here in self.mqtt_3_addresses)
        return ConnectTarget(
            address=here,
            protocol="3.1.1" if old else "5",
            will_may_be_retained=here not in self.no_retain_addresses,
        )

    def after(self, ended: ConnectionEnd, now: float, chance: float) -> PolicyDecision:
        """What to do next; `now` in seconds of any steady clock, `chance` in [0, 1)."""
        plan = _proven(self) if ended.connected_seconds >= STABLE_CONNECTION_SECONDS else self
        return POLICY_BY_REASON[ended.end](plan, ended, now, chance)


PolicyDecision = tuple[ReconnectPolicy, Delay]


def _proven(plan: ReconnectPolicy) -> ReconnectPolicy:
    """A connection was good: what failed before it is forgotten."""
    return replace(plan, quick=plan.quick.reset(), slow=plan.slow.reset(), failed_count=0, redirect_count=0)


def _version(plan: ReconnectPolicy, ended: ConnectionEnd, now: float, chance: float) -> PolicyDecision:
    if plan.protocol == "auto" and plan.current_address not in plan.mqtt_3_addresses:
        return replace(plan, mqtt_3_addresses=plan.mqtt_3_addresses | {plan.current_address}), Delay(
            0.0, silent=True
        )
    return _hopeless(
        replace(plan, mqtt_3_addresses=plan.mqtt_3_addresses - {plan.current_address}), ended, now, chance
    )


def _retain(plan: ReconnectPolicy, ended: ConnectionEnd, now: float, chance: float) -> PolicyDecision:
    if plan.current_address not in plan.no_retain_addresses:
        return replace(plan, no_retain_addresses=plan.no_retain_addresses | {plan.current_address}), Delay(
            0.0, silent=True
        )
    return _hopeless(plan, ended, now, chance)


def _lost(plan: ReconnectPolicy, ended: ConnectionEnd, now: float, chance: float) -> PolicyDecision:
    """The same broker once more, soon, if it was good: most often it has only restarted."""
    if ended.connected_seconds >= STABLE_CONNECTION_SECONDS and not ended.server_leaving:
        return _again(plan, ended, chance)
    return _next(plan, ended, now, chance)


def _again(plan: ReconnectPolicy, ended: ConnectionEnd, chance: float) -> PolicyDecision:
    plan = replace(plan, quick=plan.quick.after_failure())
    return plan, Delay(_wait(plan.quick, ended, chance))


def _next(plan: ReconnectPolicy, ended: ConnectionEnd, _now: float, chance: float) -> PolicyDecision:
    """The next of the list at once; a wait when all have had their turn."""
    plan = _turned(plan)
    if plan.failed_count < len(plan.addresses):
        return plan, Delay(0.0)
    return _again(replace(plan, failed_count=0, redirect_count=0), ended, chance)


def _hopeless(plan: ReconnectPolicy, _ended: ConnectionEnd, _now: float, chance: float) -> PolicyDecision:
    """The next of the list, but slowly: a person must do something, and many tries could lock us out."""
    plan = _turned(plan)
    if plan.failed_count < len(plan.addresses):
        return plan, Delay(0.0)
    plan = replace(plan, failed_count=0, slow=plan.slow.after_failure())
    return plan, Delay(plan.slow.wait(chance))


def _turned(plan: ReconnectPolicy) -> ReconnectPolicy:
    if plan.redirects[1:]:
        return replace(plan, redirects=plan.redirects[1:])
    turn = (plan.index + 1) % len(plan.addresses)
    return replace(plan, redirects=(), index=turn, failed_count=plan.failed_count + 1)


def _moved(plan: ReconnectPolicy, ended: ConnectionEnd, now: float, chance: float) -> PolicyDecision:
    if not ended.references or plan.redirect_count >= MAX_REDIRECTS:
        return _next(plan, ended, now, chance)
    if ended.permanent and not plan.redirects:
        kept = list(plan.addresses)
        kept[plan.index] = ended.references[0]
        plan = replace(plan, addresses=tuple(kept))
    return replace(plan, redirects=ended.references, redirect_count=plan.redirect_count + 1), Delay(0.0)


def _taken_over(plan: ReconnectPolicy, ended: ConnectionEnd, now: float, chance: float) -> PolicyDecision:
    recent = (*(at for at in plan.takeovers if now - at < TAKEOVER_WINDOW_SECONDS), now)
    if len(recent) < 2:
        return _again(replace(plan, takeovers=recent), ended, chance)
    # counted once more at the end of the wait: to be thrown out again then is enough to stand by again
    return replace(plan, takeovers=(now + STANDBY_SECONDS,)), Delay(STANDBY_SECONDS, standby=True)


def _wait(backoff: Backoff, ended: ConnectionEnd, chance: float) -> float:
    cap = min(backoff.cap, MAX_NEAR_DELAY_SECONDS) if ended.is_local else backoff.cap
    return replace(backoff, cap=cap).wait(chance)


POLICY_BY_REASON: dict[
    EndReason, Callable[[ReconnectPolicy, ConnectionEnd, float, float], PolicyDecision]
] = {
    EndReason.UNREACHABLE: _next,
    EndReason.LOST: _lost,
    EndReason.VERSION: _version,
    EndReason.CREDENTIALS: _hopeless,
    EndReason.UNFIT: _hopeless,
    EndReason.RETAIN: _retain,
    EndReason.TAKEN_OVER: _taken_over,
    EndReason.MOVED: _moved,
}

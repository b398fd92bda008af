"""The reconnect policy: where to connect next, with which version of MQTT, after which delay. Pure.

    policy = ReconnectPolicy(addresses=…)
    policy.target                                     the next attempt
    policy, delay = policy.after(ended, now, chance)  the attempt or the connection has ended

`EndReason` says what follows from each reason of an end.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

from wx2mqtt.clock import Backoff
from wx2mqtt.mqtt.broker import ProtocolVersion
from wx2mqtt.mqtt.options import BrokerAddress, ProtocolChoice
from wx2mqtt.mqtt.packets import (
    NEEDS_OWNER_CODES,
    QOS_UNSUPPORTED,
    RETAIN_UNSUPPORTED,
    SERVER_MOVED,
    TAKEN_OVER,
    UNSUPPORTED_VERSION,
    USE_ANOTHER_SERVER,
)
from wx2mqtt.values import frozen

# The delays after failures that end by themselves.
QUICK_BACKOFF = Backoff(first=0.5, cap=30.0)

# The delays after failures that a person must mend. More frequent attempts could lock the client out.
SLOW_BACKOFF = Backoff(first=60.0, cap=300.0)

# The longest delay for a broker on this machine or in a private network: attempts there cost little.
MAX_LOCAL_DELAY_SECONDS = 1.5

# A connection that lasted so long was stable: the delays begin anew. After a shorter one they go on growing.
STABLE_CONNECTION_SECONDS = 10.0

# Two takeovers of the client id within this time mean that another bridge runs: this one stands by.
TAKEOVER_WINDOW_SECONDS = 60.0
STANDBY_SECONDS = 300.0

# Redirects that are followed without a delay: two servers cannot send the client to each other for ever.
MAX_REDIRECTS = 5


class EndReason(StrEnum):
    """Why an attempt or a connection has ended, and where `ReconnectPolicy.after` connects next."""

    #: No connection could be opened. The next address at once; after all of them a delay of 0.5 to 30 s.
    UNREACHABLE = "unreachable"
    #: An established connection has ended. The same address after a delay of 0.5 to 30 s, if the connection
    #: was stable; else as after UNREACHABLE.
    LOST = "lost"
    #: The broker does not speak MQTT 5. The same address at once, with MQTT 3.1.1.
    VERSION = "version"
    #: The broker refuses the credentials. The next address at once; after all of them a delay of 60 to 300 s.
    CREDENTIALS = "credentials"
    #: The broker lacks what the bridge needs. As after CREDENTIALS.
    UNFIT = "unfit"
    #: The broker keeps no retained messages. The same address at once, without a retained will.
    RETAIN = "retain"
    #: Another client uses the client id. The same address after a delay of 0.5 to 30 s; the second time
    #: within a minute after 300 s.
    TAKEN_OVER = "taken_over"
    #: The broker names another server. That server at once.
    MOVED = "moved"


_REASON_BY_CODE = {
    **dict.fromkeys(NEEDS_OWNER_CODES, EndReason.CREDENTIALS),
    TAKEN_OVER: EndReason.TAKEN_OVER,
    USE_ANOTHER_SERVER: EndReason.MOVED,
    SERVER_MOVED: EndReason.MOVED,
}
_REASON_BY_CONNACK_CODE = {
    **_REASON_BY_CODE,
    UNSUPPORTED_VERSION: EndReason.VERSION,
    RETAIN_UNSUPPORTED: EndReason.RETAIN,
    QOS_UNSUPPORTED: EndReason.UNFIT,
}


def end_reason(code: int, *, was_connected: bool) -> EndReason:
    """Maps the reason code of a CONNACK, or of a DISCONNECT after `was_connected`, to a reason."""
    if was_connected:
        return _REASON_BY_CODE.get(code, EndReason.LOST)
    return _REASON_BY_CONNACK_CODE.get(code, EndReason.UNREACHABLE)


@frozen
class ConnectionEnd:
    end: EndReason
    #: A sentence for the owner, without secrets.
    reason: str
    #: For how long the connection was established; 0 if it never was.
    connected_seconds: float = 0.0
    #: The broker is on this machine or in a private network.
    is_local: bool = False
    #: This server shuts down, which another one of the list may not do.
    server_leaving: bool = False
    #: The servers that the broker names instead; it has moved there for good if `permanent`.
    references: tuple[BrokerAddress, ...] = ()
    permanent: bool = False


@frozen(kw_only=False)
class Delay:
    seconds: float
    #: Another client uses this client id.
    standby: bool = False
    #: No listener is notified: the attempt is repeated at once in another way.
    silent: bool = False


AT_ONCE = Delay(0.0)
AT_ONCE_IN_ANOTHER_WAY = Delay(0.0, silent=True)


@frozen
class ConnectTarget:
    """The next attempt: where, with which version of MQTT, and whether the will may be retained."""

    address: BrokerAddress
    protocol: ProtocolVersion
    will_may_be_retained: bool = True

    @property
    def is_mqtt_5(self) -> bool:
        return self.protocol is ProtocolVersion.MQTT_5


@frozen
class ReconnectPolicy:
    """The state of the policy. A round tries all addresses; the next round begins after a delay."""

    #: The next one first: an address that has failed goes to the end.
    addresses: tuple[BrokerAddress, ...]
    protocol: ProtocolChoice = "auto"
    #: How many of `addresses` have failed in this round.
    failed_count: int = 0
    #: The servers that a broker has named, the next one first. They are tried before `addresses`.
    redirects: tuple[BrokerAddress, ...] = ()
    #: How often a broker has named others in this round.
    redirect_count: int = 0
    #: Addresses whose brokers speak only MQTT 3.1.1.
    mqtt_3_addresses: frozenset[BrokerAddress] = frozenset()
    #: Addresses whose brokers keep no retained messages.
    no_retain_addresses: frozenset[BrokerAddress] = frozenset()
    #: A takeover of the client id before this time is not the first one: the client stands by.
    standby_if_taken_before: float = 0.0
    #: The delay after failures that end by themselves.
    quick: Backoff = QUICK_BACKOFF
    #: The delay after failures that a person must mend.
    slow: Backoff = SLOW_BACKOFF

    @property
    def current_address(self) -> BrokerAddress:
        return self.redirects[0] if self.redirects else self.addresses[0]

    @property
    def target(self) -> ConnectTarget:
        address = self.current_address
        if self.protocol != "auto":
            protocol = ProtocolVersion(self.protocol)
        elif address in self.mqtt_3_addresses:
            protocol = ProtocolVersion.MQTT_3_1_1
        else:
            protocol = ProtocolVersion.MQTT_5
        may_be_retained = address not in self.no_retain_addresses
        return ConnectTarget(address=address, protocol=protocol, will_may_be_retained=may_be_retained)

    def after(  # noqa: PLR0911 - a policy for each reason
        self, ended: ConnectionEnd, now: float, chance: float
    ) -> PolicyDecision:
        """Returns the next policy and the delay. `now` is of a monotonic clock, `chance` in [0, 1)."""
        is_stable = ended.connected_seconds >= STABLE_CONNECTION_SECONDS
        policy = self
        if is_stable:  # the failures before do not count any more
            policy = replace(_new_round(self), quick=self.quick.reset(), slow=self.slow.reset())
        match ended.end:
            case EndReason.LOST if is_stable and not ended.server_leaving:
                return _after_quick_delay(policy, ended, chance)  # most often the broker has only restarted
            case EndReason.UNREACHABLE | EndReason.LOST:
                return _next_address(policy, ended, chance)
            case EndReason.VERSION:
                return _other_version(policy, ended, chance)
            case EndReason.RETAIN:
                return _without_retained_will(policy, ended, chance)
            case EndReason.CREDENTIALS | EndReason.UNFIT:
                return _next_address(policy, ended, chance, needs_owner=True)
            case EndReason.MOVED:
                return _redirected(policy, ended, chance)
            case EndReason.TAKEN_OVER:
                return _after_takeover(policy, ended, now, chance)


PolicyDecision = tuple[ReconnectPolicy, Delay]


def _next_address(
    policy: ReconnectPolicy, ended: ConnectionEnd, chance: float, *, needs_owner: bool = False
) -> PolicyDecision:
    """Tries the next address of the round at once.

    Without one the next round begins after a delay, a long one with `needs_owner`.
    """
    if len(policy.redirects) > 1:  # the broker has named one more
        return replace(policy, redirects=policy.redirects[1:]), AT_ONCE
    failed, *others = policy.addresses
    failed_count = policy.failed_count + 1
    policy = replace(policy, redirects=(), addresses=(*others, failed), failed_count=failed_count)
    if failed_count < len(policy.addresses):
        return policy, AT_ONCE
    if not needs_owner:
        return _after_quick_delay(_new_round(policy), ended, chance)
    slow = policy.slow.after_failure()
    return replace(_new_round(policy), slow=slow), Delay(slow.wait(chance))


def _new_round(policy: ReconnectPolicy) -> ReconnectPolicy:
    return replace(policy, failed_count=0, redirect_count=0)


def _other_version(policy: ReconnectPolicy, ended: ConnectionEnd, chance: float) -> PolicyDecision:
    """Tries MQTT 3.1.1 at once. A broker that refuses 3.1.1 as well needs its owner."""
    address = policy.current_address
    if policy.protocol == "auto" and address not in policy.mqtt_3_addresses:
        fallback = replace(policy, mqtt_3_addresses=policy.mqtt_3_addresses | {address})
        return fallback, AT_ONCE_IN_ANOTHER_WAY
    without_fallback = replace(policy, mqtt_3_addresses=policy.mqtt_3_addresses - {address})
    return _next_address(without_fallback, ended, chance, needs_owner=True)


def _without_retained_will(policy: ReconnectPolicy, ended: ConnectionEnd, chance: float) -> PolicyDecision:
    """Tries without a retained will at once. A broker that refuses this as well needs its owner."""
    address = policy.current_address
    if address in policy.no_retain_addresses:
        return _next_address(policy, ended, chance, needs_owner=True)
    without_retain = replace(policy, no_retain_addresses=policy.no_retain_addresses | {address})
    return without_retain, AT_ONCE_IN_ANOTHER_WAY


def _redirected(policy: ReconnectPolicy, ended: ConnectionEnd, chance: float) -> PolicyDecision:
    """Tries the named servers at once. Without one, or after too many redirects, tries the next address."""
    if not ended.references or policy.redirect_count >= MAX_REDIRECTS:
        return _next_address(policy, ended, chance)
    if ended.permanent and not policy.redirects:  # else a server that another one has named has moved
        policy = replace(policy, addresses=(ended.references[0], *policy.addresses[1:]))
    redirect_count = policy.redirect_count + 1
    return replace(policy, redirects=ended.references, redirect_count=redirect_count), AT_ONCE


def _after_takeover(
    policy: ReconnectPolicy, ended: ConnectionEnd, now: float, chance: float
) -> PolicyDecision:
    """Connects again after the first takeover; stands by after the second within a minute.

    The minute after a standby is counted from its end: one takeover is enough then.
    """
    if now < policy.standby_if_taken_before:
        standby_end = now + STANDBY_SECONDS
        policy = replace(policy, standby_if_taken_before=standby_end + TAKEOVER_WINDOW_SECONDS)
        return policy, Delay(STANDBY_SECONDS, standby=True)
    policy = replace(policy, standby_if_taken_before=now + TAKEOVER_WINDOW_SECONDS)
    return _after_quick_delay(policy, ended, chance)


def _after_quick_delay(policy: ReconnectPolicy, ended: ConnectionEnd, chance: float) -> PolicyDecision:
    """Makes the next attempt of `policy` after the next longer delay; a local broker has a short one."""
    backoff = policy.quick.after_failure()
    cap = min(backoff.cap, MAX_LOCAL_DELAY_SECONDS) if ended.is_local else backoff.cap
    return replace(policy, quick=backoff), Delay(replace(backoff, cap=cap).wait(chance))

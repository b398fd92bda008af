"""Whether the web server has a bridge behind it, and which accounts this instance runs."""

from __future__ import annotations

from dataclasses import replace

from tests.support.page import FakeAccountView, bridge
from tests.unit.web.test_cluster import STATE
from wx2mqtt.web.bridge_state import BridgeState, DatabaseOutage


def test_a_bridge_runs_where_there_are_accounts_or_another_instance_may_have_them() -> None:
    assert bridge(FakeAccountView()).is_running
    assert replace(BridgeState(), cluster=lambda: STATE).is_running
    assert replace(BridgeState(), outage=lambda: DatabaseOutage(since=1, reason="away")).is_running
    assert not BridgeState().is_running


def test_only_the_accounts_of_this_instance_are_its_own() -> None:
    assert STATE.own_accounts == {"home"}
    elsewhere = [replace(instance, is_here=False) for instance in STATE.instances]
    assert replace(STATE, instances=elsewhere).own_accounts == frozenset()

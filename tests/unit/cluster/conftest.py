"""Instances of one new database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from tests.support.postgresql import empty_database
from tests.unit.cluster.harness import InstanceHarness
from wx2mqtt.cluster import account_takeover, instance_lease, observation


@pytest.fixture
async def make_instance(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[str], InstanceHarness]]:
    """Returns a function that makes instances of one database.

    They read the state of the others often, and soon count one without heartbeats as silent.
    """
    monkeypatch.setattr(account_takeover, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(instance_lease, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(observation, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(observation, "NEGLECTED_SECONDS", 0.3)
    monkeypatch.setattr(instance_lease, "NAME_WAIT_SECONDS", 0.2)
    monkeypatch.setattr(instance_lease, "NAME_RETRY_SECONDS", 0.05)
    url = empty_database()
    instances: list[InstanceHarness] = []

    def make(name: str) -> InstanceHarness:
        instances.append(InstanceHarness(url, name))
        return instances[-1]

    yield make
    for instance in instances:
        await instance.close()

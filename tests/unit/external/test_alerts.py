"""An alert service that does not answer keeps neither the other services nor ever more threads waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tests.support.deadlines import MAX_WAIT_SECONDS
from wx2mqtt.external import alerts
from wx2mqtt.external.alerts import MAX_THREADS_PER_SERVICE, Alert, AlertOutcome, send_alert

ALERT = Alert(title="a", body="b")


class FakeServices:
    """The URL `hang` is not answered before `released` is set, `yes` is accepted, `no` is refused."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.called: list[str] = []

    def __call__(self, url: str, _alert: Alert) -> bool:
        self.called.append(url)
        if url == "hang":
            assert self.released.wait(MAX_WAIT_SECONDS)
        return url == "yes"


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServices]:
    fake = FakeServices()
    monkeypatch.setattr(alerts, "_send", fake)
    yield fake
    fake.released.set()


async def test_what_one_service_has_accepted_does_not_wait_for_one_that_hangs(
    services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "AFTER_ACCEPTED_SECONDS", 0.05)
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        outcome = await send_alert(["hang", "yes"], ALERT, timeout_seconds=10 * MAX_WAIT_SECONDS)
    assert outcome is AlertOutcome.SENT


@pytest.mark.parametrize(
    ("urls", "outcome"),
    [
        ([], AlertOutcome.FAILED),
        (["no"], AlertOutcome.FAILED),
        (["no", "yes"], AlertOutcome.SENT),
        (["no", "hang"], AlertOutcome.UNCERTAIN),
    ],
)
async def test_the_outcome_is_that_of_all_services(
    services: FakeServices, urls: list[str], outcome: AlertOutcome
) -> None:
    assert await send_alert(urls, ALERT, timeout_seconds=0.2) is outcome


async def test_a_service_that_hangs_takes_no_more_than_so_many_threads(services: FakeServices) -> None:
    for _ in range(MAX_THREADS_PER_SERVICE):
        assert await send_alert(["hang"], ALERT, timeout_seconds=0.01) is AlertOutcome.UNCERTAIN
    assert await send_alert(["hang"], ALERT, timeout_seconds=0.01) is AlertOutcome.FAILED
    assert await send_alert(["hang", "yes"], ALERT) is AlertOutcome.SENT
    assert services.called.count("hang") == MAX_THREADS_PER_SERVICE
    services.released.set()
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while alerts._threads["hang"]:  # noqa: ASYNC110 - the threads end
            await asyncio.sleep(0)
    assert await send_alert(["hang"], ALERT) is AlertOutcome.FAILED
    assert services.called.count("hang") == MAX_THREADS_PER_SERVICE + 1

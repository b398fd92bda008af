"""An alert goes to other accounts in their order, and then to all services."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bridge.contexts import context, settings, shared
from wx2mqtt.bridge.commands import fallback_ways
from wx2mqtt.bridge.commands.fallback_states import FallbackEnd
from wx2mqtt.bridge.commands.fallback_ways import FallbackAlert, FallbackWays
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.fallback_accounts import FallbackMessage
from wx2mqtt.external.alerts import Alert, AlertOutcome
from wx2mqtt.model import Attachment, Blob
from wx2mqtt.settings.schema import Fallback

SENT, FAILED, UNCERTAIN = AlertOutcome.SENT, AlertOutcome.FAILED, AlertOutcome.UNCERTAIN
URL = "tgram://123456:secret/42"
ALERT = FallbackAlert(
    command_id="c1", fingerprint="f1", title="to wife", body="[image] a.png", text="", count=2
)


class FakeAccounts:
    """The other accounts: keeps each message and returns the next of `outcomes`."""

    def __init__(self, *outcomes: AlertOutcome) -> None:
        self.outcomes = list(outcomes)
        self.messages: list[tuple[str, FallbackMessage]] = []

    async def deliver(self, recipient: str, message: FallbackMessage) -> AlertOutcome:
        self.messages.append((recipient, message))
        return self.outcomes.pop(0)


def context_with(accounts: FakeAccounts, rules: Fallback) -> AccountContext:
    other_accounts: Any = accounts
    services = replace(shared(), fallback_accounts=other_accounts)
    return context(settings=settings(fallback=rules), shared=services)


@pytest.fixture
def service_alerts(monkeypatch: pytest.MonkeyPatch) -> list[Alert]:
    """The alerts that the services got; they accept all."""
    alerts: list[Alert] = []

    async def send_alert(urls: Sequence[str], alert: Alert) -> AlertOutcome:
        assert urls == (URL,)
        alerts.append(alert)
        return SENT

    monkeypatch.setattr(fallback_ways, "send_alert", send_alert)
    return alerts


@pytest.mark.parametrize(
    ("outcomes", "urls", "end"),
    [
        ([SENT], (URL,), FallbackEnd(outcome=SENT, account="office/me", count=2)),
        ([UNCERTAIN, SENT], (URL,), FallbackEnd(outcome=SENT, account="shop/me", count=2)),
        ([FAILED, FAILED], (URL,), FallbackEnd(outcome=SENT, count=2, asked_services=True)),
        (
            [FAILED, UNCERTAIN],
            (URL,),
            FallbackEnd(outcome=SENT, account="shop/me", count=2, asked_services=True),
        ),
        ([FAILED, FAILED], (), FallbackEnd(outcome=FAILED, count=2)),
        ([UNCERTAIN, FAILED], (), FallbackEnd(outcome=UNCERTAIN, account="office/me", count=2)),
    ],
)
async def test_the_end_names_the_account_that_took_the_alert_or_may_have_sent_it(
    service_alerts: list[Alert], outcomes: list[AlertOutcome], urls: tuple[str, ...], end: FallbackEnd
):
    accounts = FakeAccounts(*outcomes)
    ctx = context_with(accounts, Fallback(accounts=("office/me", "shop/me"), urls=urls))
    assert await FallbackWays(ctx).send(ALERT) == end
    assert [recipient for recipient, _ in accounts.messages] == ["office/me", "shop/me"][: len(outcomes)]
    assert len(service_alerts) == end.asked_services
    assert sum(ctx.counters.fallbacks.values()) == len(outcomes) + end.asked_services


async def test_an_account_gets_the_file_of_the_command_and_a_service_its_description(
    service_alerts: list[Alert],
):
    blob = Blob(sha256="ab12", size=3, mime="image/png", path="media/ab/ab12.png")
    attachment = Attachment(file=Path("/store/media/ab/ab12.png"), name="a.png", blob=blob)
    accounts = FakeAccounts(FAILED)
    ways = FallbackWays(context_with(accounts, Fallback(accounts=("office/me",), urls=(URL,))))
    await ways.send(replace(ALERT, kind="image", attachment=attachment))
    ((_, message),) = accounts.messages
    assert (message.account, message.command_id, message.fingerprint) == ("home", "c1", "f1")
    assert (message.kind, message.name, message.blob, message.text) == ("image", "a.png", blob, "")
    assert service_alerts == [Alert(title="to wife", body="[image] a.png", attachment=attachment)]


@pytest.mark.parametrize(
    ("rules", "has_any"),
    [(Fallback(), False), (Fallback(accounts=("office/me",)), True), (Fallback(urls=(URL,)), True)],
)
def test_without_accounts_and_urls_there_is_no_way(rules: Fallback, has_any: bool):
    assert FallbackWays(context_with(FakeAccounts(), rules)).has_any is has_any

"""The ways that an alert of the fallback may take: other accounts in their order, then services by apprise.

    fallback: {accounts: [office/me], urls: [tgram://…]}   office took it: apprise is not asked

What another account is asked for, and what it answers, is in `bridge/fallback_accounts.py`.
"""

from __future__ import annotations

from wx2mqtt.bridge.commands.fallback_states import FallbackEnd
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.fallback_accounts import FallbackMessage, FallbackQuestion
from wx2mqtt.external.alerts import Alert, AlertOutcome, send_alert
from wx2mqtt.model import Attachment
from wx2mqtt.settings.schema import Fallback
from wx2mqtt.values import frozen


@frozen
class FallbackAlert:
    """What goes out, to other accounts (`text`) or to services (`title` and `body`)."""

    #: The id of the command, or of the first one of a summary.
    command_id: str
    #: Equal when the same is sent again after a crash, and for nothing else.
    fingerprint: str
    title: str
    body: str
    text: str
    #: The kind of the file, or text.
    kind: str = "text"
    attachment: Attachment | None = None
    #: Whether the text is markdown.
    markdown: bool = False
    #: How many commands it is for.
    count: int = 1
    #: The buttons of the command, which only another account can show; None without any.
    question: FallbackQuestion | None = None


class FallbackWays:
    """The ways of one account, as its settings name them."""

    def __init__(self, ctx: AccountContext) -> None:
        self._ctx = ctx

    @property
    def _rules(self) -> Fallback:
        return self._ctx.settings.account.fallback

    @property
    def has_any(self) -> bool:
        return bool(self._rules.urls or self._rules.accounts)

    async def send(self, alert: FallbackAlert) -> FallbackEnd:
        """Sends an alert. Never raises.

        1. Each account is asked in turn, until one takes it. An account that cannot send it now has failed.
        2. If none took it, all services are asked at once.
        3. If no service took it either, the outcome is `UNCERTAIN` where an account or service may have sent
           it, else `FAILED`.

        The end names the account that took it, or else the last one that may have sent it, whatever the
        services did.
        """
        in_doubt = ""  # the last one that may have sent it
        for recipient in self._rules.accounts:
            outcome = await self._ask(recipient, alert)
            if outcome is AlertOutcome.SENT:
                return FallbackEnd(outcome=outcome, account=recipient, count=alert.count)
            if outcome is AlertOutcome.UNCERTAIN:
                in_doubt = recipient
        asks_services = bool(self._rules.urls)
        outcome = await self._ask_services(alert) if asks_services else AlertOutcome.FAILED
        if in_doubt and outcome is AlertOutcome.FAILED:
            outcome = AlertOutcome.UNCERTAIN
        return FallbackEnd(outcome=outcome, account=in_doubt, count=alert.count, asked_services=asks_services)

    async def _ask(self, recipient: str, alert: FallbackAlert) -> AlertOutcome:
        """Asks another account; `recipient` is `account/user`."""
        attachment = alert.attachment
        message = FallbackMessage(
            account=self._ctx.name,
            command_id=alert.command_id,
            fingerprint=alert.fingerprint,
            text=alert.text,
            markdown=alert.markdown,
            kind="text" if attachment is None else alert.kind,
            name="" if attachment is None else attachment.name,
            blob=None if attachment is None else attachment.blob,
            question=alert.question,
        )
        await self._ctx.shared.lease.wait()  # without it another process sends the alert
        outcome = await self._ctx.shared.fallback_accounts.deliver(recipient, message)
        self._ctx.counters.fallbacks["account", str(outcome)] += 1
        return outcome

    async def _ask_services(self, alert: FallbackAlert) -> AlertOutcome:
        urls = tuple(url.get_secret_value() for url in self._rules.urls)
        service_alert = Alert(title=alert.title, body=alert.body, attachment=alert.attachment)
        await self._ctx.shared.lease.wait()
        outcome = await send_alert(urls, service_alert)
        self._ctx.counters.fallbacks["services", str(outcome)] += 1
        return outcome

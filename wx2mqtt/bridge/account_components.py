"""The components of one account: creates them, and says which of them react to a signal.

    WeChat -> session -> inbound -> (journal) -> publisher -> MQTT     messages and events
    MQTT -> intake -> (journal) -> sender -> WeChat                    commands; results go to the publisher
    MQTT -> intake -> requests -> actions -> WeChat                    requests, answered to their sender

`status`, `windows`, `reporter` and `home_assistant` keep retained topics up to date. `media` fetches the
files of messages. `account.py` runs and stops all of them.
"""

from __future__ import annotations

from wx2mqtt.bridge.account_owner import AccountOwner
from wx2mqtt.bridge.attachments import Attachments
from wx2mqtt.bridge.bot_owner import BotOwner
from wx2mqtt.bridge.commands.acceptance import AttachmentIntake
from wx2mqtt.bridge.commands.fallback_receiver import FallbackReceiver
from wx2mqtt.bridge.commands.http_commands import CommandCalls
from wx2mqtt.bridge.commands.intake import CommandIntake
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.commands.sender import CommandSender
from wx2mqtt.bridge.commands.validation import CommandValidator
from wx2mqtt.bridge.context import AccountContext
from wx2mqtt.bridge.health import HealthSnapshot
from wx2mqtt.bridge.homeassistant_announcement import HomeAssistantDiscovery
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.inflight import InflightWindow, RetainedPublisher
from wx2mqtt.bridge.login_renewal import LoginRenewal
from wx2mqtt.bridge.login_session import LoginSession
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.media.downloader import MediaDownloader
from wx2mqtt.bridge.publisher import Publisher
from wx2mqtt.bridge.recipients import Recipients
from wx2mqtt.bridge.reminder import Reminders
from wx2mqtt.bridge.requests.account_requests import AccountRequests
from wx2mqtt.bridge.requests.action_requests import ActionRequests
from wx2mqtt.bridge.requests.dispatcher import Handler, RequestDispatcher, SizedHandler
from wx2mqtt.bridge.retained_commands import RetainedCommands
from wx2mqtt.bridge.status_topics import StatusReporter, StatusTopics
from wx2mqtt.bridge.wechat_calls import EchoFilter, WeChatCalls
from wx2mqtt.bridge.window_topics import ReplyWindowTopics
from wx2mqtt.clock import now_ms
from wx2mqtt.store.question_records import AnswerBatch
from wx2mqtt.store.records import RecordResult


class AccountComponents:
    """The components of one account, connected with each other but not running.

    A component gets those whose methods it calls as constructor parameters, so it is created after them.
    What several of them react to is a signal of the context.
    """

    def __init__(self, ctx: AccountContext) -> None:
        self.ctx = ctx
        # To MQTT
        inflight = InflightWindow(ctx.broker)  # bounds how many publications wait for their PUBACK
        self.publisher = Publisher(ctx, inflight)
        self.retained = RetainedPublisher(inflight, ctx.topics.state)
        self.status = StatusTopics(ctx, self.retained, inflight)

        # To WeChat
        echoes = EchoFilter()  # tells apart what the bridge has sent and what the owner has typed
        attachments = Attachments(ctx)
        self.results = ResultPublications(ctx.name, ctx.topics)
        self.resolver = CommandResolver(ctx, attachments)
        self.calls = WeChatCalls(ctx)
        self.sender = CommandSender(ctx, self.calls, self.resolver, echoes, self.results)

        # From WeChat
        self.media = MediaDownloader(ctx, self.publisher)
        self.inbound = InboundMessages(ctx, echoes, self.publisher, self.status, self.media)
        self.bot_owner = BotOwner(ctx, self.inbound.apply_people)
        self.owner = AccountOwner(ctx, self.bot_owner, self.sender)
        self.session = LoginSession(ctx, self.inbound, self.owner, self.bot_owner, self.sender)

        # Retained topics that are made from several components
        self.windows = ReplyWindowTopics(ctx, self.retained, self.session.state, self.sender.window_wait)
        self.home_assistant = HomeAssistantDiscovery(ctx, self.retained, inflight, self.windows)
        self.reporter = StatusReporter(ctx, self.retained, inflight, self.windows, self.snapshot)

        # From MQTT
        recipients = Recipients(ctx)
        self.validator = CommandValidator(ctx, self.session, recipients, self.results)
        self.actions = ActionRequests(ctx, self.calls, self.session, recipients, self.inbound)
        requests = RequestDispatcher(ctx, inflight)
        requests.register(self.request_handlers())
        self.intake = CommandIntake(
            ctx,
            validator=self.validator,
            attachment_intake=AttachmentIntake(self.validator, attachments, ctx.journal),
            retained_commands=RetainedCommands(ctx, inflight, self.retained),
            sender=self.sender,
            requests=requests,
            results=self.results,
        )
        self.fallback_receiver = FallbackReceiver(ctx, self.session, self.validator, self.sender, self.intake)
        self.command_calls = CommandCalls(ctx, self.validator, self.intake, self.sender.outcomes)
        self.renewal = LoginRenewal(ctx, self.owner, self.session, self.intake)
        self.reminders = Reminders(ctx, self.windows, self.intake, self.results)

        self._connect_signals()

    def request_handlers(self) -> dict[str, Handler]:
        """Returns the handler of each request, by the name of the request."""
        requests = AccountRequests(self.ctx, self.session, self.inbound, self.windows, self.reporter)
        return {
            **requests.handlers(),
            **self.actions.handlers(),
            "media": SizedHandler(self.media.request.answer),
            "owner": self.bot_owner.answer_request,
            **self.ctx.shared.process_requests,
        }

    # What several components react to, in the order of the calls

    def _connect_signals(self) -> None:
        signals = self.ctx.signals
        signals.login_changed.connect(
            self.status.show_login,
            self.media.on_login_changed,
            self.renewal.on_login_changed,
            self._on_login_changed,
        )
        if self.windows.is_supported:
            signals.received.connect(self._on_received)
        signals.answered.connect(self._on_answered)
        if self.ctx.backend.capabilities.login_seconds is not None:
            signals.received.connect(self.renewal.on_received)
        signals.outbox_changed.connect(self.publisher.add, self.ctx.shared.changes.notify)
        signals.people_changed.connect(
            self.reporter.directory_changed.set,
            self.home_assistant.refresh_requested.set,
            self.sender.recheck,
            self.windows.refresh_requested.set,
        )
        signals.request_handled.connect(self.reporter.publish_changed_directory)
        if self.ctx.people_file is not None:
            signals.people_changed.connect(self.ctx.people_file.request_soon)
        signals.reply_windows_changed.connect(
            self.reporter.publish_directory,
            self.home_assistant.refresh_requested.set,
            self.sender.recheck,
            self.reminders.recheck_requested.set,
            self.ctx.shared.changes.notify,
        )
        signals.sending_changed.connect(self.windows.refresh_requested.set)
        signals.renewal_requested.connect(self.renewal.request)
        signals.health_changed.connect(self.reporter.health_changed.set)
        self.ctx.marks.progressed.connect(self.session.on_message_processed)

    def _on_login_changed(self, login: LoginStatus) -> None:
        self.reporter.health_changed.set()
        self.ctx.shared.changes.notify()
        self.actions.runner.wake()
        self.windows.refresh_requested.set()
        self.fallback_receiver.on_login_changed()
        self.ctx.shared.login_reported.emit(self.ctx.name, login, login.qr_url)

    def _on_received(self, _result: RecordResult) -> None:
        """A received message opens the reply window of its sender."""
        self.sender.recheck()
        self.windows.refresh_requested.set()

    def _on_answered(self, answers: AnswerBatch) -> None:
        if answers.proven:
            self.sender.on_answered(answers.proven)
        self.sender.cards.add(answers.updates)

    # Health

    async def snapshot(self) -> HealthSnapshot:
        """Returns all facts about the account's health as of now. Raises `StoreError`."""
        shared = self.ctx.shared
        connection = self.ctx.broker.connection
        stats = await self.ctx.journal.stats()
        now = now_ms()
        login_age, login_seconds_left = self._login_age(now)
        extra = self.home_assistant.health_fields()
        if shared.instance:
            extra["instance"] = shared.instance
        return HealthSnapshot(
            now=now,
            login=self.session.login,
            last_answer=self.session.state.last_answer,
            stats=stats,
            counters=self.ctx.counters,
            failing=await self.sender.outcomes.failing_users(),
            throttled=round(self.calls.throttled_seconds, 1),
            refused=(
                *self.retained.refused.paused,
                *self.publisher.refused.paused,
                *(() if connection is None else connection.refused_filters),
            ),
            broker="" if connection is None else connection.protocol,
            store_size=shared.quota.size,
            store_limit=shared.quota.limit,
            stuck=shared.watchdog.overdue(self.ctx.name),
            unresolved=self.ctx.registry.closed_count,
            discovery_cut=bool(self.home_assistant.left_out),
            media_stored=shared.blobs.size,
            muted=self.sender.attempts.is_muted,
            held=self.sender.window_wait.count,
            login_age=login_age,
            login_seconds_left=login_seconds_left,
            reload_refused=shared.reload_status.is_refused,
            extra=extra,
        )

    def _login_age(self, now: int) -> tuple[float | None, float | None]:
        """Returns the seconds since the login was made, and until it probably ends; None if not known."""
        age = self.ctx.backend.login_age()
        lasts_seconds = self.ctx.backend.capabilities.login_seconds
        if age is None or lasts_seconds is None:
            return None, None
        seconds = max(0, now - age.made) / 1000
        return seconds, max(0.0, lasts_seconds - seconds)

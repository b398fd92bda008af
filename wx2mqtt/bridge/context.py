"""The rooms of one account, wired together: who tells whom. It owns no rule; each lives in its room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from wx2mqtt.aio import ChangeNotifier
from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.bridge.attachments import Attachments
from wx2mqtt.bridge.commands.intake import AnswerRequest, AttachmentIntake, CommandIntake
from wx2mqtt.bridge.commands.rate_limit import TokenBucket
from wx2mqtt.bridge.commands.resolver import CommandResolver
from wx2mqtt.bridge.commands.results import ResultPublications
from wx2mqtt.bridge.commands.sender import CommandSender
from wx2mqtt.bridge.commands.validation import CommandValidator
from wx2mqtt.bridge.echo import EchoFilter
from wx2mqtt.bridge.health import CallStatistics
from wx2mqtt.bridge.homeassistant import HomeAssistantDiscovery
from wx2mqtt.bridge.inbound import InboundMessages
from wx2mqtt.bridge.inflight import InflightWindow
from wx2mqtt.bridge.login_state import LoginStatus
from wx2mqtt.bridge.media.downloader import Around
from wx2mqtt.bridge.media.service import MediaService
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.bridge.people.table import PeopleUpdate
from wx2mqtt.bridge.publisher import DropListener, Publisher
from wx2mqtt.bridge.reply_window import ReplyWindowTopics
from wx2mqtt.bridge.requests.actions import ActionRequests
from wx2mqtt.bridge.requests.dispatcher import PlainHandler
from wx2mqtt.bridge.retained import RetainedPublisher
from wx2mqtt.bridge.session import LoginSession
from wx2mqtt.bridge.status_topics import StatusTopics
from wx2mqtt.bridge.supervisor import Watchdog
from wx2mqtt.errors import LoggedOut
from wx2mqtt.external.url_fetch import UrlFetcher
from wx2mqtt.model import Blob, LoginState
from wx2mqtt.mqtt.broker import BrokerClient
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.people_copy import PeopleCopy
from wx2mqtt.store.records import AccountState, RecordResult
from wx2mqtt.wechat.backend import Backend, OnProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedServices:
    """What all accounts share."""

    watchdog: Watchdog
    changes: ChangeNotifier
    blobs: Blobs
    discard_blob: Callable[[Blob], Awaitable[None]]
    store_size: Callable[[], int]
    store_limit: Callable[[], int]
    log_level: PlainHandler
    reload: PlainHandler
    on_progress: OnProgress
    on_login_status: Callable[[str, LoginStatus, str], None]

    def exceeded_limit(self) -> str:
        """The limit of the store that is used up, in words; empty while there is room."""
        limit = self.store_limit()
        return f"{limit / 1_000_000:g} MB" if self.store_size() >= limit > 0 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountContext:
    """What one account stands on: its connections and its part of the store."""

    name: str
    topics: Topics
    broker: BrokerClient
    backend: Backend
    calls: CallStatistics
    journal: Journal
    people_copy: PeopleCopy
    registry: PeopleRegistry
    saved_state: AccountState
    shared: SharedServices


class Rooms:
    """Made in the order in which they need each other. `wishes` are the owner's, as of now.

    `news` is set when the health is another one, `people` when the directory is.
    """

    def __init__(
        self, ctx: AccountContext, settings: AccountSettings, *, dropped: DropListener, answer: AnswerRequest
    ) -> None:
        self.ctx = ctx
        self.settings = settings
        self.health_changed = asyncio.Event()
        self.directory_changed = asyncio.Event()
        self.results = ResultPublications(ctx.name, ctx.topics)
        self.inflight = InflightWindow(ctx.broker)
        self.retained = RetainedPublisher(self.inflight, ctx.topics.state)
        self.status = StatusTopics(ctx.name, ctx.topics, self.retained, self.inflight)
        self.publisher = Publisher(ctx.journal, self.inflight, dropped)
        self.media = self._make_media()
        self.home_assistant = self._make_home_assistant()
        files, echoes = self._make_attachments(), EchoFilter()
        self.inbound = self._make_inbound(echoes)
        self.resolver = CommandResolver(
            journal=ctx.journal, backend=ctx.backend, registry=ctx.registry, attachments=files
        )
        self.sender = self._make_sender(echoes)
        self.session = self._make_session()
        self.validator = self._make_validator()
        self.intake = self._make_intake(files, answer)
        self.actions = self._make_actions()
        self.windows = self._make_windows()

    def _make_media(self) -> MediaService:
        ground = self.ctx
        return MediaService(
            account=ground.name,
            topics=ground.topics,
            journal=ground.journal,
            backend=ground.backend,
            registry=ground.registry,
            blobs=ground.shared.blobs,
            rules=self.settings.media,
            language=self.settings.language,
            publisher=self.publisher,
            around=Around(
                online=lambda: self.session.login.state is LoginState.ONLINE,
                full=lambda: bool(ground.shared.exceeded_limit()),
                logged_out=self._on_logged_out,
                published=self._on_outbox_changed,
                beat=lambda limit: self._heartbeat("media", limit),
            ),
        )

    def _make_home_assistant(self) -> HomeAssistantDiscovery:
        ground = self.ctx
        return HomeAssistantDiscovery(
            account=ground.name,
            topics=ground.topics,
            capabilities=ground.backend.capabilities,
            journal=ground.journal,
            retained=self.retained,
            inflight=self.inflight,
            registry=ground.registry,
            settings=self.settings.home_assistant,
            news=self.health_changed.set,
            windows=lambda: self.windows.users,
        )

    def _make_attachments(self) -> Attachments:
        house = self.ctx.shared
        return Attachments(
            blobs=house.blobs,
            discard=house.discard_blob,
            limits=self.ctx.backend.capabilities.media,
            sources=lambda: self.settings.send.attachment_sources,
            free_bytes=lambda: house.store_limit() - house.store_size(),
            fetcher=UrlFetcher(),
        )

    def _make_inbound(self, echoes: EchoFilter) -> InboundMessages:
        ground = self.ctx
        return InboundMessages(
            account=ground.name,
            topics=ground.topics,
            journal=ground.journal,
            registry=ground.registry,
            echoes=echoes,
            receive_filter=self.settings.receive,
            media_rules=self.settings.media,
            publish_plain_text=self.settings.publish_plain_text,
            stored=self._on_stored,
            to_fetch=self.media.enqueue,
            people_changed=self.people_changed,
        )

    def _make_sender(self, echoes: EchoFilter) -> CommandSender:
        ground, wishes, loop = self.ctx, self.settings, asyncio.get_running_loop()
        return CommandSender(
            journal=ground.journal,
            backend=ground.backend,
            resolver=self.resolver,
            echoes=echoes,
            results=self.results,
            bucket=TokenBucket.full(wishes.per_minute, wishes.burst, loop.time()),
            language=wishes.language,
            logged_out=self._on_logged_out,
            published=self._on_outbox_changed,
            hold=lambda: self.settings.hold,
            fallback=lambda: self.settings.fallback,
            used=lambda: self.windows.refresh(),  # noqa: PLW0108 - made later
        )

    def _make_windows(self) -> ReplyWindowTopics:
        ground = self.ctx
        return ReplyWindowTopics(
            account=ground.name,
            topics=ground.topics,
            backend=ground.backend,
            registry=ground.registry,
            retained=self.retained,
            state=lambda: self.session.login.state,
            told=self._on_windows_changed,
        )

    def _make_session(self) -> LoginSession:
        ground = self.ctx
        return LoginSession(
            backend=ground.backend,
            journal=ground.journal,
            inbound=self.inbound,
            registry=ground.registry,
            sender=self.sender,
            expected=self.settings.expected_account,
            language=self.settings.language,
            shown=self.show_login,
            store_full=ground.shared.exceeded_limit,
            beat=lambda limit: self._heartbeat("receive", limit),
            progress=ground.shared.on_progress,
        )

    def _make_validator(self) -> CommandValidator:
        ground = self.ctx
        return CommandValidator(
            topics=ground.topics,
            registry=ground.registry,
            results=self.results,
            capabilities=ground.backend.capabilities,
            rules=self.settings.send,
            store_full=lambda: bool(ground.shared.exceeded_limit()),
            people_known=lambda: self.session.people_known,
        )

    def _make_intake(self, attachments: Attachments, answer: AnswerRequest) -> CommandIntake:
        ground = self.ctx
        return CommandIntake(
            topics=ground.topics,
            journal=ground.journal,
            broker=ground.broker,
            inflight=self.inflight,
            validator=self.validator,
            attachment_intake=AttachmentIntake(self.validator, attachments, ground.journal),
            results=self.results,
            answer=answer,
            accepted=self.sender.add,
            published=self._on_outbox_changed,
        )

    def _make_actions(self) -> ActionRequests:
        ground = self.ctx
        return ActionRequests(
            backend=ground.backend,
            journal=ground.journal,
            registry=ground.registry,
            rules=lambda: self.settings.send,
            contacts_topic=ground.topics.contacts,
            standing=lambda: self.session.logged_in,
            state=lambda: self.session.login.state,
            logged_out=self.session.handle_logged_out,
            save=self.save_people,
        )

    # what one room tells the others

    def show_login(self, login: LoginStatus, url: str) -> None:
        """The login is another one; `url` is the text of the QR code that is to be scanned, else empty."""
        self.status.show_login(login, url, self.settings.language)
        self.health_changed.set()
        self.ctx.shared.changes.notify()
        self.media.wake()
        self.actions.runner.wake()
        self.windows.refresh()
        self.ctx.shared.on_login_status(self.ctx.name, login, url)

    def people_changed(self) -> None:
        """Somebody has another name, trust or place now: the directory and waiting commands follow."""
        self.directory_changed.set()
        self.home_assistant.refresh()
        self.sender.recheck()
        self.windows.refresh()

    async def save_people(self, changes: PeopleUpdate) -> None:
        """Store what the owner decided, and let it show."""
        await self.inbound.apply_people(changes)

    def _on_stored(self, recorded: RecordResult) -> None:
        if recorded.last_payload is not None:
            self.status.show_last(recorded.last_payload)
        if recorded.messages or recorded.events:
            self._on_outbox_changed()
            if self.windows.supported:  # whoever writes lets us write
                self.sender.recheck()
                self.windows.refresh()

    def _on_windows_changed(self) -> None:
        """WeChat takes messages where it took none, or the other way round."""
        self.status.show_contacts(self.windows.directory_entries(), self.settings.named_users)
        self.home_assistant.refresh()
        self.sender.recheck()
        self.ctx.shared.changes.notify()

    def _on_outbox_changed(self) -> None:
        """Something was committed that the broker is to hear of."""
        self.publisher.wake()
        self.ctx.shared.changes.notify()

    def _on_logged_out(self, gone: LoggedOut) -> None:
        self.session.handle_logged_out(gone)

    def _heartbeat(self, loop: str, limit: float | None) -> None:
        name = f"{loop}:{self.ctx.name}"
        if limit is None:
            self.ctx.shared.watchdog.idle(name)
        else:
            self.ctx.shared.watchdog.heartbeat(name, limit)

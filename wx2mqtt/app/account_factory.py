"""Builds the accounts from settings and store, and assigns their base topics.

    accounts: {home: …, work: …}   ->   wx for home, wx/work for work

An account that has run before keeps its base topic.
"""

from __future__ import annotations

from collections.abc import Mapping

from wx2mqtt.app.configuration import (
    backend_section,
    broker_password,
    media_base_url,
    missing_safeguards,
    mqtt_options,
)
from wx2mqtt.app.stores import Stores
from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.bridge.context import AccountContext, SharedServices
from wx2mqtt.bridge.counters import AccountCounters
from wx2mqtt.bridge.journal_lookups import PastMessages, StoredQuotes
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.clock import Clock, now_ms
from wx2mqtt.errors import Problem, SettingsError
from wx2mqtt.mqtt.client import MqttClient
from wx2mqtt.mqtt.options import ProtocolChoice
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.names_and_topics import bases_overlap
from wx2mqtt.settings.schema import DEFAULT_BASE_TOPIC, Settings
from wx2mqtt.store.folder import SESSIONS_FOLDER
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.mapped_files import MARKS_SUFFIX, PUBACK_LOG_SUFFIX, ProcessingMarks, PubackLog
from wx2mqtt.store.people import StoredPeople
from wx2mqtt.wechat.backend import Backend
from wx2mqtt.wechat.backend_options import BackendOptions
from wx2mqtt.wechat.registry import backend_entry


class AccountFactory:
    """Builds the accounts: call `assign_base_topics` once, then `create` for each of them.

    An account keeps most of its settings until the next start of the process. `settings_of` has those that a
    reload changes. `embedded` is the URL and protocol of the embedded broker, or None.
    """

    def __init__(
        self,
        loaded_at_start: LoadedSettings,
        stores: Stores,
        shared: SharedServices,
        embedded: tuple[str, ProtocolChoice] | None,
    ) -> None:
        self._loaded_at_start = loaded_at_start
        #: The current settings, which a reload replaces.
        self.loaded = loaded_at_start
        self._stores = stores
        self._shared = shared
        self._embedded = embedded
        #: By the name of each account, in the order of the settings; empty before `assign_base_topics`.
        self.base_topics: Mapping[str, str] = {}

    async def assign_base_topics(self) -> None:
        """Assigns the base topic of each account. Raises `SettingsError`, `StoreError`."""
        accounts = self._loaded_at_start.settings.accounts
        journals = {name: self._open_journal(name) for name in accounts}
        stored = {name: (await journal.open()).base_topic for name, journal in journals.items()}
        file = str(self._loaded_at_start.path or "the settings")
        self.base_topics = resolve_base_topics(self._loaded_at_start.settings, stored, file)

    async def create(self, name: str) -> Account:
        """Builds an account. Raises `StoreError`.

        1. opens its journal, which holds its rows in the store, and stores its base topic there
        2. loads its people
        3. opens the two files that survive a kill: the marks and the log of PUBACKs
        4. makes its client of the broker and its backend of WeChat
        """
        settings, stores = self._loaded_at_start.settings, self._stores
        topics = Topics(self.base_topics[name])
        journal = self._open_journal(name)
        saved_state = await journal.open()
        if saved_state.base_topic != topics.base:
            await journal.set_base_topic(topics.base)
        current_settings = self.settings_of(name)
        registry = await self._load_people(name, current_settings)
        marks = await self._open_marks(name)
        counters = AccountCounters(started=now_ms())
        quotes = StoredQuotes(journal.history, registry)
        past = PastMessages(journal, registry)
        ctx = AccountContext(
            name=name,
            topics=topics,
            broker=MqttClient(mqtt_options(settings, name, topics, self._embedded, stores.lease)),
            backend=self._create_backend(name, counters, quotes, past, marks),
            marks=marks,
            puback_log=self._open_puback_log(name, journal),
            counters=counters,
            journal=journal,
            people_file=stores.people_file,
            registry=registry,
            saved_state=saved_state,
            settings=current_settings,
            shared=self._shared,
        )
        account = Account(ctx)
        account.use_credentials()  # those of a reload; all else of client and backend is as at the start
        account.restore()
        return account

    async def _open_marks(self, name: str) -> ProcessingMarks:
        """Returns the marks, which show at which message the last process was killed."""
        shared = self._stores.shared_marks
        fatal_elsewhere = [] if shared is None else await shared.fatal(name)
        path = self._stores.folder.path / SESSIONS_FOLDER / f"{name}{MARKS_SUFFIX}"
        return ProcessingMarks(path, fatal_elsewhere)

    def _open_puback_log(self, name: str, journal: Journal) -> PubackLog:
        """Returns the log of what the broker has acknowledged and no commit has marked yet."""
        if self._stores.database.is_elsewhere:  # the machine that runs the account next would not see it
            return PubackLog(None, journal.stream)
        path = self._stores.folder.path / SESSIONS_FOLDER / f"{name}{PUBACK_LOG_SUFFIX}"
        return PubackLog(path, journal.stream)

    async def _load_people(self, name: str, settings: AccountSettings) -> PeopleRegistry:
        people = StoredPeople(self._stores.database, name)
        persons, topic_names = await people.load()
        style = self._loaded_at_start.settings.accounts[name].topic_names
        next_id = people.next_id
        return PeopleRegistry(persons, topic_names, settings.pins, name_style=style, next_id=next_id)

    def _create_backend(
        self,
        name: str,
        counters: AccountCounters,
        quotes: StoredQuotes,
        past: PastMessages,
        marks: ProcessingMarks,
    ) -> Backend:
        """Imports and creates the backend of an account. Without a valid lease it sends nothing."""
        settings = self._loaded_at_start.settings
        account = settings.accounts[name]
        entry = backend_entry(account.backend, key=f"accounts.{name}.backend")
        options = BackendOptions(
            credentials=self._stores.saved_logins.of(name),
            observe=counters.calls.observe,
            quote_lookup=quotes.lookup,
            marks=marks,
            past_messages=past.lookup,
            endpoint=account.endpoint,
            language=settings.language,
            section=backend_section(account),
            clock=Clock(lease=self._stores.lease),
        )
        return entry.create(options)

    def settings_of(self, name: str) -> AccountSettings:
        """Returns the current settings of an account.

        An account that a reload has removed runs until the next start, with its settings at the start. So
        does the web server, whose address is in the messages.
        """
        loaded = self.loaded if name in self.loaded.settings.accounts else self._loaded_at_start
        return AccountSettings(
            whole=loaded.settings,
            name=name,
            account=loaded.settings.accounts[name],
            base_topics=tuple(self.base_topics.values()),
            media_base_url=media_base_url(self._loaded_at_start.settings.web),
            backend_section=backend_section(loaded.settings.accounts[name]),
            broker_password=broker_password(loaded.settings.mqtt, self._loaded_at_start.settings.mqtt),
            warnings=tuple(map(str, loaded.warnings)),
            missing_safeguards=missing_safeguards(loaded.settings.accounts[name]),
        )

    def _open_journal(self, name: str) -> Journal:
        stores = self._stores
        return Journal(
            stores.database,
            name,
            on_referenced=stores.blobs.mark_referenced,
            search_index=stores.search_index,
        )


def resolve_base_topics(settings: Settings, stored: Mapping[str, str | None], file: str) -> dict[str, str]:
    """Returns the base topic of each account, in the order of the settings.

    `stored` are the base topics that accounts used before; those in the settings have precedence. Raises
    `SettingsError` where one base topic contains another; its problems name `file`.
    """
    known = {name: account.base_topic or stored.get(name) for name, account in settings.accounts.items()}
    default_is_free = not any(base and bases_overlap(base, DEFAULT_BASE_TOPIC) for base in known.values())
    base_topics: dict[str, str] = {}
    problems: list[Problem] = []
    for name, known_base in known.items():
        is_first = not base_topics
        if known_base:
            base = known_base
        elif is_first and default_is_free:
            base = DEFAULT_BASE_TOPIC
        else:
            base = f"{DEFAULT_BASE_TOPIC}/{name}"
        for other, other_base in base_topics.items():
            if bases_overlap(base, other_base):
                text = (
                    f"'{base}' meets '{other_base}', which account {other} has; an account keeps the "
                    f"base that it first used, so write another base_topic for one of the two"
                )
                problems.append(Problem(file, 0, f"accounts.{name}.base_topic", text))
        base_topics[name] = base
    if problems:
        raise SettingsError(tuple(problems))
    return base_topics

"""Which base topic each account has: what it first used, whoever comes and goes. Pure.

Wiring accounts: settings and store in, an account that is ready to run out, as often as it is begun.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wx2mqtt.app.settings_mapping import account_settings, create_backend, mqtt_options
from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.account_settings import AccountSettings
from wx2mqtt.bridge.context import AccountContext, SharedServices
from wx2mqtt.bridge.health import CallStatistics
from wx2mqtt.bridge.people.registry import PeopleRegistry
from wx2mqtt.errors import Problem, SettingsError
from wx2mqtt.mqtt.client import MqttClient
from wx2mqtt.mqtt.options import ProtocolChoice
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.formats import is_within
from wx2mqtt.settings.loader import LoadedSettings
from wx2mqtt.settings.schema import DEFAULT_BASE_TOPIC, Settings
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.database import Database
from wx2mqtt.store.files import SavedLoginFile
from wx2mqtt.store.folder import SESSIONS_FOLDER, StoreFolder
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.people import StoredPeople
from wx2mqtt.store.people_copy import PeopleCopy


def resolve_base_topics(settings: Settings, stored: Mapping[str, str | None], file: str) -> dict[str, str]:
    """By account, in the order of the file. `kept` are those that accounts used before.

    Raises `SettingsError` where a base that is written in the file meets one that another account has kept;
    `file` is named in it.
    """
    given = {name: account.base_topic or stored.get(name) for name, account in settings.accounts.items()}
    free = not any(base is not None and _meets(base, DEFAULT_BASE_TOPIC) for base in given.values())
    bases = {
        name: base or (DEFAULT_BASE_TOPIC if place == 0 and free else f"{DEFAULT_BASE_TOPIC}/{name}")
        for place, (name, base) in enumerate(given.items())
    }
    if problems := tuple(_meetings(bases, file)):
        raise SettingsError(problems)
    return bases


def _meetings(bases: Mapping[str, str], file: str) -> Iterator[Problem]:
    for place, (name, base) in enumerate(bases.items()):
        for other, taken in list(bases.items())[:place]:
            if _meets(base, taken):
                words = (
                    f"'{base}' meets '{taken}', which account {other} has; an account keeps the base that it "
                    f"first used, so write another base_topic for one of the two"
                )
                yield Problem(file, 0, f"accounts.{name}.base_topic", words)


def _meets(base: str, other_base: str) -> bool:
    return is_within(base, other_base) or is_within(other_base, base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What accounts keep and all share."""

    folder: StoreFolder
    database: Database
    blobs: Blobs
    people_copy: PeopleCopy


class AccountFactory:
    """Builds the accounts of the settings at the start. `loaded` are those of now; a reload replaces them."""

    def __init__(
        self,
        loaded_at_start: LoadedSettings,
        stores: Stores,
        shared: SharedServices,
        embedded: tuple[str, ProtocolChoice] | None,
    ) -> None:
        self._loaded_at_start = loaded_at_start
        self.loaded = loaded_at_start
        self._stores = stores
        self._shared = shared
        self._embedded = embedded
        self.base_topics: Mapping[str, str] = {}

    async def assign_base_topics(self) -> None:
        """Each account keeps the base topic that it first used. Raises `SettingsError` where two meet."""
        accounts = self._loaded_at_start.settings.accounts
        journals = {name: self._open_journal(name) for name in accounts}
        kept = {name: (await journal.open()).base_topic for name, journal in journals.items()}
        self.base_topics = resolve_base_topics(
            self._loaded_at_start.settings, kept, str(self._loaded_at_start.path or "the settings")
        )
        for name, base in self.base_topics.items():
            if base != kept[name]:
                await journals[name].set_base_topic(base)

    async def create(self, name: str) -> Account:
        """The account, standing where its journal says. Raises `StoreError`."""
        settings, stores = self._loaded_at_start.settings, self._stores
        topics, journal = Topics(self.base_topics[name]), self._open_journal(name)
        opened = await journal.open()
        people = StoredPeople(stores.database, name)
        persons, levels = await people.load()
        current, calls = self._settings_at_start(name), CallStatistics()
        sessions = stores.folder.path / SESSIONS_FOLDER
        sessions.mkdir(mode=0o700, exist_ok=True)
        saved_login = SavedLoginFile(sessions / f"{name}.json")
        registry = PeopleRegistry(
            persons,
            levels,
            current.pins,
            name_style=settings.accounts[name].topic_names,
            next_id=people.next_id,
        )
        ctx = AccountContext(
            name=name,
            topics=topics,
            broker=MqttClient(mqtt_options(settings, name, topics, self._embedded)),
            backend=create_backend(settings, name, saved_login, calls.observe, journal.quoted_message),
            calls=calls,
            journal=journal,
            people_copy=stores.people_copy,
            registry=registry,
            saved_state=opened,
            settings=current,
            shared=self._shared,
        )
        return Account(ctx)

    def settings_of(self, name: str) -> AccountSettings:
        """What the owner wants of an account that the settings of now still have."""
        web = self._loaded_at_start.settings.web
        return account_settings(self.loaded, name, tuple(self.base_topics.values()), web)

    def _settings_at_start(self, name: str) -> AccountSettings:
        """An account that a reload took away runs on as it was, until the restart."""
        if name in self.loaded.settings.accounts:
            return self.settings_of(name)
        return account_settings(self._loaded_at_start, name, tuple(self.base_topics.values()))

    def _open_journal(self, name: str) -> Journal:
        return Journal(self._stores.database, name, on_referenced=self._stores.blobs.mark_referenced)

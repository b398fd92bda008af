"""Wiring accounts: settings and store in, an account that is ready to run out, as often as it is begun."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wx2mqtt.app.bases import bases_of
from wx2mqtt.app.wiring import gateway_of, options_of, wishes_of
from wx2mqtt.bridge.account import Account
from wx2mqtt.bridge.calls import Calls
from wx2mqtt.bridge.people.identity import Identity
from wx2mqtt.bridge.rooms import Ground, House
from wx2mqtt.bridge.wishes import Wishes
from wx2mqtt.mqtt.client import MqttLink
from wx2mqtt.mqtt.options import WantedProtocol
from wx2mqtt.mqtt.topics import Topics
from wx2mqtt.settings.load import Loaded
from wx2mqtt.store.blobs import Blobs
from wx2mqtt.store.database import Database
from wx2mqtt.store.folder import SESSIONS, Folder
from wx2mqtt.store.journal import Journal
from wx2mqtt.store.people import People
from wx2mqtt.store.people_copy import PeopleCopy
from wx2mqtt.store.sessions import SessionFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """What accounts keep and all share."""

    folder: Folder
    database: Database
    blobs: Blobs
    people_copy: PeopleCopy


class Opening:
    """Wires the accounts of the settings with which the process was begun; `loaded` are those of now."""

    def __init__(
        self,
        begun_with: Loaded,
        loaded: Callable[[], Loaded],
        stores: Stores,
        house: House,
        embedded: tuple[str, WantedProtocol] | None,
    ) -> None:
        self._begun_with = begun_with
        self._loaded = loaded
        self._stores = stores
        self._house = house
        self._embedded = embedded
        self._bases: Mapping[str, str] = {}

    async def settle_bases(self) -> None:
        """Each account keeps the base topic that it first used. Raises `SettingsError` where two meet."""
        accounts = self._begun_with.settings.accounts
        journals = {name: self._journal(name) for name in accounts}
        kept = {name: (await journal.open()).base_topic for name, journal in journals.items()}
        self._bases = bases_of(self._begun_with.settings, kept, str(self._begun_with.path or "the settings"))
        for name, base in self._bases.items():
            if base != kept[name]:
                await journals[name].set_base_topic(base)

    async def account(self, name: str) -> Account:
        """The account, standing where its journal says. Raises `StoreError`."""
        settings, stores = self._begun_with.settings, self._stores
        topics, journal = Topics(self._bases[name]), self._journal(name)
        opened = await journal.open()
        people = People(stores.database, name)
        persons, levels = await people.load()
        wishes, calls = self._first_wishes(name), Calls()
        sessions = stores.folder.path / SESSIONS
        sessions.mkdir(mode=0o700, exist_ok=True)
        vault = SessionFile(sessions / f"{name}.json")
        identity = Identity(
            persons,
            levels,
            wishes.pins,
            naming=settings.accounts[name].topic_names,
            next_id=people.next_id,
        )
        ground = Ground(
            name=name,
            topics=topics,
            link=MqttLink(options_of(settings, name, topics, self._embedded)),
            gateway=gateway_of(settings, name, vault, calls.observe, journal.said),
            calls=calls,
            journal=journal,
            people_copy=stores.people_copy,
            identity=identity,
            opened=opened,
            house=self._house,
        )
        return Account(ground, wishes)

    def wishes(self, name: str) -> Wishes:
        """What the owner wants of an account that the settings of now still have."""
        web = self._begun_with.settings.web
        return wishes_of(self._loaded(), name, tuple(self._bases.values()), web)

    def _first_wishes(self, name: str) -> Wishes:
        """An account that a reload took away runs on as it was, until the restart."""
        if name in self._loaded().settings.accounts:
            return self.wishes(name)
        return wishes_of(self._begun_with, name, tuple(self._bases.values()))

    def _journal(self, name: str) -> Journal:
        return Journal(self._stores.database, name, referred=self._stores.blobs.referred)

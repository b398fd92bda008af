"""The saved logins of the accounts: what the bridge does with them, and the files that hold them.

    await logins.of("home").save({"token": "…"})  ->  sessions/home.json, mode 0600

In PostgreSQL they are encrypted rows (`encrypted_logins.py`).
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import structlog
from typing_extensions import override

from wx2mqtt.bounded_json import load_json
from wx2mqtt.limits import SAVED_LOGIN_JSON
from wx2mqtt.store.atomic_files import (
    AtomicFile,
    delete_file,
    file_errors,
    make_folder,
    quarantine,
    read_file,
)

log = structlog.get_logger(__name__)


class SavedLogin(ABC):
    """The saved login of one account: secrets. Only the backend knows the content."""

    @abstractmethod
    async def load(self) -> Mapping[str, object] | None:
        """Returns the saved session, or None. Raises `StoreError`."""

    @abstractmethod
    async def save(self, session: Mapping[str, object]) -> None:
        """Replaces the saved session durably. Raises `StoreFull`, `StoreError`."""

    @abstractmethod
    async def clear(self) -> None:
        """Deletes the saved session. Raises `StoreError`."""


class SavedLogins(ABC):
    """The saved logins of all accounts of a store."""

    @abstractmethod
    def of(self, account: str) -> SavedLogin:
        """Returns the saved login of an account, which may be empty. Raises `StoreError`."""

    @abstractmethod
    async def accounts(self) -> set[str]:
        """Returns the accounts that have one. Raises `StoreError`."""

    @abstractmethod
    async def delete(self, account: str) -> None:
        """Deletes all secrets of an account that was removed. Raises `StoreError`."""


class SavedLoginFile(SavedLogin):
    """The saved login of one account in a file of mode 0600."""

    def __init__(self, path: Path) -> None:
        self._file = AtomicFile(path)

    @override
    async def load(self) -> Mapping[str, object] | None:
        """Returns the saved session, or None. A damaged file is set aside and counts as none."""
        path = self._file.path
        data = await asyncio.to_thread(read_file, path)
        if data is None:
            return None
        session = _parse(data)
        if session is None:
            aside = await asyncio.to_thread(quarantine, path)
            log.warning("saved login damaged, set aside", set_aside=str(aside))
        return session

    @override
    async def save(self, session: Mapping[str, object]) -> None:
        await self._file.write(json.dumps(dict(session)).encode())

    @override
    async def clear(self) -> None:
        await self._file.delete()


class SavedLoginFolder(SavedLogins):
    """The files `<account>.json` in a folder, and damaged ones that were set aside."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @override
    def of(self, account: str) -> SavedLogin:
        with file_errors(self._folder):
            make_folder(self._folder)
        return SavedLoginFile(self._folder / f"{account}.json")

    @override
    async def accounts(self) -> set[str]:
        return {_account_of(file) for file in self._folder.glob("*.json*")}

    @override
    async def delete(self, account: str) -> None:
        for file in sorted(self._folder.glob("*.json*")):
            if _account_of(file) == account:
                delete_file(file)


def _account_of(file: Path) -> str:
    return file.name.partition(".json")[0]


def read_saved_login(folder: Path, account: str) -> Mapping[str, object]:
    """Returns the saved session of an account, empty without a usable one. Changes nothing.

    For a look before the store is opened. Raises `StoreError`.
    """
    data = read_file(folder / f"{account}.json")
    session = None if data is None else _parse(data)
    return session or {}


def _parse(data: bytes) -> Mapping[str, object] | None:
    """Returns the session in a file; None if the file is damaged."""
    try:
        session = load_json(data, SAVED_LOGIN_JSON)
    except ValueError:
        return None
    return session if isinstance(session, dict) else None

"""One login of a web client: its secrets, its user names, and its log of events (webwx 2.10, 2.11).

A SyncKey names a position in the log; using it again returns the same entries again. Entries are rendered
when they happen, so that an answer only joins bytes. Every value that a client must send back is recorded,
so that a wrong value can be distinguished from an old one.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from urllib.parse import quote

from wx2mqtt.simulator import messages
from wx2mqtt.simulator.uploads import Uploads
from wx2mqtt.simulator.waiting_condition import WaitingCondition
from wx2mqtt.simulator.world import PersonKind, WorldContact, WorldGroup, WorldPerson

SyncKeys = tuple[tuple[int, int], ...]


class EntryKind(IntEnum):
    """The kind of a log entry; its value is the selector of synccheck."""

    MESSAGE = 2
    CHANGED = 4
    DELETED = 6
    PHONE = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSlice:
    """Log entries between two positions."""

    start: int
    end: int
    messages: Sequence[bytes]
    changed: Sequence[bytes]
    deleted: Sequence[bytes]
    more: bool


def sync_key_text(keys: SyncKeys) -> str:
    """Returns the keys in the format of synccheck's query."""
    return "|".join(f"{key}_{value}" for key, value in keys)


def sync_key_json(keys: SyncKeys) -> bytes:
    """Returns the keys in the format of a JSON body."""
    return messages.dump_json(
        {"Count": len(keys), "List": [{"Key": key, "Val": value} for key, value in keys]}
    )


class SyncLog:
    """The events of a login. `login_time` is in seconds since 1970."""

    def __init__(self, *, login_time: int) -> None:
        self.changes = WaitingCondition()
        self._login_time = login_time
        self._kinds = bytearray()
        self._entries: list[bytes] = []
        self._issued: dict[str, int] = {}
        self._confirmed = 0
        self._start = 0
        self._has_key_returned = False

    @property
    def head(self) -> int:
        """The position after the newest entry."""
        return len(self._entries)

    def append(self, kind: EntryKind, *entries: bytes) -> None:
        """Adds entries of one kind and wakes open polls."""
        self._entries += entries
        self._kinds += bytes([kind]) * len(entries)
        self.changes.notify()

    def sync_key(self, position: int) -> SyncKeys:
        """Issues the SyncKey of a position."""
        base = self._login_time - 860_000_000
        keys = ((1, base), (2, base + position), (3, base - 44), (1000, self._login_time))
        return self._issue(keys, position)

    def check_key(self, position: int) -> SyncKeys:
        """Issues the SyncCheckKey of a position: it has more keys than the SyncKey and never equals it."""
        base = self._login_time - 860_000_000
        keys = (
            (1, base),
            (2, base + position),
            (3, base - 44),
            (11, base - 91),
            (201, self._login_time + position),
            (1000, self._login_time),
            (1001, self._login_time - 8956),
        )
        return self._issue(keys, position)

    def _issue(self, keys: SyncKeys, position: int) -> SyncKeys:
        self._issued[sync_key_text(keys)] = position
        return keys

    def position(self, key: str) -> int | None:
        """Returns the position of a key; None when it was never issued."""
        return self._issued.get(key)

    def confirm(self, position: int) -> None:
        """Marks the entries before a position as received: the client has sent its key back."""
        self._has_key_returned = True
        self._confirmed = max(self._confirmed, position)

    def restart(self) -> int:
        """Returns the first position of a repeated webwxinit, which is behind all entries.

        A client that has sent no key back never got the first answer, or lost it at once: it cannot fetch
        the entries before this position, so they do not count as handed over.
        """
        if not self._has_key_returned:
            self._start = self.head
        return self.head

    def messages(self) -> tuple[list[str], int]:
        """Returns the ids of the messages that the client can fetch, and how many it has confirmed."""
        ids: list[str] = []
        confirmed_count = 0
        for position, (kind, entry) in enumerate(zip(self._kinds, self._entries, strict=True)):
            if kind == EntryKind.MESSAGE and position >= self._start:
                ids.append(json.loads(entry)["MsgId"])
                confirmed_count += position < self._confirmed
        return ids, confirmed_count

    def selector(self, position: int) -> int:
        """Returns the selector for the entries after a position; 0 when there are none."""
        kinds = self._kinds[position:]
        if not kinds:
            return 0
        return min(kinds)

    def slice_after(self, position: int, max_entries: int) -> SyncSlice:
        """Returns at most `max_entries` entries after a position."""
        end = min(position + max_entries, self.head)
        kinds = self._kinds[position:end]
        entries = self._entries[position:end]
        if EntryKind.CHANGED not in kinds and EntryKind.DELETED not in kinds:
            message_entries = entries
            changed = []
            deleted = []
        else:
            pairs = [*zip(kinds, entries, strict=True)]
            message_entries = [e for kind, e in pairs if kind in (EntryKind.MESSAGE, EntryKind.PHONE)]
            changed = [e for kind, e in pairs if kind == EntryKind.CHANGED]
            deleted = [e for kind, e in pairs if kind == EntryKind.DELETED]
        return SyncSlice(
            start=position,
            end=end,
            messages=message_entries,
            changed=changed,
            deleted=deleted,
            more=end < self.head,
        )


_ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class SimulatedSession:
    """A login. `ended_with` is None while it is active, then the retcode of every call (webwx 1.3.1).

    `nickname` is that of another account than the simulated one, else empty.
    """

    def __init__(
        self, rng: random.Random, *, uin: int, desktop: bool, base_host: str, nickname: str = ""
    ) -> None:
        self._rng = rng
        self.uin = uin
        self.nickname = nickname
        self.desktop = desktop
        self.base_host = base_host
        self.sid = self._text(16)
        self.pass_ticket = f"{self._text(20)}+{self._text(20)}/{self._text(1)}="
        self.skeys = [self._skey()]
        self.auth_ticket = f"CIsBE{self._text(60)}=="
        self.uvid = self._hex(128)
        self.load_time = int(time.time())
        self.data_tickets = {f"gS{self._text(22)}": self.load_time + 0.0}
        self.log = SyncLog(login_time=self.load_time)
        self.uploads = Uploads(rng)
        self.ended_with: int | None = None
        self.inits = 0
        self.empty_contacts_given = 0
        self.open_polls: set[asyncio.Transport] = set()
        self.empty_poll_times = {"synccheck": deque[float](maxlen=100), "webwxsync": deque[float](maxlen=100)}
        self.rendered_contacts: dict[str, bytes] = {}
        self._names: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._rooms: dict[str, str] = {}

    @property
    def skey(self) -> str:
        """The newest skey; older ones stay valid, because some clients never use a new one."""
        return self.skeys[-1]

    @property
    def data_ticket(self) -> str:
        return next(reversed(self.data_tickets))

    @property
    def pass_ticket_in_xml(self) -> str:
        """The pass_ticket percent-encoded, as in the login XML."""
        return quote(self.pass_ticket, safe="")

    @property
    def polling(self) -> bool:
        """Whether a synccheck or webwxsync is open; connections that the client has closed do not count."""
        return any(not transport.is_closing() for transport in self.open_polls)

    def new_skey(self) -> str:
        self.skeys.append(self._skey())
        self.rendered_contacts.clear()
        return self.skey

    def new_data_ticket(self) -> str:
        self.data_tickets[f"gS{self._text(22)}"] = time.time()
        return self.data_ticket

    def end_with(self, retcode: int) -> None:
        """Ends the login and wakes open polls."""
        if self.ended_with is None:
            self.ended_with = retcode
        self.log.changes.notify()

    def user_name(self, contact: WorldContact) -> str:
        """Returns a contact's user name: new in each login, fixed for special accounts (webwx 4.1.1)."""
        return self._names.get(contact.id) or self._assign_user_name(contact)

    def known_name(self, contact_id: str) -> str | None:
        """Returns the user name of an id whose contact may be removed by now."""
        return self._names.get(contact_id)

    def id_of(self, user_name: str) -> str | None:
        """Returns the id of a user name in this login, or None."""
        return self._ids.get(user_name)

    def room_id(self, group: WorldGroup) -> str:
        """Returns the group's EncryChatRoomId in this login."""
        if group.id not in self._rooms:
            self._rooms[group.id] = "@" + self._hex(32)
        return self._rooms[group.id]

    def is_known_room(self, value: str) -> bool:
        """Returns whether the value names a group: EncryChatRoomId or user name (webwx 2.9.5)."""
        return value in self._rooms.values() or value in self._ids

    def _assign_user_name(self, contact: WorldContact) -> str:
        if isinstance(contact, WorldPerson) and contact.kind is PersonKind.SPECIAL:
            name = contact.id
        elif isinstance(contact, WorldGroup):
            name = "@@" + self._hex(64)
        else:
            name = "@" + self._hex(32 if len(self._names) % 2 else 64)
        self._names[contact.id] = name
        self._ids[name] = contact.id
        return name

    def _hex(self, digits: int) -> str:
        return f"{self._rng.getrandbits(4 * digits):0{digits}x}"

    def _text(self, length: int) -> str:
        return "".join(self._rng.choices(_ALPHANUMERIC, k=length))

    def _skey(self) -> str:
        return f"@crypt_{self._hex(8)}_{self._hex(32)}"

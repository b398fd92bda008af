"""One login of a web client: its secrets, its user names, its log. Decides nothing.

All that a client must send back was made here, so that a wrong value can be told from an old one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from urllib.parse import quote

from wx2mqtt.simulator.synclog import SyncLog
from wx2mqtt.simulator.uploads import Uploads
from wx2mqtt.simulator.world import Contact, Group, Person, PersonKind

_SAFE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Session:
    """A login. `over` is None while it lives, else the retcode that every call gets (webwx 1.3)."""

    def __init__(self, dice: random.Random, *, uin: int, desktop: bool, base: str) -> None:
        self._dice = dice
        self.uin = uin
        self.desktop = desktop
        self.base = base
        self.sid = self._text(16)
        self.pass_ticket = f"{self._text(20)}+{self._text(20)}/{self._text(1)}="
        self.skeys = [self._skey()]
        self.auth_ticket = f"CIsBE{self._text(60)}=="
        self.uvid = self._hex(128)
        self.load_time = int(time.time())
        self.data_tickets = {f"gS{self._text(22)}": self.load_time + 0.0}
        self.log = SyncLog(born=self.load_time)
        self.uploads = Uploads(dice)
        self.over: int | None = None
        self.inits = 0
        self.empty_contacts_given = 0
        self.polls: set[asyncio.Transport] = set()
        self.idle = {"synccheck": deque[float](maxlen=100), "webwxsync": deque[float](maxlen=100)}
        self.rendered: dict[str, bytes] = {}
        self._names: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._rooms: dict[str, str] = {}

    @property
    def skey(self) -> str:
        """The newest skey; the older ones stay good, as clients show that never take a new one."""
        return self.skeys[-1]

    @property
    def data_ticket(self) -> str:
        """The newest webwx_data_ticket."""
        return next(reversed(self.data_tickets))

    @property
    def pass_ticket_in_xml(self) -> str:
        """The pass_ticket percent-encoded, as the XML of the login has it."""
        return quote(self.pass_ticket, safe="")

    @property
    def polling(self) -> bool:
        """Whether a synccheck or webwxsync of this login is open; those that the client left do not count."""
        return any(not transport.is_closing() for transport in self.polls)

    def new_skey(self) -> str:
        """Hand out another skey."""
        self.skeys.append(self._skey())
        self.rendered.clear()
        return self.skey

    def new_data_ticket(self) -> str:
        """Hand out another webwx_data_ticket."""
        self.data_tickets[f"gS{self._text(22)}"] = time.time()
        return self.data_ticket

    def end(self, retcode: int) -> None:
        """The login is over; whoever waits is told."""
        if self.over is None:
            self.over = retcode
        self.log.bell.ring()

    def user_name(self, contact: Contact) -> str:
        """Somebody's name in this login (webwx 4.1): new in each, clear for the special accounts."""
        known = self._names.get(contact.id)
        return known or self._give_name(contact)

    def known_name(self, contact_id: str) -> str | None:
        """The name in this login of somebody who may be gone by now."""
        return self._names.get(contact_id)

    def id_of(self, user_name: str) -> str | None:
        """Whose name in this login that is."""
        return self._ids.get(user_name)

    def room_id(self, group: Group) -> str:
        """The group's EncryChatRoomId in this login."""
        if group.id not in self._rooms:
            self._rooms[group.id] = "@" + self._hex(32)
        return self._rooms[group.id]

    def is_room(self, value: str) -> bool:
        """Whether an EncryChatRoomId is a group's; its user name does as well (webwx 2.9)."""
        return value in self._rooms.values() or value in self._ids

    def _give_name(self, contact: Contact) -> str:
        if isinstance(contact, Person) and contact.kind is PersonKind.SPECIAL:
            name = contact.id
        elif isinstance(contact, Group):
            name = "@@" + self._hex(64)
        else:
            name = "@" + self._hex(32 if len(self._names) % 2 else 64)
        self._names[contact.id] = name
        self._ids[name] = contact.id
        return name

    def _hex(self, digits: int) -> str:
        return f"{self._dice.getrandbits(4 * digits):0{digits}x}"

    def _text(self, length: int) -> str:
        return "".join(self._dice.choices(_SAFE, k=length))

    def _skey(self) -> str:
        return f"@crypt_{self._hex(8)}_{self._hex(32)}"

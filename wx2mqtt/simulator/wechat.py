"""The state of the simulated WeChat: people, logins, messages. Has no HTTP."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from wx2mqtt.simulator import contact_fields, messages
from wx2mqtt.simulator.faults import Faults
from wx2mqtt.simulator.ilink.simulated_ilink import SimulatedILink
from wx2mqtt.simulator.media import ByteSource, MediaStore
from wx2mqtt.simulator.messages import MessageIds, MessageRoute, render_entry
from wx2mqtt.simulator.phone import Phone
from wx2mqtt.simulator.qr_codes import CodeAction, LoginQrCode, LoginQrCodes, OtherAccount
from wx2mqtt.simulator.session import EntryKind, SimulatedSession
from wx2mqtt.simulator.settings import SimulatorSettings
from wx2mqtt.simulator.violations import Violations
from wx2mqtt.simulator.waiting_condition import LastMinute, WaitingCondition
from wx2mqtt.simulator.wecom.simulated_wecom import SimulatedWeCom
from wx2mqtt.simulator.world import WorldContact, fresh_world

MAX_KNOWN_FILES = 1000
"""Number of uploaded files that are known by their MD5."""

RETCODE_OTHER_CLIENT = 1101
"""The retcode of the old client when another web client logs in (webwx 1.3.6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FriendRequest:
    """A friend request: the person, the login that received it, and its time (seconds since 1970)."""

    person: str
    sid: str
    time: float


class WeChat:
    """The state of the servers: one account with at most one active web login."""

    def __init__(self, *, seed: int | None = None) -> None:
        self._seed = seed
        self.settings = SimulatorSettings()
        self.changes = WaitingCondition()
        self._create_state()

    def _create_state(self) -> None:
        self.rng = random.Random(self._seed)
        self.world = fresh_world()
        self.codes = LoginQrCodes(self.rng)
        self.faults = Faults()
        self.violations = Violations()
        self.phone = Phone()
        self.media = MediaStore()
        self.files: dict[tuple[str, int], ByteSource] = {}
        self.ids = MessageIds(self.rng)
        self.sessions: dict[str, SimulatedSession] = {}
        self.session: SimulatedSession | None = None
        self.calls: Counter[str] = Counter()
        self.seen_client_ids: dict[tuple[str, str], str] = {}
        self.sends = LastMinute()
        self.actions = LastMinute()
        self.friend_requests: dict[str, FriendRequest] = {}
        self.ilink = SimulatedILink(
            world=self.world,
            violations=self.violations,
            shared_settings=self.settings,
            seed=self._seed,
        )
        self.wecom = SimulatedWeCom(
            world=self.world,
            violations=self.violations,
            faults=self.faults,
            shared_settings=self.settings,
            count_call=self.count_call,
            seed=self._seed,
        )

    def count_call(self, name: str) -> None:
        """Counts a call of a client by the name of its endpoint or command."""
        self.calls[name] += 1
        self.notify_changed()

    def reset(self) -> None:
        """Restores the initial state with default settings; ends and drops all logins."""
        for session in self.sessions.values():
            session.end_with(1100)
        self.ilink.end_all_bots()
        self.wecom.close_all()
        phone = self.phone
        self.settings = SimulatorSettings()
        self._create_state()
        phone.notify_changed()
        self.notify_changed()

    def notify_changed(self) -> None:
        """Wakes the tasks that wait for a state."""
        self.changes.notify()

    # Logins

    def log_in(self, code: LoginQrCode, *, base_host: str, desktop: bool) -> SimulatedSession:
        """Returns the session of a confirmed code.

        A repeated ticket gets the same one (webwx 2.4.3.3: retries).
        """
        if code.session_sid:
            return self.sessions[code.session_sid]
        self.end_session(RETCODE_OTHER_CLIENT)
        scanner = code.other_account or OtherAccount(uin=self.world.uin, nickname="")
        session = SimulatedSession(
            self.rng, uin=scanner.uin, desktop=desktop, base_host=base_host, nickname=scanner.nickname
        )
        self.sessions[session.sid] = session
        self.session = session
        code.session_sid = session.sid
        code.apply(CodeAction.USE)
        self.notify_changed()
        return session

    def end_session(self, retcode: int) -> bool:
        """Ends the active login with a retcode; returns whether there was one."""
        session = self.session
        self.session = None
        if session is None:
            return False
        session.end_with(retcode)
        self.notify_changed()
        return True

    def start_session(self, session: SimulatedSession) -> int:
        """Handles webwxinit; the first one sends the recent chats. Returns the first position."""
        session.inits += 1
        if session.inits > 1:
            return session.log.restart()
        self._notify_recent_chats(session)
        self.notify_changed()
        return 0

    def _notify_recent_chats(self, session: SimulatedSession) -> None:
        names = [session.user_name(contact) for contact in self.world.chats()][-300:]
        parts = self.settings.notify_lists
        for part in range(parts):
            self.notify_status(session, 4, ",".join(names[part::parts]))

    def register_upload(self, content: ByteSource) -> None:
        """Keeps an uploaded file (webwx 2.13.2); drops the oldest beyond `MAX_KNOWN_FILES`."""
        self.files[content.md5, content.size] = content
        if len(self.files) > MAX_KNOWN_FILES:
            del self.files[next(iter(self.files))]

    # Entries in the log of the active login

    def notify_status(self, session: SimulatedSession, code: int, names: str) -> None:
        """Adds a message of type 51 (webwx 3.9.1)."""
        me = session.user_name(self.world.owner)
        values = {"MsgType": 51, "StatusNotifyCode": code, "StatusNotifyUserName": names}
        message = render_entry(self.ids.next(), MessageRoute(sender=me, receiver=me), values)
        session.log.append(EntryKind.PHONE, message)

    def contact_changed(self, contact: WorldContact) -> None:
        """Notifies the active login of a new or changed contact."""
        if self.session is not None:
            self.session.rendered_contacts.clear()
            entry = contact_fields.changed_entry(self.world, self.session, contact)
            self.session.log.append(EntryKind.CHANGED, messages.dump_json(entry))

    def contact_deleted(self, contact: WorldContact) -> None:
        """Notifies the active login of a deleted friend or a left group."""
        if self.session is not None:
            self.session.rendered_contacts.clear()
            self.session.log.append(
                EntryKind.DELETED, messages.dump_json(contact_fields.deleted_entry(self.session, contact))
            )

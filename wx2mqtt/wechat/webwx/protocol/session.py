"""A login: its keys, its position in the stream of messages, and its saved form (webwx 2.4.2, 5.3.1).

session_to_saved(session, cookies, None)  {"version": 1, "uin": …, "position": …, "cookies": […]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from wx2mqtt.model import Cursor, Handle, Owner
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import JsonObject
from wx2mqtt.wechat.webwx.protocol.cookies import Cookies
from wx2mqtt.wechat.webwx.protocol.hosts import (
    FIRST_HOSTS,
    ClientProfile,
    ClusterHosts,
    hosts_at_endpoint,
    hosts_of,
)

SyncKeys = tuple[tuple[int, int], ...]
"""The pairs of a SyncKey: the key of a counter and its value."""


@frozen
class SyncCursor:
    """A position in the stream of messages."""

    #: What webwxsync, which fetches messages, is asked with.
    sync: SyncKeys = ()
    #: What synccheck, the long poll, is asked with.
    check: SyncKeys = ()
    #: The server holds more messages, which the last answer left out.
    more: bool = False

    def to_cursor(self) -> Cursor:
        """Returns the position as an opaque cursor."""
        return Cursor(
            json.dumps({"sync": self.sync, "check": self.check, "more": self.more}, separators=(",", ":"))
        )

    @classmethod
    def from_cursor(cls, cursor: Cursor) -> SyncCursor:
        """Reads the result of `to_cursor`. Any other cursor is the position before everything."""
        try:
            saved = json.loads(cursor)
            sync = tuple([(int(key), int(value)) for key, value in saved["sync"]])
            check = tuple([(int(key), int(value)) for key, value in saved["check"]])
            return cls(sync=sync, check=check, more=saved["more"] is True)
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return cls()


def read_sync_keys(answer: JsonObject, field: str) -> SyncKeys:
    """Returns the keys in an answer. They are empty without readable ones: the previous ones stay valid."""
    try:
        return tuple([(int(pair["Key"]), int(pair["Val"])) for pair in answer[field]["List"]])
    except (KeyError, TypeError, ValueError):
        return ()


@frozen
class Session:
    """One login. All fields but `nickname` are secret."""

    #: A random id that the bridge gives it.
    login_id: str
    #: The host of the cluster that serves the login.
    base: str
    #: The hosts and the client of its calls; it is not saved.
    profile: ClientProfile = ClientProfile()
    #: The number of the account, the same in every login.
    uin: str = field(repr=False)
    #: A key that stays the same until the login ends.
    sid: str = field(repr=False)
    #: A second key, which each sync may renew.
    skey: str = field(repr=False)
    #: The ticket in the query of most calls, percent-encoded as received.
    pass_ticket: str = field(repr=False)
    device_id: str = field(repr=False)
    #: The owner's own handle in this login.
    handle: Handle = field(default=Handle(""), repr=False)
    nickname: str = ""
    #: The position after the last sync.
    position: SyncCursor = field(default=SyncCursor(), repr=False)
    #: The phone's recent chats; groups that the owner did not save are in no other list (webwx 4.5).
    chats: tuple[str, ...] = field(default=(), repr=False)

    @property
    def owner(self) -> Owner:
        return Owner(handle=self.handle, nickname=self.nickname, uin=self.uin)


SESSION_FORMAT_VERSION = 1

# The fields of `Session` that are saved under their own name, and those without which there is no login.
_TEXT_FIELDS = ("login_id", "base", "uin", "sid", "skey", "pass_ticket", "device_id", "handle", "nickname")
_REQUIRED_FIELDS = ("login_id", "base", "uin", "sid", "skey", "handle")


def session_to_saved(session: Session, cookies: Cookies, endpoint: str | None) -> dict[str, object]:
    """Returns a login for JSON. It includes the endpoint, since keys must not be sent to another one."""
    return {
        "version": SESSION_FORMAT_VERSION,
        "endpoint": endpoint,
        **{name: getattr(session, name) for name in _TEXT_FIELDS},
        "position": session.position.to_cursor(),
        "chats": list(session.chats),
        "cookies": cookies.to_saved(),
    }


def session_from_saved(saved: Mapping[str, object], endpoint: str | None) -> tuple[Session, Cookies] | None:
    """Reads the result of `session_to_saved`; None for another endpoint or version, or invalid data."""
    if not is_saved_login(saved) or saved.get("endpoint") != endpoint:
        return None
    texts: dict[str, Any] = {}
    for name in _TEXT_FIELDS:
        text = saved.get(name)
        texts[name] = text if isinstance(text, str) else ""
    chats = saved.get("chats")
    session = Session(
        **texts,
        position=SyncCursor.from_cursor(Cursor(str(saved.get("position")))),
        chats=tuple(map(str, chats)) if isinstance(chats, list) else (),
    )
    return session, Cookies.from_saved(saved.get("cookies"))


def is_saved_login(saved: Mapping[str, object]) -> bool:
    """Returns whether this is a result of `session_to_saved`, for whatever endpoint."""
    if saved.get("version") != SESSION_FORMAT_VERSION:
        return False
    required = [saved.get(name) for name in _REQUIRED_FIELDS]
    return all(isinstance(text, str) and text for text in required)


def host_origins(endpoint: str | None, saved: Mapping[str, object]) -> tuple[str, ...]:
    """Returns the origins of the hosts that serve a saved login, or of those where a new login starts.

    With an `endpoint`, that is the only origin.
    """
    if endpoint is not None:
        return _origins(hosts_at_endpoint(endpoint))
    restored = session_from_saved(saved, endpoint)
    if restored is None:
        return _origins(FIRST_HOSTS)
    session, _ = restored
    return _origins(hosts_of(session.base))


def _origins(hosts: ClusterHosts) -> tuple[str, ...]:
    return hosts.login, hosts.base, hosts.push, hosts.file

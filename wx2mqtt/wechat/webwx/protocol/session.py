"""The values of a login: its keys, its position and its cookies, also in saved form (webwx 2.4.2, 5.3.1).

session_to_saved(session, cookies, None)      {"version": 1, "uin": …, "position": …, "cookies": […]}

cookies = cookies.with_response("wx.qq.com", ["wxuin=7; Domain=wx.qq.com; Path=/"], now)
cookies.for_host("file.wx.qq.com")            {"wxuin": "7"}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from wx2mqtt.clock import parse_http_date
from wx2mqtt.model import Cursor, Handle, Owner
from wx2mqtt.values import frozen
from wx2mqtt.wechat.json_reader import JsonObject
from wx2mqtt.wechat.webwx.protocol.endpoints import FIRST_HOSTS, ClusterHosts, hosts_at_endpoint, hosts_of

# The domain of all cookies when one address serves all hosts.
ANY_DOMAIN = ""

# As many cookies as browsers take, and as long ones: all are sent with each call and saved with the login.
MAX_COOKIES = 180
MAX_COOKIE_CHARACTERS = 4096

# `; Domain=wx.qq.com` behind the value in a `Set-Cookie` line, in lower case
_COOKIE_ATTRIBUTE = re.compile(r";\s*(domain|max-age|expires)\s*=([^;]*)")

# An HTTP date has 29 characters; the parser takes thirty times the size of a longer text.
MAX_DATE_CHARACTERS = 100


@frozen
class DesktopClient:
    """Values for desktop mode (webwx 2.4.1.2). The user configures them; the program has none of its own."""

    client_version: str
    extspam: str = field(repr=False)


@frozen
class ClientProfile:
    """The hosts to call, the language to ask for, and the client to appear as."""

    hosts: ClusterHosts = FIRST_HOSTS
    lang: str = "zh_CN"
    desktop: DesktopClient | None = None


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
    return session, Cookies.from_saved(saved.get("cookies"), any_host=endpoint is not None)


def is_saved_login(saved: Mapping[str, object]) -> bool:
    """Returns whether this is a result of `session_to_saved`, for whatever endpoint."""
    return saved.get("version") == SESSION_FORMAT_VERSION and all(
        isinstance(saved.get(name), str) and saved[name] for name in _REQUIRED_FIELDS
    )


def host_origins(endpoint: str | None, saved: Mapping[str, object]) -> tuple[str, ...]:
    """Returns the origins of the hosts that serve a saved login, or of those where a new login starts.

    With an `endpoint`, that is the only origin.
    """
    restored = session_from_saved(saved, None)
    if endpoint is not None:
        hosts = hosts_at_endpoint(endpoint)
    elif restored is not None:
        hosts = hosts_of(restored[0].base)
    else:
        hosts = FIRST_HOSTS
    return hosts.login, hosts.base, hosts.push, hosts.file


@frozen(kw_only=False, repr=False)
class Cookies:
    """Immutable cookie values by domain and name.

    They have no paths (all are `/`) and no expiry dates: the server renews them with each sync and checks
    their age itself, while the local clock may be wrong. A cookie that the server expires is removed.
    """

    #: The values by domain and name. A domain that begins with a dot includes all hosts below it.
    values: Mapping[tuple[str, str], str]
    #: One endpoint serves all hosts, so the domain of a cookie is ignored.
    any_host: bool = False

    def with_response(self, host: str, set_cookie_lines: Iterable[str], now: float) -> Cookies:
        """Returns the cookies after `Set-Cookie` lines of `host`; `now` is the server's time in seconds.

        Leaves out what could not be sent back, or is for a domain that the host must not set.
        """
        values = dict(self.values)
        for line in set_cookie_lines:
            pair = line.partition(";")[0]
            name, equals, value = map(str.strip, pair.partition("="))
            is_printable_ascii = (name + value).isascii() and (name + value).isprintable()
            is_sendable = bool(name) and is_printable_ascii and len(pair) <= MAX_COOKIE_CHARACTERS
            if not equals or not is_sendable:
                continue
            attributes = dict(_COOKIE_ATTRIBUTE.findall(line.lower()))
            domain = ANY_DOMAIN if self.any_host else _domain(host, attributes.get("domain", ""))
            if domain is None:
                continue
            if _is_expired(attributes, now):
                values.pop((domain, name), None)
            elif (domain, name) in values or len(values) < MAX_COOKIES:
                values[domain, name] = value
        return self if values == self.values else Cookies(values, self.any_host)

    def for_host(self, host: str) -> dict[str, str]:
        """Returns names and values for `host`; of several with the same name the longest domain wins."""
        values: dict[str, str] = {}
        domains: dict[str, str] = {}
        for (domain, name), value in self.values.items():
            is_covered = self.any_host or _covers(domain, host)
            if is_covered and len(domain) >= len(domains.get(name, "")):
                domains[name] = domain
                values[name] = value
        return values

    def value(self, name: str) -> str:
        """Returns the value of a cookie of any domain; empty when there is none."""
        return next((value for (_, known), value in self.values.items() if known == name), "")

    def to_saved(self) -> list[list[str]]:
        """Returns rows of domain, name and value for JSON."""
        return [[domain, name, value] for (domain, name), value in self.values.items()]

    @classmethod
    def from_saved(cls, rows: object, *, any_host: bool) -> Cookies:
        """Reads the rows of `to_saved`; rows of another form are left out."""
        values = {}
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, list) and len(row) == 3 and all(isinstance(part, str) for part in row):
                domain, name, value = row
                values[domain, name] = value
        return cls(values, any_host)


def _domain(host: str, requested: str) -> str | None:
    """Returns the domain to store a cookie under, or None when the host must not set it for that domain."""
    bare = requested.strip().strip(".")
    if not bare:
        return host
    is_allowed = "." in bare and (host == bare or host.endswith(f".{bare}"))
    return f".{bare}" if is_allowed else None


def _covers(domain: str, host: str) -> bool:
    """Returns whether a cookie of this domain goes to a host; `.qq.com` covers `qq.com` and all below it."""
    if domain.startswith("."):
        return host == domain[1:] or host.endswith(domain)
    return host == domain


def _is_expired(attributes: Mapping[str, str], now: float) -> bool:
    """Returns whether the server removes a cookie: by a `max-age` of at most 0, else by `expires`."""
    age = attributes.get("max-age", "").strip()
    if age.lstrip("-").isdigit():
        return age.startswith("-") or age.strip("0") == ""
    expires = attributes.get("expires", "").strip()
    if len(expires) > MAX_DATE_CHARACTERS:
        return False
    seconds = parse_http_date(expires)
    return seconds is not None and seconds <= now

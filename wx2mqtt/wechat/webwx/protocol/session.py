"""A login as values: its cookies, its cursor, and how it is saved (webwx 2.4.2, 2.10.2, 2.11.4, 5.3.1).

Cookies are kept without paths (all are `/`) and without dates: the server renews them with each sync and
judges their age, while our clock may be wrong. Only an order to delete is obeyed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from wx2mqtt.model import Cursor, Handle, Owner
from wx2mqtt.wechat.json_reader import JsonObject, read_number, read_objects
from wx2mqtt.wechat.webwx.protocol.endpoints import FIRST_HOSTS, ClusterHosts, hosts_at_endpoint, hosts_of

ANY_DOMAIN = ""  # the domain of cookies when one address serves every host
_CookieKey = tuple[str, str]  # domain, name


@dataclass(frozen=True, slots=True, repr=False)
class Cookies:
    """Values by (domain, name). A domain that begins with a dot is good for all hosts below it.

    `anywhere` is for an address of one's own that stands for every host: any domain is accepted, and sent
    to it.
    """

    values: Mapping[_CookieKey, str]
    any_host: bool = False

    @classmethod
    def empty(cls, *, any_host: bool) -> Cookies:
        """No cookies yet."""
        return cls({}, any_host)

    def with_response(self, host: str, set_cookie_lines: Iterable[str], now: float) -> Cookies:
        """With the `Set-Cookie` lines of an answer from `host`; `now` is the server's time."""
        values = dict(self.values)
        for line in set_cookie_lines:
            self._apply(values, host, line, now)
        return self if values == self.values else Cookies(values, self.any_host)

    def header_for(self, host: str) -> str:
        """What `host` is sent; empty when there is none."""
        return "; ".join(f"{name}={value}" for name, value in self.for_host(host).items())

    def for_host(self, host: str) -> dict[str, str]:
        """Names and values that `host` may see; of two with one name the narrower domain wins."""
        fitting = [key for key in self.values if self.any_host or _covers(key[0], host)]
        fitting.sort(key=lambda key: len(key[0]))
        return {name: self.values[domain, name] for domain, name in fitting}

    def value(self, name: str) -> str:
        """The value of a cookie of whatever domain."""
        return next((value for (_, known), value in self.values.items() if known == name), "")

    def to_saved(self) -> list[list[str]]:
        """As JSON can hold it."""
        return [[domain, name, value] for (domain, name), value in self.values.items()]

    @classmethod
    def from_saved(cls, rows: object, *, any_host: bool) -> Cookies:
        """What `saved` made; rows that cannot be read are left out."""
        good = [row for row in rows if _is_row(row)] if isinstance(rows, list) else []
        return cls({(domain, name): value for domain, name, value in good}, any_host)

    def _apply(self, values: dict[_CookieKey, str], host: str, line: str, now: float) -> None:
        pair, *attributes = line.split(";")
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not name or not _sendable(name + value):
            return
        facts = {key.strip().lower(): fact.strip() for key, _, fact in (a.partition("=") for a in attributes)}
        domain = ANY_DOMAIN if self.any_host else _domain(host, facts.get("domain", ""))
        if domain is None:
            return
        if _is_over(facts, now):
            values.pop((domain, name), None)
        else:
            values[domain, name] = value


def _domain(host: str, requested: str) -> str | None:
    """The domain under which a cookie is kept; None when the host may not set it there."""
    bare = requested.strip(".").lower()
    if not bare:
        return host
    allowed = "." in bare and (host == bare or host.endswith(f".{bare}"))
    return f".{bare}" if allowed else None


def _covers(domain: str, host: str) -> bool:
    return domain == host or (domain.startswith(".") and (host == domain[1:] or host.endswith(domain)))


def _is_over(facts: Mapping[str, str], now: float) -> bool:
    age = facts.get("max-age", "")
    if age.lstrip("-").isdigit():
        return age.startswith("-") or age.strip("0") == ""
    expires = facts.get("expires", "")
    return bool(expires) and _seconds(expires) <= now


def _seconds(date: str) -> float:
    """A date of HTTP as seconds since 1970; one that cannot be read is far away."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, IndexError):
        return float("inf")


def _sendable(part: str) -> bool:
    return part.isascii() and part.isprintable()


def _is_row(row: object) -> bool:
    return isinstance(row, list) and len(row) == 3 and all(isinstance(part, str) for part in row)


SyncKeys = tuple[tuple[int, int], ...]
"""The pairs of a SyncKey: what is counted, and how far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncCursor:
    """`sync` is for webwxsync, `check` for synccheck; `more`: the last answer left something waiting."""

    sync: SyncKeys = ()
    check: SyncKeys = ()
    more: bool = False

    def to_cursor(self) -> Cursor:
        """As the journal keeps it."""
        return Cursor(
            json.dumps({"sync": self.sync, "check": self.check, "more": self.more}, separators=(",", ":"))
        )

    @classmethod
    def from_cursor(cls, cursor: Cursor) -> SyncCursor:
        """What `cursor` made. A cursor that is not ours is the position before everything."""
        try:
            kept = json.loads(cursor)
            return cls(sync=_pairs(kept["sync"]), check=_pairs(kept["check"]), more=kept["more"] is True)
        except (ValueError, TypeError, KeyError, RecursionError):
            return cls()

    @property
    def synckey_query(self) -> str:
        """The key as synccheck wants it, before percent-encoding."""
        return "|".join(f"{key}_{value}" for key, value in self.check)


def read_sync_keys(answer: JsonObject, field: str) -> SyncKeys:
    """The keys in an answer; empty when it has none, which means that the old ones stay."""
    given = answer.get(field)
    if not isinstance(given, dict):
        return ()
    return tuple(
        (read_number(pair, "Key"), read_number(pair, "Val")) for pair in read_objects(given, "List")[0]
    )


def _pairs(rows: list[list[int]]) -> SyncKeys:
    return tuple((int(key), int(value)) for key, value in rows)


SESSION_FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login. All of it but the owner's name is secret.

    `base` is the base host that the login was sent to. `pass_ticket` is percent-encoded, as WeChat gives
    it. `chats` are the groups among the phone's recent chats: unsaved ones are in no other list (webwx
    4.5).
    """

    login_id: str
    base: str
    uin: str = field(repr=False)
    sid: str = field(repr=False)
    skey: str = field(repr=False)
    pass_ticket: str = field(repr=False)
    device_id: str = field(repr=False)
    handle: Handle = field(default=Handle(""), repr=False)
    nickname: str = ""
    position: SyncCursor = field(default_factory=SyncCursor, repr=False)
    chats: tuple[str, ...] = field(default=(), repr=False)

    @property
    def owner(self) -> Owner:
        """Whose account this is."""
        return Owner(handle=self.handle, nickname=self.nickname, uin=self.uin)


_TEXTS = ("login_id", "base", "uin", "sid", "skey", "pass_ticket", "device_id", "handle", "nickname")
_NEEDED = ("login_id", "base", "uin", "sid", "skey", "handle")


def session_to_saved(session: Session, cookies: Cookies, endpoint: str | None) -> dict[str, object]:
    """A login as JSON can hold it. The endpoint goes along: keys are never sent to another one."""
    return {
        "version": SESSION_FORMAT_VERSION,
        "endpoint": endpoint,
        **{name: getattr(session, name) for name in _TEXTS},
        "position": session.position.to_cursor(),
        "chats": list(session.chats),
        "cookies": cookies.to_saved(),
    }


def session_from_saved(saved: Mapping[str, object], endpoint: str | None) -> tuple[Session, Cookies] | None:
    """What `session_to_saved` made; None when it is of another endpoint or version, or cannot be read."""
    if saved.get("version") != SESSION_FORMAT_VERSION or saved.get("endpoint") != endpoint:
        return None
    texts = {name: value for name in _TEXTS if isinstance(value := saved.get(name), str)}
    if not all(texts.get(name) for name in _NEEDED):
        return None
    chats = saved.get("chats")
    session = Session(
        login_id=texts["login_id"],
        base=texts["base"],
        uin=texts["uin"],
        sid=texts["sid"],
        skey=texts["skey"],
        pass_ticket=texts.get("pass_ticket", ""),
        device_id=texts.get("device_id", ""),
        handle=Handle(texts["handle"]),
        nickname=texts.get("nickname", ""),
        position=SyncCursor.from_cursor(Cursor(str(saved.get("position")))),
        chats=tuple(map(str, chats)) if isinstance(chats, list) else (),
    )
    return session, Cookies.from_saved(saved.get("cookies"), any_host=endpoint is not None)


def host_origins(endpoint: str | None, saved: Mapping[str, object]) -> tuple[str, ...]:
    """The origins of the hosts of a `saved` login's cluster, or of the one where logins begin.

    An `endpoint` stands for all of them.
    """
    hosts = _hosts(endpoint, saved)
    return hosts.login, hosts.base, hosts.push, hosts.file


def _hosts(endpoint: str | None, saved: Mapping[str, object]) -> ClusterHosts:
    if endpoint is not None:
        return hosts_at_endpoint(endpoint)
    known = session_from_saved(saved, None)
    return FIRST_HOSTS if known is None else hosts_of(known[0].base)

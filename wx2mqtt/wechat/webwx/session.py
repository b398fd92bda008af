"""What a login is made of, and how it is saved for the next start (webwx 5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wx2mqtt.model import Cursor, Handle, Owner
from wx2mqtt.wechat.webwx.cookies import Cookies
from wx2mqtt.wechat.webwx.position import Position

VERSION = 1


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
    position: Position = field(default_factory=Position, repr=False)
    chats: tuple[str, ...] = field(default=(), repr=False)

    @property
    def owner(self) -> Owner:
        """Whose account this is."""
        return Owner(handle=self.handle, nickname=self.nickname, uin=self.uin)


_TEXTS = ("login_id", "base", "uin", "sid", "skey", "pass_ticket", "device_id", "handle", "nickname")
_NEEDED = ("login_id", "base", "uin", "sid", "skey", "handle")


def to_saved(session: Session, cookies: Cookies, endpoint: str | None) -> dict[str, object]:
    """A login as JSON can hold it. The endpoint goes along: keys are never sent to another one."""
    return {
        "version": VERSION,
        "endpoint": endpoint,
        **{name: getattr(session, name) for name in _TEXTS},
        "position": session.position.cursor(),
        "chats": list(session.chats),
        "cookies": cookies.saved(),
    }


def from_saved(saved: Mapping[str, object], endpoint: str | None) -> tuple[Session, Cookies] | None:
    """What `to_saved` made; None when it is of another endpoint or version, or cannot be read."""
    if saved.get("version") != VERSION or saved.get("endpoint") != endpoint:
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
        position=Position.of(Cursor(str(saved.get("position")))),
        chats=tuple(map(str, chats)) if isinstance(chats, list) else (),
    )
    return session, Cookies.from_saved(saved.get("cookies"), anywhere=endpoint is not None)

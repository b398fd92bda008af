"""What is sent: one function per call, from values to a `Request`. No clock: `now` is in milliseconds.

JSON goes out as raw UTF-8: an escaped character would arrive as its escape (webwx 1.2).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from wx2mqtt.wechat.webwx import endpoints
from wx2mqtt.wechat.webwx.codes import Notify
from wx2mqtt.wechat.webwx.endpoints import Endpoint, Hosts
from wx2mqtt.wechat.webwx.position import Position
from wx2mqtt.wechat.webwx.session import Session

JSON_TYPE = "application/json; charset=UTF-8"
FORM_TYPE = "application/x-www-form-urlencoded"
BATCH = 50  # names in one webwxbatchgetcontact (webwx 2.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desktop:
    """The owner's own values for desktop mode (webwx 2.4.1); nothing of the kind is shipped."""

    client_version: str
    extspam: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """How we speak to WeChat: which hosts, in which language, as what."""

    hosts: Hosts
    lang: str = "zh_CN"
    desktop: Desktop | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Request:
    """One HTTP exchange to be made; a POST when there is a body. `cookies` replace those of the login.

    Holds secrets in every field, so it has no repr of its own.
    """

    endpoint: Endpoint
    url: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)


def jslogin(site: Site, now: int) -> Request:
    """A new QR code (webwx 2.1)."""
    mode = "?mod=desktop" if site.desktop else ""
    target = f"{endpoints.START.base}{endpoints.NEW_LOGIN.path}{mode}"
    query = {"appid": endpoints.APP_ID, "redirect_uri": target, "fun": "new", "lang": site.lang, "_": now}
    return _get(site, endpoints.JSLOGIN, urlencode(query))


def scan_poll(site: Site, uuid: str, *, first: bool, now: int) -> Request:
    """Wait for what the phone does with a QR code or a push login (webwx 2.3)."""
    query = {"loginicon": "true", "uuid": uuid, "tip": int(first), "r": inverted(now), "_": now}
    return _get(site, endpoints.LOGIN, urlencode(query))


def new_login(site: Site, redirect: str) -> Request:
    """Exchange the ticket in the redirect for a session (webwx 2.4); `version=v2` asks for 200, not 301."""
    address = endpoints.from_cgi_bin(redirect)
    mode = "&mod=desktop" if site.desktop else ""
    url = f"{site.hosts.base}{address}{'&' if '?' in address else '?'}fun=new&version=v2{mode}"
    headers = {}
    if site.desktop:
        headers = {
            "client-version": site.desktop.client_version,
            "extspam": site.desktop.extspam,
            "Referer": f"{endpoints.START.base}/?&lang={site.lang}&target=t",
        }
    return Request(endpoint=endpoints.NEW_LOGIN, url=url, headers={**referer(site), **headers})


def push_login(site: Site, session: Session, cookies: Mapping[str, str]) -> Request:
    """Ask the phone whether to log in again (webwx 2.5), with the cookies that a browser would hold."""
    mode = "&mod=desktop" if site.desktop else ""
    held = {"last_wxuin": session.uin, "login_frequency": "2"}
    if "wxloadtime" in cookies:
        held["wxloadtime"] = f"{cookies['wxloadtime'].removesuffix('_expired')}_expired"
    query = f"uin={quote(session.uin, safe='')}{mode}"
    return Request(
        endpoint=endpoints.PUSH_LOGIN,
        url=f"{site.hosts.url(endpoints.PUSH_LOGIN)}?{query}",
        headers=referer(site),
        cookies=held,
    )


def init(site: Site, session: Session, now: int) -> Request:
    """The first call of a session (webwx 2.6)."""
    query = f"r={inverted(now)}&{_ticket(site, session)}"
    return _post(site, endpoints.INIT, query, f'{{"BaseRequest":{base_request(session)}}}')


def status_notify(site: Site, session: Session, now: int) -> Request:
    """Tell the phone that web WeChat is there (webwx 2.7)."""
    rest = {
        "Code": int(Notify.INITED),
        "FromUserName": session.handle,
        "ToUserName": session.handle,
        "ClientMsgId": now,
    }
    return signed(site, session, endpoints.STATUS_NOTIFY, rest)


def get_contact(site: Site, session: Session, seq: int, now: int) -> Request:
    """One page of the address book (webwx 2.8)."""
    query = f"{_ticket(site, session)}&r={now}&seq={seq}&skey={quote(session.skey, safe='')}"
    return _get(site, endpoints.GET_CONTACT, query)


def batch_get(site: Site, session: Session, names: Sequence[str], now: int) -> Request:
    """Details of up to 50 people or groups, groups with their members (webwx 2.9)."""
    rest = {"Count": len(names), "List": [{"UserName": name, "ChatRoomId": ""} for name in names]}
    return signed(site, session, endpoints.BATCH_GET, rest, f"type=ex&r={now}")


def sync_check(site: Site, session: Session, position: Position, now: int) -> Request:
    """The long poll (webwx 2.10). The names are case-sensitive: a wrong one is answered at once for ever."""
    query = {
        "r": now,
        "skey": session.skey,
        "sid": session.sid,
        "uin": session.uin,
        "deviceid": session.device_id,
        "synckey": position.query,
        "_": now,
    }
    return _get(site, endpoints.SYNC_CHECK, urlencode(query))


def sync(site: Site, session: Session, position: Position, now: int) -> Request:
    """Fetch what is new (webwx 2.11): with SyncKey, never SyncCheckKey."""
    pairs = [{"Key": key, "Val": value} for key, value in position.sync]
    rest = {"SyncKey": {"Count": len(pairs), "List": pairs}, "rr": inverted(now)}
    sid, skey = quote(session.sid, safe=""), quote(session.skey, safe="")
    return signed(site, session, endpoints.SYNC, rest, f"sid={sid}&skey={skey}")


def logout(site: Site, session: Session) -> Request:
    """End the session (webwx 2.20)."""
    query = urlencode({"redirect": 1, "type": 0, "skey": session.skey})
    form = urlencode({"sid": session.sid, "uin": session.uin})
    return Request(
        endpoint=endpoints.LOGOUT,
        url=f"{site.hosts.url(endpoints.LOGOUT)}?{query}",
        body=form.encode(),
        headers={**referer(site), "Content-Type": FORM_TYPE},
    )


def inverted(now: int) -> int:
    """`~Date.now()` as JavaScript counts it: on the low 32 bits (webwx 1.2). The server ignores it."""
    low = now & 0xFFFF_FFFF
    return ~(low - (1 << 32) if low >= 1 << 31 else low)


def signed(
    site: Site, session: Session, endpoint: Endpoint, rest: Mapping[str, object], query: str = ""
) -> Request:
    """A JSON post with BaseRequest and what else it holds. Raises `UnicodeEncodeError` for no Unicode."""
    asked = f"{query}&{_ticket(site, session)}" if query else _ticket(site, session)
    body = f'{{"BaseRequest":{base_request(session)},{as_json(rest)[1:]}'
    return _post(site, endpoint, asked, body)


def base_request(session: Session) -> str:
    """The part that every JSON call begins with. A DeviceID may stay the same for a login (webwx 1.2)."""
    uin = int(session.uin) if session.uin.isdecimal() else session.uin
    return as_json({"Uin": uin, "Sid": session.sid, "Skey": session.skey, "DeviceID": session.device_id})


def as_json(value: object) -> str:
    """JSON in raw Unicode."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def referer(site: Site) -> dict[str, str]:
    """What a browser says where it comes from."""
    return {"Referer": f"{site.hosts.base}/"}


def _ticket(site: Site, session: Session) -> str:
    # The ticket is percent-encoded already; a character that is not must not end the query (webwx 1.2).
    return f"lang={site.lang}&pass_ticket={quote(session.pass_ticket, safe='%')}"


def _get(site: Site, endpoint: Endpoint, query: str) -> Request:
    return Request(endpoint=endpoint, url=f"{site.hosts.url(endpoint)}?{query}", headers=referer(site))


def _post(site: Site, endpoint: Endpoint, query: str, body: str) -> Request:
    return Request(
        endpoint=endpoint,
        url=f"{site.hosts.url(endpoint)}?{query}",
        body=body.encode(),
        headers={**referer(site), "Content-Type": JSON_TYPE},
    )

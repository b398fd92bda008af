"""What is asked for bytes: from a stored locator and the keys of now to a `Request` (webwx 2.16)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote, urlencode

from wx2mqtt.wechat.webwx import endpoints
from wx2mqtt.wechat.webwx.endpoints import Endpoint
from wx2mqtt.wechat.webwx.locators import Call
from wx2mqtt.wechat.webwx.requests import Request, Site
from wx2mqtt.wechat.webwx.session import Session

UNPACKED = "identity"  # a compressed answer could grow without bound while it is unpacked

Locator = Mapping[str, str]


def fetch(site: Site, session: Session, call: Call, locator: Locator, data_ticket: str) -> Request:
    """The call that brings the bytes.

    `data_ticket` is the cookie `webwx_data_ticket`, which webwxgetmedia wants in its query as well.
    """
    endpoint, query = _CALLS[call]
    headers = {"Referer": f"{site.hosts.base}/", "Accept-Encoding": UNPACKED}
    if call is Call.VIDEO:
        headers["Range"] = "bytes=0-"  # without it the answer is empty
    asked = query(locator, session, data_ticket)
    return Request(endpoint=endpoint, url=f"{site.hosts.url(endpoint)}?{asked}", headers=headers)


_Query = Callable[[Locator, Session, str], str]


def _image(size: str) -> _Query:
    """`size` is slave for a thumbnail, big for a sticker, empty for the picture itself."""

    def query(locator: Locator, session: Session, _data_ticket: str) -> str:
        asked = {"MsgID": locator.get("msgid", ""), "skey": session.skey}
        return urlencode(asked | {"type": size} if size else asked)

    return query


def _recording(locator: Locator, session: Session, _data_ticket: str) -> str:
    return urlencode({"msgid": locator.get("msgid", ""), "skey": session.skey})


def _file(locator: Locator, session: Session, data_ticket: str) -> str:
    told = {key: locator.get(key, "") for key in ("sender", "mediaid", "encryfilename")}
    own = {"fromuser": session.uin, "pass_ticket": session.pass_ticket, "webwx_data_ticket": data_ticket}
    # What comes percent-encoded from the server goes back as it came (webwx 1.2, 2.16).
    return "&".join(f"{key}={quote(value, '%', errors='replace')}" for key, value in (told | own).items())


def _map(locator: Locator, _session: Session, _data_ticket: str) -> str:
    return urlencode({"url": "xxx", "msgid": locator.get("msgid", ""), "pictype": "location"})


def _avatar(locator: Locator, session: Session, _data_ticket: str) -> str:
    asked = {"seq": locator.get("seq", ""), "username": locator.get("username", "")}
    return urlencode({**asked, "skey": session.skey})


_CALLS: dict[Call, tuple[Endpoint, _Query]] = {
    Call.IMAGE: (endpoints.GET_IMAGE, _image("")),
    Call.THUMBNAIL: (endpoints.GET_IMAGE, _image("slave")),
    Call.STICKER: (endpoints.GET_IMAGE, _image("big")),
    Call.VOICE: (endpoints.GET_VOICE, _recording),
    Call.VIDEO: (endpoints.GET_VIDEO, _recording),
    Call.FILE: (endpoints.GET_FILE, _file),
    Call.MAP: (endpoints.GET_MAP, _map),
    Call.AVATAR: (endpoints.GET_AVATAR, _avatar),
    Call.GROUP_AVATAR: (endpoints.GET_GROUP_AVATAR, _avatar),
}

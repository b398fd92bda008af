"""Is a call as WeChat wants it? Wrong calls are refused and recorded (webwx 1.2, 1.3, 2.4.2, 2.10).

What WeChat is known to tolerate, since public clients live on it, is an *oddity*: it passes, and counts as a
violation only in strict mode. Each oddity names the client that shows it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wx2mqtt.simulator import hosts
from wx2mqtt.simulator.hosts import Role
from wx2mqtt.simulator.http_messages import Request
from wx2mqtt.simulator.session import SimulatedSession
from wx2mqtt.simulator.wechat import WeChat

PARAMETER_ERROR = 1
TICKET_ERROR = -14
NO_SESSION = 1100
SESSION_INVALID = 1101
COOKIE_INVALID = 1102

_DEVICE_ID = re.compile(r"e[0-9]{15}")
_ESCAPED = re.compile(rb"\\(u(?!00[01])[0-9a-fA-F]{4}|/)|\\[^u/]")
_BASE_REQUEST = ("Uin", "Sid", "Skey", "DeviceID")

Fields = dict[str, object]


class CallRefused(Exception):
    """The call ends with this Ret."""

    def __init__(self, ret: int) -> None:
        super().__init__(ret)
        self.ret = ret


@dataclass(slots=True)
class Call:
    """One call of a web client: what came, and where it is judged."""

    endpoint: str
    request: Request
    wechat: WeChat

    def violation(self, what: str) -> None:
        """Record that this call is wrong."""
        self.wechat.violations.add(self.endpoint, what)

    def oddity(self, what: str) -> None:
        """Record what WeChat tolerates, in strict mode."""
        if self.wechat.settings.strict:
            self.violation(f"tolerated, but: {what}")

    def refuse(self, ret: int, what: str) -> CallRefused:
        """Record that this call is wrong; raise what is returned."""
        self.violation(what)
        return CallRefused(ret)


def method(call: Call, *wanted: str, tolerated: str = "") -> None:
    """The HTTP method is one of these."""
    got = call.request.method
    if got in wanted:
        return
    if tolerated and got in tolerated.split():
        call.oddity(f"{got} instead of {wanted[0]}")
        return
    raise call.refuse(PARAMETER_ERROR, f"{got} instead of {wanted[0]}")


def host(call: Call, role: Role, base: str) -> None:
    """The call came to the host that serves this role for this account (webwx 1.1.5)."""
    name = hosts.name_of(call.request.host)
    if not hosts.fits(name, role, base):
        raise call.refuse(NO_SESSION, f"{name} is not the {role} host of an account on {base}")


def json_body(call: Call) -> Fields:
    """The JSON object in the body."""
    try:
        body = json.loads(_literal(call, call.request.body))
    except ValueError:
        raise call.refuse(PARAMETER_ERROR, "the body is no JSON in UTF-8") from None
    if not isinstance(body, dict):
        raise call.refuse(PARAMETER_ERROR, "the body is no JSON object")
    return body


def _literal(call: Call, body: bytes) -> bytes:
    r"""`\u4f60` and `\/` in a body arrive as these characters, not as what they mean (webwx 1.2.3)."""
    if b"\\u" not in body and b"\\/" not in body:
        return body
    literal = _ESCAPED.sub(lambda m: b"\\" + m[0] if m[1] else m[0], body)
    if literal != body:
        call.violation("the body has \\uXXXX or \\/ escapes; they arrive as they are")
    return literal


def signed_body(call: Call) -> tuple[SimulatedSession, Fields]:
    """The session and the body of a JSON post, everything about them checked."""
    method(call, "POST")
    body = json_body(call)
    session = base_request(call, body)
    pass_ticket(call, session)
    return session, body


def base_request(call: Call, body: Fields, role: Role = Role.BASE) -> SimulatedSession:
    """The living session that BaseRequest names; the call came to the host of that role."""
    base = body.get("BaseRequest")
    if not isinstance(base, dict):
        raise call.refuse(PARAMETER_ERROR, "BaseRequest is missing")
    missing = [key for key in _BASE_REQUEST if key not in base]
    if missing:
        raise call.refuse(PARAMETER_ERROR, f"BaseRequest lacks {', '.join(missing)}")
    session = living(call, str(base["Sid"]))
    host(call, role, session.base)
    uin(call, session, base["Uin"])
    skey(call, session, base["Skey"])
    device_id(call, session, base["DeviceID"])
    cookies(call, session)
    return session


def living(call: Call, sid: str) -> SimulatedSession:
    """The session with that sid; a session that is over, or was forgotten, is no violation."""
    if not sid:
        raise call.refuse(NO_SESSION, "sid is missing")
    session = call.wechat.sessions.get(sid)
    if session is None:
        raise CallRefused(NO_SESSION)
    if session.ended_with is not None:
        raise CallRefused(session.ended_with)
    return session


def cookie_session(call: Call, role: Role = Role.BASE) -> SimulatedSession:
    """The living session of a call that has no BaseRequest and no sid in its query."""
    sid = call.request.cookies.get("wxsid", "")
    if not sid:
        raise call.refuse(COOKIE_INVALID, "the cookie wxsid is missing")
    session = living(call, sid)
    host(call, role, session.base)
    cookies(call, session)
    return session


def uin(call: Call, session: SimulatedSession, value: object) -> None:
    """The account's number; a number or its text (webwx 8.7, question 7)."""
    if str(value) != str(session.uin):
        raise call.refuse(NO_SESSION, "uin is not the account's")


def skey(call: Call, session: SimulatedSession, value: object) -> None:
    """A skey that this login was given; old ones stay good (itchat never takes a new one)."""
    if value in session.skeys:
        if value == session.skeys[0] != session.skey and session.inits:
            call.oddity("the skey of the XML, although webwxinit gave a new one (itchat)")
        return
    if value == "" and session.desktop:
        call.oddity("an empty skey in a desktop login (itchat-uos)")
        return
    raise call.refuse(SESSION_INVALID, "skey was never given to this login")


def device_id(call: Call, session: SimulatedSession, value: object) -> None:
    """`e` and 15 digits."""
    if isinstance(value, str) and _DEVICE_ID.fullmatch(value):
        return
    if value in (session.pass_ticket, session.pass_ticket_in_xml):
        call.oddity("the pass_ticket as DeviceID (itchat)")
        return
    raise call.refuse(PARAMETER_ERROR, "DeviceID is not e and 15 digits")


def parse_json(call: Call, text: bytes, where: str) -> Fields:
    """A JSON object that is not the body but stands somewhere in it."""
    try:
        value = json.loads(text)
    except ValueError:
        raise call.refuse(PARAMETER_ERROR, f"{where} is no JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise call.refuse(PARAMETER_ERROR, f"{where} is no JSON object")
    return value


def data_ticket(call: Call, session: SimulatedSession, value: str | None) -> None:
    """The newest webwx_data_ticket, or an older one that is still good."""
    made = session.data_tickets.get(value or "")
    if made is None or made < time.time() - call.wechat.settings.ticket_life:
        raise call.refuse(TICKET_ERROR, "webwx_data_ticket is missing, wrong or too old")


def own_name(call: Call, session: SimulatedSession, value: object) -> None:
    """The account's user name in this login."""
    if value != session.user_name(call.wechat.world.owner):
        raise call.refuse(PARAMETER_ERROR, "FromUserName is not the account's name in this login")


def pass_ticket(call: Call, session: SimulatedSession) -> None:
    """The pass_ticket in the query: as the XML has it, hence already encoded (webwx 1.2.6)."""
    value = call.request.query.get("pass_ticket")
    if value == session.pass_ticket:
        return
    if value is None:
        call.oddity("no pass_ticket (itchat)")
    elif value == session.pass_ticket_in_xml:
        call.oddity("pass_ticket encoded twice (itchat, wechat4u)")
    elif session.desktop and _DEVICE_ID.fullmatch(value):
        call.oddity("the DeviceID as pass_ticket in a desktop login (itchat-uos)")
    else:
        raise call.refuse(TICKET_ERROR, "pass_ticket is not this login's")


def cookies(call: Call, session: SimulatedSession) -> None:
    """wxuin, wxsid and a webwx_data_ticket that is not too old; else 1102 (webwx 2.4.2.1)."""
    sent = call.request.cookies
    wanted = {"wxuin": str(session.uin), "wxsid": session.sid}
    wrong = [name for name, value in wanted.items() if sent.get(name) != value]
    made = session.data_tickets.get(sent.get("webwx_data_ticket", ""))
    if made is None or made < time.time() - call.wechat.settings.ticket_life:
        wrong.append("webwx_data_ticket")
    if wrong:
        raise call.refuse(COOKIE_INVALID, f"cookies missing, wrong or too old: {', '.join(wrong)}")


@contextmanager
def alone(call: Call, session: SimulatedSession) -> Iterator[None]:
    """Never two synccheck or webwxsync at once: that makes duplicates (webwx 2.10.8)."""
    if session.polling:
        call.violation("another synccheck or webwxsync of this login is still open")
    mine = call.request.transport
    session.polls.add(mine)
    try:
        yield
    finally:
        session.polls.discard(mine)

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
_BASE_REQUEST_FIELDS = ("Uin", "Sid", "Skey", "DeviceID")

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

    def record_violation(self, problem: str) -> None:
        """Record that this call is wrong."""
        self.wechat.violations.record(self.endpoint, problem)

    def record_oddity(self, problem: str) -> None:
        """Record what WeChat tolerates, in strict mode."""
        if self.wechat.settings.strict:
            self.record_violation(f"tolerated, but: {problem}")

    def refusal(self, ret: int, problem: str) -> CallRefused:
        """Record that this call is wrong; raise what is returned."""
        self.record_violation(problem)
        return CallRefused(ret)


def require_method(call: Call, *allowed: str, tolerated: str = "") -> None:
    """The HTTP method is one of these."""
    actual = call.request.method
    if actual in allowed:
        return
    if tolerated and actual in tolerated.split():
        call.record_oddity(f"{actual} instead of {allowed[0]}")
        return
    raise call.refusal(PARAMETER_ERROR, f"{actual} instead of {allowed[0]}")


def require_host(call: Call, role: Role, base: str) -> None:
    """The call came to the host that serves this role for this account (webwx 1.1.5)."""
    name = hosts.host_name(call.request.host)
    if not hosts.serves_role(name, role, base):
        raise call.refusal(NO_SESSION, f"{name} is not the {role} host of an account on {base}")


def json_body(call: Call) -> Fields:
    """The JSON object in the body."""
    try:
        body = json.loads(_keep_escapes_literal(call, call.request.body))
    except ValueError:
        raise call.refusal(PARAMETER_ERROR, "the body is no JSON in UTF-8") from None
    if not isinstance(body, dict):
        raise call.refusal(PARAMETER_ERROR, "the body is no JSON object")
    return body


def _keep_escapes_literal(call: Call, body: bytes) -> bytes:
    r"""`\u4f60` and `\/` in a body arrive as these characters, not as what they mean (webwx 1.2.3)."""
    if b"\\u" not in body and b"\\/" not in body:
        return body
    literal = _ESCAPED.sub(lambda m: b"\\" + m[0] if m[1] else m[0], body)
    if literal != body:
        call.record_violation("the body has \\uXXXX or \\/ escapes; they arrive as they are")
    return literal


def authenticated_body(call: Call) -> tuple[SimulatedSession, Fields]:
    """The session and the body of a JSON post, everything about them checked."""
    require_method(call, "POST")
    body = json_body(call)
    session = session_of_base_request(call, body)
    require_pass_ticket(call, session)
    return session, body


def session_of_base_request(call: Call, body: Fields, role: Role = Role.BASE) -> SimulatedSession:
    """The living session that BaseRequest names; the call came to the host of that role."""
    base = body.get("BaseRequest")
    if not isinstance(base, dict):
        raise call.refusal(PARAMETER_ERROR, "BaseRequest is missing")
    missing = [key for key in _BASE_REQUEST_FIELDS if key not in base]
    if missing:
        raise call.refusal(PARAMETER_ERROR, f"BaseRequest lacks {', '.join(missing)}")
    session = living_session(call, str(base["Sid"]))
    require_host(call, role, session.base_host)
    require_uin(call, session, base["Uin"])
    require_skey(call, session, base["Skey"])
    require_device_id(call, session, base["DeviceID"])
    require_cookies(call, session)
    return session


def living_session(call: Call, sid: str) -> SimulatedSession:
    """The session with that sid; a session that is over, or was forgotten, is no violation."""
    if not sid:
        raise call.refusal(NO_SESSION, "sid is missing")
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
        raise call.refusal(COOKIE_INVALID, "the cookie wxsid is missing")
    session = living_session(call, sid)
    require_host(call, role, session.base_host)
    require_cookies(call, session)
    return session


def require_uin(call: Call, session: SimulatedSession, value: object) -> None:
    """The account's number; a number or its text (webwx 8.7, question 7)."""
    if str(value) != str(session.uin):
        raise call.refusal(NO_SESSION, "uin is not the account's")


def require_skey(call: Call, session: SimulatedSession, value: object) -> None:
    """A skey that this login was given; old ones stay good (itchat never takes a new one)."""
    if value in session.skeys:
        if value == session.skeys[0] != session.skey and session.inits:
            call.record_oddity("the skey of the XML, although webwxinit gave a new one (itchat)")
        return
    if value == "" and session.desktop:
        call.record_oddity("an empty skey in a desktop login (itchat-uos)")
        return
    raise call.refusal(SESSION_INVALID, "skey was never given to this login")


def require_device_id(call: Call, session: SimulatedSession, value: object) -> None:
    """`e` and 15 digits."""
    if isinstance(value, str) and _DEVICE_ID.fullmatch(value):
        return
    if value in (session.pass_ticket, session.pass_ticket_in_xml):
        call.record_oddity("the pass_ticket as DeviceID (itchat)")
        return
    raise call.refusal(PARAMETER_ERROR, "DeviceID is not e and 15 digits")


def parse_json(call: Call, text: bytes, where: str) -> Fields:
    """A JSON object that is not the body but stands somewhere in it."""
    try:
        value = json.loads(text)
    except ValueError:
        raise call.refusal(PARAMETER_ERROR, f"{where} is no JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise call.refusal(PARAMETER_ERROR, f"{where} is no JSON object")
    return value


def require_data_ticket(call: Call, session: SimulatedSession, value: str | None) -> None:
    """The newest webwx_data_ticket, or an older one that is still good."""
    issued_at = session.data_tickets.get(value or "")
    if issued_at is None or issued_at < time.time() - call.wechat.settings.ticket_life:
        raise call.refusal(TICKET_ERROR, "webwx_data_ticket is missing, wrong or too old")


def require_own_user_name(call: Call, session: SimulatedSession, value: object) -> None:
    """The account's user name in this login."""
    if value != session.user_name(call.wechat.world.owner):
        raise call.refusal(PARAMETER_ERROR, "FromUserName is not the account's name in this login")


def require_pass_ticket(call: Call, session: SimulatedSession) -> None:
    """The pass_ticket in the query: as the XML has it, hence already encoded (webwx 1.2.6)."""
    value = call.request.query.get("pass_ticket")
    if value == session.pass_ticket:
        return
    if value is None:
        call.record_oddity("no pass_ticket (itchat)")
    elif value == session.pass_ticket_in_xml:
        call.record_oddity("pass_ticket encoded twice (itchat, wechat4u)")
    elif session.desktop and _DEVICE_ID.fullmatch(value):
        call.record_oddity("the DeviceID as pass_ticket in a desktop login (itchat-uos)")
    else:
        raise call.refusal(TICKET_ERROR, "pass_ticket is not this login's")


def require_cookies(call: Call, session: SimulatedSession) -> None:
    """wxuin, wxsid and a webwx_data_ticket that is not too old; else 1102 (webwx 2.4.2.1)."""
    received = call.request.cookies
    expected = {"wxuin": str(session.uin), "wxsid": session.sid}
    wrong = [name for name, value in expected.items() if received.get(name) != value]
    ticket_issued_at = session.data_tickets.get(received.get("webwx_data_ticket", ""))
    if ticket_issued_at is None or ticket_issued_at < time.time() - call.wechat.settings.ticket_life:
        wrong.append("webwx_data_ticket")
    if wrong:
        raise call.refusal(COOKIE_INVALID, f"cookies missing, wrong or too old: {', '.join(wrong)}")


@contextmanager
def single_poll(call: Call, session: SimulatedSession) -> Iterator[None]:
    """Never two synccheck or webwxsync at once: that makes duplicates (webwx 2.10.8)."""
    if session.polling:
        call.record_violation("another synccheck or webwxsync of this login is still open")
    transport = call.request.transport
    session.open_polls.add(transport)
    try:
        yield
    finally:
        session.open_polls.discard(transport)

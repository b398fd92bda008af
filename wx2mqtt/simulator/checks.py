"""Validates calls of web clients; wrong calls are refused and recorded (webwx 1.2, 1.3, 2.4.2, 2.10).

An *oddity* is wrong but tolerated by WeChat, because public clients depend on it. It passes, and counts as a
violation only in strict mode. The text of each oddity names the client that does it.
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
    """Ends the call with an error code (`Ret`)."""

    def __init__(self, ret: int) -> None:
        super().__init__(ret)
        self.ret = ret


@dataclass(slots=True)
class Call:
    """One call of a web client: the request, and the simulated WeChat that judges it."""

    endpoint: str
    request: Request
    wechat: WeChat

    def record_violation(self, problem: str) -> None:
        self.wechat.violations.record(self.endpoint, problem)

    def record_oddity(self, problem: str) -> None:
        """In strict mode, records a mistake that WeChat tolerates."""
        if self.wechat.settings.strict:
            self.record_violation(f"tolerated, but: {problem}")

    def refusal(self, ret: int, problem: str) -> CallRefused:
        """Records that this call is wrong and returns the exception to raise."""
        self.record_violation(problem)
        return CallRefused(ret)


def require_method(call: Call, *allowed: str, tolerated: str = "") -> None:
    """Requires one of the allowed HTTP methods; the methods in `tolerated` are an oddity."""
    actual = call.request.method
    if actual in allowed:
        return
    if tolerated and actual in tolerated.split():
        call.record_oddity(f"{actual} instead of {allowed[0]}")
        return
    raise call.refusal(PARAMETER_ERROR, f"{actual} instead of {allowed[0]}")


def require_host(call: Call, role: Role, base: str) -> None:
    """Requires the host that serves this role for an account on the host `base` (webwx 1.1.5)."""
    name = hosts.host_name(call.request.host)
    if not hosts.serves_role(name, role, base):
        raise call.refusal(NO_SESSION, f"{name} is not the {role} host of an account on {base}")


def json_body(call: Call) -> Fields:
    try:
        body = json.loads(_keep_escapes_literal(call, call.request.body))
    except ValueError:
        raise call.refusal(PARAMETER_ERROR, "the body is no JSON in UTF-8") from None
    if not isinstance(body, dict):
        raise call.refusal(PARAMETER_ERROR, "the body is no JSON object")
    return body


def _keep_escapes_literal(call: Call, body: bytes) -> bytes:
    r"""Doubles the backslash of `\u4f60` and `\/`: WeChat does not decode them (webwx 1.2.3)."""
    if b"\\u" not in body and b"\\/" not in body:
        return body
    literal = _ESCAPED.sub(lambda m: b"\\" + m[0] if m[1] else m[0], body)
    if literal != body:
        call.record_violation("the body has \\uXXXX or \\/ escapes; they arrive as they are")
    return literal


def authenticated_body(call: Call) -> tuple[SimulatedSession, Fields]:
    """Returns the session and the JSON body of a POST after all checks."""
    require_method(call, "POST")
    body = json_body(call)
    session = session_of_base_request(call, body)
    require_pass_ticket(call, session)
    return session, body


def session_of_base_request(call: Call, body: Fields, role: Role = Role.BASE) -> SimulatedSession:
    """Returns the active session that BaseRequest names; requires the host of `role`."""
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
    """Returns the active session with that sid.

    A session that has ended or is unknown refuses the call, but is no violation of the client.
    """
    if not sid:
        raise call.refusal(NO_SESSION, "sid is missing")
    session = call.wechat.sessions.get(sid)
    if session is None:
        raise CallRefused(NO_SESSION)
    if session.ended_with is not None:
        raise CallRefused(session.ended_with)
    return session


def cookie_session(call: Call, role: Role = Role.BASE) -> SimulatedSession:
    """Returns the active session of a call that has neither a BaseRequest nor a sid in its query."""
    sid = call.request.cookies.get("wxsid", "")
    if not sid:
        raise call.refusal(COOKIE_INVALID, "the cookie wxsid is missing")
    session = living_session(call, sid)
    require_host(call, role, session.base_host)
    require_cookies(call, session)
    return session


def require_uin(call: Call, session: SimulatedSession, value: object) -> None:
    """Requires the account's uin, as a number or as text (webwx 8.7, question 7)."""
    if str(value) != str(session.uin):
        raise call.refusal(NO_SESSION, "uin is not the account's")


def require_skey(call: Call, session: SimulatedSession, value: object) -> None:
    """Requires a skey of this login. Older ones stay valid (itchat never uses a new one).

    webwxinit may be repeated with the skey of the XML: its first answer, with the new one, may be lost.
    """
    if value in session.skeys:
        if value == session.skeys[0] != session.skey and call.endpoint != "webwxinit":
            call.record_oddity("the skey of the XML, although webwxinit gave a new one (itchat)")
        return
    if value == "" and session.desktop:
        call.record_oddity("an empty skey in a desktop login (itchat-uos)")
        return
    raise call.refusal(SESSION_INVALID, "skey was never given to this login")


def require_device_id(call: Call, session: SimulatedSession, value: object) -> None:
    """Requires a DeviceID: `e` and 15 digits."""
    if isinstance(value, str) and _DEVICE_ID.fullmatch(value):
        return
    if value in (session.pass_ticket, session.pass_ticket_in_xml):
        call.record_oddity("the pass_ticket as DeviceID (itchat)")
        return
    raise call.refusal(PARAMETER_ERROR, "DeviceID is not e and 15 digits")


def parse_json(call: Call, text: bytes, where: str) -> Fields:
    """Returns a JSON object that stands somewhere in the request; `where` names the field in violations."""
    try:
        value = json.loads(text)
    except ValueError:
        raise call.refusal(PARAMETER_ERROR, f"{where} is no JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise call.refusal(PARAMETER_ERROR, f"{where} is no JSON object")
    return value


def require_data_ticket(call: Call, session: SimulatedSession, value: str | None) -> None:
    """Requires a webwx_data_ticket that has not expired."""
    issued_at = session.data_tickets.get(value or "")
    if issued_at is None or issued_at < time.time() - call.wechat.settings.ticket_life:
        raise call.refusal(TICKET_ERROR, "webwx_data_ticket is missing, wrong or too old")


def require_own_user_name(call: Call, session: SimulatedSession, value: object) -> None:
    """Requires the account's own user name in this login."""
    if value != session.user_name(call.wechat.world.owner):
        raise call.refusal(PARAMETER_ERROR, "FromUserName is not the account's name in this login")


def require_pass_ticket(call: Call, session: SimulatedSession) -> None:
    """Requires the pass_ticket in the query, percent-encoded once as in the login XML (webwx 1.2.6)."""
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
    """Requires wxuin, wxsid and a valid webwx_data_ticket; refuses with 1102 otherwise (webwx 2.4.2.1)."""
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
    """Records a violation if another synccheck or webwxsync is open: duplicates result (webwx 2.10.8)."""
    if session.polling:
        call.record_violation("another synccheck or webwxsync of this login is still open")
    transport = call.request.transport
    session.open_polls.add(transport)
    try:
        yield
    finally:
        session.open_polls.discard(transport)

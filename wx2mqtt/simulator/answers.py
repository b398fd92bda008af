"""Builders for the HTTP answers of the web WeChat servers (webwx 1.2, 9)."""

from __future__ import annotations

import time
from email.utils import formatdate

from wx2mqtt.simulator import hosts, messages
from wx2mqtt.simulator.http_messages import HTML, JAVASCRIPT, Headers, Request, SimulatedAnswer
from wx2mqtt.simulator.session import SimulatedSession

_ERROR_MESSAGES = {0: "", 402: "check the file first", 1205: "too often"}


def base_response(ret: int) -> dict[str, object]:
    return {"BaseResponse": {"Ret": ret, "ErrMsg": _ERROR_MESSAGES.get(ret, "")}}


def json(ret: int, headers: Headers = (), /, **values: object) -> SimulatedAnswer:
    """Returns a JSON answer: `text/plain` without a charset, raw UTF-8 (webwx 1.2.4)."""
    return SimulatedAnswer(body=messages.dump_json({**base_response(ret), **values}), headers=headers)


def javascript(text: str) -> SimulatedAnswer:
    """Returns a JavaScript answer, as jslogin, login and synccheck give."""
    return SimulatedAnswer(body=text.encode(), content_type=JAVASCRIPT)


def html_page(title: str, *, status: int = 200, headers: Headers = ()) -> SimulatedAnswer:
    """Returns an HTML page; some failures answer one where a client expects JSON."""
    text = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    return SimulatedAnswer(body=text.encode(), content_type=HTML, status=status, headers=headers)


def synccheck(retcode: int, selector: int) -> SimulatedAnswer:
    return javascript(f'window.synccheck={{retcode:"{retcode}",selector:"{selector}"}}')


def _set_cookie(request: Request, name: str, value: str, *, shared: bool, days: float) -> tuple[str, str]:
    host = hosts.host_name(request.host)
    domain = ""
    if hosts.is_wechat(host):
        domain = f" Domain={hosts.cookie_domain(host) if shared else host};"
    expires = formatdate(time.time() + days * 86400, usegmt=True)
    return "set-cookie", f"{name}={value};{domain} Path=/; Expires={expires}"


def sync_cookies(request: Request, session: SimulatedSession) -> Headers:
    """Returns the cookies that webwxsync issues again (lifetimes: webwx 2.4.2.2)."""
    return (
        _set_cookie(request, "wxuin", str(session.uin), shared=False, days=3),
        _set_cookie(request, "wxsid", session.sid, shared=False, days=0.5),
        _set_cookie(request, "webwx_data_ticket", session.data_ticket, shared=True, days=0.5),
        _set_cookie(request, "wxloadtime", str(session.load_time), shared=False, days=3650),
    )


def login_cookies(request: Request, session: SimulatedSession, language: str) -> Headers:
    """Returns all cookies of a login.

    On a host that is not WeChat's they have no Domain attribute, because a strict cookie jar would reject it.
    """
    return (
        *sync_cookies(request, session),
        _set_cookie(request, "mm_lang", language, shared=False, days=3650),
        _set_cookie(request, "webwxuvid", session.uvid, shared=False, days=3650),
        _set_cookie(request, "webwx_auth_ticket", session.auth_ticket, shared=False, days=3650),
        _set_cookie(request, "wxpluginkey", str(session.load_time), shared=False, days=0.5),
    )

"""The table of all calls of web WeChat, iLink and WeCom over HTTP: path, handler, form of an error answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from wx2mqtt.simulator import answers
from wx2mqtt.simulator.checks import Call, CallRefused
from wx2mqtt.simulator.endpoints import actions, contacts, download, groups, login, send, sync, upload
from wx2mqtt.simulator.http_messages import SimulatedAnswer
from wx2mqtt.simulator.ilink import answers as ilink_answers
from wx2mqtt.simulator.ilink import checks as ilink_checks
from wx2mqtt.simulator.ilink import routes as ilink_routes
from wx2mqtt.simulator.wecom import gateway as wecom_gateway
from wx2mqtt.simulator.wecom import http_calls as wecom_calls

PREFIX = "/cgi-bin/mmwebwx-bin/"

Handler = Callable[[Call], Awaitable[SimulatedAnswer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One call. `error_answer` builds the answer for a Ret; `stuck_handler` serves the fault `stuck`."""

    name: str
    handler: Handler
    error_answer: Callable[[int], SimulatedAnswer]
    stuck_handler: Handler | None = None


def _json(ret: int) -> SimulatedAnswer:
    return answers.json(ret)


def _retcode(ret: int) -> SimulatedAnswer:
    return answers.synccheck(ret, 0)


def _no_uuid(_: int) -> SimulatedAnswer:
    return answers.javascript('window.QRLogin.code = 400; window.QRLogin.uuid = "";')


def _no_code(_: int) -> SimulatedAnswer:
    return answers.javascript("window.code=400;")


def _not_found(_: int) -> SimulatedAnswer:
    return answers.html_page("404 Not Found", status=404)


def _xml(ret: int) -> SimulatedAnswer:
    return SimulatedAnswer(body=f"<error><ret>{ret}</ret><message></message></error>".encode())


def _push(ret: int) -> SimulatedAnswer:
    return SimulatedAnswer(body=f'{{"ret":"{ret}","msg":""}}'.encode())


def _redirect_home(_: int) -> SimulatedAnswer:
    return answers.html_page("Moved", status=301, headers=(("location", "/"),))


_TABLE = (
    Endpoint(name="jslogin", handler=login.jslogin, error_answer=_no_uuid),
    Endpoint(name="qrcode", handler=login.qrcode, error_answer=_not_found),
    Endpoint(name="login", handler=login.login, error_answer=_no_code),
    Endpoint(name="webwxnewloginpage", handler=login.webwxnewloginpage, error_answer=_xml),
    Endpoint(name="webwxpushloginurl", handler=login.webwxpushloginurl, error_answer=_push),
    Endpoint(name="webwxinit", handler=contacts.webwxinit, error_answer=_json),
    Endpoint(name="webwxgetcontact", handler=contacts.webwxgetcontact, error_answer=_json),
    Endpoint(name="webwxbatchgetcontact", handler=contacts.webwxbatchgetcontact, error_answer=_json),
    Endpoint(name="webwxoplog", handler=actions.webwxoplog, error_answer=_json),
    Endpoint(name="synccheck", handler=sync.synccheck, error_answer=_retcode),
    Endpoint(name="webwxsync", handler=sync.webwxsync, error_answer=_json, stuck_handler=sync.stuck),
    Endpoint(name="webwxsendmsg", handler=send.webwxsendmsg, error_answer=_json),
    Endpoint(name="webwxcheckupload", handler=upload.webwxcheckupload, error_answer=_json),
    Endpoint(name="webwxuploadmedia", handler=upload.webwxuploadmedia, error_answer=_json),
    Endpoint(name="webwxsendmsgimg", handler=send.webwxsendmsgimg, error_answer=_json),
    Endpoint(name="webwxsendvideomsg", handler=send.webwxsendvideomsg, error_answer=_json),
    Endpoint(name="webwxsendappmsg", handler=send.webwxsendappmsg, error_answer=_json),
    Endpoint(name="webwxsendemoticon", handler=send.webwxsendemoticon, error_answer=_json),
    Endpoint(name="webwxgetmsgimg", handler=download.webwxgetmsgimg, error_answer=_json),
    Endpoint(name="webwxgetvoice", handler=download.webwxgetvoice, error_answer=_json),
    Endpoint(name="webwxgetvideo", handler=download.webwxgetvideo, error_answer=_json),
    Endpoint(name="webwxgetmedia", handler=download.webwxgetmedia, error_answer=_json),
    Endpoint(name="webwxgetpubliclinkimg", handler=download.webwxgetpubliclinkimg, error_answer=_json),
    Endpoint(name="webwxgeticon", handler=contacts.webwxgeticon, error_answer=_json),
    Endpoint(name="webwxgetheadimg", handler=contacts.webwxgetheadimg, error_answer=_json),
    Endpoint(name="webwxstatusnotify", handler=actions.webwxstatusnotify, error_answer=_json),
    Endpoint(name="webwxrevokemsg", handler=actions.webwxrevokemsg, error_answer=_json),
    Endpoint(name="webwxverifyuser", handler=actions.webwxverifyuser, error_answer=_json),
    Endpoint(name="webwxcreatechatroom", handler=groups.webwxcreatechatroom, error_answer=_json),
    Endpoint(name="webwxupdatechatroom", handler=groups.webwxupdatechatroom, error_answer=_json),
    Endpoint(name="webwxstatreport", handler=actions.webwxstatreport, error_answer=_json),
    Endpoint(name="webwxlogout", handler=actions.webwxlogout, error_answer=_redirect_home),
)


def _ilink_handler(name: str, handler: ilink_routes.Handler) -> Handler:
    async def carried_out(call: Call) -> SimulatedAnswer:
        return await ilink_routes.run_handler(
            handler, ilink_checks.Call(name, call.request, call.wechat.ilink)
        )

    return carried_out


def _ilink_endpoint(name: str, handler: ilink_routes.Handler) -> Endpoint:
    stuck = ilink_routes.STUCK_HANDLERS.get(name)
    return Endpoint(
        name=name,
        handler=_ilink_handler(name, handler),
        error_answer=ilink_answers.error_answer,
        stuck_handler=stuck and _ilink_handler(name, stuck),
    )


_ILINK = {path: _ilink_endpoint(*name_and_handler) for path, name_and_handler in ilink_routes.PATHS.items()}


def _wecom_handler(name: str, handler: wecom_calls.Handler) -> Handler:
    async def carried_out(call: Call) -> SimulatedAnswer:
        return await handler(wecom_calls.HttpCall(name, call.request, call.wechat.wecom))

    return carried_out


_WECOM = {
    name: Endpoint(name=name, handler=_wecom_handler(name, handler), error_answer=wecom_calls.error_answer)
    for name, handler in wecom_calls.HANDLERS.items()
}

ENDPOINTS = {endpoint.name: endpoint for endpoint in (*_TABLE, *_ILINK.values(), *_WECOM.values())}

FAULTY_NAMES = frozenset({*ENDPOINTS, *wecom_gateway.NAMES})
"""What faults can be ordered for: calls over HTTP, and commands over the WebSocket."""

_WITHOUT_PREFIX = frozenset({"jslogin", "qrcode"})
"""The only calls outside the prefix (webwx 1.2.1)."""

_PATHS = {
    **{("/" if call.name in _WITHOUT_PREFIX else PREFIX) + call.name: call for call in _TABLE},
    **_ILINK,
}


async def run_endpoint(endpoint: Endpoint, call: Call) -> SimulatedAnswer:
    """Answers a call; a refusal gets the endpoint's own form of error."""
    try:
        return await endpoint.handler(call)
    except CallRefused as refusal:
        return endpoint.error_answer(refusal.ret)


def find_endpoint(path: str) -> Endpoint | None:
    if path.startswith("/qrcode/"):
        return ENDPOINTS["qrcode"]
    if (name := wecom_calls.find_name(path)) is not None:
        return _WECOM[name]
    return _PATHS.get(path)

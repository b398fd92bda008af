"""One table: the calls of both halves, where they are, who answers, and how a refusal of each looks."""

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

PREFIX = "/cgi-bin/mmwebwx-bin/"

Handler = Callable[[Call], Awaitable[SimulatedAnswer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One call. `refused` makes the answer for a Ret; `stuck` is what it does when nothing goes on."""

    name: str
    handler: Handler
    refused: Callable[[int], SimulatedAnswer]
    stuck: Handler | None = None


def _json(ret: int) -> SimulatedAnswer:
    return answers.json(ret)


def _retcode(ret: int) -> SimulatedAnswer:
    return answers.synccheck(ret, 0)


def _no_uuid(_: int) -> SimulatedAnswer:
    return answers.script('window.QRLogin.code = 400; window.QRLogin.uuid = "";')


def _no_code(_: int) -> SimulatedAnswer:
    return answers.script("window.code=400;")


def _no_page(_: int) -> SimulatedAnswer:
    return answers.page("404 Not Found", status=404)


def _xml(ret: int) -> SimulatedAnswer:
    return SimulatedAnswer(body=f"<error><ret>{ret}</ret><message></message></error>".encode())


def _push(ret: int) -> SimulatedAnswer:
    return SimulatedAnswer(body=f'{{"ret":"{ret}","msg":""}}'.encode())


def _goodbye(_: int) -> SimulatedAnswer:
    return answers.page("Moved", status=301, headers=(("location", "/"),))


_TABLE = (
    Endpoint(name="jslogin", handler=login.jslogin, refused=_no_uuid),
    Endpoint(name="qrcode", handler=login.qrcode, refused=_no_page),
    Endpoint(name="login", handler=login.login, refused=_no_code),
    Endpoint(name="webwxnewloginpage", handler=login.webwxnewloginpage, refused=_xml),
    Endpoint(name="webwxpushloginurl", handler=login.webwxpushloginurl, refused=_push),
    Endpoint(name="webwxinit", handler=contacts.webwxinit, refused=_json),
    Endpoint(name="webwxgetcontact", handler=contacts.webwxgetcontact, refused=_json),
    Endpoint(name="webwxbatchgetcontact", handler=contacts.webwxbatchgetcontact, refused=_json),
    Endpoint(name="webwxoplog", handler=actions.webwxoplog, refused=_json),
    Endpoint(name="synccheck", handler=sync.synccheck, refused=_retcode),
    Endpoint(name="webwxsync", handler=sync.webwxsync, refused=_json, stuck=sync.stuck),
    Endpoint(name="webwxsendmsg", handler=send.webwxsendmsg, refused=_json),
    Endpoint(name="webwxcheckupload", handler=upload.webwxcheckupload, refused=_json),
    Endpoint(name="webwxuploadmedia", handler=upload.webwxuploadmedia, refused=_json),
    Endpoint(name="webwxsendmsgimg", handler=send.webwxsendmsgimg, refused=_json),
    Endpoint(name="webwxsendvideomsg", handler=send.webwxsendvideomsg, refused=_json),
    Endpoint(name="webwxsendappmsg", handler=send.webwxsendappmsg, refused=_json),
    Endpoint(name="webwxsendemoticon", handler=send.webwxsendemoticon, refused=_json),
    Endpoint(name="webwxgetmsgimg", handler=download.webwxgetmsgimg, refused=_json),
    Endpoint(name="webwxgetvoice", handler=download.webwxgetvoice, refused=_json),
    Endpoint(name="webwxgetvideo", handler=download.webwxgetvideo, refused=_json),
    Endpoint(name="webwxgetmedia", handler=download.webwxgetmedia, refused=_json),
    Endpoint(name="webwxgetpubliclinkimg", handler=download.webwxgetpubliclinkimg, refused=_json),
    Endpoint(name="webwxgeticon", handler=contacts.webwxgeticon, refused=_json),
    Endpoint(name="webwxgetheadimg", handler=contacts.webwxgetheadimg, refused=_json),
    Endpoint(name="webwxstatusnotify", handler=actions.webwxstatusnotify, refused=_json),
    Endpoint(name="webwxrevokemsg", handler=actions.webwxrevokemsg, refused=_json),
    Endpoint(name="webwxverifyuser", handler=actions.webwxverifyuser, refused=_json),
    Endpoint(name="webwxcreatechatroom", handler=groups.webwxcreatechatroom, refused=_json),
    Endpoint(name="webwxupdatechatroom", handler=groups.webwxupdatechatroom, refused=_json),
    Endpoint(name="webwxstatreport", handler=actions.webwxstatreport, refused=_json),
    Endpoint(name="webwxlogout", handler=actions.webwxlogout, refused=_goodbye),
)


def _carried_out(name: str, handler: ilink_routes.Handler) -> Handler:
    async def carried_out(call: Call) -> SimulatedAnswer:
        return await ilink_routes.carry_out(handler, ilink_checks.Call(name, call.request, call.wechat.ilink))

    return carried_out


def _of_ilink(name: str, handler: ilink_routes.Handler) -> Endpoint:
    stuck = ilink_routes.STUCK.get(name)
    return Endpoint(
        name=name,
        handler=_carried_out(name, handler),
        refused=ilink_answers.refused,
        stuck=stuck and _carried_out(name, stuck),
    )


_ILINK = {path: _of_ilink(*found) for path, found in ilink_routes.PATHS.items()}

ENDPOINTS = {endpoint.name: endpoint for endpoint in (*_TABLE, *_ILINK.values())}

_OUTSIDE = frozenset({"jslogin", "qrcode"})
"""Only these lie outside the prefix (webwx 1.2.1)."""

_PATHS = {
    **{("/" if one.name in _OUTSIDE else PREFIX) + one.name: one for one in _TABLE},
    **_ILINK,
}


async def carry_out(endpoint: Endpoint, call: Call) -> SimulatedAnswer:
    """Answer a call; a refusal takes the endpoint's own shape."""
    try:
        return await endpoint.handler(call)
    except CallRefused as refused:
        return endpoint.refused(refused.ret)


def find(path: str) -> Endpoint | None:
    """The call that a path means."""
    if path.startswith("/qrcode/"):
        return ENDPOINTS["qrcode"]
    return _PATHS.get(path)

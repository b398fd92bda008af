"""Login endpoints: jslogin, qrcode, login, webwxnewloginpage, webwxpushloginurl (webwx 2.1 to 2.5)."""

from __future__ import annotations

import base64
import functools
import io
import time
from urllib.parse import quote

from wx2mqtt.simulator import answers, checks, hosts, messages, qr_image
from wx2mqtt.simulator.answers import javascript
from wx2mqtt.simulator.checks import Call
from wx2mqtt.simulator.hosts import Role
from wx2mqtt.simulator.http_messages import SimulatedAnswer
from wx2mqtt.simulator.qr_codes import CodeAction, CodeState, LoginQrCode
from wx2mqtt.simulator.session import SimulatedSession

APPID = "wx782c26e4c19acffb"

_NO_UUID_SCRIPT = 'window.QRLogin.code = 400; window.QRLogin.uuid = "";'


def _require_login_host(call: Call) -> None:
    checks.require_host(call, Role.LOGIN, call.wechat.settings.base_host)


async def jslogin(call: Call) -> SimulatedAnswer:
    """Creates a uuid. wechat4u uses POST; itchat omits the redirect_uri."""
    checks.require_method(call, "GET", tolerated="POST")
    _require_login_host(call)
    query = call.request.query
    if query.get("appid") != APPID or query.get("fun") != "new":
        call.record_violation("appid or fun is not what web WeChat sends")
        return javascript(_NO_UUID_SCRIPT)
    redirect = query.get("redirect_uri", "")
    if not redirect:
        call.record_oddity("no redirect_uri (itchat)")
    settings = call.wechat.settings
    code = call.wechat.codes.create(desktop="mod=desktop" in redirect, lifetime=settings.qr_lifetime)
    call.wechat.notify_changed()
    return javascript(f'window.QRLogin.code = 200; window.QRLogin.uuid = "{code.uuid}";')


async def qrcode(call: Call) -> SimulatedAnswer:
    """Returns the QR code as JPEG.

    Its text is `https://login.weixin.qq.com/l/<uuid>` (webwx 2.2.1, 2.2.2).
    """
    uuid = call.request.path.rpartition("/")[2]
    if call.wechat.codes.find(uuid) is None:
        return answers.html_page("404 Not Found", status=404)
    return SimulatedAnswer(
        body=qr_image.draw_qr_jpeg(f"https://login.weixin.qq.com/l/{uuid}"), content_type="image/jpeg"
    )


@functools.cache
def _avatar_base64() -> str:
    from PIL import Image  # noqa: PLC0415  heavy, rarely needed

    file = io.BytesIO()
    Image.new("RGB", (132, 132), (26, 173, 25)).save(file, "JPEG")
    return base64.b64encode(file.getvalue()).decode()


async def login(call: Call) -> SimulatedAnswer:
    """Long poll: waits until the state of the code changes and returns it (webwx 2.3.2, 2.3.3)."""
    checks.require_method(call, "GET")
    _require_login_host(call)
    uuid = call.request.query.get("uuid", "")
    code = call.wechat.codes.find(uuid)
    if code is None:
        if not uuid:
            call.record_violation("uuid is missing")
        return javascript("window.code=400;")
    if call.wechat.settings.autoscan:
        _autoscan(code)
    hold = min(call.wechat.settings.hold_login, code.seconds_left())
    await code.changes.wait_for(lambda: code.current_state() is not code.last_answered, hold)
    if call.request.transport.is_closing():
        return javascript("")  # the client has disconnected; the next poll gets the state
    return _state_answer(call, code)


def _autoscan(code: LoginQrCode) -> None:
    if code.current_state() is CodeState.WAITING:
        code.apply(CodeAction.SCAN)
    elif code.state is CodeState.SCANNED and code.last_answered is CodeState.SCANNED:
        code.apply(CodeAction.CONFIRM)


def _state_answer(call: Call, code: LoginQrCode) -> SimulatedAnswer:
    last_answered = code.last_answered
    state = code.current_state()
    code.last_answered = state
    call.wechat.notify_changed()
    if state is CodeState.CONFIRMED:
        code.last_answered = last_answered  # the answer may be lost, so the next poll gets it again
        return javascript(f'window.code=200;\nwindow.redirect_uri="{_redirect_uri(call, code)}";')
    if state is last_answered:
        return javascript("window.code=408;")
    if state is CodeState.SCANNED:
        return javascript(_scanned_script(call))
    if state is CodeState.CANCELLED:
        return javascript(f"window.code={_cancelled_code(call, code)};")
    return javascript("window.code=400;")


def _scanned_script(call: Call) -> str:
    avatar = ""
    if call.request.query.get("loginicon") == "true":
        avatar = f"window.userAvatar = 'data:img/jpg;base64,{_avatar_base64()}';"
    return f"window.code=201;{avatar}"


def _cancelled_code(call: Call, code: LoginQrCode) -> str:
    answer = call.wechat.settings.cancel_code
    if answer == "202":
        code.apply(CodeAction.EXPIRE)
    return answer


def _redirect_uri(call: Call, code: LoginQrCode) -> str:
    request = call.request
    name = hosts.host_name(request.host)
    base_url = f"{request.scheme}://{request.host}"
    if hosts.is_wechat(name):
        base_url = f"https://{call.wechat.settings.base_host}"
    query = f"ticket={code.ticket}&uuid={code.uuid}&lang=zh_CN&scan={int(time.time())}"
    return f"{base_url}/cgi-bin/mmwebwx-bin/webwxnewloginpage?{query}"


async def webwxnewloginpage(call: Call) -> SimulatedAnswer:
    """Exchanges the ticket for a session: XML; the status is 301 without `version=v2` (webwx 2.4.3.2)."""
    checks.require_method(call, "GET")
    settings = call.wechat.settings
    query = call.request.query
    checks.require_host(call, Role.BASE, settings.base_host)
    code = call.wechat.codes.find(query.get("uuid", ""))
    if (
        code is None
        or code.ticket != query.get("ticket")
        or code.state not in (CodeState.CONFIRMED, CodeState.USED)
    ):
        call.record_violation("ticket and uuid are not those of a confirmed code")
        return _xml(call, {"ret": "1", "message": "ticket error"})
    if query.get("fun") != "new":
        call.record_oddity("no fun=new (itchat, wechat4u)")
    if settings.html_login:
        return answers.html_page("网页版微信暂不支持")
    if settings.refuse_login:
        return _xml(call, {"ret": "1203", "message": settings.refuse_login})
    desktop = "client-version" in call.request.headers and "extspam" in call.request.headers
    session = call.wechat.log_in(code, base_host=settings.base_host, desktop=desktop)
    return _login_answer(call, session)


def _login_answer(call: Call, session: SimulatedSession) -> SimulatedAnswer:
    settings = call.wechat.settings
    values = {
        "ret": "0",
        "message": "",
        "skey": session.skeys[0],
        "wxsid": session.sid,
        "wxuin": str(session.uin),
        "pass_ticket": session.pass_ticket_in_xml,
        "isgrayscale": "1",
    }
    if settings.cookies_only:
        del values["wxsid"], values["wxuin"]
    answer = _xml(call, values)
    cookies = answers.login_cookies(call.request, session, settings.language)
    return SimulatedAnswer(body=answer.body, status=answer.status, headers=cookies)


def _xml(call: Call, values: dict[str, str]) -> SimulatedAnswer:
    v2 = call.request.query.get("version") == "v2" and not call.wechat.settings.answer_301
    body = "".join(f"<{name}>{messages.escape(value)}</{name}>" for name, value in values.items())
    return SimulatedAnswer(body=f"<error>{body}</error>".encode(), status=200 if v2 else 301)


_PUSH_REFUSALS = {
    "args": (1, "args error"),
    "antispam": (2, "antispam"),
    "invalid": (3, "device authinfo invalid"),
}


async def webwxpushloginurl(call: Call) -> SimulatedAnswer:
    """Creates a code that the phone of an earlier login shows as a question (webwx 2.5.1).

    itchat calls it on the login host.
    """
    checks.require_method(call, "GET")
    settings = call.wechat.settings
    if not _is_push_allowed(call):
        ret, message = _PUSH_REFUSALS["invalid"]
    elif settings.push_login != "ok":
        ret, message = _PUSH_REFUSALS[settings.push_login]
    else:
        desktop = call.request.query.get("mod") == "desktop"
        code = call.wechat.codes.create(desktop=desktop, lifetime=settings.qr_lifetime, push=True)
        call.wechat.notify_changed()
        return SimulatedAnswer(body=f'{{"ret":"0","msg":"all ok","uuid":"{code.uuid}"}}'.encode())
    return SimulatedAnswer(body=f'{{"ret":"{ret}","msg":"{message}"}}'.encode())


def _is_push_allowed(call: Call) -> bool:
    cookies = call.request.cookies
    uin = call.request.query.get("uin", "")
    issued = {(s.uvid, quote(s.auth_ticket, safe="=")) for s in call.wechat.sessions.values()}
    presented = (cookies.get("webwxuvid", ""), quote(cookies.get("webwx_auth_ticket", ""), safe="="))
    if cookies.get("wxuin") != uin:
        call.record_violation("the cookie wxuin is not the uin that is asked for")
        return False
    return uin == str(call.wechat.world.uin) and presented in issued

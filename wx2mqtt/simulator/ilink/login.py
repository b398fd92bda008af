"""From a QR code to a token: get_bot_qrcode, get_qrcode_status (ilink 3)."""

from __future__ import annotations

from wx2mqtt.simulator.hosts import is_wechat, name_of
from wx2mqtt.simulator.http_messages import SimulatedAnswer
from wx2mqtt.simulator.ilink import answers, checks, hosts
from wx2mqtt.simulator.ilink.checks import Call
from wx2mqtt.simulator.ilink.qr_codes import Code, CodeStatus

_MOST_TOKENS = 10


async def get_bot_qrcode(call: Call) -> SimulatedAnswer:
    """A new code. GET without a list of tokens is what releases before 2.3.1 did (ilink 3.1.3)."""
    checks.method(call, "POST", "GET")
    checks.host(call)
    for wrong in checks.app(call):
        call.oddity(wrong)
    if call.request.query.get("bot_type") != "3":
        raise call.refuse(answers.json(ret=2), "bot_type is not 3")
    if "authorization" in call.request.headers:
        call.oddity("a token before there is one")
    ilink = call.ilink
    code = ilink.codes.new(
        _tokens(call), lifetime=ilink.settings.qr_lifetime, address=hosts.here(call.request)
    )
    ilink.notify_changed()
    return answers.json(ret=0, qrcode=code.handle, qrcode_img_content=code.content)


def _tokens(call: Call) -> tuple[str, ...]:
    if call.request.method == "GET":
        call.oddity("GET instead of POST (clients before 2.3.1)")
        return ()
    fields = checks.posted(call)
    tokens = fields.get("local_token_list")
    if not isinstance(tokens, list) or not all(isinstance(one, str) and one for one in tokens):
        raise call.invalid("local_token_list is no list of tokens")
    if len(tokens) > _MOST_TOKENS:
        raise call.invalid("local_token_list has more than ten tokens")
    if "base_info" in fields:
        call.oddity("base_info, which this call does not have")
    return tuple(tokens)


async def get_qrcode_status(call: Call) -> SimulatedAnswer:
    """The poll: holds until the code moves on, then says where it stands (ilink 3.2)."""
    checks.method(call, "GET")
    checks.host(call)
    for wrong in checks.app(call):
        call.oddity(wrong)
    for header in ("authorization", "x-wechat-uin"):
        if header in call.request.headers:
            call.oddity(f"the header {header}, which this call does not have")
    code = call.ilink.codes.find(call.request.query.get("qrcode", ""))
    if code is None:
        call.violation("qrcode is none that was handed out")
        return answers.json(ret=0, status=CodeStatus.EXPIRED)
    if (gone := _from_old_host(call, code)) is not None:
        return gone
    answered = _take_number(call, code)
    _scan_by_itself(call, code)
    if not answered:
        hold = min(call.ilink.settings.hold_status, code.seconds_left())
        await code.changes.wait_for(lambda: code.current_status() is not code.last_answered, hold)
    return _say(call, code)


def _take_number(call: Call, code: Code) -> bool:
    """Take what was typed; says whether there was something, for then the answer comes at once."""
    number = call.request.query.get("verify_code")
    if number is None:
        return False
    if code.status is CodeStatus.WAIT:
        call.oddity("a verify_code that nobody asked for")
    code.verify(number)
    call.ilink.notify_changed()
    return True


def _scan_by_itself(call: Call, code: Code) -> None:
    person = call.ilink.settings.autoscan
    if person and code.current_status() is CodeStatus.WAIT:
        call.ilink.scan(code, person)
    elif person and code.status is CodeStatus.SCANED is code.last_answered:
        call.ilink.confirm(code)


def _from_old_host(call: Call, code: Code) -> SimulatedAnswer | None:
    """What the first host says of a code that was sent on; only Tencent's names can tell the hosts apart."""
    name = name_of(call.request.host)
    if not code.redirected or not is_wechat(name) or name == code.redirect:
        return None
    call.violation("polled at the old host after scaned_but_redirect")
    if call.ilink.settings.old_host == "missing":
        return answers.page(404)
    return answers.json(ret=0, status=CodeStatus.EXPIRED)


def _say(call: Call, code: Code) -> SimulatedAnswer:
    if call.request.transport.is_closing():
        return answers.json()  # nobody hears it: the next poll is told
    status = code.current_status()
    if code.redirect and not code.redirected and status is not CodeStatus.WAIT:
        code.redirected = True
        return answers.json(ret=0, status="scaned_but_redirect", redirect_host=code.redirect)
    code.last_answered = (
        CodeStatus.WAIT if status is CodeStatus.CONFIRMED else status
    )  # a lost answer is given again
    call.ilink.notify_changed()
    if code.credentials is None:
        return answers.json(ret=0, status=status)
    brought = code.credentials
    return answers.json(
        ret=0,
        status=status,
        bot_token=brought.bot_token,
        ilink_bot_id=brought.ilink_bot_id,
        ilink_user_id=brought.ilink_user_id,
        baseurl=_baseurl(call, code),
    )


def _baseurl(call: Call, code: Code) -> str:
    wanted = call.ilink.settings.baseurl
    return code.address if wanted == "here" else wanted

"""Login endpoints: get_bot_qrcode, get_qrcode_status (ilink 3)."""

from __future__ import annotations

from wx2mqtt.simulator.hosts import host_name, is_wechat
from wx2mqtt.simulator.http_messages import SimulatedAnswer
from wx2mqtt.simulator.ilink import answers, checks, hosts
from wx2mqtt.simulator.ilink.checks import Call
from wx2mqtt.simulator.ilink.qr_codes import BotQrCode, CodeStatus

_MAX_TOKENS = 10


async def get_bot_qrcode(call: Call) -> SimulatedAnswer:
    """Creates a code. Releases before 2.3.1 use GET without a list of tokens (ilink 3.1.3)."""
    checks.require_method(call, "POST", "GET")
    checks.require_host(call)
    for problem in checks.app_header_problems(call):
        call.record_oddity(problem)
    if call.request.query.get("bot_type") != "3":
        raise call.refusal(answers.json(ret=2), "bot_type is not 3")
    if "authorization" in call.request.headers:
        call.record_oddity("a token before there is one")
    ilink = call.ilink
    code = ilink.codes.create(
        _posted_tokens(call), lifetime=ilink.settings.qr_lifetime, address=hosts.base_address(call.request)
    )
    ilink.notify_changed()
    return answers.json(ret=0, qrcode=code.handle, qrcode_img_content=code.content)


def _posted_tokens(call: Call) -> tuple[str, ...]:
    if call.request.method == "GET":
        call.record_oddity("GET instead of POST (clients before 2.3.1)")
        return ()
    fields = checks.posted_json(call)
    tokens = fields.get("local_token_list")
    if not isinstance(tokens, list) or not all(isinstance(token, str) and token for token in tokens):
        raise call.invalid_argument("local_token_list is no list of tokens")
    if len(tokens) > _MAX_TOKENS:
        raise call.invalid_argument("local_token_list has more than ten tokens")
    if "base_info" in fields:
        call.record_oddity("base_info, which this call does not have")
    return tuple(tokens)


async def get_qrcode_status(call: Call) -> SimulatedAnswer:
    """Long poll: waits until the status of the code changes and returns it (ilink 3.2)."""
    checks.require_method(call, "GET")
    checks.require_host(call)
    for problem in checks.app_header_problems(call):
        call.record_oddity(problem)
    for header in ("authorization", "x-wechat-uin"):
        if header in call.request.headers:
            call.record_oddity(f"the header {header}, which this call does not have")
    code = call.ilink.codes.find(call.request.query.get("qrcode", ""))
    if code is None:
        call.record_violation("qrcode is none that was handed out")
        return answers.json(ret=0, status=CodeStatus.EXPIRED)
    if (old_host_answer := _old_host_answer(call, code)) is not None:
        return old_host_answer
    has_verify_code = _apply_verify_code(call, code)
    _autoscan(call, code)
    if not has_verify_code:
        hold = min(call.ilink.settings.hold_status, code.seconds_left())
        await code.changes.wait_for(lambda: code.current_status() is not code.last_answered, hold)
    return _status_answer(call, code)


def _apply_verify_code(call: Call, code: BotQrCode) -> bool:
    """Applies a verification code; returns whether there was one, because then the answer comes at once."""
    number = call.request.query.get("verify_code")
    if number is None:
        return False
    if code.status is CodeStatus.WAIT:
        call.record_oddity("a verify_code that nobody asked for")
    code.verify(number)
    call.ilink.notify_changed()
    return True


def _autoscan(call: Call, code: BotQrCode) -> None:
    person = call.ilink.settings.autoscan
    if person and code.current_status() is CodeStatus.WAIT:
        call.ilink.scan(code, person)
    elif person and code.status is CodeStatus.SCANED is code.last_answered:
        call.ilink.confirm(code)


def _old_host_answer(call: Call, code: BotQrCode) -> SimulatedAnswer | None:
    """Returns the first host's answer for a redirected code; only Tencent's names distinguish the hosts."""
    name = host_name(call.request.host)
    if not code.redirected or not is_wechat(name) or name == code.redirect:
        return None
    call.record_violation("polled at the old host after scaned_but_redirect")
    if call.ilink.settings.old_host == "missing":
        return answers.html_page(404)
    return answers.json(ret=0, status=CodeStatus.EXPIRED)


def _status_answer(call: Call, code: BotQrCode) -> SimulatedAnswer:
    if call.request.transport.is_closing():
        return answers.json()  # the program has disconnected; the next poll gets the status
    status = code.current_status()
    if code.redirect and not code.redirected and status is not CodeStatus.WAIT:
        code.redirected = True
        return answers.json(ret=0, status="scaned_but_redirect", redirect_host=code.redirect)
    # The answer `confirmed` may be lost, so the next poll gets it again.
    code.last_answered = CodeStatus.WAIT if status is CodeStatus.CONFIRMED else status
    call.ilink.notify_changed()
    if code.credentials is None:
        return answers.json(ret=0, status=status)
    credentials = code.credentials
    return answers.json(
        ret=0,
        status=status,
        bot_token=credentials.bot_token,
        ilink_bot_id=credentials.ilink_bot_id,
        ilink_user_id=credentials.ilink_user_id,
        baseurl=_baseurl(call, code),
    )


def _baseurl(call: Call, code: BotQrCode) -> str:
    setting = call.ilink.settings.baseurl
    return code.address if setting == "here" else setting

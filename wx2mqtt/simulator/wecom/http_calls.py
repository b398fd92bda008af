"""The calls beside the gateway: the two of the login by scan (wecom 3), and files of messages (wecom 4.4)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from wx2mqtt.simulator import messages
from wx2mqtt.simulator.http_messages import BodyStream, Request, SimulatedAnswer
from wx2mqtt.simulator.wecom import codes
from wx2mqtt.simulator.wecom.files import PATH as FILE_PATH
from wx2mqtt.simulator.wecom.qr_codes import SCANNED_WORDS, WAITING_WORDS, CodeStatus, ScanCode
from wx2mqtt.simulator.wecom.simulated_wecom import SimulatedWeCom

GENERATE_PATH = "/ai/qc/generate"
QUERY_PATH = "/ai/qc/query_result"

_PLATFORMS = frozenset("0123")
_MIN_POLL_SECONDS = 1.0
_MAX_SOURCE_CHARACTERS = 64


@dataclass(slots=True)
class HttpCall:
    """One call of a program: the request, and the simulated WeCom that judges it."""

    endpoint: str
    request: Request
    wecom: SimulatedWeCom

    def record_violation(self, problem: str) -> None:
        self.wecom.violations.record(self.endpoint, problem)

    def record_oddity(self, problem: str) -> None:
        if self.wecom.shared_settings.strict:
            self.record_violation(f"tolerated, but: {problem}")


def _json(**values: object) -> SimulatedAnswer:
    return SimulatedAnswer(body=messages.dump_json(values), content_type="application/json")


def error_answer(errcode: int) -> SimulatedAnswer:
    """Returns an answer with an `errcode`, as the fault `ret` gives (wecom 3.1)."""
    return _json(errcode=errcode, errmsg=codes.words(errcode))


def storage_error(status: int) -> SimulatedAnswer:
    """Returns a refusal of the object storage."""
    body = (
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>'
    )
    return SimulatedAnswer(body=body, content_type="application/xml", status=status)


def _bad_method(call: HttpCall) -> bool:
    if call.request.method == "GET":
        return False
    call.record_violation(f"{call.request.method} instead of GET")
    return True


async def generate(call: HttpCall) -> SimulatedAnswer:
    """Makes a code for a login by scan."""
    if _bad_method(call):
        return error_answer(codes.BAD_PARAMETER)
    query, wecom = call.request.query, call.wecom
    source = query.get("source", "")
    if not 0 < len(source) <= _MAX_SOURCE_CHARACTERS:
        call.record_violation("source is missing or too long")
        return error_answer(codes.BAD_PARAMETER)
    if query.get("plat") not in _PLATFORMS:
        call.record_oddity("plat is not 0, 1, 2 or 3")
    address = f"{call.request.scheme}://{call.request.host}"
    code = wecom.codes.create(source=source, address=address, lifetime=wecom.settings.qr_lifetime)
    wecom.notify_changed()
    return _json(data={"scode": code.scode, "auth_url": code.content})


async def query_result(call: HttpCall) -> SimulatedAnswer:
    """Tells how far a code is; with the credentials of the bot once somebody has confirmed it."""
    if _bad_method(call):
        return error_answer(codes.BAD_PARAMETER)
    code = call.wecom.codes.find(call.request.query.get("scode", ""))
    if code is None:
        call.record_violation("scode is none that was handed out")
        return _json(data={"status": CodeStatus.EXPIRED})
    _note_pace(call, code)
    _autoscan(call.wecom, code)
    code.polls += 1
    code.last_answered = code.current_status()
    call.wecom.notify_changed()
    if code.last_answered is not CodeStatus.SUCCESS:
        return _json(data={"status": _status_word(call.wecom, code)})
    bot = call.wecom.bots[code.bot_id]
    return _json(data={"status": "success", "bot_info": {"botid": bot.bot_id, "secret": bot.secret}})


def _note_pace(call: HttpCall, code: ScanCode) -> None:
    now = time.monotonic()
    if code.polled_at and now - code.polled_at < _MIN_POLL_SECONDS:
        call.record_oddity("polls of one code less than a second apart")
    code.polled_at = now


def _autoscan(wecom: SimulatedWeCom, code: ScanCode) -> None:
    """Scans at the first poll and confirms at the next one, if the settings name somebody."""
    person = wecom.settings.autoscan
    if not person:
        return
    if code.current_status() is CodeStatus.WAIT:
        wecom.scan(code, person)
    elif code.status is CodeStatus.SCANNED is code.last_answered:
        wecom.confirm(code)


def _status_word(wecom: SimulatedWeCom, code: ScanCode) -> str:
    words = {CodeStatus.WAIT: WAITING_WORDS, CodeStatus.SCANNED: SCANNED_WORDS}.get(
        code.status, (code.status,)
    )
    return words[(code.polls - 1) % len(words)] if wecom.settings.waiting_words == "all" else words[0]


async def download(call: HttpCall) -> SimulatedAnswer:
    """Delivers the ciphertext of a file, for five minutes after it was sent."""
    if _bad_method(call):
        return storage_error(405)
    wecom = call.wecom
    for header in ("authorization", "cookie"):
        if header in call.request.headers:
            call.record_violation(f"the header {header} goes to the storage")
    file = wecom.files.find(call.request.path)
    if file is None:
        call.record_violation("there is no such file")
        return storage_error(404)
    if file.gone or wecom.clock.now() - file.stored_at > wecom.settings.file_lifetime:
        return storage_error(403)
    headers = (("content-disposition", file.disposition),) if file.disposition else ()
    stream = BodyStream(size=file.content.size, pieces=file.content.pieces())
    return SimulatedAnswer(stream=stream, content_type="application/octet-stream", headers=headers)


Handler = Callable[[HttpCall], Awaitable[SimulatedAnswer]]

GENERATE, QUERY, FILE = "qc_generate", "qc_query_result", "wecom_file"

HANDLERS: dict[str, Handler] = {GENERATE: generate, QUERY: query_result, FILE: download}
"""The handlers by name."""

PATHS = {GENERATE_PATH: GENERATE, QUERY_PATH: QUERY}
"""The names by path; files have the prefix `FILE_PATH`."""


def find_name(path: str) -> str | None:
    """Returns the name of the call with this path; None when it is none of WeCom's."""
    return FILE if path.startswith(FILE_PATH) else PATHS.get(path)

"""Builders for the HTTP answers of the iLink servers (ilink 3 to 10)."""

from __future__ import annotations

from wx2mqtt.simulator import messages
from wx2mqtt.simulator.http_messages import HTML, Headers, SimulatedAnswer
from wx2mqtt.simulator.ilink.settings import CodeField

JSON = "application/json"
ERRCODE_SESSION_TIMEOUT = -14


class Refusal(Exception):
    """Ends the call with this answer."""

    def __init__(self, answer: SimulatedAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def json(**values: object) -> SimulatedAnswer:
    return SimulatedAnswer(body=messages.dump_json(values), content_type=JSON)


def empty_body() -> SimulatedAnswer:
    return SimulatedAnswer(content_type=JSON)


def session_timeout(code_field: CodeField = "errcode") -> SimulatedAnswer:
    """Returns the answer for a revoked token; mostly it has no `ret` (ilink 4.2.3)."""
    return json(**error_code_fields(ERRCODE_SESSION_TIMEOUT, code_field), errmsg="session timeout")


def error_code_fields(number: int, code_field: CodeField) -> dict[str, int]:
    """Returns an error code as `ret`, as `errcode`, or as both (ilink 10.3.1)."""
    names = {"ret": ("ret",), "errcode": ("errcode",), "both": ("ret", "errcode")}[code_field]
    return dict.fromkeys(names, number)


def error_answer(ret: int) -> SimulatedAnswer:
    return session_timeout() if ret == ERRCODE_SESSION_TIMEOUT else json(ret=ret)


def cdn_error(message: str, code: str = "-5102001") -> SimulatedAnswer:
    """Returns a refusal of the CDN: status 400 with the reason in headers (ilink 8.2.4)."""
    return SimulatedAnswer(status=400, headers=(("x-error-message", message), ("x-error-code", code)))


def html_page(status: int, headers: Headers = ()) -> SimulatedAnswer:
    """Returns an error page of the gateway."""
    text = (
        f"<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>\n"
    )
    return SimulatedAnswer(body=text.encode(), content_type=HTML, status=status, headers=headers)

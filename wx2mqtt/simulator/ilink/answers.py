"""The shapes of iLink's answers (ilink 3 to 10)."""

from __future__ import annotations

from wx2mqtt.simulator import messages
from wx2mqtt.simulator.http_messages import HTML, Headers, SimulatedAnswer
from wx2mqtt.simulator.ilink.settings import CodeField

JSON = "application/json"
ERRCODE_SESSION_TIMEOUT = -14


class Refusal(Exception):
    """The call ends with this answer."""

    def __init__(self, answer: SimulatedAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def json(**values: object) -> SimulatedAnswer:
    """A JSON answer."""
    return SimulatedAnswer(body=messages.dump_json(values), content_type=JSON)


def empty_body() -> SimulatedAnswer:
    """Status 200 and no body."""
    return SimulatedAnswer(content_type=JSON)


def session_timeout(code_field: CodeField = "errcode") -> SimulatedAnswer:
    """The token is dead; mostly there is no `ret` (ilink 4.2.3)."""
    return json(**error_code_fields(ERRCODE_SESSION_TIMEOUT, code_field), errmsg="session timeout")


def error_code_fields(number: int, code_field: CodeField) -> dict[str, int]:
    """The number of a refusal: in `ret`, in `errcode`, or in both (ilink 10.3.1)."""
    names = {"ret": ("ret",), "errcode": ("errcode",), "both": ("ret", "errcode")}[code_field]
    return dict.fromkeys(names, number)


def error_answer(ret: int) -> SimulatedAnswer:
    """A refusal with a number and no word."""
    return session_timeout() if ret == ERRCODE_SESSION_TIMEOUT else json(ret=ret)


def cdn_error(message: str, code: str = "-5102001") -> SimulatedAnswer:
    """The CDN refuses: status 400, the reason in headers (ilink 8.2.4)."""
    return SimulatedAnswer(status=400, headers=(("x-error-message", message), ("x-error-code", code)))


def html_page(status: int, headers: Headers = ()) -> SimulatedAnswer:
    """A web page of the gateway."""
    text = (
        f"<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>\n"
    )
    return SimulatedAnswer(body=text.encode(), content_type=HTML, status=status, headers=headers)

"""The shapes of iLink's answers (ilink 3 to 10)."""

from __future__ import annotations

from wx2mqtt.simulator import wire
from wx2mqtt.simulator.exchange import HTML, Answer, Headers
from wx2mqtt.simulator.ilink.settings import Where

JSON = "application/json"
STALE = -14


class Refusal(Exception):
    """The call ends with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def json(**values: object) -> Answer:
    """A JSON answer."""
    return Answer(body=wire.dump(values), content_type=JSON)


def nothing() -> Answer:
    """Status 200 and no body."""
    return Answer(content_type=JSON)


def stale(where: Where = "errcode") -> Answer:
    """The token is dead; mostly there is no `ret` (ilink 4.2)."""
    return json(**coded(STALE, where), errmsg="session timeout")


def coded(number: int, where: Where) -> dict[str, int]:
    """The number of a refusal: in `ret`, in `errcode`, or in both (ilink 10.3)."""
    names = {"ret": ("ret",), "errcode": ("errcode",), "both": ("ret", "errcode")}[where]
    return dict.fromkeys(names, number)


def refused(ret: int) -> Answer:
    """A refusal with a number and no word."""
    return stale() if ret == STALE else json(ret=ret)


def cdn_error(message: str, code: str = "-5102001") -> Answer:
    """The CDN refuses: status 400, the reason in headers (ilink 8.2)."""
    return Answer(status=400, headers=(("x-error-message", message), ("x-error-code", code)))


def page(status: int, headers: Headers = ()) -> Answer:
    """A web page of the gateway."""
    text = (
        f"<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>\n"
    )
    return Answer(body=text.encode(), content_type=HTML, status=status, headers=headers)

"""The form where a person enters the password, and the end of a session."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import math
import re
from http import HTTPStatus
from urllib.parse import parse_qs

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from wx2mqtt.web.access import Access, Judged, Verdict
from wx2mqtt.web.gate import BODY, COOKIE, LOGIN
from wx2mqtt.web.sessions import LASTS
from wx2mqtt.web.visit import Visit, visit_of
from wx2mqtt.web.words import say

log = structlog.get_logger(__name__)

TIME = 10.0  # seconds in which the form must have come

_OURS = re.compile(r"/(?:[A-Za-z0-9_.~%=&?-][A-Za-z0-9_.~%=&?/-]{0,500})?", re.ASCII)
"""A path of ours with its query: one slash at the beginning, so that it names no host."""

_STYLE = """:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}
body{margin:0;min-height:100vh;display:grid;place-items:center}
main{width:min(20rem,100% - 2rem)}
h1{font-size:1.25rem}
label,input,button{display:block;width:100%;box-sizing:border-box}
input,button{font:inherit;padding:.5rem;margin:.25rem 0 1rem}"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'self'",
}

_PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>wx2mqtt · {title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>wx2mqtt</h1>
{told}
{form}
</main>
</body>
</html>
"""

_ASK = """<form method="post" action="{prefix}/login">
<input type="hidden" name="next" value="{after}">
<input name="username" autocomplete="username" value="wx2mqtt" hidden>
<label for="password">{password}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus>
<button>{log_in}</button>
</form>"""

_OUT = """<form method="post" action="{prefix}/logout"><button>{log_out}</button></form>"""


class TooSlowError(Exception):
    """The form did not come to its end."""


class TooLargeError(Exception):
    """The form is none of ours."""


class Login:
    """Answers for /login and /logout."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def show(self, request: Request) -> Response:
        """GET /login."""
        visit = visit_of(request.scope)
        if not self._access.asks:
            return _page(visit, told="no_password")
        inside = self._access.visit(session=visit.session, token=None, address=visit.visitor.address)
        if inside.verdict is Verdict.WELCOME:
            return _page(visit, told="logged_in", form=_OUT)
        return _page(visit, form=_ASK, after=_ours(request.query_params.get("next", "")))

    async def log_in(self, request: Request) -> Response:
        """POST /login with `password` and `next`, the path to go to."""
        visit = visit_of(request.scope)
        try:
            fields = await _form(request)
        except TooLargeError:
            return _short(visit, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large")
        except TooSlowError:
            return _short(visit, HTTPStatus.REQUEST_TIMEOUT, "body_too_slow")
        after = _ours(fields.get("next", ""))
        if not self._access.asks:
            return _page(visit, told="no_password")
        judged = self._access.log_in(fields.get("password", ""), visit.visitor.address)
        if judged.verdict is not Verdict.WELCOME:
            return _again(visit, judged, after)
        answer = RedirectResponse(f"{visit.visitor.prefix}{after}", HTTPStatus.SEE_OTHER)
        _set_cookie(answer, visit, judged.session, int(LASTS))
        return answer

    async def log_out(self, request: Request) -> Response:
        """POST /logout."""
        visit = visit_of(request.scope)
        self._access.log_out(visit.session)
        answer = RedirectResponse(f"{visit.visitor.prefix}{LOGIN}", HTTPStatus.SEE_OTHER)
        _set_cookie(answer, visit, "", 0)
        return answer


def _again(visit: Visit, judged: Judged, after: str) -> Response:
    if judged.verdict is Verdict.TOO_OFTEN:
        wait = math.ceil(judged.wait)
        page = _page(
            visit, HTTPStatus.TOO_MANY_REQUESTS, told="wait_first", form=_ASK, after=after, seconds=wait
        )
        page.headers["retry-after"] = str(wait)
        return page
    log.warning("wrong password for the page", address=visit.visitor.address)
    page = _page(visit, HTTPStatus.UNAUTHORIZED, told="wrong_password", form=_ASK, after=after)
    page.headers["www-authenticate"] = 'Bearer realm="wx2mqtt"'
    return page


def _page(
    visit: Visit,
    status: int = HTTPStatus.OK,
    *,
    told: str = "",
    form: str = "",
    after: str = LOGIN,
    **facts: object,
) -> Response:
    words = {
        word: html.escape(say(visit.language, word)) for word in ("title", "password", "log_in", "log_out")
    }
    sentence = html.escape(say(visit.language, told, **facts)) if told else ""
    filled = form.format(prefix=visit.visitor.prefix, after=html.escape(after), **words)
    page = _PAGE.format(
        language="zh-CN" if visit.language == "zh" else "en",
        style=_STYLE,
        told=f'<p role="alert">{sentence}</p>' if told else "",
        form=filled,
        **words,
    )
    return HTMLResponse(page, status, _HEADERS)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form, the first of each name; raises `TooLargeError`, `TooSlowError`."""
    try:
        async with asyncio.timeout(TIME):
            body = await _body(request)
    except (TimeoutError, ClientDisconnect):
        raise TooSlowError from None
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        raise TooLargeError from None
    return {name: values[0] for name, values in fields.items()}


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > BODY:
            raise TooLargeError
    return body


def _ours(path: str) -> str:
    """The path where a login leads; nothing that leads out of this server."""
    return path if _OURS.fullmatch(path) else LOGIN


def _set_cookie(answer: Response, visit: Visit, key: str, lasts: int) -> None:
    answer.set_cookie(
        COOKIE,
        key,
        max_age=lasts,
        path=visit.visitor.prefix or "/",
        secure=visit.visitor.secure,
        httponly=True,
        samesite="lax",
    )


def _short(visit: Visit, status: int, word: str) -> Response:
    return PlainTextResponse(f"{say(visit.language, word)}\n", status, {"cache-control": "no-store"})

"""The one way in: what every request must pass before it is answered, and what every answer carries.

In this order: its size, the name it was sent to, who sent a form, who may come in. A fault behind the gate
ends one request and is logged; it never reaches the bridge.
"""

from __future__ import annotations

import math
from dataclasses import replace
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wx2mqtt.web import visit as visits
from wx2mqtt.web.access import Access, Judged, Verdict
from wx2mqtt.web.hosts import Hosts
from wx2mqtt.web.options import Options
from wx2mqtt.web.visit import LANGUAGE, Visit
from wx2mqtt.web.visitors import visitor
from wx2mqtt.web.words import say, spoken

log = structlog.get_logger(__name__)

COOKIE = "wx2mqtt"
LOGIN = "/login"
STATIC = "/static/"
LIVE, HEALTH, METRICS = "/livez", "/healthz", "/metrics"
HEAD_BYTES = 32 * 1024  # of a request; other servers on this host may have left their cookies
BODY = 16 * 1024  # bytes; no form of ours comes near
FOR_MACHINES = ("/media/", HEALTH, METRICS)  # what the token opens, for reading
FOR_STRANGERS = (LOGIN, STATIC, LIVE, HEALTH)  # open to everybody; of the health only whether it is good

_READING = frozenset({"GET", "HEAD"})
_SAFE = _READING | {"OPTIONS"}

_ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


class Gate:
    """The outermost application; `inner` gets what passes, at a path without our prefix."""

    def __init__(self, inner: ASGIApp, options: Options, hosts: Hosts, access: Access) -> None:
        self._inner = inner
        self._options = options
        self._hosts = hosts
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                _complete(message)
            await send(message)

        try:
            await self._pass(scope, receive, sending)
        except Exception:  # a fault of ours ends this request only; the next one may be another
            log.exception("request failed", path=scope["path"])
            if begun:
                raise  # uvicorn closes the connection, so that the client does not take it for the whole
            await _words(self._visit(scope), HTTPStatus.INTERNAL_SERVER_ERROR, "internal")(
                scope, receive, sending
            )

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = self._visit(scope)
        inside = {**scope, "path": self._path(scope["path"], visit), "root_path": ""}
        refusal = self._refusal(inside, visit)
        if refusal is None:
            judged = self._judged(inside, visit)
            visit = replace(visit, welcome=judged.verdict is Verdict.WELCOME)
            refusal = self._unwelcome(inside, visit, judged) or _beside(scope["path"], inside)
        visits.put(inside, visit)
        await (self._inner if refusal is None else refusal)(inside, receive, send)

    def _visit(self, scope: Scope) -> Visit:
        headers = Headers(scope=scope)
        client, cookies = scope.get("client"), headers.get("cookie", "")
        chosen = _cookie(cookies, LANGUAGE)
        spoken_here = spoken(headers.get("accept-language", ""), self._options.language)
        return Visit(
            visitor=visitor(client[0] if client else "", headers, self._options),
            language="zh" if chosen == "zh" else "en" if chosen == "en" else spoken_here,
            session=_cookie(cookies, COOKIE),
        )

    def _path(self, path: str, visit: Visit) -> str:
        """Without the prefix, which some proxies take away and others do not."""
        for prefix in (visit.visitor.prefix, self._options.prefix):
            if prefix and (path == prefix or path.startswith(f"{prefix}/")):
                return path[len(prefix) :]
        return path

    def _refusal(self, scope: Scope, visit: Visit) -> Response | None:
        """What is wrong with a request, whoever sent it."""
        headers, method = Headers(scope=scope), scope["method"]
        if _head_bytes(scope) > HEAD_BYTES:
            return _words(visit, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
        if _too_large(headers.get("content-length", "0")):
            return _words(visit, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large")
        if not self._hosts.answers_to(headers.get("host", "")):
            return _words(visit, HTTPStatus.FORBIDDEN, "foreign_host")
        if method not in _SAFE and not self._own_page(headers):
            return _words(visit, HTTPStatus.FORBIDDEN, "foreign_origin")
        return None

    def _judged(self, scope: Scope, visit: Visit) -> Judged:
        token = _token(scope, Headers(scope=scope))
        return self._access.visit(session=visit.session, token=token, address=visit.visitor.address)

    def _unwelcome(self, scope: Scope, visit: Visit, judged: Judged) -> Response | None:
        if visit.welcome or (judged.verdict is Verdict.STRANGER and _fits(scope["path"], FOR_STRANGERS)):
            return None
        return _refused(scope, Headers(scope=scope), visit, judged)

    def _own_page(self, headers: Headers) -> bool:
        """Whether no page of another site sent this; programs send no such headers and are no danger here."""
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site in {"same-origin", "none"}
        origin = headers.get("origin")
        return origin is None or self._hosts.own_page(origin, headers.get("host", ""))


def _beside(asked: str, scope: Scope) -> Response | None:
    """Relative addresses in the page count from a `/` at the end of the prefix."""
    if scope["path"]:
        return None
    query = scope["query_string"].decode("latin-1")
    return RedirectResponse(f"{asked}/{'?' if query else ''}{query}", HTTPStatus.TEMPORARY_REDIRECT)


def _refused(scope: Scope, headers: Headers, visit: Visit, judged: Judged) -> Response:
    if judged.verdict is Verdict.TOO_OFTEN:
        return _too_often(visit, judged.wait)
    if judged.verdict is Verdict.STRANGER and _navigates(scope, headers):
        asked = scope["path"] + (
            f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        )
        return RedirectResponse(
            f"{visit.visitor.prefix}{LOGIN}?next={quote(asked, safe='/')}", HTTPStatus.SEE_OTHER
        )
    word = "wrong_token" if judged.verdict is Verdict.WRONG else "log_in_first"
    answer = _words(visit, HTTPStatus.UNAUTHORIZED, word)
    answer.headers["www-authenticate"] = 'Bearer realm="wx2mqtt"'
    return answer


def _too_often(visit: Visit, wait: float) -> Response:
    """The answer to who guessed too often."""
    seconds = math.ceil(wait)
    answer = _words(visit, HTTPStatus.TOO_MANY_REQUESTS, "too_often", seconds=seconds)
    answer.headers["retry-after"] = str(seconds)
    return answer


def _navigates(scope: Scope, headers: Headers) -> bool:
    """Whether a person opens this in a browser, and would see a page."""
    mode = headers.get("sec-fetch-mode")
    return scope["method"] == "GET" and (
        mode == "navigate" if mode is not None else "text/html" in headers.get("accept", "")
    )


def _token(scope: Scope, headers: Headers) -> str | None:
    """The Bearer token, where it counts."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    counts = scope["method"] in _READING and _fits(scope["path"], FOR_MACHINES)
    return token.strip() if counts and scheme.lower() == "bearer" else None


def _fits(path: str, known: tuple[str, ...]) -> bool:
    """Whether a path is one of these, or below one that ends with `/`."""
    return any(path.startswith(one) if one.endswith("/") else path == one for one in known)


def _cookie(header: str, wanted: str) -> str:
    """The value of a cookie; of several of that name the first, which has the longest path."""
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == wanted:
            return value
    return ""


def _head_bytes(scope: Scope) -> int:
    """h11 looks at the length only of what does not come in one piece."""
    target = len(scope["raw_path"]) + len(scope["query_string"])
    return target + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


def _too_large(length: str) -> bool:
    return not length.isdecimal() or len(length) > 12 or int(length) > BODY


def _words(visit: Visit, status: int, word: str, **facts: object) -> Response:
    text = say(visit.language, word, **facts)
    return PlainTextResponse(f"{text}\n", status, {"cache-control": "no-store"})


def _complete(message: Message) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
    headers["date"] = formatdate(usegmt=True)

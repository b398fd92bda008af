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

from wx2mqtt.i18n.web import preferred_language, server_text
from wx2mqtt.web import request as visits
from wx2mqtt.web.auth import AuthDecision, Authenticator, AuthResult
from wx2mqtt.web.options import WebOptions
from wx2mqtt.web.request import (
    LANGUAGE_COOKIE,
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    AllowedHosts,
    RequestContext,
    client_info,
)

log = structlog.get_logger(__name__)

SESSION_COOKIE = "wx2mqtt"
LOGIN_PATH = "/login"
STATIC_PATH = "/static/"
LIVENESS_PATH, HEALTH_PATH, METRICS_PATH = "/livez", "/healthz", "/metrics"
TOKEN_PATHS = ("/media/", HEALTH_PATH, METRICS_PATH)  # what the token opens, for reading
PUBLIC_PATHS = (
    LOGIN_PATH,
    STATIC_PATH,
    LIVENESS_PATH,
    HEALTH_PATH,
)  # open to everybody; of the health only whether it is good

_READING = frozenset({"GET", "HEAD"})
_SAFE = _READING | {"OPTIONS"}

_ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


class SecurityMiddleware:
    """The outermost application; `inner` gets what passes, at a path without our prefix."""

    def __init__(
        self, app: ASGIApp, options: WebOptions, hosts: AllowedHosts, authenticator: Authenticator
    ) -> None:
        self._app = app
        self._options = options
        self._hosts = hosts
        self._authenticator = authenticator

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
            await self._handle(scope, receive, sending)
        except Exception:  # a fault of ours ends this request only; the next one may be another
            log.exception("request failed", path=scope["path"])
            if begun:
                raise  # uvicorn closes the connection, so that the client does not take it for the whole
            await _words(self._request_context(scope), HTTPStatus.INTERNAL_SERVER_ERROR, "internal")(
                scope, receive, sending
            )

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit = self._request_context(scope)
        inside = {**scope, "path": self._path_without_prefix(scope["path"], visit), "root_path": ""}
        refusal = self._check_request(inside, visit)
        if refusal is None:
            judged = self._authenticate(inside, visit)
            visit = replace(visit, is_allowed=judged.decision is AuthDecision.ALLOWED)
            refusal = self._check_access(inside, visit, judged) or _beside(scope["path"], inside)
        visits.store_context(inside, visit)
        await (self._app if refusal is None else refusal)(inside, receive, send)

    def _request_context(self, scope: Scope) -> RequestContext:
        headers = Headers(scope=scope)
        client, cookies = scope.get("client"), headers.get("cookie", "")
        chosen = _cookie(cookies, LANGUAGE_COOKIE)
        spoken_here = preferred_language(headers.get("accept-language", ""), self._options.language)
        return RequestContext(
            client=client_info(client[0] if client else "", headers, self._options),
            language="zh" if chosen == "zh" else "en" if chosen == "en" else spoken_here,
            session_key=_cookie(cookies, SESSION_COOKIE),
        )

    def _path_without_prefix(self, path: str, context: RequestContext) -> str:
        """Without the prefix, which some proxies take away and others do not."""
        for prefix in (context.client.prefix, self._options.prefix):
            if prefix and (path == prefix or path.startswith(f"{prefix}/")):
                return path[len(prefix) :]
        return path

    def _check_request(self, scope: Scope, context: RequestContext) -> Response | None:
        """What is wrong with a request, whoever sent it."""
        headers, method = Headers(scope=scope), scope["method"]
        if _head_bytes(scope) > MAX_HEAD_BYTES:
            return _words(context, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
        if _too_large(headers.get("content-length", "0")):
            return _words(context, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large")
        if not self._hosts.is_allowed(headers.get("host", "")):
            return _words(context, HTTPStatus.FORBIDDEN, "foreign_host")
        if method not in _SAFE and not self._is_same_origin(headers):
            return _words(context, HTTPStatus.FORBIDDEN, "foreign_origin")
        return None

    def _authenticate(self, scope: Scope, context: RequestContext) -> AuthResult:
        token = _token(scope, Headers(scope=scope))
        return self._authenticator.authenticate(
            session_key=context.session_key, token=token, address=context.client.address
        )

    def _check_access(
        self, scope: Scope, context: RequestContext, auth_result: AuthResult
    ) -> Response | None:
        if context.is_allowed or (
            auth_result.decision is AuthDecision.ANONYMOUS and _fits(scope["path"], PUBLIC_PATHS)
        ):
            return None
        return _refused(scope, Headers(scope=scope), context, auth_result)

    def _is_same_origin(self, headers: Headers) -> bool:
        """Whether no page of another site sent this; programs send no such headers and are no danger here."""
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site in {"same-origin", "none"}
        origin = headers.get("origin")
        return origin is None or self._hosts.is_same_origin(origin, headers.get("host", ""))


def _beside(original_path: str, scope: Scope) -> Response | None:
    """Relative addresses in the page count from a `/` at the end of the prefix."""
    if scope["path"]:
        return None
    query = scope["query_string"].decode("latin-1")
    return RedirectResponse(f"{original_path}/{'?' if query else ''}{query}", HTTPStatus.TEMPORARY_REDIRECT)


def _refused(scope: Scope, headers: Headers, context: RequestContext, auth_result: AuthResult) -> Response:
    if auth_result.decision is AuthDecision.THROTTLED:
        return _too_often(context, auth_result.wait_seconds)
    if auth_result.decision is AuthDecision.ANONYMOUS and _navigates(scope, headers):
        asked = scope["path"] + (
            f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        )
        return RedirectResponse(
            f"{context.client.prefix}{LOGIN_PATH}?next={quote(asked, safe='/')}", HTTPStatus.SEE_OTHER
        )
    word = "wrong_token" if auth_result.decision is AuthDecision.WRONG_SECRET else "log_in_first"
    answer = _words(context, HTTPStatus.UNAUTHORIZED, word)
    answer.headers["www-authenticate"] = 'Bearer realm="wx2mqtt"'
    return answer


def _too_often(context: RequestContext, wait: float) -> Response:
    """The answer to who guessed too often."""
    seconds = math.ceil(wait)
    answer = _words(context, HTTPStatus.TOO_MANY_REQUESTS, "too_often", seconds=seconds)
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
    counts = scope["method"] in _READING and _fits(scope["path"], TOKEN_PATHS)
    return token.strip() if counts and scheme.lower() == "bearer" else None


def _fits(path: str, paths: tuple[str, ...]) -> bool:
    """Whether a path is one of these, or below one that ends with `/`."""
    return any(path.startswith(one) if one.endswith("/") else path == one for one in paths)


def _cookie(header: str, cookie_name: str) -> str:
    """The value of a cookie; of several of that name the first, which has the longest path."""
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == cookie_name:
            return value
    return ""


def _head_bytes(scope: Scope) -> int:
    """h11 looks at the length only of what does not come in one piece."""
    target = len(scope["raw_path"]) + len(scope["query_string"])
    return target + sum(len(name) + len(value) + 4 for name, value in scope["headers"])


def _too_large(length: str) -> bool:
    return not length.isdecimal() or len(length) > 12 or int(length) > MAX_BODY_BYTES


def _words(context: RequestContext, status: int, message_key: str, **facts: object) -> Response:
    text = server_text(context.language, message_key, **facts)
    return PlainTextResponse(f"{text}\n", status, {"cache-control": "no-store"})


def _complete(message: Message) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
    headers["date"] = formatdate(usegmt=True)
